"""A disk that fails where it is told to, and forgets what was not synced.

``FaultyFiles`` counts the named steps of ``Files`` from 1.  It can stop at one
(the machine loses power), fail it once, fail from it on, or write short there.
``after_power_loss`` then builds the directory the next start would find:

    cache-kept   everything the system calls did, as after the death of a process
    cache-lost   only names and bytes that were fsynced
    data-lost    all names, but of the bytes only those that were fsynced: what a
                 rename without an fsync before it leaves on some file systems
    reordered    all names, and of the bytes not fsynced any sectors, chosen by the number
                 of steps: later ones may be there and earlier ones not

Bytes appended to an open file and ``fdatasync`` are modelled alike: a step that ends in
``.fsync`` makes all there is in its file durable.

The disk is the real one, below a folder; beside it, ``FaultyFiles`` notes for each
file which bytes were synced and for each folder which names were.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal
from unittest import mock

from perdure.errors import DurabilityError
from perdure.persistence.files import Files

Kept = Literal["cache-kept", "cache-lost", "data-lost", "reordered"]
KEPT: tuple[Kept, ...] = ("cache-kept", "cache-lost", "data-lost", "reordered")
FAULTS = ("stop", "stop-within", "stop-after", "fail-once", "fail-on", "short-write")
SECTOR = 512


class PowerLoss(BaseException):
    """The machine stopped at this step."""


@dataclass(slots=True)
class Step:
    """One step that was asked for."""

    name: str
    path: Path
    result: str = "done"


@dataclass
class _Disk:
    """What would survive: by file identity, the synced bytes; by folder, the synced names."""

    root: Path
    identity: dict[int, int] = field(default_factory=dict)
    synced: dict[int, bytes] = field(default_factory=dict)
    names: dict[Path, dict[str, int | None]] = field(default_factory=dict)
    count: int = 0

    def begin(self) -> None:
        """All there is now is durable."""
        for folder, _, files in os.walk(self.root):
            for name in files:
                path = Path(folder, name)
                self.created(path)
                self.sync_file(path)
            self.sync_folder(Path(folder))

    def created(self, path: Path) -> None:
        self.count += 1
        self.identity[path.stat().st_ino] = self.count

    def identity_of(self, path: Path) -> int:
        number = path.stat().st_ino
        if number not in self.identity:
            self.created(path)
        return self.identity[number]

    def sync_file(self, path: Path) -> None:
        self.synced[self.identity_of(path)] = path.read_bytes()

    def listing(self, folder: Path) -> dict[str, int | None]:
        return {
            entry.name: None if entry.is_dir() else self.identity_of(entry)
            for entry in folder.iterdir()
        }

    def sync_folder(self, folder: Path) -> None:
        self.names[folder] = self.listing(folder)

    def rebuild(self, target: Path, kept: Kept, chance: Random) -> None:
        self._rebuild(self.root, target, kept, chance)

    def _rebuild(self, folder: Path, target: Path, kept: Kept, chance: Random) -> None:
        target.mkdir(exist_ok=True)
        names = self.names.get(folder, {}) if kept == "cache-lost" else self.listing(folder)
        for name, number in sorted(names.items()):
            if number is None:
                self._rebuild(folder / name, target / name, kept, chance)
                continue
            data = self.synced.get(number, b"")
            if kept == "reordered":
                data = _some_sectors(data, (folder / name).read_bytes(), chance)
            (target / name).write_bytes(data)


class FaultyFiles(Files):
    """The disk, with one fault.

    Args:
        at: The step at which it happens, from 1; 0 = never.
        fault: ``stop`` before the step is done, ``stop-within`` (half the bytes),
            ``stop-after`` it, ``fail-once``, ``fail-on`` from there on, ``short-write``
            (half the bytes, then an error).
        code: The ``errno`` of failures.
        only: Steps whose name contains this are counted, and no others.
        root: Folder for ``after_power_loss``; what it holds now counts as durable.
    """

    def __init__(
        self,
        *,
        at: int = 0,
        fault: str = "stop",
        code: int = errno.EIO,
        only: str = "",
        root: Path | None = None,
    ) -> None:
        assert fault in FAULTS, fault
        self.at, self.fault, self.code, self.only = at, fault, code, only
        self.steps: list[Step] = []
        self.counted = 0
        self._stopped = False
        self._disk = None if root is None else _Disk(root)
        if self._disk is not None:
            self._disk.begin()

    @property
    def names(self) -> list[str]:
        """The names of the steps so far."""
        return [step.name for step in self.steps]

    @property
    def happened(self) -> bool:
        """Whether the fault was reached."""
        return 0 < self.at <= self.counted

    def step(self, name: str, path: Path, action: Callable[[], Any]) -> Any:
        """As the real one, unless it is this step's turn to go wrong."""
        if self._stopped:
            raise PowerLoss(name)
        step = Step(name, path)
        self.steps.append(step)
        self.counted += self.only in name
        if self.only in name and self._is_due():
            if self.fault in ("stop", "stop-within"):
                step.result = "stopped"
                if self.fault == "stop-within" and name.endswith(".write"):
                    with _short_writes(), suppress(DurabilityError):
                        super().step(name, path, action)
                self._stopped = True
                raise PowerLoss(name)
            if self.fault == "short-write" and name.endswith(".write"):
                step.result = "short"
                with _short_writes():
                    super().step(name, path, action)
            if self.fault in ("fail-once", "fail-on", "short-write"):
                step.result = "failed"
                reason = os.strerror(self.code)
                raise DurabilityError(path, name, reason) from OSError(self.code, reason)
        result = super().step(name, path, action)
        self._note(name, path)
        if self.only in name and self._is_due() and self.fault == "stop-after":
            step.result = "stopped after"
            self._stopped = True
            raise PowerLoss(name)
        return result

    def continuing(self, other: FaultyFiles) -> FaultyFiles:
        """Take over what another one noted about the same disk; returns itself."""
        self._disk = other._disk
        return self

    def after_power_loss(self, target: Path, kept: Kept) -> Path:
        """Build in ``target`` what the next start finds; returns it."""
        assert self._disk is not None
        if kept == "cache-kept":
            _copy(self._disk.root, target)
        else:
            self._disk.rebuild(target, kept, Random(len(self.steps)))
        return target

    def _is_due(self) -> bool:
        if self.fault == "fail-on":
            return 0 < self.at <= self.counted
        return self.counted == self.at

    def _note(self, name: str, path: Path) -> None:
        disk = self._disk
        if disk is None:
            return
        kind = name.rpartition(".")[2]
        if kind == "create":
            disk.created(path)
        elif kind == "fsync":
            disk.sync_file(path)
        elif kind == "fsync-folder":
            disk.sync_folder(path)


@contextmanager
def _short_writes() -> Iterator[None]:
    """The next ``os.write`` or ``os.pwrite`` takes half, the one behind it finds no room."""
    write, pwrite = os.write, os.pwrite
    calls = 0

    def half(data: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return bytes(data)[: max(1, len(data) // 2)]

    with (
        mock.patch("os.write", lambda d, data: write(d, half(data))),
        mock.patch("os.pwrite", lambda d, data, at: pwrite(d, half(data), at)),
    ):
        yield


def _some_sectors(synced: bytes, current: bytes, chance: Random) -> bytes:
    """A file of which each sector is as it was synced, or as it was written since."""
    size = len(chance.choice((synced, current)))
    both = [data.ljust(size, b"\0") for data in (synced, current)]
    sectors = range(0, size, SECTOR)
    return b"".join(chance.choice(both)[at : at + SECTOR] for at in sectors)[:size]


def _copy(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _copy(entry, target / entry.name)
        else:
            (target / entry.name).write_bytes(entry.read_bytes())
