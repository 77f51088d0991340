"""The directory: recognised, created, locked; and left as it was whenever it is refused."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.crash.faults import FaultyFiles, PowerLoss

from perdure.errors import (
    CorruptionError,
    ForeignDirectoryError,
    FormatVersionError,
    LockedError,
    StateError,
    UnusableDirectoryError,
)
from perdure.persistence import directory
from perdure.persistence.directory import IDENTITY, LOCK, Directory, open_directory, recognise
from perdure.persistence.files import Files
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.manifest import Entry, Manifest, file_for
from perdure.persistence.statefile import Shares

S3, SQS = StoreKey("s3", "0", "aws"), StoreKey("sqs", "0", "us-east-1")
PROCESS = StoreKey("process", "all", "all")


def entry(key: StoreKey, cut: int) -> Entry:
    return Entry(key, file_for(key, Lsn(cut)), 0, "", "", Lsn(cut), "", Shares())


def put(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def opened(path: Path, files: Files | None = None) -> Directory:
    return open_directory(path, files=files or Files(), version="1.2.3")


def tree(path: Path) -> dict[str, bytes | None]:
    """All that lies below a folder."""
    return {
        str(p.relative_to(path)): p.read_bytes() if p.is_file() else None
        for p in sorted(path.rglob("*"))
    }


@contextmanager
def held_lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.pwrite(descriptor, b"process 77\n", 0)
    try:
        yield
    finally:
        os.close(descriptor)


def test_a_new_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    """Opening a path that is not there creates it, with identity and lock, readable by its user."""
    found = opened(tmp_path / "a" / "b" / "c")

    assert found.is_new
    assert set(os.listdir(found.path)) == {IDENTITY, LOCK, "manifest.json"}
    assert found.identity["created_by"] == "1.2.3"
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0
    found.close()


def test_a_known_directory_keeps_its_identity(tmp_path: Path) -> None:
    """Opening again finds the instance that was created, whatever the version."""
    first = opened(tmp_path)
    first.close()
    second = open_directory(tmp_path, files=Files(), version="9")

    assert not second.is_new
    assert second.identity == first.identity
    second.close()
    second.close()


def test_an_empty_or_indifferent_folder_may_be_used(tmp_path: Path) -> None:
    """What a fresh volume holds is no reason to refuse it."""
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".gitkeep").touch()

    assert not recognise(tmp_path)
    opened(tmp_path).close()
    assert recognise(tmp_path)


@pytest.mark.parametrize(
    ("name", "is_folder", "message"),
    [
        ("recorded_api_calls.json", False, "LocalStack 0.x"),
        ("startup_info.json", False, "LocalStack 0.x"),
        ("api_states", True, "LocalStack Pro"),
        ("state", True, "LocalStack volume"),
        ("cache", True, "LocalStack volume"),
        ("metadata.yaml", False, "LocalStack pod"),
        ("s3_api_calls.json", False, "older than 0.11"),
        ("dynamodb", True, "LocalStack 0.x"),
        ("holiday.jpg", False, "holiday.jpg"),
        ("manifest.json", False, "manifest.json"),
    ],
)
def test_what_is_not_ours_is_named_and_untouched(
    tmp_path: Path, name: str, message: str, *, is_folder: bool
) -> None:
    """A folder that holds something else is refused by what was found, and stays as it was."""
    (tmp_path / name).mkdir() if is_folder else (tmp_path / name).write_text("theirs")
    before = tree(tmp_path)

    with pytest.raises(ForeignDirectoryError, match=message):
        opened(tmp_path)

    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "gone", [(), ("manifest.json",), ("journal",), ("api_states",), ("LOCK", "journal")]
)
def test_a_directory_that_lost_its_identity_is_ours(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """Without perdure.json it is no LocalStack volume: the file is asked for, nothing changes."""
    opened(tmp_path).close()
    (tmp_path / IDENTITY).unlink()
    for name in ("journal/00000000000000000001.wal", "api_states/0/s3/aws.1.state"):
        put(tmp_path / name)
    for name in gone:
        path = tmp_path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = tree(tmp_path)

    with pytest.raises(CorruptionError, match=r"perdure\.json: identity: .* none beside") as error:
        opened(tmp_path)

    assert "restore the file from a backup" in error.value.hint
    assert tree(tmp_path) == before


def test_a_path_that_is_or_lies_below_a_file_is_refused(tmp_path: Path) -> None:
    """A file in the way is an UnusableDirectoryError, and nothing is created."""
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below" / "it"):
        with pytest.raises(UnusableDirectoryError, match="is a file"):
            opened(path)

    assert tree(tmp_path) == {"file": b"mine"}


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    """A link to nowhere is an UnusableDirectoryError."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    with pytest.raises(UnusableDirectoryError):
        opened(tmp_path / "link")

    assert os.listdir(tmp_path) == ["link"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_while_opening_is_undone(tmp_path: Path, code: int, *, exists: bool) -> None:
    """Whichever step fails, the error says why and the disk is as it was."""
    path = tmp_path / "a" / "b"
    if exists:
        path.mkdir(parents=True)
        (path / ".gitkeep").write_text("kept")
    before = tree(tmp_path)
    for step in range(1, 100):
        files = FaultyFiles(at=step, fault="fail-once", code=code)
        try:
            opened(path, files).close()
        except StateError as error:
            assert os.strerror(code) in str(error)  # noqa: PT017 - the last step raises nothing
            assert tree(tmp_path) == before, files.steps
        if not files.happened:
            return


def test_a_stop_while_opening_is_recovered(tmp_path: Path) -> None:
    """Wherever the machine stopped while a directory was made, the next start makes it."""
    for step in range(1, 100):
        path = tmp_path / str(step)
        files = FaultyFiles(at=step, fault="stop")
        try:
            opened(path, files).close()
        except PowerLoss:
            opened(path).close()
        assert recognise(path)
        if not files.happened:
            return


def test_new_folders_are_durable(tmp_path: Path) -> None:
    """Each folder that is made is synced into its parent: else all in it may vanish."""
    files = FaultyFiles()
    opened(tmp_path / "a" / "b", files).close()

    synced = {step.path for step in files.steps if step.name.endswith("fsync-folder")}
    assert synced >= {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second opening is refused by the owner's name until the first is closed."""
    first = opened(tmp_path)
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        opened(tmp_path)
    first.close()

    opened(tmp_path).close()


def test_losing_the_race_for_a_new_directory_takes_nothing_from_the_winner(tmp_path: Path) -> None:
    """Whoever finds a directory that is just being made locked leaves its files alone."""
    with held_lock(tmp_path):
        with pytest.raises(LockedError, match="process 77"):
            opened(tmp_path)
        assert tree(tmp_path) == {LOCK: b"process 77\n"}

        # The winner's identity appears between the loser's look and its lock.
        seen = directory.recognise

        def look_too_early(path: Path) -> bool:
            found = seen(path)
            (path / IDENTITY).write_text("the winner's")
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(directory, "recognise", look_too_early)
            with pytest.raises(LockedError):
                opened(tmp_path)
        assert (tmp_path / IDENTITY).read_text() == "the winner's"
        assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"[" * 60_000,
        b"[" * 200_000,
        b" " * (1 << 20),
        b'{"format": 1}',
        b'{"format": null, "instance": 1, "created": 1}',
    ],
)
def test_an_identity_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    """A damaged perdure.json is a StateError, and nothing is changed or locked."""
    (tmp_path / IDENTITY).write_bytes(content)
    with pytest.raises(CorruptionError) as error:
        opened(tmp_path)

    assert "state reset" not in error.value.hint
    assert (tmp_path / IDENTITY).read_bytes() == content
    with held_lock(tmp_path):
        pass


def test_a_newer_directory_is_refused(tmp_path: Path) -> None:
    """A directory of a newer Perdure names both formats and is not touched."""
    identity = {"format": 2, "instance": "x", "created": "y"}
    (tmp_path / IDENTITY).write_text(json.dumps(identity))

    with pytest.raises(FormatVersionError) as error:
        opened(tmp_path)

    assert (error.value.found, error.value.supported) == (2, 1)


def test_what_an_unfinished_checkpoint_left_is_swept(tmp_path: Path) -> None:
    """Temporary files and what a newer live file superseded go; all else stays."""
    found = opened(tmp_path)
    superseded = ("api_states/0/s3/aws.1.state", "api_states/all/process/all.1.state")
    temporary = ("api_states/0/s3/aws.2.state.tmp", "x.json.tmp")
    entries = [entry(S3, 2), entry(PROCESS, 2)]
    for name in (*superseded, *temporary, *(each.file for each in entries)):
        put(tmp_path / name)
    (tmp_path / "mine.txt").write_text("kept")
    live = Manifest(cut=Lsn(2), stores={S3: entries[0]}, process=entries[1])

    assert set(found.sweep(live)) == {*superseded, *temporary}
    assert (tmp_path / "mine.txt").exists()
    assert {(tmp_path / each.file).exists() for each in entries} == {True}
    assert not (tmp_path / "quarantine").exists()
    found.close()


UNNAMED: dict[str, Manifest] = {
    "no manifest": Manifest(),
    "an emptied manifest": Manifest(cut=Lsn(9), process=entry(PROCESS, 9)),
    "another store": Manifest(cut=Lsn(9), stores={SQS: entry(SQS, 9)}),
    "an older file": Manifest(cut=Lsn(9), stores={S3: entry(S3, 4)}),
    "a newer file that is gone": Manifest(cut=Lsn(9), stores={S3: entry(S3, 8)}),
}


@pytest.mark.parametrize("live", UNNAMED.values(), ids=UNNAMED.keys())
def test_the_last_copy_of_a_store_is_never_deleted(
    tmp_path: Path, live: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    """A state file the manifest names no newer one for is set aside, with a warning."""
    found = opened(tmp_path)
    file = put(tmp_path / "api_states" / "0" / "s3" / "aws.5.state", b"the only copy")
    if live.stores.get(S3) and live.stores[S3].cut == 4:
        put(tmp_path / live.stores[S3].file)

    with caplog.at_level("WARNING"):
        assert found.sweep(live) == ["api_states/0/s3/aws.5.state"]
    found.close()

    (aside,) = (tmp_path / "quarantine").iterdir()
    assert aside.read_bytes() == b"the only copy"
    assert not file.exists()
    assert "1 state files that manifest.json does not name were set aside" in caplog.text


def test_a_file_out_of_its_place_is_no_superseded_one(tmp_path: Path) -> None:
    """A file that only looks like a store's older one is set aside too."""
    found = opened(tmp_path)
    live = Manifest(cut=Lsn(9), stores={S3: entry(S3, 9)})
    put(tmp_path / live.stores[S3].file)
    for name in ("api_states/deep/0/s3/aws.5.state", "api_states/0/s3/aws.05.state", "s3.1.state"):
        put(tmp_path / "api_states" / name if "/" not in name else tmp_path / name)

    found.sweep(live)
    found.close()

    assert len(list((tmp_path / "quarantine").iterdir())) == 3


def test_setting_aside_keeps_every_file(tmp_path: Path) -> None:
    """A file set aside is in quarantine under a name of its own; one that is gone is None."""
    found = opened(tmp_path)
    places = set()
    for content in (b"1", b"2"):
        (tmp_path / "f.state").write_bytes(content)
        places.add(found.set_aside("f.state"))

    assert found.set_aside("f.state") is None
    assert {(tmp_path / str(p)).read_bytes() for p in places} == {b"1", b"2"}
    found.close()


WHOLE = {
    "format": 1,
    "instance": "0" * 32,
    "created": "2026-01-01T00:00:00+00:00",
    "created_by": "0.1.0",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("format", value) for value in ("1", True, 0, -1, 1.0, None)),
        *(("instance", value) for value in ("../../x", "", "0" * 31, "0" * 32 + "\n", 5)),
        *(("created", value) for value in ("x", "99999-01-01", 5, "")),
        *(("created_by", value) for value in (5, None)),
    ],
)
def test_a_field_of_the_identity_that_is_none_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    """Each field of perdure.json is of its type, or a CorruptionError names it."""
    (tmp_path / IDENTITY).write_text(json.dumps(WHOLE))
    opened(tmp_path).close()
    (tmp_path / IDENTITY).write_text(json.dumps({**WHOLE, name: value}))
    before = tree(tmp_path)

    with pytest.raises(CorruptionError, match=rf"identity\.{name}"):
        opened(tmp_path)

    assert tree(tmp_path) == before


# ------------------------------------------------- links, FIFOs and the like


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "used"])
@pytest.mark.parametrize("is_there", [True, False], ids=["a file", "nothing"])
def test_a_lock_that_is_a_link_is_not_written_through(
    tmp_path: Path, *, is_new: bool, is_there: bool
) -> None:
    """LOCK as a link is refused by name, and what it points to stays as it was."""
    path, victim = tmp_path / "state", tmp_path / "victim"
    path.mkdir()
    if not is_new:
        opened(path).close()
        (path / LOCK).unlink()
    if is_there:
        victim.write_text("important")
    (path / LOCK).symlink_to(victim)

    with pytest.raises(UnusableDirectoryError, match="LOCK is a symbolic link") as error:
        opened(path)

    assert str(path / LOCK) in error.value.hint
    assert victim.read_text() == "important" if is_there else not victim.exists()


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a FIFO"), (os.mkdir, "a folder")])
def test_a_lock_that_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None], kind: str
) -> None:
    """A FIFO or a folder for LOCK is named and left."""
    make(tmp_path / LOCK)

    with pytest.raises(UnusableDirectoryError, match=f"LOCK is {kind}"):
        opened(tmp_path)

    assert os.listdir(tmp_path) == [LOCK]


@pytest.mark.parametrize(
    "name",
    [
        "api_states",
        "api_states/0",
        "api_states/0/s3",
        "api_states/0/s3/aws.1.state",
        "api_states/0/s3/aws.2.state.tmp",
        "quarantine",
        "quarantine/x",
        "manifest.json",
        "manifest.json.tmp",
        IDENTITY,
        "lost+found",
        "anything",
    ],
)
@pytest.mark.parametrize("is_there", [True, False], ids=["there", "dangling"])
def test_nothing_inside_is_a_link(tmp_path: Path, name: str, *, is_there: bool) -> None:
    """Wherever a link stands, the start is refused and nothing changes on either side of it."""
    path, outside = tmp_path / "state", tmp_path / "outside"
    opened(path).close()
    put(path / "api_states/0/s3/aws.1.state", b"a store")
    (path / "quarantine").mkdir()
    if (path / name).exists():
        (path / name).rename(outside)
    elif is_there:
        outside.mkdir()
    if not is_there and outside.exists():
        outside.rename(tmp_path / "away")
    (path / name).symlink_to(outside)
    before = tree(tmp_path)

    with pytest.raises((UnusableDirectoryError, CorruptionError)) as error:
        opened(path)

    assert f"{name} is a symbolic link" in str(error.value)
    assert tree(tmp_path) == before


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    """DATA_DIR is its user's own word: a link to a folder is followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    opened(tmp_path / "link").close()

    assert recognise(tmp_path / "real")


def test_a_folder_that_cannot_be_looked_into_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may hold a link is not used; what is gone meanwhile, and lost+found, do no harm."""
    opened(tmp_path).close()
    for name in ("api_states", "lost+found"):
        (tmp_path / name).mkdir()
    scan = os.scandir
    code = errno.EACCES

    def refuse(path: str) -> object:
        if Path(path).name in ("api_states", "lost+found"):
            raise OSError(code, os.strerror(code), path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UnusableDirectoryError, match=r"api_states.*Permission denied"):
        directory.refuse_links(tmp_path)
    code = errno.ENOENT
    directory.refuse_links(tmp_path)


def test_nobody_waits_for_a_fifo(tmp_path: Path) -> None:
    """A FIFO for the identity is refused at once, as what it is."""
    opened(tmp_path).close()
    (tmp_path / IDENTITY).unlink()
    os.mkfifo(tmp_path / IDENTITY)

    with pytest.raises(CorruptionError, match="a regular file, found a FIFO"):
        opened(tmp_path)


def test_an_identity_that_is_gone_is_named(tmp_path: Path) -> None:
    """A perdure.json that vanished since the first look is a CorruptionError."""
    with pytest.raises(CorruptionError, match="expected a file, found none"):
        directory.read_identity(tmp_path)


def test_a_sweep_leaves_the_journal(tmp_path: Path) -> None:
    """Of the journal only the spare is cleared away, which is nothing a save left behind."""
    directory = open_directory(tmp_path, files=Files(), version="test")
    folder = tmp_path / "journal"
    folder.mkdir()
    for name in ("00000000000000000001.wal", "spare.tmp", "other.tmp"):
        (folder / name).touch()
    swept = directory.sweep(Manifest())
    directory.close()

    assert swept == []
    assert sorted(p.name for p in folder.iterdir()) == ["00000000000000000001.wal", "other.tmp"]


def keep(found: Directory, last_lsn: int) -> Path:
    folder = found.keep_diverged(
        Lsn(3), Lsn(last_lsn), states=["api_states/a"], others=["journal/b"], report={"n": 1}
    )
    return found.path / folder


def test_what_diverged_is_kept_once(tmp_path: Path) -> None:
    """The same checkpoint and tail are kept once, however often a start is tried."""
    found = opened(tmp_path)
    state = put(tmp_path / "api_states/a", b"state")
    segment = put(tmp_path / "journal/b", b"x" * (3 << 20))

    first, again, later = keep(found, 5), keep(found, 5), keep(found, 6)
    segment.write_bytes(b"written to in place")

    assert first == again != later
    assert json.loads((first / "report.json").read_text()) == {"n": 1, "cut": 3, "last_lsn": 5}
    assert (first / "api_states/a").samefile(state)
    assert (first / "journal/b").read_bytes() == b"x" * (3 << 20)
    found.close()


def test_a_copy_outlives_the_file(tmp_path: Path) -> None:
    """What is written to in place is copied, not named twice."""
    found = opened(tmp_path)
    segment = put(tmp_path / "journal/b", b"before")

    found.keep_content("journal/b")
    found.keep_content("journal/gone")
    segment.write_bytes(b"after!")

    (kept,) = (tmp_path / "quarantine").iterdir()
    assert kept.read_bytes() == b"before"
    found.close()
