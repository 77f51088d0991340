"""A delta: the rows one checkpoint changed, as JSON lines.

    {"perdure": "delta", "format": 1, "store": [...], "cut": 7, "rows": 2}
    [12, "S:user-1", "", 0, 4, {"id": {"S": "user-1"}, "age": {"N": "41"}}]
    [12, "S:user-2", "", 0, 0, null]

After the first line one row each: collection, key, sub, part, place, value; ``null`` for an
entry that is gone.  The manifest has the checksum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from perdure.errors import CorruptionError, FormatVersionError
from perdure.persistence.entries import NUMBER_MAX, Row
from perdure.persistence.fields import Fields, decode
from perdure.persistence.files import read_file
from perdure.persistence.keys import Lsn, StoreKey

FORMAT = 1
TYPES = (int, str, str, int, int)


def encode(key: StoreKey, cut: Lsn, rows: list[Row]) -> bytes:
    """The file's bytes."""
    head = {
        "perdure": "delta",
        "format": FORMAT,
        "store": list(key),
        "cut": cut,
        "rows": len(rows),
    }
    return b"\n".join([orjson.dumps(head), *map(_line, rows), b""])


def _line(row: Row) -> bytes:
    head = orjson.dumps(list(row[:-1]))[:-1]
    return b"%b,%b]" % (head, b"null" if row.value is None else row.value)


def read(path: Path, key: StoreKey) -> list[Row]:
    """The rows of a delta whose checksum was verified.

    Raises:
        CorruptionError: It is no delta of that store.
        FormatVersionError: Written by a newer Perdure.
    """
    first, *lines = read_file(path, what="entries").split(b"\n")
    count = decode(first, path, "delta", lambda head: _count(head, key))
    rows = list(_rows(path, filter(None, lines)))
    if len(rows) != count:
        raise CorruptionError(path, "rows", expected=count, found=len(rows))
    return rows


def _count(head: Fields, key: StoreKey) -> int:
    found = head.integer("format", least=1)
    if found > FORMAT:
        raise FormatVersionError(head.path, found=found, supported=FORMAT)
    if head.key("store") != key:
        raise head.refusal("store", str(key), head.values["store"])
    return head.integer("rows")


def _rows(path: Path, lines: Iterable[bytes]) -> Iterator[Row]:
    for line in lines:
        try:
            found: Any = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise CorruptionError(path, "row", expected="JSON", found=error) from error
        if not isinstance(found, list) or len(found) != len(Row._fields):
            raise CorruptionError(path, "row", expected="six values", found=line[:80])
        number, name, sub, part, place, value = found
        numbers = number, part, place
        if tuple(map(type, found[:-1])) != TYPES or not all(0 <= n < NUMBER_MAX for n in numbers):
            raise CorruptionError(path, "row", expected="numbers and names", found=line[:80])
        content = None if value is None else orjson.dumps(value)
        yield Row(number, name, sub, part, place, content)
