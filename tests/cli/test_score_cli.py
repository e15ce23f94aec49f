from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from genoplrp.cli.main import main
from genoplrp.errors import InputError
from genoplrp.evaluation import METRICS, score, score_dataset, summarise
from genoplrp.formats.attribution import AttributionFile
from genoplrp.scores import SCORES
from genoplrp.synthetic import Dataset, simulate
from genoplrp.synthetic.dataset import INSTANCE_COLUMNS
from genoplrp.synthetic.motifs import Motif


def planted() -> Dataset:
    rng = np.random.default_rng(0)
    data = Dataset.from_sequences(
        ["".join(rng.choice(list("ACGT"), 40)) for _ in range(6)], np.eye(6)[:, :2], ["a", "b"]
    )
    rows = [(i, 4 + i, 12 + i, "GATA", "+", "core", 9.0, "", "a" if i % 2 else "b") for i in range(6)]
    texts = dict.fromkeys(("motif", "strand", "role", "site", "tasks"), "category")
    data.instances = pd.DataFrame(rows, columns=list(INSTANCE_COLUMNS)).astype(texts)
    data.motifs = {"GATA": Motif.from_consensus("GATAAGCA", name="GATA")}
    return data


def explained() -> AttributionFile:
    relevance = np.random.default_rng(1).normal(size=(4, 4, 40))
    return AttributionFile(
        relevance, np.ones(4), [0, 0, 1, 1], [5, 1, 2, 3], meta={"method": "PLRP p = 0.25"}
    )


@pytest.fixture
def files(tmp_path):
    planted().save(tmp_path / "data")
    explained().save(tmp_path / "r.npz")
    return tmp_path


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_each_explanation_is_scored_against_the_task_that_was_explained():
    data, file = planted(), explained()
    table = score_dataset(file, data)
    masks = np.stack([data.mask(task)[row] for row, task in zip(file.sequence, file.target, strict=True)])
    expected = score(file.per_nucleotide, masks)
    for column in expected:
        np.testing.assert_array_equal(table[column], expected[column])
    assert table["task"].tolist() == ["a", "a", "b", "b"]
    assert table["name"].tolist() == ["seq5", "seq1", "seq2", "seq3"]


def test_a_task_can_be_named_for_all():
    by_name, by_number = (
        score_dataset(explained(), planted(), task="b"),
        score_dataset(explained(), planted(), task=1),
    )
    pd.testing.assert_frame_equal(by_name, by_number)
    assert set(by_name["task"]) == {"b"}


def test_the_command_prints_a_summary_and_writes_the_table(files, capsys):
    assert run("score", files / "r.npz", "--dataset", files / "data", "-o", files / "scores.csv") == 0
    printed = capsys.readouterr().out
    assert "PLRP p = 0.25: 4 sequences" in printed
    table = pd.read_csv(files / "scores.csv")
    assert list(table["sequence"]) == [5, 1, 2, 3]
    assert f"{table['gini'].mean():.3f}" in printed
    chance = {row[0]: row[3:-1] for row in map(str.split, printed.splitlines()[3:])}
    assert (chance["gini"], chance["auroc"]) == ([], ["0.500"])
    assert chance["rma"] == [f"{table['prevalence'].mean():.3f}"]
    assert {"rma", "rra", "average_precision", "auroc"} <= set(table.columns)


def test_a_csv_that_exists_is_kept_unless_forced(files, capsys):
    out = files / "scores.csv"
    out.write_text("mine")
    arguments = ("score", files / "r.npz", "--dataset", files / "data", "-o", out)
    assert run(*arguments) == 2
    assert out.read_text() == "mine"
    assert "exists already" in capsys.readouterr().err
    assert run(*arguments, "--force") == 0
    assert len(pd.read_csv(out)) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.npz", "--dataset", "data"], "no file"),
        (["r.npz", "--dataset", "nowhere"], "nowhere"),
        (["r.npz", "--dataset", "data", "--task", "c"], "unknown task 'c'; the data set has a, b"),
        (["r.npz", "--dataset", "data", "--task", "7"], "target 7 is not a task"),
        (["data/labels.tsv", "--dataset", "data"], "cannot be read as a relevance file"),
        (["r.npz", "--dataset", "data", "-o", "no/where.csv"], "does not exist"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(files, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(files)
    assert run("score", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_relevance_of_another_data_set_is_refused():
    short = planted().subset([0, 1])
    with pytest.raises(InputError, match="sequence 5, but the data set has 2"):
        score_dataset(explained(), short)
    longer = AttributionFile(np.ones((1, 4, 41)), [1.0], [0], [0])
    with pytest.raises(InputError, match="41 bp long"):
        score_dataset(longer, planted())


def test_relevance_of_other_data_of_the_same_size_is_refused():
    data, other = planted(), planted()
    other.labels = 1 - other.labels
    file = explained()
    file.meta["data_checksum"] = data.checksum()
    assert len(score_dataset(file, data)) == 4
    with pytest.raises(InputError, match="of another data set"):
        score_dataset(file, other)


def test_a_sequence_that_would_count_twice_is_refused():
    twice = AttributionFile(np.ones((3, 4, 40)), np.ones(3), [0, 1, 0], [5, 5, 5])
    with pytest.raises(InputError, match="sequence 5 is explained 2 times for the same task"):
        score_dataset(twice, planted())
    both_tasks = AttributionFile(np.ones((2, 4, 40)), np.ones(2), [0, 1], [5, 5])
    assert score_dataset(both_tasks, planted())["rma"].notna().tolist() == [True, False]


def test_many_sequences_are_scored_in_pieces(monkeypatch):
    whole = score_dataset(explained(), planted())
    monkeypatch.setattr("genoplrp.evaluation.scoring._SEQUENCES_AT_A_TIME", 3)
    pd.testing.assert_frame_equal(score_dataset(explained(), planted()), whole)


def test_signed_scores_count_a_wrong_sign_against_a_map(tmp_path, capsys):
    data = simulate("not", n=60, seed=0)
    data.save(tmp_path / "data")
    rows = np.flatnonzero(data.classes == "repressed")[:6]
    truth = data.signed_mask()[rows].astype(float)
    assert (truth < 0).any(axis=1).all()
    file = AttributionFile(
        data.subset(rows).one_hot() * truth[:, None],
        np.ones(6),
        [0] * 6,
        rows,
        meta={"data_checksum": data.checksum()},
    )
    file.save(tmp_path / "r.npz")
    signed = ["signed_rma", "signed_average_precision"]
    for sign, expected in [(1, 1.0), (-1, 0.0)]:
        shown = AttributionFile(sign * file.relevance, file.prediction, file.target, rows)
        table = score_dataset(shown, data)
        assert (table[signed] == expected).all(axis=None)
        alone = score(shown.per_nucleotide, data.signed_mask()[rows])
        assert table[list(alone)].equals(alone)
    assert not set(signed) & set(score_dataset(file, data, signed=False))
    assert run("score", tmp_path / "r.npz", "--dataset", tmp_path / "data") == 0
    said = capsys.readouterr()
    assert "signed_average_precision 1.000" in said.out and "the truth has a sign" in said.err


def test_a_truth_without_a_sign_has_signed_scores_where_asked_for():
    data, file = planted(), explained()
    assert "signed_rma" not in score_dataset(file, data)
    assert "signed_rma" in score_dataset(file, data, signed=True)
    with pytest.raises(InputError, match="got 2"):
        score(np.ones((1, 3)), np.array([[-1, 2, 0]]))


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([1, 3], None),
        ([0, 2, 4], "none of the sequences has a motif"),
        ([1, 3, 4], "1 of 3 sequences have no motif that matters for their task"),
        ([3], "a single sequence has no standard error"),
    ],
)
def test_the_command_says_what_the_scores_cannot_tell(tmp_path, capsys, sequences, message):
    planted().save(tmp_path / "data")
    n = len(sequences)
    relevance = np.random.default_rng(0).normal(size=(n, 4, 40))
    AttributionFile(relevance, np.ones(n), [0] * n, sequences).save(tmp_path / "r.npz")
    assert run("score", tmp_path / "r.npz", "--dataset", tmp_path / "data") == 0
    said = capsys.readouterr().err
    assert message in said if message else not said


def test_the_summary_leaves_out_what_is_missing():
    summary = summarise(pd.DataFrame({"rma": [0.5, 0.7, np.nan], "name": ["a", "b", "c"]}))
    assert summary.loc["rma", "n"] == 2
    assert summary.loc["rma", "mean"] == pytest.approx(0.6)
    assert list(summary.index) == ["rma"]


def test_a_metric_of_a_loaded_file_is_a_column(files, capsys):
    mine = files / "mine.py"
    mine.write_text(
        "from genoplrp.evaluation import register_metric\n"
        "register_metric('whole', lambda maps, masks: maps.sum(axis=1))\n"
    )
    try:
        arguments = ["--load", mine, "score", files / "r.npz", "-d", files / "data", "-o", files / "s.csv"]
        assert run(*arguments) == 0
    finally:
        METRICS.pop("whole", None)
        SCORES.pop("whole", None)
    np.testing.assert_allclose(
        pd.read_csv(files / "s.csv")["whole"], explained().per_nucleotide.sum(axis=1), rtol=1e-5, atol=1e-5
    )
    assert run("--load", files / "none.py", "score", files / "r.npz", "-d", files / "data") == 2
    assert "there is no file" in capsys.readouterr().err
