"""The options of every command that loads a model as `genoplrp.scan.load_any_model` does; no command."""

from __future__ import annotations

from pathlib import Path

import click

MODEL_OPTIONS = [
    click.option(
        "--state-dict",
        type=click.Path(path_type=Path),
        help="Weights for a model given as module:callable.",
    ),
    click.option("--trust-pickle", is_flag=True, help="Load a pickled module; it can run anything it likes."),
]
