"""What a state directory holds, found out without a server and without changing it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from perdure.errors import (
    CorruptionError,
    ForeignDirectoryError,
    ForeignSegmentError,
    ForeignTailError,
    FormatVersionError,
    MissingSegmentError,
    NewerVersionError,
    StateError,
    UnusableDirectoryError,
    repair_hint,
)
from perdure.persistence import directory, manifest, statefile
from perdure.persistence.blobs import Blob, BlobStore, file_of
from perdure.persistence.checkpoint import verify_entry
from perdure.persistence.files import read_file
from perdure.persistence.lost import find_lost
from perdure.persistence.manifest import Entry, Manifest
from perdure.persistence.record import blobs_named
from perdure.persistence.segment import FOLDER
from perdure.persistence.source import open_source
from perdure.persistence.statefile import StateFile
from perdure.persistence.tail import Tail, cut_from, read_tail
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
    """The verdict over a directory.

    Attributes:
        cut: Of the live checkpoint.
        stores: How many it holds.
        records: How many of the journal a start would replay.
        blobs: How many bodies the stores and those records refer to.
        findings: What is damaged.
        notes: What is not, but worth knowing: a torn tail, which the next start cuts; a
            setting that the journal was written under, and this process has otherwise.
    """

    cut: int = 0
    stores: int = 0
    records: int = 0
    blobs: int = 0
    entries: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """``clean``, ``torn`` (a crash explains it) or ``damaged``."""
        if self.findings:
            return "damaged"
        return "torn" if any(note.verdict == "torn" for note in self.notes) else "clean"

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {"verdict": self.verdict, **asdict(self)}


def check_directory(
    path: Path,
    running: Mapping[str, str] | None = None,
    *,
    fingerprint: Mapping[str, str] | None = None,
    environment: Collection[str] = (),
) -> Report:
    """Read every live file and compare it with what was written.

    By frame, header and checksums: whether a payload can be loaded is only known
    with the engine, at a start.

    Args:
        path: The state directory.
        running: Versions that files must not be newer than; None = no check.
        fingerprint: Of the engine that would replay the journal's tail; None = no check.
        environment: Names in it that another process may well have otherwise, such as
            the server's: a difference in these alone is a note.

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
    identity = directory.read_identity(path)
    running = running or {}
    live = manifest.read(path)
    refuse_newer(path / manifest.NAME, live.written_by, running)
    report = Report(cut=live.cut, stores=len(live.stores))
    entries = [*live.entries, *([live.process] if live.process else [])]
    named: dict[Blob, None] = {}
    for entry in entries:
        named.update(dict.fromkeys(_check_entry(path, entry, running, report)))
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
    engine = (fingerprint, environment)
    saved = {blob.name for blob in named}
    behind = _check_journal(path, live, identity["instance"], engine, report, saved=saved)
    named.update(dict.fromkeys(behind))
    _check_blobs(path, list(named), report)
    return report


def _check_journal(
    root: Path,
    live: Manifest,
    instance: str,
    engine: tuple[Mapping[str, str] | None, Collection[str]],
    report: Report,
    *,
    saved: set[str],
) -> list[Blob]:
    """The verdict over the tail, as a start would give it; the blobs its records name."""
    named: list[Blob] = []
    try:
        tail = read_tail(
            root,
            cut=live.cut,
            instance=instance,
            segment=live.segment,
            known_durable=live.cut if live.segment is not None else 0,
        )
        lost = find_lost(tail, BlobStore(root), lambda: saved)
        if lost is not None:
            tail = cut_from(tail, *lost, files=None)
        report.records = tail.count if lost is None else lost[0].lsn - 1 - tail.cut
        if tail.torn is not None:
            hint = "start it: the next start keeps these bytes in quarantine/ and goes on"
            report.notes.append(Finding(tail.torn.segment, "torn", str(tail.torn), hint))
        _check_engine(tail, *engine, report)
        for record in itertools.islice(tail.records(), report.records):
            named += blobs_named(record.kind, record.payload, path=tail.path / FOLDER)
    except MissingSegmentError as error:
        report.findings.append(_finding(root, error.path, "missing", error))
    except ForeignSegmentError as error:
        report.findings.append(_finding(root, error.path, "foreign", error))
    except ForeignTailError as error:
        report.findings.append(_finding(root, error.path, "foreign engine", error))
    except FormatVersionError as error:
        report.findings.append(_finding(root, error.path, "newer", error))
    except CorruptionError as error:
        report.findings.append(_finding(root, error.path, "corrupt", error))
    return named


def _check_blobs(root: Path, named: list[Blob], report: Report) -> None:
    """Read every body that is referred to: its hash says whether it is what was written."""
    report.blobs = len(named)
    store = BlobStore(root)
    for blob in sorted(named):
        try:
            store.check(blob, content=True)
        except CorruptionError as error:
            verdict = "corrupt" if (root / file_of(blob.name)).exists() else "missing"
            report.findings.append(_finding(root, error.path, verdict, error))


def _check_engine(
    tail: Tail,
    running: Mapping[str, str] | None,
    environment: Collection[str],
    report: Report,
) -> None:
    if running is None:
        return
    for path, found in tail.fingerprints():
        differing = {n for n in {*found, *running} if found.get(n) != running.get(n)}
        if not differing:
            continue
        error = ForeignTailError(path, found=found, running=running)
        if not differing <= set(environment):
            raise error
        theirs = ", ".join(f"{name}={found.get(name) or 'none'}" for name in sorted(differing))
        hint = f"nothing, if the server is started with what wrote the journal: {theirs}"
        file = path.relative_to(tail.path).as_posix()
        report.notes.append(Finding(file, "settings", str(error), hint))


def _finding(root: Path, path: Path, verdict: str, error: StateError) -> Finding:
    return Finding(path.relative_to(root).as_posix(), verdict, str(error), error.hint)


def _check_entry(
    root: Path, entry: Entry, running: Mapping[str, str], report: Report
) -> tuple[Blob, ...]:
    """Note what is wrong with a live file; the blobs it names."""
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
    else:
        _check_rows(root, entry, state, report)
        return state.graph.blobs
    return ()


def _check_rows(root: Path, entry: Entry, state: StateFile, report: Report) -> None:
    """Note what is wrong with the rows of a store's collections."""
    try:
        with closing(open_source(root, entry.key, entry.entries)) as source:
            for collection in state.graph.collections:
                report.entries += source.check(collection, root / entry.file)
    except StateError as error:
        path = getattr(error, "path", root / entry.file)
        report.findings.append(_finding(root, path, "corrupt", error))
