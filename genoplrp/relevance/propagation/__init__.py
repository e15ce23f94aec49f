"""The backward half: how relevance passes one layer.

`layer` applies a rule and the pruning to one layer; `linear_maps` are the convolutions and dense layers that it runs,
backwards too; `ledger` keeps account; `arithmetic`, `folding` and `layout` make them fast.
"""
