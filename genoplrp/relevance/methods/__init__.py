"""Other explanations on the same engine: gradients, DeepLIFT, consensus, and the windows that drive a filter.

`differences` and `difference_operations` are what DeepLIFT puts in the place of the rules; `agreement` is the
arithmetic of the consensus.
"""
