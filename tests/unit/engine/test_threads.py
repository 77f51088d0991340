"""Threads of moto let go of the engine lock where they wait."""

from __future__ import annotations

import importlib
import threading
import time
from types import ModuleType, SimpleNamespace

import moto.batch.models
import pytest

from perdure.engine import lock
from perdure.engine.core import Engine
from perdure.engine.doors import DOORS
from perdure.engine.lock import ENGINE_LOCK, running, wait_for
from perdure.engine.quirks.executions import EVENTS_MAX
from perdure.engine.quirks.threads import _is_motos, _let_others_work


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


@pytest.mark.parametrize("owner", ["moto.batch.models", "perdure.engine.quirks.executions"])
def test_what_works_on_stores_holds_the_lock(
    engine: Engine, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of moto, or of what stands in moto's place, is recorded and runs alone."""
    seen: list[bool] = []
    recorded = threading.Event()

    def work() -> None:
        seen.append(ENGINE_LOCK._is_owned())

    work.__module__ = owner
    monkeypatch.setattr(lock, "after_thread", recorded.set)
    thread = threading.Thread(target=work)
    held = ENGINE_LOCK._release_save()
    try:
        thread.start()
        thread.join(30)
    finally:
        ENGINE_LOCK._acquire_restore(held)

    assert seen == [True]
    assert recorded.is_set()


def test_an_execution_is_recorded_as_it_goes(engine: Engine) -> None:
    """What runs a state machine is defined where the threads that are recorded are."""
    worker = importlib.import_module("moto.stepfunctions.parser.backend.execution_worker")
    assert _is_motos(threading.Thread(target=worker.ExecutionWorker._execution_logic))


def test_a_state_is_impure_whether_it_takes_a_turn_or_not(engine: Engine) -> None:
    """States that follow each other quickly let nobody in, and a call of them is no other."""
    states = importlib.import_module("moto.stepfunctions.parser.asl.component.state.state")
    history = SimpleNamespace(_history_event_list=range(EVENTS_MAX))
    for _ in range(5):
        with running(), DOORS.open() as notes, pytest.raises(RuntimeError, match="maximum"):
            states.CommonStateField._eval_body(None, SimpleNamespace(event_manager=history))
        assert notes.impure == [lock.LET_OTHERS]


def test_others_threads_are_left_alone() -> None:
    """A thread of the server itself does not hold the lock."""
    assert not _is_motos(threading.Thread(target=ENGINE_LOCK.acquire))
    assert not _is_motos(threading.Thread(target=running))
