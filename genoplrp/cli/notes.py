"""What the library warns of, as one plain line each on stderr."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def notes_shown() -> Iterator[None]:
    """Inside, a UserWarning is a line that begins with ``Note:``; the same one is shown once."""
    with warnings.catch_warnings():
        warnings.simplefilter("once", UserWarning)
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if category is UserWarning:
                click.echo(f"Note: {message}", err=True)
            else:
                shown(message, category, *rest, **more)

        warnings.showwarning = show
        yield
