"""A network of one's own in every way of saving it: it loads, or the message says the one thing to do."""

import argparse
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from genoplrp.errors import CheckpointError, InputError, UnsupportedModelError
from genoplrp.scan.models import load_any_model

NET = """
import torch
from torch import nn
from layers import block

class Net(nn.Module):
    def __init__(self, channels=5):
        super().__init__()
        self.body = block(channels)
        self.register_buffer("scale", torch.ones(1))
        self.head = nn.Linear(channels, 2)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=2)) * self.scale

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x):
        return self.net(x).squeeze()

class Sized(Net):
    def __init__(self, channels):
        super().__init__(channels)

def late():
    from layers import block
    return block(3)
"""
LAYERS = """
from torch import nn

def block(channels):
    return nn.Sequential(nn.Conv1d(4, channels, 5), nn.ReLU())
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("layers", "net", "net_project"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    folder = tmp_path / "project"
    (folder / "package").mkdir(parents=True)
    (folder / "net.py").write_text(NET)
    (folder / "layers.py").write_text(LAYERS)
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "models.py").write_text(
        NET.replace("from layers", "from ..layers").replace("..", ".")
    )
    (folder / "package" / "layers.py").write_text(LAYERS)
    monkeypatch.chdir(folder)
    yield folder
    for name in [key for key in sys.modules if key.split(".")[0] in ("layers", "net", "package")]:
        del sys.modules[name]


@pytest.fixture
def trained(project):
    """State dict of trained weights: numbers that no initialisation draws."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "scale": (1,), "body.0.weight": (5, 4, 5), "body.0.bias": (5,), "head.weight": (2, 5), "head.bias": (2,),
    }  # fmt: skip
    return {name: 10 + torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def under(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def optimizer():
    return {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3)}},
        "param_groups": [{"lr": 0.1}],
    }


SAVED = {
    "state dict": lambda s: s,
    "nested": lambda s: {"epoch": 3, "model_state_dict": s, "optimizer_state_dict": optimizer()},
    "nested twice": lambda s: {"checkpoint": {"net": s, "optim": optimizer()}, "loss": torch.tensor(0.1)},
    "an unusual key": lambda s: {"generator": s, "best": 0.3},
    "DistributedDataParallel": lambda s: under("module.", s),
    "Lightning": lambda s: {"state_dict": under("model.", s) | {"loss.weight": torch.ones(2)}, "epoch": 3},
    "compiled": lambda s: {"model": under("_orig_mod.module.", s)},
}


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("source", ["net.py:Net", "package.models:Net"])
def test_weights_are_found_in_a_checkpoint(project, trained, saved, source):
    torch.save(SAVED[saved](trained), project / "w.ckpt")
    loaded = load_any_model(source, state_dict="w.ckpt")
    torch.testing.assert_close(dict(loaded.model.state_dict()), trained)


def test_weights_of_the_inner_network_fill_a_wrapper(project, trained):
    torch.save(trained, project / "w.pt")
    loaded = load_any_model("net.py:Wrapped", state_dict="w.pt")
    torch.testing.assert_close(dict(loaded.model.state_dict()), under("net.", trained))


def test_of_several_sets_of_weights_the_usual_one_is_taken_and_said(project, trained):
    other = {key: value + 1 for key, value in trained.items()}
    torch.save({"ema": other, "state_dict": trained}, project / "w.pt")
    with pytest.warns(UserWarning, match="several sets of weights: 'state_dict/' is taken, not 'ema/'"):
        loaded = load_any_model("net.py:Net", state_dict="w.pt")
    torch.testing.assert_close(dict(loaded.model.state_dict()), trained)


PICKLING = (
    "import torch\nfrom torch import nn\nimport net\n"
    "def filled(made):\n    for p in made.state_dict().values(): p.fill_(7.0)\n    return made\n"
    "torch.save(filled(net.Net()), 'whole.pt')\n"
    "torch.save(filled(nn.DataParallel(net.Net())), 'parallel.pt')\n"
    "torch.save({'epoch': 1, 'net': filled(net.Net())}, 'dict.pt')\n"
    f"{NET}\ntorch.save(filled(Net()), 'main.pt')\n"
)


@pytest.fixture(scope="module")
def pickles(tmp_path_factory):
    """Whole modules, pickled by a process whose current folder has their code."""
    folder = tmp_path_factory.mktemp("pickles")
    (folder / "net.py").write_text(NET)
    (folder / "layers.py").write_text(LAYERS)
    subprocess.run([sys.executable, "-c", PICKLING], cwd=folder, check=True)
    return folder


def is_filled(loaded):
    return all(bool((value == 7).all()) for value in loaded.model.state_dict().values())


@pytest.mark.filterwarnings("ignore:unpickling")
@pytest.mark.parametrize("name", ["whole", "parallel", "dict"])
def test_a_whole_module_loads_where_its_code_is(project, pickles, name):
    path = pickles / f"{name}.pt"
    with pytest.raises(CheckpointError, match="--trust-pickle"):
        load_any_model("net.py:Net", state_dict=path)
    assert is_filled(load_any_model("net.py:Net", state_dict=path, trust_pickle=True))
    if name != "dict":
        whole = load_any_model(path, trust_pickle=True)
        assert type(whole.model).__name__ == "Net"
        assert is_filled(whole)


@pytest.mark.filterwarnings("ignore:unpickling")
def test_a_module_of_a_notebook_says_how_it_loads_and_loads_so(project, pickles):
    path = pickles / "main.pt"
    with pytest.raises(
        InputError, match=rf"the class Net itself.*net\.py:Net --state-dict {path} --trust-pickle"
    ):
        load_any_model(path, trust_pickle=True)
    before = set(vars(sys.modules["__main__"]))
    assert is_filled(load_any_model("net.py:Net", state_dict=path, trust_pickle=True))
    assert set(vars(sys.modules["__main__"])) == before


@pytest.mark.filterwarnings("ignore:unpickling")
def test_a_module_whose_code_is_elsewhere_names_it(pickles, tmp_path, monkeypatch):
    shutil.copy(pickles / "whole.pt", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "net", raising=False)
    with pytest.raises(InputError, match=r"needs the module 'net'.*folder that has net"):
        load_any_model("whole.pt", trust_pickle=True)


@pytest.mark.filterwarnings("ignore:unpickling")
def test_settings_beside_weights_need_trust(project, trained):
    torch.save({"state_dict": trained, "hparams": argparse.Namespace(lr=1)}, project / "w.ckpt")
    with pytest.raises(CheckpointError, match=r"more than tensors.*--trust-pickle"):
        load_any_model("net.py:Net", state_dict="w.ckpt")
    loaded = load_any_model("net.py:Net", state_dict="w.ckpt", trust_pickle=True)
    torch.testing.assert_close(dict(loaded.model.state_dict()), trained)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("net.py", r"net.py is code: name the class or function .* \(it has Net, Wrapped, Sized, late\)"),
        ("w.pt", "holds weights, not the network: .* net.py:Net --state-dict w.pt"),
        ("net.py:Sized", r"write a function without arguments that returns Sized\(\.\.\.\)"),
        ("net.py:nothing", "has no 'nothing'"),
    ],
)
def test_the_message_says_the_one_thing_to_do(project, trained, source, said):
    torch.save(trained, project / "w.pt")
    with pytest.raises(InputError, match=said):
        load_any_model(source)


def test_a_callable_may_import_when_it_is_called_and_the_path_is_left_as_it_was(project):
    before = list(sys.path)
    with pytest.raises(InputError, match="--state-dict"):
        load_any_model("net.py:late")
    assert sys.path == before


def test_what_nearly_fits_says_what_is_missing_under_its_prefix(project, trained):
    torch.save(
        {"state_dict": under("model.", {k: v for k, v in trained.items() if k != "head.bias"})}, "w.pt"
    )
    with pytest.raises(CheckpointError, match=r"missing head\.bias; not expected none"):
        load_any_model("net.py:Net", state_dict="w.pt")


def test_torchscript_is_said(project):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 1), torch.zeros(1, 2)), "t.pt")
    with pytest.raises(UnsupportedModelError, match="TorchScript"):
        load_any_model("t.pt")


def test_text_is_not_taken_for_a_pickle_to_be_trusted(project):
    source = "net.py:Net"
    with pytest.raises(
        CheckpointError, match=r"net\.py cannot be read as weights: it is not a file of torch\.save"
    ):
        load_any_model(source, state_dict="net.py")
