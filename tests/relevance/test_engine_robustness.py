"""What an explanation leaves as it was, and the caller's circumstances that change nothing."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from genoplrp.relevance import (
    Explainer,
    Pruning,
    lrp,
    plrp,
)
from tests.relevance.small_net import Net, one_hot


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
    X = one_hot()
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
    plrp(Net(), one_hot())
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
        e = Explainer(model, pruning=Pruning(0.1))(one_hot())
        assert [r() for r in alive] == [None]
    finally:
        gc.enable()
    assert len(e) == 4


def test_training_goes_on_after_an_explanation():
    model = Net().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plrp(model, one_hot())
    before = model.conv.weight.detach().clone()
    model(one_hot()).sum().backward()
    optimizer.step()
    assert not torch.equal(model.conv.weight, before)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_grad_mode_changes_nothing(context):
    model, X = Net(), one_hot()
    expected = plrp(model, X)
    with context():
        assert torch.equal(plrp(model, X.clone()), expected)
        frozen = Net().requires_grad_(False)
        assert torch.equal(plrp(frozen, X.clone()), expected)


def test_a_model_made_in_inference_mode_is_explained():
    with torch.inference_mode():
        model, X = Net(), one_hot()
    assert torch.equal(plrp(model, X), plrp(Net(), one_hot()))


def test_autocast_of_caller_and_model_is_switched_off():
    X = one_hot()
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
    model, X = Net().to(dtype), one_hot()
    e = Explainer(model, pruning=Pruning(0.1))(X)
    assert e.relevance.dtype == dtype
    reference = Explainer(Net().double(), pruning=Pruning(0.1))(X).relevance
    error = float((e.relevance.double() - reference).norm() / reference.norm())
    assert error < {torch.float64: 1e-12, torch.bfloat16: 0.2, torch.float16: 0.05}[dtype]


def test_arrays_integers_and_views_are_taken():
    model, X = Net(), one_hot()
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
    X = [one_hot(seed=i) for i in range(6)]
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
    X = one_hot()
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

    X, model = one_hot(), Net()
    expected = plrp(model, X)
    with Listen():
        got = plrp(model, X)
    assert torch.equal(got, expected)
    assert seen
