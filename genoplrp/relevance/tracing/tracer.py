"""The forward half: runs the user's own model and sees every torch function it calls, functional or module.

A `torch.overrides.TorchFunctionMode` hands each call to the handler that is registered for it (package
`operations`). What has no handler and touches relevance is refused. The user's model is not modified: parameters enter
detached, in-place operations on traced tensors are done on new ones.
Not here: what an operation's rule is.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from genoplrp.errors import InputError, UnsupportedOperationError
from genoplrp.relevance.presets import RuleBook
from genoplrp.relevance.propagation.backward import Run, ShadowTap, Tap
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, tensors_in, told_in_place, with_tensors
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.names import (
    QUERIES,
    READINGS,
    function_name,
    qualified_name,
)
from genoplrp.relevance.tracing.registry import FROM_OUTSIDE, HANDLERS, NEUTRAL, Handler

LOGIT = "the model ends in a sigmoid or softmax: its input (the logit) is explained"
"""The note of an explanation of logits."""

_MARKS = "_genoplrp_marks"


class _Depth(threading.local):
    value = 0


_depth = _Depth()


def explanation_depth() -> int:
    """Return how many explanations are under way around each other in this thread."""
    return _depth.value


@contextmanager
def one_explanation() -> Iterator[None]:
    """Set what is computed in the block apart from an explanation under way around it.

    A model's forward, a hook or a target function may explain something itself: the outer trace does not see it.
    """
    _depth.value += 1
    try:
        yield
    finally:
        _depth.value -= 1


@dataclass(eq=False)
class Tracer(TorchFunctionMode):
    """One traced forward call.

    Parameters
    ----------
    run
        Shared with the backward half.
    rules
        Which rule for which layer.
    names
        Module -> path, for messages and layer names.
    parameters
        Parameter -> path.
    in_target
        True while the target function runs: what it detaches is a constant there (in the model it is not: a part
        that training left alone still makes the output).
    handlers
        Name of a torch function -> what to do.
    """

    run: Run
    rules: RuleBook
    names: Mapping[nn.Module, str]
    parameters: Mapping[int, str]
    in_target: bool = False
    handlers: Mapping[str, Handler] = field(default_factory=lambda: HANDLERS)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=lambda: {"ruled": {}, "neutral": {}})
    _moved: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _stale: set[int] = field(default_factory=set)
    _nodes: dict[int, Any] = field(default_factory=dict)
    _leaves: set[int] = field(default_factory=set)
    _used_names: dict[str, int] = field(default_factory=dict)
    _depth: int = field(default_factory=lambda: _depth.value)

    def __post_init__(self) -> None:
        super().__init__()

    # -- what other backpropagated explanations do in another way ------------------------------------------------

    def at_layer(self, layer: Any) -> Any:
        """Return the linear layer as relevance is to see it."""
        return layer

    # -- what handlers use ----------------------------------------------------------------------------------------

    def leaf(self, x: Tensor, *, is_input: bool, shadow: Tensor | None = None) -> Tensor:
        """Register a tensor whose relevance is asked for."""
        self._leaves.add(id(x))
        self.mark(x, Marks(is_input=is_input, shadow=shadow))
        return x

    def is_traced(self, value: object) -> bool:
        """True for a tensor that depends on an input whose relevance is asked for."""
        return (
            isinstance(value, Tensor)
            and value.requires_grad
            and (not value.is_leaf or id(value) in self._leaves)
        )

    def mark(self, tensor: Tensor, marks: Marks) -> None:
        """Remember something about a tensor of this trace, for as long as it lives."""
        setattr(tensor, _MARKS, marks)

    def marks_of(self, tensor: object) -> Marks:
        """Return what is known of a tensor."""
        marks: Marks | None = getattr(tensor, _MARKS, None)
        return Marks() if marks is None else marks

    def where(self) -> str:
        """Return the path of the module whose code is running (``""`` for the model itself)."""
        frame = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            if code.co_argcount and code.co_varnames[0] == "self":
                owner = frame.f_locals.get("self")
                if isinstance(owner, nn.Module):
                    path = self.names.get(owner)
                    if path is not None:
                        return path
            frame = frame.f_back  # type: ignore[assignment]
        return ""

    def name_layer(self, weight: object, fallback: str) -> str:
        """Return the name of the layer that is being called: its module's path, numbered when it comes again."""
        path = self.where()
        if not path:
            parameter = self.parameters.get(id(weight), "")
            path = parameter.removesuffix("weight").rstrip("._") or fallback
        seen = self._used_names[path] = self._used_names.get(path, 0) + 1
        return path if seen == 1 else f"{path}#{seen}"

    def watch(self, name: str, inputs: list[Tensor], output: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """Run an operation that may absorb relevance, and record what goes in and out in the ledger."""
        if self.run.ledger is None:
            return output(inputs)
        path = self.where()
        key = self.run.ledger.open_operation(f"{path}: {name}" if path else name)
        result = output([Tap.apply(x, self.run, key, -1.0, self.marks_of(x).batch_axis) for x in inputs])
        tapped: Tensor = Tap.apply(result, self.run, key, 1.0, None)
        return tapped

    def watch_shadows(
        self, name: str, shadows: list[Tensor], output: Callable[[list[Tensor]], Tensor]
    ) -> Tensor:
        """Do the same for shadows, whose gradient is relevance."""
        if self.run.ledger is None:
            return output(shadows)
        key = self.run.ledger.open_operation(name)
        result = output([ShadowTap.apply(x, self.run, key, -1.0) for x in shadows])
        tapped: Tensor = ShadowTap.apply(result, self.run, key, 1.0)
        return tapped

    def note(self, text: str) -> None:
        """Say something about the explanation, once."""
        if text not in self.notes:
            self.notes.append(text)

    def count(self, kind: str, name: str) -> None:
        """Count an operation as ruled or neutral."""
        counts = self.counts[kind]
        counts[name] = counts.get(name, 0) + 1

    def refuse(self, name: str, why: str = "", remedy: str = "") -> UnsupportedOperationError:
        """Return the error for an operation without a rule."""
        path = self.where()
        place = f"in module {path!r}" if path else "in the model's own forward"
        remedy = remedy or (
            "register a handler for it (genoplrp.relevance.register_operation), or explain a part of the model "
            "without it"
        )
        return UnsupportedOperationError(
            f"{name} ({place}) has no relevance rule{': ' + why if why else ''}. Its gradient would pass for "
            f"relevance silently, so nothing was computed; {remedy}"
        )

    def known(self, tensor: Tensor) -> bool:
        """True where the tensor's graph node was made by an operation this tracer saw."""
        return tensor.grad_fn is None or id(tensor.grad_fn) in self._nodes

    # -- the mode itself ------------------------------------------------------------------------------------------

    def __torch_function__(
        self, func: Call, types: Any, args: Args = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Send a call to its handler; calls that touch no relevance run as they are."""
        kwargs = kwargs or {}
        if self._depth != _depth.value:
            return func(*args, **kwargs)
        if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
            self.note("autocast is switched off for the explanation")
            with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                return self._send(func, args, kwargs)
        return self._send(func, args, kwargs)

    def _send(self, func: Call, args: Args, kwargs: Kwargs) -> Any:
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return self._mapped(func, args, kwargs)
        if self._moved:
            args, kwargs = self.latest(args), self.latest(kwargs)
        traced = [t for t in tensors_in(args, kwargs) if self.is_traced(t)]
        if not traced:
            return self._plain(func, args, kwargs)
        name, in_place = function_name(func)
        if name in QUERIES and not in_place:
            return self._query(name, func, args, kwargs)
        if self._stale:
            self._check_stale(traced, name, args)
        self._check_known(traced, name)
        handler = self._handler_of(func, name, kwargs)
        args, kwargs = with_tensors(args, self._detached), with_tensors(kwargs, self._detached)
        in_place = in_place or told_in_place(name, args, kwargs)
        with torch.enable_grad():
            result = handler(self, func, args, kwargs)
        if name in FROM_OUTSIDE and not in_place and handler is HANDLERS.get(name):
            self._check_result(name, result, self._plain(func, args, kwargs))
        self._learn(result, traced)
        return self._rebind(args, result) if in_place else result

    def _check_result(self, name: str, result: object, plain: object) -> None:
        """Refuse what a handler from outside returns where it isn't what the function returns."""
        given, own = list(tensors_in((result,), {})), list(tensors_in((plain,), {}))
        if [t.shape for t in given] != [t.shape for t in own]:
            found = f"shapes {[tuple(t.shape) for t in given]}" if given else repr(result)
            raise InputError(
                f"the handler registered for {name!r} returned {found}, and the function "
                f"{[tuple(t.shape) for t in own]}: a handler returns the function's result"
            )
        for one, other in zip(given, own, strict=True):
            if not torch.allclose(one.detach(), other.to(one.dtype), rtol=1e-3, atol=1e-5, equal_nan=True):
                most = (one.detach() - other).abs().max().item()
                raise InputError(
                    f"the handler registered for {name!r} returned other numbers than the function (by up to "
                    f"{most:.3g}): relevance would be of another model. A handler returns the function's result, built "
                    "from operations whose gradient is the rule"
                )

    def _handler_of(self, func: Call, name: str, kwargs: Kwargs) -> Handler:
        """Return what handles a call of a traced tensor; refuse one that nothing does."""
        if kwargs.get("out") is not None:
            raise self.refuse(f"{name}(out=...)", remedy="use the returned tensor instead of out=")
        if isinstance(func, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
            raise self.refuse(
                qualified_name(func),
                "calls of torch.ops (an exported program's, say) name and order their arguments in another way",
                "explain the nn.Module the program was exported from",
            )
        handler = self.handlers.get(name)
        if handler is None:
            said = qualified_name(func)
            raise self.refuse(said if said.endswith(f".{name}") else f"{said}, for the registry {name!r},")
        return handler

    def _mapped(self, func: Call, args: Args, kwargs: Kwargs) -> Any:
        """Run a call under vmap: what carries no relevance as it is, and what is linear or homogeneous too."""
        transform = torch._C._functorch.peek_interpreter_stack().key()
        traced = [t for t in map(_unwrapped, tensors_in(args, kwargs)) if self.is_traced(t)]
        if not traced:
            return self._plain(func, args, kwargs)
        name, in_place = function_name(func)
        if name in QUERIES and not in_place:
            return self._query(name, func, args, kwargs)
        alone = len(traced) == 1 and name in (
            "mul",
            "matmul",
            "rmatmul",
            "bmm",
            "mm",
            "einsum",
            "inner",
            "mv",
            "dot",
        )
        if (
            transform != torch._C._functorch.TransformType.Vmap
            or in_place
            or not (alone or self.is_neutral(name))
        ):
            raise self.refuse(
                qualified_name(func) + " under vmap or another transform of torch.func",
                "the transform hides what its tensors depend on",
                "write it for the whole batch",
            )
        self._check_known(traced, name)
        self.count("neutral", name)
        with torch.enable_grad():
            result = func(*args, **kwargs)
        self._learn([_unwrapped(t) for t in tensors_in((result,), {})], traced)
        return result

    def is_neutral(self, name: str) -> bool:
        """Return whether the ordinary gradient of an operation is what passes relevance on, whatever its tensors."""
        return name in NEUTRAL

    def _query(self, name: str, func: Call, args: Args, kwargs: Kwargs) -> Any:
        if name in ("numpy", "__array__", "tolist"):  # torch refuses these where a gradient is on
            args = (args[0].detach(), *args[1:])
        if name in READINGS:
            self.note(
                f"{name}() of a tensor that carries relevance: what is made from it counts as a constant"
            )
        with torch.no_grad():
            return func(*args, **kwargs)

    def _plain(self, func: Call, args: Args, kwargs: Kwargs) -> Any:
        with torch.no_grad():
            return func(*args, **kwargs)

    def _detached(self, tensor: Tensor) -> Tensor:
        if tensor.requires_grad and not self.is_traced(tensor):
            tensor = tensor.detach()
        return tensor.clone() if tensor.is_inference() else tensor

    def _learn(self, result: object, traced: list[Tensor]) -> None:
        """Note which graph nodes this call made, so that a node nobody saw being made is found."""
        stop = {id(t.grad_fn) for t in traced if t.grad_fn is not None}
        stack: list[Any] = [t.grad_fn for t in tensors_in((result,), {}) if t.grad_fn is not None]
        while stack:
            node = stack.pop()
            if node is None or id(node) in self._nodes or id(node) in stop:
                continue
            self._nodes[id(node)] = node
            stack.extend(parent for parent, _ in node.next_functions)

    def _check_known(self, traced: list[Tensor], name: str) -> None:
        for tensor in traced:
            if not self.known(tensor):
                raise self.refuse(
                    f"{type(tensor.grad_fn).__name__} (reaching {name})",
                    "it was made by code that torch functions do not show: a custom autograd.Function, a scripted "
                    "function, activation checkpointing, a full backward hook, or a tensor with a gradient from "
                    "outside",
                    "write that part with torch functions, or switch it off for the explanation",
                )

    def _rebind(self, args: Args, result: Any) -> Any:
        """After an in-place operation done on a new tensor: let the old one stand for the new one from now on."""
        old = args[0]
        if isinstance(old, Tensor) and isinstance(result, Tensor) and old is not result:
            self._moved[id(old)] = (old, result)
            storage = old.untyped_storage().data_ptr()
            if result.untyped_storage().data_ptr() != storage:
                self._stale.add(storage)
        return result

    def _check_stale(self, traced: list[Tensor], name: str, args: Args) -> None:
        # x[a:b] += y ends in x[a:b] = (x[a:b] + y): there the stale slice is just being replaced.
        target = args[0] if name == "setitem" and self._is_latest(args[2]) else None
        for tensor in traced:
            if tensor is target:
                continue
            if tensor.untyped_storage().data_ptr() in self._stale and not self._is_latest(tensor):
                raise self.refuse(
                    f"{name} on a view of a tensor that was changed in place",
                    "the change is not visible through another view",
                    "write the in-place operation out of place (x = x + y instead of x += y)",
                )

    def _is_latest(self, tensor: object) -> bool:
        return any(new is tensor for _, new in self._moved.values())

    def _follow(self, tensor: Tensor) -> Tensor:
        while id(tensor) in self._moved:
            tensor = self._moved[id(tensor)][1]
        return tensor

    def latest(self, value: Any) -> Any:
        """Return the value with every tensor that was changed in place replaced by its present form."""
        return with_tensors(value, self._follow)


def _unwrapped(tensor: Tensor) -> Tensor:
    """Return the tensor of the whole batch behind one that vmap hands out."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor
