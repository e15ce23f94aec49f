"""The options of the commands that call sites, and the call they make; no command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoplrp.cli.given import with_options
from genoplrp.cli.model_options import LOADING, MODEL_OPTIONS

if TYPE_CHECKING:
    from torch import nn

    from genoplrp.formats import Explained
    from genoplrp.relevance.targets import OneOutput

_OPTIONS = [
    *MODEL_OPTIONS,
    click.option(
        "--fdr",
        type=click.FloatRange(0, 1, min_open=True),
        default=0.05,
        show_default=True,
        help="False-discovery rate: share of the called sites that may be due to chance.",
    ),
    click.option(
        "--null",
        type=click.Choice(["background", "shuffled"]),
        default="background",
        show_default=True,
        help="Shuffle between the strongest sites, or whole sequences (fewer sites, and no rate for negative ones).",
    ),
    click.option(
        "--caller",
        type=click.Choice(["null", "tangermeme"]),
        default="null",
        show_default=True,
        help="Call sites at a false-discovery rate against shuffled sequences, or by tangermeme's recursive_seqlets.",
    ),
    click.option(
        "--threshold",
        type=click.FloatRange(0, 1, min_open=True),
        default=0.01,
        show_default=True,
        help="Maximum p-value of tangermeme's seqlets (a ranking, not an error rate).",
    ),
    click.option(
        "--sign",
        type=click.Choice(["both", "positive", "negative"]),
        default="both",
        show_default=True,
        help="Call sites of positive relevance, of negative relevance, or both.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(min=1),
        default=5000,
        show_default=True,
        help="Maximum number of sequences, which are held in memory; the first ones are used.",
    ),
]
SITE_OPTIONS = ("fdr", "null", "caller", "threshold", "sign", "limit")
"""Names of those that say how sites are called; they are keywords of `genoplrp.sites.called_sites`."""


site_options = with_options(_OPTIONS)


def explained_model(
    explained: Explained, model: Path, options: dict[str, Any]
) -> tuple[nn.Module, OneOutput]:
    """Load the model that was explained, and the output of it that was."""
    from genoplrp.scan import load_any_model, output_target

    loaded = load_any_model(model, **{name: options[name] for name in LOADING})
    target, _ = output_target(
        explained.meta.get("target", explained.meta.get("task", 0)), loaded.tasks, loaded.outputs
    )
    return loaded.model, target


def several_targets(
    texts: Sequence[str], explained: Explained, model: Path, options: dict[str, Any]
) -> dict[str, OneOutput]:
    """Read ``--target``: each text is one output, or, where the model has none of that name, several with commas."""
    from genoplrp.errors import InputError
    from genoplrp.scan import describe_output, load_any_model, output_target

    loaded = load_any_model(model, **{name: options[name] for name in LOADING})

    def read(text: str) -> tuple[str, OneOutput]:
        target, name = output_target(text, loaded.tasks, loaded.outputs)
        if callable(target):
            describe_output(loaded.model, explained.length, target)
        return name, target

    found: dict[str, OneOutput] = {}
    for text in texts:
        try:
            parts = [read(text)]
        except InputError:
            if "," not in text:
                raise
            parts = [read(part) for part in text.split(",")]
        found.update(parts)
    return found
