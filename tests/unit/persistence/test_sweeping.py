"""Sweeping: what the live files, or files set aside, name is kept; the rest goes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.unit.persistence import plain_journal
from tests.unit.persistence import test_lost as plain_records
from tests.unit.persistence.plain_checkpoint import cut, graph, opened
from tests.unit.persistence.test_record import CALL

from perdure.errors import CorruptionError, DurabilityError
from perdure.persistence import manifest as manifests
from perdure.persistence import record as records
from perdure.persistence import sweeping
from perdure.persistence.blobs import Blob, BlobStore, file_of
from perdure.persistence.checkpoint import Checkpointer
from perdure.persistence.files import Files
from perdure.persistence.keys import Lsn
from perdure.persistence.lost import find_lost
from perdure.persistence.statefile import Graph
from perdure.persistence.sweeping import Sweeper, names_in
from perdure.persistence.tail import cut_from


def put(path: Path, data: bytes) -> Blob:
    """A blob that nothing in memory holds, as after a restart."""
    writer = BlobStore(path).begin()
    writer.write(data)
    return writer.commit()


def holding(*blobs: Blob) -> Graph:
    """A store whose bodies are these blobs."""
    return Graph(graph([blob.name for blob in blobs]).payload, (), blobs=blobs)


def swept(live: Checkpointer) -> set[str]:
    """What a sweep behind the live checkpoint removes."""
    return set(Sweeper(BlobStore(live.directory.path), live).sweep(live.manifest.cut))


def test_live_files_keep_their_blobs(tmp_path: Path) -> None:
    """A blob goes with the last live file that names it, whichever store's."""
    live = opened(tmp_path)
    one, two, orphan = (put(tmp_path, data) for data in (b"1", b"2", b"orphan"))
    live.publish(cut(1, {"s3": holding(one, two), "sqs": holding(two)}))
    assert swept(live) == {orphan.name}
    live.publish(cut(2, {"s3": graph(2)}))
    assert swept(live) == {one.name}
    live.publish(cut(3, {"sqs": graph(3)}))
    assert swept(live) == {two.name}
    live.directory.close()


def test_nothing_goes_while_a_live_file_cannot_be_read(tmp_path: Path) -> None:
    """What a damaged file names is not known, so no blob is removed at all."""
    live = opened(tmp_path)
    orphan = put(tmp_path, b"orphan")
    live.publish(cut(1, {"s3": graph(1)}))
    file = tmp_path / next(iter(live.manifest.stores.values())).file
    data = file.read_bytes()
    for damage in (lambda: file.write_bytes(data[:40]), file.unlink):
        damage()
        with pytest.raises(CorruptionError):
            swept(live)
    file.write_bytes(data)
    assert swept(live) == {orphan.name}
    live.directory.close()


def test_what_keeps_a_sweep_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A checkpoint is live whatever becomes of its sweep; the log is told, and told once."""
    live = opened(tmp_path)
    orphan = put(tmp_path, b"orphan")
    live.publish(cut(1, {"s3": graph(1)}))
    file = tmp_path / next(iter(live.manifest.stores.values())).file
    data = file.read_bytes()
    sweeper = Sweeper(BlobStore(tmp_path), live)
    file.unlink()
    for _ in range(2):
        sweeper.sweep_or_say(Lsn(1))
    assert [r.message.count("no bodies are removed") for r in caplog.records] == [1]
    assert (tmp_path / file_of(orphan.name)).exists()

    file.write_bytes(data)
    sweeper.sweep_or_say(Lsn(1))
    assert not (tmp_path / file_of(orphan.name)).exists()
    live.directory.close()


def test_files_set_aside_keep_their_blobs(tmp_path: Path) -> None:
    """What lies in quarantine can be put back: neither a state file nor a record loses bodies."""
    live = opened(tmp_path)
    of_file, of_record, orphan = (put(tmp_path, data) for data in (b"1", b"2", b"orphan"))
    live.publish(cut(1, {"s3": holding(of_file)}))
    live.keep_copies("s3")
    live.publish(cut(2, {"s3": graph(2)}))
    segment = tmp_path / "quarantine" / "x-diverged" / "journal" / "1.wal"
    segment.parent.mkdir(parents=True)
    call = records.encode_call(CALL._replace(body=(of_record,)))
    segment.write_bytes(b"\x00".join([b"head", b"".join(call), b"\x00" * 64]))
    assert swept(live) == {orphan.name}

    segment.unlink()
    assert swept(live) == {of_record.name}
    live.directory.close()


def test_a_cut_tail_keeps_its_blobs(tmp_path: Path) -> None:
    """What was cut off a journal, as it is kept, names the bodies of the records in it."""
    live = opened(tmp_path)
    store = BlobStore(tmp_path)
    journal = plain_journal.opened(tmp_path)
    blobs = [plain_records.put(journal, store, b"%d" % number) for number in range(4)]
    plain_journal.leave(journal)
    plain_records.damaged(tmp_path, blobs[1])
    tail, _ = plain_records.found(tmp_path)
    lost = find_lost(tail, store, set)
    assert lost is not None
    torn = cut_from(tail, *lost, files=Files()).torn
    assert torn is not None
    assert [".from-" in kept for kept in torn.kept] == [True]

    live.publish(cut(2, {"s3": graph(1)}))
    assert swept(live) == {blobs[0].name}
    (tmp_path / torn.kept[0]).rename(tmp_path / "quarantine" / "unfinished.tmp")
    assert swept(live) == {blob.name for blob in blobs[1:]}
    live.directory.close()


def test_nothing_goes_while_the_quarantine_cannot_be_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder set aside that refuses to be listed may name any blob; one that went names none."""
    live = opened(tmp_path)
    orphan = put(tmp_path, b"orphan")
    inner = tmp_path / "quarantine" / "x-diverged"
    inner.mkdir(parents=True)
    code = errno.EACCES
    listed = os.scandir

    def refusing(path: str) -> object:
        if str(path) == str(inner):
            raise OSError(code, os.strerror(code))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DurabilityError, match=r"quarantine\.list.*Permission"):
        swept(live)
    code = errno.ENOENT
    assert swept(live) == {orphan.name}
    live.directory.close()


def test_a_name_on_the_edge_of_a_read_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a read ends, a name that lies across is seen."""
    names = {f"{number:064x}" for number in range(30)}
    text = ",".join(f'"{name}"' for name in sorted(names))
    (tmp_path / "x").write_text(text + "0" * 64 + '"' + "a" * 65 + '"')
    for size in (1, 7, 65, 66, 67, 1000, 100_000):
        monkeypatch.setattr("perdure.persistence.files.CHUNK", size)
        assert names_in(tmp_path / "x") == names
    assert names_in(tmp_path / "none") == set()


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither live files nor those set aside are read again for each sweep."""
    live = opened(tmp_path)
    live.publish(cut(1, {"s3": graph(1)}))
    live.keep_copies("s3")
    sweeper = Sweeper(BlobStore(tmp_path), live)
    sweeper.sweep(Lsn(1))
    monkeypatch.setattr(sweeping, "names_in", None)
    monkeypatch.setattr("perdure.persistence.statefile.blobs_of", None)
    assert sweeper.sweep(Lsn(1)) == []
    assert (tmp_path / manifests.NAME).exists()
    live.directory.close()
