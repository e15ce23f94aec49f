"""The four letters as outlines and their colours; where a letter goes is not decided here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from genoplrp.errors import InputError

BASES = "ACGT"

# "classic" is the field's (green A, blue C, orange G, red T); "colorblind" takes Okabe and Ito's (2008) colours,
# which stay apart for protan, deutan and tritan eyes.
SCHEMES: Mapping[str, Mapping[str, str]] = {
    "classic": {"A": "#008000", "C": "#0000ff", "G": "#ffa500", "T": "#ff0000"},
    "colorblind": {"A": "#009e73", "C": "#56b4e9", "G": "#e69f00", "T": "#1a1a1a"},
}


def scheme_colors(scheme: str | Mapping[str, str]) -> dict[str, tuple[float, float, float]]:
    """Colour of each base.

    Parameters
    ----------
    scheme : str or mapping
        ``"classic"``, ``"colorblind"``, or a mapping from A, C, G and T to matplotlib colours.

    Returns
    -------
    dict
        RGB triples in 0 to 1, keyed by base.

    Raises
    ------
    InputError
        If the scheme is unknown, lacks a base, or holds something that is not a colour.

    Examples
    --------
    >>> scheme_colors("classic")["T"]
    (1.0, 0.0, 0.0)
    """
    if isinstance(scheme, str):
        if scheme not in SCHEMES:
            raise InputError(
                f"there is no colour scheme {scheme!r}; use one of {', '.join(map(repr, SCHEMES))} or a mapping"
                " from A, C, G and T to colours"
            )
        scheme = SCHEMES[scheme]
    missing = [base for base in BASES if base not in scheme]
    if missing:
        raise InputError(
            f"the colour scheme lacks {', '.join(missing)}; it needs a colour for each of A, C, G, T"
        )
    try:
        return {base: to_rgb(scheme[base]) for base in BASES}
    except ValueError as error:
        raise InputError(f"the colour scheme holds something that is not a colour: {error}") from error


@lru_cache(maxsize=8)
def unit_glyph(letter: str) -> tuple[Float[np.ndarray, "vertex 2"], UInt8[np.ndarray, " vertex"]]:
    """Outline of a letter stretched to the unit square.

    Parameters
    ----------
    letter : str
        One character.

    Returns
    -------
    vertices : array, shape (V, 2)
        In [0, 1] x [0, 1], read-only.
    codes : array, shape (V,)
        Matplotlib's path codes.

    Examples
    --------
    >>> vertices, codes = unit_glyph("A")
    >>> vertices.min().item(), vertices.max().item()
    (0.0, 1.0)
    """
    # DejaVu comes with matplotlib: the same outline on every machine.
    path = TextPath((0, 0), letter, size=100, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    codes = np.asarray(path.codes, dtype=np.uint8)
    vertices = np.asarray(path.vertices, dtype=np.float64).copy()
    # A CLOSEPOLY vertex is (0, 0) by convention and no point of the outline; it is pulled onto it, so that
    # extents can be read from the vertices.
    closing = np.flatnonzero(codes == 79)
    vertices[closing] = vertices[closing - 1]
    box = path.get_extents()
    vertices = (vertices - [box.x0, box.y0]) / [box.width, box.height]
    vertices = np.clip(vertices, 0.0, 1.0) if np.abs(vertices - 0.5).max() < 0.5 + 1e-6 else vertices
    vertices.setflags(write=False)
    codes.setflags(write=False)
    return vertices, codes
