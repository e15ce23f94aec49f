"""Classes that differ in what they are planted into: a shortcut on purpose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from specs import small, table

from genoplrp.errors import InputError, SpecError
from genoplrp.sequence import encode_codes
from genoplrp.synthetic import Dataset, load_spec, simulate
from genoplrp.synthetic.oracle import oracle_scores


def classes(background: dict[str, Any], plant: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": "rich", "fraction": 0.5, "plant": plant, "background": background},
        {"name": "common", "fraction": 0.5, "plant": plant},
    ]


def gc(data: Dataset) -> np.ndarray:
    return np.array([(s.count("G") + s.count("C")) / len(s) for s in data.sequences])


def test_a_class_has_the_gc_content_of_its_own_background() -> None:
    data = simulate(
        small(classes=classes({"kind": "gc", "gc": 0.7}, []), tasks=[{"name": "label", "rule": "rich"}]),
        n=2000,
    )
    assert data.classes is not None
    for name, expected in (("rich", 0.7), ("common", 0.5)):
        found = gc(data)[data.classes == name]
        assert found.mean() == pytest.approx(expected, abs=5 * np.sqrt(0.25 / 60 / 1000))


def test_other_classes_keep_their_sequences() -> None:
    # "rich" stands first: its own background is drawn after the common one, and nothing is planted.
    with_one, without = (
        simulate(small(classes=made, tasks=[{"name": "label", "rule": "rich"}]), n=100)
        for made in (
            classes({"kind": "gc", "gc": 0.7}, []),
            [{key: v for key, v in one.items() if key != "background"} for one in classes({}, [])],
        )
    )
    assert with_one.classes is not None
    common = np.flatnonzero(with_one.classes == "common")
    assert all(with_one.sequences[i] == without.sequences[i] for i in common)


def test_removing_accidental_hits_keeps_the_background_of_the_class() -> None:
    spec = small(
        classes=classes({"kind": "gc", "gc": 1.0}, [{"motifs": "A"}]),
        motifs=[{"consensus": "GCCGCG", "name": "A"}],
        scan={"motifs": "A", "p_value": 1e-3, "action": "remove"},
        tasks=[{"name": "label", "rule": "rich"}],
    )
    data = simulate(spec, n=300)
    assert data.report["accidental"] > 50
    assert data.classes is not None
    assert (gc(data)[data.classes == "rich"] == 1).all()


def test_the_oracle_weighs_the_background_of_each_class() -> None:
    spec = small(
        length=[50, 60],
        classes=classes({"kind": "gc", "gc": 0.7}, []),
        tasks=[{"name": "label", "rule": "rich"}],
    )
    data = simulate(spec, n=300)
    known = [encode_codes([sequence])[0] for sequence in data.sequences]
    strong = np.array([((codes == 1) | (codes == 2)).sum() for codes in known])
    odds = strong * np.log(0.35 / 0.25) + (data.lengths - strong) * np.log(0.15 / 0.25)
    np.testing.assert_allclose(oracle_scores(data)[:, 0], 1 / (1 + np.exp(-odds)), rtol=1e-9)


def test_a_motif_counts_against_the_background_of_its_class() -> None:
    plant = [{"motifs": "A", "minus": 0.0, "position": {"kind": "fixed", "start": 0}}]
    spec = small(
        length=8, classes=classes({"kind": "gc", "gc": 0.9}, plant), tasks=[{"name": "label", "rule": "rich"}]
    )
    data = simulate(spec, n=200)
    # Six bases of the motif say nothing; of its three places the oracle takes each for as likely.
    own, common = np.array([0.05, 0.45, 0.45, 0.05]), np.full(4, 0.25)
    for sequence, found in zip(data.sequences, oracle_scores(data)[:, 0], strict=True):
        codes = encode_codes([sequence])[0]
        likelihood = []
        for p in (own, common):
            ways = [p[np.delete(codes, np.arange(at, at + 6))].prod() for at in range(3)]
            fits = [sequence[at : at + 6] == "GATAAG" for at in range(3)]
            likelihood.append(sum(np.array(ways) * fits))
        assert found == pytest.approx(likelihood[0] / sum(likelihood), rel=1e-3)


def test_a_fitted_chain_is_saved_with_its_class(tmp_path: Path) -> None:
    (tmp_path / "real.fa").write_text(">a\n" + "ACGCGCGTTA" * 40 + "\n")
    made = table(
        classes=classes({"kind": "markov", "file": "real.fa", "order": 1}, []),
        tasks=[{"name": "label", "rule": "rich"}],
    )
    (tmp_path / "spec.toml").write_text(tomli_w.dumps(made))
    data = simulate(load_spec(tmp_path / "spec.toml"), n=50, seed=1)
    data.save(tmp_path / "data")
    (tmp_path / "real.fa").unlink()
    again = Dataset.load(tmp_path / "data")
    assert again.spec is not None
    assert simulate(again.spec, n=50, seed=1).checksum() == data.checksum()


def test_windows_are_for_all_classes_and_substitutions_for_a_common_background() -> None:
    with pytest.raises(SpecError, match=r"classes\[0\]: background.kind is 'genome'"):
        small(classes=classes({"kind": "genome", "file": "x.fa"}, []))
    data = simulate(
        small(classes=classes({"kind": "gc", "gc": 0.7}, []), tasks=[{"name": "label", "rule": "rich"}]), n=10
    )
    with pytest.raises(InputError, match="class 'rich' has a background of its own"):
        data.base_effects("label")
