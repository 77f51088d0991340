"""Threads of moto let go of the engine lock where they wait."""

from __future__ import annotations

import threading
import time
from types import ModuleType

import moto.batch.models
import pytest

from perdure.engine import lock
from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK, running, wait_for
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


def test_an_event_is_let_go_of_when_its_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may not wait leaves the event free for those who set it."""

    def refuse() -> None:
        raise RuntimeError("no record can be written")

    monkeypatch.setattr(lock, "before_wait", refuse)
    event = threading.Event()
    with running(), pytest.raises(RuntimeError):
        wait_for(event, 5)

    assert event._cond.acquire(blocking=False)  # type: ignore[attr-defined]
    event._cond.release()  # type: ignore[attr-defined]
    monkeypatch.undo()
    with running():
        assert not wait_for(event, 0.01)
        event.set()
        assert wait_for(event)
