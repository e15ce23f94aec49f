"""From relevance to sites and motifs: calling with a null, clustering, naming; it computes no relevance itself."""

from genoplrp.sites.alike import explain_alike, explained_target, filters_alike
from genoplrp.sites.background import fill_between, strongest
from genoplrp.sites.bounds import bounded
from genoplrp.sites.calling import (
    call_sites,
    find_sites,
    q_values,
    recursive_seqlets,
)
from genoplrp.sites.candidates import Candidates, candidate_sites
from genoplrp.sites.composites import taken_apart
from genoplrp.sites.crediting import credited
from genoplrp.sites.discover import called_sites, discover_motifs
from genoplrp.sites.export import copy_of_run, is_motifs_run, write_motifs_meme, write_sites_bed
from genoplrp.sites.filters import FilterView, filter_view
from genoplrp.sites.flow import Flow, flow
from genoplrp.sites.found import CalledSites, Motifs, find_motifs, found_motifs
from genoplrp.sites.given import check_sites, strongest_sites
from genoplrp.sites.instances import with_flanks
from genoplrp.sites.interactions import interactions
from genoplrp.sites.matching import explained_bits, jaspar_vertebrates, match_motifs, motif_table
from genoplrp.sites.merging import merge_alike
from genoplrp.sites.motifs import FoundMotif, cluster_sites
from genoplrp.sites.overlays import overlay
from genoplrp.sites.pairs import Interactions
from genoplrp.sites.placing import locate_sites, located_once
from genoplrp.sites.thinning import thinning

__all__ = [
    "CalledSites",
    "Candidates",
    "FilterView",
    "Flow",
    "FoundMotif",
    "Interactions",
    "Motifs",
    "bounded",
    "call_sites",
    "called_sites",
    "candidate_sites",
    "check_sites",
    "cluster_sites",
    "copy_of_run",
    "credited",
    "discover_motifs",
    "explain_alike",
    "explained_bits",
    "explained_target",
    "fill_between",
    "filter_view",
    "filters_alike",
    "find_motifs",
    "find_sites",
    "flow",
    "found_motifs",
    "interactions",
    "is_motifs_run",
    "jaspar_vertebrates",
    "locate_sites",
    "located_once",
    "match_motifs",
    "merge_alike",
    "motif_table",
    "overlay",
    "q_values",
    "recursive_seqlets",
    "strongest",
    "strongest_sites",
    "taken_apart",
    "thinning",
    "with_flanks",
    "write_motifs_meme",
    "write_sites_bed",
]
