"""What a collection knows of its entries: which may have changed, and what is on disk.

moto changes objects in place.  So an entry that was handed out is *suspect*, unless a read
did it, and stays so until a checkpoint has compared it with its row: a digest decides
whether it is written.  What was never handed out is as it was.

A checkpoint takes the suspects with it (``seal``) and comes back with what was written
(``commit``), or with nothing (``unseal``): then they are suspect again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any, NamedTuple
from weakref import WeakValueDictionary, ref

from perdure.engine.pins import chance
from perdure.persistence.entries import SUM_BITS, Collection, Row, gone, row_of
from perdure.persistence.keys import StoreKey
from perdure.persistence.source import Source
from perdure.persistence.statefile import Graph
from perdure.persistence.writer import OutOfTimeError

# Key and sub of a row; an empty key and the keys in moto, of an entry that can have none.
Place = tuple[str, Any]
# Entries that no row can express, by their keys in moto.
Rest = dict[tuple[Any, ...], Any]


# Of a collection's number: two of one store do not meet, and JSON and SQLite hold it.
NUMBER_BYTES = 6
# The value of a row of an entry that stands in the graph; ``null`` would say that it is gone.
STANDS = b"true"
# What one takes to be encoded and compared, at the least.
SUSPECT_SECONDS = 5e-6
# How many entries are looked at, or committed, before somebody looks at the clock, or waits.
SLICE = 100
# By store, what a checkpoint was published with.
Written = Mapping[StoreKey, tuple[Iterable[Collection], Iterable[Row]]]


class Unfit(Exception):  # noqa: N818 - never leaves this package
    """An entry that no row can express; it stands in the graph."""


class Suspect(NamedTuple):
    """An entry that may have changed.

    Attributes:
        keys: In moto.
        is_moved: It is new, or is again: it stands behind all that were there.
    """

    keys: tuple[Any, ...]
    is_moved: bool = False


class OnDisk(NamedTuple):
    """Where an entry's row stands, and its digest."""

    part: int
    place: int
    digest: int


class _Reading(threading.local):
    """Whether this thread runs a call that reads: what that hands out stays as it is."""

    is_on = False


class _Noted:
    """How many suspects there are."""

    count = 0


_READING = _Reading()
LIVING: WeakValueDictionary[int, Tracked] = WeakValueDictionary()


@contextmanager
def reading() -> Iterator[None]:
    """What runs in the body changes no entry."""
    before, _READING.is_on = _READING.is_on, True
    try:
        yield
    finally:
        _READING.is_on = before


def is_reading() -> bool:
    """Whether what runs in this thread changes no entry."""
    return _READING.is_on


class Tracked:
    """What is the same for all collections; a base of containers.  Needs the engine lock."""

    kind: str
    # How many entries are written before somebody looks at the clock.
    slice = SLICE
    # Whether an entry that stands in the graph has a row for its place among the others.
    keeps_places = False

    # moto's object that has this as an attribute, where it is asked for its name.
    _holder: ref[Any] | None = None
    number: int
    # The store that wrote it last: its rows are in that one's files.
    home: StoreKey | None
    source: Source | None
    # How many rows ``source`` has that are not in memory.
    unloaded: int
    size: int
    total: int
    suspects: dict[Place, Suspect]
    sealed: dict[Place, Suspect]
    pinned: dict[Place, Suspect]
    disk: dict[Place, OnDisk]
    # Of ``disk``, those whose rows say no more than where an entry of the graph stands.
    standing: set[Place]
    # What ``source`` has and the live checkpoint has no more.
    gone: set[Place]
    parts: dict[str, int]
    # Above every part and place that was ever given.
    end: int

    def begin(self) -> None:
        """Be a collection that no checkpoint knows."""
        # A child that captures may give one, too, which its parent never hears of.
        self.number = chance(NUMBER_BYTES)
        self.home, self.source = None, None
        self.unloaded = self.size = self.total = 0
        self.suspects, self.sealed, self.pinned = {}, {}, {}
        self.disk, self.standing, self.gone, self.parts = {}, set(), set(), {}
        self.end = 0
        LIVING[self.number] = self

    def bind(self, collection: Collection, home: StoreKey, source: Source | None) -> None:
        """Be a collection whose rows are on disk."""
        self.begin()
        del LIVING[self.number]
        self.number, self.home = collection.number, home
        self.source = source if collection.size else None
        self.size, self.total = collection.size, collection.total
        self.unloaded, self.end = collection.size, collection.end
        LIVING[self.number] = self

    # ------------------------------------------------------------------ tracking

    def note(self, place: Place | None, keys: tuple[Any, ...], *, is_moved: bool = False) -> None:
        """An entry was handed out, came or went.

        Args:
            place: Of its row; None = it can have none.
            keys: In moto.
            is_moved: It is new, or is again: it stands behind all others.
        """
        if not _READING.is_on:
            self.mark(place, keys, is_moved=is_moved)

    def mark(self, place: Place | None, keys: tuple[Any, ...], *, is_moved: bool = False) -> None:
        """As ``note``, of what is a change whoever does it."""
        at = place or ("", keys)
        suspects = self.suspects
        if at not in suspects:
            _Noted.count += 1
        elif not is_moved:
            return
        else:
            del suspects[at]
        suspects[at] = Suspect(keys, is_moved)

    def pin(self, place: Place | None, keys: tuple[Any, ...]) -> None:
        """An entry stands in the graph."""
        self.pinned[place or ("", keys)] = Suspect(keys)

    def found(self, row: Row) -> None:
        """A row came into memory."""
        self._know(row)
        self.unloaded -= 1
        if not self.unloaded:
            self.source, self.gone = None, set()

    def is_moved(self, at: Place) -> bool:
        """Whether an entry came, or came again, since the live checkpoint."""
        now, then = self.suspects.get(at), self.sealed.get(at)
        return (now is not None and now.is_moved) or (then is not None and then.is_moved)

    def is_new(self, row: Row) -> bool:
        """Whether a row of ``source`` was never in memory."""
        return self.is_unloaded((row.key, row.sub))

    def is_unloaded(self, at: Place) -> bool:
        """Whether a row of ``source``, by its key and sub, was never in memory."""
        return at not in self.disk and at not in self.gone

    def _know(self, row: Row) -> None:
        at = row.key, row.sub
        self.disk[at] = OnDisk(row.part, row.place, row.digest)
        if row.value == STANDS:
            self.standing.add(at)
        else:
            self.standing.discard(at)
        if self.has_part(row):
            self.parts[row.key] = row.part

    # ------------------------------------------------------------------ checkpoints

    def written(
        self, key: StoreKey, *, deadline: float | None = None
    ) -> tuple[Collection, tuple[Row, ...], Rest]:
        """What a checkpoint has to write of it; see ``policy.Outside``."""
        if self.home not in (None, key):
            self.move()
        rows: list[Row] = []
        rest: Rest = {}
        places = self.giver()
        count, total = self.size, self.total
        looked_at = {**self.pinned, **self.suspects}
        for count_seen, (at, suspect) in enumerate(looked_at.items()):
            if deadline is not None and not count_seen % self.slice and perf_counter() > deadline:
                raise OutOfTimeError
            before = self.disk.get(at)
            row = self._row(at, suspect, before, places, rest)
            digest = 0 if row is None else row.digest
            if (0 if before is None else before.digest) == digest:
                continue
            count += (row is not None) - (before is not None)
            total += digest - (0 if before is None else before.digest)
            rows.append(row or gone(self.number, *at))
        total %= 1 << SUM_BITS
        collection = Collection(self.number, self.kind, self.name, count, total, places.end)
        return collection, tuple(rows), rest

    def _row(
        self, at: Place, suspect: Suspect, before: OnDisk | None, places: Places, rest: Rest
    ) -> Row | None:
        """An entry's row as it is now; None = it has none."""
        entry = self.entry(suspect.keys)
        if entry is None:
            if suspect.is_moved and not at[1]:
                # A key's rows stand where it came, though the first of them came later.
                places.part_of(at[0])
            return None
        value = None
        if at[0]:
            with suppress(Unfit):
                value = self.encode(entry, suspect.keys)
        if value is None:
            rest[self.pinned.get(at, suspect).keys] = entry
            if not at[0] or not self.keeps_places:
                return None
            value = STANDS
        part, place = places.of(at, None if suspect.is_moved else before)
        return row_of(self.number, *at, part, place, value)

    def giver(self) -> Places:
        """What gives rows their places, for one checkpoint."""
        return Places(self)

    def seal(self) -> None:
        """Its suspects go with a checkpoint that is taken now."""
        self.sealed = {**self.sealed, **self.suspects} if self.sealed else self.suspects
        self.suspects = {}

    def commit_row(self, row: Row) -> None:
        """A checkpoint has this row."""
        if row.value is not None:
            self._know(row)
            return
        self.disk.pop((row.key, row.sub), None)
        self.standing.discard((row.key, row.sub))
        if self.source is not None:
            self.gone.add((row.key, row.sub))

    def commit(self, collection: Collection, home: StoreKey) -> None:
        """A checkpoint has what was sealed, and its rows are committed."""
        self.home, self.end = home, collection.end
        self.size, self.total = collection.size, collection.total
        # Those that were pinned keep their keys: a graph tells one text from an equal one.
        self.pinned = {
            at: Suspect(suspect.keys)
            for at, suspect in {**self.sealed, **self.pinned}.items()
            if (at not in self.disk or at in self.standing) and self.entry(suspect.keys) is not None
        }
        self.sealed = {}

    def unseal(self) -> None:
        """No checkpoint has what was sealed."""
        merged = self.sealed
        for at, suspect in self.suspects.items():
            if suspect.is_moved:
                merged.pop(at, None)
            merged.setdefault(at, suspect)
        self.suspects, self.sealed = merged, {}

    def move(self) -> None:
        """Another store carries it from now on: what it had on disk is none of that one's."""
        self.bring_all()
        del LIVING[self.number]
        entries = list(self.places())
        self.begin()
        for place, keys in entries:
            self.note(place, keys, is_moved=True)

    # ------------------------------------------------------------------ of each kind

    def in_graph(self, rest: Rest) -> tuple[dict[str, Any] | None, Iterator[Any] | None]:
        """What the graph has of it: attributes, and entries by their keys."""
        return None, iter(rest.items())

    def has_part(self, row: Row) -> bool:
        """Whether other rows of its key stand with it."""
        return bool(row.sub)

    @property
    def holder(self) -> Any | None:
        """The table, the queue: moto's object that has this; None = it is gone."""
        return None if self._holder is None else self._holder()

    @holder.setter
    def holder(self, holder: Any) -> None:
        self._holder = ref(holder)

    @property
    def name(self) -> str:
        """What people call it."""
        holder = self.holder
        return "" if holder is None else self.name_by(holder)

    def name_by(self, holder: Any) -> str:
        """What people call it, after who holds it."""
        raise NotImplementedError

    def entry(self, keys: tuple[Any, ...]) -> Any | None:
        """The entry in memory of these keys; None = there is none."""
        raise NotImplementedError

    def encode(self, entry: Any, keys: tuple[Any, ...]) -> bytes:
        """An entry as JSON; ``Unfit`` if that would not be all of it."""
        raise NotImplementedError

    def places(self) -> Iterator[tuple[Place | None, tuple[Any, ...]]]:
        """All entries in memory, in order: the place of its row, if it can have one; keys."""
        raise NotImplementedError

    def bring_all(self) -> None:
        """Let every entry be in memory, in order."""
        raise NotImplementedError


class Places:
    """Hands out places behind all others, for as long as one checkpoint is written."""

    def __init__(self, tracked: Tracked) -> None:
        self.parts: Mapping[str, int] = tracked.parts
        self.new_parts: dict[str, int] = {}
        self.end = tracked.end

    def of(self, at: Place, before: OnDisk | None) -> tuple[int, int]:
        """Part and place of an entry: what it had, or new ones."""
        if before is not None:
            return before.part, before.place
        part = self.part_of(at[0])
        self.end += 1
        return part, self.end - 1

    def part_of(self, key: str) -> int:
        """Where all rows of a key stand."""
        part = self.parts.get(key, self.new_parts.get(key))
        if part is None:
            part = self.new_parts[key] = self.end
            self.end += 1
        return part


class Numbered(Places):
    """Places that follow from keys, which are numbers."""

    def __init__(self, tracked: Tracked, end: int) -> None:
        """Begin; ``end`` is above every place that was given."""
        super().__init__(tracked)
        self.end = end

    def of(self, at: Place, before: OnDisk | None) -> tuple[int, int]:
        number = int(at[0])
        return number, number


def is_encodable(text: str) -> bool:
    """Whether a text can stand in a file: half of a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def pending() -> int:
    """How many entries the next checkpoint has to look at; asked with every call."""
    return _Noted.count


def expected() -> dict[StoreKey, float]:
    """By store, how many seconds it takes at least to look at its suspects."""
    found: dict[StoreKey, float] = {}
    for tracked in list(LIVING.values()):
        if tracked.home is not None and tracked.suspects:
            seconds = len(tracked.suspects) * SUSPECT_SECONDS
            found[tracked.home] = found.get(tracked.home, 0.0) + seconds
    return found


def seal_all() -> None:
    """A checkpoint is taken now."""
    for tracked in list(LIVING.values()):
        tracked.seal()
    _Noted.count = 0


def unseal_all() -> None:
    """It came to nothing, or this is what it did not reach."""
    for tracked in list(LIVING.values()):
        tracked.unseal()
    _Noted.count = sum(len(tracked.suspects) for tracked in list(LIVING.values()))


def commit_steps(written: Written) -> Iterator[None]:
    """It was published with these collections of these stores, and these rows of them.

    Needs the engine lock in each step, and may lose it between two: rows are committed one
    by one, and until the last step another checkpoint would only look at too much.
    """
    for key, (collections, rows) in written.items():
        for number, row in enumerate(rows, start=1):
            tracked = LIVING.get(row.collection)
            if tracked is not None:
                tracked.commit_row(row)
            if not number % SLICE:
                yield
        for collection in collections:
            tracked = LIVING.get(collection.number)
            if tracked is not None:
                tracked.commit(collection, key)
    unseal_all()


def commit_all(written: Written) -> None:
    """All steps at once."""
    for _ in commit_steps(written):
        pass


def written_of(graphs: Mapping[StoreKey, Graph]) -> dict[StoreKey, Any]:
    """What graphs say to ``commit_all``."""
    return {key: (graph.collections, graph.rows) for key, graph in graphs.items()}
