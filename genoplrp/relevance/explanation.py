"""What an explanation is: relevance, what was explained, and the conservation ledger. Not here: how it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance.propagation.ledger import Ledger, ledger_frame, select_rows
from genoplrp.relevance.storage import read_tensors, write_tensors
from genoplrp.relevance.tracing.tracer import LOGIT
from genoplrp.thumbnails import thumbnail

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from genoplrp.plotting.options import LogoOptions


class Conservation(NamedTuple):
    """Verdict on the conservation ledger: whether every unit of the explained output is accounted for.

    Attributes
    ----------
    holds
        True where the gap is within the tolerance for every sequence.
    gap
        (N,) float64: (relevance at the input + absorbed - explained output) / scale.
    scale
        (N,) float64: the larger of |explained output| and the largest relevance that any layer took in or absorbed.
    relevance, absorbed, output
        (N,) float64 each; the output less that at the reference, where the explanation is of a difference.
    verdict
        One sentence.
    """

    holds: bool
    gap: Tensor
    scale: Tensor
    relevance: Tensor
    absorbed: Tensor
    output: Tensor
    verdict: str

    def __str__(self) -> str:
        return self.verdict


@dataclass(eq=False)
class Explanation:
    """Relevance of N sequences for one explained output each.

    Attributes
    ----------
    relevance
        (N, 4, L): relevance of every input entry, in units of the explained output (a logit).
    prediction
        (N,): the explained output.
    target
        The explained output: an index, (N,) indices, or the name of the function.
    multiplier
        (N, 4, L): relevance per unit of input (hypothetical contributions), or None where it was not kept or the
        input rule has none.
    intermediate
        Layer name -> relevance at the layer's input, if it was requested.
    notes
        Notes on the explanation: an output explained at its logit, dropout left on, ...
    settings
        Rules, pruning and operations, as text.
    baseline
        (N,): the output at the reference, for explanations of a difference (DeepLIFT); else None.
    """

    relevance: Float[Tensor, "n 4 length"]
    prediction: Float[Tensor, " n"]
    target: int | str | Tensor | None
    multiplier: Float[Tensor, "n 4 length"] | None = None
    intermediate: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    ledgers: list[tuple[int, Ledger]] = field(default_factory=list, repr=False)
    baseline: Float[Tensor, " n"] | None = None

    def __len__(self) -> int:
        return len(self.relevance)

    def __getitem__(self, rows: int | slice | Sequence[int] | Tensor) -> Explanation:
        """Return the explanation of some of the sequences, of one for a number; its ledger comes along.

        Examples
        --------
        >>> e = Explanation(torch.ones(3, 4, 5), torch.arange(3.0), target=0)
        >>> e[1], e[1:].prediction.tolist(), len(e[[0, 2]])
        (Explanation(1 sequence, relevance (1, 4, 5), target 0), [1.0, 2.0], 2)
        """
        every = torch.arange(len(self))
        if isinstance(rows, int):
            if not -len(self) <= rows < len(self):
                raise IndexError(
                    f"sequence {rows} is out of range: there are {len(self)}, 0 to {len(self) - 1}"
                )
            index = every[[rows]]
        else:
            index = every[rows] if isinstance(rows, slice) else every[torch.as_tensor(rows)]
        settings = dict(self.settings)
        if "regions" in settings:
            settings["regions"] = settings["regions"].iloc[index.numpy()].reset_index(drop=True)
        return replace(
            self,
            relevance=self.relevance[index],
            prediction=self.prediction[index],
            target=self.target[index] if _one_each(self.target) else self.target,
            multiplier=None if self.multiplier is None else self.multiplier[index],
            intermediate={name: values[index] for name, values in self.intermediate.items()},
            notes=list(self.notes),
            settings=settings,
            ledgers=select_rows(self.ledgers, index),
            baseline=None if self.baseline is None else self.baseline[index],
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the explanation to one .npz file; its ledger (``layers``, ``check()``) is not kept.

        Parameters
        ----------
        path
            The file, as it stands.
        overwrite
            Replace a file that exists.

        Raises
        ------
        OutputExistsError
            If the file exists.
        InputError
            If its folder does not.
        """
        tensors = {"relevance": self.relevance, "prediction": self.prediction}
        optional = {"multiplier": self.multiplier, "baseline": self.baseline}
        tensors |= {name: value for name, value in optional.items() if value is not None}
        tensors |= {f"at:{name}": value for name, value in self.intermediate.items()}
        meta: dict[str, Any] = {"notes": self.notes, "settings": self.settings}
        if _one_each(self.target):
            tensors["target"] = self.target
        else:
            meta["target"] = self.target
        return write_tensors(path, tensors, meta, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Explanation:
        """Read a file of `save`; settings that were objects come back as text.

        Raises
        ------
        InputError
            If it is none.

        Examples
        --------
        >>> import tempfile
        >>> e = Explanation(torch.ones(3, 4, 5), torch.arange(3.0), target=0)
        >>> Explanation.load(e.save(tempfile.mkdtemp() + "/e.npz"))
        Explanation(3 sequences, relevance (3, 4, 5), target 0)
        """
        tensors, meta = read_tensors(path)
        if not {"relevance", "prediction"} <= tensors.keys():
            raise InputError(f"{path} is not a file of Explanation.save: it lacks relevance or prediction")
        return cls(
            tensors["relevance"],
            tensors["prediction"],
            tensors.get("target", meta.get("target")),
            multiplier=tensors.get("multiplier"),
            intermediate={
                name.removeprefix("at:"): value for name, value in tensors.items() if name.startswith("at:")
            },
            notes=list(meta.get("notes", [])),
            settings=dict(meta.get("settings", {})),
            baseline=tensors.get("baseline"),
        )

    def plot(self, i: int = 0, ax: Axes | None = None, **options: Unpack[LogoOptions]) -> Axes:
        """Draw the logo of one sequence.

        Parameters
        ----------
        i
            Which sequence.
        ax
            Where to draw; by default a new figure.
        **options
            Passed to `genoplrp.plot_logo`: ``highlight``, ``start``, ``chrom``, ``scheme``, ...

        Returns
        -------
        matplotlib.axes.Axes
        """
        one = self[i]
        title = f"sequence {i % len(self)}, {self.units} {float(one.prediction[0]):.2f}"
        drawn: Axes = import_module("genoplrp.plotting").plot_logo(
            one.relevance[0], ax, **{"title": title} | options
        )
        return drawn

    def __repr__(self) -> str:
        many = "sequence" if len(self) == 1 else "sequences"
        return f"Explanation({len(self)} {many}, relevance {tuple(self.relevance.shape)}, target {self.target!r})"

    def _repr_html_(self) -> str | None:
        """Show a logo and the first sequences in a notebook; None (the plain text) where that cannot be drawn."""
        return thumbnail(self)

    @property
    def units(self) -> Literal["logit", "output"]:
        """What ``prediction`` and relevance count in: the output, or the logit before a final sigmoid or softmax.

        `Explainer.output` returns the probability.
        """
        return "logit" if LOGIT in self.notes else "output"

    @property
    def per_nucleotide(self) -> Float[Tensor, "n length"]:
        """(N, L): relevance summed over the four channels."""
        return self.relevance.sum(dim=1)

    @property
    def layers(self) -> pd.DataFrame:
        """One row a layer and sequence: what came in, was handed on, kept, pruned, given back, absorbed.

        Columns as in `genoplrp.relevance.propagation.ledger.ledger_frame`; empty where diagnostics were off.
        """
        return ledger_frame(self.ledgers)

    @property
    def absorbed(self) -> pd.DataFrame:
        """One row per sequence, one column per layer or operation: the relevance it absorbed."""
        import pandas as pd

        frames = [
            pd.DataFrame(
                {name: value.detach().cpu().numpy() for name, value in ledger.absorbed.items()},
                index=range(first, first + _length(ledger)),
            )
            for first, ledger in self.ledgers
        ]
        return pd.concat(frames).rename_axis("sequence") if frames else pd.DataFrame()

    def check(self, tolerance: float = 1e-4) -> Conservation:
        """Check that relevance at the input and all that was absorbed add up to the explained output.

        Parameters
        ----------
        tolerance
            Relative to the larger of the output and the relevance in circulation (gamma and z-plus blow signs up).

        Returns
        -------
        Conservation
            The verdict, with the figures for every sequence.

        Raises
        ------
        InputError
            If the explanation was made without diagnostics, or is an average over p.
        """
        if "average" in self.settings:
            raise InputError(
                "an average over p is scaled to one mass and has no ledger: check the maps of Explainer.sweep()"
            )
        if not self.ledgers and len(self):
            raise InputError(
                "check() needs the conservation ledger: explain with Explainer(..., diagnostics=True)"
            )
        n = len(self)
        absorbed, circulation = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
        for first, ledger in self.ledgers:
            size = _length(ledger)
            span = slice(first, first + size)
            absorbed[span] = ledger.total_absorbed(size)
            flows = [row["relevance_in"].abs().cpu() for row in ledger.rows.values()]
            flows += [row["positive_mass"].cpu() for row in ledger.rows.values()]
            flows += [value.abs().cpu() for value in ledger.absorbed.values()]
            circulation[span] = torch.stack(flows).amax(dim=0) if flows else 0.0
        relevance = self.relevance.double().flatten(1).sum(dim=1)
        output = self.prediction.double()
        if self.baseline is not None:
            output = output - self.baseline.double()
        scale = torch.maximum(output.abs(), circulation).clamp(min=torch.finfo(torch.float64).tiny)
        gap = (relevance + absorbed - output) / scale
        worst = float(gap.abs().max()) if n else 0.0
        holds = worst <= tolerance
        explained = "output" if self.baseline is None else "difference to the reference"
        share = float((absorbed.abs() / output.abs().clamp(min=1e-12)).median()) if n else 0.0
        verdict = (
            f"{'Conserved' if holds else 'NOT conserved'}: relevance at the input plus absorbed equals the explained "
            f"{explained} to {worst:.1e} (tolerance {tolerance:.0e}, relative to the relevance in circulation); "
            f"biases, stabilizers and operations absorbed {share:.0%} of the {explained} (median)."
        )
        return Conservation(holds, gap, scale, relevance, absorbed, output, verdict)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per sequence: prediction, its units (logit or output), target, sums, share of zeros."""
        import pandas as pd

        scores = self.per_nucleotide
        target = self.target.tolist() if isinstance(self.target, Tensor) else self.target
        return pd.DataFrame(
            {
                "prediction": self.prediction.numpy(),
                "units": self.units,
                "target": target,
                "positive": scores.clamp(min=0).sum(dim=1).numpy(),
                "negative": scores.clamp(max=0).sum(dim=1).numpy(),
                "zeros": (scores == 0).double().mean(dim=1).numpy(),
            }
        ).rename_axis("sequence")

    def filters(self, layer: str) -> pd.DataFrame:
        """Return the relevance that each channel of a layer's input carried, one row per sequence and channel.

        An explanation holds arrays and no model, so this sums what was kept. Where nothing but activations, pooling and
        dropout lie between a convolution and ``layer``, it is the relevance of that convolution's channels as
        `genoplrp.relevance.methods.conditional.channel_relevance`, `genoplrp.flow` and `filter_windows` have it.

        Parameters
        ----------
        layer
            Name of a layer whose input relevance was kept (``keep_intermediate``).

        Returns
        -------
        DataFrame
            ``sequence, filter, relevance, share`` (of the absolute relevance), the strongest first.
        """
        import pandas as pd

        values = self._kept(layer)
        sums = values.reshape(values.shape[0], values.shape[1], -1).sum(dim=2).double()
        share = sums.abs() / sums.abs().sum(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        n, channels = sums.shape
        frame = pd.DataFrame(
            {
                "sequence": torch.arange(n).repeat_interleave(channels).numpy(),
                "filter": torch.arange(channels).repeat(n).numpy(),
                "relevance": sums.flatten().numpy(),
                "share": share.flatten().numpy(),
            }
        )
        return frame.sort_values(["sequence", "share"], ascending=[True, False], ignore_index=True)

    def windows(self, layer: str, width: int, *, filters: int = 5, stride: int | None = None) -> pd.DataFrame:
        """Return, for the strongest channels of a layer's input, windows of a given width around their strongest unit.

        `genoplrp.relevance.filter_windows` finds the windows themselves, to the base, by sending the unit's relevance
        down, for which it needs the model; this reads them off the positions of what was kept, as an explanation holds
        no model.

        Parameters
        ----------
        layer
            Name of the layer whose *input* channels are the filters (relevance kept there), shape (N, C, L').
        width
            Length of a window in bases: the receptive field of one position of the layer's input.
        filters
            How many filters a sequence, by absolute relevance.
        stride
            Bases between two positions of the layer's input; None for L / L'.

        Returns
        -------
        DataFrame
            ``sequence, filter, position, start, end, relevance``: the window around each filter's strongest position,
            0-based, half-open, cut at the sequence's ends.
        """
        import pandas as pd

        values = self._kept(layer)
        if values.dim() != 3:
            raise InputError(
                f"the input of {layer!r} has shape {tuple(values.shape)}: windows need (N, channels, positions)"
            )
        length = self.relevance.shape[-1]
        step = length / values.shape[2] if stride is None else stride
        top = self.filters(layer).groupby("sequence").head(filters)
        rows = []
        for i, f in zip(top["sequence"], top["filter"], strict=True):
            position = int(values[i, f].abs().argmax())
            centre = int((position + 0.5) * step)
            start = max(0, min(centre - width // 2, length - width))
            rows.append((i, f, position, start, min(start + width, length), float(values[i, f, position])))
        return pd.DataFrame(rows, columns=["sequence", "filter", "position", "start", "end", "relevance"])

    def _kept(self, layer: str) -> Tensor:
        if layer not in self.intermediate:
            kept = ", ".join(self.intermediate) or "none"
            raise InputError(
                f"no relevance was kept for the layer {layer!r} (kept: {kept}); explain with "
                "Explainer(..., keep_intermediate=True) or keep_intermediate=[names]"
            )
        return self.intermediate[layer]


def _one_each(target: object) -> TypeGuard[Tensor]:
    return isinstance(target, Tensor) and target.dim() == 1


def _length(ledger: Ledger) -> int:
    tensors = [row["relevance_in"] for row in ledger.rows.values()] or list(ledger.absorbed.values())
    return len(tensors[0]) if tensors else 0
