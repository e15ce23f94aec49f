"""Archives of torch.export are explained as the modules that they were exported from."""

import pytest
import torch
from torch import nn

from genoplrp.errors import CheckpointError, InputError, UnsupportedModelError
from genoplrp.relevance import Explainer, Pruning
from genoplrp.scan import load_any_model
from genoplrp.training import build_architecture, list_architectures

LENGTH = 120


def sequences(n=5, length=LENGTH):
    return torch.eye(4)[torch.randint(4, (n, length), generator=torch.Generator().manual_seed(1))].mT


def export(model, path, *, length=LENGTH, batch=None):
    shapes = ({0: torch.export.Dim("batch", min=1)},) if batch is None else None
    program = torch.export.export(model, (torch.zeros(batch or 2, 4, length),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def trained(architecture):
    """A network whose normalisation has seen data, so that it is not the identity."""
    model = build_architecture(architecture, length=LENGTH, n_tasks=2, seed=3).train()
    with torch.no_grad():
        for _ in range(3):
            model(sequences(16))
    return model.eval()


@pytest.mark.parametrize("architecture", [name for name in list_architectures() if name != "bpnet_profile"])
@pytest.mark.parametrize(("rules", "pruning"), [("gamma", Pruning(0.2)), ("epsilon", None)])
def test_every_architecture_is_explained_alike_from_its_archive(tmp_path, architecture, rules, pruning):
    model = trained(architecture)
    loaded = load_any_model(export(model, tmp_path / "m.pt2"))
    assert loaded.length == LENGTH
    one, two = (Explainer(m, rules, pruning)(sequences(), 1) for m in (model, loaded.model))
    torch.testing.assert_close(two.prediction, one.prediction, rtol=1e-4, atol=1e-5)
    scale = float(one.relevance.abs().max())
    torch.testing.assert_close(two.relevance, one.relevance, rtol=1e-3, atol=1e-4 * scale)


class Unusual(nn.Module):
    """Slices, in-place operations, a product with a gate, GELU, ELU, layer and group normalisation, two outputs."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(4, 8, 5, padding="same"), nn.Conv1d(8, 8, 3, padding=1, groups=2)
        self.norm, self.group = nn.LayerNorm(8), nn.GroupNorm(2, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        h = torch.relu_(self.a(x))
        h = h + nn.functional.elu(self.group(self.b(h)))
        h = nn.functional.gelu(h[:, :, 10:-10]) * torch.sigmoid(h[:, :, 10:-10])
        h = self.norm(h.permute(0, 2, 1)).mean(dim=1)
        h += 1.0
        y = self.head(h)
        return y, {"sum": y.sum(dim=1)}


def test_slices_gates_norms_and_in_place_operations_come_through(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Unusual().eval()
    loaded = load_any_model(export(model, tmp_path / "m.pt2")).model
    one, two = (
        Explainer(m, "gamma", Pruning(0.1))(sequences(), lambda y: y[0][:, 2]) for m in (model, loaded)
    )
    torch.testing.assert_close(two.relevance, one.relevance, rtol=1e-3, atol=1e-6)
    assert loaded.state_dict().keys() == model.state_dict().keys()


def test_layers_keep_their_names(tmp_path):
    model = trained("koo")
    loaded = load_any_model(export(model, tmp_path / "m.pt2")).model
    names = [set(Explainer(m, keep_intermediate=True)(sequences()).intermediate) for m in (model, loaded)]
    assert names[0] == names[1]


def test_archives_that_cannot_be_explained_say_why(tmp_path):
    (tmp_path / "broken.pt2").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"cannot be read as a torch.export archive"):
        load_any_model(tmp_path / "broken.pt2")
    with pytest.raises(UnsupportedModelError, match="exported in training mode"):
        load_any_model(export(trained("koo").train(), tmp_path / "train.pt2"))

    class Sorted(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs().sum(dim=(1, 2))

    with pytest.raises(UnsupportedModelError, match=r"fft_rfft.*--state-dict"):
        load_any_model(export(Sorted(), tmp_path / "fft.pt2"))

    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(2, -1).sum(dim=1)

    with pytest.raises(UnsupportedModelError, match=r"batches of exactly 2.*dynamic_shapes"):
        load_any_model(export(Fixed(), tmp_path / "fixed.pt2", batch=2))
    with pytest.raises(InputError, match="omit --state-dict"):
        load_any_model(export(trained("koo"), tmp_path / "m.pt2"), state_dict=tmp_path / "m.pt2")


def test_one_size_of_batch_is_no_matter_where_nothing_depends_on_it(tmp_path):
    model = trained("koo")
    loaded = load_any_model(export(model, tmp_path / "m.pt2", batch=2)).model
    torch.testing.assert_close(loaded(sequences(7)), model(sequences(7)), rtol=1e-4, atol=1e-5)
