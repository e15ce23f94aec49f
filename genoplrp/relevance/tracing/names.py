"""What a torch function is called, and which ones only ask a question; not what they do with relevance."""

from __future__ import annotations

from collections.abc import Callable

import torch

# Activations whose last positional argument is ``inplace``.
ACTIVATIONS_IN_PLACE = frozenset(
    "leaky_relu elu selu celu hardtanh relu6 threshold _threshold rrelu relu silu mish hardswish hardsigmoid".split()
)

# Questions about a tensor: nothing of its relevance goes on.
QUERIES = frozenset(
    """
    size dim ndim shape dtype device layout numel nelement stride is_floating_point is_complex
    is_contiguous element_size storage_offset get_device is_cuda is_cpu is_mps is_sparse
    is_quantized is_mkldnn is_xpu is_meta is_xla requires_grad is_leaf grad_fn grad names __len__
    __repr__ __str__ __format__ __hash__ __bool__ _is_view data_ptr untyped_storage is_inference
    _version itemsize nbytes eq ne lt le gt ge __eq__ __ne__ __lt__ __le__ __gt__ __ge__ isnan isinf
    isfinite argmax argmin argsort bincount is_nonzero equal allclose isclose is_same_size is_tensor
    is_storage result_type is_signed zeros_like ones_like empty_like full_like rand_like randn_like
    new_zeros new_ones new_empty new_full new_tensor item tolist numpy all any logical_not
    logical_and logical_or __dir__ __class__ _has_names is_neg is_conj is_nested is_shared is_pinned
    nonzero __contains__ __array__ __float__ int bool len repr index
    """.split()
)


# Those of them whose answer a model may compute with.
READINGS = frozenset("argmax argmin argsort bincount tolist numpy nonzero __array__".split())


def function_name(func: Callable[..., object]) -> tuple[str, bool]:
    """Return a torch function's bare name and whether it works in place.

    ``torch.Tensor.add_`` and ``+=`` are ``("add", True)``; ``x + y`` and ``torch.add`` are ``("add", False)``.
    """
    name: str = getattr(func, "__name__", str(func))
    if name in ("__get__", "__set__", "__delete__"):
        owner = getattr(func, "__self__", None)
        return getattr(owner, "__name__", name), name == "__set__"
    if name.startswith("__") and name.endswith("__"):
        inner = name[2:-2]
        if inner == "float":  # a question; Tensor.float() is a conversion
            return name, False
        if inner in _IN_PLACE_OPERATORS:
            return inner[1:], True
        return _REFLECTED.get(inner, inner), inner == "setitem"
    name = name.split(".")[0]  # torch.ops: "add.Tensor"
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1], True
    return name, False


def qualified_name(func: Callable[..., object]) -> str:
    """Return a readable name for messages."""
    resolved = torch.overrides.resolve_name(func)
    return str(resolved or getattr(func, "__qualname__", None) or func)


_IN_PLACE_OPERATORS = {"iadd", "isub", "imul", "itruediv", "ipow", "imatmul", "idiv"}
_REFLECTED = {
    "radd": "add",
    "rmul": "mul",
    "rsub": "rsub",
    "rtruediv": "rdiv",
    "rdiv": "rdiv",
    "rpow": "rpow",
    "truediv": "div",
}
