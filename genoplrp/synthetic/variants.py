"""Variants of generated sequences with their true effects: an in-silico MPRA of reference and alternative."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from jaxtyping import Float, Int

from genoplrp.errors import InputError
from genoplrp.sequence import encode_padded
from genoplrp.synthetic.effects import spec_of
from genoplrp.synthetic.substitutions import effects_of_tasks
from genoplrp.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.dataset import Dataset

_BASES = "ACGT"
_CHUNK = 1024
#: Keeps the draws apart from those of the sequences.
_STREAM = 0x766172


@dataclass(frozen=True, eq=False)
class Variants:
    """Single-nucleotide variants of generated sequences.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a variant: ``variant`` (its name), ``name`` (of the sequence), ``position`` (0-based), ``ref``, ``alt``,
        ``motif`` and ``role`` of the planted instance that it lies in ("" in none), and one column ``effect.TASK`` a
        task: the score of the alternative less that of the reference, see
        :func:`genoplrp.synthetic.substitutions.substitution_effects`.
    ref, alt : list of str
        The two sequences of each variant.
    tasks : list of str
        Names of the tasks.
    lengths : dict of str to int
        Length of each sequence that has a variant, in bp.
    """

    table: pd.DataFrame
    ref: list[str]
    alt: list[str]
    tasks: list[str]
    lengths: dict[str, int]

    def __len__(self) -> int:
        return len(self.table)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``variants.tsv``, ``variants.vcf``, ``variants.ref.fa`` and ``variants.alt.fa`` into a folder.

        In the VCF file the sequences are the chromosomes; positions count from 1, and the effects stand in INFO.

        Raises
        ------
        InputError
            If there is no such folder.
        """
        target = Path(folder)
        if not target.is_dir():
            raise InputError(f"The folder {target} does not exist; make it first.")
        names = self.table["variant"].tolist()
        for allele, sequences in (("ref", self.ref), ("alt", self.alt)):
            text = "".join(f">{name}\n{letters}\n" for name, letters in zip(names, sequences, strict=True))
            _write(target / f"variants.{allele}.fa", text)
        _write(target / "variants.tsv", self.table.to_csv(sep="\t", index=False, lineterminator="\n"))
        _write(target / "variants.vcf", self._vcf())

    def _vcf(self) -> str:
        contigs = "".join(f"##contig=<ID={name},length={bp}>\n" for name, bp in self.lengths.items())
        rows = []
        for row in self.table.to_dict("records"):
            effects = ",".join(f"{row[f'effect.{task}']:.6g}" for task in self.tasks)
            within = f";MOTIF={quote(row['motif'])};ROLE={row['role']}" if row["motif"] else ""
            cells = (row["name"], row["position"] + 1, row["variant"], row["ref"], row["alt"], ".", "PASS")
            rows.append("\t".join(map(str, cells)) + f"\tEFFECT={effects}{within}\n")
        return (
            f"##fileformat=VCFv4.3\n##source=genoplrp {__version__}\n{contigs}"
            f'##INFO=<ID=EFFECT,Number={len(self.tasks)},Type=Float,Description="True effect on the score of '
            f'{", ".join(self.tasks)}: ALT less REF">\n'
            '##INFO=<ID=MOTIF,Number=1,Type=String,Description="Motif of the planted instance">\n'
            '##INFO=<ID=ROLE,Number=1,Type=String,Description="Role of the planted instance">\n'
            "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(rows)
        )


def draw_variants(data: Dataset, k: int, seed: int = 0, *, progress: bool = False) -> Variants:
    """Draw single-nucleotide variants of generated sequences, half of them inside planted instances.

    Parameters
    ----------
    data : Dataset
        A generated data set.
    k : int
        Number of variants, shared out evenly among the sequences; none occurs twice.
    seed : int, default 0
        The same data, number and seed give the same variants.
    progress : bool, default False
        Show a progress bar on stderr.

    Returns
    -------
    Variants
        In the order of the sequences. Where a sequence has too few bases inside or outside instances, the others make
        up for it.

    Raises
    ------
    InputError
        If the data set has no specification, or not so many variants.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> variants = draw_variants(simulate("not", n=20, seed=1), 40)
    >>> len(variants), int((variants.table["motif"] != "").sum()), variants.ref[0] != variants.alt[0]
    (40, 18, True)
    """
    import pandas as pd

    spec_of(data)
    row, position, alt = _draw(data, k, seed)
    codes = encode_padded(data.sequences)
    names = np.array(data.names)
    inside = _instance_at(data)[row, position]
    table = data.instances
    columns = {
        "variant": [f"variant{i}" for i in range(k)],
        "name": names[row],
        "position": position,
        "ref": list(map(_BASES.__getitem__, codes[row, position].tolist())),
        "alt": list(map(_BASES.__getitem__, alt.tolist())),
    }
    for column in ("motif", "role"):
        texts = np.append(table[column].astype(str).to_numpy(dtype=object), "")
        columns[column] = texts[inside]
    effects = _effects(data, row, position, alt, progress)
    columns |= {f"effect.{task}": effects[:, k] for k, task in enumerate(data.tasks)}
    ref = [data.sequences[i] for i in row.tolist()]
    changed = [
        letters[:at] + _BASES[base] + letters[at + 1 :]
        for letters, at, base in zip(ref, position.tolist(), alt.tolist(), strict=True)
    ]
    lengths = {data.names[i]: len(data.sequences[i]) for i in np.unique(row).tolist()}
    return Variants(pd.DataFrame(columns), ref, changed, list(data.tasks), lengths)


def _draw(data: Dataset, k: int, seed: int) -> tuple[Int[np.ndarray, " k"], ...]:
    """Sequence, position and new base of each variant."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InputError(f"The number of variants is {k!r}; expected a whole number of at least 1.")
    codes = encode_padded(data.sequences)
    possible = 3 * (codes < 4).sum(axis=1)
    if k > possible.sum():
        raise InputError(f"{k} variants are asked for; {len(data)} sequences have {possible.sum()}.")
    many = _shares(possible, k)
    planted = _instance_at(data) >= 0
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_STREAM,))))
    found = []
    for row in np.flatnonzero(many).tolist():
        position, base = np.nonzero((np.arange(4) != codes[row][:, None]) & (codes[row] < 4)[:, None])
        order = np.argsort(rng.random(len(position)), kind="stable")
        inside = planted[row][position[order]]
        wanted = int(many[row]) // 2 + (int(many[row]) % 2 if row % 2 else 0)
        wanted = min(max(wanted, int(many[row]) - int((~inside).sum())), int(inside.sum()))
        chosen = np.concatenate([order[inside][:wanted], order[~inside][: many[row] - wanted]])
        chosen = np.sort(chosen)
        found.append((np.full(len(chosen), row), position[chosen], base[chosen]))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _shares(possible: np.ndarray, k: int) -> Int[np.ndarray, " n"]:
    """Share k variants out evenly among sequences that have so many."""
    many = np.zeros(len(possible), dtype=np.int64)
    while many.sum() < k:
        open_ = np.flatnonzero(many < possible)
        more = np.full(len(open_), (k - many.sum()) // len(open_))
        more[: (k - many.sum()) % len(open_)] += 1
        many[open_] = np.minimum(many[open_] + more, possible[open_])
    return many


def _instance_at(data: Dataset) -> Int[np.ndarray, "n length"]:
    """Row (by position) of the instance that covers each base, -1 where none does."""
    found = np.full((len(data), data.length), -1, dtype=np.int64)
    columns = (data.instances[name].tolist() for name in ("sequence", "start", "end"))
    for number, (row, start, end) in enumerate(zip(*columns, strict=True)):
        found[row, start:end] = number
    return found


def _effects(
    data: Dataset, row: np.ndarray, position: np.ndarray, alt: np.ndarray, progress: bool
) -> Float[np.ndarray, "k tasks"]:
    from tqdm.auto import tqdm

    effects = np.zeros((len(row), len(data.tasks)), dtype=np.float32)
    held = np.unique(row)
    with tqdm(total=len(held), unit="seq", desc="variants", disable=not progress) as bar:
        for first in range(0, len(held), _CHUNK):
            rows = held[first : first + _CHUNK]
            here = np.flatnonzero(np.isin(row, rows))
            found = effects_of_tasks(data.subset(rows), range(len(data.tasks)))
            effects[here] = found[np.searchsorted(rows, row[here]), :, alt[here], position[here]]
            bar.update(len(rows))
    return effects


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
