"""The GPU's pruning kernel against the definition, to the bit, on random cases: ``python -m benchmarks.kernel_cases``.

Each case is drawn from its own seed, which is printed where a case differs: kind of values (normal, wide, subnormal,
tied, huge, ...), one or two samples, 1 to 800 entries, shares, policy, what is written. A third of the cases take the
form for long samples. On a card the kernel runs there; without one in Triton's interpreter, about five a second.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.timing import machine, save

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is defined


def check(seed: int, device: str) -> str:
    """Compare one case; raise AssertionError where it differs. Return what it was."""
    from genoplrp.relevance.pruning import triton_kernel
    from tests.relevance.pruning.test_kernel import KINDS
    from tests.relevance.pruning.test_on_device import assert_same, case

    rng = np.random.default_rng(seed)
    kind = str(rng.choice(KINDS))
    is_long = bool(rng.random() < 1 / 3)
    entries = int(rng.integers(65, 801)) if is_long else int(rng.integers(1, 200))
    inputs = case(kind, int(rng.integers(1, 3)), entries, np.float32, seed)
    policy, written = str(rng.choice(["mass", "mass", "mean"])), [True, False, None][rng.integers(3)]
    # Small samples of the entries, whose bracket may miss the bound, and more than one program a sample.
    small = {"IN_ONE_PROGRAM": 64, "_SAMPLE": int(rng.choice([64, 256])), "_LANES": 32, "_TURN": 128}
    with patch.multiple(triton_kernel, **small) if is_long else nullcontext():
        assert_same(triton_kernel.OnDevice, inputs, device, policy, (written,))
    return f"{kind}, {policy}, {'long' if is_long else 'short'}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0, help="of the first case; the others count on")
    options.add_argument("--out", type=Path, default=Path("kernel_cases.json"))
    given = options.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    seen, different = Counter[str](), []
    for seed in tqdm(range(given.seed, given.seed + given.cases), unit="case", mininterval=5):
        try:
            seen[check(seed, device)] += 1
        except AssertionError as error:
            different.append(seed)
            print(f"seed {seed}: {str(error).splitlines()[0] if str(error) else 'not the same'}", flush=True)
    print(f"{given.cases} cases from seed {given.seed} on {device}: {len(different)} different; {machine()}")
    content = {"machine": machine(), "device": device, "cases": given.cases, "seed": given.seed}
    save(given.out, content | {"different": different, "kinds": dict(sorted(seen.items()))})
    if different:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
