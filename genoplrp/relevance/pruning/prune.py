"""Prunes a tensor, whatever its shape, memory layout and device: rows in, the device's implementation, rows out.

Not here: the definition (`thresholds`), and its forms for the CPU (`kernel`), CUDA devices (`triton_kernel`) and all
others (`selection`).
"""

from __future__ import annotations

import functools
import warnings

import torch
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance import devices
from genoplrp.relevance.pruning.selection import Selection
from genoplrp.relevance.pruning.thresholds import POLICIES, PruneStats, Reference, check_finite


def prune_multipliers(
    activation: Tensor,
    multiplier: Tensor,
    p_pos: float | Tensor,
    p_neg: float | Tensor,
    *,
    rescale: bool = True,
    policy: str = "mass",
    out: Tensor | None = None,
) -> tuple[Tensor, PruneStats]:
    """Prune the relevance ``activation * multiplier`` of each sample and return the multiplier that carries the rest.

    Parameters
    ----------
    activation, multiplier
        Tensors a and g of the same shape (N, ...) and dtype; the relevance is r = a g. Any dense layout
        (contiguous, channels-last) is worked on as it lies in memory.
    p_pos, p_neg
        Share of the positive and of the negative mass to prune, in [0, 1]; a number or a float64 tensor (N,).
    rescale
        Whether the kept entries of a sign are multiplied by lambda = mass / kept mass, so that the sign's mass is
        conserved.
    policy
        ``"mass"``: prune by share of mass. ``"mean"``: prune the entries of a sign that are below its mass divided by
        the number of *all* entries of the sample. ``"effective"``: keep the
        ``round((sum r)^2 / sum r^2)`` largest entries of a sign, and what ties with the last. The last two ignore p.
    out
        Where to write the result; may be ``multiplier`` itself. Otherwise a new tensor.

    Returns
    -------
    tuple of Tensor and PruneStats
        The new multiplier: 0 where pruned, lambda g where kept, g unchanged where r = 0. With p = 0 it is g to the bit.

    Raises
    ------
    InputError
        If shapes or dtypes differ, a share is outside [0, 1], or the policy is unknown.
    NonFiniteError
        If the relevance of a sample holds NaN or infinity or its mass overflows float64. Inside a batch on a GPU it is
        raised when the batch is done (`genoplrp.relevance.deferred`).

    Examples
    --------
    >>> import torch
    >>> a = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> g, stats = prune_multipliers(a, torch.ones(1, 4), 0.3, 0.15)
    >>> g
    tensor([[0.0000, 0.0000, 1.4286, 1.4286]])
    >>> stats.positive_kept
    tensor([7.], dtype=torch.float64)
    """
    _check(activation, multiplier, policy)
    shares = _shares(p_pos, multiplier, "p_pos"), _shares(p_neg, multiplier, "p_neg")
    target = torch.empty_like(multiplier) if out is None else out
    if multiplier.numel() == 0:
        return target, _no_stats(multiplier)
    work = _working_dtype(multiplier)
    g = _dense(multiplier.detach().to(work))
    a = _laid_out_like(activation.detach().to(work), g)
    direct = target.dtype == work and target.stride() == g.stride()
    result = target if direct else torch.empty_like(g)
    stats = _implementation(g, policy).prune(_rows(a), _rows(g), *shares, rescale, policy, _rows(result))
    check_finite(stats)
    if not direct:
        target.copy_(result)
    return target, stats


def kept_inputs(
    activation: Tensor, multiplier: Tensor, p_pos: float | Tensor, p_neg: float | Tensor, policy: str = "mass"
) -> tuple[Tensor, PruneStats]:
    """Return the activations whose relevance is kept, 0 for the others, and the masses.

    Parameters
    ----------
    activation, multiplier, p_pos, p_neg, policy
        As in `prune_multipliers`.

    Raises
    ------
    InputError, NonFiniteError
        As `prune_multipliers`.

    Examples
    --------
    >>> import torch
    >>> a = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> kept_inputs(a, torch.ones(1, 4), 0.3, 0.15)[0]
    tensor([[0., 0., 3., 4.]])
    """
    _check(activation, multiplier, policy)
    shares = _shares(p_pos, multiplier, "p_pos"), _shares(p_neg, multiplier, "p_neg")
    if multiplier.numel() == 0:
        return activation.clone(), _no_stats(multiplier)
    work = _working_dtype(multiplier)
    a = _dense(activation.detach().to(work))
    g = _laid_out_like(multiplier.detach().to(work), a)
    out = torch.empty_like(a)
    stats = _implementation(a, policy).inputs(_rows(a), _rows(g), *shares, policy, _rows(out))
    check_finite(stats)
    return out.to(activation.dtype), stats


def _no_stats(like: Tensor) -> PruneStats:
    mass = torch.zeros(like.shape[0], dtype=torch.float64, device=like.device)
    count = torch.zeros(like.shape[0], dtype=torch.int64, device=like.device)
    return PruneStats(mass, mass, mass, mass, count, count, count, count)


@functools.cache
def _compiled() -> type[Reference] | None:
    """Return the compiled kernel, or None where numba is missing; says so once."""
    try:
        from genoplrp.relevance.pruning.kernel import Compiled
    except ImportError as error:
        warnings.warn(
            f"pruning runs on a sort, about 20 times slower than the compiled kernel, as numba is missing ({error}): "
            "pip install numba",
            stacklevel=4,
        )
        return None
    return Compiled


@functools.cache
def _triton() -> type[Reference] | None:
    """Return the Triton kernel, or None where Triton is missing."""
    try:
        from genoplrp.relevance.pruning.triton_kernel import OnDevice
    except ImportError:
        return None
    return OnDevice


def _implementation(tensor: Tensor, policy: str) -> type[Reference]:
    if devices.kind_of(tensor) == "cpu":
        return _compiled() or Reference
    if devices.kind_of(tensor) == "cuda" and tensor.dtype == torch.float32 and policy != "effective":
        return _triton() or Selection
    return Selection


def _working_dtype(tensor: Tensor) -> torch.dtype:
    return tensor.dtype if tensor.dtype in (torch.float32, torch.float64) else torch.float32


def _check(a: Tensor, g: Tensor, policy: str) -> None:
    if a.shape != g.shape or a.dtype != g.dtype or not g.is_floating_point() or g.dim() == 0:
        raise InputError(
            f"activation {tuple(a.shape)} {a.dtype} and multiplier {tuple(g.shape)} {g.dtype} must be floating-point "
            "tensors of the same shape (N, ...) and dtype"
        )
    if policy not in POLICIES:
        raise InputError(f"policy={policy!r}: choose one of {', '.join(map(repr, POLICIES))}")


def _shares(p: float | Tensor, like: Tensor, name: str) -> Tensor:
    n = like.shape[0]
    if not isinstance(p, Tensor):
        if not 0 <= p <= 1:
            raise InputError(f"{name}={p!r}: the share to prune must be in [0, 1]")
        if devices.kind_of(like) == "cpu":
            return torch.full((n,), float(p), dtype=torch.float64)
        return _repeated(float(p), n, like.device)
    shares = p.detach().to(device=like.device, dtype=torch.float64)
    if shares.shape != (n,):
        raise InputError(
            f"{name} has shape {tuple(p.shape)}: give one number, or one for each of the {n} samples"
        )
    if devices.kind_of(like) == "cpu" and not bool(((shares >= 0) & (shares <= 1)).all()):
        raise InputError(
            f"{name} holds {shares[~((shares >= 0) & (shares <= 1))][0]}: shares must be in [0, 1]"
        )
    return shares.contiguous()


@functools.cache
def _repeated(p: float, n: int, device: torch.device) -> Tensor:
    """Return (n,) float64 on the device, made once for good (a recorded batch reads it); not to be changed."""
    with torch.inference_mode(False):
        return torch.full((n,), p, dtype=torch.float64, device=device)


def _memory_order(tensor: Tensor) -> list[int]:
    """Return the axes from the outermost in memory to the innermost, the batch first."""
    strides = tensor.stride()
    return [0, *sorted(range(1, tensor.dim()), key=lambda axis: (-strides[axis], axis))]


def _dense(tensor: Tensor) -> Tensor:
    """Return the tensor itself if each sample is one block of memory, else a contiguous copy."""
    return tensor if tensor.permute(_memory_order(tensor)).is_contiguous() else tensor.contiguous()


def _laid_out_like(tensor: Tensor, like: Tensor) -> Tensor:
    if tensor.stride() == like.stride() or tensor.permute(_memory_order(like)).is_contiguous():
        return tensor
    return torch.empty_like(like).copy_(tensor)


def _rows(tensor: Tensor) -> Tensor:
    """Return a dense tensor as (N, M), in the order of its memory."""
    return tensor.permute(_memory_order(tensor)).reshape(tensor.shape[0], -1)
