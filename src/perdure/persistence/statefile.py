"""One store on disk: a checked header, then the object graph as inert bytes.

    byte  size  field                                  (integers little-endian)
    0     8     magic, ``PRDSTATE``
    8     4     format version: 2 if it names collections, else 1
    12    4     header length n, bytes
    16    4     CRC-32 of the header
    20    4     CRC-32 of bytes 0..19
    24    n     header, JSON
    24+n  m     payload, m = ``payload.stored`` of the header; nothing behind it

The header names the store, its cut, who wrote it, every class the payload may
build with the attributes its objects have, what they lack, and the stores and
objects it shares.  It is checked before a byte of the
payload is looked at.  It names the blobs the payload refers to as well, so that a sweep
need not unpack it.  The payload is the codec's, compressed with zstd unless
that would shrink it more than ``RATIO_MAX`` times: so a reader can refuse a
small file that promises terabytes without refusing anything Perdure writes.

Normative text: docs/on-disk-format.md.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from perdure.errors import CorruptionError, FormatVersionError
from perdure.persistence import fields
from perdure.persistence.blobs import NAME, Blob
from perdure.persistence.entries import Collection, Row, collections_in, collections_out
from perdure.persistence.fields import Fields
from perdure.persistence.files import read_chunks
from perdure.persistence.keys import ExportId, Lsn, StoreKey
from perdure.persistence.source import Source

MAGIC = b"PRDSTATE"
# 2 names collections: what reads 1 alone would find names in it that it does not know.
FORMAT, WITHOUT_COLLECTIONS = 2, 1
PREFIX = struct.Struct("<8sIII")
PREFIX_CRC = struct.Struct("<I")
HEADER_AT = PREFIX.size + PREFIX_CRC.size
HEADER_BYTES_MAX = 16 << 20
RATIO_MAX = 1000
COMPRESS_FROM_BYTES = 512
LEVEL = 1

assert HEADER_AT == 24  # noqa: PLR2004 - the table above


@dataclass(frozen=True, slots=True)
class Shares:
    """What a store has in common with others.

    ``imports`` are objects whose state another store's file carries, ``exports``
    those this file carries for others, ``stores`` those it points to.
    """

    stores: frozenset[StoreKey] = frozenset()
    imports: frozenset[ExportId] = frozenset()
    exports: frozenset[ExportId] = frozenset()

    def with_(self, other: Shares) -> Shares:
        """What either says."""
        return Shares(
            self.stores | other.stores,
            self.imports | other.imports,
            self.exports | other.exports,
        )


class ClassRow(NamedTuple):
    """A class the payload builds objects of, as its writer knew it.

    ``attributes`` are the names its objects were seen with: what a newer engine's
    constructor sets besides was added since.
    """

    module: str
    name: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """A captured object graph: bytes that name classes by their index.

    ``incomplete`` names attributes (``Class.attribute``) that objects in here lack,
    since they were written by an older engine and nothing says what they would be.
    ``blobs`` are those its bodies are made of, in order of their names.  ``collections``
    are those it names by their numbers, in order of these, and ``rows`` what differs of
    them from the live checkpoint; a graph that is read has no ``rows``.
    """

    payload: bytes
    classes: tuple[ClassRow, ...]
    shares: Shares = field(default_factory=Shares)
    incomplete: tuple[str, ...] = ()
    blobs: tuple[Blob, ...] = ()
    collections: tuple[Collection, ...] = ()
    rows: tuple[Row, ...] = field(default=(), compare=False)

    @property
    def digest(self) -> str:
        """Hex digest by which a checkpoint tells a changed store from an unchanged one."""
        seen = blake2b(self.payload, digest_size=16)
        # What attributes there are follows from the payload.
        classes = [row[:2] for row in self.classes]
        seen.update(json.dumps([classes, _shares_out(self.shares)]).encode())
        return seen.hexdigest()


@dataclass(frozen=True, slots=True)
class StateFile:
    """A store as it stands in a file."""

    key: StoreKey
    cut: Lsn
    written_by: dict[str, str]
    graph: Graph
    # Where its collections' rows are; None of one that has none.
    source: Source | None = field(default=None, compare=False)


def encode(state: StateFile) -> bytes:
    """The file's bytes.  The writer's versions stand in ``written_by``."""
    raw = state.graph.payload
    stored, packing = raw, "none"
    if len(raw) >= COMPRESS_FROM_BYTES:
        packed = zstandard.ZstdCompressor(level=LEVEL).compress(raw)
        if len(raw) <= len(packed) * RATIO_MAX and len(packed) < len(raw):
            stored, packing = packed, "zstd"
    header = json.dumps(
        {
            "store": list(state.key),
            "cut": state.cut,
            "written_by": state.written_by,
            "classes": [_class_out(*row) for row in state.graph.classes],
            "incomplete": list(state.graph.incomplete),
            "shares": _shares_out(state.graph.shares),
            **({"blobs": [list(blob) for blob in state.graph.blobs]} if state.graph.blobs else {}),
            **_collections_out(state.graph.collections),
            "payload": {
                "packing": packing,
                "stored": len(stored),
                "raw": len(raw),
                "blake2b": blake2b(stored, digest_size=16).hexdigest(),
            },
        },
        separators=(",", ":"),
    ).encode()
    version = FORMAT if state.graph.collections else WITHOUT_COLLECTIONS
    prefix = PREFIX.pack(MAGIC, version, len(header), zlib.crc32(header))
    return b"".join((prefix, PREFIX_CRC.pack(zlib.crc32(prefix)), header, stored))


def decode(data: bytes, *, path: Path) -> StateFile:
    """Read a state file, checking everything before anything is built from it.

    Args:
        data: The whole file.
        path: Named in errors, never opened.

    Raises:
        CorruptionError: Not a state file, cut short, or a checksum differs.
        FormatVersionError: Written by a newer Perdure.
    """
    text, at = _header(data, path)
    return fields.decode(text, path, "header", lambda header: _state(header, data[at:]))


def blobs_of(path: Path) -> tuple[Blob, ...]:
    """The blobs a state file names, by its header alone.

    Raises:
        FileNotFoundError: There is none.
        CorruptionError, FormatVersionError: As ``decode``, of the header.
    """
    data = b""
    with closing(read_chunks(path, what="state file")) as chunks:
        for chunk in chunks:
            data += chunk
            if len(data) >= HEADER_AT and len(data) - HEADER_AT >= PREFIX.unpack_from(data)[2]:
                break
    text, _ = _header(data, path)
    return fields.decode(text, path, "header", blobs_in)


def _state(header: Fields, stored: bytes) -> StateFile:
    path, payload = header.path, header.inner("payload")
    _expect(path, "payload length", payload.integer("stored"), len(stored))
    found = blake2b(stored, digest_size=16).hexdigest()
    _expect(path, "payload checksum", payload.text("blake2b"), found)
    raw = _unpack(stored, payload.text("packing"), payload.integer("raw"), path)
    return StateFile(
        header.key("store"),
        Lsn(header.integer("cut")),
        header.texts("written_by"),
        Graph(
            raw,
            tuple(_class_in(header, row) for row in header.items("classes")),
            shares_in(header.inner("shares")),
            _names_in(header, "incomplete", header.items("incomplete")),
            blobs_in(header),
            collections_in(header),
        ),
    )


def _header(data: bytes, path: Path) -> tuple[bytes, int]:
    """The header's text, and where the payload starts."""
    if len(data) < HEADER_AT:
        raise CorruptionError(path, "length", expected=f">= {HEADER_AT} bytes", found=len(data))
    magic, version, length, crc = PREFIX.unpack_from(data)
    _expect(path, "magic", MAGIC, magic)
    (prefix_crc,) = PREFIX_CRC.unpack_from(data, PREFIX.size)
    _expect(path, "prefix CRC", zlib.crc32(data[: PREFIX.size]), prefix_crc)
    if version > FORMAT:
        raise FormatVersionError(path, found=version, supported=FORMAT)
    if length > min(HEADER_BYTES_MAX, len(data) - HEADER_AT):
        raise CorruptionError(
            path, "header length", expected=f"<= {len(data) - HEADER_AT}", found=length
        )
    text = data[HEADER_AT : HEADER_AT + length]
    _expect(path, "header CRC", crc, zlib.crc32(text))
    return text, HEADER_AT + length


def _unpack(stored: bytes, packing: str, raw_bytes: int, path: Path) -> bytes:
    if packing == "none":
        _expect(path, "raw length", raw_bytes, len(stored))
        return stored
    if packing != "zstd":
        raise CorruptionError(path, "packing", expected="none or zstd", found=packing)
    if not 0 <= raw_bytes <= len(stored) * RATIO_MAX:
        raise CorruptionError(
            path, "raw length", expected=f"<= {len(stored) * RATIO_MAX}", found=raw_bytes
        )
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(stored)
    try:
        raw = reader.read(raw_bytes + 1)
    except zstandard.ZstdError as error:
        raise CorruptionError(path, "payload", expected="a zstd frame", found=error) from error
    _expect(path, "raw length", raw_bytes, len(raw))
    return bytes(raw)


def _expect(path: Path, what: str, expected: object, found: object) -> None:
    if expected != found:
        raise CorruptionError(path, what, expected=expected, found=found)


def _shares_out(shares: Shares) -> dict[str, list[Any]]:
    return {
        "stores": sorted(list(key) for key in shares.stores),
        "imports": sorted(shares.imports),
        "exports": sorted(shares.exports),
    }


def shares_in(row: Fields) -> Shares:
    """``stores``, ``imports`` and ``exports``, as headers and manifests have them."""
    return Shares(
        frozenset(row.keys("stores")),
        frozenset(map(ExportId, row.integers("imports"))),
        frozenset(map(ExportId, row.integers("exports"))),
    )


def blobs_in(row: Fields) -> tuple[Blob, ...]:
    """``blobs``, as headers and records have it; a file from before there were any has none."""
    if "blobs" not in row.values:
        return ()
    found = row.items("blobs")
    for blob in found:
        if not isinstance(blob, list) or [type(part) for part in blob] != [str, int]:
            raise row.refusal("blobs", "a list of [name, size]", found)
        # A name becomes part of a path, and nothing else may.
        if not NAME.fullmatch(blob[0]):
            raise row.refusal("blobs", "names of 64 hex digits, and sizes", blob[0])
        if not 0 <= blob[1] <= fields.INTEGER_MAX:
            raise row.refusal("blobs", "sizes from 0, below 2^63", blob[1])
    return tuple(Blob(*blob) for blob in found)


def _collections_out(found: tuple[Collection, ...]) -> dict[str, Any]:
    return {"collections": collections_out(found)} if found else {}


def _class_out(module: str, name: str, attributes: Iterable[str] = ()) -> list[Any]:
    return [module, name, list(attributes)]


def _class_in(header: Fields, row: object) -> ClassRow:
    if not isinstance(row, list) or len(row) != len(ClassRow._fields):
        raise header.refusal("classes", "[module, name, attributes] of each", row)
    module, name = _names_in(header, "classes", row[:2])
    return ClassRow(module, name, _names_in(header, "classes", row[2]))


def _names_in(header: Fields, field: str, names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise header.refusal(field, "a list of names", names)
    return tuple(names)
