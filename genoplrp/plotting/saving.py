"""Figures to files: PNG, SVG and PDF, complete or not at all; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from genoplrp import partial
from genoplrp.errors import InputError

FORMATS = ("png", "svg", "pdf")


def check_figure_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """Check, before the work begins, that a figure can be written.

    Parameters
    ----------
    path : str or Path
        File to write; its suffix names the format.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If the format is unknown or the folder does not exist.
    OutputExistsError
        If the file exists and `overwrite` is False.

    Examples
    --------
    >>> check_figure_path("logo.png", overwrite=True).name
    'logo.png'
    """
    path = Path(path)
    if path.suffix.lower().lstrip(".") not in FORMATS:
        raise InputError(f"cannot write {path}: name a file that ends in .{', .'.join(FORMATS)}")
    partial.check_file(path, overwrite=overwrite)
    return path


def save_figure(
    figure: Figure | Sequence[Figure], path: str | Path, *, dpi: float = 150, overwrite: bool = False
) -> Path:
    """Write a figure, or the pages of a PDF, completely or not at all.

    Parameters
    ----------
    figure : Figure or sequence of Figure
        Several make a PDF with one page each.
    path : str or Path
        File to write; its suffix (.png, .svg, .pdf) names the format.
    dpi : float
        Pixels per inch of a PNG.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        As in `check_figure_path`, or if several figures are to go into a format without pages.
    OutputExistsError
        If the file exists and `overwrite` is False.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(Figure(), Path(folder) / "empty.svg").suffix
    '.svg'
    """
    path = check_figure_path(path, overwrite=overwrite)
    suffix = path.suffix.lower().lstrip(".")
    pages = [figure] if isinstance(figure, Figure) else list(figure)
    if len(pages) != 1 and suffix != "pdf":
        raise InputError(
            f"{path} holds one figure, {len(pages)} are to be written; name a .pdf for one page each"
        )
    with partial.new_file(path) as temporary:
        if suffix == "pdf":
            _write_pages(pages, temporary)
        else:
            # Without the date the same figure makes the same file.
            metadata = {"Date": None} if suffix == "svg" else None
            with mpl.rc_context({"svg.hashsalt": "genoplrp"}):  # else an SVG's ids are drawn anew each time
                pages[0].savefig(temporary, format=suffix, dpi=dpi, metadata=metadata)
    return path


def _write_pages(pages: Sequence[Figure], path: Path) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(path, metadata={"CreationDate": None}) as pdf:
        for page in pages:
            pdf.savefig(page)
