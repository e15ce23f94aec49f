"""Real DNA that comes with the package, as data sets; generated data sets come from ``genoplrp.synthetic``."""

from genoplrp.datasets.splice import load_splice_junctions

__all__ = ["load_splice_junctions"]
