"""Scores for explanations and the benchmark that compares methods; arrays in, tables out, never a model's internals.

Sparsity, localization and recovery need maps and the planted truth; faithfulness and robustness a callable as well.

Where to look: the table of metrics and the chance level beside them (prevalence) in `metrics`; each metric in the
module of its subject (`localization`, `sparsity`, `pointing`, `signed`); sites in `instances` and `grammar`; rivals in
`rivals`; the benchmark in `plan` (what), `cells` (how), `runner` (when) and `report` (what is printed).
"""

from genoplrp.evaluation.contexts import average_over_knockouts, average_over_path
from genoplrp.evaluation.controls import sharpen_at_gini, threshold_at_gini, weight_by_contiguity
from genoplrp.evaluation.faithfulness import Curves, deletion_insertion, sufficiency_necessity, support
from genoplrp.evaluation.fills import FILLS, draw_fill
from genoplrp.evaluation.grammar import score_grammar, score_roles
from genoplrp.evaluation.instances import score_instances, score_recovery
from genoplrp.evaluation.job import Job, Method
from genoplrp.evaluation.layers import layer_sparsity
from genoplrp.evaluation.localization import (
    auroc,
    average_precision,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from genoplrp.evaluation.methods import (
    default_methods,
    explain_with,
    get_method,
    output_function,
    register_method,
)
from genoplrp.evaluation.metrics import METRICS, register_metric
from genoplrp.evaluation.oracle import scan
from genoplrp.evaluation.plan import Plan, quick_plan, sweep_methods
from genoplrp.evaluation.pointing import pointing_game, signal_contrast, top_k_intersection, weighted_cosine
from genoplrp.evaluation.removals import Removals, infidelity, random_removals, sensitivity_n
from genoplrp.evaluation.robustness import (
    Change,
    agreement,
    reverse_strand,
    score_robustness,
    sensitivity,
    shift,
    substitutions,
)
from genoplrp.evaluation.runner import benchmark
from genoplrp.evaluation.sanity import randomise_cascading, score_sanity, train_on_random_labels
from genoplrp.evaluation.scoring import score, score_dataset, summarise
from genoplrp.evaluation.signed import (
    Correlation,
    base_correlation,
    correlate,
    score_signed,
    signed_average_precision,
    signed_mass_accuracy,
    site_correlation,
)
from genoplrp.evaluation.sparsity import effective_bases, entropy, gini, hoyer, zero_fraction
from genoplrp.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    compare_methods,
    holm,
    mean_interval,
    summarise_methods,
)

__all__ = [
    "FILLS",
    "METRICS",
    "Change",
    "Correlation",
    "Curves",
    "Interval",
    "Job",
    "Method",
    "Plan",
    "Removals",
    "agreement",
    "auroc",
    "average_over_knockouts",
    "average_over_path",
    "average_precision",
    "base_correlation",
    "benchmark",
    "bootstrap_mean",
    "compare_methods",
    "correlate",
    "default_methods",
    "deletion_insertion",
    "draw_fill",
    "effective_bases",
    "entropy",
    "explain_with",
    "get_method",
    "gini",
    "holm",
    "hoyer",
    "infidelity",
    "layer_sparsity",
    "mean_interval",
    "output_function",
    "pointing_game",
    "quick_plan",
    "random_removals",
    "randomise_cascading",
    "register_method",
    "register_metric",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "reverse_strand",
    "scan",
    "score",
    "score_dataset",
    "score_grammar",
    "score_instances",
    "score_recovery",
    "score_robustness",
    "score_roles",
    "score_sanity",
    "score_signed",
    "sensitivity",
    "sensitivity_n",
    "sharpen_at_gini",
    "shift",
    "signal_contrast",
    "signed_average_precision",
    "signed_mass_accuracy",
    "site_correlation",
    "substitutions",
    "sufficiency_necessity",
    "summarise",
    "summarise_methods",
    "support",
    "sweep_methods",
    "threshold_at_gini",
    "top_k_intersection",
    "train_on_random_labels",
    "weight_by_contiguity",
    "weighted_cosine",
    "zero_fraction",
]
