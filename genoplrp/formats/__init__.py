"""What others read and write: relevance files, tables, the arrays of motif discovery, tracks and sites."""

from genoplrp.formats.arrays import write_chrombpnet, write_finemo, write_modisco
from genoplrp.formats.attribution import AttributionFile
from genoplrp.formats.explained import Explained, ExplainedArrays, explained_dataset
from genoplrp.formats.table import write_csv
from genoplrp.formats.tracks import write_bed, write_bedgraph, write_bigwig
from genoplrp.formats.writing import written, written_folder

__all__ = [
    "AttributionFile",
    "Explained",
    "ExplainedArrays",
    "explained_dataset",
    "write_bed",
    "write_bedgraph",
    "write_bigwig",
    "write_chrombpnet",
    "write_csv",
    "write_finemo",
    "write_modisco",
    "written",
    "written_folder",
]
