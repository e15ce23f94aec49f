"""The engine: layer-wise relevance propagation with pruning, on the user's own model as it is.

Where to look: a rule's formula in `rules`, and how a layer applies it in `propagation.layer`; what is pruned in
`pruning`; what an operation does with relevance (pooling, activations, attention) in `tracing.operations`, and how the
model is read in `tracing`; plain chains of layers once more, without autograd, in `fastpath`; consensus, DeepLIFT,
conditional relevance in `methods`; the object that users hold in `explainer`.
"""

from genoplrp.relevance.axes import LAYOUTS, adapt_model
from genoplrp.relevance.contrast import contrast
from genoplrp.relevance.coverage import coverage
from genoplrp.relevance.explainer import SWEEP, Explainer, Target
from genoplrp.relevance.explanation import Conservation, Explanation
from genoplrp.relevance.functional import lrp, plrp
from genoplrp.relevance.methods.conditional import (
    ChannelRelevance,
    ConditionalRelevance,
    channel_relevance,
    conditional_relevance,
)
from genoplrp.relevance.methods.consensus import consensus
from genoplrp.relevance.methods.deeplift import DeepLift
from genoplrp.relevance.methods.faithful import most_pruned
from genoplrp.relevance.methods.filter_windows import FilterWindows, filter_windows
from genoplrp.relevance.methods.gradients import GradientTimesInput
from genoplrp.relevance.methods.invariance import Invariance, measure_invariance
from genoplrp.relevance.methods.rule_choice import RuleChoice, choose_rules
from genoplrp.relevance.methods.views import View, consensus_views
from genoplrp.relevance.presets import PRESETS, Preset, RuleBook, Rules, register_preset, rule_book
from genoplrp.relevance.pruning.policy import Pruning, register_policy
from genoplrp.relevance.rules import AlphaBeta, Blend, Epsilon, Flat, Gamma, Part, Rule, WSquare, ZBox, ZPlus
from genoplrp.relevance.tracing.registry import register_operation

__all__ = [
    "LAYOUTS",
    "PRESETS",
    "SWEEP",
    "AlphaBeta",
    "Blend",
    "ChannelRelevance",
    "ConditionalRelevance",
    "Conservation",
    "DeepLift",
    "Epsilon",
    "Explainer",
    "Explanation",
    "FilterWindows",
    "Flat",
    "Gamma",
    "GradientTimesInput",
    "Invariance",
    "Part",
    "Preset",
    "Pruning",
    "Rule",
    "RuleBook",
    "RuleChoice",
    "Rules",
    "Target",
    "View",
    "WSquare",
    "ZBox",
    "ZPlus",
    "adapt_model",
    "channel_relevance",
    "choose_rules",
    "conditional_relevance",
    "consensus",
    "consensus_views",
    "contrast",
    "coverage",
    "filter_windows",
    "lrp",
    "measure_invariance",
    "most_pruned",
    "plrp",
    "register_operation",
    "register_policy",
    "register_preset",
    "rule_book",
]
