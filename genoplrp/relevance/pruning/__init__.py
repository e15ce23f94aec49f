"""What is pruned: the user's choice (`policy`), its thresholds (`thresholds`), and the kernels that find them.

`thresholds` is the definition; `kernel` and `radix` are the compiled form of it, made by `compiling`;
`renormalisation` is PLRP-M; `faithful` looks for the largest share that keeps the map's faithfulness.
"""

from genoplrp.relevance.pruning.policy import Pruning, register_policy

__all__ = ["Pruning", "register_policy"]
