"""One-hot encoding and decoding in bases a second, and against tangermeme where it is installed, as a ratio.

Run: python -m benchmarks.encoding [--quick] [--number 50000] [--length 200] [--out FILE]
"""

from __future__ import annotations

import numpy as np

from benchmarks.timing import Case, describe, machine, parser, save, time_cases
from genoplrp.sequence import decode_codes, one_hot_decode, one_hot_encode, shuffle_codes


def tangermeme_case(sequences: list[str]) -> dict[str, Case]:
    """Its encoder, which takes one sequence at a time."""
    try:
        from tangermeme.utils import one_hot_encode as encode
    except ImportError as error:
        print(f"(tangermeme left out: {error})")
        return {}
    return {"tangermeme one_hot_encode": lambda: [encode(sequence) for sequence in sequences]}


def main() -> None:
    """Time encoding, decoding, the dinucleotide shuffle."""
    options = parser(__doc__ or "", "encoding.json")
    options.add_argument("--number", type=int, default=50_000)
    options.add_argument("--length", type=int, default=200)
    arguments = options.parse_args()
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (arguments.number, arguments.length), dtype=np.uint8)
    sequences = decode_codes(codes)
    X = one_hot_encode(sequences)
    cases: dict[str, Case] = {
        "one_hot_encode float32": lambda: one_hot_encode(sequences),
        "one_hot_encode int8": lambda: one_hot_encode(sequences, dtype=np.int8),
        "one_hot_decode (with its check)": lambda: one_hot_decode(X),
        "dinucleotide shuffle": lambda: shuffle_codes(codes, np.random.default_rng(0)),
        **tangermeme_case(sequences),
    }
    rounds, seconds = (5, 8) if arguments.quick else (15, 60)
    timings = time_cases(
        cases,
        "one_hot_encode float32",
        rounds=arguments.rounds or rounds,
        seconds=seconds,
        clock=arguments.clock,
    )
    bases = arguments.number * arguments.length
    for timing in timings:
        print(f"{timing.name:32s} {describe(timing)}   {bases / timing.seconds / 1e6:8.0f} million bases/s")
    print(", ".join(f"{key}: {value}" for key, value in machine().items()))
    save(arguments.out, {"machine": machine(), "bases": bases, "timings": [t._asdict() for t in timings]})


if __name__ == "__main__":
    main()
