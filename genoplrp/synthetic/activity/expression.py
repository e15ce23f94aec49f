"""The language: an expression read by Python's own parser, every node checked against a short list, nothing executed.

A name is a motif, a set, a site or a class of sequences; a name that is not an identifier is quoted. A motif or set
is worth the sum of its instances' affinities, a site the sum over its instances of the product of its motifs'
affinities, a class 1 or 0. Around them:

- arithmetic ``+ - * / **``, comparisons and ``and``, ``or``, ``not`` (1 or 0), parentheses, numbers;
- functions of numbers: see `genoplrp.synthetic.activity.response`;
- ``count(A)``: the number of instances; ``present(A)``: 1 if there is one;
- ``sum(A, e)``, ``best(A, e)``: sum and largest value over the instances of affinity times ``e``, which may name
  ``position`` (of the middle, bp), ``center`` (signed distance from the sequence's middle, bp), ``strand`` (1 or -1)
  and ``affinity``; in a profile ``offset`` too, the distance of a base from the instance's middle along its strand, bp;
- ``pairs(A, B, e)``: sum over the pairs of an instance of A and another one of B of both affinities times ``e``, which
  may name ``distance`` (of the middles, bp), ``gap`` (bases between), ``same_strand`` and ``downstream`` (1 where B
  lies 3' of A on A's strand); ``offset`` is that of A;
- ``near(A, B, e)``: the largest ``e`` over these pairs, 0 where there is none; a number w stands for ``step(gap, w)``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from genoplrp.errors import SpecError
from genoplrp.synthetic.activity.response import FUNCTIONS, parameters, step
from genoplrp.synthetic.activity.sites import Instances, Sites
from genoplrp.synthetic.suggestion import suggestion

_LONGEST = 4000

_Level = Literal["sequence", "instance", "pair"]
_OPERATORS: dict[type[ast.operator], Callable[..., np.ndarray]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[..., np.ndarray]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_LOCALS: dict[_Level, tuple[str, ...]] = {
    "sequence": (),
    "instance": ("position", "center", "strand", "affinity", "offset"),
    "pair": ("distance", "gap", "same_strand", "downstream", "offset"),
}
_OVER: dict[str, _Level] = {"sum": "instance", "best": "instance", "pairs": "pair", "near": "pair"}
_COUNTING = ("count", "present")


class _Scope(NamedTuple):
    """What is known where a part of the expression is evaluated: the sequences, and one row for each value wanted."""

    sites: Sites
    row: np.ndarray
    known: Mapping[str, np.ndarray]


_Evaluate = Callable[[_Scope], np.ndarray]


@dataclass(frozen=True, eq=False)
class Activity:
    """A parsed expression.

    Attributes
    ----------
    text : str
        As it was written.
    names : dict of str to int
        The motifs, sets, sites and classes that it names, each with the column where it first stands, from 1.
    of_instances : set of str
        Those of them of which instances are asked for, which a class has none of.
    profile : bool
        Whether it has a value for every base: it names ``offset``.

    Examples
    --------
    >>> from genoplrp.synthetic.activity import Instances, Sites
    >>> a, b = (Instances(*map(np.array, ([0], [s], [s + 6], [1], [0.5]))) for s in (10, 30))
    >>> sites = Sites(np.array([60]), {"A": a, "B": b})
    >>> float(parse_activity("2*A + B * near(A, B, 30)")(sites)[0])
    1.5
    """

    text: str
    names: Mapping[str, int]
    of_instances: frozenset[str]
    profile: bool
    evaluate: _Evaluate

    def __call__(self, sites: Sites) -> Float[np.ndarray, " n"]:
        """Value of each sequence."""
        return np.asarray(self._values(sites, {})[:, 0])

    def per_base(self, sites: Sites, length: int) -> Float[np.ndarray, "n length"]:
        """Value of each base of sequences padded to ``length``; 0 beyond a sequence's own end."""
        x = np.arange(length)[None] + 0.5
        values = np.broadcast_to(self._values(sites, {"base": x}), (sites.n, length))
        return np.where(x < sites.lengths[:, None], values, 0.0)

    def _values(self, sites: Sites, known: Mapping[str, np.ndarray]) -> np.ndarray:
        with np.errstate(
            all="ignore"
        ):  # what is not finite is refused by the caller, which knows the sequence
            value = self.evaluate(_Scope(sites, np.arange(sites.n), known))
        return np.asarray(np.broadcast_to(value, (sites.n, np.shape(value)[1] if np.ndim(value) else 1)))


@lru_cache(maxsize=1024)
def parse_activity(text: str) -> Activity:
    """Parse an expression.

    Parameters
    ----------
    text : str
        The expression.

    Returns
    -------
    Activity

    Raises
    ------
    SpecError
        If it is not well formed, or holds anything that the language does not have; the message says in which column.
    """
    line = text.replace("\n", " ")
    if not line.strip():
        raise SpecError("activity is empty; write what the sites are worth, as in 2*A + B.")
    if len(line) > _LONGEST:
        raise SpecError(f"activity has {len(line)} characters; at most {_LONGEST} are read.")
    indent = len(line) - len(line.lstrip())
    if "#" in line:
        raise _error(text, line.index("#"), "'#' is not understood")
    try:
        tree = ast.parse(line.strip(), mode="eval")
    except SyntaxError as error:
        # At the end of the text the parser names no column.
        ended = not error.offset or (error.lineno or 1) > 1
        at = len(line.strip()) if ended else (error.offset or 1) - 1
        raise _error(text, indent + at, error.msg) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise SpecError(f"activity cannot be read: {error or 'it is nested too deeply'}.") from None
    reader = _Reader(text, indent)
    try:
        evaluate = reader.read(tree.body)
    except RecursionError:
        raise SpecError("activity is nested too deeply; write it with fewer parentheses.") from None
    if not reader.names:
        raise SpecError(f"activity {text!r} names no motif, set or site; it would be the same everywhere.")
    return Activity(text, reader.names, frozenset(reader.of_instances), reader.profile, evaluate)


class _Reader:
    """Turns nodes into functions of a scope; what is not on the list is refused with its column."""

    def __init__(self, text: str, indent: int) -> None:
        self.text, self.indent = text, indent
        self.level: _Level = "sequence"
        self.names: dict[str, int] = {}
        self.of_instances: set[str] = set()
        self.profile = False

    def read(self, node: ast.expr) -> _Evaluate:
        """Read one node."""
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return self._joined(_OPERATORS[type(node.op)], node.left, node.right)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd | ast.Not):
            return self._unary(node.op, node.operand)
        if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
            return self._compared(node)
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            parts = [self.read(part) for part in node.values]
            return lambda scope: _as_number(reduce(join, (part(scope) != 0 for part in parts)))
        if isinstance(node, ast.Call):
            return self._call(node)
        raise self._wrong(node, f"{_written(node)} is not part of the language")

    def _constant(self, node: ast.Constant) -> _Evaluate:
        if isinstance(node.value, str):
            return self._site(node.value, node)
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self._wrong(node, f"{node.value!r} is no number")
        try:
            value = np.array(float(node.value))
        except OverflowError:
            raise self._wrong(node, "the number is too large") from None
        return lambda scope: value

    def _name(self, node: ast.Name) -> _Evaluate:
        name = node.id
        if name in _LOCALS[self.level]:
            self.profile |= name == "offset"
            return lambda scope: scope.known[name]
        here = [over for over, level in _OVER.items() if name in _LOCALS[level]]
        if here:
            raise self._wrong(
                node, f"{name!r} is known only inside of {' and '.join(here)} (a motif of that name: quotes)"
            )
        return self._site(name, node)

    def _site(self, name: str, node: ast.expr) -> _Evaluate:
        self._note(name, node)
        return lambda scope: _worth(scope.sites, name)[scope.row]

    def _joined(self, join: Callable[..., np.ndarray], left: ast.expr, right: ast.expr) -> _Evaluate:
        one, other = self.read(left), self.read(right)
        return lambda scope: join(one(scope), other(scope))

    def _unary(self, op: ast.unaryop, operand: ast.expr) -> _Evaluate:
        inner = self.read(operand)
        if isinstance(op, ast.Not):
            return lambda scope: _as_number(inner(scope) == 0)
        return (lambda scope: -inner(scope)) if isinstance(op, ast.USub) else inner

    def _compared(self, node: ast.Compare) -> _Evaluate:
        parts = [self.read(part) for part in (node.left, *node.comparators)]
        compare = [_COMPARE[type(op)] for op in node.ops]

        def evaluate(scope: _Scope) -> np.ndarray:
            values = [part(scope) for part in parts]
            held = (test(values[k], values[k + 1]) for k, test in enumerate(compare))
            return _as_number(reduce(np.logical_and, held))

        return evaluate

    def _call(self, node: ast.Call) -> _Evaluate:
        if not isinstance(node.func, ast.Name):
            raise self._wrong(node, f"{_written(node.func)} is not a function")
        name = node.func.id
        if name in FUNCTIONS:
            return self._function(name, node)
        if name not in _OVER and name not in _COUNTING:
            known = [*FUNCTIONS, *_OVER, *_COUNTING]
            raise self._wrong(node, f"there is no function {name!r}; {suggestion(name, known).rstrip('.')}")
        if node.keywords:
            raise self._wrong(node, f"the arguments of {name} have no names")
        if self.level != "sequence":
            raise self._wrong(node, f"{name} cannot stand inside of sum, best, pairs or near")
        if name in _COUNTING:
            return self._counting(name, node)
        return self._over_pairs(name, node) if _OVER[name] == "pair" else self._over_instances(name, node)

    def _function(self, name: str, node: ast.Call) -> _Evaluate:
        function, (places, needed) = FUNCTIONS[name], parameters(name)
        given: dict[int, _Evaluate] = {}
        for k, argument in enumerate(node.args):
            given[k] = self.read(argument)
        for keyword in node.keywords:
            if not keyword.arg or keyword.arg not in places or places.index(keyword.arg) in given:
                said = keyword.arg or "**"
                raise self._wrong(node, f"{name} has no argument {said!r} left to give")
            given[places.index(keyword.arg)] = self.read(keyword.value)
        if not set(range(needed)) <= set(given) <= set(range(len(places))):
            wanted = ", ".join(place or f"x{k}" for k, place in enumerate(places))
            raise self._wrong(
                node, f"{name}({wanted}) needs {_number(needed, len(places))}, not {len(given)}"
            )
        if not places[0]:
            return lambda scope: function(*(given[k](scope) for k in range(len(places))))
        return lambda scope: function(**{places[k]: value(scope) for k, value in given.items()})

    def _counting(self, name: str, node: ast.Call) -> _Evaluate:
        site = self._sites_of(name, node, 1, 1)[0]

        def evaluate(scope: _Scope) -> np.ndarray:
            count = np.bincount(scope.sites.instances[site].row, minlength=scope.sites.n)[:, None]
            return _as_number(count > 0 if name == "present" else count)

        return evaluate

    def _over_instances(self, name: str, node: ast.Call) -> _Evaluate:
        site = self._sites_of(name, node, 1, 2)[0]
        inner = self._inside("instance", node.args[1] if len(node.args) > 1 else None)
        gather = _sum_by_row if name == "sum" else _largest_by_row

        def evaluate(scope: _Scope) -> np.ndarray:
            found = scope.sites.instances[site]
            known = _of_instance(found, scope.sites, scope.known)
            value = found.affinity[:, None] * inner(_Scope(scope.sites, found.row, known))
            return gather(value, found.row, scope.sites.n)

        return evaluate

    def _over_pairs(self, name: str, node: ast.Call) -> _Evaluate:
        one, other = self._sites_of(name, node, 2, 3)
        third = node.args[2] if len(node.args) > 2 else None
        if name == "near" and third is None:
            raise self._wrong(node, "near(A, B, w) needs a distance in bp, or an expression")
        inner = self._inside("pair", third)
        within = name == "near" and not (third and _named(third) & set(_LOCALS["pair"]))

        def evaluate(scope: _Scope) -> np.ndarray:
            sites, pairs = scope.sites, scope.sites.pairs(one, other)
            a, b = sites.instances[one].chosen(pairs.first), sites.instances[other].chosen(pairs.second)
            known = _of_pair(a, b, scope.known)
            value = inner(_Scope(sites, pairs.row, known))
            if name == "near":
                return _largest_by_row(step(known["gap"], value) if within else value, pairs.row, sites.n)
            return _sum_by_row((a.affinity * b.affinity)[:, None] * value, pairs.row, sites.n)

        return evaluate

    def _inside(self, level: _Level, node: ast.expr | None) -> _Evaluate:
        if node is None:
            return lambda scope: np.array(1.0)
        before, self.level = self.level, level
        inner = self.read(node)
        self.level = before
        return inner

    def _sites_of(self, function: str, node: ast.Call, names: int, most: int) -> list[str]:
        """The names that a function's first arguments are."""
        if not names <= len(node.args) <= most:
            raise self._wrong(node, f"{function} needs {_number(names, most)}, not {len(node.args)}")
        found = []
        for argument in node.args[:names]:
            name = argument.id if isinstance(argument, ast.Name) else getattr(argument, "value", None)
            if not isinstance(name, str) or isinstance(argument, ast.Attribute):
                raise self._wrong(argument, f"{function} needs the name of a motif, set or site here")
            self._note(name, argument)
            self.of_instances.add(name)
            found.append(name)
        return found

    def _note(self, name: str, node: ast.expr) -> None:
        self.names.setdefault(name, self.indent + node.col_offset + 1)

    def _wrong(self, node: ast.expr, what: str) -> SpecError:
        return _error(self.text, self.indent + node.col_offset, what)


def _worth(sites: Sites, name: str) -> np.ndarray:
    """What a name alone is worth in each sequence, (n, 1)."""
    if name in sites.classes:
        return np.asarray(sites.classes[name], dtype=np.float64)[:, None]
    found = sites.instances[name]
    return np.bincount(found.row, weights=found.affinity, minlength=sites.n)[:, None]


def _of_instance(a: Instances, sites: Sites, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    values = {
        "position": a.middle,
        "center": a.middle - sites.lengths[a.row] / 2,
        "strand": a.strand.astype(np.float64),
        "affinity": a.affinity,
    }
    return {name: value[:, None] for name, value in values.items()} | _offset(a, known)


def _of_pair(a: Instances, b: Instances, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    apart = b.middle - a.middle
    values = {
        "distance": np.abs(apart),
        "gap": np.maximum(a.start, b.start) - np.minimum(a.end, b.end),
        "same_strand": a.strand == b.strand,
        "downstream": apart * a.strand > 0,
    }
    return {name: _as_number(value[:, None]) for name, value in values.items()} | _offset(a, known)


def _offset(a: Instances, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if "base" not in known:
        return {}
    return {"offset": (known["base"] - a.middle[:, None]) * a.strand[:, None]}


def _sum_by_row(value: np.ndarray, row: np.ndarray, n: int) -> np.ndarray:
    if value.shape[1] == 1:
        return np.bincount(row, weights=value[:, 0], minlength=n)[:, None]
    order = np.argsort(row, kind="stable")
    rows, first = np.unique(row[order], return_index=True)
    total = np.zeros((n, value.shape[1]))
    if len(rows):
        total[rows] = np.add.reduceat(value[order], first, axis=0)
    return total


def _largest_by_row(value: np.ndarray, row: np.ndarray, n: int) -> np.ndarray:
    """Largest value of each row; 0 where there is none."""
    largest = np.full((n, value.shape[1]), -np.inf)
    np.maximum.at(largest, row, value)
    return np.where(np.bincount(row, minlength=n)[:, None] > 0, largest, 0.0)


def _named(node: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _as_number(value: np.ndarray) -> np.ndarray:
    return np.asarray(value, dtype=np.float64)


def _number(least: int, most: int) -> str:
    return f"{least} argument{'s' if least > 1 else ''}" if least == most else f"{least} to {most} arguments"


def _written(node: ast.AST) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _error(text: str, at: int, what: str) -> SpecError:
    return SpecError(f"activity {text!r}, column {at + 1}: {what}.")
