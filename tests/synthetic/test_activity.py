"""The language of activity against loops over the instances, written out by hand."""

from collections.abc import Callable
from itertools import combinations
from math import cos, exp, pi
from typing import NamedTuple

import numpy as np
import pytest

from genoplrp.errors import SpecError
from genoplrp.synthetic.activity import Instances, Sites, parse_activity
from genoplrp.synthetic.activity.response import exponential, gaussian, hill, logistic, periodic, step

N, LENGTH = 60, 100


class Site(NamedTuple):
    start: int
    end: int
    strand: int
    affinity: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


Sequence = dict[str, list[Site]]


def drawn(seed: int = 0) -> tuple[Sites, list[Sequence]]:
    """The same instances, none overlapping, as arrays and as lists, one dictionary a sequence."""
    rng = np.random.default_rng(seed)
    sequences: list[Sequence] = []
    for _ in range(N):
        names = [str(name) for name in rng.choice(["A", "B", "R"], rng.integers(0, 6))]
        starts = rng.choice(np.arange(0, LENGTH - 8, 8), len(names), replace=False)
        sequence: Sequence = {"A": [], "B": [], "R": []}
        for name, start in zip(names, starts.tolist(), strict=True):
            start += int(rng.integers(0, 3))
            end = start + {"A": 6, "B": 5, "R": 4}[name]
            sequence[name].append(Site(start, end, int(rng.choice([-1, 1])), float(rng.random())))
        sequence["AB"] = sequence["A"] + sequence["B"]
        sequences.append(sequence)
    instances = {}
    for name in ("A", "B", "R", "AB"):
        flat = [(row, *site) for row, sequence in enumerate(sequences) for site in sequence[name]]
        rng.shuffle(flat)
        instances[name] = Instances(*(np.array(column) for column in zip(*flat, strict=True)))
    classes = {"odd": np.arange(N) % 2}
    return Sites(np.full(N, LENGTH), instances, classes), sequences


def worth(sites: list[Site]) -> float:
    return sum(site.affinity for site in sites)


def gap(a: Site, b: Site) -> int:
    return max(a.start, b.start) - min(a.end, b.end)


def largest(values: list[float]) -> float:
    return max(values, default=0.0)


CASES: dict[str, Callable[[Sequence], float]] = {
    "2*A + B * near(A, B, 30) - R": lambda s: (
        2 * worth(s["A"])
        + worth(s["B"]) * any(gap(a, b) <= 30 for a in s["A"] for b in s["B"])
        - worth(s["R"])
    ),
    "count(A) - 0.5 * present(B)": lambda s: len(s["A"]) - 0.5 * bool(s["B"]),
    "A ** 2 / (1 + B)": lambda s: worth(s["A"]) ** 2 / (1 + worth(s["B"])),
    "A > B or not R": lambda s: float(worth(s["A"]) > worth(s["B"]) or worth(s["R"]) == 0),
    "0.2 < A <= 1 and B": lambda s: float(0.2 < worth(s["A"]) <= 1 and worth(s["B"]) != 0),
    "sum(A, exponential(center, 20))": lambda s: sum(
        a.affinity * exp(-abs(a.middle - LENGTH / 2) / 20) for a in s["A"]
    ),
    "sum(A, step(center, 25)) - sum(B, 1 - step(center, 25))": lambda s: (
        sum(a.affinity for a in s["A"] if abs(a.middle - 50) <= 25)
        - sum(b.affinity for b in s["B"] if abs(b.middle - 50) > 25)
    ),
    "sum(A, strand > 0) + best(A, strand < 0)": lambda s: (
        sum(a.affinity for a in s["A"] if a.strand > 0)
        + largest([a.affinity * (a.strand < 0) for a in s["A"]])
    ),
    "sum(A, affinity > 0.5)": lambda s: sum(a.affinity for a in s["A"] if a.affinity > 0.5),
    "sum(A, R * position)": lambda s: sum(a.affinity * worth(s["R"]) * a.middle for a in s["A"]),
    "pairs(A, B, gaussian(gap, sd=8, mean=10))": lambda s: sum(
        a.affinity * b.affinity * exp(-(((gap(a, b) - 10) / 8) ** 2) / 2) for a in s["A"] for b in s["B"]
    ),
    "pairs(A, A, periodic(distance))": lambda s: sum(
        a.affinity * b.affinity * (1 + cos(2 * pi * (a.middle - b.middle) / 10.5)) / 2
        for a, b in combinations(s["A"], 2)
    ),
    "pairs(A, AB)": lambda s: sum(
        a.affinity * b.affinity for a in s["A"] for b in s["AB"] if b is not a and b != a
    ),
    "pairs(A, B, same_strand * downstream)": lambda s: sum(
        a.affinity * b.affinity
        for a in s["A"]
        for b in s["B"]
        if a.strand == b.strand and (b.middle > a.middle) == (a.strand > 0)
    ),
    "near(A, B, exponential(gap, 2 * 5))": lambda s: largest(
        [exp(-gap(a, b) / 10) for a in s["A"] for b in s["B"]]
    ),
    "hill(A + B, 0.7, n=2) + 0*R": lambda s: (x := worth(s["A"]) + worth(s["B"])) ** 2 / (x**2 + 0.49),
    "logistic(4 * (A - R) - 1)": lambda s: 1 / (1 + exp(1 - 4 * (worth(s["A"]) - worth(s["R"])))),
    "max(A, B) - min('A', abs(-R)) + sqrt(exp(log(1 + A)))": lambda s: (
        max(worth(s["A"]), worth(s["B"])) - min(worth(s["A"]), worth(s["R"])) + (1 + worth(s["A"])) ** 0.5
    ),
}


@pytest.mark.parametrize("text", CASES)
def test_an_expression_is_worth_what_loops_over_the_instances_say(text: str) -> None:
    sites, sequences = drawn()
    expected = [CASES[text](sequence) for sequence in sequences]
    assert np.std(expected) > 0
    np.testing.assert_allclose(parse_activity(text)(sites), expected, rtol=1e-12, atol=1e-12)


def test_a_class_is_worth_one_where_a_sequence_belongs_to_it() -> None:
    sites, sequences = drawn()
    found = parse_activity("A + 2 * odd")(sites)
    expected = [worth(sequence["A"]) + 2 * (row % 2) for row, sequence in enumerate(sequences)]
    np.testing.assert_allclose(found, expected)


def test_a_profile_lies_around_each_instance_along_its_strand() -> None:
    sites, sequences = drawn()
    activity = parse_activity(
        "0.1 + sum(A, step(offset - 3, 2)) * (1 + present(B)) + pairs(A, B, gaussian(offset, 4))"
    )
    assert activity.profile
    found = activity.per_base(sites, LENGTH + 7)
    for row, s in enumerate(sequences):
        for x in range(LENGTH):
            offset = [(x + 0.5 - a.middle) * a.strand for a in s["A"]]
            expected = 0.1 + (1 + bool(s["B"])) * sum(
                a.affinity for a, at in zip(s["A"], offset, strict=True) if 1 <= at <= 5
            )
            expected += sum(
                a.affinity * b.affinity * exp(-((at / 4) ** 2) / 2)
                for a, at in zip(s["A"], offset, strict=True)
                for b in s["B"]
            )
            assert found[row, x] == pytest.approx(expected, abs=1e-12)
    assert not found[:, LENGTH:].any()


def test_kernels_have_their_values() -> None:
    x = np.array([-10.5, 0.0, 5.25, 10.5, 21.0])
    np.testing.assert_allclose(exponential(x, 10.5), np.exp([-1, 0, -0.5, -1, -2]))
    np.testing.assert_allclose(gaussian(x, 5.25, 5.25), np.exp([-4.5, -0.5, 0, -0.5, -4.5]))
    np.testing.assert_allclose(periodic(x), [1, 1, 0, 1, 1], atol=1e-12)
    np.testing.assert_allclose(periodic(x, 21, 10.5), [1, 0, 0.5, 1, 0], atol=1e-12)
    assert step(x, 10.5).tolist() == [1, 1, 1, 1, 0]
    x = np.array([-1.0, 0.0, 2.0, 4.0, 1e300])
    np.testing.assert_allclose(hill(x, 2.0), [0, 0, 1 / 2, 2 / 3, 1])
    np.testing.assert_allclose(hill(x, 2.0, 3.0), [0, 0, 1 / 2, 8 / 9, 1])
    np.testing.assert_allclose(logistic(np.array([-1e4, 0, np.log(3), 1e4])), [0, 0.5, 0.75, 1], atol=1e-15)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", None, "activity is empty"),
        ("1 + 2", None, "names no motif"),
        ("2*A + sine(B)", 7, "no function 'sine'"),
        ("2*A + exponentail(B, 3)", 7, "did you mean 'exponential'"),
        ("A +", 4, "invalid syntax"),
        ("A) + (B", 2, "unmatched"),
        ("A.__class__", 1, "not part of the language"),
        ("A + B[0]", 5, "not part of the language"),
        ("[A, B]", 1, "not part of the language"),
        ("A + (lambda: 1)()", 5, "is not a function"),
        ("__import__('os').system('x')", 1, "is not a function"),
        ("A + eval('1')", 5, "no function 'eval'"),
        ("A if B else 1", 1, "not part of the language"),
        ("A // 2", 1, "not part of the language"),
        ("A + True", 5, "no number"),
        ("A + 1j", 5, "no number"),
        ("A + distance", 5, "known only inside of pairs and near"),
        ("sum(A, gap)", 8, "known only inside of pairs and near"),
        ("pairs(A, B, center)", 13, "known only inside of sum and best"),
        ("sum(A, near(A, B, 3))", 8, "cannot stand inside"),
        ("sum(2 * A)", 5, "name of a motif"),
        ("near(A, 30)", 9, "name of a motif"),
        ("near(A, B)", 1, "needs a distance"),
        ("hill(A)", 1, r"hill\(x, half, n\) needs 2 to 3 arguments, not 1"),
        ("hill(A, 1, half=2)", 1, "no argument 'half' left"),
        ("hill(A, 1, m=2)", 1, "no argument 'm' left"),
        ("max(A)", 1, "needs 2 arguments, not 1"),
        ("A # two", 3, "'#'"),
        ("A + 1" + "0" * 400, 5, "too large"),
    ],
)
def test_mistakes_are_named_with_their_column(text: str, column: int | None, words: str) -> None:
    with pytest.raises(SpecError, match=words) as error:
        parse_activity(text)
    if column is not None:
        assert f", column {column}: " in str(error.value)


@pytest.mark.parametrize("text", ["(" * 3000 + "A", "-" * 3900 + "A", "A" + "+A" * 1900, "A" * 5000])
def test_monstrous_expressions_are_refused_or_read_but_crash_nothing(text: str) -> None:
    try:
        assert parse_activity(text).names
    except SpecError as error:
        assert "activity" in str(error)


def test_names_that_are_no_identifiers_stand_in_quotes() -> None:
    activity = parse_activity("  'TAL1::GATA1' + near('MA0035.4', distance, 3) * 'distance'")
    assert activity.names == {"TAL1::GATA1": 3, "MA0035.4": 24, "distance": 36}
    assert activity.of_instances == {"MA0035.4", "distance"}


def test_python_parses_the_same_as_it_was_written() -> None:
    sites, _ = drawn()
    one, other = parse_activity("A +\n 2 * B"), parse_activity("A + 2 * B")
    np.testing.assert_array_equal(one(sites), other(sites))


def test_no_instance_at_all_is_worth_nothing() -> None:
    none = Instances(*(np.zeros(0, dtype=int) for _ in range(4)), np.zeros(0))
    sites = Sites(np.array([50, 50]), {"A": none, "B": none})
    for text in ("A", "sum(A, center)", "best(A)", "pairs(A, B, gap)", "near(A, B, 3)", "count(A)"):
        assert parse_activity(text)(sites).tolist() == [0, 0]


def test_random_texts_are_read_or_refused_and_never_crash() -> None:
    rng = np.random.default_rng(0)
    sites, _ = drawn()
    tokens = [
        "A",
        "B",
        "odd",
        "'A'",
        "2",
        "0.5",
        "1e9",
        "+",
        "-",
        "*",
        "/",
        "**",
        "<",
        "==",
        "and",
        "not",
        "(",
        ")",
        ",",
    ]
    tokens += [
        "sum(",
        "pairs(",
        "near(",
        "hill(",
        "max(",
        "n=",
        "gap",
        "offset",
        "[",
        "]",
        ".",
        ":",
        "lambda",
        "if",
        "\n",
    ]
    read = 0
    for _ in range(12_000):
        text = " ".join(rng.choice(tokens, rng.integers(1, 9)))
        try:
            activity = parse_activity(text)
        except SpecError:
            continue
        read += 1
        if (
            set(activity.names) <= {"A", "B", "odd"}
            and "odd" not in activity.of_instances
            and not activity.profile
        ):
            assert activity(sites).shape == (N,)
    assert read > 100
