"""Other explanations on the same engine: gradients, DeepLIFT, consensus, p by faithfulness, windows of filters.

`differences` and `difference_operations` are what DeepLIFT puts in the place of the rules; `agreement` is the
arithmetic of the consensus.
"""
