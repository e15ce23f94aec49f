"""From relevance to sites and motifs: calling with a null, clustering, naming; it computes no relevance itself."""

from genoplrp.sites.calling import (
    call_sites,
    find_sites,
    locate_sites,
    q_values,
    recursive_seqlets,
    shuffle_between,
)
from genoplrp.sites.candidates import Candidates, candidate_sites
from genoplrp.sites.discover import discover_motifs, explain_alike
from genoplrp.sites.motifs import (
    FoundMotif,
    cluster_sites,
    jaspar_vertebrates,
    match_motifs,
    motif_table,
)

__all__ = [
    "Candidates",
    "FoundMotif",
    "call_sites",
    "candidate_sites",
    "cluster_sites",
    "discover_motifs",
    "explain_alike",
    "find_sites",
    "jaspar_vertebrates",
    "locate_sites",
    "match_motifs",
    "motif_table",
    "q_values",
    "recursive_seqlets",
    "shuffle_between",
]
