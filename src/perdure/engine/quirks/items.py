"""What is known of a DynamoDB table's items: by key, in order, by attribute, by index.

It is made of ``Table.items``, and told of each item that comes, changes or goes; see
``tables``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from perdure.engine.quirks.ordered import Ordered

ITEMS = "items"
# Their values have an order and a hash; no other can be a key.
SCALARS = frozenset({"S", "N", "B"})
TEXTS = frozenset({"S", "B"})
# What it raises to cast what is no value of its type, or to compare two that do not go together.
NO_VALUE = (TypeError, ValueError, ArithmeticError)
Key = tuple[Any, Any]


class Known:
    """What is known of a table's items."""

    def __init__(self, table: Any) -> None:
        self.by_key: dict[Key, Any] = {key_of(item): item for item in unordered(table)}
        self.order = Ordered(lambda: self.by_key)
        self.by_attribute: dict[str, _ByAttribute] = {}
        self.by_index: dict[tuple[str, ...], _ByIndex] = {}

    def _views(self) -> Iterator[_ByAttribute | _ByIndex]:
        yield from self.by_attribute.values()
        yield from self.by_index.values()

    def put(self, item: Any) -> None:
        """An item is new, or takes another's place, or has changed."""
        key = key_of(item)
        if key not in self.by_key:
            self.order.came(key)
        self.by_key[key] = item
        for view in self._views():
            view.file(key, item)

    def drop(self, key: Key) -> None:
        """An item is gone."""
        self.by_key.pop(key, None)
        self.order.went(key)
        for view in self._views():
            view.take_out(key)

    def behind(self, start: Key | None) -> Iterator[Any]:
        """The items behind that key, or all, in order.

        Raises:
            TypeError: Keys cannot be compared.
        """
        order = self.order.in_order()
        first = 0 if start is None else bisect_right(order, start)
        return (self.by_key[order[place]] for place in range(first, len(order)))

    def having(self, attribute: str, value: Any) -> list[Any]:
        """The items with that scalar value of an attribute."""
        known = self.by_attribute.get(attribute)
        if known is None:
            known = self.by_attribute[attribute] = _ByAttribute(attribute)
            for key, item in self.by_key.items():
                known.file(key, item)
        return [self.by_key[key] for key in known.keys.get(_value_of(value), ())]

    def of_index(self, by: list[str], needed: list[str], start: Any) -> Iterator[Any]:
        """The items that have the needed attributes, in the order of others, from a start key on.

        Raises:
            TypeError: They have no order, or what is asked for has no place in it.
        """
        known = self.by_index.get((*by, "", *needed))
        if known is None:
            known = self.by_index[*by, "", *needed] = _ByIndex(by, needed)
            for key, item in self.by_key.items():
                known.file(key, item)
        order = known.order.in_order()
        known.check()
        first = bisect_right(order, known.place_of(start)) if start else 0
        return (known.items[order[place]] for place in range(first, len(order)))


class _ByIndex:
    """Items by the values of some attributes, of which the last ones are their keys."""

    def __init__(self, by: list[str], needed: list[str]) -> None:
        self.by, self.needed = by, needed
        self.items: dict[tuple[Any, ...], Any] = {}
        self.places: dict[Key, tuple[Any, ...]] = {}
        self.order = Ordered(lambda: self.items)
        # Of each attribute: the types of its values seen.  Those of two have no order.
        self.types: dict[str, set[str]] = {name: set() for name in by}
        self.is_broken = False

    def file(self, key: Key, item: Any) -> None:
        try:
            is_in = all(name in item.attrs for name in self.needed)
            place = tuple(self._cast(item, name) for name in self.by) if is_in else None
        except NO_VALUE:
            self.is_broken, place = True, None
        if place is not None and self.places.get(key) == place:
            self.items[place] = item
            return
        self.take_out(key)
        if place is not None:
            self.places[key], self.items[place] = place, item
            self.order.came(place)

    def take_out(self, key: Key) -> None:
        place = self.places.pop(key, None)
        if place is not None:
            del self.items[place]
            self.order.went(place)

    def check(self) -> None:
        """Raise ``TypeError`` if its order is not moto's."""
        if self.is_broken or any(len(seen) > 1 for seen in self.types.values()):
            raise TypeError("what has no order")

    def place_of(self, start: Any) -> tuple[Any, ...]:
        """Where a start key stands."""
        from moto.dynamodb.models.dynamo_type import DynamoType

        values = [DynamoType(start.get(name)) for name in self.by]
        if any({v.type} != self.types[n] for v, n in zip(values, self.by, strict=True)):
            raise TypeError("a key of another type")
        return tuple(value.cast_value for value in values)

    def _cast(self, item: Any, name: str) -> Any:
        value = _value_of(item.attrs[name])
        if value is None:
            raise TypeError(name)
        self.types[name].add(value[0])
        return value[1]


class _ByAttribute:
    """Keys of items by the value of one attribute, if it is a scalar."""

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute
        self.keys: dict[Any, dict[Key, None]] = {}
        self.values: dict[Key, Any] = {}

    def file(self, key: Key, item: Any) -> None:
        try:
            value = _value_of(item.attrs.get(self.attribute))
        except NO_VALUE:
            # Nothing that is asked for equals it.
            value = None
        if key in self.values and self.values[key] == value:
            return
        self.take_out(key)
        if value is not None:
            self.values[key] = value
            self.keys.setdefault(value, {})[key] = None

    def take_out(self, key: Key) -> None:
        value = self.values.pop(key, None)
        if value is None:
            return
        keys = self.keys[value]
        del keys[key]
        if not keys:
            del self.keys[value]


def key_of(item: Any) -> Key:
    """The hash and the range key of an item, as values that can be compared."""
    if item.range_key is None:
        return cast_of(item.hash_key), None
    return cast_of(item.hash_key), cast_of(item.range_key)


def cast_of(value: Any) -> Any:
    """As ``cast_value``, which asks six questions before it gives a text as it is."""
    return value.value if value.type in TEXTS else value.cast_value


def unordered(table: Any) -> Iterator[Any]:
    """All items of a table, in no order."""
    held = table.__dict__[ITEMS]
    if not table.range_key_attr:
        yield from held.values()
        return
    for partition in held.values():
        yield from partition.values()


def _value_of(value: Any) -> Any:
    """Equal for what DynamoDB takes for equal; None for what is no scalar.

    Raises:
        TypeError, ArithmeticError: It is no value of its type.
    """
    if value is None or value.type not in SCALARS:
        return None
    found = value.type, cast_of(value)
    hash(found)
    return found
