"""Benchmark sequences of known truth: what to plant, motifs, backgrounds, planting, the data set on disk.

Where to look: the recipe in `spec` and `spec_parts`, its TOML in `spec_toml`; which sites a sequence gets in `grammar`
(broken ones: `breaking` for their arrangement, `plant` for their letters); bases drawn in `backgrounds` and `plant`;
labels in `labels`, `rules` and `activity`; what a site or base is worth in `planted`, `effects` and `substitutions`;
the set itself in `dataset`, on disk in `storage` and `folder`.
"""

from genoplrp.synthetic.backgrounds import Background
from genoplrp.synthetic.croissant import write_croissant
from genoplrp.synthetic.dataset import Dataset
from genoplrp.synthetic.distributions import Count, Position, Spacing
from genoplrp.synthetic.generate import simulate
from genoplrp.synthetic.motifs import Motif, fetch_jaspar, read_motifs, write_meme
from genoplrp.synthetic.profiles import dataset_of_profiles
from genoplrp.synthetic.simdata import read_simdata
from genoplrp.synthetic.similarity import Similarity, similarity, similarity_matrix
from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.spec_parts import MotifUse, Plant, Scan, SequenceClass, Site
from genoplrp.synthetic.spec_toml import list_presets, load_spec, spec_from_table, spec_to_table
from genoplrp.synthetic.stream import simulate_to
from genoplrp.synthetic.tasks import Task
from genoplrp.synthetic.variants import Variants, draw_variants

__all__ = [
    "Background",
    "Count",
    "Dataset",
    "Motif",
    "MotifUse",
    "Plant",
    "Position",
    "Scan",
    "SequenceClass",
    "Similarity",
    "Site",
    "Spacing",
    "Spec",
    "Task",
    "Variants",
    "dataset_of_profiles",
    "draw_variants",
    "fetch_jaspar",
    "list_presets",
    "load_spec",
    "read_motifs",
    "read_simdata",
    "similarity",
    "similarity_matrix",
    "simulate",
    "simulate_to",
    "spec_from_table",
    "spec_to_table",
    "write_croissant",
    "write_meme",
]
