"""Whether an explanation depends on what the network learnt: layers are re-initialised, or labels drawn by lot.

A method whose maps survive that shows the input, not the model or the task.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import pad
from genoplrp.evaluation.maps import Arrays, check_maps
from genoplrp.evaluation.robustness import agreement

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from genoplrp.synthetic import Dataset
    from genoplrp.training import TrainedModel


def randomise_cascading(model: nn.Module, *, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Re-initialise a copy of a network layer by layer, starting at the output, and hand it out after each step.

    Parameters
    ----------
    model : torch.nn.Module
        The network, which is not touched.
    seed : int
        Seed of the new parameters; the global random state is left as it was.

    Yields
    ------
    tuple of str and torch.nn.Module
        Name of the layer that was re-initialised last, and an independent copy of the network, which has lost that
        layer and all behind it. Layers come in reverse order of registration; those that have no parameters of
        their own, or no ``reset_parameters``, are passed over.

    Raises
    ------
    InputError
        If no layer can be re-initialised.

    References
    ----------
    Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018 (cascading randomisation).

    Examples
    --------
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv1d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1))
    >>> [name for name, _ in randomise_cascading(net)]
    ['3', '0']
    """
    import torch

    layers = [
        name
        for name, module in model.named_modules()
        if hasattr(module, "reset_parameters") and any(True for _ in module.parameters(recurse=False))
    ]
    if not layers:
        raise InputError(
            f"{type(model).__name__} has no layer with reset_parameters(); nothing can be randomised"
        )
    current = copy.deepcopy(model)
    for step, name in enumerate(reversed(layers)):
        layer: Any = current.get_submodule(name)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed * 1000 + step)
            layer.reset_parameters()
        yield name, copy.deepcopy(current)


def score_sanity(
    explain: Callable[[nn.Module, np.ndarray], Arrays],
    model: nn.Module,
    X: Float[np.ndarray, "n 4 length"],
    *,
    seed: int = 0,
    maps: Arrays | None = None,
    lengths: Arrays | None = None,
) -> pd.DataFrame:
    """Compare the maps of a trained network with those of the same network, its layers randomised one after another.

    Parameters
    ----------
    explain : callable
        From a network and (n, 4, L) to maps (n, L).
    model : torch.nn.Module
        The trained network.
    X : array, shape (N, 4, L)
        One-hot sequences.
    seed : int
        Seed of the new parameters.
    maps : array, shape (N, L), optional
        The maps of the trained network, if they are known already.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    pandas.DataFrame
        One row per step and sequence: ``layers`` (how many are random), ``layer`` (the last of them), ``sequence``,
        and ``cosine``, ``spearman``, ``top_k`` of `genoplrp.evaluation.agreement`: near their chance level for a
        method that depends on the network. The absolute maps are compared, since a random output has a random sign.

    Raises
    ------
    InputError
        If no layer can be randomised, or the maps do not fit the sequences.

    References
    ----------
    Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018.

    Examples
    --------
    >>> from torch import nn
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2, 3]]].transpose(0, 2, 1)
    >>> net = nn.Sequential(nn.Conv1d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1))
    >>> score_sanity(lambda m, x: x[:, 0], net, X)["cosine"].tolist()
    [1.0, 1.0]
    """
    import pandas as pd

    original = np.abs(check_maps(explain(model, X) if maps is None else maps))
    tables = []
    for step, (name, randomised) in enumerate(randomise_cascading(model, seed=seed), start=1):
        table = agreement(original, np.abs(check_maps(explain(randomised, X))), lengths=lengths).reset_index()
        table.insert(0, "layers", step)
        table.insert(1, "layer", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def train_on_random_labels(
    data: Dataset, architecture: str = "koo", seed: int = 0, *, n: int = 4000, epochs: int = 20
) -> TrainedModel:
    """Train a network on the same sequences with their labels permuted: it has nothing to learn but the noise.

    Compare its maps with those of the network that was trained on the truth (`genoplrp.evaluation.agreement`): a
    method that explains what was learnt gives other maps.

    Parameters
    ----------
    data : Dataset
        With a training part.
    architecture : str
        Reference architecture.
    seed : int
        Seed of the permutation and of the training.
    n : int
        At most this many training sequences, the first of them; fewer are memorised sooner.
    epochs : int
        Epochs of training. It stops for nothing, and is validated on its own training sequences.

    Returns
    -------
    TrainedModel
        Its ``metrics["valid"]`` say how far it has memorised.

    Raises
    ------
    InputError
        If there are no training sequences.

    References
    ----------
    Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018, section 4 (data randomisation); Zhang et al.,
    *Understanding deep learning requires rethinking generalization*, ICLR 2017 (networks memorise random labels).

    Examples
    --------
    >>> import genoplrp as gp
    >>> train_on_random_labels(gp.simulate("koo2021", n=100), n=50, epochs=1).length
    200
    """
    from genoplrp.training import train

    rows = np.flatnonzero(np.asarray(data.split) == "train")[:n]
    if len(rows) == 0:
        raise InputError("the data set has no training part to permute the labels of")
    order = np.random.default_rng(seed).permutation(len(rows))
    X, y = pad(data.subset(rows).one_hot(), data.length), np.asarray(data.labels)[rows][order]
    split = np.repeat(["train", "valid"], len(rows))
    return train(
        (np.concatenate([X, X]), np.concatenate([y, y])),
        architecture,
        seed,
        tasks=list(data.tasks),
        split=split,
        epochs=epochs,
        patience=0,
        bootstrap=0,
        progress=False,
    )
