"""The engine lock: one call at a time, moto's own threads included.

Whatever runs moto's code holds it; so the order of execution is one order, and
state can be captured between two calls.  It is re-entrant, because one service
calls another in the same thread.  It is let go where a thread of moto sleeps
or waits (``waiting``), since what it waits for needs the lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENGINE_LOCK: Any = threading.RLock()


@contextmanager
def waiting() -> Iterator[None]:
    """Let go of the lock while this thread waits, however often it holds it."""
    if not ENGINE_LOCK._is_owned():
        yield
        return
    held = ENGINE_LOCK._release_save()
    try:
        yield
    finally:
        ENGINE_LOCK._acquire_restore(held)


def sleep(seconds: float) -> None:
    """``time.sleep`` that lets others work meanwhile."""
    with waiting():
        time.sleep(seconds)
