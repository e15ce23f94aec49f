"""Starting from another model's weights: layers that fit are taken over, the rest stays as it was drawn."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from genoplrp.errors import InputError
from genoplrp.training.checkpoint import load_model
from genoplrp.training.model import TrainedModel


def take_over(network: nn.Module, source: TrainedModel | str | Path) -> list[str]:
    """Copy into ``network`` every tensor of the source that has the same name and shape; never ``output``'s.

    The last layer of a reference architecture ("output") belongs to the tasks, so it starts anew.

    Parameters
    ----------
    network
        Changed in place.
    source
        A trained model, or the path of its checkpoint.

    Returns
    -------
    list of str
        Names of the tensors that were taken over.

    Raises
    ------
    InputError
        If no weight fits.
    CheckpointError
        If the path is no checkpoint.

    Examples
    --------
    >>> from genoplrp.training import build_architecture
    >>> from genoplrp.training.kinds import Objective
    >>> first = build_architecture("koo", length=60, seed=0)
    >>> fit = TrainedModel(first, "koo", {}, ("a",), Objective(("binary",), (1.0,), (0.0,), (1.0,)), 60, 0)
    >>> take_over(build_architecture("koo", length=60, n_tasks=2, seed=1), fit)[:2]
    ['conv1.weight', 'conv1.bias']
    """
    fit = source if isinstance(source, TrainedModel) else load_model(source)
    found, own = fit.model.state_dict(), network.state_dict()
    fitting = [
        name
        for name, tensor in own.items()
        if name in found and found[name].shape == tensor.shape and not name.startswith("output.")
    ]
    if not any(own[name].ndim > 1 for name in fitting):
        raise InputError(
            f"start_from: no layer of the {fit.architecture} model has the name and shape of a layer of this network; "
            "choose the same architecture with the same parameters."
        )
    network.load_state_dict(own | {name: found[name] for name in fitting})
    return fitting
