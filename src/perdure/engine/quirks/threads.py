"""moto's threads run under the engine lock, and let go of it where they wait.

A Batch job, a DynamoDB export or an SWF timer changes stores from a thread of its
own; without the lock it would do so in the middle of another call or of a save.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from contextvars import Context, copy_context
from types import SimpleNamespace
from typing import Any

from perdure.engine import lock
from perdure.engine.doors import note_impure
from perdure.engine.imports import after_import
from perdure.engine.lock import ENGINE_LOCK, join, running, sleep, wait_for, waiting
from perdure.engine.stores import NEVER_STATE, STORES
from perdure.persistence.keys import StoreKey

ASL = "moto.stepfunctions.parser.asl."
# Modules that call ``sleep`` in a thread, by its name or as ``time.sleep``.
SLEEPING = (
    "moto.batch.models",
    "moto.batch_simple.models",
    ASL + "component.common.retry.retrier_decl",
    ASL + "component.state.exec.state_task.service.state_task_service_callback",
)
# Modules that wait for events or threads of their own making.
WAITING = (
    ASL + "component.program.program",
    ASL + "component.state.exec.execute_state",
    ASL + "component.state.exec.state_map.iteration.job",
    ASL + "component.state.exec.state_parallel.branches_decl",
    ASL + "eval.environment",
)
WAITING_BY_NAME = (ASL + "eval.callback.callback",)

# Who defines what threads run that work on stores: moto, and what stands in for it here.
OWNERS = ("moto.", __name__.rpartition(".")[0] + ".")
# Threads whose stores were dropped before they had their turn: they do nothing.
HALTED: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def install() -> None:
    """Wrap threads as they start, and the waits inside them."""
    threading.Thread.start = _start  # type: ignore[method-assign,assignment]
    for name in SLEEPING:
        after_import(name, _let_others_work)
    for name in WAITING:
        after_import(name, _give_patient_threading)
    for name in WAITING_BY_NAME:
        after_import(name, _give_patient_event)
    after_import("requests.sessions", _release_while_sending)


_original_start = threading.Thread.start


def _start(thread: threading.Thread) -> None:
    note_impure("it started a thread")
    if _is_motos(thread):
        # The state is saved when the server stops; nobody waits for a timer.
        thread.daemon = True
        # It works on objects of the stores its call has in hand, in its call's name.
        touched = STORES.touched if ENGINE_LOCK._is_owned() else set()
        context = copy_context()
        if isinstance(thread, threading.Timer):
            thread.function = _locked(thread, thread.function, touched, context)
        else:
            thread.run = _locked(thread, thread.run, touched, context)  # type: ignore[method-assign]
    _original_start(thread)


def _is_motos(thread: threading.Thread) -> bool:
    """Whether moto, or a quirk in its place, defines what the thread runs.

    Others' threads know nothing of the lock.
    """
    runs = getattr(thread, "function", None) or getattr(thread, "_target", None) or type(thread)
    module = str(getattr(runs, "__module__", ""))
    # A server of moto's would hold the lock for as long as it serves.
    return module.startswith(OWNERS) and not module.startswith(NEVER_STATE)


def _locked(
    thread: threading.Thread, run: Callable[..., Any], touched: set[StoreKey], context: Context
) -> Callable[..., Any]:
    # Weakly: the thread holds what is made here.
    started = weakref.ref(thread)

    def locked(*arguments: Any, **named: Any) -> Any:
        with running(touched):
            if started() in HALTED:
                return None
            try:
                return context.run(run, *arguments, **named)
            finally:
                lock.after_thread()

    return locked


def _let_others_work(module: Any) -> None:
    if getattr(module, "sleep", None) is time.sleep:
        module.sleep = sleep
    if getattr(module, "time", None) is time:
        module.time = SimpleNamespace(**{**vars(time), "sleep": sleep})


def _give_patient_threading(module: Any) -> None:
    module.threading = PATIENT
    if hasattr(module, "Thread"):
        module.Thread = _patient_thread


def _give_patient_event(module: Any) -> None:
    module.Event = _patient_event


def _patient_event() -> threading.Event:
    """An event of the standard kind, so that it is carried as one."""
    event = threading.Event()

    def wait(timeout: float | None = None) -> bool:
        return wait_for(event, timeout)

    event.wait = wait  # type: ignore[method-assign]
    return event


def _patient_thread(*arguments: Any, **named: Any) -> threading.Thread:
    thread = threading.Thread(*arguments, **named)

    def join_thread(timeout: float | None = None) -> None:
        join(thread, timeout)

    thread.join = join_thread  # type: ignore[method-assign]
    return thread


PATIENT = SimpleNamespace(
    Thread=_patient_thread, Event=_patient_event, Lock=threading.Lock, RLock=threading.RLock
)


def _release_while_sending(module: Any) -> None:
    """Docker, HTTP subscriptions and API integrations all go through ``requests``."""
    original = module.Session.send

    def send(session: Any, *arguments: Any, **named: Any) -> Any:
        note_impure("it sent an HTTP request")
        with waiting():
            return original(session, *arguments, **named)

    module.Session.send = send
