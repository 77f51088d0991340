"""What a state directory holds, found out without a server and without changing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from perdure.errors import (
    CorruptionError,
    ForeignDirectoryError,
    NewerVersionError,
    StateError,
    UnusableDirectoryError,
    repair_hint,
)
from perdure.persistence import directory, manifest, statefile
from perdure.persistence.checkpoint import verify_entry
from perdure.persistence.files import read_file
from perdure.persistence.manifest import Entry
from perdure.persistence.versions import refuse_newer


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    path: str
    verdict: str
    reason: str
    hint: str


@dataclass(slots=True)
class Report:
    """The verdict over a directory."""

    cut: int = 0
    stores: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """``clean`` or ``damaged``."""
        return "damaged" if self.findings else "clean"

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {"verdict": self.verdict, **asdict(self)}


def check_directory(path: Path, running: Mapping[str, str] | None = None) -> Report:
    """Read every live file and compare it with what was written.

    By frame, header and checksums: whether a payload can be loaded is only known
    with the engine, at a start.

    Args:
        path: The state directory.
        running: Versions that files must not be newer than; None = no check.

    Raises:
        ForeignDirectoryError: It is no state directory.
        StateError: A link is in it, or its identity or manifest cannot be read, so
            nothing can be said.
    """
    if not path.exists():
        raise UnusableDirectoryError(path, "there is no such folder")
    if not directory.recognise(path):
        raise ForeignDirectoryError(path, "nothing of Perdure's (no perdure.json)")
    directory.refuse_links(path)
    directory.read_identity(path)
    running = running or {}
    live = manifest.read(path)
    refuse_newer(path / manifest.NAME, live.written_by, running)
    report = Report(cut=live.cut, stores=len(live.stores))
    entries = [*live.entries, *([live.process] if live.process else [])]
    for entry in entries:
        _check_entry(path, entry, running, report)
    carried = {n for entry in entries for n in entry.shares.exports}
    for entry in entries:
        for number in sorted(entry.shares.imports - carried):
            report.findings.append(
                Finding(
                    entry.file,
                    "dangling",
                    f"no file carries object {number}",
                    repair_hint(path / entry.file),
                )
            )
    return report


def _check_entry(root: Path, entry: Entry, running: Mapping[str, str], report: Report) -> None:
    path = root / entry.file
    try:
        data = read_file(path, what="state file")
        state = statefile.decode(data, path=path)
        verify_entry(entry, state, data, path)
        refuse_newer(path, state.written_by, running)
    except FileNotFoundError as error:
        reason = f"{path}: {error.strerror}"
        report.findings.append(Finding(entry.file, "missing", reason, repair_hint(path)))
    except CorruptionError as error:
        report.findings.append(Finding(entry.file, "corrupt", str(error), error.hint))
    except NewerVersionError as error:
        report.findings.append(Finding(entry.file, "newer", str(error), error.hint))
    except StateError as error:
        report.findings.append(Finding(entry.file, "unreadable", str(error), error.hint))
