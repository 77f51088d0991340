"""The commands put together, and errors turned into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from perdure import __version__
from perdure.cli import offline, output, server, state
from perdure.cli.coverage import coverage
from perdure.cli.start import start
from perdure.errors import PerdureError

app = typer.Typer(
    name="perdure",
    help="A local AWS you can pause and resume.",
    rich_markup_mode=None,  # help and usage errors as plain text, so rich is not imported
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _help_when_bare(context: typer.Context) -> None:
    """Show the help when no command follows; asking what there is, is no error."""
    if context.invoked_subcommand is None:
        output.say(context.get_help())
        raise typer.Exit


def _print_version(*, wanted: bool) -> None:
    if wanted:
        output.say(f"perdure {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    _version: bool = typer.Option(
        False,
        "--version",
        is_eager=True,
        callback=lambda value: _print_version(wanted=value),
        help="Show the version.",
    ),
) -> None:
    """A local AWS you can pause and resume."""
    _help_when_bare(context)


state.app.callback(invoke_without_command=True)(_help_when_bare)
app.command()(start)
app.command()(server.stop)
app.command()(server.status)
app.command()(server.wait)
app.command()(server.logs)
app.add_typer(state.app, name="state")
app.command()(offline.check)
app.command()(coverage)
app.command()(offline.config)
app.command()(offline.version)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code.

    Args:
        arguments: The words after the program's name; those it was started with when None.
    """
    try:
        app(None if arguments is None else list(arguments), prog_name="perdure")
    except PerdureError as error:
        output.complain(error)
        sys.exit(error.exit_code)
