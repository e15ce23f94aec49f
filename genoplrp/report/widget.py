"""The report's logo with its slider as a widget for notebooks (anywidget); relevance comes from the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import anywidget
import numpy as np
import traitlets
from jaxtyping import Float

from genoplrp.report.page import drawing_data, labels
from genoplrp.scores import SCORES


class Sweep(NamedTuple):
    """What is shown of one sequence with one set of rules and one method.

    Attributes
    ----------
    maps : array, shape (P, L)
        Per-nucleotide relevance at each p, in units of the explained output.
    output : float
        The explained output.
    scores : mapping from metric to array, shape (P,)
        Scores of each map; NaN where there is none.
    """

    maps: Float[np.ndarray, "stops length"]
    output: float
    scores: Mapping[str, Float[np.ndarray, " stops"]]


def _script() -> str:
    assets = files("genoplrp.report") / "assets"
    logo, widget = ((assets / name).read_text("utf-8") for name in ("logo.js", "widget.js"))
    return f"function drawing(meta) {{\n{logo}\nreturn {{ palette, fit, drawLogo }};\n}}\n{widget}"


class RelevanceWidget(anywidget.AnyWidget):
    """A logo with a slider over p, and a choice of sequence, rules and method; made by `genoplrp.explore`.

    Attributes
    ----------
    sequence : int
        Number of the sequence that is shown.
    p : float
        Share that is pruned; set to the nearest stop of the slider.
    rules, method : str
        One of those offered.
    scheme : {"classic", "colorblind"}
        Colours of the bases.
    """

    _esm = _script()
    _css = (files("genoplrp.report") / "assets" / "widget.css").read_text("utf-8")

    sequence = traitlets.Int(0).tag(sync=True)
    p = traitlets.Float(0.0).tag(sync=True)
    rules = traitlets.Unicode().tag(sync=True)
    method = traitlets.Unicode().tag(sync=True)
    scheme = traitlets.Enum(("classic", "colorblind"), "classic").tag(sync=True)

    meta = traitlets.Dict().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    letters = traitlets.List(traitlets.Unicode()).tag(sync=True)
    stops = traitlets.List(traitlets.Float()).tag(sync=True)
    presets = traitlets.List(traitlets.Unicode()).tag(sync=True)
    methods = traitlets.List(traitlets.Unicode()).tag(sync=True)
    maps = traitlets.Bytes().tag(sync=True)
    scores = traitlets.Dict().tag(sync=True)
    output = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        sweep: Callable[[int, str, str], Sweep],
        *,
        names: Sequence[str],
        letters: Sequence[str],
        instances: Sequence[Sequence[Sequence[object]]],
        stops: Sequence[float],
        presets: Sequence[str],
        methods: Sequence[str],
        p: float,
        scheme: str = "classic",
    ) -> None:
        self._sweep = sweep
        self._known: dict[tuple[int, str, str], Sweep] = {}
        super().__init__(
            meta=drawing_data()
            | {"instances": instances, "labels": {name: labels(name)[0] for name in SCORES}},
            names=list(names),
            letters=list(letters),
            stops=list(stops),
            presets=list(presets),
            methods=list(methods),
            rules=presets[0],
            method=methods[0],
            p=p,
            scheme=scheme,
        )
        self._load()
        self.observe(lambda _: self._load(), names=["sequence", "rules", "method"])

    @property
    def relevance(self) -> Float[np.ndarray, " length"]:
        """Per-nucleotide relevance that is shown, (L,), in units of the explained output."""
        now = self._known[self.sequence, self.rules, self.method]
        return np.asarray(now.maps[self.stops.index(self.p)])

    @traitlets.validate("p")
    def _nearest(self, proposal: Any) -> float:
        return min(self.stops or [0.0], key=lambda stop: abs(stop - proposal["value"]))

    @traitlets.validate("sequence")
    def _in_range(self, proposal: Any) -> int:
        value = int(proposal["value"])
        if self.names and not 0 <= value < len(self.names):
            raise traitlets.TraitError(f"sequence must be 0 to {len(self.names) - 1}; got {value}")
        return value

    @traitlets.validate("rules", "method")
    def _offered(self, proposal: Any) -> str:
        offered = self.presets if proposal["trait"].name == "rules" else self.methods
        if offered and proposal["value"] not in offered:
            raise traitlets.TraitError(
                f"{proposal['trait'].name} must be one of {', '.join(offered)}; got {proposal['value']!r}"
            )
        return str(proposal["value"])

    def _load(self) -> None:
        key = (self.sequence, self.rules, self.method)
        if key not in self._known:
            self._known[key] = self._sweep(*key)
        now = self._known[key]
        with self.hold_sync():  # one message: the page never sees half of it
            self.output = float(now.output)
            self.scores = {
                metric: [None if np.isnan(v) else float(v) for v in values]
                for metric, values in now.scores.items()
            }
            self.maps = np.ascontiguousarray(now.maps, dtype="<f4").tobytes()
