"""The backward half: how relevance passes one layer.

`layer` hands relevance back by the layer's rule, `renormalisation` does so over the kept inputs alone (PLRP-M), and
`backward` puts both into the graph, prunes, and enters them in the `ledger`. `linear_maps` are the convolutions and
dense layers, forwards and backwards; `arithmetic`, `folding` and `layout` make them fast.
"""
