"""The DNA alphabet and its byte tables: letters to base numbers and complements; no arrays of sequences."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import UInt8

#: Channel order of every one-hot array in the package.
ALPHABET: Final = "ACGT"

#: Base number of a position that holds no single base (N and the other IUPAC ambiguity codes).
UNKNOWN: Final = 4

#: Marks a byte that is not a nucleotide letter in :data:`BYTE_TO_CODE`.
INVALID: Final = 255

#: IUPAC ambiguity codes and the bases each stands for.
IUPAC: Final[dict[str, str]] = {
    "A": "A",
    "C": "C",
    "G": "G",
    "T": "T",
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "W": "AT",
    "K": "GT",
    "M": "AC",
    "B": "CGT",
    "D": "AGT",
    "H": "ACT",
    "V": "ACG",
    "N": "ACGT",
}

_COMPLEMENT_FROM: Final = "ACGTURYSWKMBDHVNacgturyswkmbdhvn"
_COMPLEMENT_TO: Final = "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn"

#: ``str.translate`` table of the complement; keeps case and maps every IUPAC code to its complement.
COMPLEMENT: Final = str.maketrans(_COMPLEMENT_FROM, _COMPLEMENT_TO)


def _byte_to_code() -> UInt8[np.ndarray, " letters"]:
    table = np.full(256, INVALID, dtype=np.uint8)
    for letter in IUPAC:
        code = ALPHABET.find(letter) if letter in ALPHABET else UNKNOWN
        table[ord(letter)] = table[ord(letter.lower())] = code
    table[ord("U")] = table[ord("u")] = ALPHABET.index("T")
    table.flags.writeable = False
    return table


#: Base number (0 to 3 in the order of :data:`ALPHABET`, 4 = unknown, 255 = no nucleotide) of every byte.
BYTE_TO_CODE: Final = _byte_to_code()

#: Letter, as a byte, of every base number; the inverse of :data:`BYTE_TO_CODE`.
CODE_TO_BYTE: Final = np.frombuffer((ALPHABET + "N").encode(), dtype=np.uint8)
