"""Tail: what a crash leaves is cut and kept; what no crash explains is an error by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.persistence.plain_journal import (
    INSTANCE,
    expected,
    files_below,
    flip,
    forge_header,
    frames,
    opened,
    patch,
    payloads,
    tail,
    write,
    written,
)

from perdure.errors import (
    CorruptionError,
    CorruptRecordError,
    ForeignSegmentError,
    FormatVersionError,
    MissingSegmentError,
)
from perdure.persistence import segment
from perdure.persistence.files import Files
from perdure.persistence.keys import Lsn
from perdure.persistence.tail import segments_of


def test_no_journal_is_an_empty_tail(tmp_path: Path) -> None:
    """Where there never was a journal, the tail is clean and empty, behind the cut."""
    found = tail(tmp_path, cut=Lsn(7))

    assert (found.verdict, found.count, found.next_lsn) == ("clean", 0, 8)
    assert list(found.records()) == []


def test_records_read_back_over_segments(tmp_path: Path) -> None:
    """Every record comes back in order, from all segments, and reading changes nothing."""
    written(tmp_path, count=200)
    before = files_below(tmp_path)
    found = tail(tmp_path)

    assert len(segments_of(tmp_path)) > 2
    assert (found.verdict, found.next_lsn) == ("clean", 201)
    assert 0 <= found.bytes - sum(map(len, payloads(found))) <= 200 * (32 + 31)
    assert payloads(found) == expected(range(1, 201))
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("cut", [0, 1, 57, 199, 200])
def test_records_up_to_the_cut_are_skipped(tmp_path: Path, cut: int) -> None:
    """Only records behind the cut are given, whichever segment they stand in."""
    written(tmp_path, count=200)

    assert payloads(tail(tmp_path, cut=Lsn(cut))) == expected(range(cut + 1, 201))


def test_segments_before_the_cut_are_not_read(tmp_path: Path) -> None:
    """Damage in a segment that no recovery needs is no damage."""
    written(tmp_path, count=200, sync_each=10)
    flip(segments_of(tmp_path)[0], 5000)

    assert payloads(tail(tmp_path, cut=Lsn(150))) == expected(range(151, 201))
    assert tail(tmp_path, cut=Lsn(200)).count == 0
    assert list(tail(tmp_path, cut=Lsn(200)).records()) == []
    with pytest.raises(CorruptRecordError):
        tail(tmp_path)


def test_a_torn_tail_is_cut_and_kept(tmp_path: Path) -> None:
    """What is not whole is in quarantine/ afterwards, and the journal ends before it."""
    written(tmp_path, count=20)
    file, last = frames(tmp_path)[-1]
    flip(file, last.offset + 40)
    torn_bytes = file.read_bytes()[last.offset :].rstrip(b"\0")
    before = files_below(tmp_path)

    seen = tail(tmp_path)
    assert files_below(tmp_path) == before
    found = tail(tmp_path, files=Files())

    assert seen.torn is not None
    assert found.torn is not None
    assert (seen.verdict, seen.torn.kept) == ("torn", ())
    assert (found.torn.lsn, found.torn.offset) == (20, last.offset)
    assert found.torn.bytes == seen.torn.bytes == len(torn_bytes)
    (kept,) = found.torn.kept
    assert (tmp_path / kept).read_bytes() == torn_bytes
    assert kept.startswith("quarantine/")
    assert "payload CRC" in str(found.torn)
    assert kept in str(found.torn)
    assert "not cut yet" in str(seen.torn)
    assert payloads(found) == payloads(seen) == expected(range(1, 20))
    again = tail(tmp_path, files=Files())
    assert (again.verdict, again.next_lsn) == ("clean", 20)


def test_later_segments_of_a_torn_tail_are_kept_whole(tmp_path: Path) -> None:
    """A hole cuts all behind it, later segments too, and each is kept."""
    written(tmp_path, count=200)
    later = segments_of(tmp_path)[1:]
    file, record = frames(tmp_path)[5]
    patch(file, record.offset, bytes(32))

    found = tail(tmp_path, files=Files())

    assert found.torn is not None
    assert found.torn.lsn == 6
    assert len(found.torn.kept) == 1 + len(later)
    assert all((tmp_path / kept).is_file() for kept in found.torn.kept)
    assert payloads(found) == expected(range(1, 6))
    journal = opened(tmp_path)
    write(journal, 3)
    journal.close()
    assert payloads(tail(tmp_path)) == expected(range(1, 9))


def test_damage_before_a_durable_record_is_corruption(tmp_path: Path) -> None:
    """If a later header says that the damaged record was durable, nothing is cut."""
    written(tmp_path, count=20, sync_each=10)
    file, record = frames(tmp_path)[7]
    flip(file, record.offset + 8)
    before = files_below(tmp_path)

    with pytest.raises(CorruptRecordError) as failure:
        tail(tmp_path, files=Files())

    assert (failure.value.path, failure.value.lsn) == (file, 8)
    assert failure.value.offset == record.offset
    assert files_below(tmp_path) == before


def test_damage_after_the_last_durable_record_is_torn(tmp_path: Path) -> None:
    """A record that no later header proves durable is torn, however many follow."""
    written(tmp_path, count=25, sync_each=10)
    file, record = frames(tmp_path)[20]
    flip(file, record.offset)

    found = tail(tmp_path)
    assert found.torn is not None
    assert found.torn.lsn == 21


@pytest.mark.parametrize("zeros", [False, True])
def test_what_the_checkpoint_holds_was_durable(tmp_path: Path, *, zeros: bool) -> None:
    """Damage or an end at or before a known durable LSN is corruption."""
    written(tmp_path, count=20)
    file, record = frames(tmp_path)[-1]
    patch(file, record.offset, bytes(len(file.read_bytes()) - record.offset) if zeros else b"x")

    assert tail(tmp_path, known_durable=19).count == 19
    with pytest.raises(CorruptRecordError) as failure:
        tail(tmp_path, known_durable=20)
    assert failure.value.lsn == 20


def test_a_lost_segment_is_noticed(tmp_path: Path) -> None:
    """The first, a middle and the last segment are missed by name."""
    written(tmp_path, count=200, sync_each=3)
    files = segments_of(tmp_path)
    for lost in (files[0], files[1], files[-1]):
        data = lost.read_bytes()
        lost.unlink()
        with pytest.raises(MissingSegmentError) as failure:
            tail(tmp_path)
        assert failure.value.path.name in (lost.name, files[1].name)
        lost.write_bytes(data)
    assert tail(tmp_path).count == 200


def test_a_manifest_misses_its_segment(tmp_path: Path) -> None:
    """With the segment of the manifest gone, and none behind it, the journal was lost."""
    with pytest.raises(MissingSegmentError, match="no such file"):
        tail(tmp_path, cut=Lsn(4), segment=Lsn(3))
    written(tmp_path, count=4)
    assert tail(tmp_path, cut=Lsn(4), segment=Lsn(1)).count == 0
    with pytest.raises(MissingSegmentError):
        tail(tmp_path, cut=Lsn(4), segment=Lsn(3))
    written(tmp_path, count=4)
    assert len(segments_of(tmp_path)) == 2
    assert tail(tmp_path, cut=Lsn(4), segment=Lsn(3)).count == 4


def test_a_gap_that_was_not_durable_is_torn(tmp_path: Path) -> None:
    """Without a SEAL, a missing segment in between was never durable: what follows is cut."""
    written(tmp_path, count=200)
    first, second, third, *_ = segments_of(tmp_path)
    second.unlink()

    found = tail(tmp_path, files=Files())

    assert found.torn is not None
    assert found.torn.lsn == segment.first_of(second)
    assert not third.exists()
    assert segments_of(tmp_path) == [first]


def test_a_gap_that_was_durable_is_an_error(tmp_path: Path) -> None:
    """Without a SEAL, a later header or the manifest may still prove that there was more."""
    written(tmp_path, count=200)
    _, second, *_ = segments_of(tmp_path)
    second.unlink()
    with pytest.raises(MissingSegmentError):
        tail(tmp_path, known_durable=100)

    other = tmp_path / "other"
    written(other, count=200, sync_each=20)
    first, second, third, *_ = segments_of(other)
    with segment.SegmentReader(first, INSTANCE) as reader:
        header = reader.header()
        assert isinstance(header, segment.SegmentHeader)
        list(reader.records(header, with_payload=False))
    assert reader.end is not None
    patch(first, reader.end.offset, bytes(32))
    second.unlink()
    with pytest.raises(MissingSegmentError) as failure:
        tail(other)
    assert failure.value.path == third


def test_a_segment_of_another_place_is_refused(tmp_path: Path) -> None:
    """Another directory's, a newer format's, a renamed, an overlapping or an odd one."""
    written(tmp_path, count=200)
    first, second, third, *_ = segments_of(tmp_path)
    data = second.read_bytes()

    forge_header(second, instance=bytes(16))
    with pytest.raises(ForeignSegmentError, match="0" * 32):
        tail(tmp_path)
    second.write_bytes(data)
    forge_header(second, version=9)
    with pytest.raises(FormatVersionError):
        tail(tmp_path)
    second.write_bytes(data)
    forge_header(second, link=7)
    with pytest.raises(CorruptionError, match="link"):
        tail(tmp_path)
    forge_header(second, first=3)
    with pytest.raises(CorruptionError, match="first LSN"):
        tail(tmp_path)
    second.write_bytes(third.read_bytes())
    with pytest.raises(CorruptionError, match="first LSN"):
        tail(tmp_path)
    second.write_bytes(data)
    overlapping = second.with_name(segment.name_of(Lsn(segment.first_of(second) - 1)))
    overlapping.write_bytes(data)
    with pytest.raises(CorruptionError, match="in its name"):
        tail(tmp_path)
    overlapping.unlink()
    (tmp_path / "journal" / "odd.wal").touch()
    with pytest.raises(CorruptionError, match="segment name"):
        tail(tmp_path)
    assert first.exists()


@pytest.mark.parametrize("kind", ["folder", "FIFO", "link"])
def test_what_is_no_file_is_no_segment(tmp_path: Path, kind: str) -> None:
    """A folder, a FIFO or a link in the place of a segment is refused at once."""
    written(tmp_path, count=2)
    (file,) = segments_of(tmp_path)
    data = file.read_bytes()
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "FIFO":
        os.mkfifo(file)
    else:
        (tmp_path / "target").write_bytes(data)
        file.symlink_to(tmp_path / "target")

    with pytest.raises(CorruptionError, match="a regular file"):
        tail(tmp_path)


def test_a_torn_header_of_an_unsynced_segment_is_set_aside(tmp_path: Path) -> None:
    """A rotation that was not synced may leave a segment without a header; it goes as a whole."""
    written(tmp_path, count=60)
    *_, last = segments_of(tmp_path)
    patch(last, 0, bytes(4096))

    found = tail(tmp_path, files=Files())

    assert found.torn is not None
    assert found.torn.offset == 0
    assert found.torn.lsn == segment.first_of(last) == found.next_lsn
    assert not last.exists()
    assert len(found.torn.kept) == 1


def test_a_header_that_was_durable_is_not_torn(tmp_path: Path) -> None:
    """A header that a SEAL, a record or the manifest names was on disk: damage is an error."""
    written(tmp_path, count=60, sync_each=1)
    first, *_, last = segments_of(tmp_path)
    flip(last, 20)
    with pytest.raises(CorruptRecordError, match="header CRC"):
        tail(tmp_path)
    flip(last, 20)
    flip(first, 20)
    with pytest.raises(CorruptRecordError):
        tail(tmp_path)
    other = tmp_path / "other"
    written(other, count=0)
    flip(segments_of(other)[0], 100)
    assert tail(other).verdict == "torn"
    with pytest.raises(CorruptRecordError, match="fingerprint CRC"):
        tail(other, segment=Lsn(1))


def test_bytes_behind_a_seal_are_corruption(tmp_path: Path) -> None:
    """Nothing is ever written behind a SEAL."""
    written(tmp_path, count=60, sync_each=1)
    first, *_ = segments_of(tmp_path)
    patch(first, first.stat().st_size - 1, b"x")

    with pytest.raises(CorruptRecordError, match="zeros to the end"):
        tail(tmp_path)


def test_fingerprints_of_what_is_to_be_replayed(tmp_path: Path) -> None:
    """Each segment with records behind the cut says which engine wrote it, and no other."""
    written(tmp_path, count=3)
    written(tmp_path, count=0, fingerprint={"moto": "5.3"})
    written(tmp_path, count=3, fingerprint={"moto": "6"})
    written(tmp_path, count=0, fingerprint={"moto": "7"})

    def engines(cut: int) -> list[str]:
        return [found["moto"] for _, found in tail(tmp_path, cut=Lsn(cut)).fingerprints()]

    assert engines(0) == ["5.2.5", "6"]
    assert engines(3) == ["6"]
    assert engines(6) == []


def test_a_file_that_changed_after_its_verdict_is_no_end(tmp_path: Path) -> None:
    """Records are checked again while they are read."""
    written(tmp_path, count=20)
    found = tail(tmp_path)
    file, record = frames(tmp_path)[9]
    for change in (b"x", bytes(32)):
        patch(file, record.offset, change)
        with pytest.raises(CorruptRecordError):
            list(found.records())
    patch(file, record.offset, bytes(file.stat().st_size - record.offset))
    with pytest.raises(CorruptRecordError, match="read before"):
        list(found.records())
    file.unlink()
    with pytest.raises(MissingSegmentError):
        list(found.records())
