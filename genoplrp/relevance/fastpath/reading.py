"""Reading a model: its forward runs on stand-ins without values, and what it does with them is written down.

The reading is done anew for each batch, so the model's own Python decides every time. It ends with `NotAChain` where
the answer could depend on a value, or where anything is done that is not one of the few operations known here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from genoplrp.relevance import devices
from genoplrp.relevance.fastpath.nodes import LayerCall, Node, NormCall, Slot, filled
from genoplrp.relevance.propagation.linear_maps import Convolution, Dense, convolution_map, per_dimension
from genoplrp.relevance.tracing import operations  # noqa: F401  (operations: registers the handlers)
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, tensors_in, told_in_place
from genoplrp.relevance.tracing.names import function_name
from genoplrp.relevance.tracing.operations.linear import identify
from genoplrp.relevance.tracing.operations.neutral import DROPOUT_ON
from genoplrp.relevance.tracing.registry import HANDLERS
from genoplrp.relevance.tracing.tracer import Tracer, explanation_depth

SHAPE_QUERIES = frozenset(
    "size dim ndim shape dtype device layout numel nelement is_floating_point is_complex element_size get_device "
    "is_cuda is_cpu __len__ len itemsize nbytes".split()
)
VIEWS = frozenset("flatten reshape view squeeze unsqueeze".split())
NEUTRAL = VIEWS | frozenset(
    "avg_pool1d adaptive_avg_pool1d adaptive_max_pool1d max_pool1d mean cat concat concatenate getitem".split()
)

HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
_OWN_HOOKS = tuple(f"_{kind}" for kind in HOOKS)


class NotAChain(BaseException):
    """The model does something that is not read here. No `Exception`: a model's own code must not catch it."""


@dataclass(eq=False)
class Reader(TorchFunctionMode):
    """One reading. After it, ``nodes`` holds the operations in their order.

    Parameters
    ----------
    tracer
        Names the layers, counts operations and collects notes; is not entered.
    constants
        Identities of the model's parameters and buffers: all that layers may be made of.
    dtype
        Of input and parameters.
    """

    tracer: Tracer
    constants: frozenset[int]
    dtype: torch.dtype
    nodes: list[Node] = field(default_factory=list)
    declined: str = ""
    _symbols: dict[int, tuple[Tensor, int]] = field(default_factory=dict)
    _viewed: set[int] = field(default_factory=set)
    _depth: int = 0
    _nothing: Tensor = field(init=False)

    def __post_init__(self) -> None:
        super().__init__()
        self._nothing = torch.full((), torch.nan, dtype=self.dtype)
        self._depth = explanation_depth()

    # -- what the explainer calls ---------------------------------------------------------------------------------

    def stand_in(self, node: Node) -> Tensor:
        """Return a tensor of the node's shape that holds nothing but NaN, in one number's memory."""
        number = len(self.nodes)
        self.nodes.append(node)
        out = self._nothing.expand(node.shape)
        self._symbols[id(out)] = (out, number)
        return out

    def structure(self, y: Any) -> Any:
        """Return the model's output with each stand-in replaced by the number of its node.

        Raises
        ------
        NotAChain
            If there is anything else in it.
        """
        if isinstance(y, Tensor) and id(y) in self._symbols:
            return self._symbols[id(y)][1]
        if type(y) in (tuple, list):
            return type(y)(self.structure(v) for v in y)
        raise self.decline("the output is not made of tensors that were followed")

    def is_kept(self) -> bool:
        """Return whether someone else still holds a stand-in: the model stored it."""
        # The tuple, the loop's variable and getrefcount's argument.
        return any(sys.getrefcount(entry[0]) > 2 for entry in self._symbols.values())

    def decline(self, why: str) -> NotAChain:
        """Return the exception to raise, and remember why in case the model catches it all the same."""
        self.declined = self.declined or why
        return NotAChain(why)

    # -- the mode -------------------------------------------------------------------------------------------------

    def __torch_function__(
        self, func: Call, types: Any, args: Args = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Write down a call on stand-ins; run all others as they are."""
        kwargs = kwargs or {}
        if self._depth != explanation_depth():
            return func(*args, **kwargs)
        symbols = [t for t in tensors_in(args, kwargs) if id(t) in self._symbols]
        if not symbols:
            with torch.no_grad():
                return func(*args, **kwargs)
        name, in_place = function_name(func)
        if name in SHAPE_QUERIES and not in_place:
            with torch.no_grad():
                return func(*args, **kwargs)
        in_place = in_place or told_in_place(name, args, kwargs)
        result = self._reading_of(name, func, args, kwargs, in_place)(self, func, args, kwargs)
        if in_place and result is not args[0]:
            # From now on the old tensor stands for the new value.
            self._symbols[id(args[0])] = (args[0], self._symbols.pop(id(result))[1])
            return args[0]
        return result

    def _reading_of(self, name: str, func: Call, args: Args, kwargs: Kwargs, in_place: bool) -> Reading:
        """Return how a call is read; decline those that are not."""
        if torch._C._functorch.peek_interpreter_stack() is not None:
            raise self.decline("a transform of torch.func")
        if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
            self.tracer.note("autocast is switched off for the explanation")
        if kwargs.get("out") is not None or isinstance(
            func, torch._ops.OpOverload | torch._ops.OpOverloadPacket
        ):
            raise self.decline(f"{name} with out= or from torch.ops")
        reading = READINGS.get(name)
        if self.tracer.handlers.get(name) is not _BUILT_IN.get(name):
            raise self.decline(f"{name}, which is handled in the user's own way")
        if reading is None or (in_place and name not in ("relu", "add")):
            raise self.decline(name)
        if in_place and (id(args[0]) in self._viewed or self.node_of(args[0]).kind == "input"):
            raise self.decline(f"{name} in place on a view")
        return reading

    # -- what readings use ----------------------------------------------------------------------------------------

    def number(self, value: object) -> int:
        """Return the node of a stand-in; decline anything else."""
        if not isinstance(value, Tensor) or id(value) not in self._symbols:
            raise self.decline("an operand that was not followed")
        return self._symbols[id(value)][1]

    def node_of(self, value: object) -> Node:
        """Return the node itself."""
        return self.nodes[self.number(value)]

    def operand(self, value: object) -> int:
        """Return the number of a node that an operation other than a layer may take: not the model's input."""
        if self.node_of(value).kind in ("input", "gate"):
            raise self.decline("an operation on the model's input, or behind a sigmoid or softmax")
        return self.number(value)

    def constant(self, value: Any) -> Tensor | None:
        """Return a parameter or buffer of the model; decline a tensor that is neither."""
        if value is None:
            return None
        if id(value) not in self.constants or value.dtype != self.dtype or value.layout != torch.strided:
            raise self.decline("a weight that is not a parameter of the model")
        plain: Tensor = value.detach()
        return plain


Reading = Callable[[Reader, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Tensor]
READINGS: dict[str, Reading] = {}
_BUILT_IN = dict(HANDLERS)


def _reads(*names: str) -> Callable[[Reading], Reading]:
    def register(reading: Reading) -> Reading:
        for name in names:
            READINGS[name] = reading
        return reading

    return register


def _bind(args: Args, kwargs: Kwargs, names: str) -> dict[str, Any]:
    return dict(zip(names.split(), args, strict=False)) | kwargs


@_reads("conv1d")
def _convolution(reader: Reader, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    call = _bind(args, kwargs, "input weight bias stride padding dilation groups")
    x = reader.node_of(call["input"])
    if len(x.shape) != 3 or call.get("groups", 1) != 1:
        raise reader.decline("a convolution in groups or of unbatched sequences")
    described = convolution_map(
        call["weight"], call.get("stride", 1), call.get("padding", 0), call.get("dilation", 1), 1
    )
    excess = described.excess[0] if described.excess else 0
    reach = described.dilation[0] * (call["weight"].shape[2] - 1)
    free = x.shape[2] + 2 * described.padding[0] + excess - reach - 1
    if free < 0 or call["weight"].shape[1] != x.shape[1]:
        raise reader.decline("shapes that do not fit")
    shape = (x.shape[0], call["weight"].shape[0], free // described.stride[0] + 1)
    return _layer(reader, described, call, shape, "conv1d")


@_reads("linear")
def _linear(reader: Reader, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    call = _bind(args, kwargs, "input weight bias")
    x = reader.node_of(call["input"])
    if len(x.shape) != 2 or call["weight"].dim() != 2 or call["weight"].shape[1] != x.shape[1]:
        raise reader.decline("a linear map of more than two axes")
    return _layer(reader, Dense(), call, (x.shape[0], call["weight"].shape[0]), "linear")


def _layer(
    reader: Reader,
    described: Convolution | Dense,
    call: dict[str, Any],
    shape: tuple[int, ...],
    fallback: str,
) -> Tensor:
    tracer = reader.tracer
    weight, bias = reader.constant(call["weight"]), reader.constant(call.get("bias"))
    assert weight is not None
    kind = reader.node_of(call["input"]).kind
    if kind == "gate":
        raise reader.decline("a layer behind a sigmoid or softmax")
    identity = identify(tracer, described, call["weight"], is_input=kind == "input", fallback=fallback)
    if identity.rule.direct and identity.place != "input":
        raise reader.decline("a rule that serves the input layer only")
    about = LayerCall(identity, described, weight, bias)
    return reader.stand_in(Node("layer", (reader.number(call["input"]),), shape, about))


@_reads("batch_norm")
def _batch_norm(reader: Reader, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    call = _bind(args, kwargs, "input running_mean running_var weight bias training momentum eps")
    x = reader.node_of(call["input"])
    mean, variance = reader.constant(call.get("running_mean")), reader.constant(call.get("running_var"))
    if mean is None or variance is None or call.get("training"):
        raise reader.decline("batch_norm on the statistics of the batch")
    if x.kind != "layer":
        raise reader.decline("batch_norm that merges into no layer")
    reader.tracer.count("ruled", "batch_norm")
    weight, bias = reader.constant(call.get("weight")), reader.constant(call.get("bias"))
    about = NormCall(mean, variance, weight, bias, float(call.get("eps", 1e-5)))
    return reader.stand_in(Node("norm", (reader.operand(call["input"]),), x.shape, about))


@_reads("relu")
def _relu(reader: Reader, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    x = args[0] if args else kwargs["input"]
    number = reader.operand(x)
    reader.tracer.count("neutral", func.__name__)
    return reader.stand_in(Node("relu", (number,), reader.nodes[number].shape))


@_reads("add")
def _add(reader: Reader, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    call = _bind(args, kwargs, "input other")
    if call.get("alpha", 1) != 1 or set(call) - {"input", "other", "alpha"}:
        raise reader.decline("a weighted sum")
    a, b = reader.operand(call["input"]), reader.operand(call["other"])
    if reader.nodes[a].shape != reader.nodes[b].shape:
        raise reader.decline("a sum that broadcasts")
    reader.tracer.count("neutral", "add")
    return reader.stand_in(Node("add", (a, b), reader.nodes[a].shape))


@_reads("dropout", "dropout1d", "feature_dropout", "alpha_dropout")
def _dropout(reader: Reader, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    if kwargs.get("training", args[2] if len(args) > 2 else True):
        reader.tracer.note(DROPOUT_ON)
    reader.tracer.count("neutral", "dropout")
    return args[0]  # type: ignore[no-any-return]


@_reads("sigmoid", "softmax", "log_softmax")
def _gate(reader: Reader, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    x = args[0] if args else kwargs["input"]
    number = reader.operand(x)
    reader.tracer.count("ruled", func.__name__.rstrip("_"))
    return reader.stand_in(Node("gate", (number,), reader.nodes[number].shape))


@_reads(*NEUTRAL)
def _neutral(reader: Reader, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Read an operation whose gradient is its rule; its own function runs, and autograd on it alone."""
    name = function_name(func)[0]
    if name == "getitem" and not _is_basic(args[1]):
        raise reader.decline("an index that is not made of numbers and slices")
    inputs: list[int] = []
    template = _with_slots(reader, (args, kwargs), inputs)
    node = _own_step(name, args, kwargs, inputs, reader) or _by_torch(name, func, template, inputs, reader)
    reader.tracer.count("neutral", getattr(func, "__name__", name))
    out = reader.stand_in(node)
    if name in VIEWS or name == "getitem":
        reader._viewed.update((id(args[0]), id(out)))
    return out


def _by_torch(name: str, func: Call, template: Any, inputs: list[int], reader: Reader) -> Node:
    """Return the node of an operation that torch does, its shape by a run without memory."""
    shapes = [reader.nodes[i].shape for i in inputs]
    if name == "flatten" and template in (((Slot(0), 1), {}), ((Slot(0), 1, -1), {})):
        shape = (shapes[0][0], math.prod(shapes[0][1:]))  # the first run without memory costs half a second
        return Node("neutral", tuple(inputs), shape, (func, template))
    meta = filled(template, [torch.empty(s, dtype=reader.dtype, device="meta") for s in shapes])
    try:
        with torch.no_grad():
            result = func(*meta[0], **meta[1])
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise reader.decline(f"{name}: {error}") from None
    if not isinstance(result, Tensor) or result.dim() == 0 or result.shape[0] != reader.nodes[0].shape[0]:
        raise reader.decline(f"{name} that moves the batch off its first axis")
    return Node("neutral", tuple(inputs), tuple(result.shape), (func, template))


def _own_step(name: str, args: Args, kwargs: Kwargs, inputs: list[int], reader: Reader) -> Node | None:
    """Return the node of an operation that has a step of its own, or None."""
    shape = reader.nodes[inputs[0]].shape
    if name == "mean" and _is_mean_of_positions(args, kwargs, shape):
        return Node("mean", tuple(inputs), shape[:2])
    width = _width_of_pool(args, kwargs, shape) if name == "max_pool1d" else None
    if width is not None:
        return Node("pool", tuple(inputs), (*shape[:2], shape[2] // width), width)
    return None


def _is_mean_of_positions(args: Args, kwargs: Kwargs, shape: tuple[int, ...]) -> bool:
    call = _bind(args, kwargs, "input dim keepdim dtype")
    axes = call.get("dim", call.get("axis"))
    axes = axes[0] if isinstance(axes, list | tuple) and len(axes) == 1 else axes
    plain = not call.get("keepdim") and call.get("dtype") is None and len(call) <= 3
    return len(shape) == 3 and axes in (2, -1) and plain


def _width_of_pool(args: Args, kwargs: Kwargs, shape: tuple[int, ...]) -> int | None:
    """Return the width of windows that lie side by side; None for any other pooling."""
    call = _bind(args, kwargs, "input kernel_size stride padding dilation ceil_mode return_indices")
    width = per_dimension(call["kernel_size"], 1)[0]
    stride = per_dimension(call.get("stride") or width, 1)[0]
    padding = per_dimension(call.get("padding", 0), 1)[0]
    dilation = per_dimension(call.get("dilation", 1), 1)[0]
    plain = not (padding or call.get("ceil_mode") or call.get("return_indices")) and dilation == 1
    return width if plain and len(shape) == 3 and stride == width < 256 and width <= shape[2] else None


def _is_basic(index: object) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(isinstance(p, int | slice | type(None) | type(...)) and not isinstance(p, bool) for p in parts)


def _with_slots(reader: Reader, value: Any, inputs: list[int]) -> Any:
    if isinstance(value, Tensor):
        inputs.append(reader.operand(value))
        return Slot(len(inputs) - 1)
    if type(value) in (tuple, list):
        return type(value)(_with_slots(reader, v, inputs) for v in value)
    if type(value) is dict:
        return {k: _with_slots(reader, v, inputs) for k, v in value.items()}
    if isinstance(value, slice) and any(isinstance(v, Tensor) for v in (value.start, value.stop, value.step)):
        raise reader.decline("a slice by a tensor")
    return value


def readable_constants(model: nn.Module) -> frozenset[int] | None:
    """Return the identities of a model's parameters and buffers; None where its modules speak against a reading.

    Hooks do: what they see and do with it is the user's, and a stand-in is nothing to be seen.
    """
    if any(getattr(torch.nn.modules.module, f"_global_{kind}") for kind in HOOKS):
        return None
    constants = []
    for module in model.modules():
        state = module.__dict__
        if module.training or any(state.get(kind) for kind in _OWN_HOOKS):
            return None
        for tensor in (*state["_parameters"].values(), *state["_buffers"].values()):
            if tensor is None:
                continue
            if type(tensor) not in (nn.Parameter, Tensor) or tensor.device.type not in devices.HAND_DRIVEN:
                return None
            constants.append(id(tensor))
    return frozenset(constants)
