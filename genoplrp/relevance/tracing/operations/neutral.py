"""Operations whose ordinary gradient already is the LRP rule: linear and homogeneous ones, and selections.

Sums, differences, concatenations, slices, reshapes, padding with zeros, means, average pooling and interpolation share
relevance in proportion to the contributions; max pooling and its like send it to the winner. What a constant brings in
(a positional encoding, say) is absorbed by it, and recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.propagation.backward import EqualLengthError
from genoplrp.relevance.propagation.layout import is_channels_last, keep_layout
from genoplrp.relevance.propagation.linear_maps import per_dimension
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, call_with, tensors_in, without_in_place
from genoplrp.relevance.tracing.operations.affine import shifted_by_channel
from genoplrp.relevance.tracing.registry import NEUTRAL, handles
from genoplrp.relevance.tracing.tracer import Marks, Tracer

RESHAPES = frozenset(
    {"view", "view_as", "unflatten", "reshape", "reshape_as", "flatten", "ravel", "contiguous"}
)


MOVES = """
    view reshape flatten unflatten squeeze unsqueeze transpose permute movedim moveaxis swapaxes
    swapdims T mT H mH t contiguous clone getitem narrow select expand expand_as view_as reshape_as
    to float double half bfloat16 type type_as cuda cpu flip roll index_select ravel alias unfold
    repeat tile broadcast_to rearrange take_along_dim gather requires_grad data positive real
    fliplr flipud rot90 pin_memory masked_select diagonal repeat_interleave pixel_unshuffle
    channel_shuffle
""".split()


COPIES = frozenset("contiguous clone to float double alias".split())
TURNS = frozenset("transpose permute movedim moveaxis swapaxes swapdims T mT H mH t __get__".split())


@handles(*MOVES, linear=True)
def move(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Pass on a rearrangement; what is known of the tensor goes with it."""
    source = args[0]
    name = getattr(func, "__name__", "")
    if name == "requires_grad_" or getattr(getattr(func, "__self__", None), "__name__", "") == "data":
        return source
    marks = tracer.marks_of(source)
    if name == "contiguous" and len(args) == 1 and not kwargs and is_channels_last(source):
        tracer.count("neutral", name)
        return source  # convolutions want it as it is; what views it gets a copy
    if name in RESHAPES:
        source = keep_layout(source)
        args = (source, *args[1:])
    if name in ("view", "view_as", "unflatten") and not source.is_contiguous():
        # Convolutions here may leave their result channels-last, where the model could view a contiguous one.
        source = source.contiguous()
        args = (source, *args[1:])
    out = func(*args, **kwargs)
    if name in TURNS:
        _check_batch_first(tracer, func, args, kwargs, out)
    if isinstance(out, Tensor) and out is not args[0]:
        if marks.affine is not None:
            _follow_layer(tracer, name, func, args, kwargs, marks, out)
        if marks.is_input or marks.gate or marks.logit is not None:
            _follow_marks(tracer, func, args, kwargs, marks, out)
    tracer.count("neutral", name)
    return out


@handles("detach")
def detach(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """A part that training left alone still makes the output; what a target function detaches is a constant."""
    source = args[0]
    if tracer.in_target:
        return func(*args, **kwargs)
    tracer.note("detach() in the model is explained as if it were not there")
    same = source.view_as(source)
    tracer.mark(same, tracer.marks_of(source))
    return same


def _follow_marks(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs, marks: Marks, out: Tensor) -> None:
    """Move a tensor's shadow and its logit as it was moved itself, and mark the result."""
    shadow = None if marks.shadow is None else func(marks.shadow, *args[1:], **kwargs)
    if tracer.is_traced(out) and out.is_floating_point():
        logit = marks.logit
        moved = None if logit is None else (lambda: func(logit(), *args[1:], **kwargs))
        tracer.mark(out, Marks(is_input=marks.is_input, shadow=shadow, gate=marks.gate, logit=moved))


def _follow_layer(
    tracer: Tracer, name: str, func: Call, args: Args, kwargs: Kwargs, marks: Marks, out: Tensor
) -> None:
    """Remember which layer made a tensor that was turned or copied, and where its axes went."""
    source = args[0]
    if out.dtype != source.dtype or out.dim() != source.dim() or out.device != source.device:
        return
    order = tuple(range(source.dim()))
    if name in TURNS:
        # Every axis by a stride of its own, whatever its length.
        probe = torch.empty_strided(source.shape, [2**axis for axis in order], device="meta")
        order = tuple(stride.bit_length() - 1 for stride in func(probe, *args[1:], **kwargs).stride())
    elif name not in COPIES:
        return
    if marks.order is not None:
        order = tuple(marks.order[axis] for axis in order)
    tracer.mark(out, Marks(affine=marks.affine, order=order))


def _check_batch_first(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs, out: Tensor) -> None:
    """Notice a batch that changes places with an axis of the same length: no shape shows it later."""
    n, source = tracer.run.batch, args[0]
    if n == 1 or source.dim() < 2 or source.shape[0] != n or out.shape[0] != n:
        return
    # Its first axis is the only one with a stride: where does it go?
    probe = torch.empty(n).as_strided(source.shape, (1, *[0] * (source.dim() - 1)))
    if func(probe, *args[1:], **kwargs).stride(0) != 1:
        raise EqualLengthError("the model moves the batch off its first axis")


@handles("pad", "constant_pad_nd", linear=True)
def pad(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Padding; a constant other than zero is absorbed where it stands."""
    value = kwargs.get("value", args[3] if len(args) > 3 else None)
    marks = tracer.marks_of(args[0])
    if not value and marks.shadow is None:
        return move(tracer, func, args, kwargs)
    tracer.count("neutral", "pad")
    if value:
        tracer.note(f"padding with {value:g}: the padding's own relevance is absorbed")
        out = tracer.watch("pad", [args[0]], lambda ts: func(ts[0], *args[1:], **kwargs))
    else:
        out = func(*args, **kwargs)
    shadow = None
    if marks.shadow is not None:  # a rule that does not look at the input gives relevance to the padding
        shadow = tracer.watch_shadows("pad", [marks.shadow], lambda ts: func(ts[0], *args[1:], **kwargs))
    tracer.mark(out, Marks(is_input=marks.is_input, shadow=shadow))
    return out


@handles("chunk", "split", "unbind", "tensor_split", "split_with_sizes", "hsplit", "vsplit", linear=True)
def divide(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Pass on a split into several tensors."""
    marks = tracer.marks_of(args[0])
    outs = func(*args, **kwargs)
    if marks.is_input or marks.gate:
        shadows = [None] * len(outs) if marks.shadow is None else func(marks.shadow, *args[1:], **kwargs)
        for out, shadow in zip(outs, shadows, strict=True):
            tracer.mark(out, Marks(is_input=marks.is_input, shadow=shadow, gate=marks.gate))
    tracer.count("neutral", func.__name__)
    return outs


AVERAGES = """
    mean sum avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d neg cumsum
    adaptive_avg_pool3d interpolate upsample upsample_nearest nansum trace diff pixel_shuffle fold
    fft_rfft fft_irfft fft_fft fft_ifft fft_rfft2 fft_irfft2 fft_fft2 fft_ifft2 fft_rfftn fft_irfftn
    fft_hfft fft_ihfft fft_fftshift fft_ifftshift conj view_as_real view_as_complex
    masked_fill tril triu index_fill nanmean
""".split()
"""Linear."""

RECTIFIERS = "relu leaky_relu prelu rrelu abs".split()
"""Homogeneous, entry by entry."""

SELECTIONS = """
    max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_unpool1d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool1d_with_indices
    adaptive_max_pool2d_with_indices amax amin sort topk median kthvalue msort cummax nan_to_num
""".split()
"""Homogeneous: which entries they pass on depends on all."""


NEUTRAL.update(
    {*MOVES, *AVERAGES, *RECTIFIERS, *SELECTIONS, "as_strided"}
    - {"data", "masked_fill", "index_fill", "sort", "topk"}
)


@handles("as_strided", linear=True)
def strided(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """A view by strides of a tensor that lies in memory as its one axis says; of others the memory here may differ."""
    if args[0].dim() != 1 or not args[0].is_contiguous():
        raise tracer.refuse(
            "as_strided of a tensor that is not flat", remedy="call it on x.flatten(), or use unfold"
        )
    return move(tracer, func, args, kwargs)  # type: ignore[no-any-return]


@handles(*AVERAGES, linear=True)
@handles(*RECTIFIERS, elementwise=True)
@handles(*SELECTIONS)
def homogeneous(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Pass on an operation that is positively homogeneous: its gradient times its input is its output."""
    name = func.__name__
    if name in ("masked_fill", "masked_fill_", "index_fill", "index_fill_"):
        return _fill(tracer, func, args, kwargs)
    tracer.count("neutral", name)
    if name.startswith("interpolate") and kwargs.get("mode") == "bicubic":
        tracer.note("bicubic interpolation is linear: explained as such")
    call = _out_of_place(func, (keep_layout(args[0]), *args[1:]) if args else args, kwargs)
    return call()


@handles("avg_pool1d", linear=True)
@handles("max_pool1d")
def pool(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Pool along the sequence, keeping the memory layout."""
    tracer.count("neutral", func.__name__)
    x = args[0] if args else kwargs["input"]
    if not is_channels_last(x) or kwargs.get("return_indices"):
        return func(*args, **kwargs)
    wide: Call
    names: tuple[str, ...]
    if func.__name__ == "max_pool1d":
        names, wide = ("kernel_size", "stride", "padding", "dilation", "ceil_mode"), F.max_pool2d
    else:
        names, wide = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"), F.avg_pool2d
    call = dict(zip(names, args[1:], strict=False)) | {k: v for k, v in kwargs.items() if k in names}
    flat = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    if call.get("stride") in (None, []):
        call["stride"] = call["kernel_size"]
    spread: dict[str, Any] = {
        k: (flat[k], per_dimension(v, 1)[0]) if k in flat else v for k, v in call.items()
    }
    return wide(x.unsqueeze(2), **spread).squeeze(2)


@handles("max", "min", "maximum", "minimum", "fmax", "fmin")
def extremum(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Send relevance to the winner; against a constant (a clamp from one side) the constant may win and absorb it."""
    tracer.count("neutral", func.__name__)
    inputs = [t for t in tensors_in(args, kwargs) if tracer.is_traced(t)]
    if len(inputs) == 1 and (len(args) < 2 or not isinstance(args[1], Tensor)):
        return func(*args, **kwargs)
    return tracer.watch(func.__name__, inputs, lambda ts: call_with(func, args, kwargs, inputs, ts))


COMBINATIONS = """
    add sub rsub subtract cat concat concatenate stack hstack vstack where index_add
    scatter_add index_copy dstack column_stack masked_scatter index_put scatter
    sum_to_size
""".split()


ASSIGNMENTS = ("setitem", "copy")
SUMS = frozenset("add sub rsub subtract".split())
JOINS = frozenset("cat concat concatenate stack hstack vstack".split())


@handles(*COMBINATIONS, linear=True)
def combine(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Sums and concatenations share relevance by contribution; the constants among them absorb theirs."""
    name = func.__name__.strip("_")
    if name == "where" and len(args) > 1 and tracer.is_traced(args[0]):
        raise tracer.refuse("where with a condition that carries relevance")
    if name in SUMS and len(args) == 2 and not kwargs:
        first, second = args if name != "rsub" else args[::-1]
        merged = shifted_by_channel(tracer, first, second, 1.0 if name == "add" else -1.0)
        if merged is not None:
            tracer.count("neutral", name)
            return merged
    tracer.count("neutral", name)
    everything = list(tensors_in(args, kwargs))
    traced = [t for t in everything if tracer.is_traced(t)]
    out_of_place = without_in_place(func)
    if len(everything) > len(traced) or _adds_a_number(args, kwargs):
        out = tracer.watch(name, traced, lambda ts: call_with(out_of_place, args, kwargs, traced, ts))
    else:
        out = out_of_place(*args, **kwargs)
    _mark_combination(tracer, name, func, args, kwargs, everything, out)
    return out


def _adds_a_number(args: Args, kwargs: Kwargs) -> bool:
    return any(isinstance(a, int | float) and a for a in (*args[:2], kwargs.get("other")))


def _mark_combination(
    tracer: Tracer, name: str, func: Call, args: Args, kwargs: Kwargs, everything: list[Tensor], out: Any
) -> None:
    """Remember where the sequences' axis went, and that inputs beside each other are an input still."""
    if name == "stack" and kwargs.get("dim", args[1] if len(args) > 1 else 0) in (0, -out.dim()):
        tracer.mark(out, Marks(batch_axis=1))
    elif name in JOINS and all(tracer.marks_of(t).is_input for t in everything if tracer.is_traced(t)):
        # Further tracks beside the sequence, or both strands in one batch: what follows is an input layer still.
        tracer.mark(out, Marks(is_input=True, shadow=_joined_shadows(tracer, func, args, kwargs, everything)))


@handles("lerp", "addcmul")
def sum_with_product(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Sums that contain a product have no rule in one piece."""
    raise tracer.refuse(func.__name__.strip("_"), remedy="write it as a sum and a product")


def _joined_shadows(
    tracer: Tracer, func: Call, args: Args, kwargs: Kwargs, everything: list[Tensor]
) -> Tensor | None:
    shadows = [tracer.marks_of(t).shadow for t in everything]
    if all(s is None for s in shadows):
        return None
    present = [s for s in shadows if s is not None]

    def joined(ts: list[Tensor]) -> Tensor:
        rest = iter(ts)
        given = [
            torch.zeros_like(t) if s is None else next(rest) for t, s in zip(everything, shadows, strict=True)
        ]
        out: Tensor = call_with(func, args, kwargs, everything, given)
        return out

    return tracer.watch_shadows(func.__name__, present, joined)


@handles("logaddexp")
def logaddexp(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``log(exp(a) + exp(b))`` like `torch.logsumexp`: its gradient; the constant term is absorbed."""
    tracer.count("ruled", "logaddexp")
    traced = [t for t in tensors_in(args, kwargs) if tracer.is_traced(t)]
    return tracer.watch("logaddexp", traced, lambda ts: call_with(func, args, kwargs, traced, ts))


DROPOUTS = """
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout
    native_dropout
""".split()


DROPOUT_ON = "dropout was left on by the model's code; it is explained as switched off"


@handles(*DROPOUTS, linear=True)
def dropout(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Dropout is the identity: an explanation is of the model in evaluation mode."""
    if kwargs.get("training", args[2] if len(args) > 2 else True):
        tracer.note(DROPOUT_ON)
    tracer.count("neutral", "dropout")
    return args[0]


@handles(
    "clamp",
    "clip",
    "clamp_min",
    "clamp_max",
    "hardtanh",
    "relu6",
    "threshold",
    "_threshold",
    elementwise=True,
)
def clamp(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """A clamp passes relevance on where it lets the value through; a bound other than zero absorbs it."""
    call = without_in_place(func)
    tracer.count("neutral", func.__name__)
    kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
    rest = args[1:-1] if len(args) > 1 and args[-1] is True else args[1:]
    return tracer.watch(func.__name__, [args[0]], lambda ts: call(ts[0], *rest, **kwargs))


@handles(*ASSIGNMENTS, linear=True)
def assign(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``x[index] = y`` and ``x.copy_(y)`` on a copy: what was overwritten loses its relevance, rightly."""
    name = func.__name__.strip("_")
    target = args[0]
    value = args[2] if name == "setitem" else args[1]
    tracer.count("neutral", name)

    def assigned(ts: list[Tensor]) -> Tensor:
        given = {id(old): new for old, new in zip(inputs, ts, strict=True)}
        out: Tensor = given[id(target)].clone() if id(target) in given else target.clone()
        source: Any = given.get(id(value), value)
        out[args[1] if name == "setitem" else ...] = source
        return out

    inputs = [t for t in (target, value) if tracer.is_traced(t)]
    return tracer.watch(name, inputs, assigned)


def _fill(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    tracer.count("neutral", func.__name__)
    call = without_in_place(func)
    return tracer.watch(func.__name__, [args[0]], lambda ts: call(ts[0], *args[1:], **kwargs))


def _out_of_place(func: Call, args: Args, kwargs: Kwargs) -> Callable[[], Any]:
    call = without_in_place(func)
    kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
    if func.__name__ in ("leaky_relu", "relu", "rrelu") and len(args) > 1 and args[-1] is True:
        args = args[:-1]
    return lambda: call(*args, **kwargs)
