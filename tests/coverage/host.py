"""``perdure start`` as it is, with an observer: which calls changed a store?

A request that carries ``x-sweep-observe`` is answered with ``x-sweep-changed``:
the modules of the stores whose digest differs after the call.  Nothing else of the
server is different.  Run as ``python -m tests.coverage.host``, with the arguments
of ``perdure start``.

A thread of moto that an observed call starts, a Step Functions execution for one, is
waited for a moment: what it changes is put down to that call, not to the next.

A digest is taken when a store appears (constructed or loaded), after each observed
call for what it touched, and before one for what unobserved calls have touched
meanwhile; so a change is never put down to the wrong call.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
import time
from typing import Any

from tests.coverage.headers import CHANGED, OBSERVE

from perdure.cli.main import main
from perdure.engine.calls import Answer, Call
from perdure.engine.core import Engine
from perdure.engine.loading import StoreLoader
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.policy import POLICY, state_of
from perdure.engine.quirks.threads import _is_motos
from perdure.engine.sharing import Sharing
from perdure.engine.stores import STORES, Stores, module_of
from perdure.errors import CaptureError
from perdure.persistence.keys import StoreKey
from perdure.persistence.writer import Writer

# How long a thread may take to come to rest.
REST_SECONDS = 0.5


class Observer:
    """Digests of living stores.  Needs the engine lock."""

    def __init__(self) -> None:
        self.digests: dict[StoreKey, str] = {}
        self.stale: set[StoreKey] = set()

    def appeared(self, key: StoreKey) -> None:
        """A store lives that did not: note what it is like before it is used."""
        if key not in self.digests:
            self.digests[key] = digest(key)

    def before(self, call: Call) -> None:
        """Take anew what unobserved calls of this account may have changed."""
        for key in [key for key in self.stale if key.account == call.account]:
            self.digests[key] = digest(key)
            self.stale.discard(key)

    def after(self, touched: set[StoreKey]) -> set[str]:
        """The modules of the stores that differ from when they were last looked at."""
        changed = set()
        self.stale -= touched
        for key in touched:
            now = digest(key)
            if self.digests.get(key) != now:
                self.digests[key] = now
                changed.add(key.module)
        return changed


def digest(key: StoreKey) -> str:
    """The digest of a store's state, without a trace in the registry of shared objects."""
    store = STORES.find(key)
    if store is None:
        return ""
    try:
        return Writer(POLICY, Sharing(), key).dump(state_of(store)).digest
    except CaptureError:
        return "cannot be captured"


def motos_threads() -> set[threading.Thread]:
    """Threads of moto that run."""
    return {thread for thread in threading.enumerate() if _is_motos(thread)}


def watch(observer: Observer) -> None:
    """Put the observer in the way of calls and of stores that appear."""
    execute, opened, load = Engine.execute, Stores.open, StoreLoader.load

    def execute_observed(engine: Engine, call: Call, *, may_park: bool) -> Answer:
        if all(name != OBSERVE for name, _ in call.headers):
            with ENGINE_LOCK:
                try:
                    return execute(engine, call, may_park=may_park)
                finally:
                    observer.stale |= engine.last_touched
        others = motos_threads()
        with ENGINE_LOCK:
            observer.before(call)
            touched: set[StoreKey] = set()
            try:
                answer = execute(engine, call, may_park=may_park)
            finally:
                touched = set(engine.last_touched)
                observer.stale |= touched
        deadline = time.monotonic() + REST_SECONDS
        # One that is about to start is listed already, and cannot be joined.
        while motos_threads() - others and time.monotonic() < deadline:
            time.sleep(0.002)
        with ENGINE_LOCK:
            changed = observer.after(touched)
        answer.headers.append((CHANGED, ",".join(sorted(changed))))
        return answer

    def open_noted(stores: Stores, regions: Any, region: str) -> Any:
        found = opened(stores, regions, region)
        observer.appeared(StoreKey(module_of(regions.backend), regions.account_id, region))
        return found

    def load_noted(loader: StoreLoader, key: StoreKey) -> None:
        before = {known for known, _ in STORES.living()}
        load(loader, key)
        for known, _ in STORES.living():
            if known not in before:
                observer.appeared(known)

    Engine.execute, Stores.open = execute_observed, open_noted  # type: ignore[method-assign]
    StoreLoader.load = load_noted  # type: ignore[method-assign]


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # where a server that hangs does so, into its log
    watch(Observer())
    main(["start", *sys.argv[1:]])
