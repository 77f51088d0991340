"""When state is loaded and saved.

    SNAPSHOT_SAVE_STRATEGY   JOURNAL      each call goes to the journal before its answer;
                                          a checkpoint in the background retires it
                             ON_REQUEST   before a call is answered
                             SCHEDULED    every SNAPSHOT_FLUSH_INTERVAL seconds, and at a stop
                             ON_SHUTDOWN  at a stop
                             MANUAL       only when asked
    SNAPSHOT_LOAD_STRATEGY   ON_STARTUP   all before ``Ready.``
                             ON_REQUEST   each store at its first use
                             MANUAL       only when asked

What a save sees is one instant: stores are captured under the engine lock, large ones
in a child forked under it (``cuts.py``), then written without it.  Saves never overlap.

A tail of the journal is replayed whatever the strategies say, but for MANUAL loading,
which leaves it where it is until something is loaded.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from perdure import __version__
from perdure.config import Config, LoadStrategy, SaveStrategy
from perdure.engine import coverage
from perdure.engine.bodies import BLOBS
from perdure.engine.core import Engine, stores_by_state
from perdure.engine.forked import ChildError, UndecidedError
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.stores import QuarantinedError
from perdure.errors import CaptureError, LoadError, NotRestoredError, PerdureError, StateError
from perdure.gateway import cuts
from perdure.gateway.journaling import Journaling, die
from perdure.persistence.blobs import BlobStore
from perdure.persistence.checkpoint import Checkpointer
from perdure.persistence.directory import Directory, open_directory
from perdure.persistence.files import Files
from perdure.persistence.journal import Journal
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.statefile import Graph, Shares
from perdure.persistence.sweeping import Sweeper

log = logging.getLogger(__name__)

# How often it is looked whether a checkpoint is due; after one that failed, when again.
DUE_SECONDS = 0.1
AGAIN_SECONDS = 5.0
# The same where a store cannot be captured: that seldom mends itself.
UNSAVED_SECONDS = 60.0


@dataclass(slots=True)
class Saved:
    """What one save did: the stores written, and those that could not be captured."""

    written: list[StoreKey] = field(default_factory=list)
    failed: dict[StoreKey, PerdureError] = field(default_factory=dict)


class Lifecycle:
    """The state of one server: where it is kept, when it is written."""

    def __init__(self, config: Config, engine: Engine, files: Files | None = None) -> None:
        self.config, self.engine = config, engine
        self.files = files or Files()
        self.phase = "disabled"
        self.reason: str | None = None
        self.failures: dict[StoreKey, str] = {}
        self._directory: Directory | None = None
        self._checkpointer: Checkpointer | None = None
        # Where large bodies lie: of a server that keeps nothing, in a folder that goes with it.
        self.blobs = BlobStore(None, self.files)
        self._sweeper: Sweeper
        # What each saved store shares; the engine reads it, saves update it.
        self._shares: dict[StoreKey, Shares] = {}
        self._saving = threading.Lock()
        # Set when the server stops: nobody waits for a call any more, but for the end.
        self._hurry = threading.Event()
        # Before that a save would replace what is on disk by next to nothing.
        self._restored = False
        # Captured, so no longer dirty, and not on disk yet.
        self._publishing: frozenset[StoreKey] = frozenset()
        # Under MANUAL loading, until something is loaded: what is in memory is all
        # there is, and a save sets the files on disk aside.
        self._detached = False
        # Reset, and not dropped from the checkpoint yet: a save failed.
        self._dropped: frozenset[StoreKey] = frozenset()
        self._journaling = Journaling(config, engine, self._report_lost)
        self.stopping: Callable[[], bool] = lambda: False

    @property
    def journal(self) -> Journal | None:
        """What calls are appended to; None while none is kept."""
        return self._journaling.journal

    @property
    def enabled(self) -> bool:
        """Whether state is kept."""
        return self._checkpointer is not None

    @property
    def has_state(self) -> bool:
        """Whether the state directory held anything when it was opened."""
        return self.enabled and (
            bool(self.checkpointer.manifest.stores) or self._journaling.has_tail
        )

    @property
    def checkpointer(self) -> Checkpointer:
        """The live checkpoint.  Only while ``enabled``."""
        assert self._checkpointer is not None
        return self._checkpointer

    # ------------------------------------------------------------ start, stop

    def open(self) -> None:
        """Recognise, lock and read the state directory, if there is to be one.

        Raises:
            StateError: It cannot be used; nothing on disk was changed.
        """
        path = self.config.state_dir
        if path is None:
            BLOBS.store = self.blobs
            return
        self._directory = open_directory(path, files=self.files, version=__version__)
        self.blobs = BLOBS.store = BlobStore(self._directory.path, self.files)
        try:
            self._checkpointer = Checkpointer(self._directory, self.engine.versions())
            self._sweeper = Sweeper(self.blobs, self._checkpointer)
            # Without what belongs to no store nothing can be served right.
            self._checkpointer.read_process()
            self._journaling.open(self._directory, self._checkpointer, self.blobs)
        except StateError:
            self._directory.close()
            raise
        self.engine.identify(*self._directory.origin)
        self.phase = "initializing"
        swept = self._directory.sweep(
            self.checkpointer.manifest, replayable=self._journaling.last_lsn
        )
        self.blobs.clear_incoming()
        if swept:
            log.info("removed or set aside %d files of a save that did not finish", len(swept))

    def restore(self) -> None:
        """Make the saved state known, and load what the strategy says."""
        if not self.enabled:
            return
        with ENGINE_LOCK:
            # Above the tail's even while that is not replayed: no number is used twice.
            self.engine.calls = self._journaling.last_lsn
            self.engine.advance_clock(self.checkpointer.manifest.clock_us)
            tail = self._journaling.has_tail
            manual = self.config.snapshot_load_strategy is LoadStrategy.MANUAL
            self._detached = manual and (bool(self.checkpointer.manifest.stores) or tail)
            if self._detached:
                self.engine.know({}, self.checkpointer.read, self._report_quarantine, self._last_id)
            else:
                self._make_known()
                self._recover()
        self._restored = True
        if self._detached:
            self._say_detached()
        else:
            self._settle()
            self._sweep_unsaved()
        if self.phase == "initializing":
            self.phase = "initialized"

    def _recover(self) -> None:
        """Replay the tail, and go on writing behind it.  Needs the engine lock."""
        changed = self._journaling.replay(self._shares, stop=self.stopping)
        if self.config.snapshot_load_strategy is LoadStrategy.ON_STARTUP:
            changed |= self.engine.load_all()
        if self.config.snapshot_save_strategy is SaveStrategy.JOURNAL:
            self._journaling.begin()
            self._journaling.note(changed)

    def _settle(self) -> None:
        """Let a checkpoint hold what was replayed, where no journal goes on to hold it."""
        if self.journal is None and self._journaling.has_tail:
            self.save()

    def _sweep_unsaved(self) -> None:
        """Remove bodies that no save named, where none may come behind which they would go."""
        by_itself = self.config.snapshot_save_strategy is not SaveStrategy.MANUAL
        # Of a tail that no checkpoint holds only the journal knows what it names.
        if by_itself or self._journaling.last_lsn > self.cut:
            return
        with self._saving:
            self._sweeper.sweep_or_say(self.checkpointer.manifest.cut)

    def finish_soon(self) -> None:
        """The server stops: a save that runs in a child has seconds left, none starts one."""
        self._hurry.set()

    def close(self) -> None:
        """Save what the strategy says, and give the directory back."""
        if self._directory is None:
            self.blobs.close()
            return
        self.finish_soon()
        try:
            by_itself = self.config.snapshot_save_strategy is not SaveStrategy.MANUAL
            if by_itself and self._restored:
                saved = self.save(by_itself=True)
                log.info("saved %d stores at cut %d", len(saved.written), self.cut)
        finally:
            self._journaling.close()
            self._directory.close()

    async def save_periodically(self) -> None:
        """SCHEDULED: save whatever changed, every interval, until cancelled."""
        while True:
            await asyncio.sleep(self.config.snapshot_flush_interval)
            try:
                await asyncio.to_thread(self.save, by_itself=True)
            except StateError as error:
                log.error("state was not saved: %s (%s)", error, error.hint)  # noqa: TRY400
            except Exception:
                log.exception("state was not saved; the next attempt is in an interval")

    async def checkpoint_when_due(self) -> None:
        """JOURNAL: checkpoint whenever the journal got long or old, until cancelled.

        A checkpoint that fails is tried again: the journal holds what it would have held.
        """
        while True:
            await asyncio.sleep(DUE_SECONDS)
            if not self._journaling.is_due():
                continue
            try:
                saved = await asyncio.to_thread(self.save, by_itself=True)
                await asyncio.sleep(UNSAVED_SECONDS if saved.failed else 0)
            except StateError as error:
                log.error("no checkpoint was made: %s (%s)", error, error.hint)  # noqa: TRY400
                await asyncio.sleep(AGAIN_SECONDS)
            except (Exception, QuarantinedError):
                log.exception("no checkpoint was made; the journal holds what it would have held")
                await asyncio.sleep(AGAIN_SECONDS)

    async def durable(self) -> None:
        """Return once all that an answer can show is as durable as JOURNAL_SYNC says."""
        await self._journaling.durable()

    async def save_before_answer(self, touched: frozenset[StoreKey]) -> None:
        """ON_REQUEST: what the call changed is on disk when this returns.

        Raises:
            StateError: It is not.
        """
        saved = await asyncio.to_thread(self.save, by_itself=True)
        for key in touched & saved.failed.keys():
            raise saved.failed[key]

    # ----------------------------------------------------------- save, load

    @property
    def cut(self) -> int:
        """The cut of the live checkpoint."""
        return self.checkpointer.manifest.cut if self.enabled else 0

    def save(self, *, everything: bool = False, by_itself: bool = False) -> Saved:
        """Save what changed, in all stores: a checkpoint is one cut.

        Args:
            everything: All living stores, changed or not; digests still decide
                what is written.
            by_itself: Not asked for by a person.  Under MANUAL loading, while the
                state on disk was not loaded, such a save does nothing: it would
                replace a state nobody has seen.

        Raises:
            StateError: Nothing was published; the previous checkpoint is live.
        """
        if not self._restored:
            raise NotRestoredError(self.checkpointer.directory.path)
        if by_itself and self._detached:
            self._say_detached()
            return Saved()
        # While detached nothing is recorded: no call may come between cut and journal.
        with self._saving, ENGINE_LOCK if self._detached else nullcontext():
            try:
                saved = self._save(everything=everything)
            except Exception as error:
                self.phase, self.reason = "error", str(error)
                raise
            for key, failure in saved.failed.items():
                if self.failures.get(key) != str(failure):
                    log.error("%s (%s)", failure, failure.hint)
            still = {k: r for k, r in self.failures.items() if k not in saved.written}
            self.failures = still | {key: str(failure) for key, failure in saved.failed.items()}
            if self.phase == "error" and not self.engine_quarantine():
                self.phase, self.reason = "initialized", None
            return saved

    def _say_detached(self) -> None:
        if self.reason is None:
            self.reason = (
                "SNAPSHOT_LOAD_STRATEGY=MANUAL: nothing is saved until `perdure state load`, "
                "or `perdure state save`, which sets the state on disk aside"
            )
            log.warning(self.reason)

    def _save(self, *, everything: bool, dropped: frozenset[StoreKey] = frozenset()) -> Saved:
        save = partial(self._save_once, everything=everything, dropped=dropped | self._dropped)
        try:
            return save(apart=not self._hurry.is_set())
        except ChildError as error:
            level = logging.INFO if isinstance(error, UndecidedError) else logging.WARNING
            log.log(level, "a forked capture came to nothing, capturing in process: %s", error)
            # All it did is thrown away, so this is a save like any other, at its own cut.
            return save(apart=False)

    def _save_once(self, *, everything: bool, apart: bool, dropped: frozenset[StoreKey]) -> Saved:
        with ENGINE_LOCK:
            self.engine.note_visits()
            process = self.engine.capture_process()
            wanted = self.engine.living() if everything else self.engine.changed()
            behind = self._journaling.is_behind()
            if not (wanted or dropped or behind) and self._is_saved(process):
                return Saved()
            self._publishing = frozenset(wanted)
            lsn, segment = self._choose_cut()
            taken = cuts.take(
                self.engine,
                self.checkpointer,
                cuts.Instant(
                    lsn,
                    wanted,
                    process,
                    replace=self._detached,
                    segment=segment,
                    clock_us=self.engine.clock_us,
                    must_advance=behind,
                    dropped=dropped,
                    at_stop=self._hurry.is_set(),
                ),
                apart=apart,
            )
            self._publishing |= taken.keys
        try:
            cut = taken.complete(self._hurry)
            if taken.failed and self.journal is not None and not dropped:
                # The journal says what these became, and a checkpoint would retire it.
                with ENGINE_LOCK:
                    self.engine.changed_again(taken.keys)
                taken.discard()
                return Saved([], taken.failed)
            # No file may name what a power cut could take away.
            self.blobs.sync()
            self._journaling.before_publish()
            if self._detached:
                self._journaling.keep_tail()
            written = self.checkpointer.publish(cut, replace=self._detached)
            taken.published()
        except BaseException:
            with ENGINE_LOCK:
                self.engine.changed_again(taken.keys)
            taken.discard()
            raise
        finally:
            self._publishing = frozenset()
        if self._detached:
            self._detached = False
            with ENGINE_LOCK:
                self.engine.know(
                    self._shares, self.checkpointer.read, self._report_quarantine, self._last_id
                )
                if self.config.snapshot_save_strategy is SaveStrategy.JOURNAL:
                    self._journaling.begin()
        self._follow_manifest()
        self._journaling.after_publish(cut.cut)
        self._sweeper.sweep_or_say(cut.cut)
        return Saved(written, taken.failed)

    def _choose_cut(self) -> tuple[Lsn, Lsn | None]:
        """The cut of a checkpoint that captures now, and its segment.  Needs the engine lock.

        Every cut has its own number: a thread may have changed state without a call.
        With a journal it is the LSN of a record that marks the place.
        """
        marked = self._journaling.mark()
        if marked is not None:
            self.engine.calls = marked[0]
            return marked
        self.engine.calls = max(self.engine.calls, self.checkpointer.next_cut)
        return Lsn(self.engine.calls), None

    def _is_saved(self, process: Graph) -> bool:
        saved = self.checkpointer.manifest.process
        return saved is not None and saved.digest == process.digest

    def _follow_manifest(self) -> None:
        with ENGINE_LOCK:
            self._shares.clear()
            self._shares.update({k: e.shares for k, e in self.checkpointer.manifest.stores.items()})
            self.engine.saved_again()

    def load(self, module: str | None = None) -> dict[StoreKey, str | None]:
        """Replace what is in memory by what is on disk: all, or one service.

        With a journal, memory is checkpointed first, so that nothing is lost; the first
        load under MANUAL replays the tail.  One service brings along the stores that
        share objects with it.

        Returns:
            Each store, with the reason where it could not be loaded.

        Raises:
            StateError: The checkpoint failed, or the file of what belongs to no store
                cannot be read: memory is unchanged.  If that file cannot become state,
                or the tail cannot be replayed, memory is empty or half replayed.
        """
        with self._saving, ENGINE_LOCK:
            if self.journal is not None:
                # A record of the journal is as much state on disk as a state file.
                for failure in self._save(everything=False).failed.values():
                    raise failure
            process = self.checkpointer.read_process()
            if module is None or self._detached:
                self.engine.forget_all()
                self._make_known(process)
                if self._detached:
                    # Half a replay must never be saved over the whole tail.
                    self._restored = self._detached = False
                    self._recover()
                    self._restored = True
                wanted = set(self.checkpointer.manifest.stores)
            else:
                wanted = self.engine.reload(module)
            for key in sorted(wanted):
                if key in self.engine.unloaded():
                    self.engine.load(key)
            aside = self.engine.quarantined()
            return {key: aside.get(key) for key in sorted(wanted)}

    def reset(self, module: str | None = None) -> None:
        """Empty one service or all; files that were not loaded are set aside.

        Of a service of which a store is set aside already the files of all others are
        kept too: whoever resets it wants to be rid of the damage, not of them.
        """
        # Under the lock to the end: no call may be written down behind a reset that a
        # crash could still undo.
        with self._saving, ENGINE_LOCK:
            if self.enabled and module in {key.module for key in self.engine_quarantine()}:
                self._save(everything=False)
                self.checkpointer.keep_copies(module)
            if module is None:
                self.engine.forget_all()
                aside = set(self.checkpointer.manifest.stores) if self.enabled else set()
            else:
                aside = self.engine.reset(module)
            if self.enabled:
                self._save_reset(frozenset(aside))
                if not self.engine_quarantine():
                    self.phase, self.reason = "initialized", None

    def _save_reset(self, aside: frozenset[StoreKey]) -> None:
        """One checkpoint: what belongs to no store was reset, too.  Needs the engine lock.

        If it cannot be made, a journal ends with it: no record says what was reset, so
        nothing may be written behind it.
        """
        self._dropped |= aside
        try:
            self._save(everything=False, dropped=self._dropped)
        except PerdureError as error:
            if self.journal is not None:
                die(error)
            raise
        self._dropped = frozenset()

    @property
    def _last_id(self) -> int:
        return self.checkpointer.manifest.last_id

    def _make_known(self, process: Any = None) -> None:
        manifest = self.checkpointer.manifest
        self._shares.clear()
        self._shares.update({key: entry.shares for key, entry in manifest.stores.items()})
        self.engine.know(
            self._shares, self.checkpointer.read, self._report_quarantine, self._last_id
        )
        found = process or self.checkpointer.read_process()
        if found is not None:
            state, path = found
            try:
                self.engine.install_process(state, path=path)
            except LoadError as error:
                # No service can be reset to be rid of it, and no server runs without.
                error.hint = f"start the versions that wrote {path}, or restore it from a backup"
                raise

    # ---------------------------------------------------------------- health

    def verify_files(self, stop: Callable[[], bool]) -> None:
        """Read every unloaded store's file, so that damage is told before it is needed.

        Runs beside the server; what it finds is quarantined as a load would.
        """
        for key in list(self.checkpointer.manifest.stores):
            if stop():
                return
            with ENGINE_LOCK:
                if key not in self.engine.unloaded():
                    continue
            try:
                self.checkpointer.verify(key)
            except (StateError, KeyError):  # damaged, or reset meanwhile
                with ENGINE_LOCK:
                    if key in self.engine.unloaded():
                        self.engine.load(key)

    def engine_quarantine(self) -> dict[StoreKey, str]:
        """Stores that are set aside, with the reason."""
        with ENGINE_LOCK:
            return self.engine.quarantined()

    def _report_lost(self, key: StoreKey, error: CaptureError) -> None:
        """A change of a store could not be written down: a crash would lose it."""
        if self.failures.get(key) != str(error):
            log.error("%s (%s)", error, error.hint)
        self.failures = {**self.failures, key: str(error)}

    def _report_quarantine(self, key: StoreKey, reason: str) -> None:
        log.error("store %s is quarantined: %s", key, reason)
        self.phase, self.reason = "error", f"store {key}: {reason}"

    def health(self) -> dict[str, Any]:
        """The ``persistence`` part of ``/health``."""
        if not self.enabled:
            return {
                "reason": None,
                "state_dir": None,
                "cut": 0,
                "saved_at": None,
                "stores": {},
                "coverage": coverage.health(),
            }
        manifest = self.checkpointer.manifest
        return {
            "reason": self.reason,
            "state_dir": str(self.checkpointer.directory.path),
            "cut": manifest.cut,
            "saved_at": manifest.saved_at or None,
            "save_strategy": self.config.snapshot_save_strategy.value,
            "load_strategy": self.config.snapshot_load_strategy.value,
            "journal": self._journaling.health(),
            "recovery": self._journaling.recovery.to_json(),
            "stores": self._stores_health(),
            # What was proven of each service by the sweeps; the same for every server.
            "coverage": coverage.health(),
        }

    def _stores_health(self) -> dict[str, Any]:
        # In this order: a save that ends in between is then shown as done or as not yet.
        states, publishing = stores_by_state(), self._publishing
        failures = self.failures  # a save replaces it meanwhile
        diverged = self._journaling.recovery.diverged | self._journaling.recovery.lost
        incomplete = self.engine.incomplete()
        entries = self.checkpointer.manifest.stores
        shown: dict[str, Any] = {}
        for key in sorted({*states, *entries}, key=str):
            entry = entries.get(key)
            status, reason = states.get(key, "unloaded"), None
            if status == "saved" and (key in publishing or entry is None):
                status = "changed"
            if status == "quarantined":
                reason = self.engine.quarantined().get(key)
            elif key in failures:
                status, reason = "failed", failures[key]
            elif key in diverged:
                status, reason = "diverged", diverged[key]
            shown[str(key)] = {
                "cut": entry.cut if entry else 0,
                "saved_at": entry.saved_at if entry else None,
                "status": status,
                "reason": reason,
                "incomplete": incomplete.get(key, []),
            }
        return shown
