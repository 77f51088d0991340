"""Python's collector, held back where it would walk the whole heap and find nothing.

What a start loads or replays is state, and stays.  So it is taken out of the collector's
sight: else each full collection would walk over all of it, hundreds of milliseconds at a
time, and a forked child would touch and so copy every page.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collections(*, is_state: bool = False) -> Iterator[None]:
    """Collect no cycles in the body; whoever holds collections back already goes on to.

    Args:
        is_state: Whether what the body makes is there to stay.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if is_state:
                set_aside()
            gc.enable()


class Settling:
    """Sets aside what has grown, whenever a checkpoint is taken; now and then brings it back.

    So a server whose state is made by calls is spared the full collections too, and cycles
    that die there are freed after so many checkpoints, by one that may take its time.
    """

    TURNS = 16

    def __init__(self) -> None:
        self._turn = 0

    def settle(self) -> None:
        """A checkpoint is taken now."""
        self._turn = (self._turn + 1) % self.TURNS
        if self._turn:
            set_aside()
        else:
            bring_back()


class _Dropped:
    """How often something large was dropped since the last full collection of ours."""

    count = 0
    MOST = 64


def set_aside() -> None:
    """Let the collector pass over all that is alive, until ``bring_back``.

    Cycles among it that die are not freed before then.
    """
    if _Dropped.count >= _Dropped.MOST:
        # Whoever drops and loads in turn would never let it see what was dropped.
        _Dropped.count = 0
        gc.collect()
    gc.freeze()


def bring_back() -> None:
    """Let it see all again: much of what was set aside has died."""
    _Dropped.count += 1
    gc.unfreeze()
