"""How sparse relevance is inside the network: the Gini index and the zeros at the input of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import check_lengths
from genoplrp.evaluation.maps import Arrays, as_array
from genoplrp.evaluation.sparsity import gini, zero_fraction

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from genoplrp.relevance.presets import Rules


def layer_sparsity(
    model: nn.Module,
    X: Arrays,
    target: int = 0,
    *,
    p: Sequence[float] = (0.0, 0.05, 0.15, 0.25),
    method: str = "lambda",
    rules: Rules = "gamma",
    batch_size: int = 64,
    lengths: Arrays | None = None,
) -> pd.DataFrame:
    """Measure how sparse the relevance at the input of each convolution and linear layer is, pruned or not.

    Parameters
    ----------
    model : torch.nn.Module
        From (n, 4, L) to (n, T).
    X : array or tensor, shape (N, 4, L)
        One-hot sequences.
    target : int
        The output to explain.
    p : sequence of float
        Shares to prune; 0 is plain LRP.
    method : {"lambda", "M"}
        How the pruned mass goes back.
    rules
        As in `genoplrp.Explainer`.
    batch_size : int
        Sequences at a time.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left (`Dataset.lengths`); what follows is padding and is cut off: each
        sequence counts as it does alone, so the model must take sequences of any of these lengths. By default all L.

    Returns
    -------
    pandas.DataFrame
        One row per value of p and layer, in the order of the forward pass: ``p``, ``layer``, ``entries`` (of the
        longest sequence), and means over sequences of ``gini`` (of the absolute relevance of all entries, 0 to 1) and
        ``zero_fraction``.

    Raises
    ------
    InputError
        If there is no p, the lengths do not fit, or the model or a setting cannot be used.

    References
    ----------
    Yanez Sarmiento et al., ECML PKDD 2024 (sparsity of intermediate layers); Hurley and Rickard, IEEE Trans. Inf.
    Theory 55 (2009), for the Gini index.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv1d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1))
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2, 3]]].transpose(0, 2, 1)
    >>> layer_sparsity(net, X, p=[0, 0.2])["layer"].tolist()
    ['0', '3', '0', '3']
    """
    import pandas as pd
    import torch

    from genoplrp.relevance import Explainer, Pruning
    from genoplrp.sequence import check_one_hot

    if not len(p):
        raise InputError("p=[]: give at least one share to prune")
    one_hot = as_array(X, "X")
    check_one_hot(one_hot)
    sizes = check_lengths(lengths, (len(one_hot), one_hot.shape[2]))
    sizes = np.full(len(one_hot), one_hot.shape[2]) if sizes is None else sizes
    base = Pruning(p=0.0, method=method)  # type: ignore[arg-type]
    explainer = Explainer(
        model, rules, base, batch_size=batch_size, diagnostics=False, keep_intermediate=True
    )
    parts = []
    for size in np.unique(sizes):
        for share, e in explainer.sweep(torch.as_tensor(one_hot[sizes == size, :, :size]), target, list(p)):
            for layer, relevance in e.intermediate.items():
                flat = relevance.reshape(len(relevance), -1).double().numpy()
                scores = {"gini": gini(flat), "zero_fraction": zero_fraction(flat)}
                parts.append(pd.DataFrame({"p": share, "layer": layer, "entries": flat.shape[1]} | scores))
    # In the order of p and of the layers, which is that of the first part.
    by_layer = pd.concat(parts).groupby(["p", "layer"], sort=False)
    return by_layer.agg({"entries": "max", "gini": "mean", "zero_fraction": "mean"}).reset_index()
