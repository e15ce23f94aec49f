"""The reference networks: shapes, seeded weights, parameters."""

import pytest
import torch

from genoplrp.errors import InputError
from genoplrp.training import build_architecture, list_architectures
from genoplrp.training.sequence_model import adapt_pools

NAMES = list(list_architectures())
OF_PROFILES = {"bpnet_profile"}


@pytest.mark.parametrize("length", [12, 60, 101, 200])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_PROFILES])
def test_every_architecture_maps_any_length_to_one_logit_per_task(name, length):
    model = build_architecture(name, length=length, n_tasks=3).eval()
    X = torch.zeros(2, 4, length)
    X[:, 0] = 1
    output = model(X)
    assert output.shape == (2, 3)
    assert output.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_gives_the_same_weights_and_another_seed_others(name):
    weights = [build_architecture(name, length=60, seed=s).state_dict() for s in (4, 4, 5)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert not all(torch.equal(weights[0][k], weights[2][k]) for k in weights[0])


@pytest.mark.parametrize("name", NAMES)
def test_building_leaves_the_global_random_state_alone(name):
    before = torch.random.get_rng_state()
    build_architecture(name, length=60)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_hyperparameters_build_the_same_network_again(name):
    first = build_architecture(name, length=60, n_tasks=2)
    again = build_architecture(name, **first.hyperparameters)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (first, again)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name):
    model = build_architecture(name, length=60, n_tasks=2)
    codes = torch.randint(0, 4, (8, 60), generator=torch.Generator().manual_seed(0))
    X = torch.nn.functional.one_hot(codes, 4).float().mT
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model(X).square().sum().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # The bias of a layer before BatchNorm is subtracted with the mean: its gradient is zero but for rounding.
    assert not [n for n in still if not n.endswith("bias")]


@pytest.mark.parametrize("name", NAMES)
def test_untrained_outputs_have_a_moderate_spread(name):
    """Weights on a wrong scale make the first loss huge (or the gradient vanish)."""
    model = build_architecture(name, length=200).eval()
    codes = torch.randint(0, 4, (64, 200), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model(torch.nn.functional.one_hot(codes, 4).float().mT)
    assert output.abs().max() < 5


def test_even_kernels_fit_their_dense_layers():
    for name in ("koo", "basset", "deepstarr"):
        kernels = {"koo": (10, 6), "basset": (8, 6, 4), "deepstarr": (8, 4, 6, 4)}[name]
        assert build_architecture(name, length=90, kernels=kernels).eval()(torch.zeros(1, 4, 90)).shape == (
            1,
            1,
        )


def test_pools_shrink_only_for_short_inputs():
    assert adapt_pools(1000, (4, 5)) == (4, 5)
    assert adapt_pools(200, (4, 5)) == (4, 5)
    assert adapt_pools(60, (4, 5)) == (3, 2)
    assert adapt_pools(3, (4, 5)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "no architecture 'resnet'; choose one of koo"),
        ("koo", {"length": 5}, "5 bp are too short"),
        ("koo", {"n_tasks": 0}, "n_tasks=0"),
        ("koo", {"width": 3}, "has no parameter 'width'; it has filters"),
        ("koo", {"activation": "gelu"}, "choose one of relu, exponential"),
        ("basset", {"pools": (2,)}, "one entry per convolution"),
        (
            "koo",
            {"filters": (-1, 3)},
            r"cannot be built with filters=\(-1, 3\): .*By default filters=\(32, 64\)\.$",
        ),
        ("koo", {"filters": "x"}, r"filters='x'.*filters takes several \(by default 32,64\)"),
    ],
)
def test_bad_names_and_parameters_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        build_architecture(name, **{"length": 60, **options})
