"""What is pruned: the user's choice (`policy`), its thresholds (`thresholds`), and the kernels that find them.

`thresholds` is the definition, `prune` applies it to a tensor; `kernel` and `radix` are its compiled form, made by
`compiling`. How PLRP-M goes back once more stands in `propagation.renormalisation`, the search for the largest p that
keeps a map's faithfulness in `methods.faithful`.
"""

from genoplrp.relevance.pruning.policy import Pruning, register_policy

__all__ = ["Pruning", "register_policy"]
