from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from specs import MOTIF_FILE, small, table

from genoplrp.errors import InputError, SpecError
from genoplrp.synthetic import list_presets, load_spec, spec_from_table, spec_to_table, write_meme


@pytest.mark.parametrize("name", list_presets())
def test_a_preset_written_and_read_again_is_the_same(name: str, tmp_path: Path) -> None:
    spec = load_spec(name)
    write_meme(tmp_path / "motifs.meme", list(spec.matrices.values()))
    (tmp_path / "again.toml").write_text(tomli_w.dumps(spec_to_table(spec)))
    again = load_spec(tmp_path / "again.toml")
    if spec.background.kind == "markov":
        assert (again.background.chain == spec.background.chain).all()
        assert spec_to_table(again) == spec_to_table(spec)
    else:
        assert again == spec
    assert spec.name == name and spec.description and spec.tests


def changed(**changes: Any) -> dict[str, Any]:
    return table(**changes)


def with_plant(**plant: Any) -> dict[str, Any]:
    return table(classes=[{"name": "all", "fraction": 1.0, "plant": [{"motifs": "A"} | plant]}])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (changed(lenght=200), r"lenght: unknown key; did you mean 'length'"),
        (changed(length="long"), "length is 'long'"),
        (changed(length=0), "length is 0"),
        (changed(length=[200, 100]), "length is"),
        (changed(length=[1, 2, 3]), "length has 3 entries; expected 2"),
        (changed(name="two words"), "expected one word"),
        (changed(split={"train": 0.5}), "split: the fractions sum to 0.5"),
        (changed(split={"holdout": 1}), "unknown part 'holdout'"),
        (changed(background={"kind": "real"}), r"background\.kind is 'real'; expected one of 'uniform'"),
        (changed(background={"kind": "gc"}), "background: gc is missing"),
        (changed(background={"kind": "gc", "gc": 1.5}), r"background: gc is 1\.5"),
        (changed(background={"kind": "markov"}), "background: file is missing"),
        (changed(background={"kind": "uniform", "file": "x.fa"}), "not used by a uniform background"),
        (changed(background={"kind": "markov", "transitions": [0.5] * 16}), "probabilities that sum to 1"),
        (changed(background={"kind": "markov", "transitions": [0.25] * 8}), "order 1 needs 16"),
        (changed(motifs=[{"consensus": "GATX", "name": "A"}]), r"motifs\[0\]: .*'X' at position 3"),
        (changed(motifs=[{"file": "nowhere.meme"}]), r"motifs\[0\]: There is no file"),
        (
            changed(motifs=[{"file": str(MOTIF_FILE), "names": ["TAL2"]}]),
            r"no motif 'TAL2'; did you mean 'TAL1'",
        ),
        (changed(motifs=[{}]), r"motifs\[0\]: file, jaspar, consensus: give exactly one"),
        (
            changed(motifs=[{"consensus": "A", "name": "A"}] * 2),
            r"motifs\[1\]: the motif 'A' is there already",
        ),
        (changed(motifs={"A": "GATA"}), r"expected \[\[motifs\]\]"),
        (
            changed(motifs=[{"consensus": "GATAAG", "name": "A", "min_score": 99}]),
            r"motifs\[0\]: min_score is 99",
        ),
        (changed(motifs=[{"consensus": "GATAAG", "name": "A", "pseudocount": -1}]), "pseudocount is -1"),
        (changed(sets={"A": ["B"]}), "'A' is a motif and a set"),
        (changed(sets={"S": ["C"]}), r"sets\.S: there is no motif or set 'C'"),
        (changed(sites={"S": {"motifs": ["A"]}}), r"sites\.S: .*two or more"),
        (changed(sites={"S": {"motifs": ["A", "B"], "orientation": "+"}}), r"sites\.S: orientation is '\+'"),
        (changed(sites={"S": {"motifs": ["A", "B"], "spacing": -3}}), r"sites\.S\.spacing: value is -3"),
        (changed(sites={"S": {"motifs": ["A", "B"], "spacing": "wide"}}), r"sites\.S\.spacing is 'wide'"),
        (changed(classes=[]), "classes is empty"),
        (changed(classes=[{"name": "a", "fraction": 0.5}]), "classes: the fractions sum to 0.5"),
        (changed(classes=[{"name": "a", "fraction": 0.5}] * 2), "Two classes have the name 'a'"),
        (changed(classes=[{"name": "a"}]), r"classes\[0\]\.fraction is missing"),
        (changed(tasks=[]), "tasks is empty"),
        (changed(tasks=[{"name": "t", "rule": "A"}] * 2), "names repeat"),
        (changed(scan={"motifs": "C"}), r"scan\.motifs: there is no motif or set 'C'"),
        (changed(scan={"motifs": "A", "p_value": 0.5}), "scan: p_value is 0.5"),
        (
            changed(similarity=[{"of": "x", "to": "y", "maximum": 0.5}]),
            r"similarity\[0\]\.of: there is no set 'x'",
        ),
        (with_plant(motifs="C"), r"classes\[0\]\.plant\[0\]\.motifs: there is no motif or set 'C'"),
        (with_plant(site="S"), r"classes\[0\]\.plant\[0\]: motifs or site: give one"),
        (with_plant(count=-1), r"classes\[0\]\.plant\[0\]\.count: value is -1"),
        (with_plant(count=50), r"classes\[0\] \(all\): its motifs need up to 300 bp"),
        (with_plant(count={"kind": "poisson"}), r"plant\[0\]\.count: mean is 0"),
        (with_plant(count={"mean": 2, "kind": "poison"}), r"count\.kind is 'poison'"),
        (with_plant(minus=2), "minus is 2"),
        (with_plant(role="broken"), r"plant\[0\]\.role is 'broken'"),
        (with_plant(broken="spacing"), "which only a site can be"),
        (with_plant(weights=[1, 2]), "weights are"),
        (with_plant(distinct=True, count=2), "up to 2 distinct motifs"),
        (with_plant(position={"kind": "normal"}), r"plant\[0\]\.position: sd is 0"),
        (with_plant(motifs=3), r"plant\[0\]\.motifs is 3; expected a list"),
        (with_plant(minus=True), r"minus is True; expected a number"),
    ],
)
def test_mistakes_are_named_by_their_key(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as error:
        spec_from_table(bad, where="my.toml")
    assert str(error.value).startswith("my.toml: ")


def test_what_is_no_toml_is_said_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("name = 'x'\nlength = = 3\n")
    with pytest.raises(SpecError, match=r"x\.toml is not valid TOML: .*line 2"):
        load_spec(tmp_path / "x.toml")


def test_an_unknown_preset_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no preset and no file 'koo'; presets: and, cooperative"):
        load_spec("koo")
    with pytest.raises(InputError, match="no file"):
        load_spec(tmp_path / "x.toml")
    with pytest.raises(InputError, match="is a folder"):
        load_spec(tmp_path)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "m.meme").write_bytes(MOTIF_FILE.read_bytes())
    spec = table(
        motifs=[{"file": "m.meme"}],
        tasks=[{"name": "t", "rule": "TAL1"}],
        classes=[{"name": "a", "fraction": 1}],
    )
    (tmp_path / "deep" / "s.toml").write_text(tomli_w.dumps(spec))
    monkeypatch.chdir(tmp_path)
    assert set(load_spec("deep/s.toml").motifs) == {"TAL1", "GATA1"}


def test_look_alikes_are_errors_or_dropped() -> None:
    motifs = [
        {"consensus": "GATAAG", "name": "A", "set": "core"},
        {"consensus": "NGATAAGN", "name": "twin", "set": "decoys"},
        {"consensus": "CTTATC", "name": "turned", "set": "decoys"},
        {"consensus": "TTCCGGAA", "name": "other", "set": "decoys"},
    ]
    limit = {"of": "decoys", "to": "core", "maximum": 0.6}
    with pytest.raises(SpecError, match=r"twin resembles A by 1\.00"):
        spec_from_table(table(motifs=motifs, similarity=[limit]))
    spec = spec_from_table(table(motifs=motifs, similarity=[limit | {"action": "drop"}]))
    assert spec.sets["decoys"] == ("other",) and set(spec.motifs) == {"A", "other"}
    with pytest.raises(SpecError, match="1 motifs of 'decoys' are left"):
        spec_from_table(table(motifs=motifs, similarity=[limit | {"action": "drop", "keep": 2}]))


def test_the_fixed_preset_has_decoys_without_look_alikes_and_the_published_one_has_them() -> None:
    from genoplrp.synthetic import similarity_matrix

    for name, of, bounded in (("koo2021_fixed", "decoys", True), ("koo2021", "others", False)):
        spec = load_spec(name)
        decoys = [spec.matrices[motif] for motif in spec.sets[of]]
        table_ = similarity_matrix(decoys, [spec.matrices[motif] for motif in spec.sets["core"]])
        assert len(decoys) == 50
        assert bool(table_.max() <= 0.6) == bounded


def test_motifs_with_too_little_information_are_left_out_of_a_collection() -> None:
    bits = {name: motif.information().sum() for name, motif in load_spec("koo2021").matrices.items()}
    limit = float(np.median(list(bits.values())))
    folder = Path(list_presets.__code__.co_filename).parent / "presets" / "motifs"
    sources = [
        {"file": str(folder / f"koo2021_{name}.meme"), "set": "all", "min_information": limit}
        for name in ("core", "others")
    ]
    found = small(motifs=[*sources, {"consensus": "GATAAG", "name": "A"}])
    assert set(found.sets["all"]) == {name for name, value in bits.items() if value >= limit}
    with pytest.raises(
        SpecError, match=r"motifs\[0\].min_information: no motif has 99 bits; the most, 12.0, has A"
    ):
        small(motifs=[{"consensus": "GATAAG", "name": "A", "min_information": 99}])
