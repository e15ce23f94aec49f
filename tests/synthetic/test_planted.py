"""What is left of a sequence when instances are taken out, and what that is worth."""

import numpy as np
from specs import small

from genoplrp.synthetic.planted import Planted, score_tasks

PAIR = {"pair": {"motifs": ["A", "B"]}}


def holding(*instances: tuple[int, int, int]) -> Planted:
    """One sequence with instances given as (motif, site, unit), all of full affinity."""
    motif, site, unit = np.array(instances, dtype=np.int64).reshape(-1, 3).T
    many = len(motif)
    return Planted(
        classes=np.zeros(1, dtype=np.int64),
        lengths=np.array([60]),
        row=np.zeros(many, dtype=np.int64),
        motif=motif,
        affinity=np.ones(many),
        site=site,
        unit=unit,
        start=np.arange(many) * 10,
        minus=np.zeros(many, dtype=bool),
    )


def test_a_site_that_loses_a_motif_is_one_no_more_and_its_other_motif_stays() -> None:
    tasks = [{"name": name, "rule": rule} for name, rule in (("a", "A"), ("b", "B"), ("pair", "pair"))]
    spec = small(tasks=tasks, sites=PAIR)
    both = holding((0, 0, 7), (1, 0, 7))
    assert score_tasks(spec, both).tolist() == [[1, 1, 1]]
    assert score_tasks(spec, both.without(np.array([True, False]))).tolist() == [[0, 1, 0]]


def test_another_site_and_single_motifs_are_untouched() -> None:
    spec = small(tasks=[{"name": "pairs", "rule": "pair >= 2"}], sites=PAIR)
    three = holding((0, 0, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1), (0, 0, 2), (1, 0, 2), (0, -1, 3))
    gone = np.arange(7) == 0
    left = three.without(gone)
    assert left.site.tolist() == [-1, 0, 0, 0, 0, -1] and left.start.tolist() == [10, 20, 30, 40, 50, 60]
    assert score_tasks(spec, left).tolist() == [[1]]
    assert score_tasks(spec, left.without(np.arange(6) == 4)).tolist() == [[0]]
