"""SQS: the messages of a queue, as rows with their JSON.

moto keeps a list.  Here the messages stand by *place*, a number that grows along the list,
and come from the disk in blocks, from the front: a receive takes what has waited longest.
A row is found by its place as text of one length, so rows in order of keys are messages in
order; its value is what makes the message differ from one that was just made:

    {"id": "…", "body": "hello", "sent_timestamp": 1790000000000}

Only a message that nobody ever received or delayed has a row.  So all that are on disk
alone can be received at any time, by no receipt handle, and are in no other container.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from math import isfinite
from typing import Any

import orjson

from perdure.engine.collections.tracked import Numbered, Place, Places, Tracked, Unfit, is_encodable
from perdure.errors import LoadError
from perdure.persistence.entries import Collection, Row
from perdure.persistence.keys import StoreKey
from perdure.persistence.source import Source

MESSAGES = "_messages"
# How many come from the disk at once: some milliseconds, for the first of many receives.
BLOCK = 500
WIDTH = 12
# A message as ``Message.__init__`` leaves it, in its order, but for what each has its own.
FRESH: dict[str, Any] = {
    "id": None,
    "body": None,
    "message_attributes": {},
    "receipt_handle": None,
    "_old_receipt_handles": [],
    "sender_id": "AIDAIT2UOQQY3AUEKVGXU",
    "sent_timestamp": None,
    "approximate_first_receive_timestamp": None,
    "approximate_receive_count": 0,
    "deduplication_id": None,
    "group_id": None,
    "sequence_number": None,
    "visible_at": 0.0,
    "delayed_until": 0.0,
    "system_attributes": {},
}
NAMES = list(FRESH)
# What moto sets besides, on those that came in a batch.
MORE = ("user_id",)
# Who has one of these otherwise was received, or waits to show.
WAITS = (
    "receipt_handle",
    "_old_receipt_handles",
    "approximate_first_receive_timestamp",
    "approximate_receive_count",
    "visible_at",
    "delayed_until",
)
_FRESH_WAITS = [FRESH[name] for name in WAITS]
_FRESH_TYPES = [type(FRESH[name]) for name in WAITS]


class Messages(Tracked, dict[int, Any]):
    """All messages of a queue, by place; in no order once some came from the disk."""

    kind = "sqs.messages"

    next_place: int
    # Places of messages that came from the disk, for an index over those in memory.
    brought: list[int]
    # The key of the last row that was brought.
    _after: str
    # The place of the first message on disk alone; None = not asked for yet.
    _head: int | None

    def begin(self) -> None:
        super().begin()
        self.next_place, self.brought, self._after, self._head = 0, [], "", None

    def bind(self, collection: Collection, home: StoreKey, source: Source | None) -> None:
        rest: list[Any] = list(dict.items(self))
        dict.clear(self)
        super().bind(collection, home, source)
        self.next_place = collection.end
        for keys, message in rest:
            (place,) = keys
            dict.__setitem__(self, int(place), message)
            # It is looked at again by the next checkpoint, which else would leave it out.
            self.pin(place_of(place), (place,))

    # ------------------------------------------------------------------ changes

    def append(self, message: Any) -> int:
        """Put a message behind all others; its place."""
        place, self.next_place = self.next_place, self.next_place + 1
        self[place] = message
        self.mark(place_of(place), (place,), is_moved=True)
        return place

    def touch(self, place: int) -> None:
        """A message changes, or goes."""
        self.mark(place_of(place), (place,))

    # ------------------------------------------------------------------ from the disk

    @property
    def head(self) -> int | None:
        """The place of the first message that is on disk alone; None = there is none."""
        if not self.unloaded:
            return None
        if self._head is None:
            assert self.source is not None
            (row,) = self.source.following(self.number, self._after, 1) or self._missing()
            self._head = int(row.key)
        return self._head

    def bring(self, limit: int | None = None) -> None:
        """Let the first messages that are on disk alone be in memory.

        Args:
            limit: How many at most; None = a block.
        """
        assert self.source is not None
        rows = self.source.following(self.number, self._after, limit or BLOCK)
        rows = rows or self._missing()
        # Asked of all first: what is gone is forgotten as soon as all is in memory.
        new = [row for row in rows if self.is_new(row)]
        for row in new:
            dict.__setitem__(self, int(row.key), self._decode(row))
            self.found(row)
        self.brought.extend(int(row.key) for row in new)
        self._after, self._head = rows[-1].key, None

    def bring_all(self) -> None:
        while self.unloaded:
            self.bring(self.unloaded)

    def _missing(self) -> list[Row]:
        raise LoadError(str(self.home), f"{self.unloaded} messages of {self.name} are missing")

    def _decode(self, row: Row) -> Any:
        assert row.value is not None
        try:
            return living(orjson.loads(row.value))
        except (ValueError, TypeError) as error:
            raise LoadError(str(self.home), f"entry {row.key}: {error!r}") from error

    # ------------------------------------------------------------------ as a collection

    def name_by(self, holder: Any) -> str:
        return str(holder.name)

    def in_order(self) -> list[Any]:
        """All messages, as moto's list has them."""
        self.bring_all()
        return [self[place] for place in sorted(self)]

    def plain(self) -> Any:
        return self.in_order()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deepcopy(self.in_order(), memo)

    __hash__ = None

    def giver(self) -> Places:
        # A place that was given is given to no other, also not by the next process.
        return Numbered(self, self.next_place)

    def entry(self, keys: tuple[Any, ...]) -> Any | None:
        return dict.get(self, keys[0])

    def places(self) -> Iterator[tuple[Place | None, tuple[Any, ...]]]:
        for place in sorted(self):
            yield place_of(place), (place,)

    def encode(self, entry: Any, keys: tuple[Any, ...]) -> bytes:
        queue = self.holder
        if queue is None or entry in queue.__dict__["_pending_messages"]:
            raise Unfit
        return orjson.dumps(plain(entry))


def place_of(place: int) -> Place:
    """Where the row of a message stands."""
    return f"{place:0{WIDTH}d}", ""


def plain(message: Any) -> dict[str, Any]:
    """What makes a message differ from a fresh one; ``Unfit`` if a row cannot say all of it."""
    attributes = message.__dict__
    names = list(attributes)
    if names[: len(NAMES)] != NAMES or tuple(names[len(NAMES) :]) not in ((), MORE):
        raise Unfit
    waits = [attributes[name] for name in WAITS]
    if waits != _FRESH_WAITS or list(map(type, waits)) != _FRESH_TYPES:
        raise Unfit
    found = {}
    for name, value in attributes.items():
        if not _is_plain(value):
            raise Unfit
        fresh = FRESH.get(name)
        if value != fresh or type(value) is not type(fresh) or name in MORE:
            found[name] = value
    return found


def _is_plain(value: object) -> bool:
    """Whether JSON has a value and no other for it."""
    # By type: a subclass would come back as what it derives from.
    if type(value) is str:
        return is_encodable(value)
    if type(value) is int:
        return -(1 << 53) < value < 1 << 53
    if type(value) is float:
        return isfinite(value)
    if type(value) is dict:
        return all(type(key) is str and _is_plain(key) for key in value) and all(
            map(_is_plain, value.values())
        )
    if type(value) is list:
        return all(map(_is_plain, value))
    return value is None or type(value) is bool


def living(found: Any) -> Any:
    """The message that was written so.

    Raises:
        ValueError: No message is.
    """
    from moto.sqs.models import Message

    if type(found) is not dict or not found.keys() <= {*NAMES, *MORE}:
        raise ValueError("what no message has")
    made = object.__new__(Message)
    attributes = made.__dict__
    for name, value in FRESH.items():
        attributes[name] = found[name] if name in found else _fresh(value)
    attributes |= {name: found[name] for name in MORE if name in found}
    return made


def _fresh(value: Any) -> Any:
    return type(value)() if type(value) in (dict, list) else value


def adopt(queue: Any) -> None:
    """Let a queue's messages be a collection, if they are a list."""
    held = queue.__dict__.get(MESSAGES)
    if type(held) is list:
        made = Messages()
        made.begin()
        for message in held:
            made.append(message)
        held = queue.__dict__[MESSAGES] = made
    if type(held) is Messages:
        held.holder = queue


def open_list(queue: Any) -> None:
    """Let a queue's messages be moto's list again: somebody will have it, and may change it."""
    held = queue.__dict__.get(MESSAGES)
    if type(held) is Messages:
        queue.__dict__[MESSAGES] = held.in_order()
