"""The engine: calls in, answers out; state out, state in.

One per process, as moto's state is.  ``execute`` takes the engine lock itself;
every other method says so where it needs it held.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import moto.core.models
import moto.settings

from perdure.engine import lock, outward, process, quirks, runtimes, stores
from perdure.engine.calls import Answer, Call
from perdure.engine.capture import Capture, Captured, capture, capture_process
from perdure.engine.collections import tracked
from perdure.engine.collections.tracked import reading
from perdure.engine.dispatch import attempt, routes_of
from perdure.engine.effects import is_read
from perdure.engine.fingerprint import fingerprint
from perdure.engine.loading import Fetch, Report, StoreLoader, connected
from perdure.engine.lock import running
from perdure.engine.outward import OUTWARD
from perdure.engine.pins import CLOCK, set_instance
from perdure.engine.policy import POLICY
from perdure.engine.quirks.identity import write_visits
from perdure.engine.recording import Log, Lost, Recorder
from perdure.engine.replaying import Replayer
from perdure.engine.services import module_names
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.reader import Reader
from perdure.persistence.statefile import Graph, Shares, StateFile

DEFAULT_ACCOUNT = "000000000000"

# Their calls look into the stores of every service of the account.
LISTING = frozenset({"resourcegroupstaggingapi"})


class Engine:
    """moto with a memory."""

    def __init__(self, *, any_region: bool = False, port: int = 4566) -> None:
        self.calls = 0
        # The stores the last call touched.  Needs the engine lock.
        self.last_touched: set[StoreKey] = set()
        # What writes down all that changes; None = nothing does.
        self.recorder: Recorder | None = None
        _tell_moto(any_region=any_region, port=port)
        self._loader: StoreLoader | None = None
        _stand_in_motos_way()

    # ------------------------------------------------------------------ calls

    def execute(self, call: Call, *, may_park: bool) -> Answer:
        """Run one call.

        Args:
            call: What to run.
            may_park: Whether a poll that finds nothing may raise ``ParkedError``.

        Raises:
            ParkedError: Nothing was found yet; try again.
            QuarantinedError: A store it needs is set aside.
            RequestError: moto does not know the operation.
            Exception: Whatever moto did not expect.
        """
        with running() as touched:
            self.calls += 1
            try:
                if self.recorder is None:
                    with reading() if is_read(call) else nullcontext():
                        return attempt(call, may_park=may_park)
                return self.recorder.run(call, touched, may_park=may_park)
            finally:
                # Now, not at the start: other calls may have run while this one waited.
                self.last_touched = touched

    def prepare(self) -> None:
        """Do now what the next call would wait for.  Needs no lock."""
        if self.recorder is not None:
            CLOCK.prepare()

    def would_load(self, call: Call) -> bool:
        """Whether the call may have to load stores, which can take long."""
        if not STORES.unloaded:
            return False
        lists_all = call.service.module in LISTING
        # A copy: it is asked without the lock.
        return any(
            key.account == call.account and (lists_all or key.module == call.service.module)
            for key in tuple(STORES.unloaded)
        )

    def may_go_out(self, call: Call) -> bool:
        """Whether the call may end in a Lambda or an HTTP request, and so wait.

        Asked without the lock.
        """
        return call.service.name in OUTWARD or outward.is_possible(call.service.module)

    def is_imported(self, module: str) -> bool:
        """Whether a first call of the service would have to import it."""
        return f"moto.{module}.urls" in sys.modules

    def warm(self, modules: Iterable[str]) -> None:
        """Import services before their first call."""
        for module in modules:
            routes_of(module)

    # ------------------------------------------------------------------ state

    def know(
        self, saved: Mapping[StoreKey, Shares], fetch: Fetch, report: Report, last_id: int
    ) -> None:
        """Tell the engine which stores exist on disk; each is loaded on first touch.

        Needs the engine lock.  ``saved`` is kept and read again: the caller
        updates it as checkpoints are published, and calls ``saved_again``.
        """
        self._loader = StoreLoader(saved, fetch, report)
        STORES.loader = self._loader.load
        STORES.unloaded = set(saved) - {key for key, _ in STORES.living()}
        SHARING.last = max(SHARING.last, last_id)

    # ---------------------------------------------------------------- journal

    def record(self, journal: Log, lost: Lost) -> None:
        """Write down every change from here on.  Needs the engine lock."""
        self.recorder = Recorder(journal, lambda: self._loader, lost)
        lock.before_wait = lambda: self.step("a call that waits")
        lock.after_thread = lambda: self.step("a thread of the engine")

    def stop_recording(self) -> None:
        """From here on nothing is written down.  Needs the engine lock."""
        self.recorder = None
        lock.before_wait = lock.after_thread = lock.nothing

    def step(self, reason: str) -> None:
        """Write down what was touched so far, as it is now.  Needs the engine lock."""
        if self.recorder is not None and STORES.touched:
            self.recorder.step(STORES.touched, reason)

    def replayer(self, shares: dict[StoreKey, Shares]) -> Replayer:
        """What makes state of records.  Needs the engine lock; after ``know``."""
        assert self._loader is not None
        return Replayer(self._loader, shares)

    def identify(self, instance: str, epoch_us: int) -> None:
        """Say which instance this is: what is created on the way follows from it."""
        set_instance(instance, epoch_us)

    @property
    def clock_us(self) -> int:
        """The last clock any call had, microseconds since 1970.  Needs the engine lock."""
        return CLOCK.last_us

    def advance_clock(self, clock_us: int) -> None:
        """Let no call have an earlier clock than this.  Needs the engine lock."""
        CLOCK.advance(clock_us)

    @staticmethod
    def fingerprint() -> dict[str, str]:
        """What shapes answers: a journal is replayed only by an engine with the same."""
        return fingerprint(any_region=moto.settings.allow_unknown_region())

    def saved_again(self) -> None:
        """The mapping given to ``know`` changed.  Needs the engine lock."""
        if self._loader is None:
            return
        self._loader.refresh()
        needed: set[ExportId] = set()
        for key in (STORES.unloaded | STORES.quarantined.keys()) & self._loader.shares.keys():
            needed |= self._loader.shares[key].imports
        SHARING.release(frozenset(needed))

    def load_all(self) -> set[StoreKey]:
        """Load every store that is known and not loaded.  Needs the engine lock.

        Returns:
            Those that were changed by it: what ran in them had ended.
        """
        with running() as touched:
            while STORES.unloaded:
                key = min(STORES.unloaded)
                assert STORES.loader is not None
                STORES.loader(key)
                assert key not in STORES.unloaded, key
        STORES.revived = False
        return set(touched)

    def note_visits(self) -> None:
        """Write into IAM when keys were last used: before a cut, else it would miss that.

        Needs the engine lock.
        """
        write_visits()

    def changed(self) -> set[StoreKey]:
        """Living stores that may have changed since ``capture``.  Needs the engine lock.

        A call may have changed every store it looked up, and every store reachable
        from those by reference.
        """
        living = {key for key, _ in STORES.living()}
        found = STORES.dirty & living
        if self._loader is not None:
            found |= self._loader.reachable(found) & living
        return found

    def capture(self, keys: set[StoreKey] | None = None) -> Captured:
        """The state of the changed stores, or of ``keys``, now.  Needs the engine lock."""
        write_visits()
        wanted = self.changed() if keys is None else keys
        return capture(wanted, {} if self._loader is None else self._loader.shares)

    def begin_capture(self, keys: set[StoreKey], *, budget_seconds: float | None) -> Capture:
        """Capture what fits into the budget now, for ``Capture.finish`` to do the rest.

        Needs the engine lock, until ``finish`` was called or a child was forked for it.
        """
        shares = {} if self._loader is None else self._loader.shares
        work = Capture(shares, with_entries=False)
        work.begin(keys, budget_seconds=budget_seconds)
        return work

    @staticmethod
    def pending_entries() -> int:
        """How many entries of collections the next checkpoint has to look at."""
        return tracked.pending()

    def capture_process(self) -> Graph:
        """The state that belongs to no store.  Needs the engine lock."""
        return capture_process()

    def install_process(self, state: StateFile, *, path: Path) -> None:
        """Put back what ``capture_process`` captured.  Needs the engine lock."""
        reader = Reader(POLICY, SHARING)
        try:
            values = reader.load(state, path=path)
        except BaseException:
            reader.abandon()
            raise
        reader.settle()
        process.install(values)

    def forget_all(self) -> None:
        """Drop every living store and what belongs to none.  Needs the engine lock."""
        for key, store in list(STORES.living()):
            runtimes.halt(key, store)
            STORES.forget(key)
        STORES.dirty.clear()
        STORES.quarantined.clear()
        STORES.unloaded.clear()
        SHARING.forget_all()
        process.install({})

    def reset(self, module: str) -> set[StoreKey]:
        """Empty a service's stores; the living ones count as changed.

        Needs the engine lock.

        Returns:
            Stores that do not live: known ones and those set aside.  They are
            forgotten here; the caller drops their files from the checkpoint.
        """
        for key in [k for k in STORES.unloaded if k.module == module]:
            # Others may share objects with it: they keep them, as moto has it.
            if key in STORES.unloaded:
                self.load(key)
        for key, store in list(STORES.living()):
            if key.module == module:
                runtimes.halt(key, store)
                store.reset()
                STORES.incomplete.pop(key, None)
                STORES.dirty.add(key)
        process.reset(module)
        aside = {k for k in (*STORES.unloaded, *STORES.quarantined) if k.module == module}
        STORES.unloaded -= aside
        for key in aside & STORES.quarantined.keys():
            del STORES.quarantined[key]
        self._retry_quarantined()
        return aside

    def _retry_quarantined(self) -> None:
        """What was set aside only because it refers to another may load now."""
        if self._loader is not None:
            STORES.unloaded |= STORES.quarantined.keys() & self._loader.shares.keys()
            STORES.quarantined.clear()

    def reload(self, module: str) -> set[StoreKey]:
        """Make a service's stores unloaded again, and all that share objects with them.

        Needs the engine lock.

        Returns:
            The stores that will be loaded from the checkpoint.
        """
        assert self._loader is not None
        saved = self._loader.shares
        living = {key for key, _ in STORES.living()}
        work = self.begin_capture(living, budget_seconds=None)
        fresh = {key: graph.shares for key, graph in work.result.graphs.items()}
        wanted = {key for key in living | saved.keys() if key.module == module}
        # By what is on disk and by what is in memory: either may have tied them.
        found: set[StoreKey] = set()
        while wanted != found:
            found = wanted
            wanted = connected(connected(found, saved), {**saved, **fresh})
        for key, store in list(STORES.living()):
            if key in found:
                runtimes.halt(key, store)
                STORES.forget(key)
        SHARING.forget_homes(found)
        STORES.dirty -= found
        for key in found & STORES.quarantined.keys():
            del STORES.quarantined[key]
        STORES.unloaded |= found & saved.keys()
        return found & saved.keys()

    def living(self) -> set[StoreKey]:
        """Every store in memory.  Needs the engine lock."""
        return {key for key, _ in STORES.living()}

    def unloaded(self) -> set[StoreKey]:
        """Stores known from disk and not loaded.  Needs the engine lock."""
        return STORES.unloaded

    def load(self, key: StoreKey) -> None:
        """Load one store and what it refers to, or set it aside.  Needs the engine lock."""
        assert STORES.loader is not None
        with running():
            STORES.loader(key)
            if STORES.revived:
                STORES.revived = False
                self.step("a load that ended what ran")

    def changed_again(self, keys: Iterable[StoreKey]) -> None:
        """What was captured could not be saved.  Needs the engine lock."""
        STORES.dirty.update(keys)

    @property
    def last_id(self) -> int:
        """The last export id given.  Needs the engine lock."""
        return SHARING.last

    @staticmethod
    def quarantined() -> dict[StoreKey, str]:
        """Stores that are set aside, with the reason."""
        return dict(STORES.quarantined)

    @staticmethod
    def incomplete() -> dict[StoreKey, list[str]]:
        """What objects of stores lack that an older moto wrote: ``Class.attribute``."""
        return {key: list(names) for key, names in STORES.incomplete.copy().items()}

    @staticmethod
    def versions() -> dict[str, str]:
        """Who writes a state file."""
        return POLICY.versions()

    @staticmethod
    def services() -> tuple[str, ...]:
        """Every service that can be called, by moto's module name."""
        return module_names()


@cache
def _stand_in_motos_way() -> None:
    """Once per process, whatever engines it makes: a door put twice is passed twice.

    What comes through it would be noted twice and handed back once.
    """
    stores.install()
    quirks.install()
    process.watch()


def _tell_moto(*, any_region: bool, port: int) -> None:
    """Settings moto reads from its own module or from the environment."""
    # Imported by name all over moto, so before any service is.
    moto.core.DEFAULT_ACCOUNT_ID = moto.core.models.DEFAULT_ACCOUNT_ID = DEFAULT_ACCOUNT
    moto.settings.S3_IGNORE_SUBDOMAIN_BUCKETNAME = True  # the gateway resolves virtual hosts
    os.environ["MOTO_ALLOW_NONEXISTENT_REGION"] = str(any_region).lower()
    os.environ["MOTO_PORT"] = str(port)  # where moto's own threads send their calls


def stores_by_state() -> dict[StoreKey, Any]:
    """Every store that is known: living, unloaded, changed or quarantined."""
    states: dict[StoreKey, Any] = dict.fromkeys(STORES.unloaded, "unloaded")
    for key, _ in STORES.living():
        states[key] = "changed" if key in STORES.dirty else "saved"
    states.update(dict.fromkeys(STORES.quarantined, "quarantined"))
    return states
