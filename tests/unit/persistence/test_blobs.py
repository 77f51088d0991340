"""Blobs: bytes by their hash, written once, durable when told to, swept when nobody names them."""

from __future__ import annotations

import copy
import errno
import gc
import hashlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from tests.crash.faults import KEPT, FaultyFiles, Kept, PowerLoss
from tests.unit.persistence.slow_files import SECONDS_MAX, SlowFiles

from perdure.errors import CorruptionError, DurabilityError, NoRoomError
from perdure.persistence.blobs import NAME, Blob, BlobStore, file_of
from perdure.persistence.body import Body, BodyFile, Span, parts_in, parts_out, whole
from perdure.persistence.files import Files
from perdure.persistence.keys import Lsn

CUT = Lsn(0)


def put(store: BlobStore, data: bytes, *, piece: int = 1000) -> Body:
    """Write a blob in pieces."""
    writer = store.begin()
    for at in range(0, len(data), piece):
        writer.write(data[at : at + piece])
    return Body(store, [whole(writer.commit())])


def files_of(root: Path) -> list[str]:
    """Every file below a folder, relative to it."""
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def name_of(data: bytes) -> str:
    """What a blob of these bytes is called."""
    return hashlib.sha256(data).hexdigest()


def test_a_blob_is_named_by_its_content(tmp_path: Path) -> None:
    """What is written piece by piece stands as one private file under its SHA-256."""
    data = os.urandom(5000)
    body = put(BlobStore(tmp_path), data)

    assert files_of(tmp_path) == [file_of(name_of(data))]
    assert body.read_all() == (tmp_path / file_of(name_of(data))).read_bytes() == data
    assert (tmp_path / file_of(name_of(data))).stat().st_mode & 0o077 == 0
    assert body.md5() == hashlib.md5(data).hexdigest()


def test_two_writers_of_the_same_content_leave_one_blob(tmp_path: Path) -> None:
    """A blob this process wrote already is not written over, and no leftover stays."""
    store = BlobStore(tmp_path)
    one, two = store.begin(), store.begin()
    one.write(b"same")
    two.write(b"same")
    first = one.commit()
    inode = (tmp_path / file_of(first.name)).stat().st_ino

    assert two.commit() == first
    assert (tmp_path / file_of(first.name)).stat().st_ino == inode
    assert files_of(tmp_path) == [file_of(first.name)]


def test_a_blob_of_another_process_is_not_believed(tmp_path: Path) -> None:
    """A file that a power cut may have left under the right name is replaced."""
    name = name_of(b"right")
    (tmp_path / file_of(name)).parent.mkdir(parents=True)
    (tmp_path / file_of(name)).write_bytes(b"wrong")

    assert put(BlobStore(tmp_path), b"right").read_all() == b"right"


def test_a_whole_blob_of_another_process_stays(tmp_path: Path) -> None:
    """What is what its name says is not written over, and synced like a new one."""
    before = put(BlobStore(tmp_path), b"same")
    path = tmp_path / file_of(*before.names)
    inode = path.stat().st_ino
    files = FaultyFiles()
    store = BlobStore(tmp_path, files)
    for _ in range(2):
        put(store, b"same")
    store.sync()

    assert path.stat().st_ino == inode
    assert files.names[-3:] == ["blob.open", "blob.fsync", "blob.fsync-folder"]
    assert files_of(tmp_path) == [file_of(*before.names)]


def test_two_that_put_the_same_at_once_leave_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another has put and synced meanwhile is not written over."""
    store = BlobStore(tmp_path)
    look = store._is_whole
    inodes: list[int] = []

    def looking(blob: Blob, *, content: bool = False) -> bool:
        found = look(blob, content=content)
        if content and not inodes:
            inodes.append(0)
            put(store, b"same")
            store.sync()
            inodes[0] = (tmp_path / file_of(blob.name)).stat().st_ino
        return found

    monkeypatch.setattr(store, "_is_whole", looking)
    body = put(store, b"same")
    assert (tmp_path / file_of(*body.names)).stat().st_ino == inodes[0]
    assert files_of(tmp_path) == [file_of(*body.names)]


def test_a_blob_that_cannot_be_read_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses a read of a blob makes it damaged, by its path."""
    store = BlobStore(tmp_path)
    body = put(store, b"abc")

    def refused(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", refused)
    with pytest.raises(CorruptionError, match=os.strerror(errno.EIO)):
        store.check(body.blobs[0], content=True)


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"")])
def test_what_was_damaged_is_mended_by_writing_it_again(tmp_path: Path, damage: object) -> None:
    """A blob that went, or was cut, comes back with the next body of that content."""
    store = BlobStore(tmp_path)
    body = put(store, b"again")
    damage(tmp_path / file_of(*body.names))  # type: ignore[operator]
    put(store, b"again")

    assert body.read_all() == b"again"


def test_other_content_of_the_same_size_is_mended_by_writing_it_again(tmp_path: Path) -> None:
    """Also by the process that wrote it: an answered put stores the bytes it was given."""
    store = BlobStore(tmp_path)
    body = put(store, b"right")
    (tmp_path / file_of(name_of(b"right"))).write_bytes(b"wrong")

    put(store, b"right")

    assert body.read_all() == b"right"
    assert files_of(tmp_path) == [file_of(name_of(b"right"))]


def test_a_discarded_writer_leaves_nothing(tmp_path: Path) -> None:
    """What was not committed is gone, and discarding again or after a commit does nothing."""
    store = BlobStore(tmp_path)
    writer = store.begin()
    writer.write(b"x")
    writer.discard()
    writer.discard()
    kept = store.begin()
    kept.write(b"kept")
    blob = kept.commit()
    kept.discard()

    assert files_of(tmp_path) == [file_of(blob.name)]


def test_a_writer_that_has_ended_writes_nothing(tmp_path: Path) -> None:
    """A write or commit that comes too late is an error, and reaches no other file."""
    store = BlobStore(tmp_path)
    discarded, committed = store.begin(), store.begin()
    discarded.discard()
    committed.write(b"kept")
    blob = committed.commit()
    with (tmp_path / "other").open("wb"):
        for late in (discarded, committed):
            for use in (lambda w=late: w.write(b"late"), late.commit):
                with pytest.raises(DurabilityError, match="ended"):
                    use()
    assert (tmp_path / "other").read_bytes() == b""
    assert files_of(tmp_path) == [file_of(blob.name), "other"]


def test_a_discard_waits_for_a_write(tmp_path: Path) -> None:
    """A descriptor is not closed while another thread writes to it."""
    files = SlowFiles("blob.write")
    writer = BlobStore(tmp_path, files).begin()
    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(writer.write, b"x")
        assert files.begun.wait(SECONDS_MAX)
        discarding = threads.submit(writer.discard)
        assert wait([discarding], timeout=0.1).not_done == {discarding}
        files.go_on.set()
        writing.result(SECONDS_MAX)
        discarding.result(SECONDS_MAX)
    assert files_of(tmp_path) == []


def test_a_start_removes_what_was_arriving(tmp_path: Path) -> None:
    """A process that dies while it receives a body leaves a file that the next one removes."""
    store = BlobStore(tmp_path)
    writer = store.begin()
    writer.write(b"half")

    assert BlobStore(tmp_path).clear_incoming() == 1
    assert files_of(tmp_path) == []
    assert BlobStore(tmp_path / "new").clear_incoming() == 0
    writer.discard()


@pytest.mark.parametrize("fault", ["fail-once", "short-write"])
def test_a_full_disk_refuses_a_body_and_ends_nothing(tmp_path: Path, fault: str) -> None:
    """Whichever step of a writer finds the disk full, it is no room, and nothing is left."""
    for at in itertools.count(1):
        root = tmp_path / str(at)
        root.mkdir()
        files = FaultyFiles(at=at, fault=fault, code=errno.ENOSPC)
        store = BlobStore(root, files)
        try:
            put(store, b"x" * 3000)
        except NoRoomError:
            assert files_of(root) == []
            assert put(store, b"y" * 3000).read_all() == b"y" * 3000, "it goes on"
            store.sync()
        if not files.happened:
            assert at > 6
            return
        if fault == "short-write" and files.steps[at - 1].name != "blob.write":
            continue


def test_another_failure_is_said_as_it_is(tmp_path: Path) -> None:
    """A broken disk is not called a full one."""
    store = BlobStore(tmp_path, FaultyFiles(at=1, fault="fail-on", only="blob.write"))
    with pytest.raises(DurabilityError, match=r"blob\.write"):
        put(store, b"x")
    assert files_of(tmp_path) == []


def test_room_is_kept_for_a_checkpoint(tmp_path: Path) -> None:
    """A body is refused before it eats what the next checkpoint needs."""
    store = BlobStore(tmp_path)
    free = os.statvfs(tmp_path)
    store.headroom_bytes = free.f_bavail * free.f_frsize + (1 << 40)

    assert not store.has_room(0)
    with pytest.raises(NoRoomError):
        put(store, b"x")
    assert files_of(tmp_path) == []


def test_sync_makes_content_and_name_durable_once(tmp_path: Path) -> None:
    """Each new blob is synced, then its folder; the second time there is nothing to do."""
    files = FaultyFiles()
    store = BlobStore(tmp_path, files)
    body = put(store, b"x")
    files.steps.clear()
    store.sync()
    path = tmp_path / file_of(*body.names)

    assert [(step.name, step.path) for step in files.steps] == [
        ("blob.open", path),
        ("blob.fsync", path),
        ("blob.fsync-folder", path.parent),
    ]
    store.sync()
    assert len(files.steps) == 3


def test_a_failed_sync_is_never_retried(tmp_path: Path) -> None:
    """After one failed fsync every later sync fails, too: the cache may lie."""
    store = BlobStore(tmp_path, FaultyFiles(at=1, fault="fail-once", only="blob.open"))
    put(store, b"x")
    for _ in range(2):
        with pytest.raises(DurabilityError):
            store.sync()


@pytest.mark.parametrize("fails", [False, True])
def test_a_second_sync_waits_for_the_first(tmp_path: Path, *, fails: bool) -> None:
    """No sync returns while another still syncs what was written before both, or if that fails."""
    files = SlowFiles("blob.fsync", fails=fails)
    store = BlobStore(tmp_path, files)
    put(store, b"x")
    files.names.clear()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(store.sync)
        assert files.begun.wait(SECONDS_MAX)
        second = threads.submit(store.sync)
        assert wait([second], timeout=0.1).not_done == {second}
        files.go_on.set()
        for sync in (first, second):
            assert isinstance(sync.exception(SECONDS_MAX), DurabilityError) == fails
    assert ("blob.fsync-folder" in files.names) != fails


@pytest.mark.parametrize("kept", KEPT)
def test_what_was_synced_survives_a_stop_at_every_step(tmp_path: Path, kept: Kept) -> None:
    """Wherever the machine stops, each blob that was synced is there in full."""
    for at in itertools.count(1):
        root = tmp_path / f"state{at}"
        root.mkdir()
        files = FaultyFiles(at=at, fault="stop", root=root)
        synced: list[Body] = []
        try:
            store = BlobStore(root, files)
            for number in range(4):
                body = put(store, bytes([number]) * 2500)
                if number % 2:
                    store.sync()
                    synced.append(body)
        except PowerLoss:
            pass
        after = files.after_power_loss(tmp_path / f"after{at}", kept)
        for body in synced:
            for blob in body.blobs:
                BlobStore(after).check(blob, content=True)
        if not files.happened:
            assert len(synced) == 2
            return


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda p: p.unlink(), "No such file"),
        (lambda p: p.write_bytes(b"xy"), "2 bytes"),
        (lambda p: (p.unlink(), p.mkdir()), "folder"),
        (lambda p: (p.unlink(), p.symlink_to("/etc/passwd")), "symbolic links"),
    ],
)
def test_a_damaged_blob_is_named_when_it_is_read(
    tmp_path: Path, damage: object, found: str
) -> None:
    """A blob that is missing, of another size or no file is an error with its path."""
    store = BlobStore(tmp_path)
    body = put(store, b"abc")
    damage(tmp_path / file_of(*body.names))  # type: ignore[operator]

    for use in (body.check, body.read_all):
        with pytest.raises(CorruptionError, match=f"{next(iter(body.names))}.*{found}"):
            use()


def test_other_content_of_the_same_size_is_found_by_its_hash(tmp_path: Path) -> None:
    """A flipped byte is not seen by the size, but by the check of the content."""
    store = BlobStore(tmp_path)
    body = put(store, b"abc")
    (tmp_path / file_of(*body.names)).write_bytes(b"abd")
    store.check(body.blobs[0])

    with pytest.raises(CorruptionError, match="SHA-256"):
        store.check(body.blobs[0], content=True)


def test_a_sweep_removes_only_what_nothing_names(tmp_path: Path) -> None:
    """Kept are blobs that the manifest, a record, a living body or a writer names."""
    old = BlobStore(tmp_path)
    by_manifest, orphan = (put(old, data) for data in (b"manifest", b"orphan"))
    store = BlobStore(tmp_path)
    living, recorded = put(store, b"living"), put(store, b"record")
    store.recorded(recorded.names, Lsn(7))
    kept_name, orphan_name = next(iter(recorded.names)), next(iter(orphan.names))
    writer = store.begin()
    writer.write(b"in flight")
    in_flight = writer.commit().name
    arriving = store.begin()
    arriving.write(b"arriving")
    names = [next(iter(body.names)) for body in (by_manifest, living)]
    del recorded, orphan
    gc.collect()

    assert store.sweep(by_manifest.names, cut=Lsn(6)) == [orphan_name]
    assert store.sweep(by_manifest.names, cut=Lsn(6)) == []
    for name in (*names, kept_name, in_flight):
        assert (tmp_path / file_of(name)).exists()
    assert store.sweep(by_manifest.names, cut=Lsn(7)) == [kept_name], "the record is retired"
    del living, writer
    gc.collect()
    assert set(store.sweep(by_manifest.names, cut=Lsn(7))) == {names[1], in_flight}
    assert store.sweep((), cut=Lsn(7)) == [names[0]]
    assert arriving.commit().name == name_of(b"arriving")


def test_what_was_put_since_the_last_sweep_is_counted(tmp_path: Path) -> None:
    """So that a checkpoint is due before bodies that were put over others fill the disk."""
    store = BlobStore(tmp_path)
    put(store, b"12345")
    put(store, b"123")
    assert store.unswept_bytes == 8
    store.sweep((), cut=CUT)
    assert store.unswept_bytes == 0


def test_what_comes_while_a_sweep_looks_is_swept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that is written while the folder is looked through is not forgotten."""
    store = BlobStore(tmp_path)

    def looking() -> set[str]:
        put(store, b"meanwhile")
        return set()

    monkeypatch.setattr(store, "_on_disk", looking)
    found = store.sweep((), cut=CUT)
    gc.collect()
    assert found + store.sweep((), cut=CUT) == [name_of(b"meanwhile")]


def test_a_blob_that_was_swept_is_written_again(tmp_path: Path) -> None:
    """Content that comes back after its blob went is there, and synced like any other."""
    store = BlobStore(tmp_path)
    put(store, b"again")
    gc.collect()
    assert len(store.sweep((), cut=CUT)) == 1
    store.sync()
    body = put(store, b"again")
    store.sync()

    assert body.read_all() == b"again"


def test_a_temporary_store_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that keeps nothing has its blobs below TMPDIR and removes them at its end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("perdure.persistence.blobs.SWEEP_BYTES", 10)
    store = BlobStore(None)
    kept = put(store, b"kept")
    for number in range(5):
        put(store, b"dropped" * (number + 1))
    assert len([f for f in files_of(tmp_path) if NAME.search(f)]) < 5
    assert kept.read_all() == b"kept"
    store.sync()
    store.close()

    assert files_of(tmp_path) == []


def test_a_name_that_is_no_hash_makes_no_path() -> None:
    """Only 64 lower-case hex digits ever become a part of a path."""
    for name in ("../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n"):
        with pytest.raises(AssertionError):
            file_of(name)


def test_ranges_of_a_body_are_those_of_its_bytes(tmp_path: Path) -> None:
    """Any slice of a body of blobs, pieces of blobs and bytes reads as the same slice of bytes."""
    store = BlobStore(tmp_path)
    one, two = put(store, b"0123456789"), put(store, b"abcdef")
    body = Body(store, [*one.parts, b"XY", *two[1:4].parts, *two.parts])
    data = b"0123456789XYbcdabcdef"
    assert body.read_all() == data
    for start, stop in itertools.product(range(-3, 25), repeat=2):
        part = body[start:stop]
        assert part.read_all() == data[start:stop]
        assert len(part) == len(data[start:stop])
    assert body[:] is body
    assert b"".join(body.chunks(4)) == data
    assert body.md5() == hashlib.md5(data).hexdigest()
    assert body.blobs == (Blob(name_of(b"0123456789"), 10), Blob(name_of(b"abcdef"), 6))


def test_parts_of_a_stranger_are_checked() -> None:
    """What is no list of bytes and well-formed spans is refused, whatever it is instead."""
    good = ["a" * 64, 10, 2, 8]
    assert parts_in([b"x", good]) == [b"x", Span(*good)]  # type: ignore[arg-type]
    assert parts_in(None) is None
    bad = [
        "text",
        [["../" + "a" * 61, 10, 0, 10]],
        [["a" * 64, 10, 0, 11]],
        [["a" * 64, 10, -1, 5]],
        [["a" * 64, 10, 0, 0]],
        [["a" * 64, 10, True, 5]],
        [["a" * 64, 1 << 63, 0, 5]],
        [["a" * 64, 1 << 80, 1 << 79, 5]],
        [["a" * 64, 1 << 62, 0, 1 << 62]] * 2,
        [["a" * 64, 10, 0]],
        [3],
    ]
    for rows in bad:
        with pytest.raises(TypeError):
            parts_in(rows)


def test_parts_come_back_as_they_were(tmp_path: Path) -> None:
    """What a state file says of a body makes the same body."""
    store = BlobStore(tmp_path, Files())
    body = Body(store, [*put(store, b"0123456789")[2:5].parts, b"tail"])
    rows = parts_out(BodyFile(body))[0]

    assert Body(store, parts_in(rows) or ()).read_all() == body.read_all() == b"234tail"
    assert parts_out(BodyFile(None)) == (None,)


def test_a_store_that_was_never_used_leaves_and_needs_nothing(tmp_path: Path) -> None:
    """No folder is made for a server that keeps nothing and gets no large body."""
    BlobStore(None).close()
    store = BlobStore(tmp_path)
    assert store.sweep((), cut=CUT) == []
    store.close()
    assert files_of(tmp_path) == []


def test_a_blob_that_comes_back_during_a_sweep_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content that is put again while a sweep is under way is not taken away under it."""
    old, store = BlobStore(tmp_path), BlobStore(tmp_path)
    names = sorted(name_of(data) for data in (b"one", b"two"))
    put(old, b"one")
    put(old, b"two")
    again: list[Body] = []
    remove = store.files.remove

    def putting(path: Path, *, what: str) -> None:
        remove(path, what=what)
        if not again:
            other = b"two" if path.name == name_of(b"one") else b"one"
            writer = store.begin()
            writer.write(other)
            again.append(Body(store, [whole(writer.commit())]))

    monkeypatch.setattr(store.files, "remove", putting)
    assert store.sweep((), cut=CUT) == names[:1]
    assert again[0].read_all() in (b"one", b"two")


def test_a_folder_that_goes_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What vanishes while it is listed, or is no folder of blobs, ends no sweep."""
    old = BlobStore(tmp_path)
    names = {name for number in range(8) for name in put(old, b"%d" % number).names}
    gone, *others = sorted(names)
    (tmp_path / "blobs" / "notes.txt").write_text("a user's")
    (tmp_path / "blobs" / "0f").write_text("no folder")
    (tmp_path / "blobs" / others[0][:2] / gone).write_text("of another folder")
    listed = os.listdir

    def vanishing(folder: Path) -> list[str]:
        if folder.name == gone[:2]:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "listdir", vanishing)
    assert BlobStore(tmp_path).sweep((), cut=CUT) == others


@pytest.mark.parametrize("at", [1, 2])
def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, at: int) -> None:
    """A disk that refuses a listing ends the sweep by name, and the next one looks again."""
    names = put(BlobStore(tmp_path), b"x").names
    store = BlobStore(tmp_path, FaultyFiles(at=at, fault="fail-once", only="blob.list"))
    with pytest.raises(DurabilityError, match=r"blobs.*blob\.list"):
        store.sweep((), cut=CUT)
    assert store.sweep((), cut=CUT) == sorted(names)


def test_others_go_on_while_a_blob_is_removed(tmp_path: Path) -> None:
    """While the disk is busy with a removal syncs and puts do not wait, but of that content."""
    files = SlowFiles("blob.unlink")
    store = BlobStore(tmp_path, files)
    name = next(iter(put(store, b"going").names))
    gc.collect()
    with ThreadPoolExecutor(4) as threads:
        sweep = threads.submit(store.sweep, (), cut=CUT)
        assert files.begun.wait(SECONDS_MAX)
        try:
            other = threads.submit(put, store, b"other").result(SECONDS_MAX)
            threads.submit(store.sync).result(SECONDS_MAX)
            again = threads.submit(put, store, b"going")
            assert wait([again], timeout=0.1).not_done == {again}
            assert not sweep.done()
        finally:
            files.go_on.set()
        assert sweep.result(SECONDS_MAX) == [name]
        body = again.result(SECONDS_MAX)
    store.sync()

    assert body.read_all() == b"going"
    assert other.read_all() == b"other"
    assert store.sweep((), cut=CUT) == []


def test_no_blob_goes_while_it_is_synced(tmp_path: Path) -> None:
    """A sweep waits for a sync that is under way: it has taken names that it opens yet."""
    files = SlowFiles("blob.fsync")
    store = BlobStore(tmp_path, files)
    names = {*put(store, b"one").names, *put(store, b"two").names}
    gc.collect()
    with ThreadPoolExecutor(2) as threads:
        sync = threads.submit(store.sync)
        assert files.begun.wait(SECONDS_MAX)
        sweep = threads.submit(store.sweep, (), cut=CUT)
        assert wait([sweep], timeout=0.1).not_done == {sweep}
        files.go_on.set()
        sync.result(SECONDS_MAX)
        assert set(sweep.result(SECONDS_MAX)) == names


def test_what_could_not_be_removed_is_removed_later(tmp_path: Path) -> None:
    """A disk that refuses a removal once is asked again by the next sweep."""
    store = BlobStore(tmp_path, FaultyFiles(at=1, fault="fail-once", only="blob.unlink"))
    names = put(store, b"x").names
    gc.collect()
    with pytest.raises(DurabilityError):
        store.sweep((), cut=CUT)
    assert store.sweep((), cut=CUT) == sorted(names)
    assert files_of(tmp_path) == []


def test_what_is_read_ahead_is_never_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask for bytes ahead changes nothing, whatever the system or the blob is like."""
    store = BlobStore(tmp_path)
    one, two = put(store, b"x" * 3000), put(store, b"y" * 3000)
    body = Body(store, [*one.parts, *two.parts])
    monkeypatch.setattr("perdure.persistence.body.AHEAD_BYTES", 100)
    asked: list[tuple[int, int]] = []

    def refused(_: int, at: int, length: int, __: int) -> None:
        asked.append((at, length))
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "posix_fadvise", refused)
    assert b"".join(body.chunks(70)) == b"x" * 3000 + b"y" * 3000
    assert sum(length for at, length in asked if length == 100) >= 5800
    monkeypatch.delattr(os, "posix_fadvise")
    assert body.read_all() == b"x" * 3000 + b"y" * 3000
    (tmp_path / file_of(*two.names)).unlink()
    pieces = body.chunks(1500)
    assert next(pieces) + next(pieces) == b"x" * 3000
    with pytest.raises(CorruptionError):
        next(pieces)


def test_a_blob_that_is_cut_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """Bytes that were there when a read began and are not any more are never left out."""
    body = put(BlobStore(tmp_path), b"x" * 3000)
    pieces = body.chunks(1000)
    next(pieces)
    os.truncate(tmp_path / file_of(*body.names), 1000)
    with pytest.raises(CorruptionError, match="1000 bytes"):
        list(pieces)


def test_a_copy_of_a_body_is_the_body(tmp_path: Path) -> None:
    """A deep copy, as moto makes of objects it lists, shares the blobs."""
    body = put(BlobStore(tmp_path), b"x")
    assert copy.deepcopy([body]) == [body]


def test_only_so_many_digests_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest MD5 goes first."""
    monkeypatch.setattr("perdure.persistence.blobs.DIGESTS_KEPT", 2)
    store = BlobStore(tmp_path)
    for number in range(3):
        store.note_md5(str(number), "x")
    assert [store.md5_of(str(number)) for number in range(3)] == [None, "x", "x"]


def test_blobs_of_a_process_that_died_are_synced_again(tmp_path: Path) -> None:
    """What the page cache alone may have is made durable before anything that names it."""
    body = put(BlobStore(tmp_path), b"x")
    files = FaultyFiles()
    store = BlobStore(tmp_path, files)
    store.pend(body.names)
    store.sync()
    assert files.names == ["blob.open", "blob.fsync", "blob.fsync-folder"]


def test_a_closed_file_says_so() -> None:
    """A deleted object's body is a closed file, as moto expects."""
    with pytest.raises(ValueError, match="closed file"):
        BodyFile(None).body  # noqa: B018
