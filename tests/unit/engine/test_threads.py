"""Threads of moto let go of the engine lock where they wait."""

from __future__ import annotations

import threading
import time
from types import ModuleType

import moto.batch.models
import pytest

from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK, running
from perdure.engine.quirks.threads import _let_others_work


@pytest.mark.parametrize("how", ["sleep", "time"])
def test_a_job_that_sleeps_lets_others_work(engine: Engine, how: str) -> None:
    """Whichever way moto's Batch calls sleep, another thread gets the lock meanwhile."""
    held = ENGINE_LOCK._release_save()
    sleeping = threading.Event()

    def job() -> None:
        with running():
            sleeping.set()
            nap = getattr(moto.batch.models, how)
            getattr(nap, "sleep", nap)(0.5)

    thread = threading.Thread(target=job)
    thread.start()
    try:
        assert sleeping.wait(5)
        began = time.monotonic()
        got = ENGINE_LOCK.acquire(timeout=5)
        took = time.monotonic() - began
        ENGINE_LOCK.release()
    finally:
        thread.join(5)
        ENGINE_LOCK._acquire_restore(held)

    assert got
    assert took < 0.4


def test_only_sleep_is_replaced() -> None:
    """What else a module asks of ``time`` is what it was, and other names are left alone."""
    module = ModuleType("moto.test")
    module.time = time
    _let_others_work(module)
    assert module.time.monotonic is time.monotonic
    assert module.time.sleep is not time.sleep

    module = ModuleType("moto.test")
    module.time = time.time
    _let_others_work(module)
    assert module.time is time.time
