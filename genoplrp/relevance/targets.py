"""What is explained, as it is said on the command line: ``1``, ``0,2``, ``0,:``, ``donor:0,2``, ``1-0``, ``sum``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from genoplrp.errors import InputError

SYNTAX = (
    "an index (1), one for each axis of the output behind N (0,2; a colon sums over an axis: 0,:), behind the name or "
    "number of an output where there are several (donor:0,2), a difference (1-0), or sum"
)
_TERM = re.compile(
    r"(?:(?P<output>[^:,]+):)?(?P<indices>-?\d+|:)(?:,(?P<more>(?:-?\d+|:)(?:,(?:-?\d+|:))*))?"
)


OneOutput: TypeAlias = int | Callable[[Any], Tensor]
"""An output's index, or a function from the model's output to one number for each sequence."""


@dataclass(frozen=True)
class Term:
    """One number of a model's output for each sequence.

    Attributes
    ----------
    text
        As it was said.
    output
        Name or number of the tensor, where the model returns several.
    indices
        One an axis behind that of the sequences; None sums over it.
    outputs
        Names of the tensors of a tuple, in order, where they are known.
    """

    text: str
    output: str | None
    indices: tuple[int | None, ...]
    outputs: tuple[str, ...] | None = None

    def __call__(self, y: Any) -> Tensor:
        """Return the number of each sequence, (N,).

        Raises
        ------
        InputError
            If the output has no such entry.
        """
        tensor = self._tensor(y)
        if tensor.dim() == 1:
            tensor = tensor[:, None]
        indices = self._by_axis(tensor)
        for index in reversed(indices):  # the last axis first: the others keep their place
            tensor = tensor.sum(dim=-1) if index is None else tensor[..., index]
        return tensor

    def _tensor(self, y: Any) -> Tensor:
        if isinstance(y, Tensor):
            if self.output not in (None, "0", *(self.outputs or ())):
                raise InputError(
                    f"target {self.text}: the model returns one output, without the name {self.output!r}"
                )
            return y
        named = (
            y if isinstance(y, dict) else dict(zip(self.outputs or map(str, range(len(y))), y, strict=False))
        )
        numbered = list(named.values())
        known = ", ".join(map(str, named))
        if self.output is None:
            raise InputError(
                f"target {self.text}: the model returns {len(named)} outputs ({known}): say which, e.g. --target "
                f"{next(iter(named))}:{self.text}"
            )
        if self.output in named:
            found: Tensor = named[self.output]
            return found
        if self.output.isdigit() and int(self.output) < len(numbered):
            return numbered[int(self.output)]  # type: ignore[no-any-return]
        raise InputError(f"target {self.text}: there is no output {self.output!r}; the model returns {known}")

    def _by_axis(self, tensor: Tensor) -> list[int | None]:
        sizes = list(tensor.shape[1:])
        shape = ", ".join(map(str, ["N", *sizes]))
        if len(self.indices) == len(sizes):
            indices = list(self.indices)
        elif len(self.indices) == sum(size != 1 for size in sizes):  # axes of length 1 need no saying
            rest = iter(self.indices)
            indices = [0 if size == 1 else next(rest) for size in sizes]
        else:
            raise InputError(
                f"target {self.text}: the output has shape ({shape}): give one index for "
                f"each axis behind N, e.g. --target {','.join(['0'] * len(sizes))}; a colon sums over an axis"
            )
        for index, size in zip(indices, sizes, strict=True):
            if index is not None and not -size <= index < size:
                raise InputError(
                    f"target {self.text}: {index} is out of range: the output has shape ({shape})"
                )
        return indices


@dataclass(frozen=True)
class Difference:
    """The difference of two numbers of a model's output.

    Attributes
    ----------
    text
        As it was said.
    plus, minus
        The two.
    """

    text: str
    plus: Callable[[Any], Tensor]
    minus: Callable[[Any], Tensor]

    def __call__(self, y: Any) -> Tensor:
        """Return it for each sequence, (N,)."""
        return self.plus(y) - self.minus(y)


def output_target(
    target: str | int, tasks: Sequence[str] | None, outputs: Sequence[str] | None = None
) -> tuple[OneOutput, str]:
    """Turn a target as a user names it into one the engine takes, and into a name.

    Parameters
    ----------
    target : str or int
        Name of a task, or `SYNTAX`.
    tasks : sequence of str or None
        Names of the columns of an output (N, T).
    outputs : sequence of str or None
        Names of the tensors, where the model returns several.

    Raises
    ------
    InputError
        If there is no such output, or it cannot be read.

    Examples
    --------
    >>> import torch
    >>> target, name = output_target("0,2", None)
    >>> target(torch.arange(12).reshape(2, 2, 3)).tolist()
    [2, 8]
    """
    tasks = tuple(tasks) if tasks else None
    text = str(target).strip()
    if tasks and text in tasks:
        return tasks.index(text), text
    if text == "sum":
        return sum_of_outputs, "sum"
    if tasks and re.fullmatch(r"-?\d+", text):
        return _index_of(int(text), tasks)
    found = _term(text, tasks, outputs) or _difference(text, tasks, outputs)
    if found is not None:
        return found, text
    if tasks:
        raise InputError(f"the model has no output {text!r}; it has {', '.join(tasks)}")
    raise InputError(f"target {text}: the model has no output {text!r}; give {SYNTAX}")


def _index_of(index: int, tasks: tuple[str, ...]) -> tuple[int, str]:
    if not 0 <= index < len(tasks):
        raise InputError(
            f"target {index} is out of range: the model has {len(tasks)} "
            f"{'task' if len(tasks) == 1 else 'tasks'} ({', '.join(tasks)})"
        )
    return index, tasks[index]


def _difference(text: str, tasks: tuple[str, ...] | None, outputs: Sequence[str] | None) -> Difference | None:
    """Return ``a-b``; a dash may stand in a name, too."""
    for dash in (i for i, letter in enumerate(text) if letter == "-" and i):
        plus, minus = (_term(part, tasks, outputs) for part in (text[:dash], text[dash + 1 :]))
        if plus is not None and minus is not None:
            return Difference(text, plus, minus)
    return None


def _term(text: str, tasks: tuple[str, ...] | None, outputs: Sequence[str] | None) -> Term | None:
    text = text.strip()
    names = tuple(outputs) if outputs else None
    if tasks and text in tasks:
        return Term(text, None, (tasks.index(text),), names)
    if names and text in names:
        return Term(text, text, (0,), names)
    found = _TERM.fullmatch(text)
    if found is None:
        return None
    parts = [found["indices"], *(found["more"] or "").split(",")]
    return Term(text, found["output"], tuple(None if p == ":" else int(p) for p in parts if p), names)


def sum_of_outputs(y: Any) -> Tensor:
    """Sum of all that a model returns for each sequence."""
    if isinstance(y, dict):
        y = list(y.values())
    if isinstance(y, tuple | list):
        total: Tensor = sum(sum_of_outputs(part) for part in y)  # type: ignore[assignment]
        return total
    flat: Tensor = y.flatten(1).sum(dim=1) if y.dim() > 1 else y
    return flat
