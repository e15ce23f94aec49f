"""Interactions of sites, on networks whose pair effects are known exactly."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.plotting import plot_distance, plot_interactions, save_figure
from genoplrp.relevance.methods.outputs import explained_outputs

MOTIFS = {"ACGTACCA": 0, "GGTTCCAG": 1}
WIDTH = 8


class Sites(nn.Module):
    """Finds two motifs (1 where a motif lies anywhere, else 0) and joins what it found by a rule."""

    def __init__(self, rule: str) -> None:
        super().__init__()
        self.rule = rule
        self.find = nn.Conv1d(4, 2, WIDTH)
        with torch.no_grad():
            self.find.weight.zero_()
            self.find.bias.fill_(1.0 - WIDTH)  # type: ignore[union-attr]
            for text, channel in MOTIFS.items():
                for k, base in enumerate(text):
                    self.find.weight[channel, "ACGT".index(base), k] = 1.0
        self.join = nn.Linear(3, 1, bias=False)
        with torch.no_grad():
            self.join.weight[:] = torch.tensor(
                {
                    "and": [0.0, 0.0, 1.0],
                    "or": [1.0, 1.0, -1.0],
                    "xor": [1.0, 1.0, -2.0],
                    "sum": [1.0, 2.0, 0.0],
                }[rule]
            )

    def forward(self, x: Tensor) -> Tensor:
        found = torch.relu(self.find(x)).amax(dim=2)
        # 1 if both are there: what is above 1.
        both = torch.relu(found.sum(dim=1, keepdim=True) - 1)
        out: Tensor = self.join(torch.cat((found, both), dim=1))
        return out


def planted(n: int = 6, length: int = 60, seed: int = 0) -> tuple[Tensor, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    codes, rows = rng.integers(4, size=(n, length)), []
    for i in range(n):
        for (text, _), start in zip(MOTIFS.items(), (5 + i, 30 + i), strict=True):
            codes[i, start : start + WIDTH] = ["ACGT".index(c) for c in text]
            rows.append((i, start, start + WIDTH, text, "+"))
    X = torch.eye(4)[torch.from_numpy(codes)].mT
    return X, pd.DataFrame(rows, columns=["sequence", "start", "end", "motif", "strand"])


@pytest.mark.parametrize(("rule", "exact"), [("and", 1.0), ("or", -1.0), ("xor", -2.0), ("sum", 0.0)])
def test_pair_effects_are_those_of_the_rule(rule: str, exact: float) -> None:
    X, sites = planted()
    found = gp.interactions(Sites(rule), X, sites)
    assert found.pairs["interaction"].to_numpy() == pytest.approx(exact, abs=1e-5)
    change = found.pairs["relevance_change"]
    assert (np.sign(change.round(4)) == np.sign(exact)).all()


def test_effects_against_a_loop_over_sites_and_fills() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 6, 7), nn.ELU(), nn.Conv1d(6, 4, 5), nn.ELU(), nn.Flatten(), nn.Linear(200, 1)
    )
    model, (X, _) = model.double(), planted(2)
    X = X.double()
    intervals = [(2, 9), (15, 21), (40, 47)]
    sites = pd.DataFrame(
        [(i, s, e) for i in range(2) for s, e in intervals], columns=["sequence", "start", "end"]
    )
    fills = 3
    found = gp.interactions(model, X, sites, fills=fills, seed=4)
    codes = X.argmax(dim=1).numpy().astype(np.uint8)
    drawn = gp.sequence.shuffle_codes(np.repeat(codes, fills, axis=0), np.random.default_rng(4)).reshape(
        2, fills, -1
    )

    def value(row: int, fill: int, *out: tuple[int, int]) -> float:
        changed = codes[row].copy()
        for start, end in out:
            changed[start:end] = drawn[row, fill, start:end]
        x = torch.eye(4, dtype=torch.float64)[torch.from_numpy(changed.astype(np.int64))].mT
        return float(model(x[None]).detach())

    expected = []
    for row in range(2):
        for a, b in combinations(intervals, 2):
            each = [
                value(row, k) - value(row, k, a) - value(row, k, b) + value(row, k, a, b)
                for k in range(fills)
            ]
            expected.append((np.mean(each), np.std(each, ddof=1)))
    np.testing.assert_allclose(found.pairs[["interaction", "sd"]], expected, rtol=1e-8, atol=1e-12)


def test_changes_of_relevance_against_single_explanations() -> None:
    X, sites = planted(2)
    explain = gp.Explainer(Sites("xor"), pruning=gp.Pruning(p=0.1))
    found = gp.interactions(explain, X, sites, fills=2, seed=1)
    codes = X.argmax(dim=1).numpy().astype(np.uint8)
    drawn = gp.sequence.shuffle_codes(np.repeat(codes, 2, axis=0), np.random.default_rng(1)).reshape(2, 2, -1)
    for _, pair in found.pairs.iterrows():
        row = pair["sequence"]
        whole = explain(X[row : row + 1]).per_nucleotide[0]
        left = []
        for k in range(2):
            x = X[row : row + 1].clone()
            piece = torch.from_numpy(drawn[row, k, pair["start_b"] : pair["end_b"]].astype(np.int64))
            x[0, :, pair["start_b"] : pair["end_b"]] = torch.eye(4)[piece].T
            left.append(explain(x).per_nucleotide[0, pair["start_a"] : pair["end_a"]].sum())
        change = whole[pair["start_a"] : pair["end_a"]].sum() - torch.stack(left).mean()
        assert pair["change_a"] == pytest.approx(float(change), abs=1e-5)


def test_an_additive_network_has_no_interacting_pair() -> None:
    torch.manual_seed(1)
    scan = nn.Conv1d(4, 8, 7)

    class Additive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scan, self.out = scan, nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.relu(self.scan(x)).sum(dim=2))  # type: ignore[no-any-return]

    X, sites = planted(20)
    # Sites farther apart than the kernel is wide: nothing sees both.
    found = gp.interactions(Additive(), X, sites, relevance=False)
    assert found.pairs["interaction"].abs().max() < 1e-5
    assert found.pairs["effect_a"].abs().min() > 1e-3


def test_q_values_hold_their_rate_where_only_fills_differ() -> None:
    """A rate of 5 % asked of pairs whose interactions are nothing but noise of the fills."""
    from genoplrp.sites.interactions import _q_values

    rng = np.random.default_rng(0)
    some = sum(float((_q_values(rng.normal(size=(4, 300))) <= 0.05).any()) for _ in range(200))
    assert some / 200 <= 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / 200)
    mixed = rng.normal(size=(4, 300))
    mixed[:, :60] += 6
    q = _q_values(mixed)
    assert (q[:60] <= 0.05).mean() > 0.9
    assert (q[60:] <= 0.05).sum() <= 0.1 * (q <= 0.05).sum()
    assert np.isnan(_q_values(mixed[:1])).all()


def test_the_scale_is_what_effects_add_up_on() -> None:
    X, sites = planted(3)
    model = nn.Sequential(Sites("sum"), nn.Sigmoid())
    logits = gp.interactions(model, X, sites, relevance=False)
    shares = gp.interactions(model, X, sites, relevance=False, scale="probability")
    assert logits.pairs["interaction"].abs().max() < 1e-5
    f = torch.tensor([3.0, 2.0, 1.0, 0.0]).sigmoid()
    assert shares.pairs["interaction"].to_numpy() == pytest.approx(float(f[0] - f[1] - f[2] + f[3]), abs=1e-5)


def test_summaries_by_kind_and_distance() -> None:
    X, sites = planted(10)
    found = gp.interactions(Sites("and"), X, sites)
    whole = found.summary().iloc[0]
    assert (whole["motif_pair"], whole["pairs"], whole["interacting"]) == ("ACGTACCA + GGTTCCAG", 10, 1.0)
    assert found.summary(["order", "orientation"])["order"].tolist() == ["ACGTACCA > GGTTCCAG"]
    assert found.by_distance(5)["distance"].tolist() == [15]
    matrix = found.matrix(2)
    assert matrix.iloc[0, 1] == matrix.iloc[1, 0] == pytest.approx(1.0, abs=1e-5)
    assert matrix.iloc[0, 0] == pytest.approx(found.sites["effect"][4])
    with pytest.raises(InputError, match="motif_pair"):
        found.summary(["colour"])


def test_any_number_of_sites_is_taken_and_what_is_left_out_is_said() -> None:
    X, sites = planted(1)
    model = Sites("and")
    none = gp.interactions(model, X, sites.iloc[:0])
    assert none.notes == ["there are no sites: nothing is taken out"]
    assert none.summary().empty
    one = gp.interactions(model, X, sites.iloc[:1])
    assert "no sequence has two sites" in one.notes[0]
    assert one.sites["effect"].tolist() == pytest.approx([1.0], abs=1e-5)
    overlap = gp.interactions(model, X[0], [(5, 11), (8, 14), (30, 36)])
    assert overlap.notes[0].startswith("pairs that overlap") and overlap.notes[0].endswith(": 1")
    assert overlap.pairs[["start_a", "start_b"]].values.tolist() == [[5, 30], [8, 30]]
    many = gp.interactions(model, X, [(k, k + 2) for k in range(0, 58, 2)], most=5, relevance=False)
    assert len(many.sites) == 5
    assert "their 24 of the weakest relevance are left out" in many.notes[0]
    for wrong, message in (({"fills": 0}, "fills=0"), ({"scale": "odds"}, "scale='odds'")):
        with pytest.raises(InputError, match=message):
            gp.interactions(model, X, sites, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not lie in"):
        gp.interactions(model, X, [(50, 70)])


def test_batches_change_nothing_and_one_target_a_sequence_is_followed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 6, 7), nn.ELU(), nn.Flatten(), nn.Linear(324, 3)).double()
    X, sites = planted(4)
    target = torch.tensor([0, 2, 1, 0])
    whole = gp.interactions(model, X.double(), sites, target)
    small = gp.interactions(model, X.double(), sites, target, batch_size=3)
    pd.testing.assert_frame_equal(whole.pairs, small.pairs)
    alone = gp.interactions(model, X.double(), sites, 2)
    of_one = whole.pairs["sequence"] == 1
    np.testing.assert_allclose(whole.pairs["interaction"][of_one], alone.pairs["interaction"][of_one])


def test_outputs_are_the_numbers_that_are_explained() -> None:
    model = nn.Sequential(Sites("or"), nn.Sigmoid())
    X, _ = planted(3)
    torch.testing.assert_close(explained_outputs(gp.Explainer(model), X), gp.Explainer(model)(X).prediction)


def test_pictures(tmp_path: Path) -> None:
    X, sites = planted(4)
    found = gp.interactions(Sites("xor"), X, sites)
    for name, figure in (
        ("matrix", plot_interactions(found, 1, figure=Figure())),
        ("distance", plot_distance(found, figure=Figure())),
    ):
        assert save_figure(figure, tmp_path / f"{name}.png").stat().st_size > 3000
    matrix = plot_interactions(found, 1, figure=Figure())
    bars = matrix.axes[1]
    effects = found.sites.loc[found.sites["sequence"] == 1, "effect"]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(effects.tolist())
    scales = [ax.get_ylabel() for ax in matrix.axes[2:]]
    assert [label.split()[0] for label in scales] == ["above", "below"]
    maps = {image.get_cmap().name for image in matrix.axes[0].images}
    assert len(maps) == 2
    with pytest.raises(InputError, match="has no sites"):
        plot_interactions(found, 9)
    moved = replace(found, pairs=found.pairs.assign(distance=[5, 7, 8, 21]))
    curve = plot_distance(moved, width=10, figure=Figure()).axes[0].lines[-1]
    np.testing.assert_allclose(curve.get_xdata(), [20 / 3, 21])
