"""Which function shows a result in a notebook, by the result's class: so that results need not know the pictures."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

Renderer = Callable[[Any], str]

_RENDERERS: dict[str, str | Renderer] = {
    "genoplrp.relevance.explanation.Explanation": "genoplrp.plotting.notebook:explanation_html",
    "genoplrp.synthetic.dataset.Dataset": "genoplrp.plotting.notebook:dataset_html",
}


def register_thumbnail(kind: type, renderer: Renderer) -> None:
    """Say how the results of a class (and of its subclasses) show themselves in a notebook.

    Parameters
    ----------
    kind
        A class whose ``_repr_html_`` asks `thumbnail`, as `Explanation` and `Dataset` do.
    renderer
        Function from a result to HTML.

    Examples
    --------
    >>> class Result:
    ...     def _repr_html_(self):
    ...         return thumbnail(self)
    >>> register_thumbnail(Result, lambda result: "<b>a result</b>")
    >>> Result()._repr_html_()
    '<b>a result</b>'
    """
    _RENDERERS[_name(kind)] = renderer


def thumbnail(result: object) -> str | None:
    """Return a result as HTML; None (the notebook then shows the plain text) where nothing here can draw it."""
    found = next(
        (_RENDERERS[name] for kind in type(result).__mro__ if (name := _name(kind)) in _RENDERERS), None
    )
    if isinstance(found, str):
        module, function = found.split(":")
        try:
            found = getattr(import_module(module), function)
        except ImportError:
            return None
    return None if found is None else found(result)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
