"""Records whose blobs a power cut took: a torn tail, if nothing says that they were durable."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from tests.unit.persistence.plain_journal import INSTANCE, leave, opened, tail
from tests.unit.persistence.test_record import CALL

from perdure.errors import CorruptionError
from perdure.persistence import record as records
from perdure.persistence.blobs import Blob, BlobStore, file_of
from perdure.persistence.files import Files
from perdure.persistence.journal import Journal
from perdure.persistence.keys import Lsn
from perdure.persistence.lost import find_lost
from perdure.persistence.segment import Record
from perdure.persistence.tail import Tail, cut_from, read_tail


def put(journal: Journal, store: BlobStore, content: bytes) -> Blob:
    """Write a blob, and a record that names it."""
    writer = store.begin()
    writer.write(content)
    blob = writer.commit()
    journal.append(records.CALL, records.encode_call(CALL._replace(body=(blob,))))
    return blob


def damaged(path: Path, blob: Blob) -> None:
    """As a power cut may leave it: as long, and of other content."""
    (path / file_of(blob.name)).write_bytes(bytes(blob.size))


def none() -> set[str]:
    return set()


def never() -> NoReturn:
    raise AssertionError("nobody needs to know what is saved")


def found(path: Path, saved: set[str] | None = None) -> tuple[Tail, Record | None]:
    """The tail, and the record that lacks a blob."""
    tail_ = tail(path)
    lost = find_lost(tail_, BlobStore(path), lambda: saved or set())
    return tail_, None if lost is None else lost[0]


def test_a_whole_journal_lacks_nothing(tmp_path: Path) -> None:
    """Blobs that are there in full are no loss, be their records durable or not."""
    journal = opened(tmp_path)
    for number in range(3):
        put(journal, BlobStore(tmp_path), b"%d" % number)
    leave(journal)
    assert found(tmp_path)[1] is None


def test_a_record_that_was_durable_is_no_torn_one(tmp_path: Path) -> None:
    """What a later record, or a SEAL, says was durable is left to who needs it."""
    journal = opened(tmp_path)
    blob = put(journal, BlobStore(tmp_path), b"durable")
    journal.sync_now()
    journal.append(records.MARK, ())
    leave(journal)
    damaged(tmp_path, blob)
    assert find_lost(tail(tmp_path), BlobStore(tmp_path), never) is None

    opened(tmp_path).close()
    assert find_lost(tail(tmp_path), BlobStore(tmp_path), never) is None


def test_the_first_lost_one_is_found(tmp_path: Path) -> None:
    """Of several records behind the last sync the first that lacks its blob counts."""
    journal = opened(tmp_path)
    store = BlobStore(tmp_path)
    blobs = []
    for number in range(4):
        blobs.append(put(journal, store, b"%d" % number))
        if number == 0:
            journal.sync_now()
    leave(journal)
    for blob in (blobs[0], *blobs[2:]):
        damaged(tmp_path, blob)
    tail_, record = found(tmp_path)
    assert record is not None
    assert record.lsn == 3
    assert found(tmp_path, {blobs[2].name})[1].lsn == 4  # type: ignore[union-attr]
    assert found(tmp_path, {blob.name for blob in blobs})[1] is None
    assert tail_.count == 4


def test_files_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    """If a live file is damaged, what it names is read like the rest."""
    journal = opened(tmp_path)
    put(journal, BlobStore(tmp_path), b"x")
    leave(journal)

    def broken() -> NoReturn:
        raise CorruptionError(tmp_path, "state file", expected="one", found="none")

    assert find_lost(tail(tmp_path), BlobStore(tmp_path), broken) is None


def test_without_blobs_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start whose directory has no blobs, or no tail, pays nothing."""
    journal = opened(tmp_path)
    journal.append(records.CALL, records.encode_call(CALL))
    leave(journal)
    tail_ = tail(tmp_path)
    monkeypatch.setattr("perdure.persistence.lost.blobs_named", None)
    assert find_lost(tail_, BlobStore(tmp_path), never) is None
    BlobStore(tmp_path).begin().discard()
    assert (
        find_lost(read_tail(tmp_path, cut=Lsn(1), instance=INSTANCE), BlobStore(tmp_path), never)
        is None
    )


@pytest.mark.parametrize("torn_before", [False, True])
def test_the_tail_is_cut_there_and_kept(tmp_path: Path, *, torn_before: bool) -> None:
    """What is cut is in quarantine, with what was torn anyway; records before it go on."""
    journal = opened(tmp_path, segment_bytes=8 << 10)
    store = BlobStore(tmp_path)
    put(journal, store, b"one")
    lost = put(journal, store, b"two")
    for _ in range(40):
        journal.append(records.CALL, records.encode_call(CALL))
    leave(journal)
    damaged(tmp_path, lost)
    if torn_before:
        last = max((tmp_path / "journal").glob("*.wal"))
        data = bytearray(last.read_bytes())
        end = len(bytes(data).rstrip(b"\0"))
        data[end - 8] ^= 1
        last.write_bytes(data)
    looked = tail(tmp_path)
    record = find_lost(looked, store, none)
    assert record is not None
    described = cut_from(looked, *record, files=None)
    assert described.torn is not None
    assert described.torn.lsn == 2
    assert lost.name in described.torn.reason
    assert len(list((tmp_path / "journal").glob("*.wal"))) > 1

    repaired = cut_from(tail(tmp_path, files=Files()), *record, files=Files())
    assert repaired.torn is not None
    assert len(repaired.torn.kept) >= 2 + torn_before
    assert all((tmp_path / kept).exists() for kept in repaired.torn.kept)
    assert (repaired.count, repaired.verdict) == (1, "torn")
    again = tail(tmp_path)
    assert (again.count, again.verdict) == (1, "clean")
    journal = opened(tmp_path)
    assert journal.next_lsn == 2
    journal.close()
