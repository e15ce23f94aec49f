"""DNA as arrays: letters to base numbers to one-hot and back, and the check at the door; no files.

One-hot arrays are (N, 4, L) with the channel order A C G T. N and the other IUPAC ambiguity codes become a
zero column, lower case (soft-masked) letters read as upper case, and U reads as T.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from jaxtyping import Num, UInt8

from genoplrp.errors import InputError
from genoplrp.sequence.alphabet import ALPHABET, BYTE_TO_CODE, CODE_TO_BYTE, COMPLEMENT, INVALID, UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor

#: Bases that are worked on at a time.
_PIECE = 1 << 16
#: Positions of arrays that are checked at a time.
_CHECKED_AT_A_TIME = 1 << 20

#: Base numbers of letters, as a table for ``bytes.translate``, which is three times faster than indexing.
_CODE_OF_LETTER = BYTE_TO_CODE.tobytes()

#: Letters of base numbers, as a table for ``bytes.translate``; whatever is no base is N.
_LETTER_OF_CODE = CODE_TO_BYTE.tobytes().ljust(256, b"N")

_Array = TypeVar("_Array")


def one_hot_encode(
    sequences: str | Sequence[str], dtype: np.typing.DTypeLike = np.float32
) -> Num[np.ndarray, "n 4 length"]:
    """Encode DNA as one-hot.

    Parameters
    ----------
    sequences : str or sequence of str
        One sequence, or several of equal length. A, C, G, T in either case; U reads as T; N and the other
        IUPAC ambiguity codes become a zero column.
    dtype : dtype, default float32
        Type of the result.

    Returns
    -------
    array, (N, 4, L)
        Channel order A C G T. One sequence gives N = 1.

    Raises
    ------
    InputError
        If there is no sequence, lengths differ, or a letter is not a nucleotide code.

    Examples
    --------
    >>> one_hot_encode("ACn")[0]
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    many, length = _checked(sequences)
    one_hot = np.empty((len(many), len(ALPHABET), length), dtype=dtype)
    for rows, codes in _pieces(many, length):
        _write_one_hot(codes, one_hot[rows])
    return one_hot


def codes_to_one_hot(
    codes: UInt8[np.ndarray, "n length"], dtype: np.typing.DTypeLike = np.float32
) -> Num[np.ndarray, "n 4 length"]:
    """Turn base numbers (0 to 3; anything else is a zero column) into one-hot.

    Examples
    --------
    >>> codes_to_one_hot(np.array([[3, 4]], dtype=np.uint8), np.int8)[0].tolist()
    [[0, 0], [0, 0], [0, 0], [1, 0]]
    """
    n, length = codes.shape
    one_hot = np.empty((n, len(ALPHABET), length), dtype=dtype)
    for rows in _row_slices(n, length):
        _write_one_hot(codes[rows], one_hot[rows])
    return one_hot


def one_hot_decode(X: np.ndarray | Tensor) -> list[str]:
    """Decode one-hot into upper-case letters; a zero column becomes N.

    Parameters
    ----------
    X : array or tensor, (N, 4, L) or (4, L)
        One-hot DNA, channel order A C G T.

    Returns
    -------
    list of str
        N sequences of L letters.

    Raises
    ------
    InputError
        If ``X`` is not one-hot.

    Examples
    --------
    >>> one_hot_decode(one_hot_encode(["acgtR", "TTTTT"]))
    ['ACGTN', 'TTTTT']
    """
    if getattr(X, "ndim", None) == 2 and X.shape[0] == len(ALPHABET):
        X = X[None]
    check_one_hot(X)
    array = X if isinstance(X, np.ndarray) else X.detach().cpu().numpy()
    return decode_codes(one_hot_to_codes(array))


def one_hot_to_codes(X: Num[np.ndarray, "n 4 length"]) -> UInt8[np.ndarray, "n length"]:
    """Turn one-hot into base numbers, a zero column into 4; the input is not checked.

    Examples
    --------
    >>> one_hot_to_codes(one_hot_encode("TNA")).tolist()
    [[3, 4, 0]]
    """
    weights = (np.arange(len(ALPHABET)) - UNKNOWN).astype(np.int8)
    codes = np.full((X.shape[0], X.shape[2]), UNKNOWN, dtype=np.int8)
    for base, weight in enumerate(weights):
        codes += X[:, base].astype(np.int8) * weight
    return codes.view(np.uint8)


def encode_codes(sequences: str | Sequence[str]) -> UInt8[np.ndarray, "n length"]:
    """Turn letters into base numbers: A 0, C 1, G 2, T 3, any ambiguity code 4.

    Parameters
    ----------
    sequences : str or sequence of str
        One sequence, or several of equal length.

    Returns
    -------
    array, (N, L), uint8
        Base numbers.

    Raises
    ------
    InputError
        If there is no sequence, lengths differ, or a letter is not a nucleotide code.

    Examples
    --------
    >>> encode_codes(["ACGT", "nnTT"]).tolist()
    [[0, 1, 2, 3], [4, 4, 3, 3]]
    """
    many, length = _checked(sequences)
    codes = np.empty((len(many), length), dtype=np.uint8)
    for rows, piece in _pieces(many, length):
        codes[rows] = piece
    return codes


def encode_padded(sequences: Sequence[str]) -> UInt8[np.ndarray, "n length"]:
    """Turn letters into base numbers, as `encode_codes`, for sequences of any lengths: shorter ones end in 4.

    Parameters
    ----------
    sequences : sequence of str
        N sequences.

    Returns
    -------
    array, (N, L), uint8
        Base numbers; L is the longest sequence's length.

    Raises
    ------
    InputError
        If there is no sequence, or a letter is not a nucleotide code.

    Examples
    --------
    >>> encode_padded(["ACGT", "TT"]).tolist()
    [[0, 1, 2, 3], [3, 3, 4, 4]]
    """
    longest = max(map(len, sequences), default=0)
    return encode_codes([sequence.ljust(longest, "N") for sequence in sequences])


def decode_codes(codes: UInt8[np.ndarray, "n length"]) -> list[str]:
    """Turn base numbers into upper-case letters, anything above 3 into N.

    Examples
    --------
    >>> decode_codes(np.array([[0, 1, 4]], dtype=np.uint8))
    ['ACN']
    """
    n, length = codes.shape
    text = np.ascontiguousarray(codes, dtype=np.uint8).tobytes().translate(_LETTER_OF_CODE).decode("ascii")
    return [text[i * length : (i + 1) * length] for i in range(n)]


@overload
def reverse_complement(sequences: str) -> str: ...
@overload
def reverse_complement(sequences: list[str]) -> list[str]: ...
@overload
def reverse_complement(sequences: _Array) -> _Array: ...
def reverse_complement(sequences: Any) -> Any:
    """Return the reverse complement of letters or arrays, as the same type.

    Parameters
    ----------
    sequences : str, list of str, or array (..., 4, L)
        Letters keep their case and every IUPAC code gets its complement. Arrays and tensors (one-hot,
        relevance, PWMs) are flipped along the channels and along the positions.

    Returns
    -------
    The same kind
        A copy; the input is not changed.

    Raises
    ------
    InputError
        If a letter is not a nucleotide code, or the second to last axis of an array is not 4.

    Examples
    --------
    >>> reverse_complement("AACGn")
    'nCGTT'
    """
    if isinstance(sequences, str):
        return _complement_letters(sequences)
    if isinstance(sequences, (list, tuple)):
        return [_complement_letters(sequence) for sequence in sequences]
    shape = tuple(getattr(sequences, "shape", ()))
    if len(shape) < 2 or shape[-2] != len(ALPHABET):
        raise InputError(
            f"Cannot take the reverse complement of {_kind(sequences)}: "
            "expected letters or an array (..., 4, L) with the channels A C G T on the second to last axis."
        )
    if isinstance(sequences, np.ndarray):
        return np.ascontiguousarray(sequences[..., ::-1, ::-1])
    return sequences.flip((-2, -1))


def check_one_hot(X: np.ndarray | Tensor, *, name: str = "X", length: int | None = None) -> None:
    """Raise unless ``X`` is one-hot DNA of shape (N, 4, L); works on numpy arrays and torch tensors.

    Parameters
    ----------
    X : array or tensor
        What to check. Each column holds a single 1, or only zeros (unknown base).
    name : str, default "X"
        What the message calls it.
    length : int, optional
        The number of positions L that is needed.

    Raises
    ------
    InputError
        If it is no array, has a wrong shape (axes swapped to (N, L, 4) are recognised), a type that holds no
        numbers, NaN or infinite values, values other than 0 and 1, or columns with more than one 1.

    Examples
    --------
    >>> check_one_hot(one_hot_encode("ACGT"), length=4)
    >>> check_one_hot(np.zeros((2, 200, 4)))
    Traceback (most recent call last):
    ...
    genoplrp.errors.InputError: X has the shape (2, 200, 4), which looks like (N, L, 4); expected (N, 4, L): \
swap the axes with X.transpose(0, 2, 1).
    """
    if not (hasattr(X, "shape") and hasattr(X, "dtype")):
        raise InputError(
            f"{name} is {_kind(X)}; expected an array (N, 4, L): encode letters with one_hot_encode."
        )
    _check_shape(X, name, length)
    if _holds_no_numbers(X):
        raise InputError(
            f"{name} has the type {X.dtype}; expected numbers (float32), as one_hot_encode gives them; "
            f"letters are encoded with one_hot_encode."
        )
    # What is wrong takes as much memory as the array: a part at a time.
    rows = max(1, _CHECKED_AT_A_TIME // X.shape[2])
    for first in range(0, X.shape[0], rows):
        _check_values(X[first : first + rows], name, first)


def _checked(sequences: str | Sequence[str]) -> tuple[list[str], int]:
    """Sequences as a list, and their common length."""
    many = [sequences] if isinstance(sequences, str) else list(sequences)
    if not many:
        raise InputError("No sequences: an empty list cannot be encoded; give at least one sequence.")
    # Types and lengths as sets: a loop over the sequences would cost as much as encoding them.
    if not all(issubclass(kind, str) for kind in set(map(type, many))):
        odd = next(index for index, sequence in enumerate(many) if not isinstance(sequence, str))
        raise InputError(f"Sequence {odd} is {type(many[odd]).__name__}, not str: give DNA as strings.")
    length = len(many[0])
    if length == 0:
        raise InputError("Sequence 0 is empty; every sequence needs at least one base.")
    if len(set(map(len, many))) > 1:
        odd = next(index for index, sequence in enumerate(many) if len(sequence) != length)
        raise InputError(
            f"Sequences differ in length: sequence 0 has {length} bases, sequence {odd} has "
            f"{len(many[odd])}; cut or pad them (with N) to one length."
        )
    return many, length


def _pieces(many: list[str], length: int) -> Iterator[tuple[slice, UInt8[np.ndarray, "rows length"]]]:
    """Base numbers of a few sequences at a time, so that the letters in between stay in the cache."""
    for rows in _row_slices(len(many), length):
        joined = "".join(many[rows])
        # 'replace' turns any letter outside Latin-1 into '?', which the table then refuses.
        letters = joined.encode("latin-1", "replace")
        codes = np.frombuffer(letters.translate(_CODE_OF_LETTER), dtype=np.uint8)
        if codes.max() == INVALID:
            at = int(np.argmax(codes == INVALID))
            raise InputError(
                f"Sequence {rows.start + at // length} holds {joined[at]!r} at position {at % length} (0-based), which "
                "is not a nucleotide code; allowed in either case: A C G T, U, N and the IUPAC codes RYSWKMBDHV."
            )
        yield rows, codes.reshape(-1, length)


def _row_slices(n: int, length: int) -> Iterator[slice]:
    rows = max(1, _PIECE // max(length, 1))
    return (slice(first, min(first + rows, n)) for first in range(0, n, rows))


def _write_one_hot(codes: UInt8[np.ndarray, "n length"], one_hot: Num[np.ndarray, "n 4 length"]) -> None:
    for base in range(len(ALPHABET)):
        np.equal(codes, base, out=one_hot[:, base], casting="unsafe")


def _check_shape(X: np.ndarray | Tensor, name: str, length: int | None) -> None:
    shape = tuple(int(size) for size in X.shape)
    swap = f"{name}.transpose(0, 2, 1)" if isinstance(X, np.ndarray) else f"{name}.transpose(1, 2)"
    problem = f"{name} has the shape {shape}"
    if len(shape) == 2 and len(ALPHABET) in shape:
        way = f"{name}[None]" if shape[0] == len(ALPHABET) else f"{name}.T[None]"
        raise InputError(f"{problem}, a single sequence; expected (N, 4, L): add the first axis with {way}.")
    if len(shape) != 3:
        raise InputError(f"{problem}; expected three axes (N, 4, L): sequences, channels A C G T, positions.")
    if shape[1] != len(ALPHABET):
        if shape[2] == len(ALPHABET):
            raise InputError(
                f"{problem}, which looks like (N, L, 4); expected (N, 4, L): swap the axes with {swap}."
            )
        raise InputError(f"{problem}; expected (N, 4, L) with the four channels A C G T on the second axis.")
    if shape[0] == 0 or shape[2] == 0:
        raise InputError(f"{problem}: it is empty; give at least one sequence of at least one base.")
    if length is not None and shape[2] != length:
        raise InputError(
            f"{name} has {shape[2]} positions, {length} are needed; cut or pad (zero columns) to {length}."
        )


def _check_values(X: np.ndarray | Tensor, name: str, start: int) -> None:
    """Check the numbers of some sequences, of which the first is the ``start``-th of all."""
    wrong = ~((X == 0) | (X == 1))
    if bool(wrong.any()):
        n, channel, position = _first(wrong)
        value = X[n, channel, position]
        where = f"sequence {start + n}, channel {ALPHABET[channel]}, position {position}"
        if bool(value != value):
            raise InputError(f"{name} holds NaN at {where}; one-hot DNA has only 0 and 1.")
        raise InputError(f"{name} holds {float(value):g} at {where}; one-hot DNA has only 0 and 1.")
    crowded = X.sum(1) > 1
    if bool(crowded.any()):
        n, position = _first(crowded)
        raise InputError(
            f"{name} has more than one base at sequence {start + n}, position {position}; expected at most one."
        )


def _holds_no_numbers(X: np.ndarray | Tensor) -> bool:
    if isinstance(X, np.ndarray):
        return X.dtype.kind not in "fiub"
    return bool(X.dtype.is_complex)


def _first(wrong: np.ndarray | Tensor) -> tuple[int, ...]:
    """Index of the first true entry of an array or a tensor."""
    flat = (wrong if isinstance(wrong, np.ndarray) else wrong.cpu().numpy()).reshape(-1)
    return tuple(int(index) for index in np.unravel_index(int(flat.argmax()), tuple(wrong.shape)))


def _complement_letters(sequence: str) -> str:
    encode_codes(sequence)
    return sequence.translate(COMPLEMENT)[::-1]


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")
