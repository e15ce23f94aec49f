"""The options of every command that loads a model as `genoplrp.scan.load_any_model` does; no command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoplrp.cli.given import PATH, with_options

if TYPE_CHECKING:
    from genoplrp.pipeline.subject import Subject


LOADING = ("state_dict", "trust_pickle", "keras_objects", "layout")
"""Names of the options; they are keywords of `genoplrp.scan.load_any_model`."""

MODEL_OPTIONS = [
    click.option("--state-dict", type=PATH, help="Weights for a model given as module:callable."),
    click.option(
        "--trust-pickle",
        is_flag=True,
        help="Load a pickled module or a Keras file with code, which can execute anything.",
    ),
    click.option("--keras-objects", help="Python file or module with the custom layers of a Keras file."),
    click.option(
        "--layout",
        type=click.Choice(["NCL", "NLC", "N1CL", "N1LC", "NC1L", "NCL1", "NLC1"]),
        help="Order of axes that the model takes, e.g. NLC for (N, L, 4).  [default: detected]",
    ),
]


model_options = with_options(MODEL_OPTIONS)


def load_subject(model: Path, options: dict[str, Any], length: int) -> Subject:
    """Load whatever model a user names, for sequences of a length (bp).

    Raises
    ------
    InputError
        If it cannot be loaded, or does not take such sequences.
    """
    from genoplrp.pipeline.subject import Subject
    from genoplrp.scan import describe_output, load_any_model
    from genoplrp.scan.keras_files import is_keras
    from genoplrp.training import load_model

    if model.is_dir() and not is_keras(model) and options["state_dict"] is options["layout"] is None:
        return Subject.of(load_model(model))
    loaded = load_any_model(model, **{name: options[name] for name in LOADING})
    if loaded.length in (None, length):
        describe_output(loaded.model, length)
    return Subject(loaded.model, Path(loaded.source).name, loaded.length, loaded.tasks, loaded.outputs)
