"""Boolean rules over what a sequence holds, as in ``TAL1 and not GATA1``: parsed once, applied to many sequences.

A name stands for a motif, a set of motifs, a grammar site or a class of sequences. Alone it means *present*; in a
comparison it is the number of its instances. Operators, loosest first: ``or``, ``xor``, ``and``, ``not``, comparisons
(``SP1 >= 2``), sums (``SP1 + YY1 >= 3``). ``at_least(2, A, B, C)``, ``at_most`` and ``exactly`` count how many of
several are present. Names that are no identifiers stand in quotes: ``'TAL1::GATA1' and GATA1``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Bool, Int

from genoplrp.errors import SpecError

_Counts = Mapping[str, np.ndarray]
_Evaluate = Callable[[_Counts], np.ndarray]

_TOKEN = re.compile(r"\s*(?:(\d+)|'([^']*)'|\"([^\"]*)\"|([A-Za-z_][\w.]*)|(>=|<=|==|!=|[<>()+,]))")
_COMPARE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ">=": np.greater_equal,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
}
_K_OF_N: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "at_least": lambda present, k: present >= k,
    "at_most": lambda present, k: present <= k,
    "exactly": lambda present, k: present == k,
}
_WORDS = {"and", "or", "xor", "not"}


@dataclass(frozen=True, eq=False)
class Rule:
    """A parsed rule.

    Attributes
    ----------
    text : str
        As it was written.
    names : tuple of str
        The motifs, sets and sites that it names, in order of appearance.

    Examples
    --------
    >>> rule = parse_rule("TAL1 and not GATA1")
    >>> rule({"TAL1": np.array([1, 2, 0]), "GATA1": np.array([0, 1, 0])}).tolist()
    [True, False, False]
    """

    text: str
    names: tuple[str, ...]
    evaluate: _Evaluate

    def __call__(self, counts: Mapping[str, Int[np.ndarray, " n"]]) -> Bool[np.ndarray, " n"]:
        """Apply the rule to the numbers of instances of each name in each sequence."""
        return self.evaluate(counts)


@lru_cache(maxsize=1024)
def parse_rule(text: str) -> Rule:
    """Parse a rule.

    Parameters
    ----------
    text : str
        The rule.

    Returns
    -------
    Rule

    Raises
    ------
    SpecError
        If it is not well formed; the message says where.
    """
    parser = _Parser(text)
    evaluate = parser.either()
    parser.expect_end()
    return Rule(text, tuple(dict.fromkeys(parser.names)), evaluate)


class _Parser:
    """Recursive descent over the tokens, each method one level of precedence."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.at = 0
        self.names: list[str] = []

    def either(self) -> _Evaluate:
        return self._chain("or", self._exclusive, np.logical_or)

    def expect_end(self) -> None:
        if self._peek() is not None:
            raise self._error("'and', 'or', 'xor', a comparison or the end")

    def _exclusive(self) -> _Evaluate:
        return self._chain("xor", self._all, np.logical_xor)

    def _all(self) -> _Evaluate:
        return self._chain("and", self._negated, np.logical_and)

    def _chain(self, word: str, level: Callable[[], _Evaluate], join: Callable[..., np.ndarray]) -> _Evaluate:
        parts = [level()]
        while self._take(word):
            parts.append(level())
        if len(parts) == 1:
            return parts[0]
        return lambda counts: reduce(join, (part(counts) for part in parts))

    def _negated(self) -> _Evaluate:
        if self._take("not"):
            inner = self._negated()
            return lambda counts: np.logical_not(inner(counts))
        return self._comparison()

    def _comparison(self) -> _Evaluate:
        if self._take("("):
            inner = self.either()
            if not self._take(")"):
                raise self._error("')'")
            return inner
        kind, value = self._peek() or ("", "")
        if kind == "name" and value in _K_OF_N:
            return self._k_of_n(value)
        left = self._sum()
        kind, value = self._peek() or ("", "")
        if value in _COMPARE and kind == "sign":
            self.at += 1
            right, compare = self._sum(), _COMPARE[value]
            return lambda counts: compare(left(counts), right(counts))
        return lambda counts: left(counts) > 0

    def _k_of_n(self, function: str) -> _Evaluate:
        self.at += 1
        if not self._take("("):
            raise self._error("'('")
        kind, number = self._peek() or ("", "")
        if kind != "number":
            raise self._error("a number")
        self.at += 1
        parts = []
        while self._take(","):
            parts.append(self._term())
        if not parts or not self._take(")"):
            raise self._error("',' and a name, or ')'")
        test = _K_OF_N[function]
        return lambda counts: test(sum((part(counts) > 0).astype(np.int64) for part in parts), int(number))  # type: ignore[arg-type]

    def _sum(self) -> _Evaluate:
        parts = [self._term()]
        while self._take("+"):
            parts.append(self._term())
        if len(parts) == 1:
            return parts[0]
        return lambda counts: reduce(np.add, (part(counts) for part in parts))

    def _term(self) -> _Evaluate:
        kind, value = self._peek() or ("", "")
        if kind == "number":
            self.at += 1
            return lambda counts: np.asarray(int(value))
        if kind != "name" or value in _WORDS:
            raise self._error("the name of a motif, a set or a site")
        self.at += 1
        self.names.append(value)
        return lambda counts: np.asarray(counts[value])

    def _peek(self) -> tuple[str, str] | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _take(self, value: str) -> bool:
        token = self._peek()
        if token is None or token[1] != value or token[0] == "quoted":
            return False
        self.at += 1
        return True

    def _error(self, expected: str) -> SpecError:
        token = self._peek()
        found = "the end" if token is None else repr(token[1])
        return SpecError(f"rule {self.text!r}: expected {expected}, found {found}.")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    if not text.strip():
        raise SpecError("rule is empty; write which motifs, sets or sites must be present.")
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            wrong = at + len(text[at:]) - len(text[at:].lstrip())
            raise SpecError(f"rule {text!r}: {text[wrong]!r} at position {wrong} is not understood.")
        number, single, double, name, sign = match.groups()
        if number is not None:
            yield "number", number
        elif name is not None:
            yield "name", name
        elif sign is not None:
            yield "sign", sign
        else:
            yield "name", single if single is not None else double
        at = match.end()
