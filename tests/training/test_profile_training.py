"""Profiles: the loss against scipy, augmentation with the sequences, a training, its checkpoint and its explanation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.synthetic import Dataset, simulate, spec_from_table
from genoplrp.training import build_architecture, evaluate, load_model, shape_of, total_of
from genoplrp.training.batches import shuffled_batches
from genoplrp.training.kinds import Objective
from genoplrp.training.trainer import train


def planted(n: int = 1500, **task: object) -> Dataset:
    reads = {
        "name": "reads",
        "kind": "profile",
        "activity": "0.1 + 4 * sum(A, gaussian(offset - 4, 3))",
    } | task
    return simulate(
        spec_from_table(
            {
                "name": "footprints",
                "length": 60,
                "motifs": [{"consensus": "TGACTCAG", "name": "A"}],
                "tasks": [reads],
                "classes": [
                    {"name": "with", "fraction": 0.7, "plant": [{"motifs": "A", "minus": 0.0}]},
                    {"name": "without", "fraction": 0.3},
                ],
            }
        ),
        n=n,
    )


@pytest.fixture(scope="module")
def data() -> Dataset:
    return planted()


@pytest.fixture(scope="module")
def fit(data: Dataset) -> gp.TrainedModel:
    return train(data, "bpnet_profile", parameters={"filters": 24}, epochs=8, bootstrap=20, progress=False)


def test_the_loss_is_the_poisson_loss_of_every_base() -> None:
    rng = np.random.default_rng(0)
    reads = rng.poisson(3.0, (5, 2, 9)).astype(np.float64)
    objective = Objective.fit(reads.sum(axis=2), ("profile", "profile"))
    assert objective.mean == pytest.approx(reads.sum(axis=2).mean(axis=0))
    losses, expected = [], []
    for _ in range(2):
        output = torch.from_numpy(rng.normal(size=(5, 2, 10)))
        losses.append(float(objective.loss(output, torch.from_numpy(reads))))
        rates = objective.prediction(output).numpy()
        assert rates.shape == reads.shape
        expected.append(-stats.poisson.logpmf(reads, rates).sum() / (5 * 2 * 9))
    # The factorials, which depend on the reads alone, are left out of the loss.
    assert losses[0] - losses[1] == pytest.approx(expected[0] - expected[1], rel=1e-9)


@pytest.mark.parametrize("augmentation", [{"reverse_complement": True}, {"max_shift": 3}])
def test_profiles_are_turned_and_shifted_with_their_sequences(augmentation: dict[str, object]) -> None:
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (64, 12)).astype(np.uint8))
    # Symmetric under the reverse complement: 1 for A and T, 2 for C and G; nothing where no base is.
    of_base = torch.tensor([1.0, 2.0, 2.0, 1.0])
    profiles = torch.stack([of_base[codes.long()], 10 * of_base[codes.long()]], dim=1)
    generator = torch.Generator().manual_seed(0)
    changed = 0
    for x, y in shuffled_batches(codes, profiles, 16, generator, **augmentation):
        seen = torch.einsum("nbl,b->nl", x, of_base)
        torch.testing.assert_close(y, torch.stack([seen, 10 * seen], dim=1))
        changed += int(sum(not any(torch.equal(one, other) for other in profiles) for one in y))
    assert changed > 10


def test_figures_of_profiles_are_those_of_their_sums_and_of_each_sequence() -> None:
    rng = np.random.default_rng(0)
    label = rng.poisson(4.0, (30, 1, 20)).astype(np.float64)
    label[3] = 2.0  # flat: there is no correlation over its bases
    prediction = label + rng.normal(size=label.shape)
    found = evaluate(prediction, label, ["profile"], ["reads"])["tasks"]["reads"]
    sums = prediction.sum(axis=2)[:, 0], label.sum(axis=2)[:, 0]
    assert found["pearson"] == pytest.approx(stats.pearsonr(*sums)[0])
    assert found["spearman"] == pytest.approx(stats.spearmanr(*sums)[0])
    each = [stats.pearsonr(prediction[i, 0], label[i, 0])[0] for i in range(30) if i != 3]
    assert found["profile_pearson"] == pytest.approx(np.mean(each))


def test_a_network_learns_where_the_reads_lie_and_how_many_there_are(
    data: Dataset, fit: gp.TrainedModel
) -> None:
    test = data.subset("test")
    predicted = fit.predict(test.one_hot())
    assert predicted.shape == (len(test), 1, 60)
    figures = fit.metrics["test"]
    # Three seeds reach .78 to .83, with a standard error of .03 from 150 sequences.
    assert figures["pearson"] > 0.7 and figures["profile_pearson"] > 0.45
    low, high = figures["pearson_interval"]
    assert low < figures["pearson"] < high
    # Where there is a site, its reads lie four bases downstream of its middle.
    first = test.instances.drop_duplicates("sequence")
    rows = first[(first["start"] > 5) & (first["end"] < 50)]
    peak = predicted[rows["sequence"], 0].argmax(axis=1)
    assert np.median(np.abs(peak - (rows["start"] + rows["end"]) / 2 - 4)) <= 1.5


def test_a_checkpoint_predicts_the_same(fit: gp.TrainedModel, data: Dataset, tmp_path) -> None:
    again = load_model(fit.save(tmp_path / "model"))
    assert again.kinds == ("profile",) and again.objective == fit.objective
    X = data.subset("test").one_hot()
    np.testing.assert_array_equal(again.predict(X), fit.predict(X))


@pytest.mark.parametrize("target", [total_of(), shape_of()])
@pytest.mark.parametrize("rules", ["gamma", "epsilon"])
def test_both_heads_are_explained_and_point_at_the_sites(
    fit: gp.TrainedModel, data: Dataset, target, rules: str
) -> None:
    test = data.subset("test")
    chosen = np.flatnonzero(test.mask(0).any(axis=1))[:40]
    X = torch.from_numpy(test.one_hot()[chosen])
    explained = gp.Explainer(fit.model, rules=rules)(X, target=target)
    with torch.no_grad():
        torch.testing.assert_close(explained.prediction, target(fit.model(X)), rtol=1e-4, atol=1e-4)
    table = gp.score(explained.per_nucleotide.abs().numpy(), test.mask(0)[chosen])
    assert table["auroc"].mean() > 0.75


def test_what_does_not_fit_a_profile_is_refused(data: Dataset) -> None:
    with pytest.raises(InputError, match=r"returns \(2, 1\).*\(2, 1, 61\) is needed.*bpnet_profile"):
        train(data, "koo", epochs=1, progress=False)
    with pytest.raises(InputError, match=r"\(2, 1\) is needed: one column per task"):
        train((data.sequences, data.labels), "bpnet_profile", epochs=1, progress=False)
    with pytest.raises(InputError, match="needs a data set whose tasks are profiles"):
        train((data.sequences, data.labels), "bpnet_profile", task="profile", epochs=1, progress=False)
    mixed = replace(
        data, tasks=["reads", "level"], kinds=["profile", "real"], labels=np.repeat(data.labels, 2, axis=1)
    )
    with pytest.raises(InputError, match="cannot be trained together with level"):
        train(mixed, "bpnet_profile", epochs=1, progress=False)


def test_counts_with_an_activity_are_learnt_with_the_poisson_loss() -> None:
    data = planted(kind="count", activity="1 + 30 * hill(A, 0.5, n=2)")
    fit = train(data, "deepbind", epochs=15, bootstrap=0, progress=False)
    assert fit.kinds == ("count",)
    assert fit.metrics["test"]["pearson"] > 0.6


def test_the_shape_does_not_depend_on_a_constant_added_to_every_logit() -> None:
    output = torch.randn(4, 2, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = output.clone()
    moved[:, :, 1:] += 5
    torch.testing.assert_close(shape_of(1)(moved), shape_of(1)(output))
    model = build_architecture("bpnet_profile", length=60, n_tasks=2)
    assert model(torch.zeros(3, 4, 60)).shape == (3, 2, 61)
