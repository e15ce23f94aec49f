"""A task that a small network learns in seconds: is there a TGACTCA?"""

import numpy as np
import pytest

MOTIF = "TGACTCA"


def planted(n, length=40, seed=0):
    rng = np.random.default_rng(seed)
    letters = np.array(list("ACGT"))[rng.integers(0, 4, (n, length))]
    labels = np.arange(n) % 2
    for row, start in enumerate(rng.integers(0, length - len(MOTIF), n)):
        if labels[row]:
            letters[row, start : start + len(MOTIF)] = list(MOTIF)
    return ["".join(row) for row in letters], labels.astype(np.float32)


@pytest.fixture(scope="session")
def task():
    """Sequences and labels."""
    return planted(600)


SMALL = {"filters": (8, 8), "dense": 16}


@pytest.fixture(scope="session")
def fit(task):
    """A trained small network; read-only."""
    from genoplrp.training import train

    return train(task, "koo", 0, parameters=SMALL, epochs=14, batch_size=32, bootstrap=100, progress=False)
