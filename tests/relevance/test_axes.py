"""Whatever order of axes a model takes, sequences and relevance are (N, 4, L) at every entry point."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.evaluation.job import Job
from genoplrp.evaluation.methods import output_function
from genoplrp.relevance import (
    LAYOUTS,
    DeepLift,
    Explainer,
    GradientTimesInput,
    Pruning,
    adapt_model,
    consensus,
    coverage,
    filter_windows,
    lrp,
    most_pruned,
    plrp,
)
from genoplrp.relevance.axes import arrange, shape_layout

LENGTH = 30


CODES = torch.randint(4, (3, LENGTH), generator=torch.Generator().manual_seed(0))
X = torch.eye(4, dtype=torch.float64)[CODES].mT.contiguous()


def _network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv1d(4, 6, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(55, 2)
    ).double()  # fmt: skip


class Taking(nn.Module):
    """The network, of sequences in another order of axes, which is turned by the model's own code."""

    def __init__(self, layout):
        super().__init__()
        self.network, self.layout = _network(), layout

    def forward(self, x):
        assert x.dim() == len(self.layout), "another number of axes"
        letters = [i for i, letter in enumerate(self.layout) if letter != "1"]
        x = x.permute(*letters, *(i for i in range(x.dim()) if i not in letters)).flatten(2)
        kept = [letter for letter in self.layout if letter != "1"]
        return self.network(x.permute([kept.index(letter) for letter in "NCL"]))


class Turned(nn.Module):
    """The commonest case: (N, L, 4), turned at once."""

    def __init__(self):
        super().__init__()
        self.network = _network()

    def forward(self, x):
        return self.network(x.transpose(1, 2))


class OverLastAxis(nn.Module):
    """Begins with a linear layer, which looks at the last axis alone; the rest takes three axes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.mix, self.head = nn.Linear(4, 8), nn.Conv1d(8, 4, 3), nn.Linear(4, 1)
        self.double()

    def forward(self, x):
        return self.head(self.mix(F.relu(self.embed(x)).transpose(1, 2)).mean(dim=2))


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_order_of_axes_is_found_out_and_gives_the_same_map(layout):
    expected = plrp(_network(), X, 1, p=0.1)
    assert torch.equal(plrp(Taking(layout), X, 1, p=0.1), expected)
    assert torch.equal(plrp(Taking(layout), X, 1, p=0.1, layout=layout), expected)


CALLS = {
    "Explainer": lambda m, X: Explainer(m, pruning=Pruning(0.1))(X, 1).relevance,
    "sweep": lambda m, X: torch.stack([e.relevance for _, e in Explainer(m).sweep(X, 1, [0, 0.2])]),
    "average": lambda m, X: Explainer(m).average(X, 1).relevance,
    "lrp": lambda m, X: lrp(m, X, 1),
    "plrp": lambda m, X: plrp(m, X, 1),
    "array": lambda m, X: plrp(m, X.numpy(), 1),
    "consensus": lambda m, X: consensus(m, X, 1, passes=3).relevance,
    "DeepLift": lambda m, X: DeepLift(m, Pruning(0.1))(X, 1).relevance,
    "DeepLift, shuffled": lambda m, X: DeepLift(m, references=lambda x: x.flip(2)[:, None])(X, 1).relevance,
    "GradientTimesInput": lambda m, X: GradientTimesInput(m, Pruning(0.1))(X, 1).relevance,
    "most_pruned": lambda m, X: most_pruned(Explainer(m, pruning=Pruning("faithful")), X, 1).relevance,
    "multiplier": lambda m, X: Explainer(m, keep_multiplier=True)(X, 1).multiplier,
    "intermediate": lambda m, X: Explainer(m, keep_intermediate=True)(X, 1).intermediate[_first(m)],
    "benchmark": lambda m, X: _gradient(Job(m, X.float().numpy(), 1)),
    "faithfulness": lambda m, X: torch.from_numpy(output_function(m.float(), 1)(X.float().numpy())),
}


def _first(model):
    return "0" if isinstance(model, nn.Sequential) else "network.0"


def _gradient(job):
    x = torch.as_tensor(job.X).double().requires_grad_()
    return torch.autograd.grad(job.model(x)[:, job.target].sum(), x)[0]


@pytest.mark.parametrize("name", CALLS)
def test_every_entry_point_takes_and_gives_sequences_of_n_4_l(name):
    turned, plain = CALLS[name](Turned(), X), CALLS[name](_network(), X)
    assert turned.shape == plain.shape
    torch.testing.assert_close(turned, plain, rtol=1e-9, atol=1e-12)


def test_explore_a_survey_and_windows_of_filters_see_the_models_own_layers():
    pytest.importorskip("anywidget")
    widget = gp.explore(Turned(), X, 1, p=[0, 0.5], rules=["epsilon"], methods=["lambda"])
    assert np.asarray(widget.relevance).shape[-1] == LENGTH
    table = coverage(Turned(), X)
    assert set(table["module"]) >= {"network.0", "network.6"}
    assert "refused" not in set(table["kind"])
    windows = filter_windows(Explainer(Turned()), X, layer="network.0", target=1)
    assert set(windows.table["end"] - windows.table["start"]) == {5}


def test_an_explanation_says_what_the_model_takes_and_leaves_it_alone():
    model = Turned().train()
    e = Explainer(model, pruning=Pruning(0.1))(X)
    assert e.notes[0] == "the model takes (N, L, 4): relevance is returned as (N, 4, L)"
    assert all(module.training for module in model.modules())
    assert set(e.layers["layer"]) == {"network.0", "network.3", "network.6"}
    assert e.check().holds


def test_a_first_layer_that_looks_at_the_last_axis_alone_is_understood_by_what_follows():
    r = lrp(OverLastAxis(), X)
    assert torch.equal(r, lrp(OverLastAxis(), X, layout="NLC"))
    assert r.shape == X.shape


def test_orders_of_axes_between_which_nothing_tells_are_asked_for_in_one_message():
    image = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1)
    )
    image.double()
    with pytest.raises(InputError, match=r"'N1CL' \(N, 1, 4, L\) or 'N1LC' \(N, 1, L, 4\) \(--layout"):
        lrp(image, X)
    assert lrp(image, X, layout="N1CL").shape == X.shape
    assert lrp(image, X, layout="N1LC").shape == X.shape


def test_a_model_that_does_not_mind_the_order_is_given_what_everyone_uses():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 1)).double()
    assert Explainer(flat)(X).notes == []


def test_a_model_that_takes_none_of_them_says_what_it_says():
    said = r"does not take X of shape \(3, 4, 30\): .*expected input.* to have 7 channels.* length"
    with pytest.raises(InputError, match=said):
        lrp(nn.Conv1d(7, 2, 3).double(), X)


def test_a_layout_that_there_is_not_is_an_error():
    with pytest.raises(InputError, match=r"layout='NHWC'.*NLC \(N, L, 4\)"):
        Explainer(Turned(), layout="NHWC")
    with pytest.raises(InputError, match="explainer's own"):
        consensus(Explainer(Turned()), X, layout="NLC")


def test_what_the_model_takes_itself_can_still_be_handed_in():
    image = nn.Sequential(nn.Conv2d(1, 3, (4, 5)), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 26, 1)).double()
    assert torch.equal(lrp(image, X[:, None]).squeeze(1), lrp(image, X))


def test_an_adapted_model_is_what_other_packages_call():
    model = Turned()
    assert adapt_model(_network(), X=X) is not None
    network = _network()
    assert adapt_model(network, X=X) is network
    for adapted in (adapt_model(model, "NLC"), adapt_model(model, X=X)):
        assert torch.equal(adapted(X), model(X.mT))
        assert adapt_model(adapted) is adapted
        assert torch.equal(lrp(adapted, X), lrp(model, X))
    assert adapt_model(model) is model  # nothing is known of it yet


def test_further_inputs_are_handed_on_as_they_are():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.turned, self.side = Turned(), nn.Linear(3, 2).double()

        def forward(self, x, side):
            return self.turned(x) + self.side(side)

    side = torch.randn(3, 3, dtype=torch.float64)
    torch.testing.assert_close(lrp(Two(), X, args=[side]), lrp(Turned(), X))
    torch.testing.assert_close(DeepLift(Two())(X, args=[side]).relevance, DeepLift(Turned())(X).relevance)


def test_arranging_is_what_the_name_says():
    x = torch.arange(2 * 4 * 5).reshape(2, 4, 5)
    for name in LAYOUTS:
        y = arrange(x, name)
        sizes = dict(zip(name, y.shape, strict=True))
        assert sizes == {"N": 2, "C": 4, "L": 5} | ({"1": 1} if "1" in name else {})
        index = {"N": 1, "C": 2, "L": 3, "1": 0}
        assert y[tuple(index[letter] for letter in name)] == x[1, 2, 3]


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((None, 1000, 4), "NLC"), ((None, 4, 1000), "NCL"), ((None, None, 4), "NLC"), ((None, 4, None), "NCL"),
     ((None, 1, 4, 99), "N1CL"), ((None, 99, 4, 1), "NLC1"), ((None, 4, 99, 1), "NCL1"), ((None, 4, 1, 99), "NC1L"),
     ((None, 1, 99, 4), "N1LC"), ((None, 28, 28, 1), None), ((None, 12), None), ((None, 1000, 5), None)],
)  # fmt: skip
def test_a_shape_is_read(shape, layout):
    assert shape_layout(shape) == layout


def test_a_shape_that_reads_in_two_ways_is_asked_about():
    with pytest.raises(InputError, match="reads in two ways"):
        shape_layout((None, 4, 4))
