"""A genome explained by a consensus: the views that the model bears, asked once for all windows."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import genoplrp as gp
from genoplrp.cli.main import main

pytest.importorskip("zarr")
from genoplrp.scan import LoadedModel, ScanStore, scan_genome
from genoplrp.sites.alike import explain_alike

LENGTH = 40


class Sites(nn.Module):
    """Counts TGACTCA, on one strand or on both."""

    def __init__(self, both):
        super().__init__()
        weight = torch.from_numpy(gp.one_hot_encode(["TGACTCA"]))
        self.conv = nn.Conv1d(4, 2 if both else 1, 7)
        self.head = nn.Linear(2 if both else 1, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.cat([weight, weight.flip(1, 2)]) if both else weight)
            self.conv.bias.fill_(-3.0)
            self.head.weight.fill_(1.0)
            self.head.bias.zero_()

    def forward(self, x):
        return self.head(self.conv(x).relu().sum(dim=2))


@pytest.fixture
def genome(tmp_path):
    rng = random.Random(2)
    pieces = ["".join(rng.choices("ACGT", k=33)) for _ in range(30)]
    (tmp_path / "g.fa").write_text(">chr1\n" + "".join(f"{p[:10]}TGACTCA{p[10:]}" for p in pieces) + "\n")
    return tmp_path / "g.fa"


@pytest.mark.parametrize("both", [True, False])
def test_the_views_of_a_scan_are_those_the_model_bears(tmp_path, genome, both):
    model, said = Sites(both).eval(), []
    made = scan_genome(
        LoadedModel(model, "m", "0"),
        genome,
        tmp_path / "s",
        tile=LENGTH,
        length=LENGTH,
        consensus=True,
        batch_size=8,
        log=said.append,
    )
    store = ScanStore(made)
    assert store.manifest["consensus"]["both_strands"] is both
    assert store.manifest["method"] == "consensus, LRP gamma, gamma-all"
    X = torch.from_numpy(store.one_hot(slice(None)))
    asked = gp.consensus(model, X[np.linspace(0, len(X) - 1, min(len(X), 32)).round()])
    assert store.manifest["consensus"] == {
        **asked.settings["form"],
        "mechanisms": list(asked.settings["form"]["mechanisms"]),
    }
    wanted = gp.consensus(model, X, ask=False, **store.manifest["consensus"])
    np.testing.assert_allclose(
        store.per_nucleotide(slice(None)), wanted.per_nucleotide.numpy(), rtol=1e-3, atol=1e-5
    )
    assert ("on both strands" if both else "on the given strand only") in said[-2]
    assert "differences from uniform columns" in said[-1]
    again = explain_alike(model, store, 0)
    codes = store.one_hot(slice(3, 6)).argmax(axis=1).astype(np.uint8)
    np.testing.assert_allclose(again(codes), store.per_nucleotide(slice(3, 6)), rtol=1e-3, atol=1e-5)


def test_what_the_command_line_leaves_out_is_not_tried(tmp_path, genome):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    body = [nn.Conv1d(4, 3, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]\n"
        "    return nn.Sequential(*body, nn.Linear(3, 1))\n"
    )
    command = [
        "explain",
        f"{tmp_path}/net.py:build",
        "--fasta",
        str(genome),
        "--tile",
        "40",
        "--length",
        "40",
    ]
    command += ["--out", str(tmp_path / "s")]
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--one-strand"])
    assert stopped.value.code == 2
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--consensus", "--one-strand", "--max-shift", "0"])
    assert stopped.value.code == 0
    made = ScanStore(tmp_path / "s").manifest["consensus"]
    assert made.pop("mechanisms")[-1] == "difference"
    assert made == {"max_shift": 0, "both_strands": False, "references": "shuffled"}
