"""The options that one drawing function hands on to another, so that a type checker knows them; nothing is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import torch

    from genoplrp.plotting.highlights import Highlight

Numbers: TypeAlias = "ArrayLike | torch.Tensor | np.ndarray"
"""An array, a tensor on any device, or lists of numbers."""


class LetterOptions(TypedDict, total=False):
    """What rows of logos hand on to ``logomaker.Logo``."""

    alpha: float
    baseline_width: float
    center_values: bool
    fade_below: float
    fade_probabilities: bool
    font_name: str
    shade_below: float
    stack_order: Literal["big_on_top", "small_on_top", "fixed"]
    vpad: float
    vsep: float
    zorder: int


class LogomakerOptions(LetterOptions, total=False):
    """What `plot_logo` hands on to ``logomaker.Logo``."""

    width: float


class RowOptions(LetterOptions, total=False):
    """What rows of logos hand on to `plot_logo`."""

    flip_below: bool
    renderer: Literal["batched", "logomaker"]
    scheme: str | Mapping[str, str]
    ylabel: str


class LogoOptions(RowOptions, total=False):
    """All options of `plot_logo`."""

    chrom: str | None
    figsize: tuple[float, float] | None
    highlight: Highlight | None
    highlight_labels: bool
    start: int
    strand: Literal["+", "-"]
    title: str | None
    width: float
    ylim: tuple[float, float] | None


class ComparisonOptions(RowOptions, total=False):
    """What `plot_comparison` hands on to `plot_logos`."""

    chrom: str | None
    row_height: float
    scale: Literal["kind", "own"]
    strand: Literal["+", "-"]
    title: str | None


class MotifOptions(TypedDict, total=False):
    """What several motifs hand on to `plot_motif`."""

    background: Sequence[float] | None
    figsize: tuple[float, float] | None
    scheme: str | Mapping[str, str]
