from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from genoplrp.synthetic import Dataset
from genoplrp.synthetic.dataset import INSTANCE_COLUMNS
from genoplrp.synthetic.motifs import Motif


@pytest.fixture(scope="session")
def tiny_data() -> Dataset:
    """Sequences of 60 bp with two strong sites each: of one motif in positives, of another in negatives."""
    rng = np.random.default_rng(0)
    motifs = {
        name: Motif.from_consensus(c, name=name) for name, c in [("ETS", "CCGGAAGT"), ("GATA", "GATAAGCA")]
    }
    sequences, rows = [], []
    for i in range(400):
        name, role, tasks = (("ETS", "decoy", ""), ("GATA", "core", "label"))[i % 2]
        letters = rng.choice(list("ACGT"), 60)
        for start in (5 + int(rng.integers(15)), 30 + int(rng.integers(15))):
            letters[start : start + 8] = list(motifs[name].consensus())
            rows.append((i, start, start + 8, name, "+", role, 16.0, "", tasks))
        sequences.append("".join(letters))
    data = Dataset.from_sequences(sequences, np.arange(400) % 2)
    texts = dict.fromkeys(("motif", "strand", "role", "site", "tasks"), "category")
    data.instances = pd.DataFrame(rows, columns=list(INSTANCE_COLUMNS)).astype(texts)
    data.motifs = motifs
    return data
