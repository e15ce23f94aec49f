"""genoplrp: sparse, fast and checkable explanations of convolutional networks on DNA.

The public names, each imported when it is first used; nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from genoplrp.version import __version__

if TYPE_CHECKING:
    from genoplrp.evaluation import benchmark, score
    from genoplrp.pipeline.explore import explore
    from genoplrp.plotting import plot_logo, plot_logos, plot_motif
    from genoplrp.relevance import (
        Explainer,
        Explanation,
        Pruning,
        adapt_model,
        consensus,
        contrast,
        lrp,
        plrp,
    )
    from genoplrp.scan import load_keras, open_store
    from genoplrp.sequence import one_hot_decode, one_hot_encode, read_fasta, reverse_complement
    from genoplrp.sites.calling import find_sites
    from genoplrp.sites.flow import flow
    from genoplrp.sites.found import find_motifs
    from genoplrp.sites.interactions import interactions
    from genoplrp.synthetic import Dataset, load_spec, simulate
    from genoplrp.training import TrainedModel, load_model, train

_HOME = {
    "Dataset": "synthetic",
    "Explainer": "relevance",
    "Explanation": "relevance",
    "Pruning": "relevance",
    "TrainedModel": "training",
    "adapt_model": "relevance",
    "benchmark": "evaluation",
    "consensus": "relevance",
    "contrast": "relevance",
    "explore": "pipeline.explore",
    "find_motifs": "sites.found",
    "find_sites": "sites.calling",
    "flow": "sites.flow",
    "interactions": "sites.interactions",
    "load_keras": "scan",
    "load_model": "training",
    "load_spec": "synthetic",
    "lrp": "relevance",
    "one_hot_decode": "sequence",
    "one_hot_encode": "sequence",
    "open_store": "scan",
    "plot_logo": "plotting",
    "plot_logos": "plotting",
    "plot_motif": "plotting",
    "plrp": "relevance",
    "read_fasta": "sequence",
    "reverse_complement": "sequence",
    "score": "evaluation",
    "simulate": "synthetic",
    "train": "training",
}

__all__ = [
    "Dataset",
    "Explainer",
    "Explanation",
    "Pruning",
    "TrainedModel",
    "__version__",
    "adapt_model",
    "benchmark",
    "consensus",
    "contrast",
    "explore",
    "find_motifs",
    "find_sites",
    "flow",
    "interactions",
    "load_keras",
    "load_model",
    "load_spec",
    "lrp",
    "one_hot_decode",
    "one_hot_encode",
    "open_store",
    "plot_logo",
    "plot_logos",
    "plot_motif",
    "plrp",
    "read_fasta",
    "reverse_complement",
    "score",
    "simulate",
    "train",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'genoplrp' has no attribute {name!r}")
    value = getattr(import_module(f"genoplrp.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
