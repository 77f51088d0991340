"""Lists of moto that grow without bound: events of logs, datapoints, changes of tables.

moto walks through such a list as a whole, so by entry there is nothing to bring.  Here a row
is a *block* of entries that follow each other: to append brings the last one, if it has
room; any other access brings all.  A checkpoint writes the blocks that changed.

    key, part and place: the block's number
    value: the list of its entries, as ``forms`` writes them

``Collection.end`` is the number of entries.  A short list stands in the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any, SupportsIndex

from perdure.engine.collections.forms import Forms
from perdure.engine.collections.tracked import (
    Numbered,
    Place,
    Places,
    Rest,
    Tracked,
    is_reading,
)
from perdure.errors import LoadError
from perdure.persistence.entries import Collection, Row
from perdure.persistence.heap import no_collections
from perdure.persistence.keys import StoreKey
from perdure.persistence.source import Source

# Entries of a block: for a checkpoint some milliseconds and KB, or, where an entry is a large
# item and what it was before, up to half a second and 60 MB.
BLOCK = 100
WIDTH = 8


class Sequence(Tracked, list[Any]):
    """A list; in memory are the entries from ``first`` on."""

    # A block takes as long as hundreds of entries of other collections, or longer.
    slice = 1

    forms: Forms
    # Of all entries, the first one in memory.
    first: int
    # Blocks that stood in the graph, until they are brought.
    rest: dict[int, list[Any]]

    def begin(self) -> None:
        super().begin()
        self.first, self.rest = 0, {}

    def bind(self, collection: Collection, home: StoreKey, source: Source | None) -> None:
        rest = self.__dict__.get("rest", {})
        super().bind(collection, home, source)
        self.first = collection.end
        for (number,), entries in rest.items():
            self.rest[int(number)] = entries
            # It is looked at again by the next checkpoint, which else would leave it out.
            self.pin(place_of(number), (number,))

    def in_graph(self, rest: Rest) -> tuple[dict[str, Any] | None, None]:
        return ({"rest": rest} if rest else None), None

    # ------------------------------------------------------------------ from the disk

    def bring_all(self) -> None:
        if self.first:
            self._bring_blocks()

    # It makes tens of thousands of objects, none of which is garbage.
    @no_collections()
    def _bring_blocks(self) -> None:
        blocks = dict(self.rest)
        if self.source is not None:
            rows = self.source.of_collection(self.number)
            # Asked of all first: what is gone is forgotten as soon as all is in memory.
            for row in [row for row in rows if self.is_new(row)]:
                blocks[int(row.key)] = self._entries(row)
        before = [entry for number in sorted(blocks) for entry in blocks[number]]
        if len(before) != self.first:
            raise self._missing(f"{self.first - len(before)} of {self.first} entries")
        list.__setitem__(self, slice(0, 0), before)
        self.first, self.rest = 0, {}

    def _bring_last(self) -> None:
        """Let the block in memory that the next entry comes into."""
        number, count = divmod(self.first, BLOCK)
        if list.__len__(self) or not count:
            return
        entries = self.rest.pop(number, None)
        if entries is None:
            at = place_of(number)
            row = None if self.source is None else self.source.get(self.number, *at)
            if row is None:
                raise self._missing(f"block {number}")
            entries = self._entries(row)
        if len(entries) != count:
            raise self._missing(f"{count - len(entries)} entries of block {number}")
        list.extend(self, entries)
        self.first -= count

    def _entries(self, row: Row) -> list[Any]:
        entries = self.forms.load(row, str(self.home))
        self.found(row)
        return entries

    def _missing(self, what: str) -> LoadError:
        return LoadError(str(self.home), f"{what} of {self.name} are missing")

    # ------------------------------------------------------------------ as a list

    def append(self, entry: Any) -> None:
        self.extend((entry,))

    def extend(self, entries: Iterable[Any]) -> None:
        self._bring_last()
        before = len(self)
        list.extend(self, entries)
        self._note_from(before)

    def __iadd__(self, entries: Iterable[Any]) -> Any:  # type: ignore[misc]
        self.extend(entries)
        return self

    def __len__(self) -> int:
        return self.first + list.__len__(self)

    def _note(self, number: int) -> None:
        self.note(place_of(number), (number,))

    def _note_from(self, place: int) -> None:
        """All entries from a place on were handed out, came or went."""
        self._note_all(range(place, len(self)))

    def _note_all(self, places: range) -> None:
        if is_reading() or not places:
            return  # no entry changes, and there may be many blocks
        for number in range(min(places) // BLOCK, max(places) // BLOCK + 1):
            self._note(number)

    def _handed_out(self) -> Sequence:
        """All of it, for whoever may change an entry."""
        self.bring_all()
        self._note_from(0)
        return self

    def __delitem__(self, place: Any) -> None:
        if self._is_tail(place):
            before = len(self)
            list.__delitem__(self, slice(place.start - self.first, None))
            self._note_all(range(place.start, before))
        else:
            _delete(self, place)

    def _is_tail(self, place: Any) -> bool:
        """Whether these are the last entries, all of them in memory."""
        return (
            type(place) is slice
            and (place.stop, place.step) == (None, None)
            and type(place.start) is int
            and place.start >= self.first
        )

    def __iter__(self) -> Iterator[Any]:
        return list.__iter__(self._handed_out())

    def __reversed__(self) -> Iterator[Any]:
        return list.__reversed__(self._handed_out())

    def __getitem__(self, place: Any) -> Any:
        self.bring_all()
        if type(place) is slice:
            self._note_all(range(len(self))[place])
        elif type(place) is not int:
            self._note_from(0)
        elif -len(self) <= place < len(self):
            self._note(place % len(self) // BLOCK)
        return list.__getitem__(self, place)

    def __contains__(self, entry: object) -> bool:
        return list.__contains__(self._handed_out(), entry)

    def index(self, entry: Any, *within: Any) -> int:
        return list.index(self._handed_out(), entry, *within)

    def count(self, entry: Any) -> int:
        return list.count(self._handed_out(), entry)

    def copy(self) -> list[Any]:
        return list(self)

    def __add__(self, other: Any) -> Any:
        return list(self) + other

    def __radd__(self, other: Any) -> Any:
        return other + list(self)

    def __mul__(self, times: SupportsIndex) -> list[Any]:
        return list(self) * times

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        self.bring_all()
        return list.__eq__(self, list(other) if isinstance(other, Sequence) else other)

    __hash__ = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deepcopy(self.plain(), memo)

    def __reduce_ex__(self, _: SupportsIndex) -> Any:
        return list, (list(self.plain()),)

    # ------------------------------------------------------------------ as a collection

    def plain(self) -> Any:
        self.bring_all()
        return [*list.__iter__(self)]

    def giver(self) -> Places:
        return Numbered(self, len(self))

    def entry(self, keys: tuple[Any, ...]) -> Any | None:
        (number,) = keys
        if number in self.rest:
            return self.rest[number]
        begin = number * BLOCK - self.first
        found = list.__getitem__(self, slice(begin, begin + BLOCK)) if begin >= 0 else []
        return found or None

    def places(self) -> Iterator[tuple[Place | None, tuple[Any, ...]]]:
        for number in range(blocks_of(len(self))):
            yield place_of(number), (number,)

    def encode(self, entry: Any, keys: tuple[Any, ...]) -> bytes:
        return self.forms.encode(entry)

    def adopt(self, held: list[Any]) -> None:
        """Have what a list of moto has, as what no checkpoint knows."""
        self.begin()
        list.extend(self, held)
        for number in range(blocks_of(len(held))):
            self.mark(place_of(number), (number,))


def _changing(name: str) -> Any:
    """A method of lists that may move every entry."""
    of_list = getattr(list, name)

    def method(self: Sequence, *arguments: Any, **named: Any) -> Any:
        self.bring_all()
        before = len(self)
        try:
            return of_list(self, *arguments, **named)
        finally:
            for number in range(blocks_of(max(before, len(self)))):
                self._note(number)

    method.__name__ = name
    return method


for _name in (
    *("insert", "pop", "remove", "clear", "sort", "reverse"),
    *("__setitem__", "__imul__"),
):
    setattr(Sequence, _name, _changing(_name))
_delete = _changing("__delitem__")


def blocks_of(count: int) -> int:
    """How many blocks so many entries take."""
    return -(-count // BLOCK)


def place_of(number: int) -> Place:
    """Where the row of a block stands."""
    return f"{number:0{WIDTH}d}", ""
