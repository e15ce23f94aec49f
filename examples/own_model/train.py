"""Train net.py on splice donors against windows beside them.

Usage: python train.py genome.fa donors.bed weights.pt
"""

import sys

import torch
from net import SpliceNet

from genoplrp.sequence import Genome, codes_to_one_hot, place_windows, read_regions

LENGTH = 80


def windows(fasta, bed, shift=0):
    """One-hot windows (N, 4, 80) around the regions, or so many bp beside them, on their strand."""
    regions = read_regions(bed)
    regions = regions.assign(start=regions["start"] + shift, end=regions["end"] + shift)
    placed = place_windows(regions, Genome(fasta), LENGTH)
    return torch.from_numpy(codes_to_one_hot(placed.codes(0, len(placed))))


def train(fasta, bed, steps=60):
    """Return the trained network, and its accuracy on what it was trained on."""
    torch.manual_seed(0)
    parts = [windows(fasta, bed, shift) for shift in (0, 17, -23)]
    X = torch.cat(parts)
    y = torch.tensor([1] * len(parts[0]) + [0] * (len(X) - len(parts[0])))
    model = SpliceNet()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.nll_loss(model(X).clamp(min=1e-6).log(), y)
        loss.backward()
        optimizer.step()
    model.eval()
    return model, float((model(X).argmax(1) == y).double().mean())


if __name__ == "__main__":
    trained, accuracy = train(sys.argv[1], sys.argv[2])
    torch.save(trained.state_dict(), sys.argv[3])
    print(f"accuracy {accuracy:.3f}; wrote {sys.argv[3]}")
