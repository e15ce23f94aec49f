"""Damage to files, drawn from a seed: bytes, lines and fields of text, keys and values of tables."""

from __future__ import annotations

import copy
import random
from typing import Any

#: What a field is replaced by.
FIELDS = ["", "nan", "-1", "1e309", "x", "9" * 20, "0.5", "\x00", "é", "inf", "[]", "+"]

#: What a value in JSON or TOML is replaced by.
VALUES: list[Any] = [True, 0, -1, 3.5, 1e308, "", "x", [], {}, [1, 2], {"a": 1}, ["x"], "nan"]


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip a bit, cut, repeat, insert or zero some bytes."""
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 3])):
        if not out:
            break
        begin = rng.randrange(len(out))
        end = min(len(out), begin + rng.randrange(1, 64))
        kind = rng.randrange(6)
        if kind == 0:
            out[begin] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[begin:]
        elif kind == 2:
            del out[begin:end]
        elif kind == 3:
            out[begin:begin] = out[begin:end]
        elif kind == 4:
            out[begin:begin] = rng.randbytes(rng.randrange(1, 8))
        else:
            out[begin:end] = bytes(end - begin)
    return bytes(out)


def damaged_text(content: bytes, rng: random.Random) -> bytes:
    """Drop, repeat, swap or replace lines, and drop, add or replace fields."""
    lines = content.decode().split("\n")
    for _ in range(rng.choice([1, 1, 2])):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(7)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            lines[at] = rng.choice(FIELDS)
        else:
            separator = "\t" if "\t" in lines[at] else " "
            fields = lines[at].split(separator)
            place = rng.randrange(len(fields))
            fields[place : place + (kind != 4)] = [] if kind == 5 else [rng.choice(FIELDS)]
            lines[at] = separator.join(fields)
    return "\n".join(lines).encode()


def damaged_table(table: Any, rng: random.Random) -> Any:
    """Drop a key (or an entry) anywhere in a table, or replace its value."""
    table = copy.deepcopy(table)
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in (
            list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        ):
            places.append((node, key))
            visit(node[key])

    visit(table)
    node, key = rng.choice(places)
    if rng.random() < 0.35:
        del node[key]
    else:
        node[key] = rng.choice(VALUES)
    return table
