"""What runs becomes records, in the order in which it ran.

A call that writes is one record: the request with its pins, what came in through
doors, a digest of its answer.  Replay runs it again.  A call that cannot be run again
(it started something, or waited for something) is *impure*, and so is whatever a
thread of moto does: its record holds *after-images* instead, the stores it changed as
they are when it lets go of the engine lock.  So no change that is not in the journal
crosses a release of the lock, and there is one log, one order, one cut.

After-images go beyond what was touched: a store that shares an object with a changed
one comes along, since both must hold the same object after replay, too.

Everything here needs the engine lock.
"""

from __future__ import annotations

import marshal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from hashlib import blake2b
from typing import Protocol

from perdure.engine import process
from perdure.engine.bodies import BLOBS
from perdure.engine.calls import Answer, Call
from perdure.engine.capture import Capture, Captured, capture_process
from perdure.engine.collections.tracked import reading
from perdure.engine.dispatch import attempt
from perdure.engine.doors import DOORS, CallNotes
from perdure.engine.effects import is_read
from perdure.engine.loading import StoreLoader, both, sharing
from perdure.engine.pins import CLOCK, Pins, pinned
from perdure.engine.policy import POLICY
from perdure.engine.process import PROCESS_KEY
from perdure.engine.quirks.identity import write_visits
from perdure.engine.quirks.polling import ParkedError
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES, QuarantinedError
from perdure.errors import CaptureError, NoRoomError, StateError
from perdure.persistence import record as records
from perdure.persistence import statefile
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.record import CALL, IMAGES, CallRecord, ImagesRecord
from perdure.persistence.statefile import Graph, Shares, StateFile

# What a record holds besides its body: headers, pins, doors.
OVERHEAD_BYTES = 64 << 10
PARKED = "parked"
# The version of marshal that shares nothing.
BY_VALUE = 2
# No file has this cut: an image's place is its record.
NO_CUT = Lsn(0)
Lost = Callable[[StoreKey, CaptureError], None]


class Log(Protocol):
    """Where records go; ``persistence.journal.Journal`` is one."""

    def append(self, kind: int, parts: Sequence[bytes]) -> Lsn:
        """Append one record; it survives the death of the process when this returns."""

    def room_for(self, payload_bytes: int) -> bool:
        """Whether a record of that many bytes surely fits."""

    def no_room(self) -> NoRoomError:
        """Why not."""


class Recorder:
    """Writes down what the engine runs."""

    def __init__(self, journal: Log, loader: Callable[[], StoreLoader | None], lost: Lost) -> None:
        """Record into ``journal``.

        Args:
            journal: Open for appending.
            loader: What knows the stores on disk, at the time it is asked.
            lost: Told of a store whose change could not be written down.
        """
        self.journal, self.loader, self.lost = journal, loader, lost
        # What all recorded calls took to run, which is about what replay takes.
        self.seconds = 0.0
        # Of the last after-image of each store: an unchanged one is not written again.
        self._imaged: dict[StoreKey, str] = {}

    def run(self, call: Call, touched: set[StoreKey], *, may_park: bool) -> Answer:
        """Run one call under pins, and append what it did.

        Raises:
            NoRoomError: The disk is full; the call was not run.
        """
        if is_read(call):
            return self._read(call, touched, may_park=may_park)
        recorded_bytes = len(call.body) if isinstance(call.body, bytes) else 0
        if not self.journal.room_for(recorded_bytes + OVERHEAD_BYTES):
            raise self.journal.no_room()
        pins, doors = CLOCK.draw(), DOORS.open()
        notes = doors.notes
        started = time.perf_counter()
        outcome: str | None = None
        try:
            with pinned(pins), doors:
                answer = attempt(call, may_park=may_park)
            outcome = digest_of(answer)
        except ParkedError as parked:
            # An attempt that noted when its key was used has changed that.
            used = call.access_key in process.VISITS
            outcome = PARKED if parked.changed or used else None
            raise
        except QuarantinedError:
            # Once its store is repaired the call would run on; it was refused.
            notes.impure.append("a store it needs is set aside")
            raise
        except StateError:
            # The same, of a body that is damaged or has no room.
            notes.impure.append("what it needs on disk failed")
            raise
        except Exception as error:
            outcome = failure_of(error)
            raise
        finally:
            if not notes.impure:
                self.seconds += time.perf_counter() - started
            self._note_ties(touched)
            if notes.impure:
                self._step_of(call, touched, notes)
            elif outcome is not None and (touched or notes.doors):
                self._append(call, pins, notes, outcome, may_park=may_park)
        return answer

    def _read(self, call: Call, touched: set[StoreKey], *, may_park: bool) -> Answer:
        """Run a call that is not replayed, so nothing of it need be fixed.

        But for the clock, where the host's would show an earlier time than others saw.
        """
        doors = DOORS.open()
        try:
            with pinned(CLOCK.draw()) if CLOCK.is_set_back() else nullcontext(), doors, reading():
                return attempt(call, may_park=may_park)
        except QuarantinedError:
            doors.notes.impure.append("a store it needs is set aside")
            raise
        finally:
            self._note_ties(touched)
            if doors.notes.impure:
                self._step_of(call, touched, doors.notes)

    def _step_of(self, call: Call, touched: set[StoreKey], notes: CallNotes) -> None:
        self.step(touched, f"{call.service.name} {call.operation}: {notes.impure[0]}")

    def _note_ties(self, touched: set[StoreKey]) -> None:
        """Stores that one call touched may share objects from now on."""
        saved = self._saved()
        if len(touched) == 1 and not _is_tied(next(iter(touched)), saved):
            STORES.untied |= touched - SHARING.latest.keys()
        else:
            STORES.untied |= _reached(touched, saved)

    def _saved(self) -> Mapping[StoreKey, Shares]:
        loader = self.loader()
        return {} if loader is None else loader.shares

    def _append(
        self, call: Call, pins: Pins, notes: CallNotes, outcome: str, *, may_park: bool
    ) -> None:
        self._imaged.clear()
        body = call.body if isinstance(call.body, bytes) else call.body.blobs
        parts = records.encode_call(
            CallRecord(
                request=request_of(call),
                body=body,
                clock_us=pins.clock_us,
                seed=pins.seed,
                may_park=may_park,
                doors=tuple(notes.doors),
                answer=outcome,
                md5=None if isinstance(body, bytes) else BLOBS.md5_of(body),
            )
        )
        lsn = self.journal.append(CALL, parts)
        if not isinstance(body, bytes):
            BLOBS.recorded(body, lsn)

    def forget_images(self) -> None:
        """A cut was marked: replay starts behind it, and sees no image from before."""
        self._imaged.clear()

    def step(self, touched: Iterable[StoreKey], reason: str) -> None:
        """Append after-images of what changed outside of a call that can be run again.

        Stores whose images would say what their last ones said are left out, and so is
        the record if nothing is left.
        """
        self._note_ties(set(touched))
        process_graph, captured = images(set(touched), self._saved())
        digests = {key: graph.digest for key, graph in captured.graphs.items()}
        digests[PROCESS_KEY] = process_graph.digest
        for key, error in captured.failed.items():
            self.lost(key, error)
        if not captured.failed and digests.items() <= self._imaged.items():
            return
        self._imaged |= digests
        record = ImagesRecord(
            reason=reason,
            clock_us=CLOCK.draw().clock_us,
            last_id=SHARING.last,
            stores=tuple((key, _encode(key, g)) for key, g in sorted(captured.graphs.items())),
            process=_encode(PROCESS_KEY, process_graph),
            lost=tuple((key, str(error)) for key, error in captured.failed.items()),
        )
        lsn = self.journal.append(IMAGES, records.encode_images(record))
        for graph in captured.graphs.values():
            BLOBS.recorded(graph.blobs, lsn)


def images(touched: set[StoreKey], saved: Mapping[StoreKey, Shares]) -> tuple[Graph, Captured]:
    """What may have changed, and what shares objects with it, as graphs of now.

    Who shares an object with a store is known only once that one is captured, too; so
    all are that may have come to hold one since they were last.
    """
    touched |= {StoreKey("iam", account, region) for account, region in write_visits()}
    living = {key for key, _ in STORES.living()}
    work = Capture(saved)
    wanted = (touched | STORES.untied) & living
    while wanted:
        work.more(wanted)
        reached = _reached(touched | work.result.graphs.keys(), saved)
        wanted = (reached & living) - work.result.graphs.keys() - work.result.failed.keys()
    work.refuse_dangling()
    # They are not on disk as files: the next checkpoint must write them.
    STORES.dirty |= work.result.graphs.keys()
    needed = _reached(touched, saved)
    graphs = {key: graph for key, graph in work.result.graphs.items() if key in needed}
    failed = {key: error for key, error in work.result.failed.items() if key in needed}
    captured = Captured(graphs, failed)
    return capture_process(), captured


def _is_tied(key: StoreKey, saved: Mapping[StoreKey, Shares]) -> bool:
    """Whether a change of the store may be one of another."""
    for shares in (saved, SHARING.latest):
        share = shares.get(key)
        if share is not None and (share.stores or share.imports or share.exports):
            return True
    return False


def _reached(keys: set[StoreKey], saved: Mapping[StoreKey, Shares]) -> set[StoreKey]:
    """All that a change of these stores may be a change of."""
    shares = both(saved, SHARING.latest)
    found: set[StoreKey] = set()
    while keys != found:
        found = keys
        pointed = {to for key in found if key in shares for to in shares[key].stores}
        keys = sharing(found, shares) | pointed
    return found


def request_of(call: Call) -> dict[str, object]:
    """The request as a record has it."""
    return {
        "service": call.service.name,
        "operation": call.operation,
        "account": call.account,
        "region": call.region,
        "access_key": call.access_key,
        "method": call.method,
        "scheme": call.scheme,
        "host": call.host,
        "path": call.path,
        "query": call.query,
        "headers": call.headers,
        "form": call.form,
    }


def digest_of(answer: Answer) -> str:
    """What tells an answer from another: BLAKE2b-128 of status, headers and body, hex."""
    # By value, without references: the same for equal answers.  It depends on the version
    # of Python, as does whether a tail is replayed at all; ``repr`` took a third of this.
    head = marshal.dumps((answer.status, sorted(answer.headers)), BY_VALUE)
    seen = blake2b(head, digest_size=16)
    if isinstance(answer.body, bytes):
        seen.update(answer.body)
    else:
        # Where its bytes lie tells as much, and needs no pass over them.
        seen.update(repr(answer.body.parts).encode())
    return seen.hexdigest()


def failure_of(error: BaseException) -> str:
    """What stands for a failure inside moto; messages may hold addresses of objects."""
    return f"failed: {type(error).__name__}"


def _encode(key: StoreKey, graph: Graph) -> bytes:
    return statefile.encode(StateFile(key, NO_CUT, POLICY.versions(), graph))
