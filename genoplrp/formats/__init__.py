"""What others read and write: relevance files, tables, the arrays of motif discovery, tracks and sites."""

from genoplrp.formats.arrays import write_chrombpnet, write_finemo, write_modisco
from genoplrp.formats.attribution import AttributionFile
from genoplrp.formats.explained import Explained, ExplainedArrays, explained_dataset
from genoplrp.formats.registry import FORMATS, export, register_format
from genoplrp.formats.table import write_csv
from genoplrp.formats.tracks import write_bed, write_bedgraph, write_bigwig
from genoplrp.formats.writing import written, written_folder

__all__ = [
    "FORMATS",
    "AttributionFile",
    "Explained",
    "ExplainedArrays",
    "explained_dataset",
    "export",
    "register_format",
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
