"""The order of axes that a model takes: a user's sequences are (N, 4, L), whatever the model wants inside.

What a model wants is read off a Keras model's input, or tried: it is called on a few sequences in each order, up to its
first layer, whose own check of shapes decides. Not here: the order of a tensor's memory.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from genoplrp.errors import GenoplrpError, InputError
from genoplrp.relevance.tracing.calls import Args, Call
from genoplrp.relevance.tracing.guards import evaluation_mode

Layout = Literal["NCL", "NLC", "N1CL", "N1LC", "NC1L", "NCL1", "NLC1"]
LAYOUTS: dict[Layout, str] = {
    "NCL": "(N, 4, L)",
    "NLC": "(N, L, 4)",
    "N1CL": "(N, 1, 4, L)",
    "N1LC": "(N, 1, L, 4)",
    "NC1L": "(N, 4, 1, L)",
    "NCL1": "(N, 4, L, 1)",
    "NLC1": "(N, L, 4, 1)",
}
"""What a model may take, and how that reads: N sequences, C = 4 bases, L positions, 1 an axis of length 1."""

_TRIED = 7
"""Sequences a trial call is given: a length that no axis of a model is likely to have."""
_LAYERS = frozenset(
    """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear addmm baddbmm matmul __matmul__
    __rmatmul__ mm bmm einsum tensordot lstm gru rnn_tanh rnn_relu
    """.split()
)


class Adapted(nn.Module):
    """A model behind a door: it takes (N, 4, L) and hands the model what that takes.

    Parameters
    ----------
    model
        The model, which is not changed.
    layout
        A key of `LAYOUTS`.

    Attributes
    ----------
    model, layout
        As given.
    """

    def __init__(self, model: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.model = model
        self.layout = layout
        self.training = model.training

    def forward(self, x: Float[Tensor, "n 4 length"], *args: Tensor) -> Any:
        """Call the model on (N, 4, L) sequences and its further inputs."""
        if not is_keras_model(self.model):
            return self.model(arrange(x, self.layout), *args)
        with keras_device(x.device):
            return self.model(_keras_inputs(self.model, x, args, self.layout))


def adapt_model(
    model: nn.Module, layout: Layout | None = None, *, X: Float[Tensor, "n 4 length"] | None = None
) -> nn.Module:
    """Wrap a model so that it takes (N, 4, L); the given model is not changed.

    Functions that explain a model do this themselves; use it to pass a model to another package.

    Parameters
    ----------
    model
        Any `torch.nn.Module`, also a Keras model on the torch backend.
    layout
        What the model takes: ``"NCL"``, ``"NLC"`` (N, L, 4), ``"N1CL"`` (N, 1, 4, L), ``"N1LC"``, ``"NC1L"``,
        ``"NCL1"`` or ``"NLC1"`` (N, L, 4, 1). None to find out, which takes `X` unless it is a Keras model.
    X
        (N, 4, L): some sequences, of which the first is used.

    Returns
    -------
    torch.nn.Module
        The model itself if it takes (N, 4, L).

    Raises
    ------
    InputError
        If the layout is unknown, or several layouts fit.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Flatten(), nn.Linear(80, 1))  # takes (N, 10, 4)
    >>> adapt_model(model, "NLC")(torch.zeros(2, 4, 10)).shape
    torch.Size([2, 1])
    """
    if layout is not None and layout not in LAYOUTS:
        known = ", ".join(f"{name} {shape}" for name, shape in LAYOUTS.items())
        raise InputError(f"layout={layout!r}: choose one of {known}")
    if isinstance(model, Adapted):
        if layout in (None, model.layout):
            return model
        model = model.model
    keras = is_keras_model(model)
    if layout is None:
        layout = keras_layout(model) if keras else None
    if layout is None and X is not None and _can_be_tried(X):
        like = next((t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()), X)
        layout = recognised(model, X.to(like))
    if layout is None or (layout == "NCL" and not keras):
        return model
    return Adapted(model, layout)


def _can_be_tried(X: Tensor) -> bool:
    return X.dim() == 3 and X.shape[1] == 4 and len(X) > 0


def arrange(x: Float[Tensor, "n 4 length"], layout: Layout) -> Tensor:
    """Return (N, 4, L) sequences in the order of axes that a layout names; anything of other axes as it is."""
    if x.dim() != 3 or layout == "NCL":
        return x
    order = ["NCL".index(letter) for letter in layout if letter != "1"]
    x = x if order == [0, 1, 2] else x.permute(order)
    return x.unsqueeze(layout.index("1")) if "1" in layout else x


# -- finding out ---


def recognised(model: nn.Module, X: Float[Tensor, "n 4 length"], args: Sequence[Tensor] = ()) -> Layout:
    """Return the layout in which a model takes sequences; ``"NCL"`` where none fits, so that its own error is seen.

    Raises
    ------
    InputError
        If it takes other layouts than (N, 4, L), more than one of them, and gives something else for each.
    """
    x = X[:1].expand(_TRIED, -1, -1)
    rows = tuple(a[:1].expand(_TRIED, *a.shape[1:]) for a in args)
    with evaluation_mode(model), torch.no_grad():
        if _reaches_a_layer(model, x, rows):
            return "NCL"
        fits = [name for name in LAYOUTS if _reaches_a_layer(model, arrange(x, name), rows)]
        if len(fits) > 1:
            fits = _told_apart(model, fits, x, rows)
    if len(fits) > 1:
        choices = " or ".join(f"{name!r} {LAYOUTS[name]}" for name in fits)
        raise InputError(
            f"the model does not take (N, 4, L), but more than one other order of axes: say layout={choices} "
            "(--layout on the command line)"
        )
    return fits[0] if fits else "NCL"


def _told_apart(model: nn.Module, fits: list[Layout], x: Tensor, rows: tuple[Tensor, ...]) -> list[Layout]:
    """Return which of the layouts that the first layer takes, maybe by its last axis alone, the whole model takes."""
    outputs = {name: _output(model, arrange(x[:2], name), tuple(a[:2] for a in rows)) for name in fits}
    fits = [name for name in fits if outputs[name] is not None]
    same = len(fits) > 1 and _all_same([outputs[name] for name in fits])
    return fits[:1] if same else fits


def may_be_of_shape(error: Exception) -> bool:
    """Return whether an error of a model's forward pass may say that it takes another order of axes."""
    kinds = (RuntimeError, ValueError, TypeError, AssertionError, LookupError)
    return isinstance(error, kinds) and not isinstance(error, GenoplrpError)


class _Reached(BaseException):
    """The model's first layer took its input."""


class _UpToFirstLayer(TorchFunctionMode):
    """Stops a forward call at its first layer, which is asked about shapes alone, on the meta device."""

    def __torch_function__(
        self, func: Call, types: Any, args: Args = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _LAYERS and any(
            _TRIED in t.shape for t in _tensors((args, kwargs))
        ):
            func(*_on_meta(args), **_on_meta(kwargs))
            raise _Reached
        return func(*args, **kwargs)


def _reaches_a_layer(model: nn.Module, x: Tensor, args: tuple[Tensor, ...]) -> bool:
    try:
        with _UpToFirstLayer():
            model(x, *args)
    except _Reached:
        return True
    except Exception:  # whatever a model raises for a shape it does not take
        return False
    return True


def _output(model: nn.Module, x: Tensor, args: tuple[Tensor, ...]) -> list[Tensor] | None:
    try:
        return list(_tensors(model(x, *args)))
    except Exception:  # as above
        return None


def _all_same(outputs: list[list[Tensor] | None]) -> bool:
    flat = [
        None if out is None else [t.detach().reshape(len(t), -1) for t in out if t.dim()] for out in outputs
    ]
    first = flat[0]
    return first is not None and all(
        other is not None
        and len(other) == len(first)
        and all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(first, other, strict=True))
        for other in flat[1:]
    )


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [t for inner in value for t in _tensors(inner)]
    return []


def _on_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("meta")
    if type(value) in (list, tuple):
        return type(value)(_on_meta(v) for v in value)
    if isinstance(value, dict):
        return {k: _on_meta(v) for k, v in value.items()}
    return value


# -- Keras on the torch backend ---


def is_keras_model(model: object) -> bool:
    """Return whether a model is a ``keras.Model``; Keras is not imported for it."""
    keras = sys.modules.get("keras")
    return keras is not None and hasattr(keras, "Model") and isinstance(model, keras.Model)


def keras_device(device: torch.device) -> AbstractContextManager[Any]:
    """Let Keras compute where the input is, in this thread and block: it has a default device of its own."""
    keras: Any = sys.modules["keras"]
    scope: AbstractContextManager[Any] = keras.device(str(device)) if device.type != "meta" else nullcontext()
    return scope


def keras_objects(model: Any) -> AbstractContextManager[Any]:
    """Let Keras find a model's own classes and functions in this block: it copies a model from its configuration."""
    keras: Any = sys.modules["keras"]
    known: dict[str, Any] = {}
    for layer in model._flatten_layers():
        functions = [v for v in vars(layer).values() if callable(v) and hasattr(v, "__name__")]
        known |= {named.__name__: named for named in (type(layer), *functions)}
    scope: AbstractContextManager[Any] = keras.saving.custom_object_scope(known)
    return scope


def keras_layout(model: Any) -> Layout | None:
    """Return the layout of a Keras model's sequences, None where its inputs do not say it.

    Raises
    ------
    InputError
        If an input's shape reads in two ways.
    """
    shapes = [tuple(t.shape) for t in getattr(model, "inputs", None) or ()]
    found = [layout for layout in map(shape_layout, shapes) if layout is not None]
    return found[0] if found else None


def shape_layout(shape: Sequence[int | None]) -> Layout | None:
    """Return the layout that an input shape says, e.g. (None, 1000, 4); None for one that is not of DNA.

    Raises
    ------
    InputError
        If it reads in two ways.
    """
    fits = []
    for layout in LAYOUTS:
        sizes = {"C": (4,), "1": (1,)}
        if len(layout) == len(shape) and all(
            size in sizes[letter] if letter in sizes else letter == "N" or size != 1
            for letter, size in zip(layout, shape, strict=True)
        ):
            fits.append(layout)
    if len(fits) > 1:
        choices = " or ".join(f"{name!r} {LAYOUTS[name]}" for name in fits)
        raise InputError(
            f"the model's input {tuple(shape)} reads in two ways: say layout={choices} (--layout on the command line)"
        )
    return fits[0] if fits else None


def sequence_length(shape: Sequence[int | None], layout: Layout | None = None) -> int | None:
    """Return the length of the sequences of an input shape in bp, None where it is open or not of DNA."""
    layout = shape_layout(shape) if layout is None else layout
    return None if layout is None or len(layout) != len(shape) else shape[layout.index("L")]


def module_names(model: nn.Module) -> dict[nn.Module, str]:
    """Return module -> path, of the model behind a door; the layers of a Keras model by their names there."""
    inner = model.model if isinstance(model, Adapted) else model
    names = {module: path for path, module in inner.named_modules()}
    for module, path in list(names.items()):
        if is_keras_model(module):
            names |= _keras_names(module, f"{path}." if path else "")
    return names


def _keras_names(model: Any, prefix: str) -> dict[nn.Module, str]:
    names: dict[nn.Module, str] = {}
    for layer in getattr(model, "layers", None) or ():
        names[layer] = f"{prefix}{layer.name}"
        names |= _keras_names(layer, f"{prefix}{layer.name}.")
    return names


def _keras_inputs(model: Any, x: Tensor, args: Sequence[Tensor], layout: Layout) -> Any:
    """Return what a Keras model is called with: its inputs in its own order, the sequences at their place."""
    inputs = list(getattr(model, "inputs", None) or ())
    if len(inputs) < 2:
        return arrange(x, layout)
    if len(args) != len(inputs) - 1:
        given = ", ".join(f"{t.name} {tuple(t.shape)}" for t in inputs)
        raise InputError(
            f"the model takes {len(inputs)} inputs ({given}), and got {1 + len(args)}: the first of DNA is explained, "
            "pass the others as args=[...] in this order"
        )
    kinds = [shape_layout(tuple(t.shape)) for t in inputs]
    place = next((i for i, kind in enumerate(kinds) if kind is not None), 0)
    rest = iter(args)
    given_inputs = []
    for i, kind in enumerate(kinds):
        value = x if i == place else next(rest)
        as_given = kind is None or value.dim() != 3 or value.shape[1] != 4
        given_inputs.append(
            arrange(value, layout if i == place else "NCL" if as_given or kind is None else kind)
        )
    return given_inputs
