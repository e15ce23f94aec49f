import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.hessians import hessian_effects, smoothed


def pairs():
    return pd.DataFrame(
        {
            "sequence": [0, 0, 2],
            "start_a": [1, 1, 0],
            "end_a": [4, 4, 3],
            "start_b": [5, 9, 6],
            "end_b": [8, 12, 9],
        }
    )


def sequences(n=3, length=12):
    return torch.eye(4)[torch.randint(4, (n, length), generator=torch.Generator().manual_seed(0))].mT.double()


class Quadratic(nn.Module):
    """x' A x / 2 with a symmetric A: its Hessian is A everywhere."""

    def __init__(self, length=12):
        super().__init__()
        a = torch.randn(4 * length, 4 * length, generator=torch.Generator().manual_seed(1)).double()
        self.register_buffer("a", a + a.mT)

    def forward(self, x):
        flat = x.flatten(1)
        return ((flat @ self.a) * flat).sum(dim=1, keepdim=True) / 2


def test_the_effects_on_a_quadratic_are_those_of_its_matrix_and_a_quarter_of_them_along_the_line():
    X, model = sequences(), Quadratic()
    a = model.a.reshape(4, 12, 4, 12).numpy()
    d = (X - 0.25).numpy()
    expected = []
    for row, low_a, high_a, low_b, high_b in pairs().itertuples(index=False):
        total = 0.0
        for i in range(low_a, high_a):
            for j in range(low_b, high_b):
                total += float(d[row, :, i] @ a[:, i, :, j] @ d[row, :, j])
        expected.append(total)
    np.testing.assert_allclose(hessian_effects(model, X, pairs()), expected, rtol=1e-10)
    # The double integral of the product of two numbers from 0 to 1 is 1/4; so is that of -t log(t).
    np.testing.assert_allclose(
        hessian_effects(model, X, pairs(), steps=2000), 0.25 * np.array(expected), rtol=1e-5
    )


def test_the_copy_is_smooth_near_the_network_and_the_network_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 1)
    )
    X = sequences().float()
    smooth = smoothed(model)
    assert not any(isinstance(module, nn.ReLU) for module in smooth.modules())
    assert sum(isinstance(module, nn.ReLU) for module in model.modules()) == 2
    assert all(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(smooth(X), model(X), atol=0.2, rtol=0)
