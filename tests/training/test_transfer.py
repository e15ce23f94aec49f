"""Starting from another model's layers."""

import pytest
import torch

from genoplrp.errors import InputError
from genoplrp.training import build_architecture, train
from genoplrp.training.transfer import take_over

SMALL = {"filters": (8, 8), "dense": 16}


def test_layers_that_fit_are_taken_over_and_the_output_stays(fit):
    network = build_architecture("koo", length=40, n_tasks=1, seed=9, **SMALL)
    output = network.output.weight.clone()
    names = take_over(network, fit)
    assert {n.split(".")[0] for n in names} == {"conv1", "norm1", "conv2", "norm2", "dense", "norm3"}
    assert all(torch.equal(network.state_dict()[n], fit.model.state_dict()[n]) for n in names)
    assert torch.equal(network.output.weight, output)


def test_training_that_starts_from_a_checkpoint_needs_fewer_epochs(fit, task, tmp_path):
    path = fit.save(tmp_path / "model")
    sequences, labels = task
    flipped = (sequences, 1 - labels)
    quick = {"parameters": SMALL, "epochs": 2, "batch_size": 32, "bootstrap": 0, "progress": False}
    anew, on = (train(flipped, start_from=s, **quick) for s in (None, path))
    assert on.metrics["valid"]["auroc"] > anew.metrics["valid"]["auroc"] + 0.1
    assert "conv1.weight" in on.provenance["taken_over"]
    assert anew.provenance["taken_over"] == []


def test_source_stays_as_it_was(fit, task):
    before = {k: v.clone() for k, v in fit.model.state_dict().items()}
    train(task, start_from=fit, parameters=SMALL, epochs=1, bootstrap=0, progress=False)
    assert all(torch.equal(before[k], v) for k, v in fit.model.state_dict().items())


def test_source_of_which_nothing_fits_is_refused(fit):
    with pytest.raises(InputError, match="no layer of the koo model"):
        take_over(build_architecture("bpnet", length=40), fit)
