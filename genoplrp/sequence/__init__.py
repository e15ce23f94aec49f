"""DNA as arrays: alphabet and one-hot, FASTA; knows no model and no data set."""

from genoplrp.sequence.alphabet import ALPHABET, IUPAC
from genoplrp.sequence.fasta import FastaRecords, read_fasta, write_fasta
from genoplrp.sequence.genome import Genome
from genoplrp.sequence.intervals import read_regions, tile_regions
from genoplrp.sequence.onehot import (
    check_one_hot,
    codes_to_one_hot,
    decode_codes,
    encode_codes,
    encode_padded,
    one_hot_decode,
    one_hot_encode,
    one_hot_to_codes,
    reverse_complement,
)
from genoplrp.sequence.shuffle import shuffle_bases, shuffle_codes, shuffle_dinucleotides
from genoplrp.sequence.variants import VariantWindows, place_variants, read_vcf
from genoplrp.sequence.windows import Windows, place_windows

__all__ = [
    "ALPHABET",
    "IUPAC",
    "FastaRecords",
    "Genome",
    "VariantWindows",
    "Windows",
    "check_one_hot",
    "codes_to_one_hot",
    "decode_codes",
    "encode_codes",
    "encode_padded",
    "one_hot_decode",
    "one_hot_encode",
    "one_hot_to_codes",
    "place_variants",
    "place_windows",
    "read_fasta",
    "read_regions",
    "read_vcf",
    "reverse_complement",
    "shuffle_bases",
    "shuffle_codes",
    "shuffle_dinucleotides",
    "tile_regions",
    "write_fasta",
]
