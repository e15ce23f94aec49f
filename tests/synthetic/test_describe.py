from pathlib import Path

import numpy as np
import pytest

from genoplrp.synthetic import list_presets, simulate
from genoplrp.synthetic.describe import describe, drawn, preset_table


def test_a_drawing_shows_planted_letters_in_capitals_and_nothing_else() -> None:
    data = simulate("tal_gata", n=40, seed=1)
    for index in range(40):
        lines = drawn(data, index, width=200).split("\n")
        assert lines[1].upper() == data.sequences[index]
        np.testing.assert_array_equal([letter.isupper() for letter in lines[1]], data.mask("both")[index])


def test_the_description_measures_what_the_specification_says() -> None:
    found = describe("tal_gata", n=2_000, seed=1)
    assert found.tasks["prevalence"].tolist() == [0.5, 0.5, 0.25]
    assert (found.tasks["oracle"] > 0.98).all()
    assert found.classes["fraction"].tolist() == [0.25] * 4
    # Poisson(2) between 1 and 3: (1 * 2 + 2 * 2 + 3 * 4/3) / (2 + 2 + 4/3).
    assert found.classes.loc["TAL1_only", "core"] == pytest.approx(10 / (16 / 3), abs=0.12)
    assert found.motifs["planted"].sum() == len(found.sample.instances)
    assert np.allclose(np.diag(found.similarity), 1)


@pytest.mark.parametrize("preset", ["cooperative", "hard_background"])
def test_every_part_of_a_description_is_printed(preset: str) -> None:
    text = str(describe(preset, n=120))
    for part in ("Tasks", "Classes", "Motifs", "Similarity of motifs", "Examples", "Reported"):
        assert f"\n{part}" in text
    assert "nan" not in text.lower()


def test_every_preset_stands_in_the_table_with_what_it_tests() -> None:
    table = preset_table()
    assert list(table.index) == list_presets()
    assert (table["tests"].str.len() > 10).all() and (table["description"].str.len() > 10).all()
    assert table.loc["tal_gata", "prevalence"] == "0.50, 0.50, 0.25"


def test_the_documented_table_of_presets_says_what_is_measured() -> None:
    text = (Path(list_presets.__code__.co_filename).parent / "presets" / "README.md").read_text()
    table = text.split("| preset | task | tests |", 1)[1].split("\n\n", 1)[0]  # a narrower one follows it
    rows = [line.strip("| ").split(" | ") for line in table.split("\n") if line.startswith("| `")]
    assert {row[0].strip("`") for row in rows} == set(list_presets())
    for name, task, tests, prevalence, mask, oracle, *_ in rows:
        found = describe(name.strip("`"), n=400, seed=1)
        row = found.tasks.loc[task]
        assert tests == found.spec.tests
        measured = row["prevalence"] if row["kind"] == "binary" else row["mean"]
        # Of 400 sequences: four standard errors, where labels are numbers.
        near = 0.1 if row["kind"] == "binary" else 0.2 * row["sd"]
        assert float(prevalence.split(" ± ")[0]) == pytest.approx(measured, abs=near)
        assert float(mask.rstrip(" %")) / 100 == pytest.approx(row["mask"], abs=0.01)
        assert float(oracle) == pytest.approx(row["oracle"], abs=0.015)
