"""The journal behind a checkpoint: found, judged, cut where it is torn, read in order.

Segments whose records all lie before the cut are not looked at; the others must
follow each other without a gap, each linked to the one before.  The verdict:

    clean                 the records end where zeros begin
    torn                  what a crash leaves: the record at x is not whole, or a blob it
                          names is not (``lost``), and nothing proves that it was durable;
                          x and all behind it is kept aside in quarantine/ and cut
    CorruptRecordError    the same, but x was durable
    MissingSegmentError   a segment that was durable is not there
    ForeignSegmentError · FormatVersionError · CorruptionError
                          no segment of this directory, this format, this place

A power cut may lose, keep or reorder any page that was not synced, so damage alone
proves nothing.  What proves that x was durable: a whole record header behind it that says
so (searched for at every place where one may stand, in later segments too), the SEAL of
the segment before, or the manifest's cut.  Hence damage to the very last record counts as
torn.  Order of a repair, so that a crash within leaves the same verdict or a finished
repair: later segments are moved, last one first; the bytes from x on are copied; the cut.

Order of use: read_tail -> records -> Journal.open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from perdure.errors import (
    CorruptionError,
    CorruptRecordError,
    ForeignSegmentError,
    MissingSegmentError,
)
from perdure.persistence.files import CAUTIOUS, TEMPORARY, Files, write_at
from perdure.persistence.keys import Lsn
from perdure.persistence.segment import (
    CHUNK,
    FOLDER,
    SUFFIX,
    End,
    Flaw,
    Record,
    SegmentHeader,
    SegmentReader,
    first_of,
    name_of,
)

QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Torn:
    """What a crash left behind the last whole record.

    Attributes:
        segment: Where it begins, relative to the state directory.
        offset: There, bytes.
        lsn: Of the first record that is not whole.
        bytes: How many that are not zero were cut, or would be.
        reason: What is wrong with that record.
        kept: Where the bytes are now, relative to the state directory; empty as long as
            nothing was cut.
    """

    segment: str
    offset: int
    lsn: Lsn
    bytes: int
    reason: str
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        done = f"cut and kept in {', '.join(self.kept)}" if self.kept else "not cut yet"
        where = f"{self.segment} at byte {self.offset}"
        return f"torn from record {self.lsn} on ({where}: {self.reason}): {self.bytes} bytes {done}"


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """One segment that was read, up to where its records end."""

    path: Path
    header: SegmentHeader
    end: End


@dataclass(frozen=True, slots=True)
class Tail:
    """A journal as a start finds it.

    Attributes:
        path: The state directory.
        instance: Whose journal it is, 32 hex digits.
        cut: Records up to this one are in the checkpoint.
        segments: Those that hold records behind the cut, or would.
        torn: What was cut, or would be; None = nothing.
    """

    path: Path
    instance: str
    cut: Lsn
    segments: tuple[LiveSegment, ...] = ()
    torn: Torn | None = None

    @property
    def verdict(self) -> str:
        """``clean`` or ``torn``; everything else is an error."""
        return "clean" if self.torn is None else "torn"

    @property
    def next_lsn(self) -> Lsn:
        """What the next record gets."""
        last = self.segments[-1].end.next_lsn if self.segments else 0
        return Lsn(max(last, self.cut + 1))

    @property
    def count(self) -> int:
        """How many records ``records`` gives."""
        return self.next_lsn - 1 - self.cut

    @property
    def bytes(self) -> int:
        """How many bytes the records of its segments take, about."""
        return sum(live.end.offset - live.header.size for live in self.segments)

    def fingerprints(self) -> list[tuple[Path, Mapping[str, str]]]:
        """Segment and fingerprint of each engine that wrote records behind the cut, in order."""
        return [
            (live.path, live.header.fingerprint)
            for live in self.segments
            if live.end.next_lsn > max(live.header.first, self.cut + 1)
        ]

    def records(self) -> Iterator[Record]:
        """Every record behind the cut, in order, one in memory at a time.

        Raises:
            CorruptRecordError: A file is not what it was when it was judged.
            MissingSegmentError: Or it is gone.
        """
        for live in self.segments:
            with _opened(live.path, self.instance) as reader:
                yield from self._records(reader, live)

    def _records(self, reader: SegmentReader, live: LiveSegment) -> Iterator[Record]:
        last = live.end.next_lsn - 1
        if last <= self.cut or last < live.header.first:
            return
        for record in reader.records(live.header, with_payload=True):
            if record.lsn > self.cut:
                yield record
            if record.lsn == last:
                return
        assert reader.end is not None
        raise _corrupt(live.path, reader.end.flaw or _absent(reader.end, "it was read before"))


def read_tail(
    path: Path,
    *,
    cut: Lsn,
    instance: str,
    segment: Lsn | None = None,
    known_durable: int = 0,
    files: Files | None = None,
) -> Tail:
    """Judge the journal of a state directory.

    Args:
        path: The state directory.
        cut: The live checkpoint's: earlier records are not needed.
        instance: From ``perdure.json``; segments of others are refused.
        segment: The manifest's ``segment``; None = there need be no journal.
        known_durable: Records up to this one were durable, whatever the journal says.
            The manifest's cut where it names a segment, else 0.
        files: The disk on which a torn tail is cut, for a start; None = change nothing.

    Raises:
        CorruptRecordError: A record that was durable is not what was written.
        MissingSegmentError: One that was durable is not there.
        ForeignSegmentError: A segment is of another directory.
        FormatVersionError: A newer Perdure wrote one.
        CorruptionError: One is no regular file, misnamed, or of another chain.
        DurabilityError: The torn tail could not be kept or cut.

    Durability:
        With ``files``, what was torn is on disk in ``quarantine/`` before it is cut, and
        the cut is on disk when this returns.
    """
    scan = _Scan(path / FOLDER, instance, segment, known_durable)
    live = scan.run(_live_segments(path / FOLDER, cut, segment))
    tail = Tail(path, instance, cut, tuple(live))
    if scan.torn is None:
        return tail
    index, flaw = scan.torn
    torn = scan.describe(index, flaw)
    if files is not None:
        kept = _repair(files, path, scan.paths[index:], offset=flaw.offset, bytes_=scan.torn_bytes)
        torn = replace(torn, kept=tuple(kept))
    return replace(tail, torn=torn)


def cut_from(tail: Tail, record: Record, lost: CorruptionError, *, files: Files | None) -> Tail:
    """Take a record that never was durable, and all behind it, for a torn tail.

    Args:
        tail: What ``read_tail`` found.
        record: One of its records, of which a power cut has taken what it names.
        lost: What is missing of it.
        files: As for ``read_tail``.

    Raises:
        DurabilityError: The torn tail could not be kept or cut.

    Durability:
        As for ``read_tail``.
    """
    index = next(i for i, live in enumerate(tail.segments) if record.lsn < live.end.next_lsn)
    scan = _Scan(tail.path / FOLDER, tail.instance, None, 0)
    scan.paths = [live.path for live in tail.segments]
    flaw = Flaw(record.offset, record.lsn, f"{lost.path}", lost.expected, lost.found)
    torn = scan.describe(index, flaw)
    before = tail.torn
    if before is not None:
        torn = replace(torn, bytes=torn.bytes + before.bytes, kept=before.kept)
    if files is None:
        return replace(tail, torn=torn)
    kept = _repair(
        files, tail.path, scan.paths[index:], offset=record.offset, bytes_=scan.torn_bytes
    )
    rest = read_tail(tail.path, cut=tail.cut, instance=tail.instance)
    return replace(rest, torn=replace(torn, kept=(*kept, *torn.kept)))


def segments_of(path: Path) -> list[Path]:
    """Every segment of a state directory, in order.

    Raises:
        CorruptionError: A ``.wal`` has no name of a segment.
    """
    return sorted((path / FOLDER).glob(f"*{SUFFIX}"), key=first_of)


def _live_segments(folder: Path, cut: Lsn, segment: Lsn | None) -> list[Path]:
    """From the one that holds the record behind the cut, or would."""
    paths = segments_of(folder.parent)
    before = [path for path in paths if first_of(path) <= cut + 1]
    live = paths[max(0, len(before) - 1) :]
    start = first_of(live[0]) if live else None
    if segment is not None and (not before or first_of(before[-1]) < segment):
        raise MissingSegmentError(folder / name_of(segment), lsn=cut + 1, found="no such file")
    if start is not None and start > cut + 1:
        raise MissingSegmentError(live[0], lsn=cut + 1, found=f"record {start} first")
    return live


class _Scan:
    """Segment after segment, until one is torn."""

    def __init__(
        self, folder: Path, instance: str, segment: Lsn | None, known_durable: int
    ) -> None:
        self.folder, self.instance = folder, instance
        self.segment, self.known_durable = segment, known_durable
        self.paths: list[Path] = []
        self.torn: tuple[int, Flaw] | None = None
        self.torn_bytes = 0

    def run(self, paths: list[Path]) -> list[LiveSegment]:
        """The segments up to the torn one; a torn header does not count as one."""
        self.paths = paths
        live: list[LiveSegment] = []
        for index, path in enumerate(paths):
            before = live[-1] if live else None
            if before is not None and self._is_cut_off(index, before, first_of(path)):
                return live
            found = self._read(path, before)
            if isinstance(found, Flaw):
                # A header is on disk before a SEAL or a manifest names it.
                is_named = before.end.is_sealed if before else found.lsn == self.segment
                self._judge(index, found, is_proven=is_named)
                return live
            live.append(found)
            if found.end.flaw is not None:
                self._judge(index, found.end.flaw, is_proven=found.end.is_sealed)
                return live
        if live:
            self._check_end(live[-1])
        return live

    def _is_cut_off(self, index: int, before: LiveSegment, first: Lsn) -> bool:
        """Whether records between two segments are gone that never were durable."""
        missing = before.end.next_lsn
        if first < missing:
            raise CorruptionError(
                self.paths[index], "first LSN", expected=missing, found=f"{first} in its name"
            )
        if first == missing:
            return False
        if before.end.is_sealed:
            raise MissingSegmentError(
                self.folder / name_of(missing), lsn=missing, found=f"record {first} next"
            )
        flaw = _absent(before.end, f"record {first} is there")
        if missing <= self.known_durable or self._proof(index - 1, flaw) is not None:
            raise MissingSegmentError(self.paths[index], lsn=missing, found=f"record {first} next")
        self._judge(index - 1, flaw, is_proven=False)
        return True

    def _read(self, path: Path, before: LiveSegment | None) -> LiveSegment | Flaw:
        with _opened(path, self.instance) as reader:
            header = reader.header()
            if isinstance(header, Flaw):
                return header
            if header.instance != self.instance:
                raise ForeignSegmentError(path, instance=self.instance, found=header.instance)
            if before is not None and header.link != before.end.link:
                raise CorruptionError(
                    path,
                    "link",
                    expected=f"{before.end.link:#010x}, of {before.path.name}",
                    found=f"{header.link:#010x}",
                )
            for _ in reader.records(header, with_payload=False):
                pass
            assert reader.end is not None
            return LiveSegment(path, header, reader.end)

    def _check_end(self, last: LiveSegment) -> None:
        end = last.end
        if end.is_sealed:
            following = self.folder / name_of(end.next_lsn)
            raise MissingSegmentError(following, lsn=end.next_lsn, found="no such file")
        if end.next_lsn <= self.known_durable:
            raise _corrupt(last.path, _absent(end, f"record {self.known_durable} was durable"))

    def _judge(self, index: int, flaw: Flaw, *, is_proven: bool) -> None:
        """Note a torn tail, or raise.

        Raises:
            CorruptRecordError: The record at the flaw was durable.
        """
        if is_proven or flaw.lsn <= self.known_durable or self._proof(index, flaw) is not None:
            raise _corrupt(self.paths[index], flaw)
        self.torn = index, flaw

    def _proof(self, index: int, flaw: Flaw) -> Record | None:
        start = flaw.offset
        for path in self.paths[index:]:
            with _opened(path, self.instance) as reader:
                found = reader.proof(flaw.lsn, start=start)
            if found is not None:
                return found
            start = 0
        return None

    def describe(self, index: int, flaw: Flaw) -> Torn:
        """How much a torn tail is."""
        path, *later = self.paths[index:]
        with _opened(path, self.instance) as reader:
            self.torn_bytes = max(0, reader.used_bytes() - flaw.offset)
        lost = self.torn_bytes
        for other in later:
            with _opened(other, self.instance) as reader:
                lost += reader.used_bytes()
        reason = f"{flaw.what}: expected {flaw.expected}, found {flaw.found}"
        return Torn(f"{FOLDER}/{path.name}", flaw.offset, flaw.lsn, lost, reason)


def _opened(path: Path, instance: str) -> SegmentReader:
    try:
        return SegmentReader(path, instance)
    except FileNotFoundError as error:
        raise MissingSegmentError(path, lsn=first_of(path), found="no such file") from error


def _absent(end: End, why: str) -> Flaw:
    return Flaw(end.offset, end.next_lsn, "record", f"one, since {why}", "the end of the segment")


def _corrupt(path: Path, flaw: Flaw) -> CorruptRecordError:
    return CorruptRecordError(
        path,
        flaw.what,
        offset=flaw.offset,
        lsn=flaw.lsn,
        expected=flaw.expected,
        found=flaw.found,
    )


def _repair(files: Files, root: Path, paths: list[Path], *, offset: int, bytes_: int) -> list[str]:
    """Keep what is torn, then cut it; where it is kept, relative to the directory."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    aside = root / QUARANTINE
    torn, *later = paths
    # A segment whose header is torn holds nothing; it goes as a whole.
    whole = later if offset else paths
    kept = []
    for path in reversed(whole):
        kept.append(aside / f"{stamp}-{FOLDER}_{path.name}")
        files.move(path, kept[-1], what="tail.move")
    if offset and bytes_:
        kept.append(aside / f"{stamp}-{FOLDER}_{torn.name}.from-{offset}")
        _keep(files, torn, kept[-1], offset=offset, bytes_=bytes_)
        _cut(files, torn, offset)
    return [path.relative_to(root).as_posix() for path in reversed(kept)]


def _keep(files: Files, source: Path, target: Path, *, offset: int, bytes_: int) -> None:
    """Copy the bytes from ``offset`` up to the zeros at the end, durably."""
    files.make_folder(target.parent, what="tail.keep")
    temporary = target.with_name(target.name + TEMPORARY)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | CAUTIOUS
    create = partial(os.open, temporary, flags, 0o600)
    descriptor = files.step("tail.keep.create", temporary, create)
    try:
        with source.open("rb") as file:
            file.seek(offset)
            for at in range(0, bytes_, CHUNK):
                chunk = file.read(min(CHUNK, bytes_ - at))
                copy = partial(write_at, descriptor, chunk, at)
                files.step("tail.keep.write", temporary, copy)
        files.step("tail.keep.fsync", temporary, partial(os.fsync, descriptor))
    finally:
        os.close(descriptor)
    files.step("tail.keep.rename", target, partial(temporary.replace, target))
    files.sync_folder(target.parent, what="tail.keep")


def _cut(files: Files, path: Path, offset: int) -> None:
    """Take what is torn off a segment; its records end there from now on."""
    descriptor = files.step("tail.open", path, partial(os.open, path, os.O_WRONLY | CAUTIOUS))
    try:
        files.step("tail.cut", path, partial(os.ftruncate, descriptor, offset))
        files.step("tail.fsync", path, partial(os.fsync, descriptor))
    finally:
        os.close(descriptor)
