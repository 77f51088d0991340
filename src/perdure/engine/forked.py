"""Work in a forked child: it sees the memory of one instant, and takes nobody's time.

    parent                                   child
    fork, under the engine lock  ──────────▶ dies with its parent; lets go of every
    goes on answering calls                  descriptor, LOCK and sockets among them
    waits in the saving thread               works, writes its answer into a pipe
    reads to the end, reaps      ◀────────── ``os._exit``

What the child must not do is change anything its parent goes on using.  Memory is
its own; descriptors are not: offset and ``flock`` belong to both.  So each one is
replaced, not closed: a number that were free again would be given to the next file
the child opens, and an object of the state that still reads from it would read that.

Other threads do not exist in the child; a lock that one of them held is held for
ever.  Those of Python itself are seen to by Python; should another be met, the child
hangs, is killed when its time is up, and its work is done again without it.

Only on Linux: elsewhere a child cannot be told to die with its parent, and would keep
the state directory locked after it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

PR_SET_PDEATHSIG = 1
READ_BYTES = 1 << 20
ANSWER_BYTES_MAX = 64 << 20
# How often a wait looks whether somebody is in a hurry.
LOOK_SECONDS = 0.1
# The child has time; a call has not.
NICENESS = 5
_DIED, _ORPHANED = 70, 71
_ERROR_CHARS_MAX = 500


class ChildError(Exception):
    """A child's work cannot be used, for the reason given; nothing of it remains."""


class UndecidedError(ChildError):
    """The child's work asks for a decision that only its parent can take; no fault."""


class Child:
    """A forked child at work.  ``answer`` is called once, by the thread that forked it."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe
        self._received = bytearray()

    def answer(self, *, seconds: float, hurry: threading.Event, hurried_seconds: float) -> bytes:
        """Wait for the child's end; what its work returned.

        The thread that forked must live until then: the kernel takes its end for the
        parent's, and kills the child.

        Args:
            seconds: How long it may take from now.
            hurry: Once it is set, ``hurried_seconds`` is all there is left.
            hurried_seconds: How long it may take from then.

        Raises:
            ChildError: It died, took too long, or said too much.  It is gone.
        """
        try:
            self._read(time.monotonic() + seconds, hurry, hurried_seconds)
        except BaseException:
            self.kill()
            raise
        os.close(self._pipe)
        gc.unfreeze()
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if code != 0:
            said = self._received[:_ERROR_CHARS_MAX].decode("utf-8", "replace")
            raise ChildError(f"{_ended(code)} {said}".strip())
        return bytes(self._received)

    def kill(self) -> None:
        """End it and wait for its end: after that it writes nothing more."""
        os.close(self._pipe)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        gc.unfreeze()

    def _read(self, deadline: float, hurry: threading.Event, hurried_seconds: float) -> None:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        hurried = False
        while True:
            if hurry.is_set() and not hurried:
                hurried, deadline = True, min(deadline, time.monotonic() + hurried_seconds)
            left = deadline - time.monotonic()
            if left <= 0:
                raise ChildError("it took too long")
            if not poll.poll(min(left, LOOK_SECONDS) * 1000):
                continue
            data = os.read(self._pipe, READ_BYTES)
            if not data:
                return
            self._received += data
            if len(self._received) > ANSWER_BYTES_MAX:
                raise ChildError(f"it said more than {ANSWER_BYTES_MAX} bytes")


def fork(work: Callable[[], bytes]) -> Child | None:
    """Start ``work`` in a child that sees this instant's memory.  Needs the engine lock.

    Returns:
        The child.  None where there can be none: not on Linux, or the system refused.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()
    try:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
    except OSError:
        return None
    # A collection would write into every object, and so copy every page both share.
    gc.freeze()
    try:
        pid = os.fork()
    except OSError:
        gc.unfreeze()
        os.close(read_end)
        os.close(write_end)
        return None
    if pid == 0:
        # Nothing before this line: until it is done, a parent's death leaves it alive.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        _run(work, parent, write_end)
    os.close(write_end)
    return Child(pid, read_end)


def _run(work: Callable[[], bytes], parent: int, pipe: int) -> NoReturn:
    """The child, from beginning to end; no line of its parent's runs after this."""
    code = _DIED
    try:
        if os.getppid() != parent:
            os._exit(_ORPHANED)
        gc.disable()
        _let_go(pipe)
        for number in (signal.SIGINT, signal.SIGTERM):
            # Ctrl-C goes to the whole group; the parent decides what becomes of the child.
            signal.signal(number, signal.SIG_IGN)
        os.nice(NICENESS)
        _write_all(pipe, work())
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it must not reach the parent's code
        with suppress(BaseException):
            _write_all(pipe, repr(error)[:_ERROR_CHARS_MAX].encode())
    finally:
        os._exit(code)


def _let_go(pipe: int) -> None:
    """Put a descriptor that can neither be read nor seeked in the place of all others."""
    nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is wanted
        number = int(name)
        if number not in (pipe, nothing):
            # The listing's own descriptor is closed by now, and occupying it does no harm.
            os.dup2(nothing, number)


def _write_all(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]


def _ended(code: int) -> str:
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with code {code}"
