"""DeepLIFT on the engine: equal to captum and tangermeme unpruned, accountable, pruned like relevance."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.errors import InputError, UnsupportedOperationError
from genoplrp.relevance import DeepLift, Pruning
from tests.oracles.oracle_deeplift import pruned_deeplift
from tests.relevance.test_zoo import ZOO, _build, randomised


def _network(activation=nn.ReLU, pool=nn.AvgPool1d, seed=0):
    """Every activation its own module, as the peers' hooks need it."""
    model = nn.Sequential(
        nn.Conv1d(4, 6, 5, padding=2), nn.BatchNorm1d(6), activation(), pool(2),
        nn.Conv1d(6, 5, 3, dilation=2), activation(), nn.Flatten(), nn.Linear(55, 7), activation(), nn.Linear(7, 3),
    )  # fmt: skip
    return randomised(model, seed).double().eval()


def _one_hot(n, length=30, seed=1):
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4, dtype=torch.float64)[bases].mT.contiguous()


def _close(a, b, rtol=1e-9):
    torch.testing.assert_close(a, b, rtol=rtol, atol=rtol * float(b.abs().max()))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU, nn.Sigmoid, nn.Softplus, nn.Tanh])
def test_equals_captum_without_pruning(activation):
    from captum.attr import DeepLift as Captum

    model, X, reference = _network(activation), _one_hot(4), _one_hot(4, seed=2)
    # captum gives each entry of the column its own share; ours stand at the base that is there.
    theirs = Captum(model).attribute(X, baselines=reference, target=1).detach().sum(dim=1)
    e = DeepLift(model, references=lambda X: reference[:, None])(X, 1)
    _close(e.per_nucleotide, theirs, 1e-6)
    assert (e.relevance[X == 0] == 0).all()


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Softplus])
def test_equals_tangermeme_without_pruning_over_several_references(activation):
    from tangermeme.deep_lift_shap import deep_lift_shap

    model, X = _network(activation).float(), _one_hot(3).float()
    references = torch.stack([_one_hot(3, seed=s) for s in (2, 3, 4, 5)], dim=1).float()
    explain = DeepLift(model, references=lambda X: references[: len(X)], keep_multiplier=True)
    e = explain(X, 2)
    for ours, hypothetical in ((e.relevance, False), (e.multiplier, True)):
        theirs = deep_lift_shap(
            model, X, target=2, references=references, hypothetical=hypothetical, device="cpu", batch_size=4
        )
        _close(ours, theirs, 2e-4)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_equals_explicit_matrices_with_pruning(p, pool):
    model = _network(pool={"mean": nn.AvgPool1d, "max": nn.MaxPool1d}[pool])
    X, reference = _one_hot(2), _one_hot(2, seed=2)
    pruning = Pruning(p).with_p(p) if p <= 0.25 else Pruning().with_p(p)
    e = DeepLift(model, pruning, references=lambda X: reference[:, None])(X, 0)
    for i in range(2):
        expected = pruned_deeplift(model, X[i], reference[i], 0, p, p / 2)
        _close(e.per_nucleotide[i], expected.sum(dim=0), 1e-8)


# What DeepLIFT has no rule for, and targets that detach what differs between the two sides.
WITHOUT = ("DanQ", "ConvTransformer", "BPNet-profile", "ChromBPNet-profile", "ChromBPNet-bias")
WHOLE = [n for n in ZOO if not n.startswith(WITHOUT)]


@pytest.mark.parametrize("name", WHOLE)
def test_contributions_add_up_to_the_difference_on_published_architectures(name):
    model, X, target, args = _build(name)

    def references(X):
        return torch.stack([X.flip(2), X.roll(3, 2)], dim=1)

    plain = DeepLift(model, references=references)(X, target, args=args)
    pruned = DeepLift(model, Pruning(0.2), references=references)(X, target, args=args)
    for e in (plain, pruned):
        assert e.check(1e-4).holds, str(e.check())
        assert "difference to the reference" in e.check().verdict
    assert float((plain.relevance - pruned.relevance).abs().max()) > 0
    assert (pruned.layers["entries_kept"] < pruned.layers["entries"]).any()


class _Composite(nn.Module):
    """What is not elementwise: attention, softmax, norms, gates, a quotient, maxima."""

    def __init__(self, f):
        super().__init__()
        self.conv, self.f, self.out = nn.Conv1d(4, 8, 5), f, nn.Linear(8, 1)

    def forward(self, x):
        return self.out(self.f(self.conv(x)).mean(dim=-1))


COMPOSITES = {
    "layer norm": lambda h: F.layer_norm(h, h.shape[-1:]).relu(),
    "rms norm": lambda h: F.rms_norm(h, h.shape[-1:]),
    "group norm": lambda h: F.group_norm(h, 2),
    "instance norm": lambda h: F.instance_norm(h) * h,
    "softmax": lambda h: h.softmax(dim=1) * h,
    "log softmax": lambda h: h.log_softmax(dim=2).exp(),
    "logsumexp": lambda h: h.logsumexp(dim=2, keepdim=True),
    "attention": lambda h: F.scaled_dot_product_attention(h.mT, h.mT.relu(), h.mT, is_causal=True).mT,
    "einsum": lambda h: torch.einsum("ncl,ndl->ncd", h, h.tanh()),
    "quotient": lambda h: h / (1 + h.exp()),
    "reciprocal": lambda h: 1 / (1 + h.square()),
    "glu": lambda h: torch.cat([F.glu(h, dim=1)] * 2, dim=1),
    "maximum": lambda h: torch.maximum(h, h.flip(2)),
    "constant maximum": lambda h: torch.maximum(h, torch.tensor(0.1)),
    "max": lambda h: h.max(dim=2, keepdim=True).values,
    "min": lambda h: h.amin(dim=2, keepdim=True),
    "overlapping pool": lambda h: F.max_pool1d(h, 5, stride=2),
    "in place": lambda h: h.mul_(2).relu_().add_(1),
    "logaddexp": lambda h: torch.logaddexp(h, h.flip(2)),
    "power": lambda h: h.abs() ** 1.5 + 2.0**h,
    "positional matrix": lambda h: h @ torch.ones(h.shape[-1], 3, dtype=h.dtype),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_every_composite_operation_adds_up_exactly(name):
    model = randomised(_Composite(COMPOSITES[name])).double()
    X, reference = _one_hot(3), _one_hot(3, seed=2)
    e = DeepLift(model, references=lambda X: reference[:, None])(X, None)
    assert e.check(1e-10).holds, str(e.check(1e-10))
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(X)[:, 0])
        torch.testing.assert_close(e.baseline, model(reference)[:, 0])


def test_a_maximums_multiplier_lies_between_zero_and_one():
    model = nn.Sequential(nn.Identity(), nn.MaxPool1d(3))
    X, reference = torch.randn(2, 50, 4, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    explain = DeepLift(model, references=lambda X: reference[:, None])
    explain.keep_multiplier = True
    e = explain(X, lambda y: y[:, 0].sum(dim=-1))
    step = X - reference
    slope = torch.where(step.abs() > 1e-3, e.relevance / step, torch.zeros_like(step))
    assert -1e-9 <= float(slope.min()) <= float(slope.max()) <= 1 + 1e-9
    assert e.check(1e-10).holds


def test_a_sequence_equal_to_its_reference_has_no_contributions_and_finite_multipliers():
    model, X = _network(nn.Softplus), _one_hot(3)
    e = DeepLift(model, references=lambda X: X[:, None], keep_multiplier=True)(X, 0)
    assert (e.relevance == 0).all()
    assert torch.isfinite(e.multiplier).all() and (e.multiplier != 0).any()


def test_references_for_all_and_for_each_sequence_agree_and_batches_change_nothing():
    model, X = _network(), _one_hot(5)
    shared = _one_hot(3, seed=7)
    one = DeepLift(model, references=shared)(X, 0)
    each = DeepLift(model, references=lambda X: shared.expand(len(X), -1, -1, -1), batch_size=4)(X, 0)
    _close(one.relevance, each.relevance, 1e-12)
    uniform = DeepLift(model, references="uniform")(X, 0)
    _close(uniform.relevance, DeepLift(model, references=torch.full((4, 30), 0.25))(X, 0).relevance, 1e-12)
    means = torch.stack([DeepLift(model, references=shared[i])(X, 0).relevance for i in range(3)]).mean(dim=0)
    _close(one.relevance, means, 1e-12)


def test_a_zero_column_keeps_the_contribution_of_the_reference():
    model, X, reference = _network(), _one_hot(2), _one_hot(2, seed=3)
    X[:, :, 4:9] = 0
    e = DeepLift(model, references=lambda X: reference[:, None])(X, 0)
    assert e.check(1e-10).holds


def test_a_sweep_and_the_ledger_work_as_in_the_explainer():
    model, X, reference = _network(), _one_hot(3), _one_hot(3, seed=2)
    explain = DeepLift(model, references=lambda X: reference[:, None], keep_intermediate="9")
    maps = dict(explain.sweep(X, 0, [0.0, 0.2]))
    _close(maps[0.0].relevance, explain(X, 0).relevance, 1e-12)
    assert maps[0.2].check(1e-10).holds
    assert (maps[0.2].intermediate["9"] == 0).sum() > (maps[0.0].intermediate["9"] == 0).sum()
    kept = maps[0.2].intermediate["9"].flatten(1)
    all_of_it = maps[0.0].intermediate["9"].flatten(1)
    for side in (1, -1):
        _close((kept * side).clamp(min=0).sum(1), (all_of_it * side).clamp(min=0).sum(1), 1e-9)


def test_what_has_no_rule_for_differences_is_refused_by_name():
    model, X, target, _ = _build("DanQ")
    with pytest.raises(UnsupportedOperationError, match=r"lstm.*'recurrent'.*DeepLIFT"):
        DeepLift(model)(X, target)


def test_a_model_that_takes_another_course_on_the_reference_is_refused():
    def branch(h):
        return h.relu() if float(h.sum()) > 0 else h.tanh().relu()

    model = randomised(_Composite(branch)).double()
    X = _one_hot(1)
    with torch.no_grad():
        sums = [(float(model.conv(x).sum()), x) for x in _one_hot(40, seed=5)[:, None]]
    low, high = min(sums, key=lambda s: s[0])[1], max(sums, key=lambda s: s[0])[1]
    with torch.no_grad():
        model.conv.bias += (
            -(float(model.conv(low).sum()) + float(model.conv(high).sum())) / (2 * model.conv(X).numel()) * 1
        )
    with pytest.raises(UnsupportedOperationError, match="another course"):
        DeepLift(model, references=lambda X: low[:, None])(high, None)


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ("shuffled", "'uniform'"),
        (torch.zeros(4, 9), "shape"),
        (lambda X: X, "shape"),
        (lambda X: None, "NoneType"),
        (torch.full((4, 30), float("nan")), "NaN"),
        (lambda X: X[:, None][:, :0], "at least one"),
    ],
)
def test_wrong_references_are_named(references, message):
    with pytest.raises(InputError, match=message):
        DeepLift(_network(), references=references)(_one_hot(2), 0)
