"""``perdure state``: save, load, reset, import and inspect what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure import runfile
from perdure.cli import options, output
from perdure.cli.options import AsJson, Server, Service
from perdure.errors import RefusedError

if TYPE_CHECKING:
    from perdure.cli.replay import Failure
    from perdure.persistence.manifest import Entry

app = typer.Typer(rich_markup_mode=None, help="Save, load, reset or inspect the state.")

_DONE = {"save": "saved", "load": "loaded", "reset": "reset"}


@app.command()
def save(service: Service = None, *, listen: Server = None, as_json: AsJson = False) -> None:
    """Write what changed to the state directory, now."""
    _ask("save", service, listen=listen, as_json=as_json)


@app.command()
def load(service: Service = None, *, listen: Server = None, as_json: AsJson = False) -> None:
    """Read the saved state into the server, in place of what it holds."""
    _ask("load", service, listen=listen, as_json=as_json)


@app.command()
def reset(service: Service = None, *, listen: Server = None, as_json: AsJson = False) -> None:
    """Make one service, or all, as new."""
    _ask("reset", service, listen=listen, as_json=as_json)


def _ask(verb: str, service: str | None, *, listen: str | None, as_json: bool) -> None:
    """Have the running server do it; print each service's outcome.

    Raises:
        RefusedError: At least one service failed; the others are done.
    """
    address = options.reachable(options.settings(listen))
    from perdure.cli.client import Client

    outcomes = []
    with output.spinner(f"state {verb}") as show:
        for outcome in Client(address).state(verb, service):
            outcomes.append(outcome)
            show(f"state {verb}: {outcome.service}")
    failed = [outcome for outcome in outcomes if outcome.message is not None]
    if as_json:
        output.emit({"results": [outcome.to_json() for outcome in outcomes]})
    else:
        for outcome in failed:
            output.say(f"{outcome.service}: not {_DONE[verb]}: {outcome.message}")
        done = [outcome.service for outcome in outcomes if outcome.message is None]
        if done or not failed:
            output.say(f"{_DONE[verb]}: {', '.join(sorted(done)) or _nothing(verb)}")
    if failed:
        names = ", ".join(sorted(outcome.service for outcome in failed))
        raise RefusedError(
            f"{len(failed)} of {len(outcomes)} services not {_DONE[verb]}: {names}",
            hint="`perdure status` shows the reason for each store; read `perdure logs`",
        )


def _nothing(verb: str) -> str:
    return "everything" if verb == "reset" else "nothing to do"


FAILURES_SHOWN = 50


@app.command("import")
def import_(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A recorded_api_calls.json of LocalStack 0.x, or its folder."
        ),
    ],
    *,
    listen: Server = None,
    as_json: AsJson = False,
) -> None:
    """Replay what an old LocalStack recorded into the running server.

    Reads are left out, and so is what failed when it was recorded. Ids that come out
    differently are replaced in the calls that follow.
    """
    config = options.settings(listen)
    from perdure.cli import recorded
    from perdure.cli.replay import replay

    path = recorded.find(Path(file).expanduser())
    with output.spinner("state import") as show:
        outcome = replay(path, options.reachable(config), config.default_region, show)
    if as_json:
        output.emit(
            {
                "file": str(path),
                "restored": outcome.restored,
                "skipped": {"reads": outcome.reads, "failed_then": outcome.failed_then},
                "ids_replaced": outcome.ids,
                "torn_lines": outcome.torn_lines,
                "failures": [failure.to_json() for failure in outcome.failures],
            }
        )
    else:
        # The first line is LocalStack's, to the letter: scripts look for it.
        output.say(f"Restored {outcome.restored} API calls from persistent file: {path}")
        output.say(
            f"left out: {outcome.reads} reads, {outcome.failed_then} that failed when recorded"
        )
        _say_failures(outcome.failures)
    for line in outcome.torn_lines:
        output.warn(f"line {line} was cut short by a crash and is left out")
    if outcome.failures:
        raise RefusedError(
            f"{len(outcome.failures)} calls of {path} were not restored",
            hint="each is listed with its reason; with --json all of them are",
        )


def _say_failures(failures: list[Failure]) -> None:
    for failure in failures[:FAILURES_SHOWN]:
        call = f": {failure.call}" if failure.call else ""
        output.say(f"not restored: line {failure.line}{call}: {failure.reason}")
    if len(failures) > FAILURES_SHOWN:
        output.say(f"... and {len(failures) - FAILURES_SHOWN} more")


@app.command()
def inspect(
    *,
    directory: Annotated[
        str | None,
        typer.Option("--dir", metavar="DIR", help="A state directory; the configured one if none."),
    ] = None,
    listen: Server = None,
    as_json: AsJson = False,
) -> None:
    """List what a state directory holds; needs no running server."""
    config = options.settings(listen)
    if directory is None and config.state_dir is None:
        # Perhaps only the server was told where: its flag is in its run file.
        record = runfile.read(config.gateway_listen[0].port)
        directory = record.state_dir if record else None
    path = options.state_dir_or_refuse(config, directory)
    from perdure.persistence.manifest import read

    found = read(path)
    stores = [_row(entry) for entry in found.entries]
    if as_json:
        output.emit(
            {
                "state_dir": str(path.absolute()),
                "cut": int(found.cut),
                "saved_at": found.saved_at,
                "stores": stores,
            }
        )
        return
    total = sum(store["bytes"] for store in stores)
    output.say(f"{path.absolute()}: cut {found.cut}, saved {found.saved_at}")
    output.say(f"stores: {len(stores)}, bytes: {total:,}")
    if stores:
        columns = ("store", "bytes", "cut", "saved_at", "file")
        output.table(columns, [[store[name] for name in columns] for store in stores])


def _row(entry: Entry) -> dict[str, Any]:
    """One store's live file, as shown."""
    return {
        "store": str(entry.key),
        "file": entry.file,
        "bytes": entry.bytes + sum(stored.bytes for stored in entry.entries),
        "entries": [stored.file for stored in entry.entries],
        "cut": int(entry.cut),
        "saved_at": entry.saved_at,
    }
