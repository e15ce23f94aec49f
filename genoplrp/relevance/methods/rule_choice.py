"""Which preset of rules describes a model: the one whose maps are most faithful to its responses to resampled windows.

What is measured stands in `responses`; how good the choice is, in docs/results/ideas.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.methods.invariance import of_rows, sample_rows
from genoplrp.relevance.methods.responses import ask_about_windows
from genoplrp.relevance.pruning.policy import Pruning

CANDIDATES = ("gamma", "gamma-all", "epsilon-gamma-box", "zplus-all", "epsilon")


class RuleChoice(NamedTuple):
    """The preset that was chosen, and why.

    Attributes
    ----------
    rules : str
        Name of a preset.
    faithfulness : dict of str to float
        For each candidate the mean correlation, over the sequences asked about, of what its maps hold in windows with
        the fall of the output when they are resampled.
    """

    rules: str
    faithfulness: dict[str, float]


def choose_rules(
    model: nn.Module,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    candidates: Sequence[str] = CANDIDATES,
    pruning: Pruning | None = None,
    batch_size: int = 64,
    args: Sequence[Tensor] | None = None,
) -> RuleChoice:
    """Choose the preset whose maps are most faithful to the model's responses to resampled windows.

    For one pass over many sequences (`genoplrp.lrp`, `genoplrp.plrp`, `Explainer`): it costs 17 forward passes, and one
    pass for each candidate, of at most 32 sequences.

    Parameters
    ----------
    model
        Any `torch.nn.Module`.
    X
        (N, 4, L) one-hot sequences as they are to be explained, best those with a high output.
    target, args
        As in a call of `Explainer`.
    candidates
        Names of presets; of equal ones the first is taken.
    pruning
        How relevance will be pruned.
    batch_size
        As in `Explainer`.

    Returns
    -------
    RuleChoice

    Raises
    ------
    InputError
        If there are no sequences, or no candidates.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> choice = choose_rules(model, X, candidates=["gamma", "epsilon"])
    >>> choice.rules == max(choice.faithfulness, key=choice.faithfulness.get)
    True
    """
    if not len(X) or not candidates:
        raise InputError("choose_rules needs at least one sequence, and one candidate")
    rows = sample_rows(len(X))
    some, (theirs, extra) = X[rows], of_rows(rows, target, args)
    maps = {}
    for name in candidates:
        explainer = Explainer(model, name, pruning, batch_size=batch_size, diagnostics=False)
        maps[name] = explainer(some, theirs, args=extra).per_nucleotide
    asked = ask_about_windows(explainer, some, theirs, maps=list(maps.values()), args=extra)
    faithfulness = {name: float(asked.faithfulness(values).mean()) for name, values in maps.items()}
    return RuleChoice(max(faithfulness, key=lambda name: faithfulness[name]), faithfulness)
