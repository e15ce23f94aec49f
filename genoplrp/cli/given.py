"""Options that several commands check in the same way; no command."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
SPLIT = click.Choice(["train", "valid", "test", "all"])


def with_options(options: Sequence[Callable[..., Any]]) -> Callable[[F], F]:
    """Give a command several options; they arrive as keyword arguments of their own names."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def refuse_given(names: Collection[str], why: str) -> None:
    """Refuse options of the running command that were given and would do nothing.

    Raises
    ------
    InputError
        Names the option, and says why.
    """
    from genoplrp.errors import InputError

    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name in names:
            raise InputError(f"{option.opts[0]} {why}: leave it out")


def check_device(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse a device that is not here, before any work is done (the callback of ``--device``)."""
    device_that_is_here(value)
    return value


def device_that_is_here(name: str | None) -> None:
    """Refuse a device that is not here.

    Raises
    ------
    InputError
        If the name is not a device's, or the device is not there.
    """
    if name is not None:
        from genoplrp.relevance.inputs import check_device as check

        check(name)
