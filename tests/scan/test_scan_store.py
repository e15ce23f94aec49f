import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import GenoplrpError, InputError, NonFiniteError, OutputExistsError
from genoplrp.relevance import Explainer, Pruning
from genoplrp.sequence import codes_to_one_hot

pytest.importorskip("zarr")
from genoplrp.scan import ScanStore, Sequences, automatic_batch, merge, scan, shard_path
from genoplrp.scan import run as run_module


def network(outputs=2, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv1d(4, 6, 5),
            nn.ReLU(),
            nn.MaxPool1d(4),
            nn.Conv1d(6, 6, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 7, outputs),
        )


def sequences(n=50, length=40, seed=0):
    codes = np.random.default_rng(seed).integers(5, size=(n, length), dtype=np.uint8)
    return Sequences(codes)


def digest(folder):
    """Names and bytes of all files."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


SMALL = {"batch_size": 4, "pruning": Pruning(0.25)}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(run_module, "ROWS_A_BLOCK", 8)


def test_the_store_holds_what_the_explainer_gives(tmp_path):
    model, source = network(), sequences()
    store = ScanStore(scan(model, source, tmp_path / "s", target=1, **SMALL))
    X = codes_to_one_hot(source.codes(0, 50))
    expected = Explainer(model, pruning=Pruning(0.25), batch_size=4)(torch.from_numpy(X), 1)
    np.testing.assert_allclose(store.per_nucleotide(slice(None)), expected.per_nucleotide.numpy(), rtol=1e-6)
    np.testing.assert_allclose(store.relevance(slice(None)), expected.relevance.numpy(), rtol=1e-6)
    np.testing.assert_allclose(store.prediction, expected.prediction.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(store.one_hot(slice(None)), X)
    rows = np.array([41, 3, 3, 17])
    np.testing.assert_array_equal(store.per_nucleotide(rows), store.per_nucleotide(slice(None))[rows])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_full_and_hypothetical_values_are_kept_when_asked_for(tmp_path, dtype):
    model, source = network(), sequences(n=11)
    out = scan(
        model, source, tmp_path / "s", values="full", hypothetical=True, dtype=dtype, rules="epsilon", **SMALL
    )
    store = ScanStore(out)
    X = torch.from_numpy(codes_to_one_hot(source.codes(0, 11)))
    e = Explainer(model, "epsilon", Pruning(0.25), batch_size=4, keep_multiplier=True)(X)
    tolerance = {"rtol": 1e-6} if dtype == "float32" else {"rtol": 1e-3, "atol": 1e-6}
    np.testing.assert_allclose(store.relevance(slice(None)), e.relevance.numpy(), **tolerance)
    found = np.concatenate([block.scores for block in store.blocks("hypothetical")])
    np.testing.assert_allclose(found, e.multiplier.numpy(), **tolerance)
    projected = np.concatenate([block.scores for block in store.blocks()])
    np.testing.assert_allclose(projected, found * X.numpy(), rtol=2e-3, atol=1e-6)


def test_the_sum_of_outputs_is_the_sum_of_their_maps_in_an_affine_network(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(160, 3, bias=False))
    source = sequences(n=5)
    maps = [
        ScanStore(scan(model, source, tmp_path / str(t), target=t, rules="epsilon")) for t in (0, 1, 2, "sum")
    ]
    values = [store.per_nucleotide(slice(None)) for store in maps]
    np.testing.assert_allclose(values[3], values[0] + values[1] + values[2], atol=1e-4)


def test_the_manifest_says_what_was_done_and_holds_no_time(tmp_path):
    out = scan(network(), sequences(), tmp_path / "s", inputs={"genome": {"sha256": "0"}}, **SMALL)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["method"] == "PLRP-lambda gamma p=0.25"
    assert manifest["windows"] == 50
    assert len(manifest["model"]["fingerprint"]) == 64
    assert manifest["inputs"]["genome"]["sha256"] == "0"
    assert {"genoplrp", "torch", "zarr"} <= manifest["versions"].keys()


def test_same_scan_same_bytes(tmp_path):
    one = scan(network(), sequences(), tmp_path / "a", **SMALL)
    two = scan(network(), sequences(), tmp_path / "b", **SMALL)
    assert digest(one) == digest(two)


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_merged_shards_have_the_bytes_of_one_scan(tmp_path, n):
    whole = scan(network(), sequences(), tmp_path / "whole", **SMALL)
    out = tmp_path / "s"
    shards = [scan(network(), sequences(), out, shard=(i, n), **SMALL) for i in range(1, n + 1)]
    assert shards == [shard_path(out, i, n) for i in range(1, n + 1)]
    merged = merge(list(reversed(shards)), out)
    assert digest(merged) == digest(whole)


def test_a_shard_keeps_the_rows_of_its_own_windows_and_is_left_as_it_is(tmp_path):
    shards = [scan(network(), sequences(), tmp_path / "s", shard=(i, 3), **SMALL) for i in (1, 2, 3)]
    names = [
        line.split("\t")[3]
        for line in (shards[1] / "regions.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ]
    assert names == [f"seq{i}" for i in [*range(8, 16), *range(32, 40)]]  # blocks 1 and 4 of eight windows
    before = [digest(shard) for shard in shards]
    merge(shards, tmp_path / "s")
    assert [digest(shard) for shard in shards] == before
    (shards[1] / "regions.tsv").write_text((tmp_path / "s" / "regions.tsv").read_text())
    with pytest.raises(InputError, match="explain the shard again"):
        merge(shards, tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_shards_that_do_not_make_a_whole_are_refused(tmp_path):
    out = tmp_path / "s"
    shards = [scan(network(), sequences(), out, shard=(i, 3), **SMALL) for i in (1, 2, 3)]
    with pytest.raises(InputError, match="of 3 shards, 2 is missing"):
        merge([shards[0], shards[2]], out)
    with pytest.raises(InputError, match="both shard 1"):
        merge([shards[0], shards[0]], out)
    other = scan(network(seed=1), sequences(), tmp_path / "o", shard=(2, 3), **SMALL)
    with pytest.raises(InputError, match="differ in model"):
        merge([shards[0], other, shards[2]], out)
    with pytest.raises(InputError, match="shard 1 of 3"):
        ScanStore(shards[0])
    assert not out.exists()


class StopError(Exception):
    pass


def interrupted(source, after):
    """A source that stops the scan after so many windows."""
    read = source.codes

    def codes(start, stop):
        if stop > after:
            raise StopError
        return read(start, stop)

    source.codes = codes
    return source


@pytest.mark.parametrize("after", [0, 3, 8, 31, 49])
def test_an_interrupted_scan_goes_on_and_ends_with_the_same_bytes(tmp_path, after):
    whole = scan(network(), sequences(), tmp_path / "whole", **SMALL)
    out = tmp_path / "s"
    with pytest.raises(StopError):
        scan(network(), interrupted(sequences(), after), out, **SMALL)
    assert not out.exists()
    assert digest(scan(network(), sequences(), out, **SMALL)) == digest(whole)
    assert not out.with_name("s.partial").exists()


def test_an_interrupted_scan_does_not_repeat_finished_blocks(tmp_path):
    out = tmp_path / "s"
    with pytest.raises(StopError):
        scan(network(), interrupted(sequences(), 31), out, **SMALL)
    source, asked = sequences(), []
    read = source.codes
    source.codes = lambda start, stop: asked.append(start) or read(start, stop)
    scan(network(), source, out, **SMALL)
    assert min(asked[1:]) == 24  # the first two windows are looked at before anything is written


@pytest.mark.parametrize("damage", ["torn journal", "torn chunk", "leftover", "killed at the rename"])
def test_what_a_kill_leaves_behind_is_mended(tmp_path, damage):
    whole = scan(network(), sequences(), tmp_path / "whole", **SMALL)
    out = tmp_path / "s"
    partial = tmp_path / "s.partial"
    with pytest.raises(StopError):
        scan(network(), interrupted(sequences(), 31), out, **SMALL)
    if damage == "torn journal":
        with (partial / ".journal").open("a") as handle:
            handle.write("4")
    if damage == "torn chunk":
        chunk = partial / "relevance" / "c" / "3"
        chunk.mkdir(parents=True)
        (chunk / "0").write_bytes(b"half")
    if damage == "leftover":
        (partial / "relevance" / "x.0123.partial").write_bytes(b"half")
    if damage == "killed at the rename":
        scan(network(), sequences(), out, **SMALL)
        (out / ".journal").write_text("0\n")
        with pytest.raises(InputError, match="not finished"):
            ScanStore(out)
    assert digest(scan(network(), sequences(), out, **SMALL)) == digest(whole)


KILLS = textwrap.dedent(
    """
    import os, random, signal, sys, threading, time, traceback
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import torch, tqdm
    torch.set_num_threads(1)
    import zarr, genoplrp.relevance, pandas
    from genoplrp.scan import run
    from genoplrp.scan.store import JOURNAL
    from test_scan_store import network, sequences, SMALL
    # The lock of progress bars is shared with children: one that is killed while it holds it would stop all others.
    tqdm.tqdm.set_lock(threading.RLock())
    run.ROWS_A_BLOCK = 8
    out, rng, kills, seed = Path(sys.argv[1]), random.Random(0), 0, 0
    for name in ("first", "whole"):  # here, so that no child has kernels to load: kills hit the work itself
        begin = time.perf_counter()
        run.scan(network(), sequences(n=60), out.with_name(name), **SMALL)
        usual = time.perf_counter() - begin
    finished = 0
    while kills < 50:
        name = out.with_name(f"s{finished}")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run.scan(network(), sequences(n=60), name, **SMALL)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        time.sleep(rng.uniform(0, 0.6 * usual))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            kills += 1
        elif os.WEXITSTATUS(status) != 0:
            sys.exit("a run failed")
        # Also where the kill came after all had been done.
        finished += name.exists() and not (name / JOURNAL).exists()
    run.scan(network(), sequences(n=60), out.with_name(f"s{finished}"), **SMALL)
    print(kills, finished + 1)
    """
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills_at_random_moments_lose_nothing_and_change_no_byte(tmp_path):
    script = tmp_path / "kills.py"
    script.write_text(KILLS)
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out"), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    kills, stores = map(int, done.stdout.split())
    assert kills == 50
    expected = digest(tmp_path / "whole")
    for i in range(stores):
        assert digest(tmp_path / f"s{i}") == expected


def test_an_unfinished_scan_with_other_settings_is_not_touched(tmp_path):
    out = tmp_path / "s"
    with pytest.raises(StopError):
        scan(network(), interrupted(sequences(), 31), out, **SMALL)
    before = digest(tmp_path)
    with pytest.raises(OutputExistsError, match=r"interrupted scan with another.*pruning"):
        scan(network(), sequences(), out, batch_size=4)
    assert digest(tmp_path) == before


def test_a_store_that_exists_is_replaced_only_on_purpose(tmp_path):
    out = scan(network(), sequences(), tmp_path / "s", **SMALL)
    before = digest(out)
    with pytest.raises(OutputExistsError):
        scan(network(), sequences(), out, batch_size=4)
    assert digest(out) == before
    scan(network(), sequences(), out, batch_size=4, overwrite=True)
    assert ScanStore(out).manifest["pruning"] is None


def test_a_kill_while_zarr_writes_its_first_file_is_nothing_to_move(tmp_path):
    (tmp_path / "s.partial").mkdir()
    (tmp_path / "s.partial" / f"zarr.{'0a' * 16}.partial").write_text("{")
    out = scan(network(), sequences(), tmp_path / "s", **SMALL)
    assert digest(out) == digest(scan(network(), sequences(), tmp_path / "whole", **SMALL))


def test_a_foreign_folder_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "s.partial").mkdir()
    (tmp_path / "s.partial" / "thesis.txt").write_text("years")
    with pytest.raises(OutputExistsError, match=r"thesis\.txt"):
        scan(network(), sequences(), tmp_path / "s", **SMALL)
    assert (tmp_path / "s.partial" / "thesis.txt").exists()


class Hungry(nn.Module):
    """A network that runs out of memory above so many sequences; counts how often."""

    def __init__(self, error, most):
        super().__init__()
        self.body, self.error, self.most, self.refused = network(), error, most, 0

    def forward(self, x):
        if len(x) > self.most:
            self.refused += 1
            raise self.error("no room")
        return self.body(x)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
@pytest.mark.parametrize(("most", "halvings"), [(8, 1), (7, 2), (4, 2), (1, 1)])
@pytest.mark.filterwarnings("ignore:memory ran out")
def test_the_batch_is_halved_until_it_fits_and_the_bytes_stay(tmp_path, error, most, halvings):
    settings = {"rules": "epsilon", "pruning": Pruning(0.25), "batch_size": 16}
    whole = scan(Hungry(error, 50), sequences(), tmp_path / "whole", **settings)
    model = Hungry(error, most)
    # Where two sequences do not fit, the first look at the model finds it.
    said = "with 16 sequences; going on with 8" if most > 1 else "with 2 sequences; going on with 1"
    with pytest.warns(UserWarning, match=f"memory ran out {said}"):
        small = scan(model, sequences(), tmp_path / "small", **settings)
    if most > 1:
        assert digest(small) == digest(whole)
    # One at a time other kernels do the matrix products: the last bits may differ.
    one, other = ScanStore(small), ScanStore(whole)
    np.testing.assert_array_equal(one.one_hot(slice(None)), other.one_hot(slice(None)))
    np.testing.assert_allclose(
        one.per_nucleotide(slice(None)), other.per_nucleotide(slice(None)), rtol=1e-4, atol=1e-6
    )
    assert model.refused == halvings  # what fits is found once, not in every batch


def test_one_sequence_that_does_not_fit_is_an_error(tmp_path):
    with pytest.warns(UserWarning, match="memory ran out"), pytest.raises(MemoryError, match="no room"):
        scan(Hungry(MemoryError, 0), sequences(), tmp_path / "s", batch_size=4)


class Diverging(nn.Module):
    """A network that returns NaN for sequences that begin with A."""

    def __init__(self):
        super().__init__()
        self.body = network()

    def forward(self, x):
        return self.body(x) / (x[:, :1, 0] - 1)


def test_a_model_that_returns_nan_is_an_error_that_names_the_windows_and_keeps_the_rest(tmp_path):
    codes = np.ones((50, 40), dtype=np.uint8)
    codes[37, 0] = 0
    with pytest.raises((NonFiniteError, GenoplrpError), match=r"windows 36 to 39 \(seq36 ... seq39\)"):
        scan(Diverging(), Sequences(codes), tmp_path / "s", rules="epsilon", batch_size=4)
    assert (tmp_path / "s.partial" / ".journal").read_text().split() == ["0", "1", "2", "3"]


def test_a_full_disk_is_said_and_loses_nothing(tmp_path, monkeypatch):
    whole = scan(network(), sequences(), tmp_path / "whole", **SMALL)
    write, calls = run_module.ScanWriter.write, []

    def full(self, block, arrays):
        calls.append(block)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write(self, block, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(run_module.ScanWriter, "write", full)
        with pytest.raises(GenoplrpError, match=r"the disk is full.*run the same command again"):
            scan(network(), sequences(), tmp_path / "s", **SMALL)
    assert digest(scan(network(), sequences(), tmp_path / "s", **SMALL)) == digest(whole)


def test_scores_too_large_for_half_precision_are_refused(tmp_path):
    model = network()
    with torch.no_grad():
        model[-1].weight *= 1e7
    with pytest.raises(InputError, match="float16"):
        scan(model, sequences(), tmp_path / "s", dtype="float16", **SMALL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": "some"}, "values='some'"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"shard": (3, 2)}, "shard 3/2"),
        ({"target": "CTCF"}, "no output 'CTCF'"),
    ],
)
def test_a_wrong_argument_is_an_error_before_any_work(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        scan(network(), sequences(), tmp_path / "s", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [1, 60, 200, 1000, 2114, 500_000])
def test_the_automatic_batch_is_a_power_of_two_within_the_bases_allowed(length):
    batch = automatic_batch(length)
    assert batch & (batch - 1) == 0
    assert batch == 1 or batch * length <= 1 << 17
    assert batch == 1024 or 2 * batch * length > 1 << 17
