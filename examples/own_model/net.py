"""A network of one's own: 80 bp of DNA, one-hot (N, 4, 80), to the probabilities of no donor and of a splice donor."""

from blocks import Block
from torch import nn


class SpliceNet(nn.Module):
    """A stem, a residual block, a linear head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(4, 12, 9, padding=4)
        self.block = Block(12)
        self.head = nn.Linear(12 * 80, 2)

    def forward(self, x):
        """Return (N, 2) probabilities."""
        return self.head(self.block(self.stem(x).relu()).flatten(1)).softmax(dim=1)
