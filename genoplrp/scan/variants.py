"""What variants change: predictions and relevance of the alternative against the reference; nothing is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.formats.writing import written
from genoplrp.scan.store import ScanStore

EFFECTS = "effects.tsv"


def variant_effects(store: ScanStore, *, rows: int = 1024) -> pd.DataFrame:
    """Compare the two alleles of each variant.

    Parameters
    ----------
    store : ScanStore
        A scan of variants.
    rows : int
        Variants held in memory at once.

    Returns
    -------
    DataFrame
        ``chrom, position`` (0-based), ``name, ref, alt`` (of variants in regions also ``peak, strand``),
        ``prediction_ref, prediction_alt, effect`` (alternative minus reference, in units of the explained output); for
        a model that ends in a sigmoid or softmax instead ``logit_ref, logit_alt, effect_logit, probability_ref,
        probability_alt, effect_probability``; ``relevance_gained`` and ``relevance_lost`` (sums of the positive and of
        the negative differences per position), ``changed`` (positions whose relevance differs), ``largest_at`` (where
        the largest difference lies, in bp to the right of the variant on the genome).

    Raises
    ------
    InputError
        If the store holds no variants.
    """
    table = variant_table(store)
    parts = []
    for start in range(0, len(table), rows):
        stop = min(start + rows, len(table))
        difference = relevance_difference(store, start, stop)
        largest = np.abs(difference).argmax(axis=1) - _offsets(store)[start:stop]
        parts.append(
            pd.DataFrame(
                {
                    "relevance_gained": np.maximum(difference, 0).sum(axis=1),
                    "relevance_lost": np.minimum(difference, 0).sum(axis=1),
                    "changed": (difference != 0).sum(axis=1),
                    "largest_at": np.where((difference != 0).any(axis=1), largest, 0),
                }
            )
        )
    columns = {"prediction": store.prediction}
    if store.units == "logit":
        columns = {"logit": store.prediction, str(store.manifest["returned"]): store.output}
    for name, values in columns.items():
        table[f"{name}_ref"], table[f"{name}_alt"] = values[0::2], values[1::2]
        effect = "effect" if name == "prediction" else f"effect_{name}"
        table[effect] = values[1::2] - values[0::2]
    return pd.concat([table, pd.concat(parts, ignore_index=True)], axis=1)


def relevance_difference(
    store: ScanStore, start: int = 0, stop: int | None = None
) -> Float[np.ndarray, "v length"]:
    """Relevance of the alternative minus the reference, along the genome in the coordinates of the reference window.

    Bases that both alleles share stand against each other, also behind an insertion or deletion. Relevance of inserted
    bases is added at the last base of the reference allele that has a partner; where bases leave or enter the window at
    its right end, the missing one counts 0.

    Parameters
    ----------
    store : ScanStore
        A scan of variants.
    start, stop : int
        Which variants.

    Returns
    -------
    array, (V, L)
    """
    table = variant_table(store).iloc[start:stop]
    values = store.per_nucleotide(slice(2 * start, None if stop is None else 2 * stop)).astype(np.float64)
    strands = store.regions["strand"].iloc[0::2].iloc[start:stop].to_numpy()
    turned = np.repeat(strands == "-", 2)
    values[turned] = values[turned, ::-1]
    reference, alternative = values[0::2], values[1::2]
    difference = -reference
    length, offsets = store.length, _offsets(store)[start:stop]
    for i, (centre, ref, alt) in enumerate(zip(offsets, table["ref"], table["alt"], strict=True)):
        shared = min(len(ref), len(alt))
        difference[i, : centre + shared] += alternative[i, : centre + shared]
        difference[i, centre + shared - 1] += alternative[i, centre + shared : centre + len(alt)].sum()
        behind, behind_alt = centre + len(ref), centre + len(alt)
        common = length - max(behind, behind_alt)
        difference[i, behind : behind + common] += alternative[i, behind_alt : behind_alt + common]
    return np.asarray(difference)


def variant_table(store: ScanStore) -> pd.DataFrame:
    """The variants of a store, a row each.

    Raises
    ------
    InputError
        If the store holds no variants.
    """
    regions: Any = store.regions
    if "allele" not in regions:
        raise InputError(f"{store.path} is a scan of regions, not of variants: scan with --vcf")
    columns = ["chrom", "position", "name", "ref", "alt"]
    columns += ["peak", "strand"] if "peak" in regions else []
    return pd.DataFrame(regions.loc[regions["allele"] == "ref", columns].reset_index(drop=True))


def _offsets(store: ScanStore) -> np.ndarray:
    """(V,) where each variant's first base lies in its window, along the genome."""
    regions: Any = store.regions.iloc[0::2]
    return np.asarray(regions["position"] - regions["start"], dtype=np.int64)


def write_effects(folder: Path) -> Path:
    """Write `variant_effects` as ``effects.tsv`` into the store's folder."""
    with written(folder / EFFECTS, overwrite=True) as part:
        variant_effects(ScanStore(folder)).to_csv(part, sep="\t", index=False, lineterminator="\n")
    return folder / EFFECTS
