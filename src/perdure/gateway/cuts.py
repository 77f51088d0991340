"""Taking a cut without stalling calls: small stores at once, large ones in a child.

    under the engine lock      capture what fits into ``BUDGET_SECONDS``, smallest first
                               fork, if anything is left
    without it                 the child captures, encodes and writes the rest under
                               temporary names; calls go on
    the saving thread          reads the child's report, checks it, publishes

Capturing a store holds the interpreter for as long as it takes, 2.5 s for 100,000
DynamoDB items; a fork takes some milliseconds (docs/adr/0006).  The child's copy of the
memory is the same instant, so both halves are one cut.

What the child decides, such as which store carries an object, dies with it, and is
decided again here if that can be done (``Capture.take_over``).  If it cannot, or the
child failed in any way but for the disk, nothing of it is used: ``ChildError``, upon
which the caller takes another cut, in process.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from perdure.engine.capture import Capture, Move
from perdure.engine.collections import tracked
from perdure.engine.core import Engine
from perdure.engine.costs import COSTS
from perdure.engine.forked import Child, ChildError, UndecidedError, fork
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.process import PROCESS_KEY
from perdure.errors import CaptureError, DurabilityError, PerdureError, StateError
from perdure.persistence import delta, fields
from perdure.persistence.checkpoint import Checkpointer, Cut
from perdure.persistence.entries import DELTA, Collection, Row, collections_in, cut_of, file_of
from perdure.persistence.fields import Fields
from perdure.persistence.files import temporary_of
from perdure.persistence.heap import Settling
from perdure.persistence.keys import ExportId, Lsn, StoreKey
from perdure.persistence.manifest import Entry, entry_in, entry_out
from perdure.persistence.statefile import Graph

log = logging.getLogger(__name__)

# How long calls may wait for a capture in process; what does not fit is forked for.
BUDGET_SECONDS = 0.004
_DONE = object()
SETTLING = Settling()
CHILD_SECONDS = 60.0
# A container's grace period is 10 s, and the last save must fit in as well.
HURRIED_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Instant:
    """What is to be captured.

    Attributes:
        cut: Its number.
        wanted: The stores that may have changed.
        process: What belongs to no store, captured already.
        replace: Whether the checkpoint will replace all there is.
        segment: The journal's segment at that instant; None = no journal.
        clock_us: The last clock any call had.
        must_advance: Whether records of a journal lie behind the live checkpoint.
        dropped: Stores that are in the live checkpoint and no more in this one.
        at_stop: Whether the server stops.
    """

    cut: Lsn
    wanted: set[StoreKey]
    process: Graph
    replace: bool
    segment: Lsn | None = None
    clock_us: int = 0
    must_advance: bool = False
    dropped: frozenset[StoreKey] = frozenset()
    at_stop: bool = False


def take(engine: Engine, checkpointer: Checkpointer, instant: Instant, *, apart: bool) -> Taken:
    """Take a cut, leaving what is large to a child.  Needs the engine lock.

    Args:
        engine: Whose stores.
        checkpointer: What will publish it.
        instant: What to capture.
        apart: Whether there may be a child.

    Returns:
        The cut, to be completed without the engine lock, and by this thread.
    """
    SETTLING.settle()
    work = engine.begin_capture(instant.wanted, budget_seconds=BUDGET_SECONDS if apart else None)
    taken = Taken(engine, checkpointer, instant, work, left=frozenset(work.left))
    if work.left:
        taken.child = fork(partial(_report, work, taken))
        if taken.child is not None:
            log.debug("captured in child %d: %s", taken.child.pid, _names(taken.left))
        else:
            log.info("a large capture runs in process: the system forks no child")
            taken.left = frozenset()
            work.finish()
    # What a call hands out from here on is for the next one; a child has its own copy.
    tracked.seal_all()
    taken.last_id = engine.last_id
    return taken


@dataclass(slots=True)
class Taken:
    """A cut: captured in part or as a whole.  ``complete`` or ``discard`` ends it."""

    engine: Engine
    checkpointer: Checkpointer
    instant: Instant
    work: Capture
    child: Child | None = None
    left: frozenset[StoreKey] = frozenset()
    last_id: int = 0
    written_by: dict[str, str] = field(default_factory=dict)
    # By store, of a child's: collections and rows.
    apart: dict[StoreKey, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.written_by = self.engine.versions()

    @property
    def keys(self) -> frozenset[StoreKey]:
        """The stores in it; they count as unchanged from the cut on."""
        return self.left | self.work.result.graphs.keys()

    @property
    def failed(self) -> dict[StoreKey, PerdureError]:
        """The stores that could not be captured, with the reason."""
        return dict(self.work.result.failed)

    def complete(self, hurry: threading.Event) -> Cut:
        """The whole cut, once the child has written its part.

        Args:
            hurry: Set when a stop is waited for.

        Raises:
            ChildError: Nothing of the child's can be used.
            DurabilityError: It could not write.
        """
        prepared = {} if self.child is None else self._prepared(hurry)
        return Cut(
            self.instant.cut,
            self.work.result.graphs,
            (PROCESS_KEY, self.instant.process),
            self.last_id,
            self.written_by,
            prepared,
            self.instant.segment,
            self.instant.clock_us,
            self.instant.must_advance,
            self.instant.dropped,
            self.instant.at_stop,
        )

    def published(self) -> None:
        """Its rows are the live ones.  Takes the engine lock, again and again."""
        written = {**tracked.written_of(self.work.result.graphs), **self.apart}
        steps = tracked.commit_steps(written)
        while True:
            with ENGINE_LOCK:
                if next(steps, _DONE) is _DONE:
                    return

    def discard(self) -> None:
        """End the child, if it still runs, and remove what it wrote."""
        with ENGINE_LOCK:
            tracked.unseal_all()
        if self.child is not None:
            self.child.kill()
            self.child = None
        self.checkpointer.discard(self.instant.cut)

    def _prepared(self, hurry: threading.Event) -> dict[StoreKey, Entry]:
        assert self.child is not None
        child, self.child = self.child, None
        data = child.answer(seconds=CHILD_SECONDS, hurry=hurry, hurried_seconds=HURRIED_SECONDS)
        report = read_report(data, self)
        with ENGINE_LOCK:
            for key, seconds in report.seconds.items():
                COSTS.note(key, seconds)
            if not self.work.take_over(report.captured, report.moves, report.failed):
                raise UndecidedError("a shared object was given another home meanwhile")
        self.left |= report.captured
        self.apart = {
            key: (collections, self._rows(report.entries[key]) if key in report.entries else ())
            for key, collections in report.collections.items()
        }
        return report.entries

    def _rows(self, entry: Entry) -> list[Row]:
        """What changed of a store's collections, as the child wrote it."""
        file = file_of(entry.key, entry.cut, DELTA)
        path = temporary_of(self.checkpointer.directory.path / file)
        if not path.exists():
            return []
        rows = delta.read(path, entry.key)
        if file not in {stored.file for stored in entry.entries}:
            # It was for this; the child wrote a base as well.
            self.checkpointer.directory.files.discard_temporary(path)
        return rows


# ------------------------------------------------------------------ the child


def _report(work: Capture, taken: Taken) -> bytes:
    """What the child does: capture, write, and say what came of it."""
    failed_before = frozenset(work.result.failed)
    reason = work.finish_apart()
    if reason is not None:
        return _json(refused=reason, here=work.unexpected)
    entries, unchanged, collections = [], [], []
    captured = sorted(work.apart)
    for key in captured:
        # Popped: its bytes are on disk then, and need not be here as well.
        graph = work.result.graphs.pop(key)
        if graph.collections:
            collections.append({"store": key, "collections": graph.collections})
        try:
            entry = taken.checkpointer.prepare(
                key,
                graph,
                cut=taken.instant.cut,
                written_by=taken.written_by,
                replace=taken.instant.replace,
            )
        except DurabilityError as error:
            return _json(disk=[str(error.path), error.step, error.reason])
        if entry is None:
            unchanged.append(key)
        else:
            entries.append(entry_out(entry))
    failed = {k: e for k, e in work.result.failed.items() if k not in failed_before}
    return _json(
        entries=entries,
        unchanged=unchanged,
        collections=collections,
        failed=[{"store": key, "path": e.path, "reason": e.reason} for key, e in failed.items()],
        moves=work.moves,
        seconds=[{"store": k, "us": int((COSTS.seconds(k) or 0) * 1e6)} for k in captured],
    )


def _json(**report: Any) -> bytes:
    return json.dumps(report, default=sorted).encode()


# ----------------------------------------------------------------- the parent


@dataclass(frozen=True, slots=True)
class Report:
    """What a child did, checked."""

    captured: set[StoreKey]
    entries: dict[StoreKey, Entry]
    moves: list[Move]
    failed: dict[StoreKey, CaptureError]
    seconds: dict[StoreKey, float]
    collections: dict[StoreKey, tuple[Collection, ...]]


def read_report(data: bytes, taken: Taken) -> Report:
    """Check what a child says against what it was asked.

    Raises:
        ChildError: It says something unexpected, or that it cannot be used.
        DurabilityError: It could not write.
    """
    try:
        return fields.decode(data, Path("(forked capture)"), "report", partial(_checked, taken))
    except (DurabilityError, ChildError):
        raise
    except StateError as error:
        raise ChildError(str(error)) from error


def _checked(taken: Taken, report: Fields) -> Report:
    if "refused" in report.values:
        with ENGINE_LOCK:
            COSTS.here.update(report.keys("here"))
        raise UndecidedError(report.text("refused"))
    if "disk" in report.values:
        path, step, reason = map(str, report.items("disk"))
        raise DurabilityError(Path(path), step, reason)
    entries = {entry.key: entry for entry in map(entry_in, report.rows("entries"))}
    failed = {}
    for row in report.rows("failed"):
        key = row.key("store")
        failed[key] = CaptureError(str(key), row.text("path"), row.text("reason"))
    captured = [*entries, *report.keys("unchanged")]
    said = [*captured, *failed]
    # Sharing may call for more than it was asked for, for each once.
    if len(said) != len(set(said)) or not taken.left.issubset(said):
        raise report.refusal("entries", f"one of each of {_names(taken.left)}", _names(said))
    for entry in entries.values():
        _check_file(taken, entry)
    seconds = {row.key("store"): row.integer("us") / 1e6 for row in report.rows("seconds")}
    collections = {row.key("store"): collections_in(row) for row in report.rows("collections")}
    return Report(set(captured), entries, _moves(report), failed, seconds, collections)


def _moves(report: Fields) -> list[Move]:
    moves = []
    for row in report.items("moves"):
        if not isinstance(row, list) or len(row) != len(Move._fields):
            raise report.refusal("moves", "[number, home, home] of each", row)
        number, *homes = row
        if type(number) is not int:
            raise report.refusal("moves", "an export id", number)
        before, after = (None if home is None else StoreKey.parse(home) for home in homes)
        moves.append(Move(ExportId(number), before, after))
    return moves


def _check_file(taken: Taken, entry: Entry) -> None:
    """See that what the child says it wrote is there, as long and of this cut."""
    if entry.cut != taken.instant.cut:
        raise ChildError(f"{entry.key}: written for cut {entry.cut}, not {taken.instant.cut}")
    new = [(s.file, s.bytes) for s in entry.entries if cut_of(s.file) == entry.cut]
    for file, size in [(entry.file, entry.bytes), *new]:
        path = temporary_of(taken.checkpointer.directory.path / file)
        try:
            found = path.stat().st_size
        except OSError as error:
            raise ChildError(f"{path}: {error.strerror}") from error
        if found != size:
            raise ChildError(f"{path}: {found} bytes, {size} were written")


def _names(keys: Iterable[StoreKey]) -> str:
    return ", ".join(sorted(map(str, keys)))
