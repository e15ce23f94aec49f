"""The options of every command that loads a model as `genoplrp.scan.load_any_model` does; no command."""

from __future__ import annotations

from pathlib import Path

import click

LOADING = ("state_dict", "trust_pickle", "keras_objects", "layout")
"""Names of the options; they are keywords of `genoplrp.scan.load_any_model`."""

MODEL_OPTIONS = [
    click.option(
        "--state-dict",
        type=click.Path(path_type=Path),
        help="Weights for a model given as module:callable.",
    ),
    click.option(
        "--trust-pickle",
        is_flag=True,
        help="Load a pickled module, or a Keras file with code; it can do anything.",
    ),
    click.option(
        "--keras-objects", help="Custom layers of a Keras file: a Python file or module that has them."
    ),
    click.option(
        "--layout",
        type=click.Choice(["NCL", "NLC", "N1CL", "N1LC", "NC1L", "NCL1", "NLC1"]),
        help="Order of axes that the model takes, e.g. NLC for (N, L, 4).  [default: found out]",
    ),
]
