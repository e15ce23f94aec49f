"""What an explanation leaves as it was, what it refuses and how, and what it does when something goes wrong."""

import gc
import threading
import warnings
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from genoplrp.errors import InputError, NonFiniteError, UnsupportedModelError, UnsupportedOperationError
from genoplrp.relevance import (
    DeepLift,
    Explainer,
    Explanation,
    Gamma,
    GradientTimesInput,
    Pruning,
    filter_windows,
    lrp,
    plrp,
    register_operation,
)


class Net(nn.Module):
    def __init__(self, between=None):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 6, 5, padding=2), nn.BatchNorm1d(6)
        self.inner = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Conv1d(6, 6, 3, padding=1))
        self.head = nn.Linear(6, 3)
        self.between = between
        generator = torch.Generator().manual_seed(0)
        for p in self.parameters():
            p.data.copy_(torch.randn(p.shape, generator=generator))

    def forward(self, x):
        h = self.inner(self.norm(self.conv(x)))
        if self.between is not None:
            h = self.between(self, h)
        return self.head(h.mean(dim=2))


def _one_hot(n=4, length=20, seed=0):
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4)[bases].mT.contiguous()


# -- what stays as it was ------------------------------------------------------------------------------------------


def _state(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("fails", [False, True])
def test_mode_buffers_gradients_hooks_and_random_state_are_untouched(fails):
    def between(model, h):
        assert not model.training
        assert not model.inner[1].training
        if fails:
            raise ZeroDivisionError("in the model's forward")
        return h

    model = Net(between).train()
    model.norm.eval()  # a mixture of modes must come back as it was
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    model.head.weight.requires_grad_(False)
    calls = []
    handles = [model.conv.register_forward_hook(lambda *a: calls.append("forward")),
               model.conv.register_forward_pre_hook(lambda *a: calls.append("before"))]  # fmt: skip
    before, modes = _state(model), [m.training for m in model.modules()]
    hooks = [dict(m._forward_hooks) for m in model.modules()]
    versions = [p._version for p in (*model.parameters(), *model.buffers())]
    torch.manual_seed(3)
    random = torch.get_rng_state()
    X = _one_hot()
    given = X.clone()
    if fails:
        with pytest.raises(ZeroDivisionError):
            Explainer(model, pruning=Pruning(0.1))(X)
    else:
        Explainer(model, pruning=Pruning(0.1))(X)
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == modes
    assert [dict(m._forward_hooks) for m in model.modules()] == hooks
    assert [p._version for p in (*model.parameters(), *model.buffers())] == versions
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(model.conv.weight.grad, torch.ones_like(model.conv.weight))
    assert model.norm.weight.grad is None
    assert not model.head.weight.requires_grad
    assert model.conv.weight.requires_grad
    assert calls == ["before", "forward"]  # the user's own hooks run, once
    assert torch.equal(X, given)
    assert not X.requires_grad
    assert torch.is_grad_enabled()
    assert torch.overrides._get_current_function_mode() is None
    for handle in handles:
        handle.remove()


def test_threads_and_default_dtype_are_untouched():
    before = torch.get_num_threads(), torch.get_default_dtype()
    plrp(Net(), _one_hot())
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before


def test_nothing_of_the_forward_pass_stays_alive():
    alive = []

    def between(model, h):
        alive.append(weakref.ref(h))
        return h

    model = Net(between)
    gc.collect()
    gc.disable()
    try:
        e = Explainer(model, pruning=Pruning(0.1))(_one_hot())
        assert [r() for r in alive] == [None]
    finally:
        gc.enable()
    assert len(e) == 4


def test_training_goes_on_after_an_explanation():
    model = Net().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plrp(model, _one_hot())
    before = model.conv.weight.detach().clone()
    model(_one_hot()).sum().backward()
    optimizer.step()
    assert not torch.equal(model.conv.weight, before)


# -- the caller's circumstances ------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_grad_mode_changes_nothing(context):
    model, X = Net(), _one_hot()
    expected = plrp(model, X)
    with context():
        assert torch.equal(plrp(model, X.clone()), expected)
        frozen = Net().requires_grad_(False)
        assert torch.equal(plrp(frozen, X.clone()), expected)


def test_a_model_made_in_inference_mode_is_explained():
    with torch.inference_mode():
        model, X = Net(), _one_hot()
    assert torch.equal(plrp(model, X), plrp(Net(), _one_hot()))


def test_autocast_of_caller_and_model_is_switched_off():
    X = _one_hot()
    expected = Explainer(Net())(X).relevance
    with torch.autocast("cpu"):
        assert torch.equal(Explainer(Net())(X).relevance, expected)

    def between(model, h):
        with torch.autocast("cpu"):
            return model.inner[2](h)

    plain = Explainer(Net(lambda model, h: model.inner[2](h)))(X).relevance
    e = Explainer(Net(between))(X)
    assert torch.equal(e.relevance, plain)
    assert any("autocast" in note for note in e.notes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    model, X = Net().to(dtype), _one_hot()
    e = Explainer(model, pruning=Pruning(0.1))(X)
    assert e.relevance.dtype == dtype
    reference = Explainer(Net().double(), pruning=Pruning(0.1))(X).relevance
    error = float((e.relevance.double() - reference).norm() / reference.norm())
    assert error < {torch.float64: 1e-12, torch.bfloat16: 0.2, torch.float16: 0.05}[dtype]


def test_arrays_integers_and_views_are_taken():
    model, X = Net(), _one_hot()
    expected = plrp(model, X)
    assert torch.equal(plrp(model, X.numpy()), expected)
    assert torch.equal(plrp(model, X.numpy().astype(np.int8)), expected)
    assert torch.equal(plrp(model, X.bool()), expected)
    assert torch.equal(plrp(model, X.clone().requires_grad_(True)), expected)
    far = torch.zeros(8, 20, 4)
    far[::2] = X.mT
    assert torch.equal(plrp(model, far[::2].mT), expected)


def test_several_threads_share_one_model():
    model = Net().train()
    X = [_one_hot(seed=i) for i in range(6)]
    expected = [plrp(model, x, i % 3) for i, x in enumerate(X)]
    results, errors = {}, []

    def work(i):
        try:
            for _ in range(5):
                results[i] = plrp(model, X[i], i % 3)
                assert torch.equal(results[i], expected[i])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert all(m.training for m in model.modules())


def test_a_part_of_a_model_explained_in_another_thread_stays_in_evaluation_mode():
    from genoplrp.relevance.tracing.guards import evaluation_mode

    model = Net().train()
    with evaluation_mode(model.inner):
        with evaluation_mode(model):
            assert not model.norm.training
        assert model.norm.training
        assert not model.inner[1].training
    assert all(m.training for m in model.modules())


def test_an_explanation_within_the_models_forward_and_within_the_target():
    X = _one_hot()
    inside = []
    other = Net()

    def between(model, h):
        inside.append(plrp(other, X))
        return h

    expected = lrp(other, X)
    got = lrp(Net(between), X)
    assert torch.equal(got, expected)
    assert torch.equal(inside[0], plrp(other, X))

    def target(y):
        inside.append(lrp(other, X, 1))
        return y[:, 0] + inside[-1].flatten(1).sum(dim=1)

    e = Explainer(Net())(X, target)
    assert torch.equal(inside[1], lrp(other, X, 1))
    torch.testing.assert_close(e.relevance, expected, rtol=1e-4, atol=1e-5)
    assert e.check().holds


def test_a_function_mode_of_the_caller_still_sees_the_calls():
    seen = []

    class Listen(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    X, model = _one_hot(), Net()
    expected = plrp(model, X)
    with Listen():
        got = plrp(model, X)
    assert torch.equal(got, expected)
    assert seen


# -- batches -------------------------------------------------------------------------------------------------------


def test_no_sequences_give_an_empty_explanation():
    e = Explainer(Net())(_one_hot()[:0])
    assert e.relevance.shape == (0, 4, 20)
    assert e.per_nucleotide.shape == (0, 20)
    assert e.layers.empty
    assert e.check().holds
    assert [p for p, _ in Explainer(Net()).sweep(_one_hot()[:0], p=[0, 0.1])] == [0, 0.1]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_exhausted_memory_halves_the_batch_and_says_so(error):
    sizes = []

    def between(model, h):
        sizes.append(len(h))
        if len(h) > 3:
            raise error("CUDA out of memory. Tried to allocate 20.00 GiB")
        return h

    X = _one_hot(10)
    with pytest.warns(UserWarning, match="memory ran out with 10 sequences; going on with 5"):
        e = Explainer(Net(between), pruning=Pruning(0.1))(X)
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    torch.testing.assert_close(e.relevance, plrp(Net(), X, p=0.1), rtol=1e-4, atol=1e-5)
    assert e.layers["sequence"].nunique() == 10
    assert not any("one sequence at a time" in note for note in e.notes)


def test_memory_that_is_short_for_one_sequence_is_the_callers_to_know():
    def between(model, h):
        raise RuntimeError("out of memory")

    model = Net(between).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="out of memory"):
            plrp(model, _one_hot())
    assert model.training


@pytest.mark.parametrize("length", [3, 20])
def test_a_batch_moved_off_its_first_axis_is_explained_one_by_one(length):
    """Also where the axis that takes its place has the same length, which no shape shows."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 8).eval()
    first = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True).eval()
    first.load_state_dict(layer.state_dict())
    turned = Net(lambda model, h: layer(h.permute(2, 0, 1)).permute(1, 2, 0))
    plain = Net(lambda model, h: first(h.mT).mT)
    X = _one_hot(3, length)
    e, expected = (Explainer(m, pruning=Pruning(0.1))(X) for m in (turned, plain))
    torch.testing.assert_close(e.relevance, expected.relevance, rtol=1e-3, atol=1e-4)
    assert any("one sequence at a time" in note for note in e.notes)
    assert not any("one sequence at a time" in note for note in expected.notes)
    assert e.check().holds


# -- targets and further inputs ------------------------------------------------------------------------------------


def test_targets_as_numbers_indices_and_functions_agree():
    model, X = Net(), _one_hot()
    explain = Explainer(model, pruning=Pruning(0.1), batch_size=3)
    by_index = torch.stack([explain(X, k).relevance for k in range(3)])
    each = [2, 0, 1, 1]
    expected = torch.stack([by_index[k, i] for i, k in enumerate(each)])
    for target in (each, torch.tensor(each), np.array(each), tuple(each)):
        e = explain(X, target)
        torch.testing.assert_close(e.relevance, expected, rtol=1e-5, atol=1e-6)
        assert torch.as_tensor(e.target).tolist() == each
    assert torch.equal(explain(X, -1).relevance, by_index[2])
    assert torch.equal(explain(X, np.int64(1)).relevance, by_index[1])
    assert torch.equal(explain(X, torch.tensor(1)).relevance, by_index[1])
    torch.testing.assert_close(explain(X, lambda y: y[:, 2]).relevance, by_index[2])
    difference = Explainer(model, Gamma(0.1))(X, lambda y: y[:, 0] - y[:, 1])
    assert difference.check().holds


def test_what_a_target_detaches_is_a_constant():
    model, X = Net(), _one_hot()
    whole = lrp(model, X, 0)
    constant = Explainer(model)(X, lambda y: y[:, 0] - y[:, 1].detach())
    torch.testing.assert_close(constant.relevance, whole, rtol=1e-5, atol=1e-6)
    assert constant.check().holds


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "target 3 is out of range"),
        (-4, "target -4 is out of range"),
        ([0, 1], "2 indices, X has 4"),
        ([0, 1, 5, 0], "target 5 is out of range"),
        (1.5, "target=1.5"),
        (True, "target=True"),
        ("first", "no output 'first'"),
        (None, "3 outputs"),
        (lambda y: y, r"\(4, 3\)"),
        (lambda y: 3.0, "float"),
        (torch.zeros(2, 2, dtype=torch.long), "target="),
    ],
)
def test_a_wrong_target_is_named(target, message):
    with pytest.raises(InputError, match=message):
        lrp(Net(), _one_hot(), target)


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.side = Net(), nn.Linear(2, 3)

        def forward(self, x, side, flag=None):
            return {"logits": self.net(x) + self.side(side), "n": len(x)}, side

    X, side = _one_hot(), torch.rand(4, 2)
    model = Two()
    explain = Explainer(model, batch_size=3)
    e = explain(X, lambda y: y[0]["logits"][:, 1], args=[side])
    torch.testing.assert_close(e.relevance, lrp(model.net, X, 1), rtol=1e-4, atol=1e-5)
    assert e.check().holds
    with pytest.raises(InputError, match="function that picks"):
        explain(X, 1, args=[side])
    with pytest.raises(InputError, match=r"args\[0\] has 3 rows"):
        explain(X, 1, args=[side[:3]])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0]], "list"),
        (torch.zeros(4), "expected"),
        (torch.eye(4)[[0, 1, 2, 3, 0]].T, "X\\[None\\]"),
        (torch.eye(4)[torch.zeros(2, 9, dtype=torch.long)], "transpose"),
        (torch.full((2, 4, 9), torch.nan), "sequence 0"),
        (torch.tensor([0.0, torch.inf]).reshape(2, 1, 1).expand(2, 4, 9), "sequence 1"),
    ],
)
def test_a_wrong_input_is_named(X, message):
    with pytest.raises(InputError, match=message):
        lrp(Net(), X)


def test_weights_that_are_not_finite_are_an_error():
    for value in (torch.nan, torch.inf):
        model = Net()
        model.head.weight.data[0, 0] = value
        with pytest.raises(NonFiniteError, match="not finite"):
            lrp(model, _one_hot())


def test_an_output_without_the_input_is_an_error():
    with pytest.raises(InputError, match="does not depend"):
        lrp(Net(lambda model, h: torch.zeros_like(h)), _one_hot())


# -- what is refused -----------------------------------------------------------------------------------------------


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.relu(x) * 2

    @staticmethod
    def backward(ctx, g):
        return g


@torch.jit.script
def _scripted(x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x) * 2.0


REFUSED = {
    "unknown": (lambda model, h: torch.sin(h), "torch.sin"),
    "unknown-method": (lambda model, h: h.cos(), "cos"),
    "unknown-in-a-module": (lambda model, h: F.cosine_similarity(h, h * 2, dim=1)[:, None], "cosine_similarity"),
    "rounding": (lambda model, h: h.round(), "round"),
    "own-backward": (lambda model, h: _Hidden.apply(h), "_HiddenBackward"),
    "scripted-function": (lambda model, h: _scripted(h), "scripted"),
    "dynamic-filter": (lambda model, h: F.conv1d(h, h[:1].mean(dim=2)[:, :, None]), "hyper-network"),
    "batch-statistics": (lambda model, h: F.batch_norm(h, None, None, training=True), "batch_norm"),
    "batch-statistics-forced": (
        lambda model, h: F.batch_norm(h, model.norm.running_mean, model.norm.running_var, training=True), "statistics",
    ),
    "vmap": (lambda model, h: h + torch.vmap(torch.tanh)(h), "vmap"),
    "one-over": (lambda model, h: 1.0 / (h + 20.0), "division"),
    "negative-power": (lambda model, h: h**-2, "pow"),
    "out": (lambda model, h: torch.add(h, h, out=torch.empty_like(h)), "out="),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_by_name(name):
    between, message = REFUSED[name]
    model = Net(between).train()
    with pytest.raises(UnsupportedOperationError, match=message):
        plrp(model, _one_hot())
    assert model.training
    assert torch.overrides._get_current_function_mode() is None


def test_a_refusal_names_the_module_and_the_way_out():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    model = nn.Sequential(
        nn.Conv1d(4, 3, 3), nn.ModuleDict({"deep": Odd()})["deep"], nn.Flatten(), nn.Linear(54, 1)
    )
    with pytest.raises(UnsupportedOperationError, match=r"torch\.sin \(in module '1'\).*register_operation"):
        lrp(model, _one_hot())


def test_a_hidden_function_at_the_very_end_is_refused():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def forward(self, x):
            return _Hidden.apply(self.net(x)[:, 0])

    with pytest.raises(UnsupportedOperationError, match="_HiddenBackward"):
        lrp(Last(), _one_hot(), None)


def test_a_registered_operation_is_known_from_then_on():
    from genoplrp.relevance.tracing import tracer

    def handler(tracer, func, args, kwargs):
        return args[0] * (torch.sin(args[0]) / args[0]).detach()

    try:
        register_operation("sin", handler)
        model = Net(lambda model, h: torch.sin(h + 0.1))
        e = Explainer(model)(_one_hot())
        with torch.no_grad():
            torch.testing.assert_close(e.prediction, model.eval()(_one_hot())[:, 0])
        assert e.check().holds
    finally:
        del tracer.HANDLERS["sin"]


def test_models_whose_operations_are_hidden_are_refused_with_the_way_out():
    X = _one_hot()
    plain = nn.Sequential(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(54, 1))
    for model, way_out in (
        (torch.jit.script(plain), "nn.Module it was made from"),
        (torch.jit.trace(plain, X), "nn.Module it was made from"),
        (nn.Sequential(torch.jit.script(plain)), "its part '0'"),
        (nn.Sequential(nn.DataParallel(plain)), r"part '0' is wrapped in DataParallel"),
        (torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}), "floating point"),
        (nn.Sequential(nn.LazyConv1d(3, 5)), r"part '0' \(LazyConv1d\) has not seen data"),
    ):
        with pytest.raises(UnsupportedModelError, match=way_out):
            Explainer(model)
    for wrong in (plain.forward, nn.Linear, "model"):
        with pytest.raises(InputError, match="Module"):
            Explainer(wrong)


@pytest.mark.parametrize(
    "settings",
    [
        {"rules": "nonsense"}, {"rules": 3}, {"rules": {"conv": "gamma"}}, {"rules": {3: Gamma()}}, {"pruning": 0.1},
        {"batch_size": 0},
    ],
)  # fmt: skip
def test_wrong_settings_are_named(settings):
    with pytest.raises(InputError):
        Explainer(Net(), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"p": 1.0}, {"p": -0.1}, {"p": float("nan")}, {"p": "strong"}, {"p": True}, {"p_neg": 2}, {"method": "X"},
        {"p": [0.1, 1.2]}, {"p": {"conv": -1}}, {"p": "auto", "total": True}, {"scope": "y"},
    ],
)  # fmt: skip
def test_wrong_pruning_is_named(settings):
    with pytest.raises(InputError):
        Pruning(**settings)


def test_pruning_names_and_counts_are_checked_against_the_model():
    X = _one_hot()
    for pruning, message in (
        (Pruning(0.1, layers=["missing*"]), "missing"),
        (Pruning({"missing": 0.1}), "missing"),
        (Pruning([0.1, 0.1, 0.1]), "3 values, the model has 2"),
    ):
        with pytest.raises(InputError, match=message):
            Explainer(Net(), pruning=pruning)(X)


def test_a_large_p_warns_once_and_a_total_does_not():
    with pytest.warns(UserWarning, match="weaker motif"):
        Pruning(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pruning(0.25)
        Pruning(0.5, total=True)
        list(Explainer(Net()).sweep(_one_hot(), p=[0.5, 0.9]))


# -- devices -------------------------------------------------------------------------------------------------------


def test_another_device_gets_a_copy_of_the_model():
    model = Net()
    elsewhere = Explainer(model, device="meta")
    assert elsewhere._runner is not model
    assert {p.device.type for p in elsewhere._runner.parameters()} == {"meta"}
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert Explainer(model, device="cpu")._runner is model


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("on", ["model", "copy"])
def test_a_gpu_gives_the_same_map(on):
    model, X = Net().double(), _one_hot().double()
    expected = Explainer(model, pruning=Pruning(0.1))(X)
    model = Net().double()
    e = Explainer(
        model.cuda() if on == "model" else model,
        pruning=Pruning(0.1),
        device=None if on == "model" else "cuda",
    )(X)
    assert e.relevance.device.type == "cpu"
    torch.testing.assert_close(e.relevance, expected.relevance, rtol=1e-9, atol=1e-11)
    assert e.check(1e-10).holds


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_other_explanations_filters_and_the_faithful_p_are_the_same_on_a_gpu():
    model, X = Net().double(), _one_hot().double()
    pruning, faithful = Pruning(0.1), Pruning("faithful")
    shuffled = X.flip(2)[:, None]

    def everything(device):
        yield GradientTimesInput(model, pruning, device=device)(X).relevance
        yield DeepLift(model, pruning, references=lambda _: shuffled, device=device)(X).relevance
        yield Explainer(model, pruning=faithful, device=device)(X).relevance
        yield filter_windows(Explainer(model, pruning=pruning, device=device), X, "conv").contributions

    for here, there in zip(everything("cpu"), everything("cuda"), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-11)


# -- the result ----------------------------------------------------------------------------------------------------


def test_the_result_is_joined_over_batches():
    model, X = Net(), _one_hot(7)
    whole = Explainer(model, pruning=Pruning(0.1), keep_intermediate=True, keep_multiplier=True)(X)
    parts = Explainer(
        model, pruning=Pruning(0.1), keep_intermediate=True, keep_multiplier=True, batch_size=3
    )(X)
    for a, b in (
        (whole.relevance, parts.relevance), (whole.prediction, parts.prediction), (whole.multiplier, parts.multiplier),
        *((whole.intermediate[k], parts.intermediate[k]) for k in whole.intermediate),
    ):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert whole.layers["sequence"].tolist() == parts.layers["sequence"].tolist()
    assert isinstance(parts, Explanation)
    assert "7 sequences" in repr(parts)
    torch.testing.assert_close(whole.multiplier * X, whole.relevance)
    torch.testing.assert_close(whole.per_nucleotide, whole.relevance.sum(dim=1))
    with pytest.raises(InputError, match="no relevance was kept"):
        whole.filters("missing")
    filters = whole.filters("inner.2")
    assert len(filters) == 7 * 6
    np.testing.assert_allclose(
        filters.groupby("sequence")["relevance"].sum(),
        whole.intermediate["inner.2"].flatten(1).sum(dim=1), rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    windows = whole.windows("inner.2", 5, filters=2)
    assert len(windows) == 14
    assert ((windows["end"] - windows["start"]) == 5).all()


def test_a_lean_explainer_keeps_no_books_and_gives_the_same_map():
    model, X = Net(), _one_hot()
    lean = Explainer(model, pruning=Pruning(0.1), diagnostics=False)(X)
    assert torch.equal(lean.relevance, Explainer(model, pruning=Pruning(0.1))(X).relevance)
    with pytest.raises(InputError, match="diagnostics"):
        lean.check()


# -- stacks, and memory that is used again -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_stack_of_two_outputs_keeps_the_batch_together_and_the_books_by_sequence(n):
    """As where two models' counts join by log-sum-exp; with two sequences no shape tells which axis is which."""

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = Net(), Net()
            self.b.head.weight.data *= -0.5

        def forward(self, x):
            return torch.logsumexp(torch.stack([self.a(x), self.b(x)]), dim=0)

    model, X = Joined().double(), _one_hot(n)
    e = Explainer(model)(X)
    assert e.check(1e-10).holds, str(e.check(1e-10))
    assert not any("one sequence at a time" in note for note in e.notes)
    alone = torch.cat([Explainer(model)(x[None]).relevance for x in X])
    torch.testing.assert_close(e.relevance, alone, rtol=1e-9, atol=1e-11)


def test_a_result_and_what_a_hook_kept_stay_as_they_are_while_others_are_computed():
    """Large tensors may come from memory that is used again: never from memory that somebody holds."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 16, 9, padding=4), nn.ReLU(), nn.Conv1d(16, 16, 9), nn.ReLU(), nn.Conv1d(16, 1, 9)
    )
    explain = Explainer(model, pruning=Pruning(0.1), keep_intermediate=True, keep_multiplier=True)
    X = [_one_hot(8, 600, seed=i) for i in range(3)]
    held = []
    handle = model[2].register_forward_hook(
        lambda module, inputs, output: held.append(
            (inputs[0], output, inputs[0].detach().clone(), output.detach().clone())
        )
    )

    def target(y):
        return y[:, 0, 100:200].sum(dim=1)

    first = explain(X[0], target)
    tensors = [first.relevance, first.multiplier, first.prediction, *first.intermediate.values()]
    copies = [t.clone() for t in tensors]
    expected = [explain(x, target).relevance for x in X]
    errors = []

    def work(i):
        errors.extend(i for _ in range(3) if not torch.equal(explain(X[i], target).relevance, expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    handle.remove()
    assert not errors
    assert all(torch.equal(a, b) for a, b in zip(tensors, copies, strict=True))
    assert all(torch.equal(a, c) and torch.equal(b, d) for a, b, c, d in held)


def test_an_exported_program_is_refused_with_the_way_out():
    model = torch.nn.Sequential(
        torch.nn.Conv1d(4, 3, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 1)
    )
    X = torch.eye(4)[torch.randint(4, (2, 10))].mT.contiguous()
    exported = torch.export.export(model.eval(), (X,)).module()
    with pytest.raises(UnsupportedOperationError, match="exported from"):
        lrp(exported, X)


def test_an_error_of_the_models_own_forward_says_what_it_was_given():
    model = nn.Sequential(nn.Conv1d(4, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 1))
    with pytest.raises(InputError, match=r"X of shape \(2, 4, 30\): .*shapes cannot be multiplied") as raised:
        Explainer(model)(torch.zeros(2, 4, 30))
    assert isinstance(raised.value, RuntimeError)  # as torch raised it


def test_a_rule_for_a_layer_that_is_not_there_is_refused():
    model, X = Net().eval(), torch.eye(4)[torch.randint(4, (2, 30))].mT
    with pytest.raises(InputError, match=r"rules names the layer 'haed'; the model has conv, inner\.2, head"):
        lrp(model, X, target=0, rules={"haed": Gamma(0.1)})
    for fits in ("head", "inner.*", "*"):
        lrp(model, X, target=0, rules={fits: Gamma(0.1)})


@pytest.mark.parametrize("name", ["gpu7", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(InputError, match=f"device='{name}' cannot be used here"):
        Explainer(Net(), device=name)
