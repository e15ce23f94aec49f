"""The engine: layer-wise relevance propagation with pruning, on the user's own model as it is."""

from genoplrp.relevance.coverage import coverage
from genoplrp.relevance.deeplift import DeepLift
from genoplrp.relevance.drivers import FilterWindows, filter_windows
from genoplrp.relevance.explainer import SWEEP, Explainer
from genoplrp.relevance.explanation import Conservation, Explanation
from genoplrp.relevance.faithful import most_pruned
from genoplrp.relevance.functional import lrp, plrp
from genoplrp.relevance.gradients import GradientTimesInput
from genoplrp.relevance.presets import PRESETS, Preset, RuleBook, register_preset, rule_book
from genoplrp.relevance.pruning import Pruning, register_policy
from genoplrp.relevance.rules import AlphaBeta, Blend, Epsilon, Flat, Gamma, Part, Rule, WSquare, ZBox, ZPlus
from genoplrp.relevance.tracing import register_operation
from genoplrp.relevance.views import View, consensus, consensus_views

__all__ = [
    "PRESETS",
    "SWEEP",
    "AlphaBeta",
    "Blend",
    "Conservation",
    "DeepLift",
    "Epsilon",
    "Explainer",
    "Explanation",
    "FilterWindows",
    "Flat",
    "Gamma",
    "GradientTimesInput",
    "Part",
    "Preset",
    "Pruning",
    "Rule",
    "RuleBook",
    "View",
    "WSquare",
    "ZBox",
    "ZPlus",
    "consensus",
    "consensus_views",
    "coverage",
    "filter_windows",
    "lrp",
    "most_pruned",
    "plrp",
    "register_operation",
    "register_policy",
    "register_preset",
    "rule_book",
]
