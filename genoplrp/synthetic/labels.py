"""Labels from what was planted: the score under each task, with noise on top; nothing is planted here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from genoplrp.synthetic.activity.planted_sites import expected_profile
from genoplrp.synthetic.counts import gamma_factors, poisson_numbers
from genoplrp.synthetic.distributions import normal_numbers
from genoplrp.synthetic.planted import Planted, score_tasks
from genoplrp.synthetic.spec import Spec


class Labels(NamedTuple):
    """Labels, and what they were before noise.

    Attributes
    ----------
    values, clean : array, (N, T), float32
        With and without noise; without it a count with an activity is what is expected, and a binary label with one a
        probability. Of a profile, the sum over its bases.
    profiles : array, (N, P, L), int32, or None
        Reads at each base for each of the P profile tasks, L the specification's largest length.
    """

    values: Float[np.ndarray, "n tasks"]
    clean: Float[np.ndarray, "n tasks"]
    profiles: Int[np.ndarray, "n profiles length"] | None = None


def derive_labels(spec: Spec, planted: Planted, rng: np.random.Generator) -> Labels:
    """Derive the labels of some sequences from what was planted in them.

    Parameters
    ----------
    spec : Spec
        Its tasks are applied.
    planted : Planted
        Intact core instances.
    rng : Generator
        For the noise.

    Returns
    -------
    Labels
    """
    clean = score_tasks(spec, planted)
    values = clean.copy()
    profiles = []
    for column, task in enumerate(spec.tasks):
        if task.activity and task.kind == "binary":
            values[:, column] = rng.random(planted.n) < clean[:, column]
        elif task.activity and task.kind == "count":
            factors = gamma_factors(rng, planted.n, task.dispersion)
            values[:, column] = poisson_numbers(rng, clean[:, column] * factors)
        elif task.kind == "profile":
            rates = expected_profile(spec, task, planted)
            drawn = poisson_numbers(rng, rates * gamma_factors(rng, planted.n, task.dispersion)[:, None])
            values[:, column] = drawn.sum(axis=1)
            profiles.append(drawn.astype(np.int32))
        if not task.noise:
            continue
        if task.kind == "binary":
            flipped = rng.random(planted.n) < task.noise
            values[:, column] = np.where(flipped, 1 - values[:, column], values[:, column])
        else:
            values[:, column] += task.noise * normal_numbers(rng, planted.n)
    reads = np.stack(profiles, axis=1) if profiles else None
    return Labels(values.astype(np.float32), clean.astype(np.float32), reads)


def tasks_of_instances(
    spec: Spec,
) -> tuple[Bool[np.ndarray, "motifs tasks"], Bool[np.ndarray, "sites tasks"]]:
    """Return for which tasks each motif, and each site, matters."""
    motifs = np.zeros((len(spec.motifs), len(spec.tasks)), dtype=bool)
    sites = np.zeros((len(spec.sites), len(spec.tasks)), dtype=bool)
    for column, task in enumerate(spec.tasks):
        members = {member for name in task.names for member in spec.members(name)}
        motifs[:, column] = [name in members for name in spec.motifs]
        sites[:, column] = [name in task.names for name in spec.sites]
    return motifs, sites
