"""Every error Perdure raises on purpose, with its exit code and the next step.

    PerdureError
    ├── ConfigError            a setting cannot be used
    ├── ListenError · NotRunningError · TimeoutExpiredError · AlreadyRunningError
    ├── RunDirectoryError · NoLogError · RefusedError · StartError      10-19: the command line
    ├── RecordingError
    ├── RequestError           one call is refused; the process goes on
    └── StateError 20-49       the state directory cannot be used as it is
        ├── LockedError · ForeignDirectoryError · UnusableDirectoryError
        ├── FormatVersionError · NewerVersionError
        ├── CorruptionError
        │   ├── LostManifestError · HostileStateError
        │   └── CorruptRecordError · MissingSegmentError · ForeignSegmentError
        ├── ForeignTailError · NoRoomError
        ├── DurabilityError
        ├── LoadError
        ├── CaptureError
        └── NotRestoredError

A message says what, where, expected and found; ``hint`` is what to do next.
The CLI prints both and exits with ``exit_code``; the gateway puts both into
``/health``.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class PerdureError(Exception):
    """Base of all errors that are ours and expected."""

    exit_code = 1
    hint = "run `perdure --help`"


class ConfigError(PerdureError):
    """A setting has a value that is not understood.

    Falling back to a default is how users lose data, so start-up stops instead.
    """

    exit_code = 2

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable}={value!r} is not valid; allowed: {allowed}")
        self.variable, self.value, self.allowed = variable, value, allowed
        self.hint = f"set {variable} to what is allowed; `perdure config` lists every setting"


class ListenError(PerdureError):
    """The address to listen on cannot be bound."""

    exit_code = 11
    hint = "stop what listens there (`perdure status`), or set GATEWAY_LISTEN to another address"

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address, self.reason = address, reason


class NotRunningError(PerdureError):
    """A command needs a running server and none answers."""

    exit_code = 12
    hint = "start one with `perdure start --detach`, or name its address with GATEWAY_LISTEN"

    def __init__(self, address: str) -> None:
        super().__init__(f"no Perdure answers at {address}")
        self.address = address


class TimeoutExpiredError(PerdureError):
    """A command waited for something that did not come in time."""

    exit_code = 13
    hint = "read `perdure logs`, or wait longer with --timeout"

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} did not happen within {seconds:g} s")
        self.what, self.seconds = what, seconds


class AlreadyRunningError(PerdureError):
    """A server already listens where a new one was asked for."""

    exit_code = 14
    hint = "stop it with `perdure stop`, or start another one with --listen HOST:PORT"

    def __init__(self, address: str, pid: int) -> None:
        super().__init__(f"a Perdure already listens on {address} (process {pid})")
        self.address, self.pid = address, pid


class RunDirectoryError(PerdureError):
    """The folder of run files is not ours alone, so what it says is not believed."""

    exit_code = 15

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: cannot keep run files here: {reason}")
        self.path, self.reason = path, reason
        self.hint = f"remove {path}, or set TMPDIR to a folder of your own"


class NoLogError(PerdureError):
    """No log file is known for the server at this address."""

    exit_code = 16
    hint = "a server in the foreground logs to its terminal; `perdure start --detach` keeps a file"

    def __init__(self, address: str) -> None:
        super().__init__(f"no log file is known for {address}")
        self.address = address


class RefusedError(PerdureError):
    """The running server refused what a command asked for, or did only a part of it."""

    exit_code = 17

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class RecordingError(PerdureError):
    """A file of recorded calls cannot be read, so none was replayed."""

    exit_code = 19
    hint = "name the recorded_api_calls.json of a LocalStack 0.x volume, or the volume's folder"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: no calls can be read: {reason}")
        self.path, self.reason = path, reason


class CertificateError(PerdureError):
    """No certificate could be made, which the port answers TLS with."""

    exit_code = 18
    hint = "name one of your own with CUSTOM_SSL_CERT_PATH, or see what `cryptography` lacks"

    def __init__(self, reason: str) -> None:
        super().__init__(f"no TLS certificate could be made: {reason}")
        self.reason = reason


class StartError(PerdureError):
    """A detached server ended before it was ready; exits with the server's own code."""

    def __init__(self, code: int, *, message: str, hint: str) -> None:
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        super().__init__(f"the server ended before it was ready ({how}): {message}")
        self.exit_code = code if code > 0 else 1
        self.hint = hint


class RequestError(PerdureError):
    """A call that cannot be served; answered in the shape of its AWS protocol.

    Args:
        code: The AWS error code, such as ``InternalFailure``.
        message: What the client's user reads.
        status: The HTTP status, 400 to 599.
    """

    def __init__(self, code: str, message: str, *, status: int) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class StateError(PerdureError):
    """The state directory cannot be used as it is.  Nothing on disk was changed."""

    exit_code = 20
    hint = "run `perdure check DIR`"


class LockedError(StateError):
    """Another process owns the state directory."""

    exit_code = 21

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(f"{path}: in use by {owner}")
        self.path, self.owner = path, owner
        self.hint = "stop that process (`perdure stop`), or set DATA_DIR to another directory"


class ForeignDirectoryError(StateError):
    """The directory holds files that are not Perdure's, so nothing is written into it."""

    exit_code = 22
    hint = "set DATA_DIR to an empty or a new directory; the files found were left as they are"

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(f"{path}: not a Perdure state directory; it holds {found}")
        self.path, self.found = path, found


class UnusableDirectoryError(StateError):
    """The path cannot be a state directory: not a folder, not writable, no space."""

    exit_code = 23
    hint = "set DATA_DIR to a folder this user may write to, on a disk with free space"

    def __init__(self, path: Path, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}: cannot keep state here: {reason}")
        self.path, self.reason = path, reason
        self.hint = hint or self.hint


class FormatVersionError(StateError):
    """The files were written by a newer Perdure."""

    exit_code = 24

    def __init__(self, path: Path, *, found: object, supported: object) -> None:
        super().__init__(f"{path}: format {found}; this Perdure reads up to {supported}")
        self.path, self.found, self.supported = path, found, supported
        self.hint = "start the Perdure version that wrote it, or set DATA_DIR to another directory"


class NewerVersionError(StateError):
    """The files are of a format this Perdure reads, but a newer program wrote them.

    What it added would be lost or misread, so nothing is loaded and nothing changed.
    """

    exit_code = 37

    def __init__(self, path: Path, *, found: str, running: str) -> None:
        super().__init__(f"{path}: written by {found}; this is {running}")
        self.path, self.found, self.running = path, found, running
        self.hint = (
            f"start the versions that wrote it ({found}), or set DATA_DIR to another directory"
        )


# A store's collections: <account>_<region>.<cut>, as a base or a delta.
_OF_ENTRIES = re.compile(r"[^_]+_.+\.\d+\.(db|json|delta\.jsonl)")


def is_of_a_store(path: Path) -> bool:
    """Whether a file of a state directory can be set aside with its service.

    No server runs without the others: the identity, the manifest, and the file of
    what belongs to no store (``api_states/all/process/all.<cut>.state``).
    """
    if _OF_ENTRIES.fullmatch(path.name):
        return True
    return path.suffix == ".state" and path.parent.name != "process"


def repair_hint(path: Path) -> str:
    """What to do about a damaged file."""
    if is_of_a_store(path):
        return (
            "run `perdure check DIR`; restore the file from a backup, "
            "or set its service aside with `perdure state reset SERVICE`"
        )
    return "restore the file from a backup; `perdure check DIR` says what else is damaged"


def journal_hint(path: Path) -> str:
    """What to do about a journal that lacks or spoils what was durable."""
    return f"restore {path} from a backup; `perdure check DIR` says what else is damaged"


class CorruptionError(StateError):
    """Bytes on disk are not what was written, and no crash explains it."""

    exit_code = 30

    def __init__(self, path: Path, what: str, *, expected: object, found: object) -> None:
        super().__init__(f"{path}: {what}: expected {expected}, found {found}")
        self.path, self.what, self.expected, self.found = path, what, expected, found
        self.hint = repair_hint(path)


class LostManifestError(CorruptionError):
    """There are state files, and nothing says which of them are live."""

    exit_code = 36

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, "manifest", expected="the file that names the live ones", found="none"
        )
        self.hint = "restore manifest.json from a backup; the state files were left as they are"


class HostileStateError(CorruptionError):
    """A state file asks for something that state never needs, such as a callable."""

    exit_code = 31

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, "not plain state", expected="inert data", found=what)
        self.hint = (
            "do not use this file; `perdure state reset SERVICE` sets it aside"
            if is_of_a_store(path)
            else "do not use this directory; restore the file from a backup of your own"
        )


class CorruptRecordError(CorruptionError):
    """A journal record that was durable is not what was written.

    A crash cannot cause this: what a crash leaves is a torn tail, which is a normal end
    and no error.  So nothing is skipped or cut; a later record may depend on this one.
    """

    exit_code = 38

    def __init__(
        self, path: Path, what: str, *, offset: int, lsn: int, expected: object, found: object
    ) -> None:
        super().__init__(
            path, f"record {lsn} at byte {offset}: {what}", expected=expected, found=found
        )
        self.offset, self.lsn = offset, lsn
        self.hint = journal_hint(path)


class MissingSegmentError(CorruptionError):
    """Records of the journal that were durable are not there: a gap, or no such file."""

    exit_code = 39

    def __init__(self, path: Path, *, lsn: int, found: object) -> None:
        super().__init__(path, "journal", expected=f"record {lsn}", found=found)
        self.lsn = lsn
        self.hint = journal_hint(path)


class ForeignTailError(StateError):
    """Another engine wrote the tail of the journal, so replay would answer differently.

    Args:
        path: The segment.
        found: The fingerprint in its header, by name.
        running: The fingerprint of this engine.
    """

    exit_code = 40

    def __init__(self, path: Path, *, found: Mapping[str, str], running: Mapping[str, str]) -> None:
        names = sorted(n for n in {*found, *running} if found.get(n) != running.get(n))
        theirs = ", ".join(f"{name} {found.get(name, 'unknown')}" for name in names)
        ours = ", ".join(f"{name} {running.get(name, 'unknown')}" for name in names)
        super().__init__(f"{path}: written under {theirs}; this is {ours}")
        self.path, self.found, self.running = path, dict(found), dict(running)
        how = ", ".join(_way_back(name, found.get(name), running.get(name)) for name in names)
        self.hint = f"start with {how} and stop cleanly (`perdure stop`); then start this one"


def _way_back(name: str, theirs: str | None, ours: str | None) -> str:
    """A part of another engine's fingerprint, as it can be typed."""
    if name == "any_region" and theirs in ("true", "false"):
        return f"ALLOW_NONSTANDARD_REGIONS={int(theirs == 'true')}"
    if name == "settings":
        then, now = _variables(theirs), _variables(ours)
        typed = [f"{k}={shlex.quote(v)}" for k, v in then.items() if now.get(k) != v]
        typed += [f"{k} unset" for k in now if k not in then]
        return ", ".join(typed) or f"the MOTO_ variables {theirs or 'unset'}"
    return f"{name} {theirs or 'unknown'}"


def _variables(settings: str | None) -> dict[str, str]:
    """The MOTO_ variables of a fingerprint; none, if it is no text of ours."""
    try:
        found = json.loads(settings or "{}")
    except ValueError:
        return {}
    return {k: str(v) for k, v in sorted(found.items())} if isinstance(found, dict) else {}


class ForeignSegmentError(CorruptionError):
    """A segment of another state directory lies in this one's journal."""

    exit_code = 42

    def __init__(self, path: Path, *, instance: str, found: str) -> None:
        super().__init__(path, "instance", expected=instance, found=found)
        self.hint = f"move {path} back to the directory it is from; then `perdure check DIR`"


class NoRoomError(StateError):
    """The disk is too full to take another write; reads go on."""

    exit_code = 41

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: no room for writes: {reason}")
        self.path, self.reason = path, reason
        self.hint = "free space on that disk; writes go on by themselves within seconds"


class DurabilityError(StateError):
    """A write, fsync or rename failed.  Raised once, never retried.

    After a failed fsync the page cache may claim to hold what the disk lost,
    so trying again would only hide it.
    """

    exit_code = 32
    hint = (
        "see that the directory is there, free space or mend the disk; "
        "`perdure check DIR` says what is in it"
    )

    def __init__(self, path: Path, step: str, reason: str) -> None:
        super().__init__(f"{path}: {step} failed: {reason}")
        self.path, self.step, self.reason = path, step, reason


class LoadError(StateError):
    """A state file is whole but cannot become a living store."""

    exit_code = 33
    hint = "start the versions that wrote it, or set its service aside with `perdure state reset`"

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"store {store}: cannot be loaded: {reason}")
        self.store, self.reason = store, reason


class CaptureError(StateError):
    """A living object has no place in a state file; its store keeps its last saved state."""

    exit_code = 34
    hint = "report it with the path below; the other stores were saved"

    def __init__(self, store: str, path: str, reason: str) -> None:
        super().__init__(f"store {store}: cannot save {path}: {reason}")
        self.store, self.path, self.reason = store, path, reason


class NotRestoredError(StateError):
    """A save was asked for before the saved state was read."""

    exit_code = 35
    hint = "wait until `perdure wait` returns"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: not restored yet, so nothing may be saved over it")
        self.path = path


class ReplayError(StateError):
    """A replayed call answered otherwise than it did before the restart, and strictly so."""

    exit_code = 45
    hint = (
        "start with RECOVERY=tolerant, which keeps tail and checkpoint aside and marks the "
        "stores; or start the versions that wrote the journal"
    )

    def __init__(self, lsn: int, call: str, *, expected: str, found: str) -> None:
        super().__init__(f"LSN {lsn}: {call} diverged: expected answer {expected}, found {found}")
        self.lsn, self.call, self.expected, self.found = lsn, call, expected, found


class RecoveryStoppedError(StateError):
    """The server was stopped before it had replayed its journal; nothing was changed."""

    exit_code = 46
    hint = "start it again: it begins where it began this time"

    def __init__(self, replayed: int) -> None:
        super().__init__(f"stopped after {replayed} records were replayed")
        self.replayed = replayed
