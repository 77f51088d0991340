"""Files: every step has a name, and whichever fails, the old file or the new one is whole."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.faults import KEPT, FaultyFiles, Kept, PowerLoss

from perdure.errors import CorruptionError, DurabilityError
from perdure.persistence.files import TEMPORARY, Files, read_file, write_at

PUBLISH = ["x.create", "x.write", "x.fsync", "x.rename", "x.fsync-folder"]
MAKE_TWO = ["x.mkdir", "x.fsync-folder"] * 2


def test_publish_replaces_the_whole_file(tmp_path: Path) -> None:
    """A published file holds exactly the new bytes, and no temporary file is left."""
    file = tmp_path / "f"
    Files().publish(file, b"a much longer old content", what="x")
    Files().publish(file, b"new", what="x")

    assert file.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["f"]


def test_files_are_private(tmp_path: Path) -> None:
    """State holds secrets, so files and folders are readable by their user only."""
    Files().publish(tmp_path / "a" / "f", b"", what="x")

    assert (tmp_path / "a" / "f").stat().st_mode & 0o077 == 0
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


def test_steps_of_a_publish(tmp_path: Path) -> None:
    """Bytes are synced before the rename, the folder after it; new folders in their parents."""
    files = FaultyFiles()
    files.publish(tmp_path / "a" / "b" / "f", b"1", what="x")

    assert files.names == MAKE_TWO + PUBLISH


def test_steps_of_a_move(tmp_path: Path) -> None:
    """A move is durable in both folders."""
    (tmp_path / "f").write_bytes(b"1")
    files = FaultyFiles()
    files.move(tmp_path / "f", tmp_path / "to" / "g", what="x")

    assert files.names == ["x.mkdir", "x.fsync-folder", "x.rename", *["x.fsync-folder"] * 2]
    assert (tmp_path / "to" / "g").read_bytes() == b"1"
    assert not (tmp_path / "f").exists()


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    """A file that is gone already counts as removed."""
    (tmp_path / "f").write_bytes(b"1")
    Files().remove(tmp_path / "f", what="x")
    Files().remove(tmp_path / "f", what="x")

    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("at", range(1, len(MAKE_TWO + PUBLISH) + 1))
def test_a_failed_step_is_named(tmp_path: Path, at: int, code: int) -> None:
    """A failure is one DurabilityError that carries the step, the path and the reason."""
    files = FaultyFiles(at=at, fault="fail-once", code=code)

    with pytest.raises(DurabilityError) as failure:
        files.publish(tmp_path / "a" / "b" / "f", b"1", what="x")

    assert failure.value.step == (MAKE_TWO + PUBLISH)[at - 1]
    assert failure.value.reason == os.strerror(code)
    assert str(failure.value.path).startswith(str(tmp_path))


def test_the_real_disk_names_its_failures(tmp_path: Path) -> None:
    """What the operating system refuses becomes a DurabilityError with step and path."""
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "inside").touch()

    with pytest.raises(DurabilityError) as failure:
        Files().publish(tmp_path / "f", b"1", what="x")

    assert (failure.value.step, failure.value.path) == ("x.rename", tmp_path / "f")
    with pytest.raises(DurabilityError, match="x.fsync-folder"):
        Files().sync_folder(tmp_path / "none", what="x")


@pytest.mark.parametrize("step", ["x.write", "x.fsync"])
def test_a_failed_write_gives_its_space_back(tmp_path: Path, step: str) -> None:
    """The temporary file of a failed write is removed at once."""
    files = FaultyFiles(at=1, fault="fail-once", code=errno.ENOSPC, only=step)

    with pytest.raises(DurabilityError):
        files.publish(tmp_path / "f", b"1", what="x")

    assert os.listdir(tmp_path) == []


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """os.write may take fewer bytes than asked; all are written in the end."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda d, data: write(d, bytes(data)[:7]))

    Files().publish(tmp_path / "f", bytes(range(200)), what="x")

    assert (tmp_path / "f").read_bytes() == bytes(range(200))


@pytest.mark.parametrize("fault", ["stop", "stop-after", "fail-once", "fail-on", "short-write"])
@pytest.mark.parametrize("kept", KEPT)
def test_old_or_new_is_whole_at_every_step(tmp_path: Path, fault: str, kept: Kept) -> None:
    """Whatever step a publish ends at, the old content or the new one is whole."""
    for step in itertools.count(1):
        root = tmp_path / f"disk{step}"
        root.mkdir()
        Files().publish(root / "f", b"old", what="x")
        files = FaultyFiles(at=step, fault=fault, root=root)
        try:
            files.publish(root / "f", b"the new one", what="x")
        except (PowerLoss, DurabilityError):
            done = False
        else:
            done = True

        disk = files.after_power_loss(tmp_path / f"after{step}", kept)
        content = (disk / "f").read_bytes()

        assert content == b"the new one" if done else content in (b"old", b"the new one")
        assert set(os.listdir(disk)) <= {"f", "f" + TEMPORARY}
        if not files.happened:
            return


def test_publish_really_syncs_file_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is synced before the rename, the folder after it: by the system, not by name."""
    synced: list[tuple[str, bool]] = []
    target = tmp_path / "f"

    def fsync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        synced.append((name, target.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    Files().publish(target, b"content", what="x")

    assert synced == [("f" + TEMPORARY, False), (tmp_path.name, True)]


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    """A file reads as it is; none is told apart from one that cannot be read."""
    (tmp_path / "f").write_bytes(b"content")

    assert read_file(tmp_path / "f", what="file") == b"content"
    assert read_file(tmp_path / "f", what="file", bytes_max=7) == b"content"
    with pytest.raises(CorruptionError, match="file length: expected <= 6 bytes, found 7"):
        read_file(tmp_path / "f", what="file", bytes_max=6)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "g", what="file")
    with pytest.raises(CorruptionError, match="a readable file"):
        read_file(tmp_path / "f" / "below", what="file")


def _link(path: Path) -> None:
    (path.parent / "target").write_bytes(b"not yours")
    path.symlink_to(path.parent / "target")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


IRREGULAR: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (_link, "a regular file, found a symbolic link"),
    "dangling link": (lambda p: p.symlink_to("nowhere"), "a regular file, found a symbolic link"),
    "FIFO": (os.mkfifo, "a regular file, found a FIFO"),
    "folder": (os.mkdir, "a regular file, found a folder"),
    "socket": (_socket, "a readable file"),
}


@pytest.mark.parametrize(("make", "said"), IRREGULAR.values(), ids=IRREGULAR.keys())
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link is not followed, nobody waits for a FIFO, and no descriptor is left open."""
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    make(Path("f"))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(CorruptionError, match=said):
        read_file(tmp_path / "f", what="file")

    assert os.listdir("/proc/self/fd") == before


def test_a_device_is_refused() -> None:
    """A device that never ends is not read."""
    with pytest.raises(CorruptionError, match="a regular file, found a device"):
        read_file(Path("/dev/zero"), what="file")


@pytest.mark.parametrize("make", [_link, os.mkfifo], ids=["link", "FIFO"])
def test_a_write_goes_through_nothing(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A temporary file that is a link or a FIFO already is a failed step, not written to."""
    make(tmp_path / ("f" + TEMPORARY))
    with pytest.raises(DurabilityError, match="x.create"):
        Files().publish(tmp_path / "f", b"new", what="x")

    assert not (tmp_path / "f").exists()
    if (tmp_path / "target").exists():
        assert (tmp_path / "target").read_bytes() == b"not yours"


def test_a_short_write_in_place_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """os.pwrite may take fewer bytes than asked; all are written where they belong."""
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda d, data, at: pwrite(d, bytes(data)[:7], at))
    with (tmp_path / "f").open("wb") as file:
        write_at(file.fileno(), bytes(range(200)), 10)

    assert (tmp_path / "f").read_bytes() == bytes(10) + bytes(range(200))
