"""Flow: a graph whose columns carry what the explanation carries, on networks whose channels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.plotting import plot_flow, save_figure
from genoplrp.sites import Flow, check_sites, strongest_sites
from genoplrp.sites.aligning import align_windows
from genoplrp.training import build_architecture

PLANTED = {"AC": 0, "GT": 1}


def sequences(n: int, length: int = 60, seed: int = 0) -> Tensor:
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4, dtype=torch.float64)[bases].mT


def two_detectors() -> nn.Module:
    """A network that counts AC and GT: one channel each, and one that is silent."""
    convolution = nn.Conv1d(4, 3, 2).double()
    output = nn.Linear(3, 1, bias=False).double()
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias.fill_(-1.0)  # type: ignore[union-attr]
        convolution.weight[0, [0, 1], [0, 1]] = 1.0
        convolution.weight[1, [2, 3], [0, 1]] = 1.0
        output.weight[:] = torch.tensor([2.0, 3.0, 1.0])

    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.output = convolution, output

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.output(torch.relu(self.convolution(x)).sum(dim=2))
            return out

    return Counts()


def planted() -> Tensor:
    """One sequence of A and G with AC at 10 and GT at 30."""
    bases = torch.tensor([0, 2]).repeat(20)
    bases[10:12], bases[30:32] = torch.tensor([0, 1]), torch.tensor([2, 3])
    return torch.eye(4, dtype=torch.float64)[bases].mT


@pytest.mark.parametrize("name", ["koo", "bpnet"])
def test_columns_pass_on_what_they_get(name: str) -> None:
    model = build_architecture(name, length=60, n_tasks=1).double().eval()
    explain = gp.Explainer(model, pruning=gp.Pruning(p=0.2))
    X = sequences(3)
    found = gp.flow(explain, X, most=4)
    nodes = found.nodes.set_index("node")
    e = explain(X)
    assert nodes.loc["output", "relevance"] == pytest.approx(float(e.prediction.mean()))
    into = found.edges.groupby("source")["relevance"].sum()
    out = found.edges.groupby("target")["relevance"].sum()
    inner = nodes[nodes["layer"] != "output"]
    np.testing.assert_allclose(inner["relevance"], into.reindex(inner.index).fillna(0.0), atol=1e-12)
    upper = nodes[nodes["layer"] != "sites"]
    handed = upper["relevance"] - upper["absorbed"]
    np.testing.assert_allclose(handed, out.reindex(upper.index).fillna(0.0), atol=1e-12)
    at_sites = nodes.loc[nodes["layer"] == "sites", "relevance"].sum()
    assert at_sites == pytest.approx(float(e.per_nucleotide.sum(dim=1).mean()))
    assert nodes["absorbed"].sum() == pytest.approx(float(e.prediction.mean()) - at_sites)


def test_channels_are_found_with_the_sites_that_feed_them() -> None:
    sites = pd.DataFrame({"sequence": [0, 0], "start": [10, 30], "end": [12, 32], "motif": ["AC", "GT"]})
    found = gp.flow(gp.Explainer(two_detectors(), rules="epsilon"), planted(), sites=sites)
    purity = found.purity().set_index("channel")
    assert dict(purity["site"]) == {0: "AC", 1: "GT"}
    assert (purity["purity"] == 1).all()
    assert (purity["on_sites"] == 1).all()
    relevance = found.nodes.set_index("node")["relevance"]
    assert relevance[["convolution:0", "convolution:1"]].tolist() == pytest.approx([2.0, 3.0], rel=1e-5)
    assert list(found.nodes.loc[found.nodes["layer"] == "convolution", "channel"]) == [1, 0, -1]
    assert found.motif("convolution", 0)[[0, 1], [0, 1]].tolist() == [1.0, 1.0]
    with pytest.raises(InputError, match="channel 2 of 'convolution' is not a node"):
        found.motif("convolution", 2)


def test_a_graph_for_networkx() -> None:
    graph = gp.flow(gp.Explainer(two_detectors()), planted()).graph()
    assert graph.nodes["convolution:1"]["layer"] == "convolution"
    assert set(graph.successors("convolution:1")) == {"output"}
    assert graph.edges["convolution:1", "output"]["relevance"] == pytest.approx(3.0)


def test_the_strongest_edges_hold_the_share_that_is_asked_for() -> None:
    found = gp.flow(gp.Explainer(build_architecture("koo", length=60).double().eval()), sequences(1))
    layer = found.nodes.set_index("node")["layer"]
    for share in (0.5, 0.9, 1.0):
        kept = found.strongest(share)
        for target in ("conv1", "conv2", "output"):
            every = found.edges[layer[found.edges["target"]].to_numpy() == target]["relevance"].abs()
            these = kept[layer[kept["target"]].to_numpy() == target]["relevance"].abs()
            assert these.sum() >= share * every.sum() * (1 - 1e-9)
            assert these.sum() - these.min() < share * every.sum()


def test_sites_given_in_any_number_are_read() -> None:
    explain = gp.Explainer(two_detectors())
    none = gp.flow(explain, planted(), sites=pd.DataFrame({"start": [], "end": []}))
    assert "no sites" in none.notes[0]
    assert list(none.nodes.loc[none.nodes["layer"] == "sites", "node"]) == ["elsewhere"]
    one = gp.flow(explain, planted(), sites=[(10, 12)])
    assert one.nodes.set_index("node").loc["10-12", ["start", "end"]].tolist() == [10, 12]
    twice = gp.flow(explain, planted(), sites=[(9, 12), (10, 13)])
    assert "overlap" in twice.notes[0]
    assert twice.nodes.loc[twice.nodes["layer"] == "sites", "relevance"].sum() == pytest.approx(
        float(explain(planted()[None]).relevance.sum())
    )
    many = gp.flow(explain, planted(), sites=[(k, k + 1) for k in range(40)], most=3)
    assert "40 sites were given: the 3 strongest are nodes" in many.notes[0]
    assert (many.nodes["layer"] == "sites").sum() == 4


def test_what_cannot_be_is_refused() -> None:
    explain, X = gp.Explainer(two_detectors()), planted()
    with pytest.raises(InputError, match="no layer 'conv7'; it has convolution, output"):
        gp.flow(explain, X, layers=["conv7"])
    with pytest.raises(InputError, match=r"give gp.Explainer"):
        gp.flow(two_detectors(), X)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not lie in"):
        gp.flow(explain, X, sites=[(35, 45)])
    with pytest.raises(InputError, match="no column 'end'"):
        gp.flow(explain, X, sites=pd.DataFrame({"start": [3]}))
    with pytest.raises(InputError, match="whole numbers"):
        gp.flow(explain, X, sites=[(1.5, 4)])
    with pytest.raises(InputError, match="one layer with weights"):
        gp.flow(gp.Explainer(nn.Sequential(nn.Flatten(), nn.Linear(160, 1))), X.float())


def test_the_picture_names_every_column_and_node(tmp_path: Path) -> None:
    found: Flow = gp.flow(gp.Explainer(two_detectors()), planted())
    figure = plot_flow(found, title="two detectors", figure=Figure())
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    for word in ("sites", "convolution, 3 channels", "output", "10-12"):
        assert word in words
    legend = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    for word in ("for the output", "against it", "other channels"):
        assert word in legend
    assert save_figure(figure, tmp_path / "flow.svg").stat().st_size > 1000
    with pytest.raises(InputError, match="share"):
        plot_flow(found, share=0)


def test_windows_are_laid_on_one_another_whatever_their_shift() -> None:
    rng = np.random.default_rng(0)
    motif = np.eye(4)[rng.integers(4, size=8)].T * np.linspace(1, 2, 8)
    shifts = rng.integers(0, 8, size=30)
    pieces = np.zeros((30, 4, 16))
    for k, shift in enumerate(shifts):
        pieces[k, :, shift : shift + 8] = motif
    start, profile = align_windows(pieces, 8)
    assert len(set(start - shifts)) == 1
    np.testing.assert_allclose(np.abs(profile).sum(), np.abs(motif).sum(), rtol=0.3)


def test_strongest_sites_hold_the_share_and_do_not_overlap() -> None:
    r = np.random.default_rng(1).normal(size=(5, 80))
    table = check_sites(strongest_sites(r, share=0.7, most=4), 5, 80)
    assert table.groupby("sequence").size().max() <= 4
    for _, part in table.groupby("sequence"):
        assert (part["start"].to_numpy()[1:] >= part["end"].to_numpy()[:-1]).all()
