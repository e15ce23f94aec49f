"""Checkpoints: what is written comes back, nothing is executed, every misfit is named."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from genoplrp.errors import CheckpointError, GenoplrpError, OutputExistsError
from genoplrp.training import load_model, load_module, train


@pytest.fixture(scope="module")
def saved(fit, tmp_path_factory):
    return fit.save(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def copied(saved, tmp_path):
    """A checkpoint to damage."""
    return shutil.copytree(saved, tmp_path / "model")


def edit(path, **changes):
    card = json.loads((path / "model.json").read_text())
    (path / "model.json").write_text(json.dumps(card | changes))


def test_loaded_model_predicts_the_same_to_the_bit(fit, saved, task):
    again = load_model(saved)
    assert (again.logits(task[0]) == fit.logits(task[0])).all()
    assert (again.predict(task[0]) == fit.predict(task[0])).all()


def test_everything_known_about_the_model_comes_back(fit, saved):
    again = load_model(saved)
    for name in ("architecture", "tasks", "objective", "length", "seed"):
        assert getattr(again, name) == getattr(fit, name)
    assert again.metrics == fit.metrics
    pd.testing.assert_frame_equal(again.history, fit.history)
    assert again.provenance["data_sha256"] == fit.provenance["data_sha256"]
    assert not again.model.training


def test_metric_that_is_not_defined_survives_the_json_card(task, tmp_path):
    sequences, labels = task
    labels = np.stack([labels, np.ones_like(labels)], axis=1)
    fit = train(
        (sequences, labels), epochs=1, bootstrap=0, progress=False, parameters={"filters": (4, 4), "dense": 4}
    )
    metrics = load_model(fit.save(tmp_path / "model")).metrics["test"]["tasks"]["task1"]
    assert np.isnan(metrics["auroc"])
    json.loads((tmp_path / "model" / "model.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_what_stands_at_the_path_is_never_replaced_unasked(fit, saved, tmp_path):
    with pytest.raises(OutputExistsError, match="nothing was written"):
        fit.save(saved)
    fit.save(saved, overwrite=True)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.txt").write_text("years of work")
    with pytest.raises(OutputExistsError, match="it was not made by this command"):
        fit.save(other, overwrite=True)
    assert (other / "chapter1.txt").read_text() == "years of work"


def test_interrupted_save_leaves_nothing_half_written(fit, tmp_path, monkeypatch):
    from genoplrp.training import checkpoint

    monkeypatch.setattr(checkpoint, "card", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fit.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_your_own_module_comes_back_into_an_instance(task, tmp_path):
    def make():
        return nn.Sequential(
            nn.Conv1d(4, 6, 7), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(6, 1)
        )

    fit = train(task, make(), epochs=1, bootstrap=0, progress=False)
    path = fit.save(tmp_path / "model")
    with pytest.raises(
        CheckpointError, match=r"holds the weights of Sequential.*load_model\(path, model=...\)"
    ):
        load_model(path)
    assert (load_model(path, model=make()).logits(task[0]) == fit.logits(task[0])).all()
    with pytest.raises(CheckpointError, match=r"0.weight has shape \(6, 4, 7\).*needs \(5, 4, 7\)"):
        load_model(path, model=nn.Sequential(nn.Conv1d(4, 5, 7), *list(make())[1:]))


def test_a_folder_of_several_seeds_says_which_it_holds(saved, tmp_path):
    for name in ("seed0", "seed1"):
        shutil.copytree(saved, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"It holds seed0, seed1, which are: name one, .*seed0\."):
        load_model(tmp_path)


def test_weights_that_do_not_fit_are_named_and_the_instance_stays(saved):
    own = nn.Linear(3, 2)
    before = own.weight.clone()
    with pytest.raises(CheckpointError, match=r"missing bias, weight; not expected conv1\.bias"):
        load_model(saved, model=own)
    assert torch.equal(own.weight, before)


def test_no_checkpoint_is_said_so(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="is not a checkpoint of genoplrp"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not the card of a genoplrp model"),
        ({"format_version": 99}, r"layout 99 \(genoplrp 0"),
        ({"architecture": {"name": "vgg", "parameters": {}}}, "weights of vgg"),
        ({"architecture": {"name": "koo", "parameters": {"width": 3}}}, "do not fit 'koo'"),
        ({"architecture": "koo"}, "is damaged"),
        ({"objective": {"kinds": ["binary"]}}, "is damaged"),
        ({"seed": "x"}, "is damaged"),
    ],
)
def test_damaged_card_is_refused(copied, changes, message):
    edit(copied, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_model(copied)


def test_card_without_an_entry_or_without_json_is_refused(copied):
    card = json.loads((copied / "model.json").read_text())
    card.pop("tasks")
    (copied / "model.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="lacks tasks"):
        load_model(copied)
    (copied / "model.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable JSON"):
        load_model(copied)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    key=st.sampled_from(
        ["format_version", "architecture", "length", "tasks", "objective", "seed", "metrics"]
    ),
    value=JSON,
)
def test_any_card_either_loads_or_is_refused_with_the_packages_own_error(saved, tmp_path_factory, key, value):
    damaged = tmp_path_factory.mktemp("card") / "model"
    shutil.copytree(saved, damaged)
    edit(damaged, **{key: value})
    try:
        load_model(damaged)
    except GenoplrpError as error:
        assert isinstance(error, CheckpointError)


def test_truncated_or_reshaped_weights_are_refused(copied):
    weights = copied / "weights.safetensors"
    state = load_file(weights)
    save_file(state | {"output.weight": torch.zeros(2, 3)}, weights)
    with pytest.raises(CheckpointError, match=r"output.weight has shape \(2, 3\)"):
        load_model(copied)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_model(copied)


class Payload:
    """Pickle that would leave a mark if anything read it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_pickles_are_not_executed(tmp_path):
    torch.save(Payload(tmp_path / "mark"), tmp_path / "model.pt")
    for read in (load_model, load_module):
        with pytest.raises(CheckpointError, match="runs code"):
            read(tmp_path / "model.pt")
    assert not (tmp_path / "mark").exists()


def test_pickled_module_is_read_when_allowed(tmp_path):
    own = nn.Linear(3, 2)
    torch.save(own, tmp_path / "model.pt")
    assert torch.equal(load_module(tmp_path / "model.pt", allow_pickle=True).weight, own.weight)
    torch.save(own.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="weights alone"):
        load_module(tmp_path / "weights.pt", allow_pickle=True)
    (tmp_path / "text.pt").write_text("no pickle")
    with pytest.raises(CheckpointError, match="not a file that"):
        load_module(tmp_path / "text.pt", allow_pickle=True)
