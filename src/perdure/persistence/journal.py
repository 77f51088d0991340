"""The journal: every call that changed something, appended before it is answered.

One thread at a time appends (the caller's lock); a thread of the journal's own makes what
is appended durable and the next segment's space ready.  An append is one system call, and
neither waits for that thread nor takes a lock, but for a rotation.

    sync      durable
    always    as soon as somebody waits; all who wait share one fdatasync
    interval  every ``interval`` seconds, if there is something new
    never     when told to: ``sync_now`` (a checkpoint), ``close``

A rotation, and what a crash after each step leaves:

    append    1  header into the spare, link to the record before      a spare, made anew
              2  rename the spare to its name                          a segment without records,
                                                                       or with a torn header
              3  records into it
    sync      4  fdatasync of both segments; fsync of the folder       records behind those
                                                                       of the old one
              5  durable LSN moves on; who waited is called
              6  SEAL into the old one: which segment follows          the same
              7  fdatasync of the old one                              a lost segment is noticed

So an append never waits for a disk, and a SEAL never names what is not on disk.  After a
power cut before 4 the new segment may be there and records at the end of the old one not:
the new one is then part of the torn tail, since none of it was durable.

Every opening starts a new segment: its header says which engine writes.  A failed append
or fsync ends the journal: ``on_failure`` once, DurabilityError from then on.  Nothing is
retried, since after a failed fsync the page cache may claim what the disk lost.

Order of use: read_tail -> Journal.open -> (room_for -> append -> when_durable)* -> close.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from perdure.errors import DurabilityError, NoRoomError
from perdure.persistence.durable import Durable
from perdure.persistence.files import Files
from perdure.persistence.keys import Lsn
from perdure.persistence.past import Past, Span
from perdure.persistence.segment import (
    FOLDER,
    FRAME_BYTES,
    PAYLOAD_BYTES_MAX,
    SEAL,
    encode_header,
    first_of,
    frame_bytes,
)
from perdure.persistence.segmentwriter import SegmentWriter
from perdure.persistence.spare import Spare
from perdure.persistence.tail import LiveSegment, Tail, segments_of

log = logging.getLogger(__name__)

Sync = Literal["always", "interval", "never"]
SEGMENT_BYTES = 16 << 20
INTERVAL_S = 1.0
# How often the disk's free space is looked at, and a spare tried for again.
LOOK_S = 1.0
# What room_for keeps free besides: records that nobody asks for, such as a thread's changes.
RESERVE_PART = 16


def monotonic() -> float:
    """Seconds since some time; the system's own, which no stand-in for ``time`` holds."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class Journal:
    """An open journal.  ``appended_lsn`` and ``durable_lsn`` may be read from any thread."""

    def __init__(
        self,
        folder: Path,
        *,
        instance: str,
        fingerprint: Mapping[str, str],
        next_lsn: Lsn,
        cut: Lsn,
        sync: Sync,
        interval: float,
        segment_bytes: int,
        headroom_bytes: int,
        files: Files,
        on_failure: Callable[[DurabilityError], object],
        clock: Callable[[], float],
        before_sync: Callable[[], object],
    ) -> None:
        """Use ``open``."""
        self.appended_lsn = Lsn(next_lsn - 1)
        self.segment_bytes = segment_bytes
        self._folder, self._instance, self._fingerprint = folder, instance, dict(fingerprint)
        self._sync, self._interval, self._clock = sync, interval, clock
        self._files, self._on_failure, self._before_sync = files, on_failure, before_sync
        self._durable = Durable(self.appended_lsn)
        self._spare = Spare(folder, files, segment_bytes, headroom_bytes)
        self._syncing = threading.Lock()
        self._active: SegmentWriter
        self._is_unnamed = False
        self._unsealed: list[SegmentWriter] = []
        self._replaced: list[SegmentWriter] = []
        self._past = Past(folder, files, cut)
        self._wants_spare = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._synced_at = self._looked_at = clock()
        block = encode_header(next_lsn, instance=instance, link=0, fingerprint=fingerprint)
        self._header_bytes = len(block)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        after: Tail,
        fingerprint: Mapping[str, str],
        sync: Sync = "interval",
        interval: float = INTERVAL_S,
        segment_bytes: int = SEGMENT_BYTES,
        headroom_bytes: int = 0,
        files: Files | None = None,
        on_failure: Callable[[DurabilityError], object] = lambda _: None,
        clock: Callable[[], float] = monotonic,
        start: bool = True,
        before_sync: Callable[[], object] = lambda: None,
    ) -> Journal:
        """Start a new segment behind a tail.

        Args:
            path: The state directory, locked by this process.
            after: What ``read_tail`` found, with a torn tail cut.
            fingerprint: What shapes this engine's answers, by name.
            sync: When records become durable.
            interval: Seconds between two syncs, for ``interval``.
            segment_bytes: How large a segment is; a larger record gets its own.
            headroom_bytes: What the disk must have free besides, for the next checkpoint.
            files: The disk.
            on_failure: Called once, from whichever thread met it.
            clock: Seconds; only differences count.
            start: Whether to start the thread; without it, ``tend`` is the caller's.
            before_sync: Makes durable what records name, such as blobs, before they are;
                may raise DurabilityError.  From whichever thread syncs.

        Raises:
            DurabilityError: No segment could be made; the tail is as it was.

        Durability:
            The segment is on disk, the one before names it, and so are the tail's records,
            of which a process that was killed may have left some in the page cache only.
        """
        assert after.torn is None or after.torn.kept, "a torn tail is cut first"
        assert segment_bytes > 0 < interval, "sizes and times are positive"
        journal = cls(
            path / FOLDER,
            instance=after.instance,
            fingerprint=fingerprint,
            next_lsn=after.next_lsn,
            cut=after.cut,
            sync=sync,
            interval=interval,
            segment_bytes=segment_bytes,
            headroom_bytes=headroom_bytes,
            files=files or Files(),
            on_failure=on_failure,
            clock=clock,
            before_sync=before_sync,
        )
        try:
            journal._begin(after)
        except BaseException:
            journal._abandon()
            raise
        if start:
            journal._thread = threading.Thread(target=journal._run, name="journal", daemon=True)
            journal._thread.start()
        return journal

    @property
    def durable_lsn(self) -> Lsn:
        """All records up to it survive a power cut."""
        return self._durable.lsn

    @property
    def next_lsn(self) -> Lsn:
        """What the next record gets."""
        return Lsn(self.appended_lsn + 1)

    @property
    def active_first(self) -> Lsn:
        """The first LSN of the segment that is written to; the manifest's ``segment``."""
        return self._active.first

    @property
    def failure(self) -> DurabilityError | None:
        """Why nothing can be appended any more; None = it can."""
        return self._durable.failure

    @property
    def shortage(self) -> str | None:
        """Why ``room_for`` says no; None = there is room."""
        return self._spare.shortage

    @property
    def headroom_bytes(self) -> int:
        """What the disk must have free besides, for the next checkpoint; set at any time."""
        return self._spare.headroom_bytes

    @headroom_bytes.setter
    def headroom_bytes(self, size: int) -> None:
        self._spare.headroom_bytes = size

    def append(self, kind: int, parts: Sequence[bytes]) -> Lsn:
        """Append one record.  By one thread at a time.

        Args:
            kind: The caller's, from 1 to 2^32 - 2.
            parts: The payload in pieces, below 4 GiB.

        Raises:
            DurabilityError: It is not in the journal, and nothing ever will be.

        Durability:
            In the page cache: survives the death of the process.  ``when_durable`` for more.
        """
        if self._durable.failure is not None:
            self._durable.check()
        assert 0 < kind < SEAL, f"no kind of record: {kind}"
        lsn = Lsn(self.appended_lsn + 1)
        try:
            if not self._active.append(kind, parts, lsn=lsn, durable=self._durable.lsn):
                self._rotate(frame_bytes(sum(map(len, parts))))
                is_written = self._active.append(kind, parts, lsn=lsn, durable=self._durable.lsn)
                assert is_written, "a segment is made for it"
        except DurabilityError as error:
            self._fail(error)
            raise
        self.appended_lsn = lsn
        return lsn

    def when_durable(self, lsn: Lsn, callback: Callable[[], object]) -> None:
        """Call back once a record is durable: at once, or from the journal's thread.

        The callback must be short and not raise.  After a failure it is never called.

        Raises:
            DurabilityError: The journal has failed.
        """
        self._durable.when(lsn, callback)

    def wait_durable(self, lsn: Lsn, timeout: float | None = None) -> bool:
        """Block until a record is durable; False = it is not after ``timeout`` seconds.

        With ``never`` that is until somebody calls ``sync_now``.

        Raises:
            DurabilityError: It never will be.
        """
        return self._durable.wait(lsn, timeout)

    def sync_now(self) -> Lsn:
        """Make all that is appended durable; up to which LSN.  From any thread.

        Raises:
            DurabilityError: The disk refused; the journal has ended.
        """
        with self._syncing:
            self._durable.check()
            try:
                self._sync_all()
            except DurabilityError as error:
                self._fail(error)
                raise
            return self._durable.lsn

    def room_for(self, payload_bytes: int) -> bool:
        """Whether a record surely fits, and some more that nobody asks for.  Cheap.

        By the thread that appends.  False until the disk has room again: the spare is
        there and ``headroom_bytes`` are free, which is looked at each second.  For a
        record larger than the spare, tries to allocate its space now.
        """
        if self._spare.shortage is not None or payload_bytes > PAYLOAD_BYTES_MAX:
            return False
        needed = frame_bytes(payload_bytes) + self.segment_bytes // RESERVE_PART
        if self._active.fits(needed):
            return True
        try:
            has = self._spare.has(self._size_for(needed))
        except DurabilityError as error:
            self._fail(error)
            raise
        self._wants_spare |= not has
        return has

    def no_room(self) -> NoRoomError:
        """What to raise where ``room_for`` said no."""
        return NoRoomError(self._folder, self.shortage or "the record is too large for the disk")

    def retire(self, cut: Lsn) -> None:
        """Unlink segments that a published checkpoint covers.

        Never the active one.  One that cannot be removed stays until the next time.
        """
        with self._durable.changed:
            busy = [segment.first for segment in (*self._unsealed, self._active)]
        self._past.retire(cut, busy=busy)

    def records_since(self, cut: Lsn) -> int:
        """How many records a recovery from a cut would replay."""
        return self.appended_lsn - cut

    def bytes_since(self, cut: Lsn) -> int:
        """How many bytes that would be, about: a segment's records count alike."""
        with self._durable.changed:
            active = Span(self._active.first, self.next_lsn, self._active.offset)
        return self._past.bytes_behind(cut, active)

    @property
    def records_since_retired(self) -> int:
        """As ``records_since`` the last cut that was retired."""
        return self.records_since(self._past.retired)

    @property
    def bytes_since_retired(self) -> int:
        """As ``bytes_since`` the last cut that was retired."""
        return self.bytes_since(self._past.retired)

    def close(self) -> None:
        """Make all durable and stop; twice is once.

        Raises:
            DurabilityError: The last sync failed, or the journal had failed before.
        """
        with self._durable.changed:
            if self._closing:
                return
            self._closing = True
            self._durable.changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        try:
            self.sync_now()
        finally:
            self._abandon()

    def tend(self) -> None:
        """One round of the journal's thread: sync if it is due, then look after space.

        Raises:
            DurabilityError: The journal has ended.
        """
        now = self._clock()
        is_due = self._is_sync_due(now)
        if is_due or now - self._synced_at >= self._interval:
            self._synced_at = now
        if is_due:
            self.sync_now()
        if self._wants_spare or now - self._looked_at >= LOOK_S:
            self._looked_at, self._wants_spare = now, False
            self._look()

    def _begin(self, after: Tail) -> None:
        self._files.make_folder(self._folder, what="journal")
        self._before_sync()
        # The process before may have died with records that only the page cache has.  From
        # here on they count as durable, and the SEAL below says so.
        for live in after.segments:
            if not live.end.is_sealed:
                self._with_old(live, SegmentWriter.sync)
        last = after.segments[-1] if after.segments else None
        before = 0
        if last is not None:
            # One without records is replaced by the new one, which takes its place.
            is_empty = last.header.first == self.next_lsn
            before = last.header.link if is_empty else last.end.link
        self._active = self._new_segment(0, before, is_synced=True)
        self._files.sync_folder(self._folder, what="journal")
        if last is not None and self._is_to_seal(last):
            self._with_old(last, lambda old: old.seal(self.next_lsn))
        self._note_past(after)
        self._spare.look()

    def _is_to_seal(self, last: LiveSegment) -> bool:
        """Whether the new segment follows the last one of the tail, and was not put over it."""
        is_followed = last.end.next_lsn == self.next_lsn != last.header.first
        return is_followed and not last.end.is_sealed

    def _with_old(self, live: LiveSegment, action: Callable[[SegmentWriter], None]) -> None:
        old = SegmentWriter.reopen(
            self._files, live.path, live.header, offset=live.end.offset, link=live.end.link
        )
        try:
            action(old)
        finally:
            old.close()

    def _note_past(self, after: Tail) -> None:
        ends = {live.header.first: live.end.offset for live in after.segments}
        firsts = [first_of(path) for path in segments_of(self._folder.parent)]
        for first, following in itertools.pairwise(firsts):
            self._past.add(Span(first, following, ends.get(first, 0)))

    def _new_segment(self, needed: int, before: int, *, is_synced: bool) -> SegmentWriter:
        return SegmentWriter.create(
            self._files,
            self._spare,
            first=self.next_lsn,
            instance=self._instance,
            before=before,
            fingerprint=self._fingerprint,
            size=self._size_for(needed),
            is_synced=is_synced,
        )

    def _size_for(self, needed: int) -> int:
        return max(self.segment_bytes, self._header_bytes + needed + FRAME_BYTES)

    def _rotate(self, needed: int) -> None:
        """Go on in a new segment.  Nothing is synced here: an append never waits for it."""
        old = self._active
        # The new one takes the name of one without records, and its place in the chain.  That
        # name may be in a SEAL already, so it never stands for a header that is not on disk.
        is_empty = old.first == self.next_lsn
        before = old.before if is_empty else old.link
        new = self._new_segment(needed, before, is_synced=is_empty)
        if not is_empty:
            self._past.add(Span(old.first, new.first, old.offset))
        with self._durable.changed:
            # Closed by a sync, since one may be at work on it.
            (self._replaced if is_empty else self._unsealed).append(old)
            self._active, self._is_unnamed, self._wants_spare = new, True, True
            self._durable.changed.notify_all()

    def _sync_all(self) -> None:
        with self._durable.changed:
            target, active = self.appended_lsn, self._active
            unsealed, is_unnamed = list(self._unsealed), self._is_unnamed
            replaced, self._replaced, self._is_unnamed = self._replaced, [], False
        for segment in replaced:
            segment.close()
        if target == self._durable.lsn and not is_unnamed:
            return
        # Behind the look at what is appended: what those records name was written before them.
        self._before_sync()
        for segment in (*unsealed, active):
            segment.sync()
        if is_unnamed:
            self._files.sync_folder(self._folder, what="journal")
        self._durable.advance(target)
        for segment, following in itertools.pairwise((*unsealed, active)):
            segment.seal(following.first)
            with self._durable.changed:
                self._unsealed.remove(segment)
            segment.close()

    def _run(self) -> None:
        try:
            while not self._closing:
                self._pause()
                self.tend()
        except DurabilityError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: nobody else would hear it
            self._fail(DurabilityError(self._folder, "journal.thread", repr(error)))

    def _pause(self) -> None:
        """Sleep until there is something to do."""
        with self._durable.changed:
            now = self._clock()
            due = self._looked_at + LOOK_S
            if self._sync != "never":
                due = min(due, self._synced_at + self._interval)
            if not (self._closing or self._wants_spare or self._is_sync_due(now)):
                self._durable.changed.wait(max(0.0, due - now))

    def _is_sync_due(self, now: float) -> bool:
        if self.appended_lsn == self._durable.lsn or self._sync == "never":
            return False
        if self._sync == "always" and self._durable.is_awaited:
            return True
        return now - self._synced_at >= self._interval

    def _look(self) -> None:
        try:
            self._spare.look()
        except DurabilityError as error:
            self._fail(error)
            raise

    def _fail(self, error: DurabilityError) -> None:
        if self._durable.fail(error):
            log.critical("the journal has ended: %s", error)
            self._on_failure(error)

    def _abandon(self) -> None:
        """Close every file; the spare gives its space back."""
        closed = DurabilityError(self._folder, "journal.append", "it is closed")
        self._durable.fail(closed)
        # An opening that failed may have made no segment yet.
        active = [self._active] if hasattr(self, "_active") else []
        for segment in (*self._unsealed, *self._replaced, *active):
            segment.close()
        self._spare.close()
