"""Networks in ``torch.export`` archives (.pt2), turned back into calls of torch's own functions; no user's code runs.

The graph of an archive calls operators of ATen, whose arguments are ordered otherwise than those of the functions that
layers call. Each is replaced by the function it came from, and the result is compared with the archive itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from genoplrp.errors import CheckpointError, UnsupportedModelError
from genoplrp.wording import first_line

_WAY_OUT = (
    "name the nn.Module it was exported from as module:callable or file.py:callable, with the archive's path as "
    "--state-dict"
)
_SAME = """
    add sub rsub mul div neg abs exp log log1p expm1 sqrt rsqrt square pow sigmoid tanh softmax log_softmax logsumexp
    relu clamp clamp_min clamp_max maximum minimum where
    sum mean amax amin max min cumsum flip roll
    cat stack split chunk unbind flatten unflatten reshape squeeze unsqueeze transpose permute movedim t select narrow
    index_select unfold clone detach
    matmul bmm mm addmm baddbmm conv1d conv2d conv_transpose1d
""".split()
_SAME_FUNCTIONAL = """
    linear gelu silu mish softplus selu celu hardtanh leaky_relu hardswish glu relu6 pad adaptive_avg_pool1d
    adaptive_avg_pool2d scaled_dot_product_attention embedding
""".split()
_METHODS = "add sub mul div clamp expand contiguous to view_as expand_as repeat masked_fill".split()


def open_archive(path: Path) -> tuple[nn.Module, int | None]:
    """Read a ``torch.export`` archive as a module that can be explained.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    torch.nn.Module
        With the parameters' names of the module that was exported.
    int or None
        Length of the sequences that it takes, in bp, where the archive fixes it.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    UnsupportedModelError
        If it calls an operator that has no counterpart here, was exported in training mode or for one size of batch, or
        if the module made of it does not give what the archive gives.
    """
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as a torch.export archive: {first_line(error)}"
        ) from error
    archive = program.module()
    inputs = [node for node in archive.graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise UnsupportedModelError(
            f"{path} takes {len(inputs)} inputs; only networks of one input, (N, 4, L), can be scanned"
        )
    shape = inputs[0].meta["val"].shape
    module = _with_functions(archive, path)
    _compare(module, archive, shape, path)
    length = shape[-1] if isinstance(shape[-1], int) else None
    return module, length


def _with_functions(archive: fx.GraphModule, path: Path) -> nn.Module:
    graph = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    for node in archive.graph.nodes:
        if node.op == "call_module":  # the guards of the inputs' sizes; they return nothing
            continue
        new = copied[node] = graph.node_copy(node, copied.__getitem__)
        if node.op == "call_function":
            new.target = _function(node, path)
        if node.op == "output" and isinstance(new.args[0], tuple) and len(new.args[0]) == 1:
            new.args = (new.args[0][0],)  # what it is in depends on how the module returned it
    made = fx.GraphModule(archive, graph)
    made.requires_grad_(False)  # nothing is trained here, and layers are then named after their parameters
    made.graph.eliminate_dead_code()
    made.recompile()
    return made.eval()


def _function(node: fx.Node, path: Path) -> Callable[..., Any]:
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):
        if getattr(target, "__module__", "") in ("_operator", "builtins", "math"):
            return target  # type: ignore[no-any-return]
        raise _unknown(str(target), path)
    name = target._schema.name.removeprefix("aten::")
    bare = name.rstrip("_")
    if name in _ADAPTED:
        function = _ADAPTED[name]
        if function in (_batch_norm, _dropout) and _trains(node):
            raise UnsupportedModelError(
                f"{path} was exported in training mode ({name} is on): export model.eval(), or {_WAY_OUT}"
            )
        return function
    if name != bare and bare in (*_SAME, *_METHODS) and hasattr(Tensor, name):
        return getattr(Tensor, name)  # type: ignore[no-any-return]
    if name in _SAME:
        return getattr(torch, name)  # type: ignore[no-any-return]
    if name in _SAME_FUNCTIONAL:
        return getattr(F, name)  # type: ignore[no-any-return]
    if name in _METHODS:
        return getattr(Tensor, name)  # type: ignore[no-any-return]
    raise _unknown(str(target), path)


def _unknown(name: str, path: Path) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{path} calls {name}, which has no counterpart that could be explained; {_WAY_OUT}"
    )


def _trains(node: fx.Node) -> bool:
    return any(argument is True for argument in node.args[2:7] if isinstance(argument, bool))


def _compare(module: nn.Module, archive: nn.Module, shape: Sequence[int], path: Path) -> None:
    """Hold the module against the archive, and one sequence against a batch of three."""
    length = shape[-1] if isinstance(shape[-1], int) else 1000
    rows = shape[0] if isinstance(shape[0], int) else 3
    codes = torch.randint(4, (max(rows, 3), length), generator=torch.Generator().manual_seed(0))
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(0))
    X = torch.eye(4, dtype=like.dtype)[codes].mT.contiguous()
    with torch.no_grad():
        expected, found = _flat(archive(X[:rows])), _flat(module(X[:rows]))
        if not torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())):
            raise UnsupportedModelError(
                f"{path}: the functions of its graph do not give what the archive gives; {_WAY_OUT}"
            )
        try:
            three, one = module(X[:3]), module(X[:1])
            same = all(
                torch.allclose(a[:1], b, rtol=1e-3, atol=1e-4)
                for a, b in zip(_tensors(three), _tensors(one), strict=True)
            )
        except (RuntimeError, IndexError):
            same = False
    if not same:
        raise UnsupportedModelError(
            f"{path} was exported for batches of exactly {rows}: export it with dynamic_shapes={{0: "
            "torch.export.Dim('batch')} for its input"
        )


def _tensors(y: Any) -> list[Tensor]:
    if isinstance(y, Tensor):
        return [y]
    return [tensor for part in (y.values() if isinstance(y, dict) else y) for tensor in _tensors(part)]


def _flat(y: Any) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in _tensors(y)])


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool = False,
) -> Tensor:
    return F.batch_norm(x, mean, var, weight, bias, training, momentum, eps)


def _layer_norm(
    x: Tensor,
    shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> Tensor:
    return F.layer_norm(x, shape, weight, bias, eps)


def _group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> Tensor:
    return F.group_norm(x, groups, weight, bias, eps)


def _dropout(x: Tensor, p: float, train: bool) -> Tensor:
    return F.dropout(x, p, train)


def _max_pool1d(x: Tensor, kernel: Any, stride: Any = (), *rest: Any) -> Tensor:
    pooled: Tensor = F.max_pool1d(x, kernel, stride or None, *rest)
    return pooled


def _avg_pool1d(x: Tensor, kernel: Any, stride: Any = (), *rest: Any) -> Tensor:
    return F.avg_pool1d(x, kernel, stride or kernel, *rest)


def _adaptive_max_pool1d(x: Tensor, size: Any) -> tuple[Tensor, Tensor]:
    return F.adaptive_max_pool1d(x, size, return_indices=True)


def _slice(
    x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)]


def _view(x: Tensor, shape: list[int]) -> Tensor:
    return torch.reshape(x, tuple(shape))


def _elu(x: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    if input_scale != 1:
        raise UnsupportedModelError("elu with a scaled input is not supported")
    return F.elu(x, alpha) if scale == 1 else F.elu(x, alpha) * scale


def _einsum(equation: str, tensors: list[Tensor], **path: Any) -> Tensor:
    return torch.einsum(equation, *tensors)


def _size(x: Tensor, dim: int) -> int:
    return x.shape[dim]


_ADAPTED: dict[str, Callable[..., Any]] = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "dropout": _dropout,
    "dropout_": _dropout,
    "feature_dropout": _dropout,
    "max_pool1d": _max_pool1d,
    "avg_pool1d": _avg_pool1d,
    "adaptive_max_pool1d": _adaptive_max_pool1d,
    "slice": _slice,
    "view": _view,
    "elu": _elu,
    "einsum": _einsum,
    "sym_size": _size,
    "getitem": operator.getitem,
}
