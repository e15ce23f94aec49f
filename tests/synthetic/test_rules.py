import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoplrp.errors import SpecError
from genoplrp.synthetic.rules import parse_rule

NAMES = ["A", "B", "C_1", "D"]


def expressions() -> st.SearchStrategy[tuple[str, str]]:
    """A rule, and the same thing as Python over the dictionary ``n`` of counts."""
    name = st.sampled_from(NAMES)
    present = name.map(lambda x: (x, f"(n['{x}'] > 0)"))
    compare = st.tuples(name, st.sampled_from([">=", "<=", "==", "!=", ">", "<"]), st.integers(0, 3)).map(
        lambda t: (f"{t[0]} {t[1]} {t[2]}", f"(n['{t[0]}'] {t[1]} {t[2]})")
    )
    total = st.tuples(name, name, st.integers(0, 4)).map(
        lambda t: (f"{t[0]} + {t[1]} >= {t[2]}", f"(n['{t[0]}'] + n['{t[1]}'] >= {t[2]})")
    )
    k_of_n = st.tuples(
        st.sampled_from([("at_least", ">="), ("at_most", "<="), ("exactly", "==")]), st.integers(0, 3)
    ).map(lambda t: (f"{t[0][0]}({t[1]}, A, B, D)", f"(sum(n[x] > 0 for x in 'ABD') {t[0][1]} {t[1]})"))
    python = {"and": "and", "or": "or", "xor": "!="}

    def extend(inner: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[tuple[str, str]]:
        joined = st.tuples(inner, st.sampled_from(list(python)), inner).map(
            lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", f"({t[0][1]} {python[t[1]]} {t[2][1]})")
        )
        return joined | inner.map(lambda t: (f"not ({t[0]})", f"(not {t[1]})"))

    return st.recursive(present | compare | total | k_of_n, extend, max_leaves=8)


@settings(max_examples=200)
@given(expressions(), st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_rules_mean_what_python_would_say(pair: tuple[str, str], counts: list[list[int]]) -> None:
    text, python = pair
    table = {name: np.array(column) for name, column in zip(NAMES, np.array(counts).T, strict=True)}
    rows = [dict(zip(NAMES, row, strict=True)) for row in counts]
    expected = [bool(eval(python, {"n": row})) for row in rows]
    assert np.broadcast_to(parse_rule(text)(table), len(rows)).tolist() == expected


@pytest.mark.parametrize(
    ("text", "a", "b", "c", "expected"),
    [
        ("A or B and C", 1, 0, 0, True),
        ("A or B xor C", 1, 1, 0, True),
        ("A xor B and C", 1, 1, 0, True),
        ("not A and B", 0, 1, 0, True),
        ("not A == 1", 2, 0, 0, True),
        ("A xor B xor C", 1, 1, 1, True),
    ],
)
def test_precedence_is_or_xor_and_not_comparison(text: str, a: int, b: int, c: int, expected: bool) -> None:
    assert bool(parse_rule(text)({"A": np.array([a]), "B": np.array([b]), "C": np.array([c])})[0]) is expected


def test_names_that_are_no_identifiers_stand_in_quotes() -> None:
    rule = parse_rule("'TAL1::GATA1' and \"X-1\"")
    assert rule.names == ("TAL1::GATA1", "X-1")
    assert rule({"TAL1::GATA1": np.array([1, 1]), "X-1": np.array([0, 2])}).tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("A and", "found the end"),
        ("A B", "found 'B'"),
        ("(A", r"expected '\)'"),
        ("A && B", "'&' at position 2"),
        ("at_least(A, B)", "expected a number"),
        ("at_least(2)", "expected"),
        ("and A", "expected the name"),
        ("A >= and", "expected the name"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_rule(text)
