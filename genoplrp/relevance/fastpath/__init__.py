"""The pass without autograd, for networks that are plain chains of layers with sums between them.

Most models on DNA are: convolutions, normalisations, ReLU, pooling, residual sums, dense layers. For these the graph
that autograd keeps, its generic kernels and its copies cost as much as the layers' arithmetic. Here the model's own
code runs once on stand-ins without values, which says what is computed from what (`reading`); the operations are then
done with the neighbours of each layer merged into it, with a backward pass of its own (`running`). Rules, pruning and
ledger are those of the other pass. Whatever a stand-in cannot answer for (a branch on a value, an operation that is not
known here, a hook on gradients, a tensor that the model keeps) ends the reading, and autograd takes over.
"""

from genoplrp.relevance.fastpath.running import Chains

__all__ = ["Chains"]
