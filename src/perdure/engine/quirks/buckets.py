"""S3: a list looks at the keys of its page, not at all keys of the bucket.

moto walks through all keys, and sorts them, for every page; for versions it copies every
object of the bucket first.  Here moto's own methods see a bucket of the keys that can be
on the page, found in the order of the keys: those behind the marker that begin with the
prefix, one for each common prefix, and one more than fits.  Processor time of a page of
ten with 100,000 keys, ``bench/growth.py``: 60 to 200 ms before, and 9.8 s of versions; now
as with fifty keys.

The order is no state; it is made when a bucket is first listed.  All methods that change
which keys there are report to it.  What is no answer of moto's, such as an unknown token,
is left to moto.

A put of one more version of an object does not compare each version with all others.

Left: ``ListObjects`` of the first version with a delimiter, which answers all common
prefixes with each page, passes over the keys that have none.
"""

from __future__ import annotations

import sys
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

from perdure.engine.collections.named import Named
from perdure.engine.imports import after_import
from perdure.engine.quirks.ordered import Ordered
from perdure.engine.quirks.replaced import ByIdentity, Replaced

REPLACED = Replaced()
# What changes a dict without a word about single keys.
WHOLESALE = ("clear", "popitem", "setdefault", "update", "__delitem__", "__ior__")
_ORDERS = ByIdentity()


def install() -> None:
    """Let moto's lists see fewer keys."""
    after_import("moto.s3.models", _s3)


def _s3(module: Any) -> None:
    store = module._VersionedKeyStore
    for name in ("pop", "__setitem__"):
        REPLACED.put(store, name, _reporting(vars(store)[name]))
    REPLACED.put(store, "setlist", _reporting(_set_list))
    for name in WHOLESALE:
        REPLACED.put(store, name, _forgetting(store, name))
    for method in (_list_objects, _list_objects_v2, _list_object_versions):
        REPLACED.put(module.S3Backend, method.__name__[1:], method)


def _set_list(store: Any, key: str, versions: Any) -> None:
    """As moto's, which for each version looks through all of the others."""
    if type(versions) is not list:
        REPLACED.original["setlist"](store, key, versions)
        return
    before = store.getlist(key, [])
    # Mostly there is one more, and none to drop.
    if versions[: len(before)] != before:
        kept = {id(version) for version in versions}
        for version in before:
            if id(version) not in kept and hasattr(version, "dispose"):
                version.dispose()
    # moto's own would put it behind the others.
    super(_key_store(), store).__setitem__(key, versions)


def _key_store() -> Any:
    return sys.modules["moto.s3.utils"]._VersionedKeyStore


# ------------------------------------------------------------------- the order


def order_of(store: Any) -> list[str]:
    """The keys of a bucket's store, in order."""
    order: Ordered | None = _ORDERS.get(store)
    if order is None:
        living = weakref.ref(store)
        order = Ordered(lambda: _names(living()))
        _ORDERS.put(store, order)
    return order.in_order()


def _names(store: Any) -> Iterator[str]:
    if store is None:
        return iter(())
    return store.names() if isinstance(store, Named) else dict.__iter__(store)


def _reporting(method: Callable[..., Any]) -> Callable[..., Any]:
    def changed(store: Any, key: str, *arguments: Any) -> Any:
        order = _ORDERS.get(store)
        was_there = key in store
        try:
            return method(store, key, *arguments)
        finally:
            is_there = key in store
            if order is not None and was_there != is_there:
                (order.came if is_there else order.went)(key)

    return changed


def _forgetting(cls: Any, name: str) -> Callable[..., Any]:
    def changed(store: Any, *arguments: Any, **named: Any) -> Any:
        _ORDERS.drop(store)
        return getattr(super(cls, store), name)(*arguments, **named)

    return changed


# ------------------------------------------------------------------- pages


class _Page:
    """The keys of a bucket that can be on one page."""

    def __init__(self, store: Any, prefix: str | None, delimiter: str | None) -> None:
        self.store, self.prefix, self.delimiter = store, prefix or "", delimiter
        self.order = order_of(store)

    def names(self, first: int = 0) -> Iterator[tuple[str, str | None]]:
        """Keys with the prefix from a place on, and their common prefix; one key of each."""
        place = max(first, bisect_left(self.order, self.prefix))
        while place < len(self.order):
            name = self.order[place]
            if not name.startswith(self.prefix):
                return
            folder = self.folder_of(name)
            yield name, folder
            place = place + 1 if folder is None else self._behind(folder, place)

    def folder_of(self, name: str) -> str | None:
        """The common prefix a key is listed under; None = it is listed itself."""
        rest = name[len(self.prefix) :]
        if not self.delimiter or self.delimiter not in rest:
            return None
        return self.prefix + rest.split(self.delimiter)[0] + self.delimiter

    def _behind(self, folder: str, place: int) -> int:
        last = ord(folder[-1]) + 1
        if last < SURROGATES.start or SURROGATES.stop < last <= LAST:
            return bisect_left(self.order, folder[:-1] + chr(last), place)
        while place < len(self.order) and self.order[place].startswith(folder):
            place += 1
        return place

    def bucket(self, names: list[str]) -> Any:
        """What moto takes for a bucket of these keys."""
        items = [(name, self.store[name]) for name in names]
        lists = [(name, self.store.getlist(name)) for name in names]
        keys = SimpleNamespace(items=lambda: iter(items), iterlists=lambda: iter(lists))
        return SimpleNamespace(keys=keys)


# Where the next character is none, or none that is ordered so.
SURROGATES = range(0xD7FF, 0xE001)
LAST = 0x10FFFF


def _list_objects(  # noqa: PLR0917 - as moto has it
    store: Any, bucket: Any, prefix: Any, delimiter: Any, marker: Any, max_keys: int | None
) -> Any:
    original = REPLACED.original["list_objects"]
    limit = (store._pagination_tokens.get(marker) or marker) if marker else None
    if _is_plain(bucket, prefix, delimiter, limit) and max_keys is not None and max_keys >= 0:
        page = _Page(bucket.keys, prefix, delimiter)
        folders = [name for name, folder in page.names() if folder] if delimiter else []
        behind = bisect_right(page.order, limit) if limit else 0
        single = (n for n, folder in page.names(behind) if not folder and _is_shown(page, n))
        bucket = page.bucket([*folders, *islice(single, max_keys + 1)])
    return original(store, bucket, prefix, delimiter, marker, max_keys)


def _list_objects_v2(  # noqa: PLR0917 - the same
    store: Any,
    bucket: Any,
    prefix: Any,
    delimiter: Any,
    continuation_token: Any,
    start_after: Any,
    max_keys: int,
) -> Any:
    original = REPLACED.original["list_objects_v2"]
    limit = start_after
    if continuation_token:
        # Behind one that is unknown there is nothing plain.
        limit = store._pagination_tokens.get(continuation_token, False)
    if _is_plain(bucket, prefix, delimiter, limit) and max_keys >= 0:
        page = _Page(bucket.keys, prefix, delimiter)
        behind = bisect_right(page.order, limit) if limit else 0
        shown = (
            # A common prefix before the limit is not shown, and does not count.
            (name, not folder or not limit or folder > limit)
            for name, folder in page.names(behind)
            if folder or _is_shown(page, name)
        )
        bucket = page.bucket(_until(shown, max_keys + 1))
    return original(store, bucket, prefix, delimiter, continuation_token, start_after, max_keys)


def _list_object_versions(  # noqa: PLR0917 - the same
    store: Any,
    bucket_name: str,
    delimiter: Any = None,
    key_marker: Any = None,
    max_keys: int | None = 1000,
    prefix: Any = "",
    version_id_marker: Any = None,
) -> Any:
    bucket = store.get_bucket(bucket_name)
    rest = (delimiter, key_marker, max_keys, prefix, version_id_marker)
    original = REPLACED.original["list_object_versions"]
    if max_keys is None or max_keys < 0 or not _is_plain(bucket, prefix, delimiter, key_marker):
        return original(store, bucket_name, *rest)
    page = _Page(bucket.keys, prefix, delimiter)
    first = bisect_left(page.order, key_marker) if key_marker else 0
    # moto leaves out what stands first behind a marker, also where the prefix differs.
    skipped = page.order[first : first + 1] if key_marker is not None else []
    counted = (
        (name, folder != key_marker if folder else len(page.store.getlist(name)))
        for name, folder in page.names(first + len(skipped))
    )
    narrowed = page.bucket([*skipped, *_until(counted, max_keys + 1)])
    return original(SimpleNamespace(get_bucket=lambda _: narrowed), bucket_name, *rest)


def _until(names: Iterator[tuple[str, int]], wanted: int) -> list[str]:
    """Names until those counted are as many as wanted."""
    found = []
    for name, counts in names:
        found.append(name)
        wanted -= counts
        if wanted <= 0:
            break
    return found


def _is_plain(bucket: Any, *texts: Any) -> bool:
    """Whether it is a bucket of objects, and no stand-in, asked for what is text."""
    is_bucket = type(bucket).__name__ == "FakeBucket"
    return is_bucket and all(text is None or isinstance(text, str) for text in texts)


def _is_shown(page: _Page, name: str) -> bool:
    return type(page.store[name]).__name__ != "FakeDeleteMarker"
