"""DynamoDB: the items of a table, as rows with their JSON.

moto keeps ``Table.items[hash key]``, an item, or ``Table.items[hash key][range key]``.  Here
the outer dict brings an item, or all items of a hash key, from the disk when it is first
asked for one.  A row is found by its keys as text, type and value (``S:user-1``), numbers in
one spelling for all that are equal; its value is the item as DynamoDB writes it:

    {"id": {"S": "user-1"}, "age": {"N": "41"}}

A hash key whose items are all gone keeps its place in moto, and so has a row, of ``{}``.
"""

from __future__ import annotations

import weakref
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from copy import deepcopy
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import orjson

from perdure.engine.collections.tracked import Place, Tracked, Unfit, is_encodable
from perdure.errors import LoadError
from perdure.persistence.entries import Collection, Row
from perdure.persistence.keys import StoreKey
from perdure.persistence.source import Source

ITEMS = "items"
# Longer numbers than DynamoDB has; what needs more digits has no row.
DIGITS = Context(prec=128)
TEXTS = frozenset({"S", "N"})
SETS = frozenset({"SS", "NS"})
FLAGS = frozenset({"BOOL", "NULL"})
EMPTY = b"{}"
_NOTHING = object()


def text_of(value: Any) -> str | None:
    """A key as text, the same for all that moto takes for equal; None = it has none."""
    kind, held = value.type, value.value
    if kind == "B" and type(held) is bytes:
        return f"B:{b64encode(held).decode()}"
    if type(held) is not str:
        return None
    if kind == "N":
        return _number(held)
    if kind not in TEXTS or not is_encodable(held):
        return None
    return f"{kind}:{held}"


def _number(text: str) -> str | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    if not found.is_finite() or len(found.as_tuple().digits) > DIGITS.prec:
        return None
    return f"N:{found.normalize(DIGITS)}" if found else "N:0"


class Partition(dict[Any, Any]):
    """The items of one hash key, by range key; all of them are in memory."""

    def __init__(self, items: Items, hash_key: Any) -> None:
        super().__init__()
        self.items_of = weakref.ref(items)
        self.hash_key = hash_key

    def _note(self, key: Any, *, is_moved: bool = False) -> None:
        items = self.items_of()
        if items is not None:
            items.note(items.place_of(self.hash_key, key), (self.hash_key, key), is_moved=is_moved)
            if not self:
                self._note_empty()

    def _note_empty(self) -> None:
        """Whether it is empty may have changed."""
        items = self.items_of()
        if items is not None:
            items.note(items.place_of(self.hash_key), (self.hash_key,))

    def _note_all(self) -> None:
        for key in dict.keys(self):
            self._note(key)

    def __getitem__(self, key: Any) -> Any:
        found = dict.__getitem__(self, key)
        self._note(key)
        return found

    def get(self, key: Any, default: Any = None) -> Any:
        found = dict.get(self, key, _NOTHING)
        if found is _NOTHING:
            return default
        self._note(key)
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        self._note(key, is_moved=not dict.__contains__(self, key))
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self, key)
        self._note(key)

    def pop(self, key: Any, *default: Any) -> Any:
        found = dict.pop(self, key, *default)
        self._note(key)
        return found

    def popitem(self) -> Any:
        found = dict.popitem(self)
        self._note(found[0])
        return found

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if not dict.__contains__(self, key):
            self[key] = default
        return self[key]

    def update(self, *others: Any, **named: Any) -> None:
        for key, value in dict(*others, **named).items():
            self[key] = value

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    def clear(self) -> None:
        self._note_all()
        dict.clear(self)
        self._note_empty()

    def values(self) -> Any:
        self._note_all()
        return dict.values(self)

    def items(self) -> Any:
        self._note_all()
        return dict.items(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deepcopy(dict(dict.items(self)), memo)


class Items(Tracked, dict[Any, Any]):
    """All items of a table."""

    kind = "dynamodb.items"

    # By hash key, until it is asked for: entries that stand in the graph, by range key.
    rest: dict[Any, dict[Any, Any]]
    # Whether what is in memory stands in the order it has.
    is_sorted: bool

    def begin(self) -> None:
        super().begin()
        self.rest, self.is_sorted = {}, True

    def bind(self, collection: Collection, home: StoreKey, source: Source | None) -> None:
        rest = list(dict.items(self))
        dict.clear(self)
        super().bind(collection, home, source)
        for keys, entry in rest:
            # It is looked at again by the next checkpoint, which else would leave it out.
            self.pin(self.place_of(*keys), keys)
            if len(keys) == 1:
                dict.__setitem__(self, keys[0], entry)
            else:
                self.rest.setdefault(keys[0], {})[keys[1]] = entry

    def __missing__(self, key: Any) -> Any:
        """As a ``defaultdict`` of dicts."""
        made = Partition(self, key)
        dict.__setitem__(self, key, made)
        self.note(self.place_of(key), (key,), is_moved=True)
        return made

    # ------------------------------------------------------------------ as a dict

    def _bring(self, key: Any) -> bool:
        """Let what stands under a key of the outer dict be in memory; whether it is there."""
        if dict.__contains__(self, key) and not (self.rest and key in self.rest):
            return True
        if not self.unloaded and not self.rest:
            return False
        text = text_of(key)
        self.is_sorted = False
        if text is not None and self.source is not None:
            self._put_all(self.source.of_key(self.number, text))
        for sub, entry in self.rest.pop(key, {}).items():
            dict.__setitem__(self._partition(key), sub, entry)
        return dict.__contains__(self, key)

    def _put_all(self, rows: list[Row]) -> None:
        # Asked of all first: what is gone is forgotten as soon as all is in memory.
        for row in [row for row in rows if self.is_new(row)]:
            self._put(row)

    def _put(self, row: Row) -> None:
        if row.value == EMPTY:
            kind, _, held = row.key.partition(":")
            self._partition(_living({kind: held}))
            self.found(row)
            return
        try:
            item = self.decode(row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LoadError(str(self.home), f"entry {row.key} {row.sub}: {error!r}") from error
        self.found(row)
        if row.sub:
            dict.__setitem__(self._partition(item.hash_key), item.range_key, item)
        else:
            dict.__setitem__(self, item.hash_key, item)

    def _partition(self, key: Any) -> Partition:
        """The items of a hash key that are brought; nothing changes by it."""
        found: Partition | None = dict.get(self, key)
        if found is None:
            found = Partition(self, key)
            dict.__setitem__(self, key, found)
        return found

    def place_of(self, hash_key: Any, range_key: Any = None) -> Place | None:
        """Where the row of an item stands; None = it can have none."""
        text = text_of(hash_key)
        sub = "" if range_key is None else text_of(range_key)
        return None if text is None or sub is None else (text, sub)

    def _note(self, key: Any, held: Any, *, is_moved: bool = False) -> None:
        if type(held) is not Partition:
            self.note(self.place_of(key), (key,), is_moved=is_moved)

    def hand_out(self, item: Any) -> None:
        """An item in memory was handed out past this container."""
        keys = (item.hash_key,) if item.range_key is None else (item.hash_key, item.range_key)
        self.note(self.place_of(*keys), keys)

    def _note_items(self, key: Any, held: Any) -> None:
        """All that stands under a key goes or comes."""
        if type(held) is not Partition:
            self._note(key, held)
            return
        held._note_all()
        held._note_empty()
        text = text_of(key)
        if text is not None:
            # What comes under this key again has a place of its own.
            self.parts.pop(text, None)

    def __getitem__(self, key: Any) -> Any:
        if not self._bring(key):
            return self.__missing__(key)
        found = dict.__getitem__(self, key)
        self._note(key, found)
        return found

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if self._bring(key) else default

    def __contains__(self, key: Any) -> bool:
        return self._bring(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        before = dict.__getitem__(self, key) if self._bring(key) else _NOTHING
        if type(before) is Partition or isinstance(value, dict):
            self._set_partition(key, value, before)
            return
        self._note(key, value, is_moved=before is _NOTHING)
        dict.__setitem__(self, key, value)

    def _set_partition(self, key: Any, value: Any, before: Any) -> None:
        if before is not _NOTHING:
            self._note_items(key, before)
        if not isinstance(value, dict):
            self._note(key, value, is_moved=True)
            dict.__setitem__(self, key, value)
            return
        self.__missing__(key).update(value)

    def __delitem__(self, key: Any) -> None:
        if not self._bring(key):
            raise KeyError(key)
        held = dict.__getitem__(self, key)
        self._note_items(key, held)
        dict.__delitem__(self, key)

    def pop(self, key: Any, *default: Any) -> Any:
        if not self._bring(key):
            return dict.pop(self, key, *default)
        self._note_items(key, dict.__getitem__(self, key))
        return dict.pop(self, key)

    def popitem(self) -> Any:
        self.bring_all()
        key, held = dict.popitem(self)
        self._note_items(key, held)
        return key, held

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if not self._bring(key):
            self[key] = default
        return self[key]

    def update(self, *others: Any, **named: Any) -> None:
        for key, value in dict(*others, **named).items():
            self[key] = value

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    def clear(self) -> None:
        self.bring_all()
        for key, held in dict.items(self):
            self._note_items(key, held)
        dict.clear(self)

    def __iter__(self) -> Iterator[Any]:
        self.bring_all()
        return dict.__iter__(self)

    def __reversed__(self) -> Iterator[Any]:
        self.bring_all()
        return dict.__reversed__(self)

    def __len__(self) -> int:
        self.bring_all()
        return dict.__len__(self)

    def keys(self) -> Any:
        self.bring_all()
        return dict.keys(self)

    def values(self) -> Any:
        self._note_values()
        return dict.values(self)

    def items(self) -> Any:
        self._note_values()
        return dict.items(self)

    def _note_values(self) -> None:
        self.bring_all()
        for key, held in dict.items(self):
            self._note(key, held)

    def copy(self) -> Any:
        return self.plain()

    def __eq__(self, other: object) -> bool:
        self.bring_all()
        return dict.__eq__(self, other)

    __hash__ = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = Items()
        made.begin()
        memo[id(self)] = made
        self.bring_all()
        for key, held in dict.items(self):
            made[deepcopy(key, memo)] = deepcopy(held, memo)
        return made

    # ------------------------------------------------------------------ as a collection

    def name_by(self, holder: Any) -> str:
        return str(holder.name)

    @property
    def entries(self) -> int:
        """How many items there are, in memory or not."""
        held = dict.values(self)
        rest = sum(map(len, self.rest.values()))
        loaded = sum(len(h) if type(h) is Partition else 1 for h in held)
        return self.unloaded - self._unloaded_empty() + rest + loaded

    def _unloaded_empty(self) -> int:
        """How many rows on disk are no items, but hash keys without any."""
        if self.source is None:
            return 0
        return sum(map(self.is_new, self.source.of_value(self.number, EMPTY)))

    def entry(self, keys: tuple[Any, ...]) -> Any | None:
        if self.rest and keys[0] in self.rest:
            return self.rest[keys[0]].get(keys[-1])
        held = dict.get(self, keys[0])
        if type(held) is Partition and len(keys) == 1:
            return None if held else held
        if (type(held) is Partition) != (len(keys) > 1):
            return None
        if held is None or len(keys) == 1:
            return held
        return dict.get(held, keys[1])

    def has_part(self, row: Row) -> bool:
        return bool(row.sub) or row.value == EMPTY

    def places(self) -> Iterator[tuple[Place | None, tuple[Any, ...]]]:
        for key, held in dict.items(self):
            if type(held) is not Partition:
                yield self.place_of(key), (key,)
                continue
            for sub in dict.keys(held):
                yield self.place_of(key, sub), (key, sub)

    def plain(self) -> Any:
        self.bring_all()
        made: defaultdict[Any, Any] = defaultdict(dict)
        for key, held in dict.items(self):
            made[key] = dict(dict.items(held)) if type(held) is Partition else held
        return made

    def bring_all(self) -> None:
        if not self.unloaded and not self.rest and self.is_sorted:
            return
        was_there = list(dict.keys(self))
        if self.source is not None:
            self._put_all(self.source.of_collection(self.number))
        for key in list(self.rest):
            self._bring(key)
        self._sort(was_there)

    def _sort(self, was_there: list[Any]) -> None:
        """Let all stand as on disk, and what has no place there behind.

        Args:
            was_there: The keys that were in memory before the others came.
        """
        numbers = {key: number for number, key in enumerate(was_there)}
        held = list(dict.items(self))
        held.sort(key=lambda pair: self._order(pair[0], numbers))
        dict.clear(self)
        dict.update(self, held)
        self.is_sorted = True

    def _order(self, key: Any, numbers: dict[Any, int]) -> tuple[int, int]:
        at = self.place_of(key)
        if at is not None:
            known = self.disk.get(at)
            part = self.parts.get(at[0]) if known is None else known.part
            if part is not None and not self.is_moved(at):
                return 0, part
        return 1, numbers.get(key, -1)

    def encode(self, entry: Any, keys: tuple[Any, ...]) -> bytes:
        table = self.holder
        if type(entry) is Partition:
            return EMPTY
        if table is None or len(vars(entry)) != 3:  # noqa: PLR2004 - its keys, and attributes
            raise Unfit
        names = (table.hash_key_attr, table.range_key_attr)[: len(keys)]
        for name, key in zip(names, (entry.hash_key, entry.range_key), strict=False):
            same = entry.attrs.get(name)
            if same is None or (same.type, same.value) != (key.type, key.value):
                raise Unfit
        if len(keys) == 1 and entry.range_key is not None:
            raise Unfit
        try:
            return orjson.dumps({n: _plain(value) for n, value in dict.items(entry.attrs)})
        except (TypeError, AttributeError) as error:
            raise Unfit from error

    def decode(self, row: Row) -> Any:
        """An item of its row."""
        from moto.dynamodb.models.dynamo_type import Item, LimitedSizeDict

        table = self.holder
        assert table is not None
        assert row.value is not None
        attributes = LimitedSizeDict()
        for name, value in orjson.loads(row.value).items():
            dict.__setitem__(attributes, name, _living(value))
        item = object.__new__(Item)
        item.hash_key = _copy(attributes[table.hash_key_attr])
        item.range_key = _copy(attributes[table.range_key_attr]) if row.sub else None
        item.attrs = attributes
        return item


def _plain(value: Any) -> dict[str, Any]:
    """A value as DynamoDB writes it; ``Unfit`` if that would not be all of it."""
    kind, held = value.type, value.value
    if len(vars(value)) != 2:  # noqa: PLR2004 - type and value
        raise Unfit
    of_type = type(held)
    if kind in TEXTS and of_type is str:
        return {kind: held}
    if kind == "M" and of_type is dict:
        return {kind: {name: _plain(inner) for name, inner in held.items()}}
    if kind == "L" and of_type is list:
        return {kind: [_plain(inner) for inner in held]}
    if kind in FLAGS and of_type is bool:
        return {kind: held}
    if kind in SETS and of_type is list and all(type(each) is str for each in held):
        return {kind: held}
    if kind == "B" and of_type is bytes:
        return {kind: b64encode(held).decode()}
    if kind == "BS" and of_type is list and all(type(each) is bytes for each in held):
        return {kind: [b64encode(each).decode() for each in held]}
    raise Unfit


def _living(plain: dict[str, Any]) -> Any:
    """The value that was written so."""
    from moto.dynamodb.models.dynamo_type import DynamoType

    ((kind, held),) = plain.items()
    made = object.__new__(DynamoType)
    made.type = kind
    if kind == "M":
        held = {name: _living(inner) for name, inner in held.items()}
    elif kind == "L":
        held = [_living(inner) for inner in held]
    elif kind == "B":
        held = b64decode(held, validate=True)
    elif kind == "BS":
        held = [b64decode(each, validate=True) for each in held]
    made.value = held
    return made


def _copy(value: Any) -> Any:
    made = object.__new__(type(value))
    made.type, made.value = value.type, value.value
    return made


def adopt(table: Any) -> None:
    """Let a table's items be a collection."""
    held = table.__dict__.get(ITEMS)
    if type(held) is defaultdict:
        held = table.__dict__[ITEMS] = _of(held)
    if type(held) is Items:
        held.holder = table


def _of(plain: Iterable[Any]) -> Items:
    made = Items()
    made.begin()
    made.update(plain)
    return made
