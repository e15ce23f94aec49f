"""The entry point: finds a command's module when it is called, and turns errors into one message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from genoplrp.cli.given import PATH
from genoplrp.cli.notes import notes_shown
from genoplrp.errors import GenoplrpError, InputError
from genoplrp.version import __version__

# name -> (module, one line for the list of commands); the module is imported only when its command runs.
COMMANDS = {
    "quickstart": (
        "genoplrp.cli.quickstart",
        "Run the whole workflow once: simulate, train, explain, score, draw.",
    ),
    "simulate": ("genoplrp.cli.simulate", "Simulate a benchmark data set with planted motifs."),
    "train": ("genoplrp.cli.train", "Train a convolutional network on a data set."),
    "explain": ("genoplrp.cli.explain", "Explain a model's predictions with LRP or PLRP."),
    "merge": ("genoplrp.cli.merge", "Merge the shards of a scan."),
    "export": ("genoplrp.cli.export", "Write relevance for MoDISco, finemo and genome browsers."),
    "motifs": ("genoplrp.cli.motifs", "Call sites, cluster them into motifs and name these."),
    "flow": ("genoplrp.cli.flow", "Trace relevance from sites through the layers to the output."),
    "interactions": ("genoplrp.cli.interactions", "Find out which sites work together."),
    "score": ("genoplrp.cli.score", "Score relevance against planted motifs."),
    "benchmark": ("genoplrp.cli.benchmark", "Compare explanation methods on planted motifs."),
    "logo": ("genoplrp.cli.logo", "Draw relevance as sequence logos."),
    "report": ("genoplrp.cli.report", "Make an HTML report: logos in the browser, with a slider for p."),
}


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the workflow, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return its ``command``."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example:  genoplrp quickstart --out quickstart",
)
@click.version_option(__version__, prog_name="genoplrp")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--load",
    "own_code",
    type=PATH,
    multiple=True,
    help="First run this Python file, which registers your own metrics, presets or operations.",
)
@click.pass_context
def cli(ctx: click.Context, debug: bool, own_code: tuple[Path, ...]) -> None:
    """Explain the predictions of convolutional networks on DNA, and check the explanations."""
    ctx.obj = {"debug": debug}
    if own_code:
        from genoplrp.scan.user_code import from_file

        for path in own_code:
            from_file(path)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; exit code 2 on bad input, 1 on failure, one readable message, no traceback."""
    _calm_bars()
    arguments = sys.argv[1:] if args is None else args
    debug = "--debug" in arguments
    # --debug may stand anywhere on the line, also behind the command's name.
    arguments = (["--debug"] if debug else []) + [a for a in arguments if a != "--debug"]
    try:
        with notes_shown():
            code = cli.main(args=arguments, prog_name="genoplrp", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Abort:
        click.echo(
            "Interrupted. Finished files are complete, and no file is half-written. Run the same command again to "
            "continue a genome scan, a benchmark or a quickstart; train continues with --resume.",
            err=True,
        )
        sys.exit(130)
    except GenoplrpError as error:
        if debug:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)
    except Exception as error:  # the last door: a reader gets one message, a developer --debug
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            click.echo(
                f"Error: the disk is full ({error.strerror}). Finished files are complete, and no file is "
                "half-written. Free some space and run the same command again",
                err=True,
            )
            sys.exit(1)
        said = " ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
        click.echo(f"Failed: {said} (run again with --debug for the traceback)", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _calm_bars() -> None:
    """Let progress bars write to a log now and then only; tqdm reads this when a command imports it."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "30")
        os.environ.setdefault("TQDM_MAXINTERVAL", "60")
