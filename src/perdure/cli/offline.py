"""Commands that need no server: check, config, version."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from perdure import __version__, ignored
from perdure import config as settings
from perdure.cli import options, output
from perdure.cli.options import AsJson, DataDir, Listen
from perdure.errors import CorruptionError

# A forger can make checksums too: clean is not harmless, and not loadable either.
LOOKED_AT = (
    "looked at: perdure.json, manifest.json; header and checksums of the files it names; the "
    "journal behind them; every body in blobs/ that these name, by its hash; payloads are not "
    "loaded, calls not replayed (a start does that)"
)
StateDir = Annotated[Path, typer.Argument(metavar="DIR", help="A state directory.")]


def check(directory: StateDir, *, as_json: AsJson = False) -> None:
    """Verify every file of a state directory.

    Nothing is changed.  Exits with 0 when all is clean, or the journal only torn as a crash
    leaves it (the next start cuts that); with 30 when something is damaged.  Payloads are
    compared with their checksums; whether the engine can load them, only a start proves.
    """
    from perdure.engine.fingerprint import ENVIRONMENT, fingerprint
    from perdure.persistence.check import check_directory

    any_region = settings.load().allow_nonstandard_regions
    with output.spinner(f"checking {directory}"):
        report = check_directory(
            directory,
            _versions(),
            fingerprint=fingerprint(any_region=any_region),
            environment=ENVIRONMENT,
        )
    if as_json:
        output.emit(report.to_json())
    else:
        output.say(
            f"{directory}: {report.verdict}; stores: {report.stores}, cut: {report.cut}, "
            f"records behind it: {report.records}"
        )
        output.say(LOOKED_AT)
        found = [*report.findings, *report.notes]
        if found:
            rows = [(f.path, f.verdict, f.reason, f.hint) for f in found]
            output.table(("file", "verdict", "reason", "what to do"), rows)
    if report.findings:
        raise typer.Exit(CorruptionError.exit_code)


def config(*, data_dir: DataDir = None, listen: Listen = None, as_json: AsJson = False) -> None:
    """Show every setting and where its value is from.

    Variables of LocalStack's that are set and have no effect here follow, each with why.
    """
    given = options.overrides(DATA_DIR=data_dir, GATEWAY_LISTEN=listen)
    rows = settings.shown(settings.load(overrides=given))
    unused = ignored.found()
    if as_json:
        output.emit(
            rows
            + [
                {"name": one.name, "value": one.value, "source": "ignored", "meaning": one.why}
                for one in unused
            ]
        )
        return
    output.table(
        ("variable", "value", "from", "meaning"),
        [(row["name"], row["value"] or None, row["source"], row["meaning"]) for row in rows],
    )
    if unused:
        output.table(("set, but not used", "value", "why"), unused)


def version(*, as_json: AsJson = False) -> None:
    """Show versions: Perdure, its engine, Python."""
    versions = _versions()
    if as_json:
        output.emit(versions)
    else:
        output.say(", ".join(f"{name} {number}" for name, number in versions.items()))


def _versions() -> dict[str, str]:
    return {
        "perdure": __version__,
        "moto": metadata.version("moto"),
        "python": platform.python_version(),
    }
