"""Broken sites against all words that an intact site can have, on either strand, enumerated here."""

from collections.abc import Iterator, Sequence
from itertools import permutations, product

import numpy as np
import pytest
from specs import small

from genoplrp.errors import SpecError
from genoplrp.synthetic import Motif, simulate
from genoplrp.synthetic.breaking import SAME_WORDS, SiteRule
from genoplrp.synthetic.spec_parts import Site

WORDS = {"A": "GATAAG", "B": "CAGCTGTT", "C": "TGACTCA", "P": "CACGTG", "Q": "GTGAC", "R": "GTCAC"}
MOTIFS = [{"consensus": word, "name": name} for name, word in WORDS.items()]
GAP = 5


def reverse_complement(word: str) -> str:
    return word[::-1].translate(str.maketrans("ACGT", "TGCA"))


def word(names: Sequence[str], minus: Sequence[bool], gap: int = GAP) -> str:
    parts = [
        reverse_complement(WORDS[name]) if m else WORDS[name] for name, m in zip(names, minus, strict=True)
    ]
    return ("." * gap).join(parts)


def strands(orientation: str, n: int) -> list[tuple[bool, ...]]:
    every = list(product((False, True), repeat=n))
    if orientation in ("any", "same", "opposite"):
        sizes = {"any": {1, 2}, "same": {1}, "opposite": {2}}[orientation]
        return [minus for minus in every if len(set(minus)) in sizes]
    return [tuple(sign == "-" for sign in orientation)]


def intact_words(names: str, orientation: str, order: str) -> set[str]:
    """Every word of an intact site, and its reverse complement."""
    n = len(names)
    orders = permutations(range(n)) if order == "any" else [range(n)]
    found = {
        word([names[k] for k in places], [minus[k] for k in places])
        for places, minus in product(map(tuple, orders), strands(orientation, n))
    }
    return found | {reverse_complement(one) for one in found}


def can_be_broken(names: str, orientation: str, order: str, broken: str) -> bool:
    """Whether each intact site has a word of another order (or of other strands) that no intact site has."""
    n, intact = len(names), intact_words(names, orientation, order)
    if broken == "order":
        return order == "fixed" and all(
            any(
                word([names[k] for k in p], [minus[k] for k in p]) not in intact
                for p in permutations(range(n))
            )
            for minus in strands(orientation, n)
        )
    orders = list(permutations(range(n))) if order == "any" else [tuple(range(n))]
    return all(
        any(
            word([names[k] for k in p], [minus[k] ^ turn[k] for k in p]) not in intact
            for turn in product((False, True), repeat=n)
        )
        for p, minus in product(orders, strands(orientation, n))
    )


def designs() -> Iterator[tuple[str, str, str, str]]:
    for names, order in product(
        ("AB", "ABC", "AA", "ABA", "AAB", "AP", "PP", "PAB", "QR", "AQR"), ("fixed", "any")
    ):
        n = len(names)
        signs = ["+" * n, "+" * (n - 1) + "-"]
        for orientation, broken in product(
            ["any", "same", *(["opposite"] if n == 2 else []), *signs], ("order", "orientation", "spacing")
        ):
            yield names, orientation, order, broken


@pytest.mark.parametrize("minus", [0.0, 0.5])
def test_no_broken_site_has_the_word_of_an_intact_one_on_either_strand(minus: float) -> None:
    refused, made = 0, 0
    for names, orientation, order, broken in designs():
        possible = broken == "spacing" or can_be_broken(names, orientation, order, broken)
        site = {
            "motifs": list(names),
            "orientation": orientation,
            "order": order,
            "minus": minus,
            "spacing": GAP,
            "broken_spacing": 9,
        }
        plant = [{"site": "s", "broken": broken, "position": {"kind": "fixed", "start": 3}}]
        changes = {
            "motifs": MOTIFS,
            "sites": {"s": site},
            "tasks": [{"name": "y", "rule": "s"}],
            "classes": [
                {"name": "positive", "fraction": 0.5, "plant": [{"site": "s"}]},
                {"name": "negative", "fraction": 0.5, "plant": plant},
            ],
        }
        if not possible:
            with pytest.raises(SpecError, match=f"'s' cannot be broken in its {broken}"):
                small(**changes)
            refused += 1
            continue
        made += 1
        data = simulate(small(**changes), n=50, seed=3)
        intact = intact_words(names, orientation, order)
        seen = {0.0: set(), 1.0: set()}
        for number, table in data.instances.groupby("sequence"):
            start, end = table["start"].to_numpy(), table["end"].to_numpy()
            letters = data.sequences[number]
            one = letters[start[0] : end[0]]
            for k in range(1, len(start)):
                one += "." * (start[k] - end[k - 1]) + letters[start[k] : end[k]]
            seen[data.labels[number, 0]].add(one)
        assert seen[1.0] <= intact, (names, orientation, order)
        assert seen[0.0] and not seen[0.0] & intact, (names, orientation, order, broken)
    assert refused > 20 and made > 60


def test_a_set_in_a_site_is_broken_for_each_of_its_motifs_or_refused() -> None:
    motifs = {name: Motif.from_consensus(letters, name=name) for name, letters in WORDS.items()}
    rule = SiteRule(Site(("A", "B"), orientation="++"), [["A", "C"], ["B", "P"]], motifs)
    assert rule.unbreakable("order") is None and rule.unbreakable("orientation") is None
    both = SiteRule(Site(("A", "B"), orientation="++"), [["A", "B"], ["A", "B"]], motifs)
    assert both.unbreakable("order") is not None  # A before B and B before A are both intact
    assert both.unbreakable("orientation") is None


@pytest.mark.parametrize(("shift", "alike"), [(0.0, True), (0.05, True), (0.6, False)])
def test_matrices_that_nearly_read_the_same_on_both_strands_are_taken_for_palindromes(
    shift: float, alike: bool
) -> None:
    pwm = Motif.from_consensus("CACGTG").pwm * (1 - shift)
    pwm[0] += shift  # towards A everywhere, which the other strand has as T
    motif = Motif("M", pwm)
    words = ["".join(letters) for letters in product("ACGT", repeat=6)]
    p = np.array([np.prod([pwm["ACGT".index(b), k] for k, b in enumerate(one)]) for one in words])
    q = p[[words.index(reverse_complement(one)) for one in words]]
    assert (np.sqrt(p * q).sum() > SAME_WORDS) == alike
    rule = SiteRule(Site(("M", "M"), orientation="++"), [["M"], ["M"]], {"M": motif})
    assert rule.allows(("M", "M"), (False, True)) == alike
