"""``perdure coverage``: what was proven of each service.  Needs no server."""

from __future__ import annotations

import typer

from perdure.cli import output
from perdure.cli.options import AsJson, Service
from perdure.engine import coverage as data
from perdure.engine.limits import LIMITS
from perdure.engine.services import by_name


def coverage(service: Service = None, *, as_json: AsJson = False) -> None:
    """Show what was called, saved and compared of each service.

    The figures are those of the sweeps this version was released with.
    """
    names = sorted(data.services()) if service is None else [_known(service)]
    if as_json:
        output.emit(_document(names))
        return
    rows = [data.row(name) for name in names if name in data.services()]
    if service is None:
        rows.append(data.total())
    if rows:
        output.table(data.headings(), [[cell or None for cell in row] for row in rows])
    said = [(name, note) for name in names for note in data.notes(name)]
    if said:
        output.table(("service", "in words"), said)
    output.say(data.versions())


def _document(names: list[str]) -> dict[str, object]:
    rows = {
        name: {**data.services().get(name, {}), "limits": list(LIMITS.get(name, ()))}
        for name in names
    }
    return {"sweeps": data.table()["sweeps"], "services": rows}


def _known(service: str) -> str:
    found = by_name().get(service)
    if found is None:
        raise typer.BadParameter(f"no service is named {service!r}; /health lists them")
    return found.name
