"""Operations of one tensor whose ordinary gradient already is the LRP rule: linear and homogeneous ones, selections.

Slices, reshapes, padding with zeros, sums, means and interpolation share relevance in proportion to the contributions;
a maximum sends it to the winner. Not here: pooling (`pooling`), and what puts several tensors together (`combining`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genoplrp.relevance.propagation.backward import EqualLengthError
from genoplrp.relevance.propagation.layout import is_channels_last, keep_layout
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, run_out_of_place, without_in_place
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer

RESHAPES = frozenset(
    {"view", "view_as", "unflatten", "reshape", "reshape_as", "flatten", "ravel", "contiguous"}
)


MOVES = """
    view reshape flatten unflatten squeeze unsqueeze transpose permute movedim moveaxis swapaxes
    swapdims T mT H mH t contiguous clone getitem narrow select expand expand_as view_as reshape_as
    to float double half bfloat16 type type_as cuda cpu flip roll index_select ravel alias unfold
    repeat tile broadcast_to rearrange take_along_dim gather requires_grad positive real
    fliplr flipud rot90 pin_memory masked_select diagonal repeat_interleave pixel_unshuffle
    channel_shuffle
""".split()


COPIES = frozenset("contiguous clone to float double alias".split())
TURNS = frozenset("transpose permute movedim moveaxis swapaxes swapdims T mT H mH t __get__".split())


@handles(*MOVES, linear=True, neutral=True)
@handles("data", linear=True)
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


LINEAR_OF_ONE = """
    mean sum neg cumsum interpolate upsample upsample_nearest nansum trace diff pixel_shuffle fold
    fft_rfft fft_irfft fft_fft fft_ifft fft_rfft2 fft_irfft2 fft_fft2 fft_ifft2 fft_rfftn fft_irfftn
    fft_hfft fft_ihfft fft_fftshift fft_ifftshift conj view_as_real view_as_complex tril triu nanmean
""".split()
"""Linear."""

RECTIFIERS = "relu leaky_relu prelu rrelu abs".split()
"""Homogeneous, entry by entry."""

SELECTIONS = "amax amin median kthvalue msort cummax nan_to_num".split()
"""Homogeneous: which entries they pass on depends on all."""


@handles("as_strided", linear=True, neutral=True)
def strided(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """A view by strides of a tensor that lies in memory as its one axis says; of others the memory here may differ."""
    if args[0].dim() != 1 or not args[0].is_contiguous():
        raise tracer.refuse(
            "as_strided of a tensor that is not flat", remedy="call it on x.flatten(), or use unfold"
        )
    return move(tracer, func, args, kwargs)  # type: ignore[no-any-return]


@handles(*LINEAR_OF_ONE, linear=True, neutral=True)
@handles(*RECTIFIERS, elementwise=True, neutral=True)
@handles(*SELECTIONS, neutral=True)
@handles("sort", "topk")
def homogeneous(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Pass on an operation that is positively homogeneous: its gradient times its input is its output."""
    name = func.__name__
    tracer.count("neutral", name)
    if name.startswith("interpolate") and kwargs.get("mode") == "bicubic":
        tracer.note("bicubic interpolation is linear: explained as such")
    return run_out_of_place(func, (keep_layout(args[0]), *args[1:]) if args else args, kwargs)


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


@handles("masked_fill", "index_fill", linear=True)
def fill(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """What is filled with a constant loses its relevance; the constant absorbs its own."""
    tracer.count("neutral", func.__name__)
    call = without_in_place(func)
    return tracer.watch(func.__name__, [args[0]], lambda ts: call(ts[0], *args[1:], **kwargs))
