"""DynamoDB: a query, a page of a scan and a transaction do not touch the whole table.

moto sorts all items by their keys, comparing in Python, for every query and every page
of a scan, also where the key says which ones are asked for.  It reckons with copies of
whole tables in a transaction, see ``transactions``.  Here moto's own methods run, over
less:

    query by key        the items of that hash key
    query of an index   those whose attribute is the one asked for
    scan                the items behind the start key, one by one in their order, of the
                        table or of an index

What is known of a table (``items.Known``) is no state; it is made of ``Table.items`` when first
needed.  moto's methods that change items report to it; whoever else reaches ``items``
makes it anew.  Processor time with 100,000 items, ``bench/growth.py``: a query by key
650 ms before, of an index 490 ms, a page of ten 550 ms, of an index 460 ms; now as with a
few items, but for the first of a kind, which finds out what is known (25 to 350 ms).

An item is made with its size reckoned once, where moto reckons it anew with each attribute,
which takes as long as the square of their number; and the common types of a value answer at
once what it is: together a tenth of a put.

Left: the items of one hash key are sorted for each query of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from perdure.engine.collections.items import Items, adopt
from perdure.engine.collections.tracked import reading
from perdure.engine.imports import after_import
from perdure.engine.quirks.items import ITEMS, NO_VALUE, SCALARS, Key, Known, key_of, unordered
from perdure.engine.quirks.replaced import Replaced, Watched, is_held

REPLACED = Replaced()
# Types whose values stand for themselves.
AS_THEY_ARE = frozenset({"S", "B", "BOOL"})
# moto refuses what is larger than a little more.
SURELY_ALLOWED_BYTES = 400_000
_KNOWN: WeakKeyDictionary[Any, Known] = WeakKeyDictionary()


# ------------------------------------------------------------------- moto's methods


def install() -> None:
    """Let moto's methods see fewer items."""
    after_import("moto.dynamodb.models", _dynamodb)
    after_import("moto.dynamodb.models.dynamo_type", _values)
    after_import("moto.dynamodb.responses", _responses)


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


CONDITION = "ConditionalCheckFailed"


class _Items(Watched):
    """The items of a table, which are a collection from the first on."""

    def __set__(self, found: Any, value: Any) -> None:
        super().__set__(found, value)
        adopt(found)


_WATCHED = _Items(ITEMS, forget)
trusted = _WATCHED.unwatched


def _dynamodb(module: Any) -> None:
    table = module.Table
    REPLACED.put(table, ITEMS, _WATCHED)
    REPLACED.put(table, "__len__", _length)
    for name in ("put_item", "get_item", "delete_item", "all_items", "query", "scan"):
        REPLACED.put(table, name, globals()[f"_{name}"])
    REPLACED.put(table, "has_idx_items", _has_idx_items)
    REPLACED.put(table, "sorted_items", _sorted_items)
    REPLACED.put(module.DynamoDBBackend, "update_item", _update_item)


def known_of(table: Any) -> Known | None:
    """What is known of a table's items; None while somebody else may change them."""
    if is_held(table.__dict__, ITEMS):
        return None
    known = _KNOWN.get(table)
    if known is None:
        # To make it changes none of them.
        with reading():
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
    if type(held) is Items:
        return held.entries
    return sum(map(len, held.values())) if table.has_range_key else len(held)


def _handed(table: Any, found: Iterable[Any]) -> Iterator[Any]:
    """Items that were found past the table's own way to them."""
    held = table.__dict__[ITEMS]
    for item in found:
        if type(held) is Items:
            held.hand_out(item)
        yield item


def _all_items(table: Any) -> Any:
    if _Narrowed.items is not None:
        return _Narrowed.items
    with trusted():
        return REPLACED.original["all_items"](table)


def _has_idx_items(table: Any, index_name: str) -> Any:
    if _Narrowed.items is not None:
        return _Narrowed.items
    with trusted():
        return REPLACED.original["has_idx_items"](table, index_name)


def _sorted_items(table: Any, hash_attrs: Any, range_attrs: Any, items: Any) -> Any:
    if items is _Narrowed.items:
        # Those of an index that is scanned; they are.
        return items
    return REPLACED.original["sorted_items"](table, hash_attrs, range_attrs, items)


def _get_item(table: Any, *arguments: Any, **named: Any) -> Any:
    with trusted():
        return REPLACED.original["get_item"](table, *arguments, **named)


@contextmanager
def _changing(table: Any) -> Iterator[None]:
    """Forget what is known of a table that moto leaves half way.

    It changes the items first and tells the stream then, which may call a function.  A
    condition that does not hold comes before all of that.
    """
    try:
        with trusted():
            yield
    except BaseException as error:
        if type(error).__name__ != CONDITION:
            forget(table)
        raise


def _put_item(table: Any, *arguments: Any, **named: Any) -> Any:
    with _changing(table):
        item = REPLACED.original["put_item"](table, *arguments, **named)
    known = _KNOWN.get(table)
    if known is not None:
        known.put(item)
    return item


def _delete_item(table: Any, hash_key: Any, range_key: Any) -> Any:
    with _changing(table):
        item = REPLACED.original["delete_item"](table, hash_key, range_key)
    known = _KNOWN.get(table)
    if known is not None and item is not None:
        known.drop(key_of(item))
    elif item is None and table.stream_shard is not None:
        # moto takes any KeyError for an item that is not there, also one of the stream's.
        forget(table)
    return item


def _update_item(backend: Any, table_name: str, *arguments: Any, **named: Any) -> Any:
    try:
        item = REPLACED.original["update_item"](backend, table_name, *arguments, **named)
    except BaseException as error:
        # As in ``_changing``; the table may be any.
        if type(error).__name__ != CONDITION:
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
            return list(_handed(table, known.having(name, value)))
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
    found = _in_order(table, index_name, exclusive_start_key)
    with _narrowed(found):
        return REPLACED.original["scan"](
            *(table, filters, limit, exclusive_start_key, filter_expression, index_name),
            *arguments,
            **named,
        )


def _in_order(table: Any, index_name: str | None, start: Any) -> Any:
    """The items of a table or of an index behind a start key; None where moto has to sort."""
    try:
        known = known_of(table)
        if known is None:
            return None
        if index_name is None:
            return _handed(table, known.behind(_start_of(table, start)))
        found = _attributes_of(table, index_name)
        return None if found is None else _handed(table, known.of_index(*found, start))
    except NO_VALUE:
        return None


def _attributes_of(table: Any, index_name: str) -> tuple[list[str], list[str]] | None:
    """By what attributes a scan of an index sorts, and which an item must have to be in it."""
    index = next((i for i in table.all_indexes() if i.name == index_name), None)
    if index is None:
        return None
    first = {key["KeyType"]: key["AttributeName"] for key in reversed(index.schema)}
    if "HASH" not in first:
        return None
    ranges = [first["RANGE"]] if "RANGE" in first else []
    by = table._generate_attr_to_sort_by(
        [first["HASH"], table.hash_key_attr], [*ranges, table.range_key_attr]
    )
    return by, [key["AttributeName"] for key in index.schema]


def _start_of(table: Any, start: Any) -> Key | None:
    """The key behind which a page begins; None where moto has to find out."""
    if not start:
        return None
    hash_key = _cast(start.get(table.hash_key_attr), table.hash_key_type)
    if table.range_key_attr is None:
        return None if hash_key is None else (hash_key, None)
    range_key = _cast(start.get(table.range_key_attr), table.range_key_type)
    return None if hash_key is None or range_key is None else (hash_key, range_key)


def _cast(value: Any, kind: str) -> Any:
    from moto.dynamodb.models.dynamo_type import DynamoType

    typed = DynamoType(value) if value else None
    return None if typed is None or typed.type != kind else typed.cast_value


# ------------------------------------------------------------------ items and values


def _values(module: Any) -> None:
    value = module.DynamoType
    cast_value_of = value.__dict__["cast_value"].fget

    def size(found: Any) -> int:
        if found.type == "S" and type(found.value) is str:
            return len(found.value.encode())
        return int(REPLACED.original["size"](found))

    def cast_value(found: Any) -> Any:
        return found.value if found.type in AS_THEY_ARE else cast_value_of(found)

    def init(item: Any, hash_key: Any, range_key: Any, attrs: dict[str, Any]) -> None:
        try:
            made = {key: value(each) for key, each in attrs.items()}
            size_bytes = sum(module.bytesize(key) + each.size() for key, each in made.items())
        except Exception:  # noqa: BLE001 - moto says what it is, at the attribute it is about
            item_of_moto(item, hash_key, range_key, attrs)
            return
        if size_bytes > SURELY_ALLOWED_BYTES:
            item_of_moto(item, hash_key, range_key, attrs)
            return
        item.hash_key, item.range_key = hash_key, range_key
        item.attrs = module.LimitedSizeDict()
        dict.update(item.attrs, made)

    item_of_moto = module.Item.__init__
    REPLACED.put(value, "size", size)
    REPLACED.put(value, "cast_value", property(cast_value))
    REPLACED.put(module.Item, "__init__", init)


def _responses(module: Any) -> None:
    refusal = module.MockValidationException

    def refuse_empty_sets(value: dict[str, Any]) -> None:
        for kind, named in (("NS", "number"), ("SS", "string")):
            if kind in value and value[kind] == []:
                raise refusal(
                    "1 validation error detected: One or more parameter values were invalid: "
                    f"An {named} set  may not be empty"
                )
        for part in value.values():
            if isinstance(part, dict):
                refuse_empty_sets(part)

    def validate_put_has_empty_attrs(field_updates: dict[str, Any], table: Any) -> None:
        if not table:
            return
        # Once: they are put together anew each time.
        keys = table.attribute_keys
        for name, value in field_updates.items():
            if name not in keys:
                refuse_empty_sets(value)

    REPLACED.put(module, "validate_put_has_empty_attrs", validate_put_has_empty_attrs)
