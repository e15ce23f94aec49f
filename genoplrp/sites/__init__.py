"""From relevance to sites and motifs: calling with a null, clustering, naming; it computes no relevance itself."""

from genoplrp.sites.calling import (
    call_sites,
    find_sites,
    locate_sites,
    q_values,
    recursive_seqlets,
    shuffle_between,
    strongest,
)
from genoplrp.sites.candidates import Candidates, candidate_sites
from genoplrp.sites.discover import discover_motifs, explain_alike, filters_alike
from genoplrp.sites.filters import FilterView, filter_view
from genoplrp.sites.merging import merge_alike, overlay
from genoplrp.sites.motifs import (
    FoundMotif,
    cluster_sites,
    jaspar_vertebrates,
    match_motifs,
    motif_table,
)

__all__ = [
    "Candidates",
    "FilterView",
    "FoundMotif",
    "call_sites",
    "candidate_sites",
    "cluster_sites",
    "discover_motifs",
    "explain_alike",
    "filter_view",
    "filters_alike",
    "find_sites",
    "jaspar_vertebrates",
    "locate_sites",
    "match_motifs",
    "merge_alike",
    "motif_table",
    "overlay",
    "q_values",
    "recursive_seqlets",
    "shuffle_between",
    "strongest",
]
