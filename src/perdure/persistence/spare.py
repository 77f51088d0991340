"""The space of the next segment, allocated ahead: ``journal/spare.tmp``.

A segment is made by renaming the spare, so that a rotation never waits for space, and a
full disk is met while nothing is owed: the spare cannot be made, or the head-room is
gone, and writes are refused before one fails (``Journal.room_for``).  A spare is not
state; the next start makes a new one over it.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perdure.errors import DurabilityError
from perdure.persistence.files import CAUTIOUS, Files

log = logging.getLogger(__name__)

NAME = "spare.tmp"
# The disk, the user's quota or the file system's largest file; none of it harms what is there.
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Spare:
    """At most one allocated file, made by one thread and taken by another.

    Attributes:
        size: Of the spare, bytes; 0 = there is none.
        usual_bytes: How large it is unless a larger one is asked for.
        headroom_bytes: What the disk must have free besides.
        shortage: Why writes are refused; None = there is room.
    """

    def __init__(self, folder: Path, files: Files, usual_bytes: int, headroom_bytes: int) -> None:
        self.path = folder / NAME
        self.size = 0
        self.usual_bytes, self.headroom_bytes = usual_bytes, headroom_bytes
        self.shortage: str | None = None
        self._files = files
        self._lock = threading.Lock()
        self._descriptor = -1

    def look(self) -> None:
        """Make the spare if there is none, look at the disk, say whether there is room.

        Raises:
            DurabilityError: Something else than a full disk.
        """
        refusal = self._make(self.usual_bytes)
        free = self._free_bytes()
        reason = None if refusal is None else f"{refusal.step}: {refusal.reason}"
        if free < self.headroom_bytes:
            reason = f"{free} bytes are free, {self.headroom_bytes} are kept for a checkpoint"
        if reason and not self.shortage:
            log.warning("%s: no room for writes: %s", self.path.parent, reason)
        elif self.shortage and not reason:
            log.warning("%s: there is room for writes again", self.path.parent)
        self.shortage = reason

    def has(self, size: int) -> bool:
        """Whether there is a spare of that size, made now if need be.

        One that is too large for the disk does not make a shortage, but may cost the
        usual spare, until the next ``look``.
        """
        if self.size >= size:
            return True
        return self._free_bytes() - size >= self.headroom_bytes and self._make(size) is None

    @contextmanager
    def taken(self, size: int) -> Iterator[tuple[int, int]]:
        """Hand over the spare, made now if there is none as large: descriptor and size.

        It must have another name when the block ends.  Until then no new one is made:
        under the same name, that would empty the file that was handed over.

        Raises:
            DurabilityError: There is none and none can be made.
        """
        with self._lock:
            refusal = self._make_locked(size)
            if refusal is not None:
                raise refusal
            handed = self._descriptor, self.size
            self._descriptor, self.size = -1, 0
            yield handed

    def close(self) -> None:
        """Give the space back."""
        with self._lock:
            try:
                self._drop()
            except DurabilityError as error:
                log.warning("the spare stays until the next start: %s", error)

    def _make(self, size: int) -> DurabilityError | None:
        """See that there is a spare, all zeros, its size synced; why not, if the disk is full."""
        with self._lock:
            return self._make_locked(size)

    def _make_locked(self, size: int) -> DurabilityError | None:
        if self.size >= size:
            return None
        try:
            self._allocate(size)
        except DurabilityError as error:
            if _errno(error) not in NO_ROOM:
                raise
            # At once: on a full disk it may be what a checkpoint needs.
            self._drop()
            return error
        self.size = size
        return None

    def _allocate(self, size: int) -> None:
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | CAUTIOUS
            self._descriptor = self._files.step(
                "journal.create", self.path, lambda: os.open(self.path, flags, 0o600)
            )
        descriptor = self._descriptor
        self._files.step(
            "journal.allocate", self.path, lambda: os.posix_fallocate(descriptor, 0, size)
        )
        # So that a later fdatasync has no size to write, and takes half the time.
        self._files.step("journal.allocate.fsync", self.path, lambda: os.fsync(descriptor))

    def _drop(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self.size = -1, 0
            self._files.remove(self.path, what="journal")

    def _free_bytes(self) -> int:
        folder = self.path.parent
        found = self._files.step("journal.statvfs", folder, lambda: os.statvfs(folder))
        return found.f_bavail * found.f_frsize


def _errno(error: DurabilityError) -> int | None:
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None
