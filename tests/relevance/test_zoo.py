"""Published architectures, explained as they are: nothing lost, nothing silent."""

import warnings

import pytest
import torch
from torch import nn

from genoplrp.relevance import PRESETS, Epsilon, Explainer, Gamma, Pruning, coverage
from tests.zoo import convolutional as c
from tests.zoo import images
from tests.zoo import sequential as s


def _first(y):
    return y[:, 0]


def _profile(y):
    """The profile head as chrombpnet explains it: logits, centred, weighted by their softmax."""
    logits = (y[0] if isinstance(y, tuple) else y).flatten(1)
    centred = logits - logits.mean(dim=1, keepdim=True)
    return (centred * torch.softmax(centred, dim=1).detach()).sum(dim=1)


def _counts(y):
    return y[1][:, 0]


def _track(y):
    return y[:, 1].sum(dim=-1)


# name -> model, length, target, extra inputs
ZOO = {
    "DeepBind": (c.DeepBind, 60, 0, None),
    "DeepSEA": (c.DeepSEA, 200, 2, None),
    "Basset": (c.Basset, 200, 1, None),
    "Basenji": (c.Basenji, 128, _track, None),
    "BPNet-profile": (c.BPNet, 100, _profile, None),
    "BPNet-counts": (c.BPNet, 100, _counts, None),
    "BPNet-controls": (lambda: c.BPNet(controls=2), 100, _counts, 2),
    "ChromBPNet-profile": (c.ChromBPNet, 100, _profile, None),
    "ChromBPNet-counts": (c.ChromBPNet, 100, _counts, None),
    "ChromBPNet-bias": (lambda: c.ChromBPNet().bias, 100, _profile, None),
    "DeepSTARR": (c.DeepSTARR, 128, 1, None),
    "ResidualBind": (c.ResidualBind, 60, 0, None),
    "SpliceAI": (c.SpliceAI, 90, lambda y: y[:, 1, 30], None),
    "U-Net": (c.UNet, 64, _track, None),
    "DanQ": (s.DanQ, 100, 1, None),
    "DanQ-GRU": (lambda: s.DanQ(nn.GRU), 100, 1, None),
    "Enformer": (s.Enformer, 64, lambda y: y[:, 4, 1], None),
    "ConvTransformer": (s.ConvTransformer, 80, 1, None),
    "ConvTransformer-norm-first": (lambda: s.ConvTransformer(norm_first=True), 80, 1, None),
    "SqueezeExcite": (s.SqueezeExcite, 60, None, None),
}


def _build(name, seed=0):
    make, length, target, controls = ZOO[name]
    model = randomised(make(), seed)
    bases = torch.randint(4, (4, length), generator=torch.Generator().manual_seed(seed))
    X = torch.eye(4)[bases].mT.contiguous()
    args = (
        None
        if controls is None
        else [torch.rand(4, controls, length, generator=torch.Generator().manual_seed(9))]
    )
    return model, X, target, args


def randomised(model, seed=0):
    """Give every parameter and buffer a value that does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if not tensor.is_floating_point():
                continue
            fan_in = tensor[0].numel() if tensor.dim() > 1 else 4
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * (1.5 / fan_in**0.5))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_var.abs_().add_(0.5)
                module.weight.abs_().add_(0.5)
    return model


def _logit(model, X, target, args):
    """The explained number by an ordinary forward pass, before a final sigmoid or softmax."""
    model.eval()
    last = [m for m in model.modules() if isinstance(m, nn.Sigmoid)]
    with torch.no_grad():
        y = model(X, *(args or ()))
    if last or isinstance(model, c.Basset | s.DanQ):
        y = torch.logit(y.double()).float()
    if callable(target):
        return target(y)
    return y.reshape(len(X)) if target is None or y.dim() == 1 else y[:, target]


@pytest.mark.parametrize("preset", ["gamma", "epsilon"])
@pytest.mark.parametrize("name", ZOO)
def test_relevance_and_absorbed_add_up_to_the_output(name, preset):
    model, X, target, args = _build(name)
    for pruning in (None, Pruning(0.2)):
        e = Explainer(model, preset, pruning)(X, target, args=args)
        verdict = e.check(1e-4)
        assert verdict.holds, str(verdict)
        # Relative to the output alone, too, not only to the relevance in circulation.
        gap = (verdict.relevance + verdict.absorbed - verdict.output).abs() / verdict.output.abs()
        assert float(gap.max()) < 1e-4
        assert float(e.relevance.abs().sum()) > 0


# Nothing but biases (and the stabilizer) absorbs here: no constant is added, no activation is off zero.
BIASED_ONLY = [
    "DeepBind", "DeepSEA", "Basset", "BPNet-profile", "BPNet-counts", "ChromBPNet-bias", "ChromBPNet-profile",
    "DeepSTARR", "SpliceAI", "U-Net", "SqueezeExcite",
]  # fmt: skip


@pytest.mark.parametrize("rule", [Epsilon(1e-9), Gamma(0.25, epsilon=1e-9)])
@pytest.mark.parametrize("name", BIASED_ONLY)
def test_without_biases_the_input_alone_adds_up_to_the_output(name, rule):
    """No ledger: what a rule hands down is the whole of what came in (the gauge would move weight into a bias)."""
    model, X, target, args = _build(name)
    with torch.no_grad():
        for path, tensor in (*model.named_parameters(), *model.named_buffers()):
            if path.endswith(("bias", "running_mean")):
                tensor.zero_()
    model, X = model.double(), X.double()
    for pruning in (None, Pruning(0.2)):
        e = Explainer(model, rule, pruning, diagnostics=False)(X, target, args=args)
        total, scale = e.relevance.flatten(1).sum(dim=1), e.relevance.flatten(1).abs().sum(dim=1)
        assert float(((total - e.prediction) / torch.maximum(scale, e.prediction.abs())).abs().max()) < 1e-4


@pytest.mark.parametrize("name", ZOO)
def test_every_operation_of_every_architecture_is_ruled_or_neutral_and_none_refused(name):
    model, X, _, args = _build(name)
    frame = coverage(model, X, args=args)
    assert set(frame["kind"]) <= {"ruled", "neutral"}
    modules = dict(model.named_modules())
    for kind, operation in (
        (nn.Conv1d, "conv1d"),
        (nn.Linear, "linear"),
        (nn.ReLU, "relu"),
        (nn.LayerNorm, "layer_norm"),
    ):
        for path, module in modules.items():
            # Fused attention reads the weights of its output layer, and calls no module.
            if type(module) is kind and not path.endswith("out_proj"):
                rows = frame[(frame["module"] == path) & (frame["operation"] == operation)]
                assert len(rows) == 1, path
                assert rows["kind"].item() == ("neutral" if kind is nn.ReLU else "ruled")


@pytest.mark.parametrize("name", [n for n in ZOO if n != "SpliceAI"])
def test_the_explained_number_is_the_models_own(name):
    model, X, target, args = _build(name)
    prediction = Explainer(model)(X, target, args=args).prediction
    torch.testing.assert_close(prediction, _logit(model, X, target, args), rtol=2e-4, atol=2e-5)


def test_a_softmax_over_classes_at_each_position_is_explained_at_its_logits():
    model, X, target, _ = _build("SpliceAI")
    e = Explainer(model)(X, target)
    seen = []
    model.eval()
    handle = model.out.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    with torch.no_grad():
        model(X)
    handle.remove()
    torch.testing.assert_close(e.prediction, seen[0][:, 1, 30], rtol=1e-4, atol=1e-5)
    assert any("logit" in note for note in e.notes)


@pytest.mark.parametrize("name", ZOO)
def test_every_operation_is_counted_as_ruled_or_neutral(name):
    model, X, target, args = _build(name)
    seen = []

    class Record(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    model.eval()
    with torch.no_grad(), Record():
        model(X, *(args or ()))
    e = Explainer(model)(X, target, args=args)
    counts = e.settings["operations"]
    assert set(counts) == {"ruled", "neutral"}
    counted = {name for kind in counts.values() for name in kind}
    for function in (
        "conv1d",
        "conv2d",
        "conv_transpose1d",
        "linear",
        "batch_norm",
        "layer_norm",
        "group_norm",
        "lstm",
    ):
        wanted = seen.count(function)
        if wanted:
            # A recurrent layer counts once more for its linear part, attention for its projections.
            assert counts["ruled"].get(function, 0) >= wanted, function
    for function in (
        "relu",
        "gelu",
        "silu",
        "softplus",
        "exp",
        "cat",
        "max_pool1d",
        "avg_pool1d",
        "interpolate",
    ):
        if function in seen:
            assert function in counted, function


@pytest.mark.parametrize(
    "name", ["DeepBind", "DeepSEA", "Basset", "BPNet-profile", "BPNet-counts", "BPNet-controls", "ChromBPNet-bias",
             "DeepSTARR", "SpliceAI"],
)  # fmt: skip
def test_epsilon_zero_is_gradient_times_input_where_all_is_piecewise_linear(name):
    """An independent path: autograd on the untouched model."""
    model, X, target, args = _build(name)
    model.double().eval()
    x = X.double().requires_grad_(True)
    args = None if args is None else [a.double() for a in args]
    if name == "SpliceAI":  # up to its softmax
        seen = []
        model.out.register_forward_hook(lambda module, inputs, output: seen.append(output))
        model(x)
        number = seen[0][:, 1, 30]
    else:
        y = model(x, *(args or ()))
        y = torch.logit(y) if name in ("DeepSEA", "Basset") else y
        number = target(y) if callable(target) else y[:, target]
    (gradient,) = torch.autograd.grad(number.sum(), x)
    relevance = Explainer(model, Epsilon(0.0))(X.double(), target, args=args).relevance
    expected = x.detach() * gradient
    torch.testing.assert_close(relevance, expected, rtol=1e-6, atol=1e-8 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ZOO)
def test_the_double_precision_map_is_the_single_precision_one(name):
    """The two run through different memory layouts and kernels."""
    model, X, target, args = _build(name)
    single = Explainer(model, Epsilon(0.01))(X, target, args=args).relevance.double()
    args = None if args is None else [a.double() for a in args]
    double = Explainer(model.double(), Epsilon(0.01))(X.double(), target, args=args).relevance
    assert float((single - double).norm() / double.norm()) < 1e-2


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_explains_a_residual_network(preset):
    model, X, target, _ = _build("ResidualBind")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        e = Explainer(model, preset, Pruning("auto"))(X, target)
    assert e.check(1e-4).holds, str(e.check())


@pytest.mark.parametrize("preset", ["gamma", "epsilon-plus", "epsilon-plus-flat"])
@pytest.mark.parametrize("make", [images.vgg16, images.ResNet50])
def test_image_networks_run_and_conserve(make, preset):
    model = randomised(make())
    X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for pruning in (None, Pruning(0.15)):
        e = Explainer(model, preset, pruning)(X, 3)
        assert e.relevance.shape == X.shape
        assert e.check(1e-4).holds, str(e.check())
        assert len(e.layers.layer.unique()) == (16 if make is images.vgg16 else 54)
