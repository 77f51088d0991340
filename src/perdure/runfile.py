"""Run files: which process serves which port, for the commands that look for it.

    <temporary folder>/perdure-<uid>/      mode 0700
      <port>.json                          one running server, JSON
      <port>.log                           output of a detached server

A run file is a hint, never state: a server that was killed leaves one behind, and
the process id in it may meanwhile belong to somebody else.  So ``read`` believes
it only while the process that wrote it lives, told by its start time; otherwise
`perdure stop` could end a stranger.

Order of use: the server calls ``write`` once it listens and ``remove`` when it
ends; the command line calls ``read``.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from perdure import __version__
from perdure.errors import RunDirectoryError

LOG_FILE_VARIABLE = "PERDURE_LOG_FILE"
"""Tells a detached server where its output goes, so that its run file can say so."""

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One running server.

    Attributes:
        pid: Its process.
        listen: The one address this record is about, ``host:port``.
        state_dir: Absolute path of the state directory; None when persistence is off.
        log: Path of the log file; None when it logs to its terminal.
        version: Perdure's.
        started: When it began to listen, ISO 8601 in UTC.
        born: Start time of the process, clock ticks since boot; ``write`` fills it
            in.  None where the system does not tell.
    """

    pid: int
    listen: str
    state_dir: str | None
    log: str | None
    version: str
    started: str
    born: int | None = None

    @property
    def port(self) -> int:
        """The port this record is about."""
        return int(self.listen.rpartition(":")[2])

    @classmethod
    def current(cls, listen: str, *, state_dir: Path | None) -> RunRecord:
        """The record of this very process."""
        return cls(
            pid=os.getpid(),
            listen=listen,
            state_dir=None if state_dir is None else str(state_dir.absolute()),
            log=os.environ.get(LOG_FILE_VARIABLE) or None,
            version=__version__,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def directory() -> Path:
    """The folder of run files, whether or not it exists."""
    return Path(tempfile.gettempdir()) / f"perdure-{os.getuid()}"


def log_path(port: int) -> Path:
    """Where a detached server on ``port`` logs, whether or not it exists."""
    return directory() / f"{port}.log"


def create_directory() -> Path:
    """Create the folder of run files and return it.

    Raises:
        RunDirectoryError: It cannot be created or belongs to somebody else.
    """
    folder = directory()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirectoryError(folder, error.strerror or str(error)) from error
    _refuse_foreign(folder)
    return folder


def write(record: RunRecord) -> Path:
    """Publish ``record`` under its port, in place of an older one.

    Returns:
        The path of the run file.

    Raises:
        RunDirectoryError: The folder or the file cannot be written.

    Durability:
        None: after a power cut there is no process to find.
    """
    path = create_directory() / f"{record.port}.json"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(asdict(replace(record, born=_born(record.pid))), indent=2)
    try:
        draft.write_text(text + "\n")
        draft.replace(path)
    except OSError as error:
        raise RunDirectoryError(path, error.strerror or str(error)) from error
    return path


def read(port: int) -> RunRecord | None:
    """The record of the server on ``port``.

    Returns:
        None when there is none, when it cannot be read, or when the process that
        wrote it is gone.

    Raises:
        RunDirectoryError: The folder belongs to somebody else.
    """
    record = _parse(directory() / f"{port}.json")
    return record if record is not None and is_alive(record) else None


def find(pid: int) -> RunRecord | None:
    """The record that process ``pid`` wrote, for a server that chose its own port.

    Returns:
        None while it has not written one.

    Raises:
        RunDirectoryError: The folder belongs to somebody else.
    """
    for path in sorted(directory().glob("*.json")):
        record = _parse(path)
        if record is not None and record.pid == pid and is_alive(record):
            return record
    return None


def remove(port: int) -> None:
    """Take back what ``write`` published; nothing happens when it is gone already."""
    (directory() / f"{port}.json").unlink(missing_ok=True)


def is_alive(record: RunRecord) -> bool:
    """Whether the process that wrote ``record`` still runs."""
    if (PROC / "self" / "stat").exists():
        born = _born(record.pid)
        return born is not None and born == record.born
    return _answers_signals(record.pid)


def _answers_signals(pid: int) -> bool:
    """Whether ``pid`` runs as this user: the best there is without /proc."""
    try:
        os.kill(pid, 0)
    except OSError:  # gone, or somebody else's: either way not the one recorded
        return False
    return True


def _born(pid: int) -> int | None:
    """Start time of a process in ticks since boot; None when it is gone or unknown."""
    try:
        line = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses and may hold any
    # character, so the fields are counted from the last one that closes.
    state, *rest = line.rpartition(")")[2].split()
    # A zombie has ended; only its parent has not looked yet.
    return None if state in "ZX" else int(rest[18])


def _parse(path: Path) -> RunRecord | None:
    """The record in ``path``, or None when there is none that makes sense."""
    try:
        _refuse_foreign(path.parent)
        data = json.loads(path.read_text())
        record = RunRecord(**{field.name: data[field.name] for field in fields(RunRecord)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Signals to 0 and to negative ids reach whole groups of processes.
    return record if isinstance(record.pid, int) and record.pid > 0 else None


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that another user could have filled.

    Raises:
        RunDirectoryError: It is no real folder or not this user's.
        OSError: It is not there.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise RunDirectoryError(folder, "it is not a folder")
    if found.st_uid != os.getuid():
        raise RunDirectoryError(folder, f"it belongs to user {found.st_uid}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
