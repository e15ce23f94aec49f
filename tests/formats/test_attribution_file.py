from __future__ import annotations

import numpy as np
import pytest
import torch

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.formats.attribution import AttributionFile


@pytest.fixture
def explained() -> AttributionFile:
    rng = np.random.default_rng(0)
    return AttributionFile(
        torch.tensor(rng.normal(size=(3, 4, 6)), requires_grad=True),
        prediction=[0.5, -1.0, 2.0],
        target=np.array([0, 1, 0]),
        sequence=np.array([4, 8, 9]),
        meta={"method": "plrp", "p": 0.25},
    )


def test_a_relevance_file_survives_the_disk(explained, tmp_path):
    back = AttributionFile.load(explained.save(tmp_path / "r.npz"))
    for name in ("relevance", "per_nucleotide", "prediction", "target", "sequence"):
        np.testing.assert_array_equal(getattr(back, name), getattr(explained, name))
    assert back.meta == {"method": "plrp", "p": 0.25}
    assert back.relevance.dtype == np.float32
    assert (len(back), back.length) == (3, 6)


def test_the_arrays_have_the_names_that_others_read(explained, tmp_path):
    with np.load(explained.save(tmp_path / "r.npz"), allow_pickle=False) as archive:
        assert set(archive.files) == {
            "relevance",
            "per_nucleotide",
            "prediction",
            "target",
            "sequence",
            "meta",
        }
        np.testing.assert_allclose(archive["per_nucleotide"], archive["relevance"].sum(1), rtol=1e-6)


def test_saving_the_same_explanation_twice_gives_the_same_arrays_and_no_leftovers(explained, tmp_path):
    explained.save(tmp_path / "a.npz")
    explained.save(tmp_path / "a.npz", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_a_file_that_exists_is_kept(explained, tmp_path):
    path = tmp_path / "r.npz"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="exists already"):
        explained.save(path)
    assert path.read_text() == "mine"


def test_a_failed_write_leaves_nothing_behind(explained, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(KeyboardInterrupt):
        explained.save(tmp_path / "r.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevance": np.zeros((3, 6, 4))}, r"\(N, 4, L\)"),
        ({"prediction": np.zeros(2)}, r"prediction must have shape \(3,\)"),
        ({"target": np.zeros(3)}, "whole numbers"),
        ({"sequence": np.array([0, -1, 2])}, "row indices"),
        ({"relevance": np.full((3, 4, 6), np.nan)}, "NaN"),
        ({"per_nucleotide": np.zeros((3, 5))}, "per_nucleotide must have shape"),
        ({"per_nucleotide": np.full((3, 6), 2.0)}, "not the sum of relevance over the four bases"),
        ({"meta": {"x": object()}}, "JSON"),
        ({"meta": [1]}, "dictionary"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(explained, change, message):
    fields = {
        "relevance": explained.relevance,
        "prediction": explained.prediction,
        "target": explained.target,
        "sequence": explained.sequence,
    }
    with pytest.raises(InputError, match=message):
        AttributionFile(**(fields | change))


def test_files_that_are_not_relevance_files_are_named(explained, tmp_path):
    text, single, other = tmp_path / "t.npz", tmp_path / "s.npy", tmp_path / "o.npz"
    text.write_text("hello")
    np.save(single, np.zeros(3))
    np.savez(other, arr_0=np.zeros(3))
    for path, message in [
        (tmp_path / "none.npz", "no file"),
        (text, "cannot be read"),
        (single, "single array"),
        (other, "lacks relevance.*arr_0"),
    ]:
        with pytest.raises(InputError, match=message):
            AttributionFile.load(path)


def test_a_truncated_file_is_named(explained, tmp_path):
    path = explained.save(tmp_path / "r.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read"):
        AttributionFile.load(path)


def test_pickled_objects_are_never_loaded(explained, tmp_path):
    path = tmp_path / "evil.npz"
    arrays = {
        name: np.array([{}], dtype=object) for name in ("per_nucleotide", "prediction", "target", "sequence")
    }
    np.savez(path, relevance=np.array([{}], dtype=object), meta=np.array("{}"), **arrays)
    with pytest.raises(InputError, match="cannot be read"):
        AttributionFile.load(path)
