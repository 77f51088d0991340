"""A delta: the rows one checkpoint changed, as JSON lines.

    {"perdure":"delta","format":1,"store":[...],"cut":7,"rows":2}
    [12,"S:user-1","",0,4,{"id":{"S":"user-1"},"age":{"N":"41"}}]
    [12,"S:user-2","",0,0,null]

After the first line one row each: collection, key, sub, part, place, value; ``null`` for an
entry that is gone.  The manifest has the checksum.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from perdure.errors import CorruptionError, FormatVersionError
from perdure.persistence.entries import NULL, NUMBER_MAX, Row, gone, row_of, value_of
from perdure.persistence.fields import Fields, decode
from perdure.persistence.files import read_file
from perdure.persistence.keys import Lsn, StoreKey

FORMAT = 1
# A number of at most 16 digits, without a sign or zeros in front; text up to its quote.
_NUMBER, _TEXT = rb"(0|[1-9]\d{0,15})", rb'"((?:[^"\\\x00-\x1f]|\\.)*+)"'
_ROW = re.compile(rb"\[%b,%b,%b,%b,%b,(.+)\]" % (_NUMBER, _TEXT, _TEXT, _NUMBER, _NUMBER))


def encode(key: StoreKey, cut: Lsn, rows: list[Row]) -> bytes:
    """The file's bytes."""
    head = {
        "perdure": "delta",
        "format": FORMAT,
        "store": list(key),
        "cut": cut,
        "rows": len(rows),
    }
    return b"\n".join([orjson.dumps(head), *map(line_of, rows), b""])


def line_of(row: Row) -> bytes:
    """A row as a line has it, without its end."""
    head = orjson.dumps(row[:5])[:-1]
    return b"%b,%b]" % (head, NULL if row.value is None else value_of(row))


def read(path: Path, key: StoreKey) -> list[Row]:
    """The rows of a delta whose checksum was verified.

    Raises:
        CorruptionError: It is no delta of that store.
        FormatVersionError: Written by a newer Perdure.
    """
    data = read_file(path, what="entries")
    head, _, body = data.partition(b"\n")
    count = decode(head, path, "delta", lambda head: _count(head, key))
    rows = list(rows_in(path, body))
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


def rows_in(path: Path, body: bytes, *, between: bytes = b"\n") -> Iterator[Row]:
    """The rows of lines.

    Their values are not looked into: whoever wants one does, and a store may have many.

    Args:
        path: For errors.
        body: The lines; the last one ends with a newline.
        between: What ends the others.

    Raises:
        CorruptionError: One is no row.
    """
    end = 0
    for found in _ROW.finditer(body):
        if found.start() != end:
            break
        end = found.end()
        behind = between if end + 1 < len(body) else b"\n"
        if not body.startswith(behind, end):
            break
        end += len(behind)
        number, part, place = int(found[1]), int(found[4]), int(found[5])
        if max(number, part, place) >= NUMBER_MAX:
            raise CorruptionError(path, "row", expected="numbers below 2^53", found=found[0][:80])
        name, sub = _text(found[2], path), _text(found[3], path)
        if found[6] == NULL:
            yield gone(number, name, sub)
        else:
            yield row_of(number, name, sub, part, place, found[6])
    if end != len(body):
        raise CorruptionError(path, "row", expected="a row", found=body[end : end + 80])


def _text(found: bytes, path: Path) -> str:
    """A JSON string without its quotes."""
    try:
        return found.decode() if b"\\" not in found else str(orjson.loads(b'"%b"' % found))
    except ValueError as error:
        raise CorruptionError(path, "row", expected="text", found=found[:80]) from error
