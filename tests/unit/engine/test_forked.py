"""A forked child: sees one instant, changes nothing of its parent's, never outlives it."""

from __future__ import annotations

import atexit
import fcntl
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.engine import forked
from perdure.engine.forked import Child, ChildError, fork

SECONDS = 30.0
SRC = Path(forked.__file__).parents[2]


def start(work: Callable[[], bytes]) -> Child:
    child = fork(work)
    assert child is not None
    return child


def answer_of(
    child: Child,
    *,
    seconds: float = SECONDS,
    hurry: threading.Event | None = None,
    hurried_seconds: float = 0.2,
) -> bytes:
    hurry = hurry or threading.Event()
    return child.answer(seconds=seconds, hurry=hurry, hurried_seconds=hurried_seconds)


def for_ever() -> bytes:
    while True:
        time.sleep(60)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_child_sees_the_instant_of_the_fork() -> None:
    """What the parent changes afterwards is not in the answer."""
    state = {"value": "before"}

    def work() -> bytes:
        time.sleep(0.1)
        return state["value"].encode()

    child = start(work)
    state["value"] = "after"

    assert answer_of(child) == b"before"


def test_nothing_of_the_child_reaches_the_parents_code(capfd: pytest.CaptureFixture[str]) -> None:
    """It runs no exit handler of its parent's and writes to none of its streams."""
    ran: list[str] = []
    read, write = os.pipe()

    def at_exit() -> None:
        ran.append("at exit")
        os.write(write, b"at exit")

    atexit.register(at_exit)

    def work() -> bytes:
        os.write(1, b"to stdout")
        os.write(2, b"to stderr")
        raise SystemExit

    try:
        with pytest.raises(ChildError, match="SystemExit"):
            answer_of(start(work))
    finally:
        atexit.unregister(at_exit)
        os.close(write)

    assert os.read(read, 1) == b""
    os.close(read)
    assert ran == []
    assert capfd.readouterr() == ("", "")


def test_a_lock_on_a_file_is_not_kept(tmp_path: Path) -> None:
    """Once the parent lets go of LOCK another process may take it, while the child lives."""
    lock = os.open(tmp_path / "LOCK", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    ready, tell = os.pipe()

    def work() -> bytes:
        return for_ever()

    child = start(work)
    os.close(lock)
    os.close(tell)
    # The child's end of the pipe is let go of with all others.
    assert os.read(ready, 1) == b""
    os.close(ready)
    other = os.open(tmp_path / "LOCK", os.O_RDWR)
    try:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)
        child.kill()


def test_a_descriptor_of_the_parents_can_not_be_read_nor_moved(tmp_path: Path) -> None:
    """An open file of the parent's is an error in the child, never another file's content."""
    (tmp_path / "f").write_bytes(b"content")
    (tmp_path / "g").write_bytes(b"another")
    theirs = os.open(tmp_path / "f", os.O_RDONLY)

    def work() -> bytes:
        os.open(tmp_path / "g", os.O_RDONLY)
        os.lseek(theirs, 3, os.SEEK_SET)
        return os.read(theirs, 100)

    with pytest.raises(ChildError, match="Bad file descriptor"):
        answer_of(start(work))
    assert os.read(theirs, 100) == b"content"
    os.close(theirs)


def test_an_exception_is_told() -> None:
    """What the work raises is the reason, cut to a readable length."""
    with pytest.raises(ChildError, match=r"code 70 KeyError\('why'\)"):
        answer_of(start(lambda: {}["why"]))
    with pytest.raises(ChildError) as error:
        answer_of(start(lambda: {}["x" * 100_000]))
    assert len(str(error.value)) < 1000


def test_a_killed_child_is_told() -> None:
    """A child that was killed, by the out-of-memory killer for one, has no answer."""

    def work() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b"never"

    with pytest.raises(ChildError, match="killed by signal 9"):
        answer_of(start(work))


def test_it_has_its_time_and_no_more() -> None:
    """A child that takes too long is gone when that is told."""
    child = start(for_ever)
    with pytest.raises(ChildError, match="too long"):
        answer_of(child, seconds=0.1)

    assert is_gone(child.pid)


def test_a_hurry_shortens_its_time() -> None:
    """Once somebody is in a hurry, a child that would have had a minute has a moment."""
    hurry = threading.Event()
    child = start(for_ever)
    threading.Timer(0.1, hurry.set).start()
    started = time.monotonic()
    with pytest.raises(ChildError, match="too long"):
        answer_of(child, seconds=60, hurry=hurry)

    assert time.monotonic() - started < 20
    assert is_gone(child.pid)


def test_it_may_finish_in_a_hurry() -> None:
    """A child that is nearly done is waited for."""
    hurry = threading.Event()
    hurry.set()

    child = start(lambda: b"done")  # whose machine may be busy
    assert answer_of(child, hurry=hurry, hurried_seconds=SECONDS) == b"done"


def test_an_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child cannot fill its parent's memory."""
    monkeypatch.setattr(forked, "ANSWER_BYTES_MAX", 1000)
    assert answer_of(start(lambda: b"x" * 1000)) == b"x" * 1000
    with pytest.raises(ChildError, match="more than 1000 bytes"):
        answer_of(start(lambda: b"x" * 1001))


def test_nothing_is_left_of_it() -> None:
    """Whether it answers or fails, no process, descriptor or frozen object remains."""
    before = len(os.listdir("/proc/self/fd"))
    children = [start(lambda: b"x"), start(lambda: {}["why"]), start(for_ever)]
    answer_of(children[0])
    with pytest.raises(ChildError):
        answer_of(children[1])
    children[2].kill()

    assert not any(Path(f"/proc/{child.pid}").exists() for child in children)
    assert len(os.listdir("/proc/self/fd")) == before
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()


def test_a_system_that_forks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses a child there is none, and nothing is left open."""
    before = len(os.listdir("/proc/self/fd"))

    def refuse() -> int:
        raise BlockingIOError(11, "too many processes")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", refuse)
        assert fork(lambda: b"") is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe2", lambda _: refuse())
        assert fork(lambda: b"") is None
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert fork(lambda: b"") is None

    assert len(os.listdir("/proc/self/fd")) == before
    assert gc.get_freeze_count() == 0


PARENT = """
import time
from perdure.engine.forked import fork
def work():
    time.sleep(600)
print(fork(work).pid, flush=True)
time.sleep(600)
"""


def test_it_dies_with_its_parent() -> None:
    """A killed parent's child is dead at once, whatever it was at."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not is_gone(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: is_gone(pid))


def test_signals_of_the_terminal_are_the_parents_business() -> None:
    """Ctrl-C, which reaches the child too, does not end what its parent still wants."""

    def work() -> bytes:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        return b"alive"

    assert answer_of(start(work)) == b"alive"
