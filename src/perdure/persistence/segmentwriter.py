"""One segment of the journal while it is written: made, appended to, sealed.

Order of use: create -> append* -> sync* -> seal -> close; or reopen -> seal -> close.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from perdure.persistence.files import CAUTIOUS, Files, write_at
from perdure.persistence.keys import Lsn
from perdure.persistence.segment import (
    FRAME_BYTES,
    SegmentHeader,
    crc_of_header,
    encode_header,
    encode_record,
    encode_seal,
    name_of,
    seed_of,
)
from perdure.persistence.spare import Spare


class SegmentWriter:
    """An open segment.

    Attributes:
        path: Its file.
        first: Its first LSN.
        offset: Behind its last record, bytes.
        link: CRC of its last record header, or of its own.
        before: CRC of the last record header of the segment before.
    """

    def __init__(
        self,
        files: Files,
        path: Path,
        descriptor: int,
        *,
        first: Lsn,
        instance: str,
        size: int,
        offset: int,
        link: int,
        before: int,
    ) -> None:
        """Use ``create`` or ``reopen``."""
        self.path, self.first, self.offset = path, first, offset
        self.link, self.before = link, before
        self._files, self._descriptor = files, descriptor
        self._seed, self._size = seed_of(instance, first), size

    @classmethod
    def create(
        cls,
        files: Files,
        spare: Spare,
        *,
        first: Lsn,
        instance: str,
        before: int,
        fingerprint: Mapping[str, str],
        size: int,
        is_synced: bool,
    ) -> SegmentWriter:
        """Make the spare a segment of at least ``size`` bytes.

        Durability:
            The name after a sync of the folder; the header before it has its name if
            ``is_synced``, else after ``sync``.
        """
        header = encode_header(first, instance=instance, link=before, fingerprint=fingerprint)
        path = spare.path.with_name(name_of(first))
        with spare.taken(size) as (descriptor, allocated):
            try:
                _write_header(files, spare.path, descriptor, header, is_synced=is_synced)
                files.step("journal.rename", path, lambda: spare.path.replace(path))
            except BaseException:
                os.close(descriptor)
                raise
        return cls(
            files,
            path,
            descriptor,
            first=first,
            instance=instance,
            size=allocated,
            offset=len(header),
            link=crc_of_header(header),
            before=before,
        )

    @classmethod
    def reopen(
        cls, files: Files, path: Path, header: SegmentHeader, *, offset: int, link: int
    ) -> SegmentWriter:
        """A segment of an earlier run, to be sealed at ``offset``."""
        flags = os.O_WRONLY | CAUTIOUS
        return cls(
            files,
            path,
            files.step("journal.open", path, lambda: os.open(path, flags)),
            first=header.first,
            instance=header.instance,
            size=offset,
            offset=offset,
            link=link,
            before=header.link,
        )

    def fits(self, needed: int) -> bool:
        """Whether a record of that many bytes fits; room for the SEAL is never given away."""
        return self.offset + needed + FRAME_BYTES <= self._size

    def append(self, kind: int, parts: Sequence[bytes], *, lsn: int, durable: int) -> bool:
        """Write one record behind the last, in one system call; False = it does not fit."""
        data, crc = encode_record(
            kind, parts, lsn=lsn, durable=durable, link=self.link, seed=self._seed
        )
        descriptor, offset = self._descriptor, self.offset
        end = offset + len(data)
        if end + FRAME_BYTES > self._size:
            return False
        self._files.step(
            "journal.append.write", self.path, lambda: write_at(descriptor, data, offset)
        )
        self.offset, self.link = end, crc
        return True

    def sync(self) -> None:
        """Make what was written durable.  From any thread."""
        descriptor = self._descriptor
        self._files.step("journal.fsync", self.path, lambda: os.fdatasync(descriptor))

    def seal(self, following: Lsn) -> None:
        """Name the segment that follows, durably.  That one, and all in here, is on disk."""
        # Not ``.write``: 32 bytes within a sector are written or not, never in part.
        data = encode_seal(following, link=self.link, seed=self._seed)
        descriptor, offset = self._descriptor, self.offset
        self._files.step("journal.seal", self.path, lambda: write_at(descriptor, data, offset))
        self.sync()

    def close(self) -> None:
        """Close the file; twice is once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_header(
    files: Files, path: Path, descriptor: int, header: bytes, *, is_synced: bool
) -> None:
    files.step("journal.header.write", path, lambda: write_at(descriptor, header, 0))
    if is_synced:
        files.step("journal.header.fsync", path, lambda: os.fdatasync(descriptor))
