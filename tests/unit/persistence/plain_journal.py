"""Journals of plain bytes, for tests of what a disk holds."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perdure.persistence import segment
from perdure.persistence.files import Files
from perdure.persistence.journal import Journal
from perdure.persistence.keys import Lsn
from perdure.persistence.tail import Tail, read_tail, segments_of

INSTANCE = "0123456789abcdef" * 2
ENGINE = {"moto": "5.2.5", "perdure": "0.1.0"}
SEGMENT_BYTES = 16 << 10


def tail(path: Path, **arguments: Any) -> Tail:
    """The verdict over a journal, from LSN 1 unless a cut is given."""
    known: dict[str, Any] = {"cut": Lsn(0), "instance": INSTANCE}
    return read_tail(path, **(known | arguments))


def opened(path: Path, **arguments: Any) -> Journal:
    """A journal behind the tail that is there, cut if torn; without a thread of its own."""
    files = arguments.pop("files", None) or Files()
    cut = arguments.pop("cut", Lsn(0))
    known: dict[str, Any] = {
        "after": tail(path, cut=cut, files=files),
        "fingerprint": ENGINE,
        "sync": "never",
        "segment_bytes": SEGMENT_BYTES,
        "files": files,
        "start": False,
    }
    return Journal.open(path, **(known | arguments))


def payload(lsn: int) -> bytes:
    """What record ``lsn`` of a test holds: different lengths, none all zeros."""
    return f"record {lsn} ".encode() * (1 + lsn * 7 % 40)


def write(journal: Journal, count: int) -> None:
    """Append that many records."""
    for _ in range(count):
        journal.append(1, [payload(journal.next_lsn)])


def written(path: Path, *, count: int, sync_each: int = 0, **arguments: Any) -> Path:
    """A state directory with a journal of ``count`` records, as a killed process leaves it."""
    journal = opened(path, **arguments)
    for number in range(1, count + 1):
        write(journal, 1)
        if sync_each and number % sync_each == 0:
            journal.sync_now()
    leave(journal)
    return path


def leave(journal: Journal) -> None:
    """Let go of the files as the death of a process does: nothing more is written."""
    for writer in (*journal._unsealed, *journal._replaced, journal._active):
        writer.close()
    if journal._spare._descriptor >= 0:
        os.close(journal._spare._descriptor)
        journal._spare._descriptor = -1


def payloads(tail_: Tail) -> list[bytes]:
    """The payloads of a tail, checked for density."""
    records = list(tail_.records())
    assert [r.lsn for r in records] == list(range(tail_.cut + 1, tail_.cut + 1 + len(records)))
    assert len(records) == tail_.count
    return [r.payload for r in records]


def expected(lsns: Iterable[int]) -> list[bytes]:
    """What records of those LSNs hold."""
    return [payload(lsn) for lsn in lsns]


def frames(path: Path) -> list[tuple[Path, segment.Record]]:
    """Segment and frame of every record of a journal, from its first segment on."""
    found = []
    for file in segments_of(path):
        with segment.SegmentReader(file, INSTANCE) as reader:
            header = reader.header()
            assert isinstance(header, segment.SegmentHeader)
            found += [(file, record) for record in reader.records(header, with_payload=False)]
    return found


def patch(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def forge_header(path: Path, **changes: Any) -> None:
    """Change fields of a segment's header and make its CRCs right."""
    data = path.read_bytes()
    names = ("magic", "version", "size", "first", "instance", "link", "length", "crc")
    values = dict(zip(names, segment.PREFIX.unpack_from(data), strict=True))
    rest = changes.pop("rest", data[segment.TEXT_AT : values["size"]])
    values |= {"crc": zlib.crc32(rest)} | changes
    prefix = segment.PREFIX.pack(*(values[name] for name in names))
    patch(path, 0, prefix + struct.pack("<I", zlib.crc32(prefix)) + rest)


def files_below(path: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
