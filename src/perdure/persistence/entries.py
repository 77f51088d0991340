"""Entries: what of a store stands outside of its graph, each for itself.

A collection is a container that grows without bound, a table's items or a queue's
messages.  The graph holds its number alone; each of its entries is a *row*:

    collection   the collection's number, for its life
    key, sub     what the entry is found by; ``sub`` is empty where one key says all
    part, place  where it stands among the others: by part, then by place
    value        JSON

A checkpoint writes the rows that differ from those of the one before.  They stand in a
*base*, a SQLite database (``database``) or a JSON document (``document``), and in
*deltas*, of what later checkpoints changed (``delta``).  No file is ever written to again,
so whoever reads a checkpoint reads what it was.

    <module>/<account>_<region>.<cut>.db or .json
    <module>/<account>_<region>.<cut>.delta.jsonl
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from perdure.errors import CorruptionError
from perdure.persistence.fields import Fields
from perdure.persistence.files import read_chunks
from perdure.persistence.keys import Lsn, StoreKey

DATABASE, DOCUMENT, DELTA = ".db", ".json", ".delta.jsonl"
# What a base is, by the module of its store: a database, unless there is a reason.
BASES = {"kinesis": DOCUMENT}  # records are looked at more often than looked up
SUM_BITS = 64
NUMBER_MAX = 1 << 53
# What a delta says of an entry that is gone.
NULL = b"null"
COLUMNS = [int, str, str, int, int, int]
_NAME = re.compile(
    r"(?P<account>[^_/]+)_(?P<region>[^/]+)\.(?P<cut>\d+)(?P<kind>\.db|\.json|\.delta\.jsonl)"
)


class Row(NamedTuple):
    """One entry; ``value`` None = it is gone, and part and place say nothing.

    Attributes:
        digest: 64 bits, signed, that tell the row from any other; 0 of one that is gone.
    """

    collection: int
    key: str
    sub: str
    part: int
    place: int
    value: bytes | None
    digest: int


def row_of(  # noqa: PLR0917 - as they stand in a row
    collection: int, key: str, sub: str, part: int, place: int, value: bytes
) -> Row:
    """A row with its digest."""
    head = f"{collection}\0{key}\0{sub}\0{part}\0{place}\0"
    seen = blake2b(head.encode() + value, digest_size=8)
    digest = int.from_bytes(seen.digest(), "little", signed=True)
    return Row(collection, key, sub, part, place, value, digest)


def value_of(row: Row) -> bytes:
    """What a row that is there says, for a file that is written."""
    # Read back from a delta it would be gone, and its collection would miss it.
    assert row.value not in (None, NULL), f"a row may not say null: {row}"
    return row.value


def gone(collection: int, key: str, sub: str) -> Row:
    """The row of an entry that is no more."""
    return Row(collection, key, sub, 0, 0, None, 0)


class Collection(NamedTuple):
    """A collection as a checkpoint has it.

    Attributes:
        number: Names it.
        kind: What it is, such as ``dynamodb.items``.
        name: For people: a table's, a queue's.
        size: How many rows it has.
        total: The sum of their digests, modulo 2^64.  So a row that is lost is missed.
        end: Above the part and the place of any row it ever had.
    """

    number: int
    kind: str
    name: str
    size: int
    total: int
    end: int


class Stored(NamedTuple):
    """A file of rows: its path in the state directory, bytes, and CRC-32C in hex."""

    file: str
    bytes: int
    checksum: str


def base_kind(key: StoreKey) -> str:
    """What the base of a store is."""
    return BASES.get(key.module, DATABASE)


def file_of(key: StoreKey, cut: Lsn, kind: str) -> str:
    """Where a store's base (``base_kind``) or delta (``DELTA``) of a cut stands."""
    return f"{key.module}/{key.account}_{key.region}.{cut}{kind}"


def cut_and_place(file: str) -> tuple[int, str] | None:
    """Of such a path: the cut, and what of it all files of a store have in common."""
    folder, _, name = file.rpartition("/")
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return int(found["cut"]), f"{folder}/{found['account']}_{found['region']}"


def cut_of(file: str) -> int:
    """The cut in such a path."""
    found = cut_and_place(file)
    assert found is not None, file
    return found[0]


def stored_out(files: Iterable[Stored]) -> list[list[object]]:
    """As JSON has them."""
    return [list(each) for each in files]


def stored_in(row: Fields, key: StoreKey, cut: Lsn) -> tuple[Stored, ...]:
    """What ``stored_out`` made of a store's files, in their order: a base, then deltas."""
    if "entries" not in row.values:
        return ()
    found = row.items("entries")
    stored = []
    for each in found:
        if not isinstance(each, list) or [type(part) for part in each] != [str, int, str]:
            raise row.refusal("entries", "a list of [file, bytes, checksum]", found)
        stored.append(Stored(*each))
    cuts = [_cut_of(each.file, key, number) for number, each in enumerate(stored)]
    if -1 in cuts or sorted(set(cuts)) != cuts or max(cuts, default=0) > cut:
        raise row.refusal("entries", f"files of {key} up to cut {cut}, in order", found)
    return tuple(stored)


def _cut_of(file: str, key: StoreKey, number: int) -> int:
    for kind in (base_kind(key), DELTA) if number == 0 else (DELTA,):
        found = cut_and_place(file)
        if found is not None and file == file_of(key, Lsn(found[0]), kind):
            return found[0]
    return -1


def collections_out(found: Iterable[Collection]) -> list[list[object]]:
    """As headers have them."""
    return [list(each) for each in found]


def collections_in(row: Fields) -> tuple[Collection, ...]:
    """What ``collections_out`` made; a file from before there were any has none."""
    if "collections" not in row.values:
        return ()
    found = row.items("collections")
    collections = []
    for each in found:
        if not isinstance(each, list) or [type(part) for part in each] != COLUMNS:
            raise row.refusal(
                "collections", "[number, kind, name, size, total, end] of each", found
            )
        collection = Collection(*each)
        counts = collection.number, collection.size, collection.end
        if not all(0 <= count < NUMBER_MAX for count in counts):
            raise row.refusal("collections", "numbers and sizes below 2^53", each[0])
        if not 0 <= collection.total < 1 << SUM_BITS:
            raise row.refusal("collections", "totals from 0, below 2^64", collection.total)
        collections.append(collection)
    if len({each.number for each in collections}) < len(collections):
        raise row.refusal("collections", "each once", found)
    return tuple(collections)


def total_of(rows: Iterable[Row]) -> int:
    """The sum of their digests, modulo 2^64."""
    return sum(row.digest for row in rows) % (1 << SUM_BITS)


def checksum_of(path: Path) -> tuple[int, str]:
    """Bytes and CRC-32C, in hex, of a file of rows.

    Raises:
        FileNotFoundError: There is none.
        CorruptionError: It cannot be read.
    """
    from crc32c import crc32c

    size, found = 0, 0
    for chunk in read_chunks(path, what="entries"):
        size, found = size + len(chunk), crc32c(chunk, found)
    return size, f"{found:08x}"


def verify(root: Path, stored: Stored) -> Path:
    """Whether a file of rows is what was written; its path.

    Raises:
        CorruptionError: It is gone, or not what was written.
    """
    path = root / stored.file
    try:
        size, checksum = checksum_of(path)
    except FileNotFoundError as error:
        raise CorruptionError(path, "entries", expected="a file", found="nothing") from error
    if size != stored.bytes:
        raise CorruptionError(path, "entries length", expected=stored.bytes, found=size)
    if checksum != stored.checksum:
        raise CorruptionError(path, "entries CRC", expected=stored.checksum, found=checksum)
    return path
