"""A base that a person can read: the rows of one store as a JSON document.

    {"perdure":"entries","format":1,"store":["kinesis","000000000000","us-east-1"],"collections":[
    {"number":7,"kind":"kinesis.records","name":"clicks shardId-000000000000","bytes":87,"rows":[
    [7,"00000000000000000001","",1,1,{"partition_key":"a","data":"hello"}]
    ]}
    ]}

One row a line, as in a delta, in order.  ``bytes`` says how long the lines of a collection
are together: so one is found, and read when it is first asked for, without the others.

Like any base it is made under a temporary name and never written to again.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from perdure.errors import CorruptionError, DurabilityError, FormatVersionError
from perdure.persistence import delta
from perdure.persistence.entries import Collection, Row
from perdure.persistence.fields import Fields, decode
from perdure.persistence.files import CAUTIOUS
from perdure.persistence.keys import StoreKey

FORMAT = 1
# A line that is none of rows: it names a collection, for people.
LINE_MAX = 1 << 16
_HEAD_END = b',"collections":['
_ROWS = b',"rows":['
Place = tuple[str, str]


class Document:
    """A base that is read.  By one thread at a time."""

    def __init__(self, path: Path, key: StoreKey) -> None:
        """Open one whose checksum was verified.

        Raises:
            CorruptionError: It is no base of that store.
            FormatVersionError: Written by a newer Perdure.
        """
        self.path = path
        # Collection -> where its lines begin, and their bytes.
        self._spans: dict[int, tuple[int, int]] = {}
        self._rows: dict[int, dict[Place, Row]] = {}
        try:
            self._descriptor = os.open(path, os.O_RDONLY | CAUTIOUS)
        except OSError as error:
            raise DurabilityError(path, "entries.open", error.strerror or str(error)) from error
        # With the last of those who read from it, as SQLite's are; none of them knows it is.
        self._closing = weakref.finalize(self, os.close, self._descriptor)
        try:
            self._find(key)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._closing()

    def numbers(self) -> set[int]:
        """The collections in it."""
        return set(self._spans)

    def get(self, collection: int, key: str, sub: str) -> Row | None:
        """One row, or None."""
        return self._of(collection).get((key, sub))

    def of_key(self, collection: int, key: str) -> Iterator[Row]:
        """The rows of a key, in no order."""
        return (row for (first, _), row in self._of(collection).items() if first == key)

    def of_collection(self, collection: int) -> Iterator[Row]:
        """All rows of a collection, in no order."""
        return iter(self._of(collection).values())

    def keys(self, collection: int) -> Iterator[str]:
        """The keys of all rows of a collection, in no order."""
        return (key for key, _ in self._of(collection))

    def of_value(self, collection: int, value: bytes) -> Iterator[Row]:
        """The rows of a collection that say just this, in no order."""
        return (row for row in self._of(collection).values() if row.value == value)

    def following(self, collection: int, key: str, limit: int) -> Iterator[Row]:
        """The first rows behind a key, in order of their keys."""
        rows = self._of(collection)
        return iter([rows[place] for place in sorted(p for p in rows if p[0] > key)[:limit]])

    # ------------------------------------------------------------------ inside

    def _of(self, collection: int) -> dict[Place, Row]:
        found = self._rows.get(collection)
        if found is None:
            begin, size = self._spans.get(collection, (0, 0))
            rows = list(delta.rows_in(self.path, self._read(begin, size), between=b",\n"))
            if any(row.collection != collection or row.value is None for row in rows):
                raise self._wrong(f"rows of {collection}", "others")
            found = self._rows[collection] = {(row.key, row.sub): row for row in rows}
            if len(found) < len(rows):
                raise self._wrong("each row once", "one of them again")
        return found

    def _read(self, begin: int, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = os.pread(self._descriptor, size - len(data), begin + len(data))
            if not more:
                raise self._wrong(f"{size} bytes at {begin}", f"{len(data)}")
            data += more
        return bytes(data)

    def _line(self, at: int) -> bytes:
        """A line that is none of rows, with its end."""
        line, end, _ = os.pread(self._descriptor, LINE_MAX, at).partition(b"\n")
        if not end:
            raise self._wrong("a line", f"none at {at}")
        return line + end

    def _find(self, key: StoreKey) -> None:
        """Find where the lines of each collection are."""
        line = self._line(0)
        if not line.endswith(_HEAD_END + b"\n"):
            raise self._wrong("a head", line[:80])
        head = line[: -len(_HEAD_END) - 1] + b"}"
        decode(head, self.path, "entries", lambda fields: _check_head(fields, key))
        at = len(line)
        while not (line := self._line(at)).startswith(b"]}"):
            if not line.endswith(_ROWS + b"\n"):
                raise self._wrong("a collection", line[:80])
            named = line[: -len(_ROWS) - 1] + b"}"
            number, size = decode(named, self.path, "collection", _number_and_bytes)
            at += len(line)
            if number in self._spans:
                raise self._wrong("each collection once", number)
            self._spans[number] = at, size
            at += size
            end = self._line(at)
            if end not in (b"]},\n", b"]}\n"):
                raise self._wrong("the end of a collection", end[:80])
            at += len(end)
        if line != b"]}\n" or os.fstat(self._descriptor).st_size != at + len(line):
            raise self._wrong("the end", line[:80])

    def _wrong(self, expected: object, found: object) -> CorruptionError:
        return CorruptionError(self.path, "entries", expected=expected, found=found)


def _check_head(fields: Fields, key: StoreKey) -> None:
    found = fields.integer("format", least=1)
    if found > FORMAT:
        raise FormatVersionError(fields.path, found=found, supported=FORMAT)
    if fields.key("store") != key:
        raise fields.refusal("store", str(key), fields.values["store"])


def _number_and_bytes(fields: Fields) -> tuple[int, int]:
    return fields.integer("number"), fields.integer("bytes")


def merge(
    temporary: Path,
    base: Document | None,
    rows: Iterable[Row],
    collections: Iterable[Collection],
    key: StoreKey,
) -> None:
    """Make a new base: what an older one holds, changed by rows, in the collections that live.

    Args:
        temporary: Where; made anew.
        base: The older one, verified; None = none.
        rows: What changed, in order.
        collections: Those whose rows are kept.
        key: The store.

    Durability:
        None of it is, before the caller has synced the file.

    Raises:
        CorruptionError: The older one is none.
        OSError: It cannot be written.
    """
    kept: dict[int, dict[Place, Row]] = {each.number: {} for each in collections}
    if base is not None:
        for number, found in kept.items():
            found.update(((row.key, row.sub), row) for row in base.of_collection(number))
    for row in rows:
        if row.collection in kept:
            kept[row.collection][row.key, row.sub] = row
    head = {"perdure": "entries", "format": FORMAT, "store": list(key)}
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | CAUTIOUS
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(orjson.dumps(head)[:-1] + _HEAD_END + b"\n")
            for count, each in enumerate(collections, start=1):
                lines = _lines(kept[each.number])
                file.write(orjson.dumps(_named(each, lines))[:-1] + _ROWS + b"\n")
                file.write(lines + (b"]}\n" if count == len(kept) else b"]},\n"))
            file.write(b"]}\n")
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _named(collection: Collection, lines: bytes) -> dict[str, Any]:
    names = {"number": collection.number, "kind": collection.kind, "name": collection.name}
    return {**names, "bytes": len(lines)}


def _lines(rows: dict[Place, Row]) -> bytes:
    living = [row for row in rows.values() if row.value is not None]
    living.sort(key=lambda row: (row.part, row.place))
    lines = b",\n".join(map(delta.line_of, living))
    return lines + b"\n" if lines else b""
