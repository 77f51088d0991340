"""A state directory: recognised, created, locked.

    DATA_DIR/
      perdure.json     format version, instance id, created, version that created it
      LOCK             flock of the one process that may write
      manifest.json    the live checkpoint
      journal/         what was called since, in segments (``segment``, ``journal``, ``tail``)
      api_states/      one file per store, named by its cut
      blobs/           bodies, by hash (``blobs``)
      quarantine/      what was set aside; never deleted

Whatever goes wrong while opening leaves the disk as it was: a directory that holds
something else is not touched, and what was created on the way is removed again.

Nothing inside may be a symbolic link: through one, a save would write and the sweep
delete outside.  The directory itself may be one, which its user set.  Blobs are not looked
at one by one, as there may be many; a link among them is not followed when it is opened.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import logging
import os
import re
import stat
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perdure.errors import (
    CorruptionError,
    DurabilityError,
    ForeignDirectoryError,
    FormatVersionError,
    LockedError,
    StateError,
    UnusableDirectoryError,
)
from perdure.persistence import fields
from perdure.persistence.blobs import FOLDER as BLOBS
from perdure.persistence.entries import DATABASE, DELTA, DOCUMENT, base_kind, cut_and_place, file_of
from perdure.persistence.fields import Fields
from perdure.persistence.files import CAUTIOUS, TEMPORARY, Files, kind_of, read_file
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.manifest import NAME as MANIFEST
from perdure.persistence.manifest import NOTHING, STATES, Manifest, file_for, has_states, publish
from perdure.persistence.segment import FOLDER as JOURNAL
from perdure.persistence.spare import NAME as SPARE

log = logging.getLogger(__name__)

IDENTITY = "perdure.json"
LOCK = "LOCK"
QUARANTINE = "quarantine"
DIVERGED, REPORT = "diverged", "report.json"
FORMAT = 1
IDENTITY_BYTES_MAX = 64 << 10
NAMED_MAX = 5
NO_LINKS = "remove the link, or put what it points to in its place; only DATA_DIR itself may be one"
_INSTANCE = re.compile(r"[0-9a-f]{32}")
# What a volume may hold before Perdure's first start.
INDIFFERENT = {"lost+found", ".gitkeep", ".gitignore", ".DS_Store", LOCK}
# What only Perdure puts side by side: enough to know a directory of ours by that lost its identity.
OWN = {LOCK, MANIFEST, JOURNAL, STATES, QUARANTINE, BLOBS}
# What LocalStack leaves in its volume, by era; the first that is there names it to users.
LOCALSTACK = {
    "recorded_api_calls.json": "a LocalStack 0.x volume (recorded_api_calls.json, which "
    "`perdure state import` replays into a server with another DATA_DIR)",
    "startup_info.json": "a LocalStack 0.x volume (startup_info.json)",
    "api_states": "a LocalStack Pro volume (api_states)",
    "metadata.yaml": "a LocalStack pod, unpacked (metadata.yaml)",
    "state": "a LocalStack volume (state/)",
    "cache": "a LocalStack volume (cache/)",
    "s3_api_calls.json": "a LocalStack volume older than 0.11 (s3_api_calls.json)",
    # Native files of the servers LocalStack ran; Perdure's own stand beside perdure.json.
    "dynamodb": "a LocalStack 0.x volume (dynamodb/)",
    "kinesis": "a LocalStack 0.x volume (kinesis/)",
    "elasticsearch": "a LocalStack 0.x volume (elasticsearch/)",
}


@dataclass(slots=True)
class Directory:
    """An opened state directory.  ``close`` gives the lock back."""

    path: Path
    files: Files
    identity: dict[str, Any]
    is_new: bool
    _lock: int

    @property
    def origin(self) -> tuple[str, int]:
        """The instance, and its epoch: microseconds since 1970, UTC."""
        created = datetime.fromisoformat(self.identity["created"])
        if created.tzinfo is None:
            created = created.replace(tzinfo=UTC)
        return self.identity["instance"], int(created.timestamp() * 1_000_000)

    def close(self) -> None:
        """Let another process have it.  The LOCK file stays: removing it would race."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def sweep(self, live: Manifest, *, replayable: Lsn = NOTHING) -> list[str]:
        """Clear away what a checkpoint that did not finish left behind.

        A state file is removed only if the manifest names a newer one of its store, or
        the journal says again what is in it.  Any other is set aside: it may be of a save
        that died before its manifest, or the manifest may be an older or an emptied one
        that somebody put here.  Of the journal only the spare goes, so this is for before
        the journal opens; it is no part of a save, and every kill leaves one: not counted.

        Args:
            live: The live checkpoint.
            replayable: The last LSN of the journal behind it.

        Returns:
            The files removed or set aside, relative to the directory.
        """
        named = live.files()
        removed, aside = [], []
        kinds = (DATABASE, DOCUMENT, DELTA)
        rows = (f"*/*{kind}{end}" for kind in kinds for end in ("", TEMPORARY))
        leftovers = (f"{STATES}/**/*", *rows, f"*{TEMPORARY}", f"{JOURNAL}/{SPARE}")
        for path in itertools.chain.from_iterable(map(self.path.glob, leftovers)):
            relative = path.relative_to(self.path).as_posix()
            if relative.startswith(f"{QUARANTINE}/") or not _is_ours(relative):
                continue
            if relative in named or path.is_dir():
                continue
            is_told_again = live.cut < _cut_of(path) <= replayable
            if path.suffix == TEMPORARY or is_told_again or self._is_superseded(relative, live):
                self.files.remove(path, what="sweep")
                if relative != f"{JOURNAL}/{SPARE}":
                    removed.append(relative)
            else:
                self.set_aside(relative)
                aside.append(relative)
        if aside:
            some = ", ".join(aside[:NAMED_MAX]) + (" ..." if len(aside) > NAMED_MAX else "")
            log.warning(
                "%d state files that %s does not name were set aside in %s/: %s",
                len(aside),
                MANIFEST,
                QUARANTINE,
                some,
            )
        return removed + aside

    def _is_superseded(self, file: str, live: Manifest) -> bool:
        """Whether the manifest names a newer file of the same store, and that is there."""
        entries = [*live.entries, *([live.process] if live.process else [])]
        cut = _cut_of(Path(file))
        return any(
            file in _names_at(entry.key, Lsn(cut))
            and cut < entry.cut
            and all((self.path / newer).is_file() for newer in entry.files)
            for entry in entries
        )

    def keep_copy(self, file: str) -> None:
        """Give a file a second name in the quarantine folder, before it is dropped."""
        source = self.path / file
        if source.exists():
            self.files.link(source, self._aside(file), what="quarantine")

    def keep_content(self, file: str) -> None:
        """Copy a file that is written to in place, as a segment is, into the quarantine."""
        source = self.path / file
        if source.exists():
            self.files.copy(source, self._aside(file), what="quarantine")

    def keep_diverged(
        self, cut: Lsn, last_lsn: Lsn, *, states: Iterable[str], others: Iterable[str], report: Any
    ) -> str:
        """Keep a checkpoint and its tail, with a report, in a folder of the quarantine.

        What one cut and one last LSN name is kept once: a start that is tried again
        and again would else fill the disk.

        Args:
            cut: Of the checkpoint.
            last_lsn: Of the tail.
            states: State files, relative to the directory; nobody writes to them in
                place, so they get second names.
            others: Files to copy, relative to the directory.
            report: A JSON object; ``cut`` and ``last_lsn`` are added.

        Returns:
            The folder, relative to the directory.

        Durability:
            All is on disk when this returns.
        """
        place = {"cut": cut, "last_lsn": last_lsn}
        folder = self._find_diverged(place)
        if folder is None:
            folder = self._aside(DIVERGED)
            for file in states:
                if (self.path / file).exists():
                    self.files.link(self.path / file, folder / file, what="quarantine")
            for file in others:
                if (self.path / file).exists():
                    self.files.copy(self.path / file, folder / file, what="quarantine")
            # Last: a folder without a report is of a start that died, and is not counted.
            text = json.dumps({**report, **place}, indent=1)
            self.files.publish(folder / REPORT, text.encode() + b"\n", what="quarantine")
        return folder.relative_to(self.path).as_posix()

    def _find_diverged(self, place: Mapping[str, int]) -> Path | None:
        """The folder that keeps this cut and last LSN already."""
        for path in sorted((self.path / QUARANTINE).glob(f"*-{DIVERGED}/{REPORT}")):
            try:
                report = json.loads(read_file(path, what="report"))
            except (ValueError, StateError, FileNotFoundError):
                continue  # Not one of ours, or damaged: it keeps nothing that we know of.
            if isinstance(report, dict) and place.items() <= report.items():
                return path.parent
        return None

    def set_aside(self, file: str) -> str | None:
        """Move a file into the quarantine folder; where it is now, None if it was gone."""
        source = self.path / file
        if not source.exists():
            return None
        target = self._aside(file)
        self.files.move(source, target, what="quarantine")
        return target.relative_to(self.path).as_posix()

    def _aside(self, file: str) -> Path:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        return self.path / QUARANTINE / f"{stamp}-{file.replace('/', '_')}"


def _cut_of(path: Path) -> int:
    """The cut in a state file's name; one we did not write counts as new."""
    rows = cut_and_place(path.as_posix())
    if rows is not None:
        return rows[0]
    digits = path.stem.rpartition(".")[2]
    return int(digits) if digits.isdecimal() else sys.maxsize


def _names_at(key: StoreKey, cut: Lsn) -> tuple[str, ...]:
    """What the files of a store written for a cut are called."""
    return file_for(key, cut), file_of(key, cut, base_kind(key)), file_of(key, cut, DELTA)


def _is_ours(file: str) -> bool:
    """Whether a checkpoint writes files of that name."""
    return file.endswith((".state", TEMPORARY)) or cut_and_place(file) is not None


def recognise(path: Path) -> bool:
    """Whether a folder is a state directory; False = it is empty or not there.

    Raises:
        UnusableDirectoryError: It is no folder, or may not be read.
        ForeignDirectoryError: It holds something else.
        CorruptionError: It is one, and its identity is missing.
    """
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise UnusableDirectoryError(path, "it is a file, not a folder") from error
    except OSError as error:
        raise UnusableDirectoryError(path, error.strerror or str(error)) from error
    if IDENTITY in names:
        return True
    own = names & OWN
    if own & {MANIFEST, JOURNAL} and len(own) > 1:
        beside = f"none beside {', '.join(sorted(own - {LOCK}))}"
        raise CorruptionError(path / IDENTITY, "identity", expected="a file", found=beside)
    strangers = sorted(names - INDIFFERENT - {IDENTITY + TEMPORARY})
    if strangers:
        known = next((text for name, text in LOCALSTACK.items() if name in strangers), None)
        raise ForeignDirectoryError(path, known or ", ".join(strangers[:5]))
    return False


def refuse_links(path: Path) -> None:
    """See that nothing inside of a state directory is a symbolic link.

    Raises:
        UnusableDirectoryError: Something is, or a folder cannot be looked into.
    """
    for folder, folders, names in os.walk(path, onerror=_cannot_look):
        for name in (*folders, *names):
            if os.path.islink(os.path.join(folder, name)):  # noqa: PTH114, PTH118 - of every file
                found = (Path(folder) / name).relative_to(path)
                raise UnusableDirectoryError(path, f"{found} is a symbolic link", hint=NO_LINKS)
        if Path(folder) == path:
            # lost+found and the like are never entered, and may be root's.
            folders[:] = [name for name in folders if name not in INDIFFERENT]
        if Path(folder) == path / BLOBS:
            folders[:] = []


def _cannot_look(error: OSError) -> None:
    # Files come and go while a server saves.
    if not isinstance(error, FileNotFoundError):
        reason = error.strerror or str(error)
        raise UnusableDirectoryError(Path(error.filename), reason) from error


def open_directory(path: Path, *, files: Files, version: str) -> Directory:
    """Recognise or create a state directory, and lock it.

    Args:
        path: Made with its parents where missing.
        files: The disk.
        version: Written into a new directory.

    Raises:
        StateError: It cannot be used; the disk is as it was.
    """
    path = path.absolute()
    recognise(path)
    created = _create_folders(path, files)
    try:
        has_lock_file = (path / LOCK).exists()
        lock = _lock(path)
    except BaseException:
        # Locked by another: whatever is in there is the other's.
        _remove_folders(created)
        raise
    exists = True
    try:
        # Another process may have made it since the first look.
        exists = recognise(path)
        refuse_links(path)
        identity = read_identity(path) if exists else _new_identity(path, files, version)
        _first_manifest(path, files)
    except StateError:
        if not exists:
            _remove_files(path, [] if has_lock_file else [LOCK])
        os.close(lock)
        _remove_folders(created)
        raise
    except BaseException:
        os.close(lock)
        raise
    return Directory(path, files, identity, not exists, lock)


def _create_folders(path: Path, files: Files) -> list[Path]:
    """Make the missing folders, each durable in its parent; which ones, innermost last."""
    missing = []
    folder = path
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    if not folder.is_dir():
        raise UnusableDirectoryError(path, f"{folder} is a file, not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnusableDirectoryError(path, f"{folder} is not writable by this user")
    made: list[Path] = []
    try:
        for new in reversed(missing):
            new.mkdir(mode=0o700)
            made.append(new)
            files.sync_folder(new.parent, what="directory")
    except (OSError, DurabilityError) as error:
        _remove_folders(made)
        reason = error.reason if isinstance(error, DurabilityError) else error.strerror
        raise UnusableDirectoryError(path, reason or str(error)) from error
    return made


def _remove_files(path: Path, more: list[str]) -> None:
    for name in (IDENTITY, MANIFEST, IDENTITY + TEMPORARY, MANIFEST + TEMPORARY, *more):
        with suppress(OSError):
            (path / name).unlink()


def _remove_folders(created: list[Path]) -> None:
    for folder in reversed(created):
        with suppress(OSError):
            folder.rmdir()


def _lock(path: Path) -> int:
    existed = os.path.lexists(path / LOCK)
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | CAUTIOUS, 0o600)
    except OSError as error:
        if os.path.lexists(path / LOCK):
            _check_lock_file(path, (path / LOCK).lstat())
        raise UnusableDirectoryError(path, error.strerror or str(error)) from error
    try:
        _check_lock_file(path, os.fstat(descriptor))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 100, 0).decode("utf-8", "replace").strip()
        os.close(descriptor)
        raise LockedError(path, owner or "another process") from error
    except UnusableDirectoryError:
        os.close(descriptor)
        raise
    except OSError as error:
        if not existed:
            (path / LOCK).unlink(missing_ok=True)
        os.close(descriptor)
        raise UnusableDirectoryError(path, error.strerror or str(error)) from error
    return descriptor


def _check_lock_file(path: Path, found: os.stat_result) -> None:
    """See that ``LOCK`` is a file: it is about to be written over."""
    if not stat.S_ISREG(found.st_mode):
        kind = kind_of(found.st_mode)
        raise UnusableDirectoryError(
            path, f"{LOCK} is {kind}, not a regular file", hint=f"remove {path / LOCK}"
        )


def _new_identity(path: Path, files: Files, version: str) -> dict[str, Any]:
    identity = {
        "format": FORMAT,
        "instance": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "created_by": version,
    }
    try:
        files.publish(
            path / IDENTITY, json.dumps(identity, indent=1).encode() + b"\n", what="identity"
        )
    except DurabilityError as error:
        raise UnusableDirectoryError(path, error.reason) from error
    return identity


def _first_manifest(path: Path, files: Files) -> None:
    """Publish a manifest that names nothing, before there is any state file.

    From then on a missing manifest means that it was lost, not that the first
    checkpoint did not finish.
    """
    if (path / MANIFEST).exists() or has_states(path):
        return
    try:
        publish(files, path, Manifest())
    except DurabilityError as error:
        raise UnusableDirectoryError(path, error.reason) from error


def read_identity(path: Path) -> dict[str, Any]:
    """What ``perdure.json`` says.

    Raises:
        CorruptionError: It cannot be read.
        FormatVersionError: A newer Perdure wrote the directory.
    """
    file = path / IDENTITY
    try:
        data = read_file(file, what="identity", bytes_max=IDENTITY_BYTES_MAX)
    except FileNotFoundError as error:
        raise CorruptionError(file, "identity", expected="a file", found="none") from error
    return fields.decode(data, file, "identity", _identity)


def _identity(document: Fields) -> dict[str, Any]:
    found = document.integer("format", least=1)
    if found > FORMAT:
        raise FormatVersionError(document.path, found=found, supported=FORMAT)
    instance = document.text("instance")
    if not _INSTANCE.fullmatch(instance):
        raise document.refusal("instance", "32 hex digits", instance)
    document.moment("created")
    document.text("created_by")
    return document.values
