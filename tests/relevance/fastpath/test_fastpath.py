"""The hand-driven pass: taken by itself, equal to the other one, and left alone where it cannot be sure."""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.relevance import PRESETS, Explainer, Gamma, Pruning
from genoplrp.relevance.fastpath.pooling import rectified_pool, unpool
from genoplrp.relevance.tracing import tracer
from genoplrp.training import build_architecture
from tests.relevance.test_zoo import randomised

warnings.simplefilter("ignore", UserWarning)
LENGTH = 60
OTHERS = [rules for rules in PRESETS if rules not in ("epsilon", "gamma", "wsquare", "epsilon-plus")]


class Residual(nn.Module):
    """Functional code, a reused module, in-place operations, a rectified sum, a crop, a sigmoid at the end."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(4, 6, 7, padding="same")
        self.inner = nn.Conv1d(6, 6, 3, padding=2, dilation=2)
        self.norm = nn.BatchNorm1d(6)
        self.strided = nn.Conv1d(6, 8, 4, stride=2, bias=False)
        self.dense = nn.Linear(8, 5)
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        h = F.max_pool1d(self.first(x), 2).relu_()
        for _ in range(2):
            h = torch.relu(h + self.norm(self.inner(h)))
        branch = F.relu(self.inner(h), inplace=True)
        branch += h
        h = F.dropout(self.strided(branch)[:, :, 1:-1], 0.5, self.training)
        h = F.relu(F.avg_pool1d(h, 2)).mean(-1)
        return torch.sigmoid(self.out(self.dense(h).relu()))


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Conv1d(4, 6, 5)
        self.profile, self.counts = nn.Conv1d(6, 1, 9), nn.Linear(12, 1)

    def forward(self, x):
        h = self.trunk(x).relu()
        pooled = torch.cat([F.adaptive_max_pool1d(h, 1), F.adaptive_avg_pool1d(h, 1)], dim=1)
        return self.profile(h), self.counts(pooled.flatten(1))


def _network(name, **parameters):
    return lambda: build_architecture(name, length=LENGTH, n_tasks=2, **parameters)


def _profile(y):
    logits = y[0].flatten(1)
    return (logits * torch.softmax(logits, dim=1).detach()).sum(dim=1)


CHAINS = {
    "koo": (_network("koo", dense=24, filters=(8, 12)), 1),
    "bpnet": (_network("bpnet", filters=8), torch.tensor([0, 1, 1, 0])),
    "deepbind": (_network("deepbind"), lambda y: y[:, 1] - y[:, 0]),
    "residualbind": (_network("residualbind", filters=8, dense=16), 0),
    "residual": (Residual, 1),
    "two heads": (TwoHeads, _profile),
}
PRUNINGS = {
    "none": None,
    "lambda": Pruning(p=0.2),
    "M": Pruning(p=0.2, method="M"),
    "auto": Pruning(p="auto"),
    "position and input": Pruning(p=0.1, scope="position", input=True),
    "total": Pruning(p=0.3, p_neg=0.0, total=True),
}


def _data(dtype=torch.float64, n=4):
    bases = torch.randint(4, (n, LENGTH), generator=torch.Generator().manual_seed(1))
    return torch.eye(4, dtype=dtype)[bases].mT.contiguous()


def _model(name, dtype=torch.float64):
    make, target = CHAINS[name]
    model = randomised(make())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_var.abs_().add_(0.5)
    return model.to(dtype), target


def by_autograd(*args, **kwargs):
    explain = Explainer(*args, **kwargs)
    explain._chains.declined = "for comparison"
    return explain


GRID = [
    *itertools.product(CHAINS, ("epsilon",), ("none", "lambda", "M")),
    *itertools.product(CHAINS, ("gamma",), ("lambda",)),
    *itertools.product(("koo", "residual"), ("gamma",), ("M", "auto", "position and input", "total")),
    *itertools.product(("koo", "residual"), OTHERS, ("lambda",)),
]


@pytest.mark.parametrize(("name", "rules", "pruning"), GRID)
def test_both_passes_agree_in_everything(name, rules, pruning):
    model, target = _model(name)
    settings = {"keep_multiplier": True, "keep_intermediate": True}
    e = Explainer(model, rules, PRUNINGS[pruning], **settings)(_data(), target)
    wanted = by_autograd(model, rules, PRUNINGS[pruning], **settings)(_data(), target)
    assert (e.settings["pass"], wanted.settings["pass"]) == ("fast path", "autograd")
    _assert_close(e.relevance, wanted.relevance)
    _assert_close(e.prediction, wanted.prediction)
    assert (e.multiplier is None) == (wanted.multiplier is None)
    if e.multiplier is not None:
        _assert_close(e.multiplier, wanted.multiplier)
    assert list(e.intermediate) == list(wanted.intermediate)
    for layer in e.intermediate:
        _assert_close(e.intermediate[layer], wanted.intermediate[layer])
    assert (e.notes, e.settings["operations"]) == (wanted.notes, wanted.settings["operations"])
    layers, expected = e.layers, wanted.layers
    assert list(layers.columns) == list(expected.columns)
    scale = max(1.0, float(expected[["positive_mass", "negative_mass"]].max().max()))
    for column in expected.columns:
        if expected[column].dtype == float:
            assert ((layers[column] - expected[column]).abs() <= 1e-8 * scale).all(), column
        else:
            assert (layers[column] == expected[column]).all(), column
    assert e.check().holds


def _assert_close(got, wanted):
    torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-10 * float(wanted.abs().max()) + 1e-300)


@pytest.mark.parametrize("method", ["lambda", "M"])
@pytest.mark.parametrize("rules", ["epsilon", "gamma"])
@pytest.mark.parametrize("name", ["koo", "bpnet", "residual"])
def test_single_precision_agrees_but_for_what_lies_on_a_threshold(name, rules, method):
    """An entry on the threshold may fall on either side by rounding: its mass bounds the difference."""
    model, target = _model(name, torch.float32)
    X = _data(torch.float32)
    e = Explainer(model, rules)(X, target)
    wanted = by_autograd(model, rules)(X, target)
    assert e.settings["pass"] == "fast path"
    torch.testing.assert_close(
        e.relevance, wanted.relevance, rtol=1e-3, atol=1e-4 * float(wanted.relevance.abs().max())
    )
    pruned = Explainer(model, rules, Pruning(p=0.2, method=method))(X, target)
    wanted = by_autograd(model, rules, Pruning(p=0.2, method=method))(X, target)
    kept, wanted_kept = (table.layers["entries_kept"] for table in (pruned, wanted))
    assert ((kept - wanted_kept).abs() <= 2).all()
    if (kept == wanted_kept).all():
        scale = float(wanted.relevance.abs().max())
        torch.testing.assert_close(pruned.relevance, wanted.relevance, rtol=1e-2, atol=1e-3 * scale)


@pytest.mark.parametrize("name", CHAINS)
def test_a_sweep_by_hand_equals_single_passes(name):
    model, target = _model(name)
    explain = Explainer(model, "gamma", Pruning(p=0.1))
    for p, e in explain.sweep(_data(), target, [0.0, 0.1, 0.4]):
        single = Explainer(model, "gamma", Pruning(p=0.1).with_p(p))(_data(), target)
        assert e.settings["pass"] == "fast path"
        assert torch.equal(e.relevance, single.relevance)
        assert torch.equal(e.prediction, single.prediction)


# -- what may change between calls --------------------------------------------------------------------------------


def _edit_step(model):
    with torch.no_grad():
        model.conv2.weight.mul_(1.5)


def _edit_data(model):
    model.dense.weight.data[0] += 1.0


def _edit_numpy(model):
    model.conv1.weight.detach().numpy()[0, 0, 0] = 3.0


def _edit_statistics(model):
    model.norm1.running_var.data.mul_(2.0)


def _edit_state(model):
    other = randomised(CHAINS["koo"][0](), 5).double()
    state = {k: v.abs() if "var" in k else v for k, v in other.state_dict().items()}
    model.load_state_dict(state)


def _edit_module(model):
    model.conv2 = nn.Conv1d(8, 12, 7, padding=3).double()


def _edit_activation(model):
    model.act2 = nn.Softplus()


@pytest.mark.parametrize(
    "edit",
    [_edit_step, _edit_data, _edit_numpy, _edit_statistics, _edit_state, _edit_module, _edit_activation],
)
def test_a_model_edited_between_calls_is_explained_as_it_is(edit):
    model, target = _model("koo")
    explain = Explainer(model, "gamma", Pruning(p=0.1))
    before = explain(_data(), target).relevance
    edit(model)
    after = explain(_data(), target).relevance
    _assert_close(after, by_autograd(model, "gamma", Pruning(p=0.1))(_data(), target).relevance)
    assert not torch.allclose(before, after)


def test_a_model_in_training_mode_is_explained_in_evaluation_mode_and_put_back():
    model, target = _model("koo")
    wanted = Explainer(model)(_data(), target).relevance
    model.train()
    assert torch.equal(Explainer(model)(_data(), target).relevance, wanted)
    assert all(module.training for module in model.modules())


def test_nothing_of_the_models_is_written_to():
    model, target = _model("residual", torch.float32)
    state = {k: (v.clone(), v._version) for k, v in model.state_dict(keep_vars=True).items()}
    X = _data(torch.float32)
    before = X.clone()
    Explainer(model, "gamma", Pruning(p=0.2))(X, target)
    assert torch.equal(X, before)
    for k, v in model.state_dict(keep_vars=True).items():
        assert torch.equal(v, state[k][0])
        assert v._version == state[k][1]
        assert v.grad is None


@pytest.mark.parametrize("count", [1, 2])
def test_the_number_of_threads_stays_the_users(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        model, target = _model("koo", torch.float32)
        Explainer(model, "gamma", Pruning(p=0.1))(_data(torch.float32), target)
        assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)


def test_operations_handled_in_the_users_own_way_are_left_to_the_other_pass(monkeypatch):
    model = Base().double().eval()

    def doubled(tracer, func, args, kwargs):
        return 2 * func(*args)

    monkeypatch.setitem(tracer.HANDLERS, "relu", doubled)
    e = Explainer(model)(_data())
    assert e.settings["pass"] == "autograd"
    assert not torch.allclose(e.prediction, model(_data())[:, 0])


# -- where it cannot be sure, autograd ----------------------------------------------------------------------------


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(4, 6, 5), nn.Conv1d(6, 6, 3)
        self.out = nn.Linear(6, 1)
        self.kept = None
        self.calls = 0

    def head(self, h):
        return self.out(h.mean(dim=2))

    def forward(self, x):
        return self.head(self.b(self.a(x).relu()).relu())


class BranchOnAValue(Base):
    def forward(self, x):
        h = self.a(x).relu()
        return self.head(self.b(h).relu() if h.sum() > 1e9 else h)


class BranchThatIsCaught(Base):
    def forward(self, x):
        h = self.a(x).relu()
        try:
            large = float(h.max()) > 1e9
        except BaseException:
            large = True
        return self.head(self.b(h).relu() if large else h)


class Keeps(Base):
    def forward(self, x):
        self.kept = self.a(x)
        return self.head(self.b(self.kept.relu()).relu())


class KeepsInAList(Base):
    def forward(self, x):
        h = self.a(x)
        self.kept = [h]
        return self.head(self.b(h.relu()).relu())


class Unknown(Base):
    def forward(self, x):
        return self.head(F.elu(self.b(self.a(x).relu())))


class NormalisedAndNot(Base):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        z = self.a(x)
        return self.head(z.relu() + self.norm(z).relu())


class WeightFromElsewhere(Base):
    def forward(self, x):
        return self.head(F.conv1d(self.a(x).relu(), self.b.weight * 2))


class ViewChangedInPlace(Base):
    def forward(self, x):
        h = self.a(x)
        F.relu(h.flatten(1), inplace=True)
        return self.head(h)


class Constant(Base):
    def forward(self, x):
        return self.head(self.a(x).relu() + 0.5)


REFUSED = [BranchOnAValue, BranchThatIsCaught, Keeps, KeepsInAList, Unknown, NormalisedAndNot, WeightFromElsewhere,
           Constant]  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_stand_in_cannot_answer_for_goes_through_autograd(kind):
    torch.manual_seed(0)
    model = kind().double().eval()
    explain = Explainer(model, "gamma", Pruning(p=0.1))
    for _ in range(2):
        e = explain(_data())
        assert e.settings["pass"] == "autograd"
        assert torch.equal(e.relevance, by_autograd(model, "gamma", Pruning(p=0.1))(_data()).relevance)
        torch.testing.assert_close(e.prediction, model(_data())[:, 0].detach())
    if isinstance(model, Keeps | KeepsInAList):
        kept = model.kept[0] if isinstance(model.kept, list) else model.kept
        torch.testing.assert_close(kept.detach(), model.a(_data()).detach())


def test_a_view_that_is_changed_in_place_is_refused_by_both_passes():
    model = ViewChangedInPlace().double().eval()
    errors = []
    for make in (Explainer, by_autograd):
        with pytest.raises(Exception, match="in place") as caught:
            make(model)(_data())
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x**3

    @staticmethod
    def backward(ctx, g):
        return g


class Custom(Base):
    def forward(self, x):
        h = self.a(x).relu()
        return self.head(h + Cube.apply(h))


def test_a_function_that_cannot_be_seen_is_refused_as_ever():
    with pytest.raises(Exception, match="made by code"):
        Explainer(Custom().double().eval())(_data())


def test_an_error_of_the_models_own_is_raised_at_its_first_call():
    class Fails(Base):
        def forward(self, x):
            self.calls += 1
            raise ValueError("no such bases")

    model = Fails().double().eval()
    with pytest.raises(ValueError, match="no such bases") as caught:
        Explainer(model, layout="NCL")(_data())
    assert model.calls == 1
    assert "(4, 4, 60)" in caught.value.__notes__[0]


@pytest.mark.parametrize("register", ["forward_hook", "forward_pre_hook", "full_backward_hook"])
def test_a_module_with_hooks_is_not_read(register):
    model, calls = Base().double().eval(), []
    getattr(model.b, f"register_{register}")(lambda *args: calls.append(len(args)) or None)
    explain = Explainer(model)
    if register == "full_backward_hook":
        with pytest.raises(Exception, match="backward hook"):
            explain(_data())
        return
    assert explain(_data()).settings["pass"] == "autograd"
    assert len(calls) == 1


def test_a_branch_on_shapes_or_on_the_models_own_state_is_read_anew_each_time():
    class Alternates(Base):
        def forward(self, x):
            self.calls += 1
            h = self.a(x).relu()
            if self.calls % 2:
                h = self.b(h).relu()
            return self.head(h if h.shape[2] > 40 else h + h)

    model = Alternates().double().eval()
    explain = Explainer(model)
    for calls, length in ((0, 60), (1, 60), (2, 44), (3, 60)):
        model.calls = calls
        e = explain(_data()[..., :length])
        assert e.settings["pass"] == "fast path"
        model.calls = calls
        _assert_close(e.relevance, by_autograd(model)(_data()[..., :length]).relevance)


def test_rules_and_pruning_by_layer_name_find_their_layers():
    model, target = _model("residual")
    rules = {"inner#2": Gamma(1.0), "dense": Gamma(0.1), nn.Conv1d: Gamma(0.5)}
    pruning = Pruning(p={"inner*": 0.2, "strided": 0.1})
    e = Explainer(model, rules, pruning)(_data(), target)
    assert e.settings["pass"] == "fast path"
    _assert_close(e.relevance, by_autograd(model, rules, pruning)(_data(), target).relevance)


# -- pooling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize(("length", "width"), [(20, 4), (23, 5), (9, 1), (7, 7)])
def test_compiled_pooling_and_its_way_back_equal_torch(length, width, rectify):
    z = (
        torch.randn(3, length, 6, generator=torch.Generator().manual_seed(width))
        .round(decimals=1)
        .transpose(1, 2)
    )
    pooled, winner = rectified_pool(z, width, rectify=rectify)
    wanted, places = F.max_pool1d(z.contiguous(), width, return_indices=True)
    assert torch.equal(pooled, wanted.relu() if rectify else wanted)
    g = torch.randn(pooled.shape)
    back = unpool(g, winner, length, width)
    assert torch.equal(back, torch.zeros(3, 6, length).scatter_(2, places, g))


def test_pooling_hands_on_what_is_not_a_number():
    z = torch.zeros(1, 8, 3).transpose(1, 2)
    z[0, 1, 2] = torch.nan
    pooled, _ = rectified_pool(z, 4, rectify=True)
    assert pooled.isnan().sum() == 1


def test_dna_and_anything_else_may_take_turns() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 26, 1))
    X = torch.eye(4)[torch.randint(4, (3, 30))].mT.contiguous()
    explain = Explainer(model, "gamma")
    explain(X)  # with the gauge fixed, which one-hot DNA allows
    assert torch.equal(explain(X - 0.3).relevance, Explainer(model, "gamma")(X - 0.3).relevance)
