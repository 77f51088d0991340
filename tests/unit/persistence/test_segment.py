"""Segment: a record, an end or a flaw; never bytes that were not written as a record."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from tests.unit.persistence.plain_journal import (
    ENGINE,
    INSTANCE,
    flip,
    forge_header,
    patch,
)

from perdure.errors import CorruptionError
from perdure.persistence import segment
from perdure.persistence.keys import Lsn
from perdure.persistence.segment import End, Flaw, Record, SegmentHeader, SegmentReader

SEED = segment.seed_of(INSTANCE, Lsn(5))
BEFORE = 0xABCD


def built(path: Path, payloads: list[bytes], *, rest: bytes = bytes(1024)) -> Path:
    """A segment from LSN 5 on, its durable LSN three behind."""
    header = segment.encode_header(Lsn(5), instance=INSTANCE, link=BEFORE, fingerprint=ENGINE)
    data, link = header, segment.crc_of_header(header)
    for lsn, payload in enumerate(payloads, 5):
        record, link = segment.encode_record(
            1, [payload], lsn=lsn, durable=lsn - 3, link=link, seed=SEED
        )
        data += record
    file = path / segment.name_of(Lsn(5))
    file.write_bytes(data + rest)
    return file


def scanned(file: Path, *, with_payload: bool = True) -> tuple[list[Record], End]:
    with SegmentReader(file, INSTANCE) as reader:
        header = reader.header()
        assert isinstance(header, SegmentHeader), header
        records = list(reader.records(header, with_payload=with_payload))
        assert reader.end is not None
        return records, reader.end


def test_a_segment_reads_back(tmp_path: Path) -> None:
    """Header, kinds, LSNs and payloads are what was written, and the end is clean."""
    sent = [b"", b"x", b"y" * 31, b"z" * 32, os.urandom(3000)]
    file = built(tmp_path, sent)
    with SegmentReader(file, INSTANCE) as reader:
        header = reader.header()
    assert isinstance(header, SegmentHeader)
    assert (header.first, header.instance, header.link) == (5, INSTANCE, BEFORE)
    assert (header.fingerprint, header.size) == (ENGINE, 4096)

    records, end = scanned(file)

    assert [(r.lsn, r.kind, r.payload) for r in records] == [
        (lsn, 1, payload) for lsn, payload in enumerate(sent, 5)
    ]
    assert (end.next_lsn, end.is_sealed, end.flaw) == (10, False, None)
    assert end.offset == file.stat().st_size - 1024
    assert all(r.offset % 32 == 0 for r in records)
    frames, _ = scanned(file, with_payload=False)
    assert [r._replace(payload=b"") for r in records] == frames


def test_a_sealed_segment_names_the_next(tmp_path: Path) -> None:
    """A SEAL ends a segment, and is no record."""
    file = built(tmp_path, [b"x"])
    _, end = scanned(file)
    patch(file, end.offset, segment.encode_seal(Lsn(6), link=end.link, seed=SEED))

    records, sealed = scanned(file)

    assert len(records) == 1
    assert sealed == end._replace(is_sealed=True)


def test_a_segment_may_end_without_zeros(tmp_path: Path) -> None:
    """A file that ends behind a record, or within the zeros of a header, ends clean."""
    for rest in (b"", bytes(31)):
        _, end = scanned(built(tmp_path, [b"x"], rest=rest))
        assert (end.next_lsn, end.flaw) == (6, None)


@pytest.mark.parametrize("size", [0, 10, 63])
def test_a_file_without_a_header_is_a_flaw(tmp_path: Path, size: int) -> None:
    """A file too short for a header has none."""
    file = tmp_path / segment.name_of(Lsn(5))
    file.write_bytes(segment.MAGIC.ljust(size, b"\0")[:size])
    with SegmentReader(file, INSTANCE) as reader:
        found = reader.header()
    assert isinstance(found, Flaw)
    assert (found.what, found.lsn, found.offset) == ("length", 5, 0)


def test_a_header_cut_short_is_a_flaw(tmp_path: Path) -> None:
    """A fingerprint that is not whole is not believed."""
    file = built(tmp_path, [])
    for size in (64, 70, 4095):
        os.truncate(file, size)
        with SegmentReader(file, INSTANCE) as reader:
            found = reader.header()
        assert isinstance(found, Flaw)
        assert found.what == "fingerprint CRC"
        built(tmp_path, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 64}, "header size"),
        ({"size": 4097}, "header size"),
        ({"size": 2 << 20}, "header size"),
        ({"length": 4096}, "header size"),
        ({"first": 6}, "first LSN"),
        ({"rest": b"[]".ljust(4032, b"\0"), "length": 2}, "an object"),
        ({"rest": b'{"a":1}'.ljust(4032, b"\0"), "length": 7}, "text"),
        ({"rest": b"{".ljust(4032, b"\0"), "length": 1}, "JSON"),
    ],
)
def test_a_strangers_header_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    """With right checksums and wrong content a header is an error by name."""
    file = built(tmp_path, [b"x"])
    forge_header(file, **changes)
    with SegmentReader(file, INSTANCE) as reader, pytest.raises(CorruptionError, match=said):
        reader.header()


def forged(
    lsn: int = 5, *, kind: int = 1, length: int = 0, behind: int = 1, crc: int = 0, link: int = 0
) -> bytes:
    head = segment.RECORD.pack(kind, length, lsn, behind, crc, link)
    return head + segment.CRC.pack(zlib.crc32(head, SEED))


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        ({"kind": 0}, "kind and distance"),
        ({"behind": 0}, "kind and distance"),
        ({"lsn": 4}, "LSN"),
        ({"lsn": 6}, "LSN"),
        ({"link": 1}, "link"),
        ({"length": 0xFFFFFFFF}, "record end"),
        ({"length": 1024}, "record end"),
        ({"length": 10, "crc": 1}, "payload CRC"),
    ],
)
@pytest.mark.parametrize("with_payload", [False, True])
def test_a_frame_that_says_anything_else_is_a_flaw(
    tmp_path: Path, frame: dict[str, int], what: str, *, with_payload: bool
) -> None:
    """A whole header with another LSN, link, kind, length or payload is no record here."""
    file = built(tmp_path, [])
    _, end = scanned(file)
    patch(file, end.offset, forged(**({"link": end.link} | frame)))

    records, found = scanned(file, with_payload=with_payload)

    assert records == []
    assert found.flaw is not None
    assert (found.flaw.what, found.flaw.lsn, found.flaw.offset) == (what, 5, end.offset)


def test_a_promise_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    """A length is compared with the file before anything is read."""
    file = built(tmp_path, [])
    _, end = scanned(file)
    patch(file, end.offset, forged(length=0xFFFFFFF0, link=end.link))
    with SegmentReader(file, INSTANCE) as reader:
        header = reader.header()
        assert isinstance(header, SegmentHeader)
        reader._payload = None  # type: ignore[assignment,method-assign]
        assert list(reader.records(header, with_payload=True)) == []


def test_a_header_cut_short_in_a_record_is_a_flaw(tmp_path: Path) -> None:
    """A file that ends within a record's header ends in a flaw."""
    file = built(tmp_path, [b"x"], rest=b"")
    os.truncate(file, 4096 + 20)
    _, end = scanned(file)
    assert end.flaw is not None
    assert end.flaw.what == "record header"


def test_what_stands_behind_the_end_is_a_flaw(tmp_path: Path) -> None:
    """Zeros, then something: a page was kept and the one before it lost."""
    file = built(tmp_path, [b"x"], rest=bytes(3 << 20))
    _, end = scanned(file)
    patch(file, 2 << 20, b"y")

    records, found = scanned(file)

    assert len(records) == 1
    assert found.flaw is not None
    assert (found.flaw.offset, found.flaw.found) == (end.offset, f"bytes up to {(2 << 20) + 1}")
    with SegmentReader(file, INSTANCE) as reader:
        assert reader.used_bytes() == (2 << 20) + 1
    file.write_bytes(bytes(10))
    with SegmentReader(file, INSTANCE) as reader:
        assert reader.used_bytes() == 0


def test_a_later_header_proves_what_was_durable(tmp_path: Path) -> None:
    """The search finds a whole header behind a hole, and believes only what it says."""
    file = built(tmp_path, [b"x" * 100] * 10)
    records, _ = scanned(file)
    flip(file, records[0].offset)
    with SegmentReader(file, INSTANCE) as reader:
        for lsn in range(5, 15):
            found = reader.proof(Lsn(lsn), start=records[lsn - 5].offset)
            assert (found.lsn if found else None) == (lsn + 3 if lsn + 3 < 15 else None)
        assert reader.proof(Lsn(5), start=0) is not None
        assert reader.proof(Lsn(5), start=records[-1].offset) == records[-1]._replace(payload=b"")


def test_the_search_crosses_chunks(tmp_path: Path) -> None:
    """A proof far behind, at any alignment of the search, is found."""
    file = built(tmp_path, [b"x" * (segment.CHUNK - 4096 - 64), b"y", b"", b"", b""])
    records, _ = scanned(file)
    flip(file, records[0].offset)
    with SegmentReader(file, INSTANCE) as reader:
        found = reader.proof(Lsn(5), start=records[0].offset)
    assert found is not None
    assert (found.lsn, found.offset) == (8, records[3].offset)


def test_a_copy_in_a_payload_proves_nothing(tmp_path: Path) -> None:
    """Neither older records of the same segment inside of a payload, nor those of others."""
    file = built(tmp_path, [b"x"] * 3)
    copy = file.read_bytes()[:8192].ljust(8192, b"\0")
    other, _ = segment.encode_record(
        1, [b""], lsn=99, durable=98, link=0, seed=segment.seed_of(INSTANCE, Lsn(1))
    )
    file = built(tmp_path, [b"x"] * 4 + [copy + other])
    records, _ = scanned(file)
    flip(file, records[3].offset)
    with SegmentReader(file, INSTANCE) as reader:
        assert reader.proof(Lsn(8), start=records[3].offset) is None
        assert reader.proof(Lsn(6), start=records[3].offset) is not None


def test_a_record_too_far_behind_proves_nothing(tmp_path: Path) -> None:
    """A distance that does not fit its field stands for unknown."""
    record, _ = segment.encode_record(1, [], lsn=1 << 40, durable=0, link=0, seed=SEED)
    file = built(tmp_path, [], rest=record)
    with SegmentReader(file, INSTANCE) as reader:
        assert reader.proof(Lsn(5), start=4096) is None


@pytest.mark.parametrize(
    "name", ["1.wal", "0" * 20 + ".wal", "9" * 20 + ".wal", "x" * 20 + ".wal", f"{5:020d}.wal.tmp"]
)
def test_a_name_of_no_segment_is_refused(tmp_path: Path, name: str) -> None:
    """A segment's name is an LSN that can be."""
    with pytest.raises(CorruptionError, match="segment name"):
        segment.first_of(tmp_path / name)


def test_a_fingerprint_may_take_more_than_a_block(tmp_path: Path) -> None:
    """The header grows by whole blocks."""
    large = {"settings": "x" * 10_000}
    header = segment.encode_header(Lsn(5), instance=INSTANCE, link=0, fingerprint=large)
    assert len(header) == 3 * 4096
    file = tmp_path / segment.name_of(Lsn(5))
    file.write_bytes(header)
    with SegmentReader(file, INSTANCE) as reader:
        found = reader.header()
    assert isinstance(found, SegmentHeader)
    assert (found.fingerprint, found.size) == (large, 3 * 4096)


def test_a_socket_is_no_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be opened is named."""
    import socket

    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(segment.name_of(Lsn(5)))
    with pytest.raises(CorruptionError, match="a regular file"):
        SegmentReader(tmp_path / segment.name_of(Lsn(5)), INSTANCE)
