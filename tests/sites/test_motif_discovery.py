import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from genoplrp.cli.main import main
from genoplrp.errors import InputError
from genoplrp.evaluation.rivals import shuffles
from genoplrp.formats import ExplainedArrays
from genoplrp.relevance import Explainer, Pruning
from genoplrp.sequence import codes_to_one_hot, encode_codes
from genoplrp.sites import (
    FoundMotif,
    called_sites,
    cluster_sites,
    discover_motifs,
    explain_alike,
    filter_view,
    find_motifs,
    find_sites,
    found,
    jaspar_vertebrates,
    match_motifs,
    motif_table,
    with_flanks,
    write_motifs_meme,
    write_sites_bed,
)
from genoplrp.sites.instances import as_most_lie, counted_anew
from genoplrp.synthetic import Motif, read_motifs

motifs = pytest.importorskip("Bio.motifs")

GATA, ETS = "AGATAAGG", "CCGGAAGT"
N = 120


def two_motif_network():
    """Answers to two motifs, wherever they lie."""
    model = nn.Sequential(
        nn.Conv1d(4, 2, 8), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 1)
    )
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        for f, motif in enumerate((GATA, ETS)):
            for k, letter in enumerate(motif):
                model[0].weight[f, "ACGT".index(letter), k] = 1.0
        model[0].bias.fill_(-3.0)
        model[4].weight.fill_(100.0)
        model[4].bias.fill_(0.0)
    return model


@pytest.fixture(scope="module")
def explained():
    rng = np.random.default_rng(0)
    codes = rng.integers(4, size=(N, 120), dtype=np.uint8)
    for i in range(N):
        for motif, low in ((GATA, 25), (ETS, 70)):
            at = low + int(rng.integers(20))
            codes[i, at : at + 8] = encode_codes(motif)[0]
    X = codes_to_one_hot(codes)
    e = Explainer(two_motif_network(), "epsilon", Pruning(0.05))(torch.from_numpy(X))
    meta = {"rules": "epsilon", "pruning": {"p": "0.05", "method": "'lambda'"}}
    return ExplainedArrays(X, e.relevance.numpy(), meta=meta)


@pytest.fixture(scope="module")
def folder(explained, tmp_path_factory):
    pytest.importorskip("modiscolite")
    pytest.importorskip("memelite")
    known = [Motif.from_consensus(word, name=name) for word, name in KNOWN]
    explain = explain_alike(two_motif_network(), explained, 0)
    out = tmp_path_factory.mktemp("motifs") / "out"
    filters = filter_view(two_motif_network(), torch.from_numpy(explained.X), rules="epsilon")
    return discover_motifs(
        explained, explain, out, sign="positive", database=known, filters=filters, leiden_runs=1
    )


KNOWN = [
    ("AGATAAGG", "GATA1"),
    ("AAGATGGC", "YY1"),
    ("TGASTCA", "AP1"),
    ("CACGTG", "MAX"),
    ("GGGGCGGGG", "SP1"),
    ("TTGCGCAA", "CEBPB"),
    ("CCGGAAGT", "GABPA"),
    ("CAGCTG", "TAL1"),
]


def test_the_planted_motifs_come_back_with_their_names(folder):
    table = pd.read_csv(folder / "motifs.tsv", sep="\t")
    assert sorted(table["match"]) == ["GABPA", "GATA1"]  # and none of them twice
    assert (table["sites"] >= 0.8 * N).all()


def test_numbas_loops_leave_torch_its_threads(folder):
    # The loops of modisco-lite, memelite and tangermeme set the number of the OpenMP runtime, which torch shares.
    assert torch.get_num_threads() == 1  # as set for the suite
    X = torch.eye(4)[torch.randint(4, (4, 60), generator=torch.manual_seed(0))].mT
    shuffles(X, seed=0)
    assert torch.get_num_threads() == 1


def test_the_instances_lie_where_the_motifs_were_planted(folder, explained):
    instances = pd.read_csv(folder / "instances.tsv", sep="\t")
    letters = np.array(list("ACGT"))
    words = []
    for row in instances.itertuples():
        codes = explained.X[row.sequence].argmax(axis=0)[row.start : row.end]
        codes = 3 - codes[::-1] if row.strand == "-" else codes
        words.append("".join(letters[codes]))
    sense = {GATA, ETS}
    anti = {word.translate(str.maketrans("ACGT", "TGCA"))[::-1] for word in sense}
    hit = [any(w in whole or whole in w for whole in sense | anti) for w in words]
    assert np.mean(hit) > 0.9


def test_meme_is_read_by_biopython_and_by_this_package(folder):
    with (folder / "motifs.meme").open() as handle:
        theirs = motifs.parse(handle, "minimal")
    ours = read_motifs(folder / "motifs.meme")
    assert len(theirs) == len(ours) == len(pd.read_csv(folder / "motifs.tsv", sep="\t"))
    for one, other in zip(theirs, ours, strict=True):
        # Biopython rounds frequencies to whole counts of the sites.
        counts = np.array([one.counts[base] for base in "ACGT"])
        assert np.abs(counts - other.pwm * one.num_occurrences).max() <= 0.5 + 1e-3


def test_the_motifs_of_a_run_are_exported_with_the_bytes_that_a_new_computation_gives(
    folder, explained, tmp_path
):
    for form in ("bed", "meme"):
        with pytest.raises(SystemExit) as exit_:
            main(["export", str(folder), "--to", form, "--out", str(tmp_path / f"m.{form}")])
        assert exit_.value.code == 0
    assert (tmp_path / "m.bed").read_bytes() == (folder / "sites.bed").read_bytes()
    explain = explain_alike(two_motif_network(), explained, 0)
    called = called_sites(explained, explain, sign="positive")
    write_motifs_meme(called, tmp_path / "new.meme", leiden_runs=1)
    write_sites_bed(called, tmp_path / "new.bed")
    for name, theirs in (("m.meme", "new.meme"), ("m.bed", "new.bed")):
        assert (tmp_path / name).read_bytes() == (tmp_path / theirs).read_bytes()
    with (tmp_path / "m.meme").open() as handle:
        words = [str(one.consensus) for one in motifs.parse(handle, "minimal")]
    turned = [word.translate(str.maketrans("ACGT", "TGCA"))[::-1] for word in words]
    assert all(any(word in known or known in word for word in words + turned) for known in (GATA, ETS))


def test_frequencies_and_contributions_are_kept_as_arrays(folder, explained):
    arrays = np.load(folder / "motifs.npz")
    instances = pd.read_csv(folder / "instances.tsv", sep="\t")
    for one in read_motifs(folder / "motifs.meme"):
        np.testing.assert_allclose(arrays[f"{one.name}.pwm"], one.pwm, atol=1e-6)
        own = instances[instances["motif"] == one.name]
        total = [explained.relevance[row.sequence][:, row.start : row.end].sum() for row in own.itertuples()]
        assert arrays[f"{one.name}.contribution"].sum() == pytest.approx(np.mean(total), rel=0.05)
        assert arrays[f"{one.name}.flanked"].shape[1] == one.width + 16


def test_the_folder_holds_a_page_tables_and_a_manifest(folder):
    page = (folder / "index.html").read_text()
    for name in pd.read_csv(folder / "motifs.tsv", sep="\t")["motif"]:
        assert f"href='{name}.html'" in page
        own = (folder / f"{name}.html").read_text()
        assert f"figures/{name}.png" in own
        assert "sequences with it" in own
        assert (folder / "figures" / f"{name}.png").stat().st_size > 1000
    assert json.loads((folder / "manifest.json").read_text())["settings"]["fdr"] == 0.05
    sites = (folder / "sites.bed").read_text().splitlines()
    assert len(sites) == len(pd.read_csv(folder / "sites.tsv", sep="\t"))


def test_too_few_sites_are_said_and_leave_no_folder(explained, tmp_path):
    pytest.importorskip("modiscolite")
    explain = explain_alike(two_motif_network(), explained, 0)
    with pytest.raises(InputError, match="no motif was found among"):
        discover_motifs(explained, explain, tmp_path / "out", limit=40, fdr=0.2, leiden_runs=2)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_motifs_has_no_sites_and_that_is_said(tmp_path):
    X = codes_to_one_hot(np.random.default_rng(1).integers(4, size=(60, 80), dtype=np.uint8))
    silent = ExplainedArrays(X, np.zeros_like(X))
    with pytest.raises(InputError, match="no site is found: 60 of 60"):
        discover_motifs(silent, lambda codes: np.zeros(codes.shape), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_another_model_than_the_explained_one_is_refused(explained):
    other = two_motif_network()
    with torch.no_grad():
        other[0].weight[0] *= 0.5
    with pytest.raises(InputError, match="does not give the relevance at hand"):
        explain_alike(other, explained, 0)


def test_instances_near_the_ends_of_a_sequence_are_not_lost(folder, explained):
    instances = pd.read_csv(folder / "instances.tsv", sep="\t")
    assert instances["start"].min() < 30
    assert (instances["start"] >= 0).all()
    assert (instances["end"] <= explained.length).all()


def near_copies(seed=0):
    """Fifty motifs of eight bases; the first four are one matrix, sharper and weaker by turns."""
    rng = np.random.default_rng(seed)
    core = np.full((4, 8), 0.02)
    core[[2, 0, 3, 0, 0, 2, 1, 1], np.arange(8)] = 0.94
    known = [Motif(f"copy{k}", (1 - k * 0.06) * core + k * 0.06 * 0.25, family="near") for k in range(4)]
    others = rng.dirichlet(np.full(4, 0.2), size=(46, 8)).transpose(0, 2, 1)
    return known + [Motif(f"other{k}", pwm / pwm.sum(axis=0)) for k, pwm in enumerate(others)]


@pytest.mark.parametrize("right", range(4))
def test_near_copies_are_tied_and_stand_in_the_order_of_their_likelihood(right):
    pytest.importorskip("memelite")
    known = near_copies()
    rng = np.random.default_rng(right)
    codes = np.array([rng.choice(4, p=column, size=2000) for column in known[right].pwm.T]).T
    pwm = np.eye(4)[codes].mean(axis=0).T
    where = pd.DataFrame({"motif": "m", "sequence": [0], "start": [0], "end": [8], "strand": ["+"]})
    matches = match_motifs([FoundMotif("m", pwm, pwm, where)], known, nearest=50)
    tied = matches[matches["tied"]]
    assert set(tied["match"]) == {f"copy{k}" for k in range(4)}
    assert matches["tied"].is_monotonic_decreasing  # the tied ones come first
    # By loops over the instances.
    for row in tied.itertuples():
        mixed = 0.99 * known[int(row.match[-1])].pwm + 0.0025
        expected = np.mean([sum(np.log2(4 * mixed[b, j]) for j, b in enumerate(one)) for one in codes])
        assert row.bits == pytest.approx(expected, rel=1e-6)
    assert tied["bits"].is_monotonic_decreasing
    assert tied["match"].iloc[0] == f"copy{right}"
    assert matches["similar"].iloc[0] == pytest.approx(1)
    table = motif_table([FoundMotif("m", pwm, pwm, where)], matches)
    assert table["family"].tolist() == ["near"]
    assert set(table["also"].iloc[0].split(", ")) == {f"copy{k}" for k in range(4)} - {f"copy{right}"}


def test_q_values_are_those_of_benjamini_and_hochberg():
    pytest.importorskip("memelite")
    known = near_copies()
    where = pd.DataFrame({"motif": "m", "sequence": [0], "start": [0], "end": [8], "strand": ["+"]})
    matches = match_motifs([FoundMotif("m", known[0].pwm, known[0].pwm, where)], known, nearest=50)
    assert len(matches) == len(known)
    p = matches["p_value"].to_numpy()
    # The definition: of all thresholds that call a match, the smallest share of false ones among the called.
    expected = [min(t * len(p) / (p <= t).sum() for t in p[p >= value]) for value in p]
    np.testing.assert_allclose(matches["q_value"], np.minimum(expected, 1), rtol=1e-12)


def test_flanks_are_counted_on_the_strand_of_each_instance():
    codes = np.full((3, 12), 3, np.uint8)
    codes[0, 2:10] = [1, 0, 0, 2, 0, 0, 2, 2]  # C AAGAAG G
    codes[1, 2:10] = [1, 1, 3, 3, 1, 3, 3, 2]  # its reverse complement
    codes[2, 0:6] = [0, 0, 2, 0, 0, 2]  # at the very start
    where = pd.DataFrame({"sequence": [0, 1, 2], "start": [3, 3, 0], "strand": ["+", "-", "+"]})
    where = where.assign(end=where["start"] + 6, motif="m")
    core = np.eye(4)[[0, 0, 2, 0, 0, 2]].T
    wide = with_flanks(FoundMotif("m", core, core, where), codes_to_one_hot(codes), flank=1).flanked
    np.testing.assert_allclose(wide[:, 1:-1], core, atol=1e-5)
    np.testing.assert_allclose(wide[:, 0], np.array([0.25, 2.25, 0.25, 0.25]) / 3, atol=1e-5)
    np.testing.assert_allclose(wide[:, -1], np.array([0, 0, 2, 1]) / 3, atol=1e-5)


def test_a_motif_stands_as_most_of_its_instances_lie():
    codes = np.random.default_rng(0).integers(4, size=(5, 20), dtype=np.uint8)
    X = codes_to_one_hot(codes)
    where = pd.DataFrame(
        {"motif": "m", "sequence": range(5), "start": [3, 5, 7, 2, 9], "strand": list("-+--+")}
    )
    where = where.assign(end=where["start"] + 6)
    motif = with_flanks(counted_anew(FoundMotif("m", np.eye(4), np.eye(4), where), X, X), X, flank=2)
    turned = as_most_lie(motif)
    assert turned.instances["strand"].tolist() == list("+-++-")
    again = with_flanks(counted_anew(turned, X, X), X, flank=2)  # counted along the new strands
    np.testing.assert_allclose(turned.pwm, again.pwm)
    np.testing.assert_allclose(turned.contribution, again.contribution)
    np.testing.assert_allclose(turned.flanked, again.flanked)
    assert as_most_lie(turned) is turned


@pytest.mark.parametrize("sites_of_second", [30, 120], ids=["too few", "enough"])
def test_what_no_motif_takes_is_clustered_once_more(monkeypatch, sites_of_second):
    words, n = ("AGATAAGG", "CCGGAAGT"), 150
    rng = np.random.default_rng(0)
    codes = rng.integers(4, size=(n, 80), dtype=np.uint8)
    codes[:, 10:18] = encode_codes(words[0])[0]
    codes[:sites_of_second, 50:58] = encode_codes(words[1])[0]
    X = codes_to_one_hot(codes)
    first = pd.DataFrame({"sequence": np.arange(n), "start": 10, "end": 18})
    second = first.iloc[:sites_of_second].assign(start=50, end=58)
    sites = pd.concat([first, second], ignore_index=True).assign(sign="+", score=1.0, q_value=0.0)
    asked = []

    def clusters(X, scores, sites, *, leiden_runs):
        asked.append(sites)
        start = sites["start"].iloc[0]
        table = sites.loc[sites["start"] == start, ["sequence", "start", "end"]].assign(strand="+")
        one = FoundMotif("positive_0", np.eye(4), np.eye(4), table.assign(motif="positive_0"))
        return [counted_anew(one, X, scores)]

    monkeypatch.setattr(found, "cluster_sites", clusters)
    regions = pd.DataFrame({"name": [f"seq{i}" for i in range(n)]})
    motifs = found.found_motifs(found.CalledSites(X, X, sites, regions))
    enough = sites_of_second >= 100
    assert [one.motif().consensus() for one in motifs] == list(words[: 1 + enough])
    if enough:
        assert (
            asked[1][["sequence", "start"]].values.tolist() == second[["sequence", "start"]].values.tolist()
        )
    assert [len(one.instances) for one in motifs] == [n, sites_of_second][: 1 + enough]
    assert len(asked) == 1 + enough


def test_an_unknown_release_of_jaspar_is_said():
    pytest.importorskip("pyjaspar")
    with pytest.raises(InputError, match="no JASPAR release 'JASPAR1999'"):
        jaspar_vertebrates("JASPAR1999")


def test_jaspars_motifs_know_their_families():
    pytest.importorskip("pyjaspar")
    family = {one.matrix_id: one.family for one in jaspar_vertebrates("JASPAR2016")}
    assert family["MA0058.3"] == "bHLH-ZIP factors"
    assert family["MA0091.1"] == "Tal-related factors / E2A-related factors"


def test_matches_are_sorted_and_e_values_count_the_known_motifs():
    pytest.importorskip("memelite")
    known = [Motif.from_consensus(word, name=name) for word, name in KNOWN]
    where = pd.DataFrame({"motif": ["m"], "sequence": [0], "start": [0], "end": [8], "strand": ["+"]})
    found = [FoundMotif("m", known[0].reverse_complement().pwm, known[0].pwm, where)]
    matches = match_motifs(found, known, nearest=3)
    assert matches["match"].iloc[0] == "GATA1"
    assert matches["strand"].iloc[0] == "-"
    assert matches["p_value"].is_monotonic_increasing
    np.testing.assert_allclose(matches["e_value"], matches["p_value"] * len(known))
    assert motif_table(found, matches)["match"].tolist() == ["GATA1"]


def test_the_filters_are_written_with_their_motifs_and_matches(folder):
    table = pd.read_csv(folder / "filters.tsv", sep="\t")
    assert sorted(table["match"]) == ["GABPA", "GATA1"]
    assert table["share"].sum() == pytest.approx(1, abs=1e-6)
    assert "filters.html" in (folder / "index.html").read_text()
    assert {one.name for one in read_motifs(folder / "filters.meme")} == {"filter_0", "filter_1"}
    assert (folder / "figures" / "filters.png").stat().st_size > 1000


def test_tangermemes_seqlets_reach_the_clustering_in_both_signs(explained, tmp_path, monkeypatch):
    pytest.importorskip("tangermeme")
    handed = []

    def cluster(X, scores, sites, **settings):
        handed.append(sites)
        raise InputError("far enough")

    monkeypatch.setattr("genoplrp.sites.found.cluster_sites", cluster)
    both = ExplainedArrays(
        explained.X, explained.relevance * np.where(np.arange(N) % 2, 1, -1)[:, None, None]
    )
    with pytest.raises(InputError, match="far enough"):
        discover_motifs(both, None, tmp_path / "out", caller="tangermeme")
    sites = handed[0]
    assert {"p_value", "sign"} <= set(sites.columns)
    assert (sites.groupby("sign")["score"].mean()[["+", "-"]] * [1, -1] > 0).all()
    assert (np.sign(sites["score"]) == np.where(sites["sequence"] % 2, 1, -1)).mean() > 0.9
    with pytest.raises(InputError, match="caller='best'"):
        discover_motifs(both, None, tmp_path / "two", caller="best")


def test_motifs_in_one_call_for_one_output_and_for_several(explained, tmp_path):
    pytest.importorskip("modiscolite")
    one = two_motif_network()
    model = nn.Sequential(*one[:4], nn.Linear(2, 2, bias=False))
    with torch.no_grad():  # the first output hears of GATA alone, the second of both
        model[4].weight.copy_(torch.tensor([[100.0, 0.0], [100.0, 100.0]]))
    explain = Explainer(model, "epsilon", Pruning(0.05))
    found = find_motifs(explain, explained.X, target=[0, 1], sign="positive", leiden_runs=1)
    assert len(found) == 2
    counts = found.by_target
    both = counts.index[
        [GATA in one.motif().consensus() or ETS in one.motif().consensus() for one in found.motifs]
    ]
    assert len(both) >= 1
    is_gata = [bool((counts.loc[one.name] > 0.8 * N).all()) for one in found.motifs]
    assert sum(is_gata) == 1
    ets = found.motifs[is_gata.index(False)]
    assert counts.loc[ets.name].tolist()[0] <= 0.1 * N < 0.8 * N <= counts.loc[ets.name].tolist()[1]
    assert set(found.instances.columns) >= {"relevance", "target", "sequence"}
    assert found.instances["sequence"].max() < N
    assert found.to_meme(tmp_path / "m.meme").stat().st_size > 0
    axes = found.plot().axes
    widest = max(one.width for one in found.motifs)
    for ax in axes:  # columns are counted from 1: none is cut off
        assert ax.get_xlim() == (0.5, widest + 0.5)
    assert found["positive_0"] is found[0]
    with pytest.raises(InputError, match="of one output"):
        find_motifs(explain, explained.X, explained.relevance, target=[0, 1])


def test_sites_of_an_explainer_are_those_of_the_function_it_stands_for(explained):
    explain = Explainer(two_motif_network(), "epsilon", Pruning(0.05))
    e = explain(torch.from_numpy(explained.X))
    codes = explained.X.argmax(axis=1).astype(np.uint8)
    by_hand = find_sites(explain_alike(two_motif_network(), explained, 0), codes, e.per_nucleotide.numpy())
    pd.testing.assert_frame_equal(find_sites(explain, explained.X, e), by_hand)
    pd.testing.assert_frame_equal(find_sites(explain, torch.from_numpy(explained.X)), by_hand)
    with pytest.raises(InputError, match="expected one-hot"):
        find_sites(explain, explained.X[:, :3])
    with pytest.raises(InputError, match="no sequences"):
        find_sites(explain, explained.X[:0])
    with pytest.raises(InputError, match="name at least one output"):
        find_motifs(explain, explained.X, target=[])


def test_a_name_needs_a_match_that_is_hardly_chance():
    motif = FoundMotif(
        "positive_0", np.eye(4)[[0, 2, 2, 0]].T + 1e-3, np.eye(4)[[0, 2, 2, 0]].T,
        pd.DataFrame({"motif": "positive_0", "sequence": [0], "start": [0], "end": [4], "strand": ["+"]}),
    )  # fmt: skip
    matches = pd.DataFrame(
        {"motif": ["positive_0"], "match": ["ETV5"], "matrix_id": ["MA1"], "family": ["Ets"], "p_value": [1e-3],
         "q_value": [0.41], "e_value": [0.9], "tied": [True], "of_motif": [0.8], "of_match": [0.7]}
    )  # fmt: skip
    row = motif_table([motif], matches).iloc[0]
    assert (row["match"], row["matrix_id"], row["family"], row["q_value"]) == ("", "", "", 0.41)
    assert motif_table([motif], matches.assign(q_value=0.04)).iloc[0]["match"] == "ETV5"


def test_the_command_compares_several_targets(explained, tmp_path, monkeypatch):
    pytest.importorskip("modiscolite")
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self):\n        super().__init__(nn.Conv1d(4, 2, 8), nn.ReLU(), "
        "nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 3, bias=False))\n"
    )
    one = two_motif_network()
    model = nn.Sequential(*one[:4], nn.Linear(2, 3, bias=False))
    with torch.no_grad():  # GATA alone, both, ETS alone
        model[4].weight.copy_(torch.tensor([[100.0, 0.0], [100.0, 100.0], [0.0, 100.0]]))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    letters = np.array(list("ACGT"))[explained.X.argmax(axis=1)]
    (tmp_path / "s.fa").write_text("".join(f">c{i}\n{''.join(row)}\n" for i, row in enumerate(letters)))
    (tmp_path / "s.bed").write_text("".join(f"c{i}\t0\t120\n" for i in range(N)))
    monkeypatch.chdir(tmp_path)
    named = ["--model", "net.py:Net", "--state-dict", "weights.pt"]
    made = ["explain", "net.py:Net", *named[2:], "--fasta", "s.fa", "--bed", "s.bed", "--length", "120"]
    asked = ["motifs", "scan", *named, "--no-match", "--no-filters", "--out", "out"]
    asked += ["--sign", "positive", "--leiden-runs", "1", "--target"]
    for words in ([*made, "--target", "1", "--p", "0.05", "--out", "scan"], [*asked, "0,1,2"]):
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 0
    table = pd.read_csv("out/motifs.tsv", sep="\t").set_index("motif")
    counts = table[["sites of 0", "sites of 1", "sites of 2"]]
    gata = table["consensus"].str.contains("GATAAG|CTTATC")
    np.testing.assert_array_equal(counts[gata].sum() > 0.8 * N, [True, True, False])
    np.testing.assert_array_equal(counts[~gata].sum() > 0.8 * N, [False, True, True])
    assert counts[gata]["sites of 2"].sum() + counts[~gata]["sites of 0"].sum() <= 0.1 * N
    sites, instances = (pd.read_csv(f"out/{name}.tsv", sep="\t") for name in ("sites", "instances"))
    for rows in (sites, instances):
        assert {"target", "sign", "strand", "motif", "name"} <= set(rows.columns)
        assert rows["sequence"].max() < N
        assert (
            np.sign(rows["score" if "score" in rows else "relevance"]) == np.where(rows["sign"] == "+", 1, -1)
        ).all()
    # By loops: a site has the motif and the strand of an instance that it shares most with.
    for row in sites.iloc[::25].itertuples():
        own = instances[
            (instances[["target", "sequence", "sign"]] == [row.target, row.sequence, row.sign]).all(axis=1)
        ]
        shared = [min(row.end, e) - max(row.start, s) for s, e in zip(own["start"], own["end"], strict=True)]
        if max(shared, default=0) <= 0:
            assert row.strand == "."
        else:
            best = own[np.array(shared) == max(shared)]
            assert (row.motif, row.strand) in set(zip(best["motif"], best["strand"], strict=True))
    assert (sites["strand"] != ".").mean() > 0.8
    assert len(Path("out/sites.bed").read_text().splitlines()) == len(sites)
    assert json.loads(Path("out/manifest.json").read_text())["settings"]["targets"] == ["0", "1", "2"]
    with pytest.raises(SystemExit) as exit_:
        main([*asked, "0,7", "--force"])
    assert exit_.value.code == 2


def test_sites_that_the_engine_cannot_tell_apart_are_said():
    pytest.importorskip("modiscolite")
    codes = np.random.default_rng(0).integers(4, size=(160, 120), dtype=np.uint8)
    codes[:, 50:58] = encode_codes(GATA)[0]
    X = codes_to_one_hot(codes)
    scores = np.zeros_like(X)
    scores[:, :, 50:58] = X[:, :, 50:58]  # exactly alike, and nothing else
    sites = pd.DataFrame({"sequence": np.arange(160), "start": 50, "end": 58, "sign": "+", "score": 8.0})
    with pytest.raises(InputError, match="must not all be equal"):
        cluster_sites(X, scores, sites, leiden_runs=1)
