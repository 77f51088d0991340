"""Every operating-system call that touches a state directory, each under a name.

The names are what tests break one by one ("state.fsync", "manifest.rename"), so
no other module opens, renames or syncs a file.  ``publish`` is how a file
comes to be: temp file, write, fsync, rename, fsync of the folder.  After a
crash at any line the old file or the new one is whole; a ``*.tmp`` may be left
behind, which nothing reads and the next start removes.

Neither a read nor a write follows a link or waits for a FIFO: what lies in a
directory may be a stranger's (``directory.refuse_links`` sees to the folders).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from perdure.errors import CorruptionError, DurabilityError

TEMPORARY = ".tmp"
CHUNK = 1 << 20
# For every open: a link is not followed, and a FIFO nobody writes to is not waited for.
CAUTIOUS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}
Result = TypeVar("Result")


def read_file(path: Path, *, what: str, bytes_max: int | None = None) -> bytes:
    """The content of a file of a state directory, if it is a regular one.

    Args:
        path: The file.
        what: What it is, in errors.
        bytes_max: The most it may hold; None = any size.

    Raises:
        FileNotFoundError: There is none.
        CorruptionError: It is something else, too large, or cannot be read.
    """
    with _open_regular(path, what, bytes_max) as file:
        return file.read()


def read_chunks(path: Path, *, what: str) -> Generator[bytes, None, None]:
    """The content of a file of any size, by and by; raises as ``read_file``."""
    with _open_regular(path, what, None) as file:
        while data := file.read(CHUNK):
            yield data


@contextmanager
def _open_regular(path: Path, what: str, bytes_max: int | None) -> Iterator[BinaryIO]:
    try:
        descriptor = os.open(path, os.O_RDONLY | CAUTIOUS)
        try:
            _check_regular(path, os.fstat(descriptor), what, bytes_max)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                yield file
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise _irregular(path, what, stat.S_IFLNK) from error
        raise CorruptionError(
            path, what, expected="a readable file", found=error.strerror or error
        ) from error


def kind_of(mode: int) -> str:
    """What stands where a regular file should, in words."""
    return KINDS.get(stat.S_IFMT(mode), "a device")


def _check_regular(path: Path, found: os.stat_result, what: str, bytes_max: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _irregular(path, what, found.st_mode)
    if bytes_max is not None and found.st_size > bytes_max:
        raise CorruptionError(
            path, f"{what} length", expected=f"<= {bytes_max} bytes", found=found.st_size
        )


def _irregular(path: Path, what: str, mode: int) -> CorruptionError:
    return CorruptionError(path, what, expected="a regular file", found=kind_of(mode))


class Files:
    """The real disk."""

    def step(self, name: str, path: Path, action: Callable[[], Result]) -> Result:
        """Run one named step; a failure becomes an error that names step and path.

        Raises:
            DurabilityError: The operating system refused.
        """
        try:
            return action()
        except OSError as error:
            raise DurabilityError(path, name, error.strerror or str(error)) from error

    def publish(self, path: Path, data: bytes, *, what: str) -> None:
        """Replace ``path`` by ``data``, all or nothing.

        Args:
            path: The file; its folders are made where missing.
            data: The whole content.
            what: Prefix of the step names, such as ``state`` or ``manifest``.

        Durability:
            When this returns, content and name are on disk.
        """
        self.write(path, data, what=what)
        self.sync_folder(path.parent, what=what)

    def write(self, path: Path, data: bytes, *, what: str) -> None:
        """As ``publish``, but the name is durable only after ``sync_folder``.

        For many files at once: their folders are then synced once.
        """
        self.write_temporary(path, data, what=what)
        self.put_in_place(path, what=what)

    def write_temporary(self, path: Path, data: bytes, *, what: str) -> None:
        """Write what ``put_in_place`` will name ``path``; a reader of ``path`` sees nothing yet.

        The half of ``write`` that another process may do.

        Durability:
            When this returns, the content is on disk, under a name that the next
            start removes.
        """
        self._write_temporary(path, (data,), what=what)

    def _write_temporary(self, path: Path, parts: Iterable[bytes], *, what: str) -> None:
        self.make_folder(path.parent, what=what)
        temporary = temporary_of(path)
        descriptor = self.step(
            f"{what}.create",
            temporary,
            lambda: os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | CAUTIOUS, 0o600),
        )
        try:
            self.step(f"{what}.write", temporary, lambda: _write_all(descriptor, parts))
            self.step(f"{what}.fsync", temporary, lambda: os.fsync(descriptor))
        except (DurabilityError, CorruptionError):
            # Give the space back at once: on a full disk it may be what the
            # next attempt needs.
            with suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(descriptor)

    def put_in_place(self, path: Path, *, what: str) -> None:
        """Give what ``write_temporary`` wrote its name; durable after ``sync_folder``."""
        temporary = temporary_of(path)
        self.step(f"{what}.rename", path, lambda: temporary.replace(path))

    def discard_temporary(self, temporary: Path) -> None:
        """Give back the space of what ``write_temporary`` wrote, if it is there.

        No step: nothing depends on it, as the next start removes what is left.
        """
        assert temporary.suffix == TEMPORARY, temporary
        with suppress(OSError):
            temporary.unlink()

    def make_folder(self, folder: Path, *, what: str) -> None:
        """Create ``folder`` with its parents, each durable in its own parent."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            make = partial(new.mkdir, mode=0o700, exist_ok=True)
            self.step(f"{what}.mkdir", new, make)
            try:
                self.sync_folder(new.parent, what=what)
            except DurabilityError:
                # Else the next attempt would find it and never make it durable.
                with suppress(OSError):
                    new.rmdir()
                raise

    def sync_file(self, path: Path, *, what: str) -> None:
        """Make the content of a file that something else wrote durable."""

        def sync() -> None:
            descriptor = os.open(path, os.O_RDONLY | CAUTIOUS)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

        self.step(f"{what}.fsync", path, sync)

    def sync_folder(self, folder: Path, *, what: str) -> None:
        """Make renames and removals in ``folder`` durable."""

        def sync() -> None:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

        self.step(f"{what}.fsync-folder", folder, sync)

    def move(self, source: Path, target: Path, *, what: str) -> None:
        """Rename ``source`` to ``target`` on the same disk, durably."""
        self.make_folder(target.parent, what=what)
        self.step(f"{what}.rename", source, lambda: source.replace(target))
        self.sync_folder(target.parent, what=what)
        self.sync_folder(source.parent, what=what)

    def link(self, source: Path, target: Path, *, what: str) -> None:
        """Give ``source`` a second name, durably."""
        self.make_folder(target.parent, what=what)
        self.step(f"{what}.link", source, lambda: target.hardlink_to(source))
        self.sync_folder(target.parent, what=what)

    def copy(self, source: Path, target: Path, *, what: str) -> None:
        """Write the content of ``source`` to ``target``, however large, durably."""
        self._write_temporary(target, read_chunks(source, what=what), what=what)
        self.put_in_place(target, what=what)
        self.sync_folder(target.parent, what=what)

    def remove(self, path: Path, *, what: str) -> None:
        """Unlink ``path``; a file that is gone already is no error."""
        self.step(f"{what}.unlink", path, lambda: path.unlink(missing_ok=True))


def temporary_of(path: Path) -> Path:
    """The name of a file that is not whole yet."""
    return path.with_name(path.name + TEMPORARY)


def _write_all(descriptor: int, parts: Iterable[bytes]) -> None:
    """``os.write`` may write less than asked (a signal, a quota); go on until all is out."""
    for data in parts:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``: one system call, unless it is cut short."""
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)
