"""The engine: layer-wise relevance propagation with pruning, on the user's own model as it is."""

from genoplrp.relevance.deeplift import DeepLift
from genoplrp.relevance.explainer import SWEEP, Explainer
from genoplrp.relevance.explanation import Conservation, Explanation
from genoplrp.relevance.functional import lrp, plrp
from genoplrp.relevance.gradients import GradientTimesInput
from genoplrp.relevance.presets import PRESETS, Preset, RuleBook, register_preset, rule_book
from genoplrp.relevance.pruning import Pruning, register_policy
from genoplrp.relevance.rules import AlphaBeta, Blend, Epsilon, Flat, Gamma, Part, Rule, WSquare, ZBox, ZPlus
from genoplrp.relevance.tracing import register_operation

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
    "Flat",
    "Gamma",
    "GradientTimesInput",
    "Part",
    "Preset",
    "Pruning",
    "Rule",
    "RuleBook",
    "WSquare",
    "ZBox",
    "ZPlus",
    "lrp",
    "plrp",
    "register_operation",
    "register_policy",
    "register_preset",
    "rule_book",
]
