"""The collector: it passes over what was loaded, and frees what was dropped."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from tests.coverage.memory_disk import Disk
from tests.unit.engine.conftest import key

from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.stores import STORES
from perdure.persistence import heap


def test_state_that_is_dropped_is_freed(engine: Engine, disk: Disk, moto: Any) -> None:
    """A reset gives the memory back of a store that was loaded, cycles and all."""
    with ENGINE_LOCK:
        moto.store("sqs").create_queue("q", {})
        disk.save()
        disk.restart()
        queue = weakref.ref(moto.store("sqs").queues["q"])
        assert gc.get_freeze_count() > 0
        STORES.forget(key("sqs"))

    assert gc.get_freeze_count() == 0
    gc.collect()
    assert queue() is None


def test_what_grew_is_set_aside_and_comes_back() -> None:
    """At each checkpoint but every so many, so that no cycle is kept for ever."""
    heap.bring_back()
    settling = heap.Settling()
    seen = []
    for _ in range(2 * heap.Settling.TURNS):
        settling.settle()
        seen.append(gc.get_freeze_count() > 0)

    assert seen == [True] * 15 + [False] + [True] * 15 + [False]


def test_what_is_dropped_again_and_again_is_freed() -> None:
    """Also where something else is set aside before the collector comes by."""

    class Cyclic:
        def __init__(self) -> None:
            self.me = self

    alive = []
    for _ in range(3 * heap._Dropped.MOST):
        dropped = Cyclic()
        alive.append(weakref.ref(dropped))
        heap.set_aside()
        del dropped
        heap.bring_back()
    heap.bring_back()

    assert sum(each() is not None for each in alive) <= heap._Dropped.MOST + 1
