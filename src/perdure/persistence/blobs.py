"""Bodies on disk: bytes named by their SHA-256, written once and never changed.

    blobs/ab/ab<62 hex digits>    one blob; the folder is the name's first two digits
    blobs/incoming/<n>.tmp        one that is still arriving; the next start removes it

What a crash after each step of a writer leaves:

    1  create, write, write, ...        a leftover, which nothing names
    2  rename to its name               a blob that nothing names yet
    3  a record or a state file that
       names it is appended             the blob is in the page cache, as the record is
    4  ``sync``: fsync of the blob,
       fsync of its folder              the blob is on disk
    5  the record is synced             the record is, too

4 comes before 5 (``Journal`` calls ``sync`` before it syncs, a checkpoint before it
publishes), so no record is known to be durable whose blob is not.

A writer must write even what has a file of that name: only at the end is the name known.
Then the new bytes are dropped if the old ones are what the name says.  Of those that this
process wrote it is known; others are read for it, once, as a power cut may have left other
content under the right name.  They are never just written over: they may be on disk, and
named by what is on disk, and the new ones are in the page cache only.  Where they are
damaged, the new ones are synced before they take their place.

A blob goes when nothing names it any more (``sweep``).  What may name one: state files of
the manifest, records behind its cut, and holders in memory (``names``): bodies of living
objects, of calls that run, of answers under way, and writers.

Normative text: docs/on-disk-format.md, 9.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import re
import shutil
import stat
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from perdure.errors import CorruptionError, DurabilityError, NoRoomError
from perdure.persistence.files import CAUTIOUS, TEMPORARY, Files, kind_of
from perdure.persistence.keys import Lsn
from perdure.persistence.spare import NO_ROOM

log = logging.getLogger(__name__)

FOLDER, INCOMING = "blobs", "incoming"
NAME, SHARD = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{2}")
CHUNK = 1 << 20
# What a disk is asked for before it is needed.  In the page cache, not in our memory.
AHEAD_BYTES = 8 << 20
# A state file names its blobs in its header, which has a size that is not exceeded.
BLOBS_PER_STORE_MAX = 150_000
# What the disk must have free besides, until somebody knows better.
HEADROOM_BYTES = 16 << 20
# Without a state directory nothing else sweeps: done again after so many bytes.
SWEEP_BYTES = 256 << 20
# Digests that are also wanted and cost a pass over the bytes; a cache.
DIGESTS_KEPT = 1024


class Blob(NamedTuple):
    """A blob's name, 64 hex digits, and its size, bytes."""

    name: str
    size: int


class Holder(Protocol):
    """What keeps blobs from being swept for as long as it lives."""

    @property
    def names(self) -> frozenset[str]:
        """Of the blobs it holds."""


def file_of(name: str) -> str:
    """Where a blob stands, relative to the state directory."""
    # Whoever calls has checked it where it came from; a path is not made of anything else.
    assert NAME.fullmatch(name), name
    return f"{FOLDER}/{name[:2]}/{name}"


class BlobStore:
    """The blobs of one state directory.  Methods may be called from any thread."""

    def __init__(self, root: Path | None, files: Files | None = None) -> None:
        """Use the blobs below ``root``, a state directory that this process has locked.

        None = a folder of its own, made when it is first needed, which ``close`` removes:
        for a server that keeps nothing.
        """
        self.files = files or Files()
        self.headroom_bytes = HEADROOM_BYTES
        self._root = root
        self._is_temporary = root is None
        self._numbers = itertools.count(1)
        self._rooting = threading.Lock()
        # Order: a sweep, a sync, what is noted here.  The last is held for moments only, as
        # the event loop waits for it.
        self._sweeping, self._settling = threading.Lock(), threading.Lock()
        self._lock = threading.Lock()
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()
        # Written or read by this process, so known to be what their names say.
        self._written: set[str] = set()
        # Written and not on disk yet.
        self._pending: dict[str, None] = {}
        # Since the sweep that is under way began.
        self._recent: set[str] = set()
        # Being removed at this moment, and when one of these is gone.
        self._going: set[str] = set()
        self._gone = threading.Condition(self._lock)
        # The last record of the journal that names a blob.
        self._recorded: dict[str, Lsn] = {}
        # All on disk; None = not looked yet.
        self._known: set[str] | None = None
        self._digests: dict[str, str] = {}
        self._failure: DurabilityError | None = None
        self._unswept_bytes = 0

    @property
    def unswept_bytes(self) -> int:
        """What was put since the last sweep."""
        return self._unswept_bytes

    @property
    def root(self) -> Path:
        """The folder that ``blobs/`` is in."""
        with self._rooting:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix="perdure-blobs-"))
            return self._root

    def close(self) -> None:
        """Remove a folder that was made for this process alone; any other stays."""
        if self._is_temporary and self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    # ---------------------------------------------------------------- writing

    def clear_incoming(self) -> int:
        """Remove what a process that died was receiving; how many files.

        Raises:
            DurabilityError: They cannot be listed, or one cannot be removed.
        """
        folder = self.root / FOLDER / INCOMING
        left = [name for name in self._listed(folder) if name.endswith(TEMPORARY)]
        for name in left:
            self.files.remove(folder / name, what="blob")
        return len(left)

    def has_room(self, size: int) -> bool:
        """Whether the disk holds that many bytes more, and what is kept for a checkpoint."""
        found = self.files.step("blob.statvfs", self.root, lambda: os.statvfs(self.root))
        return found.f_bavail * found.f_frsize - size >= self.headroom_bytes

    def no_room(self, size: int) -> NoRoomError:
        """What to raise where ``has_room`` said no."""
        return NoRoomError(self.root / FOLDER, f"a body needs {size} bytes")

    def begin(self) -> BlobWriter:
        """Start to write a blob.

        Raises:
            NoRoomError: The disk is full.
            DurabilityError: It cannot be written to.
        """
        folder = self.root / FOLDER / INCOMING
        with _full_disk_said(folder):
            self.files.make_folder(folder, what="blob")
            # A process has the directory alone, and has removed what others left.
            return BlobWriter(self, folder / f"{next(self._numbers)}{TEMPORARY}")

    def put(self, writer: BlobWriter, blob: Blob) -> None:
        """Give a written file its name, or drop it if it is there already; for the writer.

        A file of that name is read: that costs a pass over its bytes, if it is as long, in the
        thread that ends the writer.  Whoever puts the same again may do so because it was
        damaged.

        Raises:
            NoRoomError: The disk is full.
            DurabilityError: It could not be done.

        Durability:
            What was on disk under that name, and whole, still is.
        """
        path = self.root / file_of(blob.name)
        with _full_disk_said(path):
            self.files.make_folder(path.parent, what="blob")
            is_known = self._want(writer, blob)
            # Without the lock: others go on while gigabytes are read.
            is_whole = self._is_whole(blob, content=True)
            if not is_whole and os.path.lexists(path):
                # A power cut may keep the new name and not the new bytes, and what stands
                # there may have been damaged in a way that can be mended.
                self._sync_one(writer.path)
            with self._lock:
                # Asked again: another may have put the same meanwhile, and synced it.
                if self._is_known(blob) and (is_whole or not is_known):
                    self.files.discard_temporary(writer.path)
                else:
                    self._name_or_drop(writer, blob, is_whole=is_whole)
        self.note_md5(blob.name, writer.md5.hexdigest())
        if self._is_temporary and self._unswept_bytes > SWEEP_BYTES:
            self.sweep((), cut=Lsn(0))

    def _want(self, writer: BlobWriter, blob: Blob) -> bool:
        """Keep a name from sweeps; whether this process wrote its blob, and it is there."""
        with self._gone:
            self._gone.wait_for(lambda: blob.name not in self._going)
            writer.names = frozenset({blob.name})
            self._recent.add(blob.name)
            self._holders.add(writer)
            self._unswept_bytes += blob.size
            return self._is_known(blob)

    def _name_or_drop(self, writer: BlobWriter, blob: Blob, *, is_whole: bool) -> None:
        """Drop the new bytes or name them.  Needs the lock."""
        if is_whole:
            self.files.discard_temporary(writer.path)
        else:
            path = self.root / file_of(blob.name)
            self.files.step("blob.rename", path, lambda: writer.path.replace(path))
        self._written.add(blob.name)
        # What another process wrote may be in the page cache only, too.
        self._pending[blob.name] = None
        if self._known is not None:
            self._known.add(blob.name)

    def _is_known(self, blob: Blob) -> bool:
        return blob.name in self._written and self._is_whole(blob)

    # ---------------------------------------------------------------- durable

    def pend(self, names: Iterable[str]) -> None:
        """Note blobs that may be in the page cache only: of a process that died."""
        with self._lock:
            self._pending.update(dict.fromkeys(names))

    def sync(self) -> None:
        """Make all blobs durable that were written so far.

        Raises:
            DurabilityError: The disk refused; so will every later call, since the page
                cache may now claim to hold what the disk lost.

        Durability:
            Content and names of all blobs written before the call are on disk.
        """
        if self._is_temporary:
            return
        with self._settling:
            # Within: what another thread has taken and still syncs is not on disk yet, and
            # it may be about to fail.
            if self._failure is not None:
                raise self._failure
            with self._lock:
                names, self._pending = list(self._pending), {}
            try:
                for name in names:
                    self._sync_one(self.root / file_of(name))
                for folder in sorted({name[:2] for name in names}):
                    self.files.sync_folder(self.root / FOLDER / folder, what="blob")
            except DurabilityError as error:
                self._failure = error
                raise

    def _sync_one(self, path: Path) -> None:
        descriptor = self.files.step(
            "blob.open", path, lambda: os.open(path, os.O_RDONLY | CAUTIOUS)
        )
        try:
            self.files.step("blob.fsync", path, lambda: os.fsync(descriptor))
        finally:
            os.close(descriptor)

    # ---------------------------------------------------------------- reading

    def open(self, blob: Blob) -> int:
        """A descriptor to read a blob by, after a look at its size; the caller closes it.

        Raises:
            CorruptionError: It is missing, no file, of another size, or unreadable.
        """
        path = self.root / file_of(blob.name)
        try:
            descriptor = os.open(path, os.O_RDONLY | CAUTIOUS)
        except OSError as error:
            raise self.damaged(blob, error.strerror) from error
        found = os.fstat(descriptor)
        is_file = stat.S_ISREG(found.st_mode)
        if is_file and found.st_size == blob.size:
            return descriptor
        os.close(descriptor)
        kind = f"{found.st_size} bytes" if is_file else kind_of(found.st_mode)
        raise self.damaged(blob, kind)

    def expect(self, blob: Blob, at: int, length: int) -> None:
        """Say that these bytes will be read soon.  A blob that is damaged is met then."""
        with suppress(CorruptionError):
            descriptor = self.open(blob)
            try:
                advise(descriptor, at, min(length, AHEAD_BYTES))
            finally:
                os.close(descriptor)

    def damaged(self, blob: Blob, found: object) -> CorruptionError:
        """What to raise where a blob is not what it should be."""
        path = self.root / file_of(blob.name)
        return CorruptionError(path, "blob", expected=f"a file of {blob.size} bytes", found=found)

    def check(self, blob: Blob, *, content: bool = False) -> None:
        """See that a blob is there, and as long as it should be.

        Args:
            blob: Which.
            content: Whether to read it all and compare its hash, too.

        Raises:
            CorruptionError: It is not.
        """
        descriptor = self.open(blob)
        try:
            if content:
                self._check_content(blob, descriptor)
        except OSError as error:
            raise self.damaged(blob, error.strerror) from error
        finally:
            os.close(descriptor)

    def _check_content(self, blob: Blob, descriptor: int) -> None:
        seen = hashlib.sha256()
        while data := os.read(descriptor, CHUNK):
            seen.update(data)
        if seen.hexdigest() != blob.name:
            raise CorruptionError(
                self.root / file_of(blob.name),
                "blob content",
                expected=f"SHA-256 {blob.name}",
                found=seen.hexdigest(),
            )

    def _is_whole(self, blob: Blob, *, content: bool = False) -> bool:
        try:
            self.check(blob, content=content)
        except CorruptionError:
            return False
        return True

    def md5_of(self, name: str) -> str | None:
        """The MD5 of a blob, hex, if it was noted lately."""
        return self._digests.get(name)

    def note_md5(self, name: str, digest: str) -> None:
        """Note what another pass over a blob would find."""
        with self._lock:
            self._digests[name] = digest
            while len(self._digests) > DIGESTS_KEPT:
                del self._digests[next(iter(self._digests))]

    # --------------------------------------------------------------- sweeping

    def hold(self, holder: Holder) -> None:
        """Keep what ``holder`` names for as long as it lives."""
        with self._lock:
            self._holders.add(holder)

    def recorded(self, names: Iterable[str], lsn: Lsn) -> None:
        """Note that a record of the journal names blobs."""
        with self._lock:
            self._recorded.update(dict.fromkeys(names, lsn))

    def sweep(self, named: Iterable[str], *, cut: Lsn) -> list[str]:
        """Remove what nothing names.

        Args:
            named: What the state files of the live manifest name, and what was set aside.
            cut: That manifest's: records up to it are retired, and name nothing.

        Returns:
            The names of the blobs that were removed.

        Raises:
            DurabilityError: A folder cannot be listed; nothing is gone.  Or a blob cannot
                be removed; those before it are.
        """
        with self._sweeping:
            on_disk = self._on_disk() if self._known is None else set()
            with self._lock:
                if self._known is None:
                    # What came while it was looked through is there, seen or not.
                    self._known = on_disk | self._written
                self._recent.clear()
                self._unswept_bytes = 0
                self._recorded = {n: lsn for n, lsn in self._recorded.items() if lsn > cut}
                wanted = set(named) | self._recorded.keys()
                for holder in list(self._holders):
                    wanted |= holder.names
                unwanted = sorted(self._known - wanted)
            return [name for name in unwanted if self._remove(name)]

    def _remove(self, name: str) -> bool:
        if not self._let_go(name):
            return False
        is_gone = False
        try:
            # Without a lock: a large file takes a while, and each sync and put would wait.
            self.files.remove(self.root / file_of(name), what="blob")
            is_gone = True
        finally:
            with self._gone:
                self._going.discard(name)
                if not is_gone and self._known is not None:
                    self._known.add(name)
                self._gone.notify_all()
        return is_gone

    def _let_go(self, name: str) -> bool:
        """Forget a blob that is to be removed, if nobody has asked for it since."""
        # A sync that is under way may open it at any moment; a later one does not see it, as
        # it is put again only when it is gone.
        with self._settling, self._lock:
            if name in self._recent or name in self._recorded:
                return False
            self._going.add(name)
            self._written.discard(name)
            self._pending.pop(name, None)
            assert self._known is not None
            self._known.discard(name)
            return True

    def _on_disk(self) -> set[str]:
        top = self.root / FOLDER
        folders = filter(SHARD.fullmatch, self._listed(top))
        return {
            name
            for folder in folders
            for name in self._listed(top / folder)
            if NAME.fullmatch(name) and name.startswith(folder)
        }

    def _listed(self, folder: Path) -> list[str]:
        """What is in a folder; nothing if it is none, or is gone."""
        # Around each listing: what one folder lacks says nothing about the next.
        return self.files.step("blob.list", folder, partial(_names_in, folder))


class BlobWriter:
    """Writes one blob.  ``commit`` or ``discard`` ends it.

    Both wait for a write that is under way in another thread; a later one is an error.

    Attributes:
        names: Of the blob it wrote: it holds it.
        md5: Of what was written so far, for S3's ETags: another pass would cost more.
    """

    def __init__(self, store: BlobStore, path: Path) -> None:
        """Use ``BlobStore.begin``."""
        self.store, self.path = store, path
        self.names: frozenset[str] = frozenset()
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._sha = hashlib.sha256()
        # A descriptor that is closed may be another file's a moment later: nobody closes it
        # while somebody writes to it.  Re-entrant: a write that fails discards.
        self._using = threading.RLock()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | CAUTIOUS
        self._descriptor = store.files.step(
            "blob.create", path, lambda: os.open(path, flags, 0o600)
        )

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            NoRoomError: The disk is full; the writer is discarded.
            DurabilityError: It could not be written, or the writer has ended; the same.
        """
        with self._using:
            self._refuse_ended()
            try:
                self._append(data)
            except (NoRoomError, DurabilityError):
                self.discard()
                raise
            self._sha.update(data)
            self.md5.update(data)
            self.size += len(data)

    def _append(self, data: bytes) -> None:
        with _full_disk_said(self.path):
            if not self.store.has_room(len(data)):
                raise self.store.no_room(self.size + len(data))
            step = partial(_write_all, self._descriptor, data)
            self.store.files.step("blob.write", self.path, step)

    def _refuse_ended(self) -> None:
        if self._descriptor < 0:
            raise DurabilityError(self.path, "blob.write", "its writer has ended")

    def commit(self) -> Blob:
        """Give what was written its name.  The writer holds it as long as it lives.

        Raises:
            NoRoomError: The disk is full; the writer is discarded.
            DurabilityError: It could not be done, or the writer has ended; the same.

        Durability:
            In the page cache: survives the death of the process.  ``BlobStore.sync`` for
            more.
        """
        with self._using:
            self._refuse_ended()
            blob = Blob(self._sha.hexdigest(), self.size)
            self._close()
            try:
                self.store.put(self, blob)
            except (NoRoomError, DurabilityError):
                self.names = frozenset()
                self.discard()
                raise
            return blob

    def discard(self) -> None:
        """Drop what was written, if it was not committed; twice is once."""
        with self._using:
            self._close()
            if not self.names:
                self.store.files.discard_temporary(self.path)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def _full_disk_said(path: Path) -> Iterator[None]:
    """Within, a full disk is ``NoRoomError``: nothing was acknowledged, so nothing ends."""
    try:
        yield
    except DurabilityError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            raise NoRoomError(path, f"{error.step}: {error.reason}") from error
        raise


def advise(descriptor: int, at: int, length: int) -> None:
    """Ask for bytes ahead of a read, where the system knows how; never an error."""
    if length > 0 and hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, at, length, os.POSIX_FADV_WILLNEED)


def _names_in(folder: Path) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)  # noqa: PTH208
    return []


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
