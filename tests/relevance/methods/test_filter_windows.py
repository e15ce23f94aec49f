"""The windows that drove a filter: which, where, and what they add up to."""

import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, FilterWindows, Pruning, filter_windows
from tests.relevance.test_zoo import _build, randomised


class Planted(nn.Module):
    """Filter 0 reads GATTACA, filter 1 TTTTCCC; the output is what pooling finds of the first less the second."""

    MOTIFS = ("GATTACA", "TTTTCCC")

    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.out = (
            nn.Conv1d(4, 2, 7, padding=3),
            nn.MaxPool1d(5, ceil_mode=True),
            nn.Linear(2, 1),
        )
        with torch.no_grad():
            for f, motif in enumerate(self.MOTIFS):
                self.conv.weight[f] = -1.0
                for i, base in enumerate(motif):
                    self.conv.weight[f, "ACGT".index(base), i] = 1.0
            self.conv.bias[:] = -5.0
            self.out.weight[:] = torch.tensor([[2.0, -1.0]])
            self.out.bias[:] = 0.0

    def forward(self, x):
        return self.out(self.pool(self.conv(x).relu()).sum(dim=-1))


def _one_hot(text):
    return torch.eye(4)[["ACGT".index(b) for b in text]].T


def _planted(sites, length=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for site in sites:
        bases = ["CG"[i] for i in torch.randint(2, (length,), generator=generator).tolist()]
        for start, motif in site:
            bases[start : start + 7] = motif
        rows.append(_one_hot("".join(bases)))
    return torch.stack(rows)


def test_the_windows_are_the_planted_sites_to_the_base():
    sites = [[(10, "GATTACA"), (40, "TTTTCCC")], [(31, "GATTACA")], [(22, "TTTTCCC")], []]
    X = _planted(sites)
    windows = filter_windows(Explainer(Planted()), X, "conv", filters=2)
    table = windows.table
    found = {(r.sequence, r.filter, r.start, r.end, r.site) for r in table.itertuples()}
    expected = {(i, Planted.MOTIFS.index(m), s, s + 7, m) for i, site in enumerate(sites) for s, m in site}
    assert found == expected
    assert (table[table["filter"] == 0]["relevance"] > 0).all()
    assert (table[table["filter"] == 1]["relevance"] < 0).all()
    # The stronger one comes first, and shares add up.
    first = table[table["sequence"] == 0]
    assert list(first["filter"]) == [0, 1]
    assert float(first["share"].sum()) == pytest.approx(1.0)


def test_a_filters_windows_make_its_motif_also_at_the_ends_of_sequences():
    X = _planted([[(s, "GATTACA")] for s in (5, 20, 33, 53)] + [[(0, "GATTACA")]])
    X[3, :, -2:] = 0  # the motif's end is unknown here
    model = Planted()
    with torch.no_grad():
        model.conv.bias[:] = -3.0
    windows = filter_windows(Explainer(model), X, "conv", filters=1)
    motif = windows.motif(0)
    assert windows.width(0) == 7
    torch.testing.assert_close(motif, _one_hot("GATTACA"))
    mean = windows.contribution_motif(0)
    assert ((mean > 0) == (_one_hot("GATTACA") > 0)).all()
    assert windows.summary().to_dict("records")[0]["windows"] == 5


def test_windows_cut_by_an_end_are_aligned_to_the_others():
    X = torch.stack(
        [_one_hot("TTACA" + "C" * 25), _one_hot("C" * 20 + "GATTACA" + "CCC"), _one_hot("C" * 25 + "GATTA")]
    )
    model = Planted()
    with torch.no_grad():
        model.conv.bias[:] = -2.0
    windows = filter_windows(Explainer(model), X, "conv", filters=1)
    assert list(zip(windows.table["start"], windows.table["end"], strict=True)) == [
        (0, 5),
        (20, 27),
        (25, 30),
    ]
    bases, _ = windows.aligned(0)
    texts = ["".join("ACGT"[int(c.argmax())] if c.sum() else "-" for c in row.T) for row in bases]
    assert texts == ["--TTACA", "GATTACA", "GATTA--"]


@pytest.mark.parametrize(
    "name", ["Basset", "BPNet-counts", "DeepSTARR", "DanQ", "ResidualBind", "SqueezeExcite"]
)
def test_every_filter_of_the_first_layer_is_ranked_and_its_windows_are_the_receptive_field(name):
    model, X, target, args = _build(name)
    model, X = model.double(), X.double()
    explain = Explainer(model, "epsilon", diagnostics=False)
    layer = explain_layers(model, X, target, args)[0]
    windows = filter_windows(explain, X, layer, target, filters=10_000, args=args)
    frame = windows.table
    assert frame.groupby("sequence")["share"].sum().between(0.999, 1.0001).all()
    widths = frame["end"] - frame["start"]
    assert (widths <= _first_width(model)).all() and int(widths.max()) == _first_width(model)


def explain_layers(model, X, target, args):
    return list(Explainer(model)(X, target, args=args).layers["layer"].unique())


def _first_width(model):
    return next(m for m in model.modules() if isinstance(m, nn.Conv1d)).kernel_size[0]


def test_the_unit_maps_are_the_explanation_of_the_unit_itself():
    model, X, target, _ = _build("DeepSTARR")
    model, X = model.double().eval(), X.double()
    layer = "body.4"  # the second convolution
    windows = filter_windows(Explainer(model), X, layer, target, filters=3)
    row = windows.table.iloc[4]
    seen = {}

    class Upto(nn.Module):
        """The model up to the unit, scaled to its relevance."""

        def __init__(self):
            super().__init__()
            self.inner = model.body[:6]  # with the normalisation that is merged into it

        def forward(self, x):
            z = self.inner(x)[:, row["filter"], row["position"]]
            seen["z"] = z.detach()
            return z

    i = int(row["sequence"])
    e = Explainer(Upto())(X[i : i + 1], None)
    expected = e.relevance[0] * (row["relevance"] / float(e.prediction[0]))
    torch.testing.assert_close(windows.contributions[4], expected, rtol=1e-8, atol=1e-10)


def test_pruning_acts_above_the_layer_and_batches_change_nothing():
    model, X, target, _ = _build("DeepSTARR")
    pruning = Pruning(0.2)
    whole = filter_windows(Explainer(model, pruning=pruning), X, "body.0", target)
    parts = filter_windows(Explainer(model, pruning=pruning, batch_size=3), X, "body.0", target)
    assert whole.table[["sequence", "filter", "position"]].equals(
        parts.table[["sequence", "filter", "position"]]
    )
    torch.testing.assert_close(whole.contributions, parts.contributions, rtol=1e-4, atol=1e-6)
    plain = filter_windows(Explainer(model), X, "body.0", target)
    assert not torch.allclose(plain.contributions, whole.contributions[: len(plain.contributions)])


def test_a_direct_input_rule_has_windows_too():
    windows = filter_windows(
        Explainer(Planted(), "epsilon-plus-flat"), _planted([[(10, "GATTACA")]]), "conv", filters=1
    )
    assert windows.table.loc[0, ["start", "end"]].tolist() == [10, 17]


def test_no_sequences_give_no_windows_and_mistakes_are_named():
    model, explain = Planted(), Explainer(Planted())
    X = _planted([[(10, "GATTACA")]])
    empty = filter_windows(explain, X[:0], "conv")
    assert isinstance(empty, FilterWindows) and len(empty) == 0
    with pytest.raises(InputError, match="no layer 'conv9'; it has conv, out"):
        filter_windows(explain, X, "conv9")
    with pytest.raises(InputError, match="shape"):
        filter_windows(explain, X, "out")
    with pytest.raises(InputError, match="at least 1"):
        filter_windows(explain, X, "conv", filters=0)
    with pytest.raises(InputError, match="no window of filter 7"):
        filter_windows(explain, X, "conv").motif(7)
    image = randomised(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(18, 1)))
    with pytest.raises(InputError, match="DNA"):
        filter_windows(Explainer(image), torch.randn(1, 3, 5, 5), "0")
    assert model is not None
