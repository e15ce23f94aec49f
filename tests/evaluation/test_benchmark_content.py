"""A benchmark never answers with what was made of something else, and one failure does not stop the rest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from genoplrp.cli.main import main
from genoplrp.errors import InputError
from genoplrp.evaluation import cells as cells_module
from genoplrp.evaluation import ingredients as ingredients_module
from genoplrp.evaluation import methods as methods_module
from genoplrp.evaluation import register_method
from genoplrp.evaluation.ingredients import data_content, fingerprint, method_ingredients
from genoplrp.evaluation.pieces import Pieces
from genoplrp.evaluation.runner import benchmark

METHODS = ["random", "gradient-x-input"]
SETTINGS = {
    "architectures": ("koo",),
    "seeds": (0,),
    "epochs": 2,
    "n_explain": 4,
    "n_faithful": 2,
    "n_robust": 0,
    "n_fills": 1,
    "sanity": False,
    "least_auroc": 0.0,
    "figures": False,
    "progress": False,
}


@pytest.fixture
def own_methods(monkeypatch):
    """A registry that a test may add to."""
    monkeypatch.setattr(methods_module, "_FIXED", dict(methods_module._FIXED))


@pytest.fixture
def made(monkeypatch) -> list[tuple[str, str]]:
    """Which parts of which methods are made."""
    calls: list[tuple[str, str]] = []
    real = cells_module.CellRun._make

    def note(self, part, name):
        calls.append((part, name))
        return real(self, part, name)

    monkeypatch.setattr(cells_module.CellRun, "_make", note)
    return calls


@pytest.fixture
def other_data(tiny_data):
    """Sequences of the same kind in another order, so that others are in the test part."""
    order = np.random.default_rng(1).permutation(len(tiny_data))
    return replace(tiny_data.subset(order), split=tiny_data.split)


@pytest.fixture
def finished(tiny_data, tmp_path) -> tuple[Path, pd.DataFrame]:
    out = tmp_path / "run"
    return out, benchmark({"mine": tiny_data}, METHODS, out=out, **SETTINGS)


def ramp(job):
    return job.X.sum(axis=1) * np.arange(job.X.shape[2])


def falling_ramp(job):
    return -job.X.sum(axis=1) * np.arange(job.X.shape[2])


def test_other_data_under_the_same_name_are_computed_anew_and_it_is_said(
    finished, other_data, tmp_path, capsys
):
    out, before = finished
    capsys.readouterr()
    after = benchmark({"mine": other_data}, METHODS, out=out, **SETTINGS)
    fresh = benchmark({"mine": other_data}, METHODS, out=tmp_path / "fresh", **SETTINGS)
    pd.testing.assert_frame_equal(after, fresh)
    assert not before.equals(after)
    said = capsys.readouterr().err
    assert "data set 'mine' is not the one that was used here before" in said
    assert "made of something else (data)" in said


def test_data_that_differ_in_the_truth_alone_are_other_data(tiny_data):
    moved = replace(tiny_data, instances=tiny_data.instances.assign(start=tiny_data.instances["start"] - 1))
    blamed = replace(
        tiny_data, instances=tiny_data.instances.assign(role=tiny_data.instances["role"].astype(str) + "!")
    )
    contents = {data_content(data) for data in (tiny_data, moved, blamed)}
    assert len(contents) == 3
    assert data_content(tiny_data.subset(np.arange(len(tiny_data)))) == data_content(tiny_data)


def test_the_content_of_a_data_set_survives_the_disk(tiny_data, tmp_path):
    tiny_data.save(tmp_path / "data")
    assert data_content(type(tiny_data).load(tmp_path / "data")) == data_content(tiny_data)


def test_a_method_that_was_changed_is_computed_anew_and_one_that_was_not_is_not(
    tiny_data, tmp_path, own_methods, made
):
    run = partial(benchmark, {"mine": tiny_data}, ["random", "mine"], out=tmp_path / "run", **SETTINGS)
    register_method("mine", ramp)
    first = run()
    made.clear()
    register_method("mine", ramp)
    pd.testing.assert_frame_equal(run(), first)
    assert made == []
    register_method("mine", falling_ramp)
    second = run()
    assert {name for _, name in made} == {"mine"}
    up, down = (t.set_index("method").loc["mine", "auroc"].mean() for t in (first, second))
    assert up + down == pytest.approx(1.0)


def test_other_settings_make_what_hangs_on_them_anew(finished, tiny_data, made, capsys):
    out, _ = finished
    made.clear()
    benchmark({"mine": tiny_data}, METHODS, out=out, **SETTINGS | {"n_fills": 2})
    assert set(made) == {("faithful", name) for name in METHODS}
    assert "n_fills 1 -> 2" in capsys.readouterr().err
    table = benchmark({"mine": tiny_data}, METHODS, out=out, **SETTINGS | {"n_explain": 3})
    assert table.groupby("method").size().tolist() == [3, 3]


def test_parts_that_are_switched_on_later_are_added(finished, tiny_data, tmp_path, made):
    out, before = finished
    made.clear()
    more = SETTINGS | {"sanity": True, "n_robust": 2}
    after = benchmark({"mine": tiny_data}, METHODS, out=out, **more)
    assert {part for part, _ in made} == {"robust", "sanity"}
    fresh = benchmark({"mine": tiny_data}, METHODS, out=tmp_path / "fresh", **more)
    pd.testing.assert_frame_equal(after, fresh)
    pd.testing.assert_frame_equal(after[before.columns], before)
    assert (out / "sanity.csv").read_text() == (tmp_path / "fresh" / "sanity.csv").read_text()


def test_a_file_that_was_cut_short_is_made_again(finished, tiny_data):
    out, before = finished
    for path in (
        out / "cells" / "mine" / "koo-0" / part for part in ("scores/random.csv", "maps/random.npz")
    ):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        pd.testing.assert_frame_equal(benchmark({"mine": tiny_data}, METHODS, out=out, **SETTINGS), before)


def test_weights_that_were_not_trained_here_are_refused_and_left_alone(finished, tiny_data):
    out, _ = finished
    weights = out / "cells" / "mine" / "koo-0" / "model" / "weights.safetensors"
    save_file({name: value * 2 for name, value in load_file(weights).items()}, weights)
    content = weights.read_bytes()
    table = benchmark({"mine": tiny_data}, [*METHODS, "gradient"], out=out, **SETTINGS)
    assert table["sequence"].tolist() == [-1, -1, -1]
    assert table["error"].str.contains("is not what was trained here").all()
    assert weights.read_bytes() == content


@pytest.mark.parametrize("broken", ["raises", "is NaN", "has another shape"])
def test_a_method_that_fails_is_a_row_with_its_reason_and_the_others_go_on(
    broken, tiny_data, tmp_path, own_methods, made
):
    def fail(job):
        if broken == "raises":
            raise RuntimeError("boom")
        return np.full((len(job.X), 60 if broken == "is NaN" else 59), np.nan if broken == "is NaN" else 1.0)

    out, methods = tmp_path / "run", ["bad", "contiguity:bad", "random"]
    register_method("bad", fail)
    table = benchmark({"mine": tiny_data}, methods, out=out, **SETTINGS)
    assert table.groupby("method").size().to_dict() == {"bad": 1, "contiguity:bad": 1, "random": 4}
    reasons = table.set_index("method")["error"]
    said = {"raises": "RuntimeError: boom", "is NaN": "NaN or infinite", "has another shape": "shape (4, 59)"}
    assert said[broken] in reasons["bad"]
    assert "maps of bad, which failed" in reasons["contiguity:bad"]
    assert reasons["random"].isna().all()
    assert said[broken] in (out / "report.md").read_text()
    failures = pd.read_csv(out / "failures.csv")
    assert failures["method"].tolist() == ["bad", "contiguity:bad"]
    made.clear()
    register_method("bad", ramp)
    mended = benchmark(out=out, resume=True, figures=False, progress=False)
    assert "error" not in mended
    assert {name for _, name in made} == {"bad", "contiguity:bad"}


def test_a_network_that_cannot_be_explained_does_not_stop_the_others(tiny_data, tmp_path):
    hopeless = replace(tiny_data, labels=np.where(tiny_data.split[:, None] == "test", 0, tiny_data.labels))
    table = benchmark(
        {"hopeless": hopeless.subset(np.arange(399)), "mine": tiny_data},
        METHODS,
        out=tmp_path / "run",
        **SETTINGS,
    )
    assert table.groupby("dataset").size().to_dict() == {"hopeless": 2, "mine": 8}
    assert (
        table.loc[table["dataset"] == "hopeless", "error"].str.contains("no positive of the test part").all()
    )


def test_the_command_lists_failures_with_exit_code_1_and_resume_mends_just_these(
    tiny_data, tmp_path, own_methods, made, capsys
):
    def run(*arguments) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["benchmark", "--out", str(tmp_path / "run"), *map(str, arguments)])
        return int(stop.value.code or 0)

    register_method("bad", lambda job: job.missing)
    tiny_data.save(tmp_path / "mine")
    options = ["--quick", "-d", tmp_path / "mine", "--epochs", 2, "--n-explain", 3]
    assert run(*options, "-m", "random", "-m", "bad", "--least-auroc", 0) == 1
    error = capsys.readouterr().err
    assert "1 failed" in error and "no attribute 'missing'" in error and "--resume" in error
    assert "Traceback" not in error
    made.clear()
    register_method("bad", ramp)
    assert run("--resume") == 0
    assert {name for _, name in made} == {"bad"}


def test_resume_needs_a_folder_that_holds_a_plan(tmp_path):
    with pytest.raises(InputError, match="holds no benchmark to continue"):
        benchmark(out=tmp_path, resume=True)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as a plan"):
        benchmark(out=tmp_path, resume=True)


def test_a_method_is_made_of_its_packages_its_options_and_what_it_is_made_from(monkeypatch):
    ism, smooth = method_ingredients("ism"), method_ingredients("mean:smoothgrad+lrp")
    assert set(ism) == {"name", "genoplrp", "tangermeme"}
    assert "captum" in smooth["of smoothgrad"]
    assert method_ingredients("plrp-lambda-0.1") != method_ingredients("plrp-lambda-0.2")
    monkeypatch.setattr(ingredients_module, "_version", lambda package: "99")
    assert method_ingredients("contiguity:ism")["of ism"] != ism


class Scaled:
    def __init__(self, by):
        self.by = by

    def __call__(self, job):
        return job.X.sum(axis=1) * self.by


def _closed_over(value):
    return lambda job: job.X * value


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (ramp, ramp, falling_ramp),
        (Scaled(1.0), Scaled(1.0), Scaled(2.0)),
        (_closed_over(1), _closed_over(1), _closed_over(2)),
        (_closed_over(np.ones(3)), _closed_over(np.ones(3)), _closed_over(np.zeros(3))),
        (partial(ramp, a=1), partial(ramp, a=1), partial(ramp, a=2)),
        (lambda job: ramp(job), lambda job: ramp(job), lambda job: falling_ramp(job)),
        (np.abs, np.abs, np.exp),
        ({"a": (1, 2)}, {"a": (1, 2)}, {"a": (1, 3)}),
    ],
)
def test_the_fingerprint_of_code_is_that_of_what_it_does(one, same, other):
    assert fingerprint(one) == fingerprint(same) is not None
    assert fingerprint(one) != fingerprint(other)


def test_what_cannot_be_read_has_no_fingerprint_and_is_never_the_same(own_methods):
    reader = iter("ab")
    assert fingerprint(reader) is None
    register_method("odd", lambda job: next(reader))
    assert method_ingredients("odd") != method_ingredients("odd")


def test_a_record_that_cannot_be_read_counts_as_none(tmp_path):
    pieces = Pieces(tmp_path)
    path = pieces.path("maps", "a:b", "npz")
    path.parent.mkdir()
    path.write_bytes(b"1")
    pieces.record("maps", "a:b", path, {"x": 1}, seconds=2)
    assert pieces.is_ready("maps", "a:b", path, {"x": 1})
    assert pieces.fact("maps", "a:b", "seconds") == 2
    for text in ("", "[]", '{"made_of": 3}', '{"made_of": {"x": 1}}'):
        (tmp_path / "made_of" / "maps" / "a+b.json").write_text(text)
        assert not pieces.is_ready("maps", "a:b", path, {"x": 1})
        assert pieces.changes("maps", "a:b", {"x": 2}) == []


def test_a_method_that_other_processes_cannot_get_is_refused_before_the_work(
    tiny_data, tmp_path, own_methods
):
    register_method("inner", lambda job: job.X)
    two = SETTINGS | {"seeds": (0, 1), "jobs": 2}
    with pytest.raises(InputError, match="'inner' cannot be sent to another process"):
        benchmark({"mine": tiny_data}, ["inner"], out=tmp_path / "run", **two)
