"""What all methods of a benchmark's cell share, and the scores of one map against it; nothing is read or written."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import pad
from genoplrp.evaluation.faithfulness import deletion_insertion, sufficiency_necessity
from genoplrp.evaluation.grammar import score_grammar
from genoplrp.evaluation.instances import score_recovery
from genoplrp.evaluation.job import Job
from genoplrp.evaluation.maps import Maps
from genoplrp.evaluation.methods import output_function
from genoplrp.evaluation.plan import Plan
from genoplrp.evaluation.pointing import pointing_game, signal_contrast, top_k_intersection, weighted_cosine
from genoplrp.evaluation.removals import Removals, infidelity, random_removals, sensitivity_n
from genoplrp.evaluation.scoring import score
from genoplrp.evaluation.signed import score_signed
from genoplrp.evaluation.sparsity import effective_bases, entropy, gini, hoyer, zero_fraction

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic import Dataset
    from genoplrp.training import TrainedModel


class Ready:
    """What all methods of a cell share: the sequences that are explained, their truth, and the model's answers."""

    def __init__(self, plan: Plan, data: Dataset, fit: TrainedModel) -> None:
        self.fit = fit
        self._removals: Removals | None = None
        self.target = data.task_index(plan.task)
        rows = np.flatnonzero((data.split == "test") & (data.labels[:, self.target] > 0))
        logits = (
            fit.logits(pad(data.subset(rows).one_hot(), data.length))[:, self.target]
            if len(rows)
            else np.zeros(0)
        )
        self.rows = rows[logits > 0][: plan.n_explain]
        if len(self.rows) == 0:
            raise InputError(
                f"no positive of the test part is predicted correctly ({len(rows)} positives); train longer or on more"
            )
        chosen = data.subset(self.rows)
        self.lengths = None if (chosen.lengths == data.length).all() else chosen.lengths
        self.X = pad(chosen.one_hot(), data.length)
        self.mask = pad(chosen.mask(self.target), data.length)
        self.signs = pad(chosen.signed_mask(self.target), data.length)
        self.information = pad(chosen.information(self.target), data.length)
        self.sites = chosen.instances_of(self.target)
        self.all_sites = _with_roles(chosen, self.target)
        used = set(data.instances_of(self.target)["motif"].astype(str))
        self.motifs = tuple(motif for name, motif in data.motifs.items() if name in used)
        self.predict = output_function(fit.model, self.target)
        self._fill, self._whole = plan.fill, self

    def first(self, n: int) -> Ready:
        """Make the same of the first sequences only."""
        if n >= len(self.rows):
            return self
        some = copy.copy(self)
        some.rows, some.X, some.mask = self.rows[:n], self.X[:n], self.mask[:n]
        some.information, some.signs = self.information[:n], self.signs[:n]
        some.lengths = self.lengths_of(n)
        some.sites = self.sites[self.sites["sequence"] < n]
        some.all_sites = self.all_sites[self.all_sites["sequence"] < n]
        return some

    def lengths_of(self, n: int) -> np.ndarray | None:
        """Lengths of the first sequences; None where all are of one length."""
        return None if self.lengths is None else self.lengths[:n]

    @property
    def removals(self) -> Removals:
        """What the network loses without random sets of bases; asked once for all methods."""
        whole = self._whole
        if whole._removals is None:
            whole._removals = random_removals(whole.predict, whole.X, fill=whole._fill, lengths=whole.lengths)
        n = len(self.rows)
        return Removals(whole._removals.subsets[:n], whole._removals.drop[:n])

    def job(self, seed: int, X: np.ndarray | None = None) -> Job:
        """What a method is handed: the cell's sequences, or the first of them, changed."""
        X = self.X if X is None else X
        return Job(self.fit.model, X, self.target, seed, self.motifs, lengths=self.lengths_of(len(X)))


def score_truth(maps: Maps, ready: Ready) -> pd.DataFrame:
    """Score a map against the planted truth: localization, also with its sign, sparsity, recovery of sites, grammar."""
    import pandas as pd

    tables = [
        score(maps, ready.mask, lengths=ready.lengths),
        score_signed(maps, ready.signs, lengths=ready.lengths),
        _further_scores(maps, ready),
        score_recovery(maps, ready.sites, lengths=ready.lengths),
        score_grammar(maps, ready.all_sites, lengths=ready.lengths),
    ]
    return pd.concat(tables, axis=1)


def score_faithfulness(maps: Maps, ready: Ready, plan: Plan) -> pd.DataFrame:
    """Score a map by asking the network: deletion, insertion, sufficiency, necessity, random removals."""
    table = _faithfulness(plan, ready, maps).reindex(range(len(maps)))
    table["sensitivity_n"] = sensitivity_n(maps, ready.removals)
    table["infidelity"] = infidelity(maps, ready.removals)
    return table


def _with_roles(data: Dataset, target: int) -> pd.DataFrame:
    """Give every instance its role for one task: by its sign, and "other" where it matters for other tasks only."""
    from genoplrp.synthetic.grammar import COUNTED
    from genoplrp.synthetic.polarity import instance_signs

    table = data.instances
    signs = instance_signs(data)[:, target]
    role = table["role"].astype(str)
    role = role.where(~role.isin(COUNTED), "other").where(signs == 0, "core").where(signs >= 0, "inhibitor")
    return table.assign(role=role)


def _further_scores(maps: Maps, ready: Ready) -> pd.DataFrame:
    import pandas as pd

    lengths = ready.lengths
    columns = {
        "gini_positive": gini(np.maximum(maps, 0.0), lengths=lengths),
        "hoyer": hoyer(maps, lengths=lengths),
        "entropy": entropy(maps, lengths=lengths),
        "zero_fraction": zero_fraction(maps, lengths=lengths),
        "effective_bases": effective_bases(maps, lengths=lengths),
        "top_10": top_k_intersection(maps, ready.mask, k=10, lengths=lengths),
        "pointing_game": pointing_game(maps, ready.mask, lengths=lengths),
        "signal_contrast": signal_contrast(maps, ready.mask, lengths=lengths),
        "weighted_cosine": weighted_cosine(maps, ready.information, lengths=lengths),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(maps), name="sequence"))


def _faithfulness(plan: Plan, ready: Ready, maps: Maps) -> pd.DataFrame:
    """Scale deletion and insertion by the mean span of the cell: single sequences may span next to nothing.

    The span is the same for every method of the cell, so that methods compare as before.
    """
    import pandas as pd

    X, maps = ready.X[: plan.n_faithful], maps[: plan.n_faithful]
    ask: dict[str, Any] = {"fill": plan.fill, "n_fills": plan.n_fills, "lengths": ready.lengths_of(len(X))}
    curves = deletion_insertion(ready.predict, X, maps, **ask).to_frame()
    span = curves["span"].mean()
    span = span if span > 0 else np.nan
    curves["deletion"] = 1 - curves["deletion_drop"] / span
    curves["insertion"] = curves["insertion_gain"] / span
    named = sufficiency_necessity(ready.predict, X, maps, **ask)
    return pd.concat([curves, named], axis=1)
