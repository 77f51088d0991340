"""Kinesis: the records of a shard, as rows with their JSON.

moto keeps ``Shard.records[sequence number]``, and only ever appends.  A row is found by the
number as text of one length; its value is the record as a person reads it:

    {"partition_key": "user-1", "data": "hello", "created_at": "2026-01-01T12:00:00.000001"}

Data that is no text stands there as moto has it, under ``base64``.  To put a record brings
none; one is brought when it is asked for by its number, all are for whoever walks them.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from typing import Any

import orjson

from perdure.engine.collections.tracked import Numbered, Place, Places, Tracked, Unfit, is_encodable
from perdure.errors import LoadError
from perdure.persistence.entries import NUMBER_MAX, Collection, Row
from perdure.persistence.keys import StoreKey
from perdure.persistence.source import Source

RECORDS = "records"
WIDTH = 16
# In the order in which ``Record.__init__`` sets them.
NAMES = [
    "partition_key",
    "data",
    "sequence_number",
    "explicit_hash_key",
    "created_at_datetime",
    "created_at",
]
_NOTHING = object()


class Records(Tracked, OrderedDict[int, Any]):
    """All records of a shard, by sequence number; in the order of these."""

    kind = "kinesis.records"

    # What people call the shard's stream.
    stream = ""
    # Whether what is in memory stands in order.
    is_sorted: bool

    def begin(self) -> None:
        super().begin()
        self.is_sorted = True

    def bind(self, collection: Collection, home: StoreKey, source: Source | None) -> None:
        rest: list[Any] = list(OrderedDict.items(self))
        OrderedDict.clear(self)
        super().bind(collection, home, source)
        for keys, record in rest:
            (number,) = keys
            OrderedDict.__setitem__(self, int(number), record)
            # It is looked at again by the next checkpoint, which else would leave it out.
            self.pin(place_of(number), (number,))
        self.is_sorted = list(self.memory()) == sorted(self.memory())

    # ------------------------------------------------------------------ from the disk

    def last(self) -> int:
        """The last number; 0 = there is none."""
        return max(self._last_in_memory(), self.end - 1 if self.unloaded else 0)

    def _last_in_memory(self) -> int:
        if self.is_sorted:
            return next(OrderedDict.__reversed__(self), 0)
        return max(self.memory(), default=0)

    def first(self) -> int:
        """The first number; 0 = there is none."""
        in_memory = next(self.memory(), 0) if self.is_sorted else min(self.memory(), default=0)
        if not self.unloaded or self.source is None:
            return in_memory
        # It may be in memory as well; none before it is.
        (row,) = self.source.following(self.number, "", 1)
        return min(in_memory or int(row.key), int(row.key))

    def memory(self) -> Iterator[int]:
        """The numbers of those in memory, in no order."""
        return OrderedDict.__iter__(self)

    def _new(self, rows: list[Row]) -> list[Row]:
        # Asked of all first: what is gone is forgotten as soon as all is in memory.
        return [row for row in rows if self.is_new(row)]

    def _bring(self, number: Any) -> bool:
        """Let a record be in memory; whether there is one of that number."""
        if OrderedDict.__contains__(self, number):
            return True
        at = place_of(number)
        if not self.unloaded or self.source is None or at is None:
            return False
        row = self.source.get(self.number, *at)
        if row is None or not self.is_new(row):
            return False
        self._put(row)
        return True

    def _put(self, row: Row) -> None:
        assert row.value is not None
        try:
            number = int(row.key)
            record = living(number, orjson.loads(row.value))
        except (ValueError, TypeError, KeyError) as error:
            raise LoadError(str(self.home), f"entry {row.key}: {error!r}") from error
        self.is_sorted = self.is_sorted and number > self._last_in_memory()
        OrderedDict.__setitem__(self, number, record)
        self.found(row)

    def bring_all(self) -> None:
        if self.unloaded and self.source is not None:
            for row in self._new(self.source.of_collection(self.number)):
                self._put(row)
        if not self.is_sorted:
            held = sorted(OrderedDict.items(self), key=lambda pair: pair[0])
            OrderedDict.clear(self)
            for number, record in held:
                OrderedDict.__setitem__(self, number, record)
            self.is_sorted = True

    # ------------------------------------------------------------------ as a dict

    def _note(self, number: Any, *, is_moved: bool = False) -> None:
        self.note(place_of(number), (number,), is_moved=is_moved)

    def __len__(self) -> int:
        return OrderedDict.__len__(self) + self.unloaded

    def __bool__(self) -> bool:
        return bool(self.unloaded or OrderedDict.__len__(self))

    def __contains__(self, number: Any) -> bool:
        return self._bring(number)

    def __getitem__(self, number: Any) -> Any:
        self._bring(number)
        found = OrderedDict.__getitem__(self, number)
        self._note(number)
        return found

    def get(self, number: Any, default: Any = None) -> Any:
        return self[number] if self._bring(number) else default

    def __setitem__(self, number: Any, record: Any) -> None:
        if type(number) is not int:
            raise TypeError(f"{number!r} is no sequence number")
        is_last = number > self.last()
        if not is_last and not self._bring(number):
            self.is_sorted = False
        self._note(number, is_moved=is_last)
        OrderedDict.__setitem__(self, number, record)

    def __delitem__(self, number: Any) -> None:
        self.bring_all()
        OrderedDict.__delitem__(self, number)
        self._note(number)

    def pop(self, number: Any, *default: Any) -> Any:
        self.bring_all()
        found = OrderedDict.pop(self, number, *default)
        self._note(number)
        return found

    def popitem(self, last: bool = True) -> Any:  # noqa: FBT001, FBT002 - as a dict has it
        self.bring_all()
        number = next(iter(self.memory()) if not last else OrderedDict.__reversed__(self))
        return number, self.pop(number)

    def clear(self) -> None:
        self.bring_all()
        for number in list(self.memory()):
            self._note(number)
        OrderedDict.clear(self)

    def setdefault(self, number: Any, default: Any = None) -> Any:
        if not self._bring(number):
            self[number] = default
        return self[number]

    def update(self, *others: Any, **named: Any) -> None:
        for number, record in dict(*others, **named).items():
            self[number] = record

    def move_to_end(self, key: int, last: bool = True) -> None:  # noqa: FBT001, FBT002
        raise ValueError(f"record {key} is moved: its number says where it stands")

    def __iter__(self) -> Iterator[int]:
        self.bring_all()
        return OrderedDict.__iter__(self)

    def __reversed__(self) -> Iterator[int]:
        self.bring_all()
        return OrderedDict.__reversed__(self)

    def keys(self) -> Any:
        self.bring_all()
        return OrderedDict.keys(self)

    def values(self) -> Any:
        self._note_all()
        return OrderedDict.values(self)

    def items(self) -> Any:
        self._note_all()
        return OrderedDict.items(self)

    def _note_all(self) -> None:
        self.bring_all()
        for number in self.memory():
            self._note(number)

    def copy(self) -> Any:
        return self.plain()

    def __eq__(self, other: object) -> bool:
        return bool(self.plain() == other)

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deepcopy(self.plain(), memo)

    def __reduce__(self) -> Any:
        return OrderedDict, (list(self.plain().items()),)

    # ------------------------------------------------------------------ as a collection

    def name_by(self, holder: Any) -> str:
        return f"{self.stream} {holder.shard_id}"

    def plain(self) -> Any:
        self.bring_all()
        made: OrderedDict[int, Any] = OrderedDict()
        for number in self.memory():
            made[number] = OrderedDict.__getitem__(self, number)
        return made

    def giver(self) -> Places:
        return Numbered(self, self.last() + 1)

    def entry(self, keys: tuple[Any, ...]) -> Any | None:
        found = OrderedDict.__contains__(self, keys[0])
        return OrderedDict.__getitem__(self, keys[0]) if found else None

    def places(self) -> Iterator[tuple[Place | None, tuple[Any, ...]]]:
        for number in sorted(self.memory()):
            yield place_of(number), (number,)

    def encode(self, entry: Any, keys: tuple[Any, ...]) -> bytes:
        return orjson.dumps(plain(entry, keys[0]))


def place_of(number: Any) -> Place | None:
    """Where the row of a record stands; None = it can have none."""
    if type(number) is not int or not 0 < number < NUMBER_MAX:
        return None
    return f"{number:0{WIDTH}d}", ""


def plain(record: Any, number: int) -> dict[str, Any]:
    """A record as a person reads it; ``Unfit`` if that would not be all of it."""
    attributes = record.__dict__
    if list(attributes) != NAMES or attributes["sequence_number"] != number:
        raise Unfit
    key, data, moment = record.partition_key, record.data, record.created_at_datetime
    texts = key, data, record.explicit_hash_key or ""
    if not all(type(text) is str and is_encodable(text) for text in texts):
        raise Unfit
    if type(moment) is not datetime or moment.tzinfo is not None or moment.fold:
        raise Unfit
    if record.created_at != _seconds(moment) or type(record.sequence_number) is not int:
        raise Unfit
    text = _as_text(data)
    found = {"partition_key": key, **({"base64": data} if text is None else {"data": text})}
    found["created_at"] = moment.isoformat(timespec="microseconds")
    if record.explicit_hash_key is not None:
        found["explicit_hash_key"] = record.explicit_hash_key
    return found


def _as_text(data: str) -> str | None:
    """What is encoded, if it is text and no other base64 says the same."""
    try:
        text = b64decode(data, validate=True).decode()
    except ValueError:
        return None
    return text if b64encode(text.encode()).decode() == data else None


def _seconds(moment: datetime) -> float:
    from moto.core.utils import unix_time

    return float(unix_time(moment))


def living(number: int, found: Any) -> Any:
    """The record that was written so.

    Raises:
        KeyError: No record is.
        TypeError: The same.
        ValueError: The same.
    """
    from moto.kinesis.models import Record

    moment = datetime.fromisoformat(found["created_at"])
    data = found["base64"] if "base64" in found else b64encode(found["data"].encode()).decode()
    made = object.__new__(Record)
    made.__dict__.update(
        zip(
            NAMES,
            (
                found["partition_key"],
                data,
                number,
                found.get("explicit_hash_key"),
                moment,
                _seconds(moment),
            ),
            strict=True,
        )
    )
    return made


def adopt(shard: Any) -> None:
    """Let a shard's records be a collection, if they are what moto makes."""
    held = shard.__dict__.get(RECORDS)
    if type(held) is OrderedDict and list(held) == sorted(n for n in held if type(n) is int):
        made = Records()
        made.begin()
        made.update(held)
        held = shard.__dict__[RECORDS] = made
    if type(held) is Records:
        held.holder = shard


def recorded_stream(stream: Any) -> dict[str, Any]:
    """The attributes of a stream that are state; its shards' records are called by it."""
    for shard in stream.shards.values():
        held = shard.__dict__.get(RECORDS)
        if type(held) is Records:
            held.stream = stream.stream_name
    attributes: dict[str, Any] = stream.__dict__
    return attributes
