"""The journal of one server: opened, replayed, written, checkpointed in time.

Between persistence, which keeps records as bytes, and engine, which makes them of
calls and calls of them.  A checkpoint is due so early that recovery replays about two
seconds: replaying a call takes about as long as running it did.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from perdure.config import Config, RecoveryPolicy
from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.recording import Lost
from perdure.errors import ForeignTailError, PerdureError
from perdure.gateway.recovery import Recovery, replay
from perdure.persistence.blobs import BlobStore
from perdure.persistence.checkpoint import Checkpointer
from perdure.persistence.directory import Directory
from perdure.persistence.journal import SEGMENT_BYTES, Journal
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.lost import find_lost
from perdure.persistence.manifest import NAME as MANIFEST
from perdure.persistence.manifest import Manifest
from perdure.persistence.record import MARK
from perdure.persistence.segment import FOLDER
from perdure.persistence.tail import Tail, cut_from, read_tail

log = logging.getLogger(__name__)

# Any of these makes a checkpoint due.  Seconds as the calls took to run; while the
# checkpoint is made some more come.
REPLAY_SECONDS_MAX = 1.5
JOURNAL_BYTES_MAX = 64 << 20
RECORDS_MAX = 20_000
# Entries of collections, such as items that come 25 a call: a child takes 10 us for each.
ENTRIES_MAX = 10_000
# Bodies that were put over others are on disk until the next checkpoint lets them go.
BLOB_BYTES_MAX = 1 << 30
# What a checkpoint may need at least, while the journal it will retire is still there.
HEADROOM_BYTES = 16 << 20


class Journaling:
    """Owns the journal of an opened directory.  Methods say if they need the engine lock."""

    def __init__(self, config: Config, engine: Engine, lost: Lost) -> None:
        self.config, self.engine, self.lost = config, engine, lost
        self.recovery = Recovery()
        self.journal: Journal | None = None
        self._directory: Directory | None = None
        self._checkpointer: Checkpointer | None = None
        self._blobs = BlobStore(None)
        self._tail: Tail | None = None
        # When ``is_due`` first saw that there are records behind the last cut; None = it
        # has not yet.
        self._since: float | None = None
        # What all recorded calls had taken to run at the last cut, and at the last mark.
        self._cut_seconds = self._marked_seconds = 0.0

    # ------------------------------------------------------------------ start

    def open(self, directory: Directory, checkpointer: Checkpointer, blobs: BlobStore) -> None:
        """Look at the journal that is there; cut a torn tail.

        Raises:
            StateError: It is damaged, or of another engine; nothing is replayed.
        """
        self._directory, self._checkpointer, self._blobs = directory, checkpointer, blobs
        self._tail = self._read_tail()
        self.recovery.verdict = self._tail.verdict
        if self._tail.torn is not None:
            self.recovery.details.append(str(self._tail.torn))
            log.warning("%s", self._tail.torn)
        running = self.engine.fingerprint()
        for path, found in self._tail.fingerprints():
            if found != running:
                raise ForeignTailError(path, found=found, running=running)

    def _read_tail(self) -> Tail:
        directory, manifest = self._opened()
        assert self._checkpointer is not None
        tail = read_tail(
            directory.path,
            cut=manifest.cut,
            instance=directory.origin[0],
            segment=manifest.segment,
            known_durable=0 if manifest.segment is None else manifest.cut,
            files=directory.files,
        )
        found = find_lost(tail, self._blobs, self._checkpointer.blobs)
        return tail if found is None else cut_from(tail, *found, files=directory.files)

    def _opened(self) -> tuple[Directory, Manifest]:
        assert self._directory is not None
        assert self._checkpointer is not None
        return self._directory, self._checkpointer.manifest

    @property
    def _cut(self) -> Lsn:
        return self._opened()[1].cut

    @property
    def has_tail(self) -> bool:
        """Whether there were records behind the checkpoint's cut at the start."""
        return self._tail is not None and self._tail.count > 0

    @property
    def last_lsn(self) -> Lsn:
        """The last LSN on disk at the start; at least the cut."""
        return Lsn(self._cut if self._tail is None else self._tail.next_lsn - 1)

    def replay(self, shares: dict[StoreKey, Any], *, stop: Callable[[], bool]) -> set[StoreKey]:
        """Replay the tail.  Needs the engine lock; raises as ``recovery.replay``."""
        if self._tail is None or not self.has_tail:
            return set()
        changed = replay(
            self._tail,
            self.engine.replayer(shares),
            self.recovery,
            strict=self.config.recovery is RecoveryPolicy.STRICT,
            stop=stop,
        )
        log.info(
            "replayed %d records up to LSN %d in %.2f s",
            self.recovery.replayed,
            self.recovery.last_lsn,
            self.recovery.seconds,
        )
        if self.recovery.divergences or self.recovery.lost:
            self._keep_aside()
        return changed

    def _keep_aside(self) -> None:
        """Keep the checkpoint and the tail: what comes next writes over them."""
        directory, manifest = self._opened()
        assert self._tail is not None
        segments = [f"{FOLDER}/{live.path.name}" for live in self._tail.segments]
        kept = directory.keep_diverged(
            manifest.cut,
            self.last_lsn,
            states=sorted(manifest.files()),
            others=[MANIFEST, *segments],
            report=self.recovery.to_json(),
        )
        self.recovery.details.append(f"checkpoint and tail are kept in {kept}")
        log.error(
            "%d calls were answered otherwise when they were replayed; checkpoint and tail "
            "are kept in %s; compare, then `perdure state reset SERVICE` or go on",
            self.recovery.divergence_count,
            kept,
        )

    def begin(self) -> None:
        """Open the journal for what comes; record from here on.  Needs the engine lock."""
        directory, manifest = self._opened()
        assert self._tail is not None
        self.journal = Journal.open(
            directory.path,
            after=replace(self._tail, cut=max(manifest.cut, self._tail.cut)),
            fingerprint=self.engine.fingerprint(),
            sync=self.config.journal_sync.value,
            interval=self.config.journal_sync_interval,
            headroom_bytes=HEADROOM_BYTES,
            files=directory.files,
            on_failure=die,
            before_sync=self._blobs.sync,
        )
        self._blobs.headroom_bytes = HEADROOM_BYTES + SEGMENT_BYTES
        self.engine.record(self.journal, self.lost)

    def note(self, changed: set[StoreKey]) -> None:
        """Write down what recovery changed by itself.  Needs the engine lock."""
        if changed and self.engine.recorder is not None:
            self.engine.recorder.step(changed, "recovery")

    # ------------------------------------------------------------ checkpoints

    def mark(self) -> tuple[Lsn, Lsn] | None:
        """Mark a cut: its LSN, and the segment it is in.  Needs the engine lock.

        None without a journal.
        """
        if self.journal is None:
            return None
        self._marked_seconds = self._replay_seconds
        if self.engine.recorder is not None:
            self.engine.recorder.forget_images()
        lsn = self.journal.append(MARK, ())
        return lsn, self.journal.active_first

    def is_behind(self) -> bool:
        """Whether there are records behind the last cut.  Needs the engine lock."""
        if self.journal is None:
            return self.last_lsn > self._cut
        return self.journal.appended_lsn > self._cut or self._is_unnamed()

    def _is_unnamed(self) -> bool:
        """Whether no manifest says yet that there is a journal: if it went, nobody would know."""
        return self._opened()[1].segment is None

    def keep_tail(self) -> None:
        """Copy the segments of a tail nobody has replayed to quarantine.

        A second name would not do: whoever opens the journal next writes to the last
        one in place.
        """
        directory, _ = self._opened()
        for live in () if self._tail is None else self._tail.segments:
            directory.keep_content(f"{FOLDER}/{live.path.name}")

    def before_publish(self) -> None:
        """All that was appended is on disk when this returns."""
        if self.journal is not None:
            self.journal.sync_now()

    def after_publish(self, cut: Lsn) -> None:
        """Retire what the checkpoint holds."""
        if self.journal is not None:
            # Here, not at the mark: a checkpoint that failed is due again at once.
            self._cut_seconds, self._since = self._marked_seconds, None
            self.journal.retire(cut)
            files = self._opened()[1].entries
            self.journal.headroom_bytes = max(HEADROOM_BYTES, sum(file.bytes for file in files))
            # A body must not take the space of records that are acknowledged after it.
            self._blobs.headroom_bytes = self.journal.headroom_bytes + SEGMENT_BYTES

    @property
    def _replay_seconds(self) -> float:
        recorder = self.engine.recorder
        return 0.0 if recorder is None else recorder.seconds

    def is_due(self) -> bool:
        """Whether a checkpoint should be made now."""
        journal = self.journal
        if journal is None:
            return False
        if self._is_unnamed():
            return True
        if journal.appended_lsn <= self._cut:
            self._since = None
            return False
        now = time.monotonic()
        self._since = self._since or now
        return (
            now - self._since >= self.config.checkpoint_interval
            or self._replay_seconds - self._cut_seconds >= REPLAY_SECONDS_MAX
            or journal.appended_lsn - self._cut >= RECORDS_MAX
            or self.engine.pending_entries() >= ENTRIES_MAX
            or journal.bytes_since_retired >= JOURNAL_BYTES_MAX
            or self._blobs.unswept_bytes >= BLOB_BYTES_MAX
        )

    # ----------------------------------------------------------------- answers

    async def durable(self) -> None:
        """With JOURNAL_SYNC=always: until all that was appended so far is on disk."""
        journal = self.journal
        if journal is None or self.config.journal_sync.value != "always":
            return
        lsn = journal.appended_lsn
        if journal.durable_lsn >= lsn:
            return
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        def done_on_disk() -> None:
            # The server may have stopped, and nobody waits any more.  In the journal's
            # thread an error would be taken for one of the disk, and end the process.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(wake)

        journal.when_durable(lsn, done_on_disk)
        await done

    def close(self) -> None:
        """Sync and close; a clean stop has checkpointed before."""
        if self.journal is not None:
            # A thread of moto may be in the middle of its work.
            with ENGINE_LOCK:
                self.engine.stop_recording()
            self.journal.close()
            self.journal = None

    def health(self) -> dict[str, Any] | None:
        """For ``/health``; None without a journal."""
        journal = self.journal
        if journal is None:
            return None
        return {
            "sync": self.config.journal_sync.value,
            "appended_lsn": journal.appended_lsn,
            "durable_lsn": journal.durable_lsn,
            "checkpoint_lsn": self._cut,
            "bytes": journal.bytes_since_retired,
            "shortage": journal.shortage,
        }


def die(error: PerdureError) -> None:
    """End the process: what it would answer from here on could not be kept.

    Without a save and without waiting: the disk is not to be trusted, and memory is
    ahead of it.
    """
    log.critical(
        "%s (%s); the process stops, without a save: the next start goes on with what is on disk",
        error,
        error.hint,
    )
    logging.shutdown()
    os._exit(error.exit_code)
