"""Pictures of relevance: arrays in, matplotlib axes out; nothing is shown, and no global setting is touched."""

from genoplrp.plotting.curves import plot_deletion, plot_sweep
from genoplrp.plotting.filters import plot_filters
from genoplrp.plotting.flow import plot_flow
from genoplrp.plotting.interactions import plot_distance, plot_interactions
from genoplrp.plotting.ledger import plot_ledger
from genoplrp.plotting.logo import plot_logo
from genoplrp.plotting.motif import information_content, plot_motif
from genoplrp.plotting.notebook import dataset_html, explanation_html, repr_html
from genoplrp.plotting.overview import plot_heatmap, plot_long, plot_overview
from genoplrp.plotting.profile import mean_logo, plot_profile
from genoplrp.plotting.saving import save_figure
from genoplrp.plotting.stacked import plot_comparison, plot_logos

__all__ = [
    "dataset_html",
    "explanation_html",
    "information_content",
    "mean_logo",
    "plot_comparison",
    "plot_deletion",
    "plot_distance",
    "plot_filters",
    "plot_flow",
    "plot_heatmap",
    "plot_interactions",
    "plot_ledger",
    "plot_logo",
    "plot_logos",
    "plot_long",
    "plot_motif",
    "plot_overview",
    "plot_profile",
    "plot_sweep",
    "repr_html",
    "save_figure",
]
