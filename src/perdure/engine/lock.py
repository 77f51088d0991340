"""The engine lock: one call at a time, moto's own threads included.

Whatever runs moto's code holds it; so the order of execution is one order, and
state can be captured between two calls.  It is re-entrant, because one service
calls another in the same thread.  It is let go where a thread of moto sleeps
or waits (``waiting``), since what it waits for needs the lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from perdure.engine.doors import DOORS, note_impure
from perdure.engine.pins import unpinned
from perdure.engine.stores import STORES
from perdure.persistence.keys import StoreKey

ENGINE_LOCK: Any = threading.RLock()
LET_OTHERS = "it let others run in its middle"


def nothing() -> None:
    """What is done before a wait, and after a thread, while nothing is recorded."""


# No change that is not in the journal crosses a release of the lock: what records
# stands in here (``core.Engine.record``), and is called with the lock held.
before_wait: Callable[[], None] = nothing
after_thread: Callable[[], None] = nothing


@contextmanager
def running(touched: Iterable[StoreKey] = ()) -> Iterator[set[StoreKey]]:
    """Run a call, or a thread of moto: hold the lock, and note what is touched.

    Args:
        touched: Stores it holds objects of already, without having looked them up.

    Yields:
        The stores it touches, as they come.
    """
    with ENGINE_LOCK:
        outer, STORES.touched = STORES.touched, set(touched)
        STORES.dirty |= STORES.touched
        try:
            yield STORES.touched
        finally:
            STORES.touched = outer


@contextmanager
def waiting() -> Iterator[None]:
    """Let go of the lock while this thread waits, however often it holds it.

    A save may come meanwhile; what this call has in hand it may still change, so
    that counts as touched again.  Others have their own pins and doors; the call goes
    on with a clock later than theirs, and is impure: it is not replayed.

    Raises:
        EscapeError: This is a replay, in which nobody is waited for.
    """
    if not ENGINE_LOCK._is_owned():
        yield
        return
    note_impure(LET_OTHERS)
    before_wait()
    mine = STORES.touched
    with DOORS.aside(), unpinned(renew_clock=True):
        held = ENGINE_LOCK._release_save()
        try:
            yield
        finally:
            ENGINE_LOCK._acquire_restore(held)
            STORES.touched = mine
            STORES.dirty |= mine


def sleep(seconds: float) -> None:
    """``time.sleep`` that lets others work meanwhile."""
    with waiting():
        time.sleep(seconds)


def join(thread: threading.Thread, seconds: float | None = None) -> None:
    """``Thread.join`` that lets others work meanwhile, the joined one among them."""
    with waiting():
        threading.Thread.join(thread, seconds)


def wait_for(event: Any, seconds: float | None = None) -> bool:
    """``Event.wait`` that lets others work meanwhile, and misses no pulse.

    moto wakes some threads by ``set`` and ``clear`` in one go.  So the event's own
    lock is taken before the engine's is let go: whoever sets the event comes after.
    The engine's is taken back only when the event's is free again, since who sets
    events holds the engine's: no two threads take the two in opposite order and wait.
    """
    if not event.is_set():
        note_impure(LET_OTHERS)  # may raise, so before anything is held
    with ExitStack() as mine:
        # However this ends, also where ``waiting`` raises; and no later than the wait.
        condition = event._cond
        mine.enter_context(condition)
        if event.is_set():
            return True
        with waiting(), mine:
            return bool(condition.wait(seconds))
