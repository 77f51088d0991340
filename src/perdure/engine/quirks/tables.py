"""DynamoDB: a query, a page of a scan and a transaction do not touch the whole table.

moto sorts all items by their keys, comparing in Python, for every query and every page
of a scan, also where the key says which ones are asked for.  It reckons with copies of
whole tables in a transaction, see ``transactions``.  Here moto's own methods run, over
less:

    query by key        the items of that hash key
    query of an index   those whose attribute is the one asked for
    scan                the items behind the start key, one by one in their order

What is known of a table (``Known``) is no state; it is made of ``Table.items`` when first
needed.  moto's methods that change items report to it; whoever else reaches ``items``
makes it anew.  Processor time with 100,000 items, ``bench/growth.py``: a query by key
1,400 ms before, a page of ten 1,300 ms, of an index 1,600 ms; now as with a few items.

Left: the items of one hash key are sorted for each query of them, and those of an index
for each page of a scan of that index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from perdure.engine.imports import after_import
from perdure.engine.quirks.ordered import Ordered
from perdure.engine.quirks.replaced import Replaced, Watched, is_held

ITEMS = "items"
# Their values have an order and a hash; no other can be a key.
SCALARS = frozenset({"S", "N", "B"})

# What it raises to cast what is no value of its type, or to compare two that do not go together.
NO_VALUE = (TypeError, ValueError, ArithmeticError)

REPLACED = Replaced()
Key = tuple[Any, Any]
_KNOWN: WeakKeyDictionary[Any, Known] = WeakKeyDictionary()


class Known:
    """What is known of a table's items."""

    def __init__(self, table: Any) -> None:
        self.by_key: dict[Key, Any] = {key_of(item): item for item in unordered(table)}
        self.order = Ordered(lambda: self.by_key)
        self.by_attribute: dict[str, _ByAttribute] = {}

    def put(self, item: Any) -> None:
        """An item is new, or takes another's place, or has changed."""
        key = key_of(item)
        if key not in self.by_key:
            self.order.came(key)
        self.by_key[key] = item
        for known in self.by_attribute.values():
            known.file(key, item)

    def drop(self, key: Key) -> None:
        """An item is gone."""
        self.by_key.pop(key, None)
        self.order.went(key)
        for known in self.by_attribute.values():
            known.take_out(key)

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


class _ByAttribute:
    """Keys of items by the value of one attribute, if it is a scalar."""

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute
        self.keys: dict[Any, dict[Key, None]] = {}
        self.values: dict[Key, Any] = {}

    def file(self, key: Key, item: Any) -> None:
        value = _value_of(item.attrs.get(self.attribute))
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
        return item.hash_key.cast_value, None
    return item.hash_key.cast_value, item.range_key.cast_value


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
    found = value.type, value.cast_value
    hash(found)
    return found


# ------------------------------------------------------------------- moto's methods


def install() -> None:
    """Let moto's methods see fewer items."""
    after_import("moto.dynamodb.models", _dynamodb)


def forget(table: Any) -> None:
    """A table's items may have changed: find out anew when it is needed."""
    _KNOWN.pop(table, None)


def refile(table: Any, hash_key: Any, range_key: Any) -> None:
    """The item of these keys may have come, changed or gone."""
    known = _KNOWN.get(table)
    if known is None:
        return
    entry = table.__dict__[ITEMS].get(hash_key)
    item = entry.get(range_key) if isinstance(entry, dict) else entry
    if item is None:
        known.drop((hash_key.cast_value, None if range_key is None else range_key.cast_value))
    else:
        known.put(item)


_WATCHED = Watched(ITEMS, forget)
trusted = _WATCHED.unwatched


def _dynamodb(module: Any) -> None:
    table = module.Table
    REPLACED.put(table, ITEMS, _WATCHED)
    REPLACED.put(table, "__len__", _length)
    for name in ("put_item", "get_item", "delete_item", "all_items", "query", "scan"):
        REPLACED.put(table, name, globals()[f"_{name}"])
    REPLACED.put(table, "has_idx_items", _has_idx_items)
    REPLACED.put(module.DynamoDBBackend, "update_item", _update_item)


def known_of(table: Any) -> Known | None:
    """What is known of a table's items; None while somebody else may change them."""
    if is_held(table.__dict__, ITEMS):
        return None
    known = _KNOWN.get(table)
    if known is None:
        known = _KNOWN[table] = Known(table)
    return known


class _Narrowed:
    """What ``all_items`` answers in a query or scan that runs; None = all."""

    items: Iterable[Any] | None = None


@contextmanager
def _narrowed(items: Iterable[Any] | None) -> Iterator[None]:
    _Narrowed.items = items
    try:
        yield
    finally:
        _Narrowed.items = None


def _length(table: Any) -> int:
    known = _KNOWN.get(table)
    if known is not None and not is_held(table.__dict__, ITEMS):
        return len(known.by_key)
    held = table.__dict__[ITEMS]
    return sum(map(len, held.values())) if table.has_range_key else len(held)


def _all_items(table: Any) -> Any:
    if _Narrowed.items is not None:
        return _Narrowed.items
    with trusted():
        return REPLACED.original["all_items"](table)


def _has_idx_items(table: Any, index_name: str) -> Any:
    with trusted():
        return REPLACED.original["has_idx_items"](table, index_name)


def _get_item(table: Any, *arguments: Any, **named: Any) -> Any:
    with trusted():
        return REPLACED.original["get_item"](table, *arguments, **named)


def _put_item(table: Any, *arguments: Any, **named: Any) -> Any:
    with trusted():
        item = REPLACED.original["put_item"](table, *arguments, **named)
    known = _KNOWN.get(table)
    if known is not None:
        known.put(item)
    return item


def _delete_item(table: Any, hash_key: Any, range_key: Any) -> Any:
    with trusted():
        item = REPLACED.original["delete_item"](table, hash_key, range_key)
    known = _KNOWN.get(table)
    if known is not None and item is not None:
        known.drop(key_of(item))
    return item


def _update_item(backend: Any, table_name: str, *arguments: Any, **named: Any) -> Any:
    try:
        item = REPLACED.original["update_item"](backend, table_name, *arguments, **named)
    except Exception as error:
        # But for a condition, which comes first, it may have stopped half way.
        if type(error).__name__ != "ConditionalCheckFailed":
            for table in backend.tables.values():
                forget(table)
        raise
    table = backend.get_table(table_name)
    known = _KNOWN.get(table)
    if known is not None:
        known.put(item)
    return item


def _query(  # noqa: PLR0917 - as moto has it
    table: Any,
    hash_key: Any,
    range_comparison: Any,
    range_objs: Any,
    limit: Any,
    exclusive_start_key: Any,
    scan_index_forward: Any,
    projection_expressions: Any,
    index_name: str | None = None,
    *arguments: Any,
    **named: Any,
) -> Any:
    if index_name:
        found = _of_index(table, named.get("hash_key_conditions"))
    else:
        found = _of_hash_key(table, hash_key)
    with _narrowed(found):
        return REPLACED.original["query"](
            *(table, hash_key, range_comparison, range_objs, limit, exclusive_start_key),
            *(scan_index_forward, projection_expressions, index_name, *arguments),
            **named,
        )


def _of_hash_key(table: Any, hash_key: Any) -> Any:
    """The items of one hash key; None where only all of them will do."""
    if hash_key is None or hash_key.type not in SCALARS:
        return None
    held = table.__dict__[ITEMS]
    try:
        # Not by its default: a query makes no entry.
        if hash_key not in held:
            return []
        found = held[hash_key]
        if not table.range_key_attr:
            return [found]
        # moto sorts them as well, but slowly unless they are in order.
        return sorted(found.values(), key=lambda item: item.range_key.cast_value)
    except NO_VALUE:
        return None


def _of_index(table: Any, conditions: list[tuple[str, Any]] | None) -> Any:
    """The items that may fulfil the conditions; moto looks at each again, and sorts them."""
    try:
        known = known_of(table) if conditions else None
        if known is not None and conditions:
            name, value = conditions[0]
            return known.having(name, value)
    except NO_VALUE:
        pass
    return list(unordered(table))


def _scan(  # noqa: PLR0917 - as moto has it
    table: Any,
    filters: Any,
    limit: Any,
    exclusive_start_key: Any,
    filter_expression: Any = None,
    index_name: str | None = None,
    *arguments: Any,
    **named: Any,
) -> Any:
    found = None if index_name else _in_order(table, exclusive_start_key)
    with _narrowed(found):
        return REPLACED.original["scan"](
            *(table, filters, limit, exclusive_start_key, filter_expression, index_name),
            *arguments,
            **named,
        )


def _in_order(table: Any, start: Any) -> Any:
    try:
        known = known_of(table)
        return None if known is None else known.behind(_start_of(table, start))
    except NO_VALUE:
        return None


def _start_of(table: Any, start: Any) -> Key | None:
    """The key behind which a page begins; None where moto has to find out."""
    if not start:
        return None
    values = [
        (start.get(name), kind)
        for name, kind in (
            (table.hash_key_attr, table.hash_key_type),
            (table.range_key_attr, table.range_key_type),
        )
        if name is not None
    ]
    cast = [_cast(value, kind) for value, kind in values]
    if None in cast:
        return None
    return (cast[0], cast[1]) if len(cast) > 1 else (cast[0], None)


def _cast(value: Any, kind: str) -> Any:
    from moto.dynamodb.models.dynamo_type import DynamoType

    typed = DynamoType(value) if value else None
    return None if typed is None or typed.type != kind else typed.cast_value
