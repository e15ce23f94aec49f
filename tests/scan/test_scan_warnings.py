"""What would be wrong without a word: random weights, dead networks, logits that look like outputs."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer
from genoplrp.relevance.explanation import Explanation
from genoplrp.sequence import one_hot_encode

pytest.importorskip("zarr")
from genoplrp.scan import LoadedModel, ScanStore, Sequences, load_any_model, scan, scan_genome
from genoplrp.scan.models import untrained_model
from genoplrp.scan.summary import relevance_figures, summary_lines

LENGTH = 30
NET = """
from pathlib import Path
import torch
from torch import nn

def random():
    return nn.Sequential(nn.Conv1d(4, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(78, 1))

def loaded():
    model = random()
    model.load_state_dict(torch.load(Path(__file__).parent / "w.pt", weights_only=True))
    return model

here = random()
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture
def genome(tmp_path):
    letters = "".join(random.Random(3).choices("ACGT", k=600))
    (tmp_path / "g.fa").write_text(f">chr1\n{letters}\n")
    return tmp_path / "g.fa"


def network(*end):
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(78, 2), *end)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def loaded(model):
    return LoadedModel(model, "a module", "0")


# -- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "here"])
def test_a_network_that_has_loaded_no_weights_is_refused(net, name):
    with pytest.raises(InputError, match=r"other weights each time.*--state-dict"):
        load_any_model(f"{net}:{name}")


def test_a_callable_that_loads_its_own_weights_is_taken(net, tmp_path):
    trained = untrained_model(f"{net}:random")
    torch.save(trained.state_dict(), tmp_path / "w.pt")
    for model in (
        load_any_model(f"{net}:loaded"),
        load_any_model(f"{net}:random", state_dict=tmp_path / "w.pt"),
    ):
        torch.testing.assert_close(model.model.state_dict(), trained.state_dict())


def test_the_generator_is_left_as_after_one_call(net, tmp_path):
    torch.save(untrained_model(f"{net}:random").state_dict(), tmp_path / "w.pt")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        untrained_model(f"{net}:loaded")
        once = torch.rand(1)
        torch.manual_seed(1)
        load_any_model(f"{net}:loaded")
        torch.testing.assert_close(torch.rand(1), once)


# -- dead networks --------------------------------------------------------------------------------------------------


def test_windows_without_relevance_are_counted_and_the_dead_layer_is_named(genome, tmp_path):
    model = network()
    with torch.no_grad():
        model[0].bias.fill_(-1e3)
    said = []
    scan_genome(loaded(model), genome, tmp_path / "s", tile=LENGTH, length=LENGTH, log=said.append)
    text = "\n".join(said)
    assert "20 of 20 windows (100%) have no relevance at all: it ends at the layer '3'" in text
    assert "20 of 20 windows have the same prediction" in text


def test_a_scan_says_range_sparsity_and_conservation(genome, tmp_path):
    said = []
    made = scan_genome(loaded(network()), genome, tmp_path / "s", tile=LENGTH, length=LENGTH, log=said.append)
    store = ScanStore(made)
    assert f"explained output: {store.prediction.min():.3g} to {store.prediction.max():.3g}" in "\n".join(
        said
    )
    assert said[-1].startswith("Conserved")
    assert not any("Note" in line for line in said)


def test_figures_count_zeros_of_the_maps_that_are_not_empty():
    maps = np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    found = relevance_figures(iter([maps[:2], maps[2:]]), np.array([1.0, 0.0, 4.0]))
    assert (found.n, found.empty.tolist(), found.same) == (3, [1], 1)
    assert found.zeros == pytest.approx(3 / 6)
    assert "1 of 3 windows (33%)" in "\n".join(summary_lines(found))
    # The first ends after two positions, the last after one: padding is no zero.
    ragged = relevance_figures(iter([maps[:2], maps[2:]]), np.zeros(3), np.array([2, 3, 1]))
    assert ragged.zeros == pytest.approx(2 / 3)


# -- units ----------------------------------------------------------------------------------------------------------


def sequences(n=6):
    letters = random.Random(1)
    return torch.from_numpy(one_hot_encode(["".join(letters.choices("ACGT", k=LENGTH)) for _ in range(n)]))


@pytest.mark.parametrize(
    ("end", "units"), [((), "output"), ((nn.Sigmoid(),), "logit"), ((nn.Softmax(1),), "logit")]
)
def test_an_explanation_says_its_units_and_the_explainer_gives_the_output(end, units):
    model, x = network(*end), sequences()
    explain = Explainer(model, batch_size=4)
    e: Explanation = explain(x, 1)
    assert e.units == units
    assert set(e.to_frame()["units"]) == {units}
    torch.testing.assert_close(e.prediction, network()(x)[:, 1].detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(explain.output(x, 1), model(x)[:, 1].detach())


def test_output_takes_a_model_of_another_order_of_axes():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, x):
            assert x.shape[2] == 4
            return self.body(x.mT)

    x = sequences()
    torch.testing.assert_close(Explainer(Turned(), layout="NLC").output(x), network()(x)[:, 0].detach())


@pytest.mark.parametrize(
    ("end", "target", "kept"),
    [
        ((nn.Sigmoid(),), 1, "probability"),
        ((nn.Softmax(1),), "1-0", "output"),
        ((nn.LogSoftmax(1),), 1, "output"),
    ],
)
def test_a_store_holds_logits_and_what_the_model_returns_beside_them(tmp_path, end, target, kept):
    model, x = network(*end), sequences()
    store = ScanStore(
        scan(model, Sequences(x.argmax(1).to(torch.uint8).numpy()), tmp_path / "s", target=target)
    )
    y, logit = model(x).detach(), network()(x).detach()
    pick = (lambda v: v[:, 1]) if target == 1 else (lambda v: v[:, 1] - v[:, 0])
    assert (store.manifest["units"], store.manifest["returned"]) == ("logit", kept)
    np.testing.assert_allclose(store.output, pick(y), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(store.prediction, pick(logit), rtol=1e-4, atol=1e-4)


def test_effects_of_variants_name_their_units(genome, tmp_path):
    letter = genome.read_text().split("\n")[1][300]
    other = "A" if letter != "A" else "C"
    (tmp_path / "v.vcf").write_text(f"chr1\t301\tv\t{letter}\t{other}\n")
    scan_genome(
        loaded(network(nn.Sigmoid())), genome, tmp_path / "s", vcf=tmp_path / "v.vcf", length=LENGTH, target=1
    )
    row = pd.read_csv(tmp_path / "s" / "effects.tsv", sep="\t").iloc[0]
    assert "effect" not in row
    sigmoid = 1 / (1 + np.exp(-row["logit_alt"]))
    assert row["probability_alt"] == pytest.approx(sigmoid, abs=1e-5)
    assert row["effect_logit"] == pytest.approx(row["logit_alt"] - row["logit_ref"], abs=1e-5)
    assert row["effect_probability"] == pytest.approx(
        row["probability_alt"] - row["probability_ref"], abs=1e-6
    )


def test_a_model_in_memory_is_scanned_and_left_as_it_was(genome, tmp_path):
    model = nn.Sequential(
        nn.Conv1d(4, 3, 5), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten(), nn.Linear(78, 1)
    ).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    letter = genome.read_text().split("\n")[1][300]
    (tmp_path / "v.vcf").write_text(f"chr1\t301\tv\t{letter}\t{'A' if letter != 'A' else 'C'}\n")
    out = scan_genome(
        model, genome, tmp_path / "s", vcf=tmp_path / "v.vcf", length=LENGTH, log=lambda line: None
    )
    assert len(pd.read_csv(out / "effects.tsv", sep="\t")) == 1
    assert model.training
    torch.testing.assert_close(dict(model.state_dict()), before)
    with pytest.raises(InputError, match="state_dict is for a model on disk"):
        scan_genome(model, genome, tmp_path / "t", state_dict="w.pt", length=LENGTH, tile=LENGTH)


# -- what is left behind --------------------------------------------------------------------------------------------


def test_a_scan_that_cannot_begin_leaves_nothing(genome, tmp_path):
    with pytest.raises(InputError, match="hypothetical scores cannot be kept"):
        scan_genome(
            loaded(network()),
            genome,
            tmp_path / "s",
            tile=LENGTH,
            length=LENGTH,
            rules="epsilon-plus-flat",
            hypothetical=True,
        )
    assert not list(tmp_path.glob("s*"))


def test_an_interrupted_scan_says_how_to_start_over_and_force_does(tmp_path, monkeypatch):
    source = Sequences(np.resize(sequences(5).argmax(1).to(torch.uint8).numpy(), (1500, LENGTH)))
    from genoplrp.scan import devices

    real, calls = devices.explain_block, []

    def stop_at_the_second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(devices, "explain_block", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        scan(network(), source, tmp_path / "s")
    monkeypatch.setattr(devices, "explain_block", real)
    with pytest.raises(Exception, match=r"--force .*to start over"):
        scan(network(), source, tmp_path / "s", target=1)
    store = ScanStore(scan(network(), source, tmp_path / "s", target=1, overwrite=True))
    assert store.manifest["target"] == "1"
    assert not (tmp_path / "s.partial").exists()
