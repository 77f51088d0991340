"""What a command prints: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer

from perdure.errors import PerdureError

WIDTH_WITHOUT_TERMINAL = 240  # wide enough for paths, so that grep finds them in one piece


def say(text: str) -> None:
    """Print one line of result."""
    typer.echo(text)


def emit(data: object) -> None:
    """Print a result for scripts."""
    typer.echo(json.dumps(data, indent=2))


def warn(text: str) -> None:
    """Print what a user should know although the command worked."""
    typer.echo(f"warning: {text}", err=True)


def complain(error: PerdureError) -> None:
    """Print an error and the next step."""
    typer.echo(f"error: {error}", err=True)
    typer.echo(f"hint: {error.hint}", err=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings; None is shown as a dash."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # Cells are other people's words: nothing in them is markup.
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    console = Console(markup=False, emoji=False, highlight=False, width=width)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*("-" if cell is None else str(cell) for cell in row))
    console.print(grid)


@contextmanager
def spinner(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something goes on, on a terminal only.

    Yields:
        A function that changes the text.
    """
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich.console import Console
    from rich.text import Text

    # A status takes markup from a plain string even where the console does not.
    with Console(stderr=True).status(Text(text)) as status:
        yield lambda text: status.update(Text(text))
