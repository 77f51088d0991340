"""moto's threads run under the engine lock, and let go of it where they wait.

A Batch job, a DynamoDB export or an SWF timer changes stores from a thread of its
own; without the lock it would do so in the middle of another call or of a save.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from perdure.engine.imports import after_import
from perdure.engine.lock import ENGINE_LOCK, running, sleep, waiting
from perdure.engine.stores import STORES
from perdure.persistence.keys import StoreKey

# Modules that call ``sleep`` in a thread, by its name or as ``time.sleep``.
SLEEPING = ("moto.batch.models", "moto.batch_simple.models")


def install() -> None:
    """Wrap threads as they start, and the waits inside them."""
    threading.Thread.start = _start  # type: ignore[method-assign,assignment]
    for name in SLEEPING:
        after_import(name, _let_others_work)
    after_import("requests.sessions", _release_while_sending)


_original_start = threading.Thread.start


def _start(thread: threading.Thread) -> None:
    if _is_motos(thread):
        # It works on objects of the stores its call has in hand.
        touched = STORES.touched if ENGINE_LOCK._is_owned() else set()
        if isinstance(thread, threading.Timer):
            thread.function = _locked(thread.function, touched)
        else:
            thread.run = _locked(thread.run, touched)  # type: ignore[method-assign]
    _original_start(thread)


def _is_motos(thread: threading.Thread) -> bool:
    """Whether moto defines what the thread runs; others' threads know nothing of the lock."""
    runs = getattr(thread, "function", None) or getattr(thread, "_target", None) or type(thread)
    return str(getattr(runs, "__module__", "")).startswith("moto.")


def _locked(run: Callable[..., Any], touched: set[StoreKey]) -> Callable[..., Any]:
    def locked(*arguments: Any, **named: Any) -> Any:
        with running(touched):
            return run(*arguments, **named)

    return locked


class _Time:
    """The module ``time``, with a ``sleep`` that lets others work."""

    sleep = staticmethod(sleep)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def _let_others_work(module: Any) -> None:
    module.sleep = sleep
    # moto.batch.models has it both ways; a job that waits for another sleeps by this one.
    if getattr(module, "time", None) is time:
        module.time = _Time()


def _release_while_sending(module: Any) -> None:
    """Docker, HTTP subscriptions and API integrations all go through ``requests``."""
    original = module.Session.send

    def send(session: Any, *arguments: Any, **named: Any) -> Any:
        with waiting():
            return original(session, *arguments, **named)

    module.Session.send = send
