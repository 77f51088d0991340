"""One segment of the journal: a preallocated file of framed records.

A segment is named after the first LSN it may hold.  Its bytes are never rewritten; the
one legal change is cutting a torn tail, once, before a new segment follows it.

Header, one block of a multiple of 4096 bytes (all integers little-endian):

    byte  size  field
    0     8     magic PRDJRNAL
    8     4     format version, 1
    12    4     size of this header, bytes
    16    8     first LSN
    24    16    instance id
    40    4     link: CRC of the last record header of the segment before; 0 = none
    44    4     length n of the engine's fingerprint
    48    4     CRC-32 of bytes 64 to the end of the header
    52    8     zeros
    60    4     CRC-32 of bytes 0 to 59
    64    n     the engine's fingerprint, a JSON object of strings; then zeros

Record, at a multiple of 32:

    byte  size  field
    0     4     kind, never 0; 0xFFFFFFFF = SEAL
    4     4     payload length n, bytes
    8     8     LSN; of a SEAL: the first of the segment that follows
    16    4     LSN - durable LSN, as known when this was appended; 0xFFFFFFFF = unknown
    20    4     CRC-32 of payload and padding
    24    4     link: CRC of the record header before; of the first: of the segment header
    28    4     CRC-32 of bytes 0 to 27, seeded with CRC-32 of instance id and first LSN
    32    n     payload, then zeros up to a multiple of 32

The file is preallocated, so what follows the last record is zeros: a header of zeros is
the end.  Why two CRCs: with one, a damaged length looks like a record cut short, and
what follows it would be dropped as a torn tail.  Why 32: a header never straddles a
sector, so a crash leaves it whole or absent.  Why the seed: a record of another segment,
or a copy of one in somebody's payload, is no record here.  Why the link is a field and
not the seed: a header can then be recognised behind a hole, and its durable LSN proves
that what is missing was once on disk (``proof``).

Normative text: docs/on-disk-format.md, section 7.  Why so: docs/adr/0004.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple, Self

from perdure.errors import CorruptionError, FormatVersionError
from perdure.persistence import fields
from perdure.persistence.files import CAUTIOUS, kind_of
from perdure.persistence.keys import Lsn

MAGIC = b"PRDJRNAL"
FORMAT = 1
BLOCK = 4096
ALIGNMENT = 32
SEAL = 0xFFFFFFFF
PAYLOAD_BYTES_MAX = 0xFFFFFFFF
HEADER_BYTES_MAX = 1 << 20
FOLDER = "journal"
SUFFIX = ".wal"
CHUNK = 1 << 20
UNKNOWN = 0xFFFFFFFF

PREFIX = Struct("<8sIIQ16sIII8x")
CRC = Struct("<I")
TEXT_AT = 64
RECORD = Struct("<IIQIII")
FRAME = Struct("<IIQIIII")
FRAME_BYTES = FRAME.size
NO_FRAME = bytes(FRAME_BYTES)
PADDING = tuple(bytes(n) for n in range(ALIGNMENT))
_NAME = re.compile(r"(\d{20})\.wal")
assert PREFIX.size + CRC.size == TEXT_AT
assert RECORD.size + CRC.size == FRAME_BYTES == ALIGNMENT


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What the first block of a segment says.

    Attributes:
        first: The first LSN it may hold.
        instance: 32 hex digits, as in ``perdure.json``.
        link: CRC of the last record header of the segment before, u32; 0 = none.
        fingerprint: What shaped the answers in it: versions, quirks, hash seed, host.
        size: Of the header, bytes: where the first record stands.
        crc: Its own, u32; the first record links to it.
    """

    first: Lsn
    instance: str
    link: int
    fingerprint: Mapping[str, str]
    size: int
    crc: int


class Record(NamedTuple):
    """One record as it stands in a segment.

    ``payload`` is empty where only frames were asked for; ``crc`` is the header's.
    ``durable`` is the last LSN that was durable when the record was appended, as far as
    it says; 0 = it does not.
    """

    lsn: Lsn
    kind: int
    payload: bytes
    offset: int
    crc: int
    durable: int = 0


class Flaw(NamedTuple):
    """Where a record or a segment's header should stand and does not.

    Torn or corrupt is not known from here: see ``tail``.
    """

    offset: int
    lsn: Lsn
    what: str
    expected: object
    found: object


class End(NamedTuple):
    """Where a segment's records end.

    Attributes:
        offset: Behind the last record, bytes; a SEAL is not counted.
        next_lsn: The LSN that would follow.
        link: CRC of the last record header before, or of the segment's.
        is_sealed: Whether the segment names the one that follows it.
        flaw: What stands there, if it is neither zeros nor a SEAL.
    """

    offset: int
    next_lsn: Lsn
    link: int
    is_sealed: bool
    flaw: Flaw | None


def name_of(first: Lsn) -> str:
    """The file name of the segment that starts with an LSN."""
    return f"{first:020d}{SUFFIX}"


def first_of(path: Path) -> Lsn:
    """The LSN in a segment's name.

    Raises:
        CorruptionError: It is no name of a segment.
    """
    found = _NAME.fullmatch(path.name)
    if found is None or not 0 < int(found[1]) <= fields.INTEGER_MAX:
        raise CorruptionError(
            path, "segment name", expected="an LSN of 20 digits and .wal", found=path.name
        )
    return Lsn(int(found[1]))


def seed_of(instance: str, first: Lsn) -> int:
    """What the CRC of every record header of one segment starts with, u32."""
    return zlib.crc32(bytes.fromhex(instance) + first.to_bytes(8, "little"))


def frame_bytes(payload_bytes: int) -> int:
    """What a record takes in a segment, bytes."""
    return FRAME_BYTES + payload_bytes + -payload_bytes % ALIGNMENT


def encode_header(first: Lsn, *, instance: str, link: int, fingerprint: Mapping[str, str]) -> bytes:
    """The first block of a segment."""
    text = json.dumps(dict(fingerprint), sort_keys=True, separators=(",", ":")).encode()
    size = -(-(TEXT_AT + len(text)) // BLOCK) * BLOCK
    assert size <= HEADER_BYTES_MAX, "a fingerprint is small"
    rest = text.ljust(size - TEXT_AT, b"\0")
    prefix = PREFIX.pack(
        MAGIC,
        FORMAT,
        size,
        first,
        bytes.fromhex(instance),
        link,
        len(text),
        zlib.crc32(rest),
    )
    return prefix + CRC.pack(zlib.crc32(prefix)) + rest


def crc_of_header(block: bytes) -> int:
    """The own CRC of an encoded header, u32."""
    (crc,) = CRC.unpack_from(block, PREFIX.size)
    return int(crc)


def encode_record(
    kind: int, parts: Sequence[bytes], *, lsn: int, durable: int, link: int, seed: int
) -> tuple[bytes, int]:
    """A record as bytes, and its header's CRC.

    Args:
        kind: From 1 to ``SEAL`` - 1; ``SEAL`` only from ``encode_seal``.
        parts: The payload, in pieces: nobody needs to join it first.
        lsn: Its number.
        durable: The durable LSN as known now, below ``lsn``.
        link: CRC of the record header before, u32.
        seed: ``seed_of`` the segment.
    """
    length = crc = 0
    for part in parts:
        length += len(part)
        crc = zlib.crc32(part, crc)
    padding = PADDING[-length % ALIGNMENT]
    behind = min(lsn - durable, UNKNOWN)
    head = RECORD.pack(kind, length, lsn, behind, zlib.crc32(padding, crc), link)
    own = zlib.crc32(head, seed)
    return b"".join((head, CRC.pack(own), *parts, padding)), own


def encode_seal(following: Lsn, *, link: int, seed: int) -> bytes:
    """The last record of a segment: which one follows.  All before it is durable by then."""
    return encode_record(SEAL, (), lsn=following, durable=following - 1, link=link, seed=seed)[0]


class SegmentReader:
    """One segment, opened to be read from its start; a context manager.

    Order of use: header -> records -> end; or proof, at any time.
    """

    def __init__(self, path: Path, instance: str) -> None:
        """Open it; nothing is read yet.

        Raises:
            FileNotFoundError: It is gone.
            CorruptionError: It is no regular file with a segment's name, or cannot be read.
        """
        self.path, self.instance = path, instance
        self.first = first_of(path)
        self.seed = seed_of(instance, self.first)
        self._file = _open(path)
        self.size = os.fstat(self._file.fileno()).st_size
        self.end: End | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def header(self) -> SegmentHeader | Flaw:
        """The segment's header, or what is wrong with it.

        Raises:
            FormatVersionError: A newer Perdure wrote it.
            CorruptionError: It is whole, but says what no writer does.
        """
        self._file.seek(0)
        prefix = self._file.read(TEXT_AT)
        if len(prefix) < TEXT_AT:
            return self._flaw(0, "length", f">= {TEXT_AT} bytes", len(prefix))
        magic, version, size, first, instance, link, length, crc = PREFIX.unpack_from(prefix)
        if magic != MAGIC:
            return self._flaw(0, "magic", MAGIC, magic)
        own = crc_of_header(prefix)
        if own != zlib.crc32(prefix[: PREFIX.size]):
            return self._flaw(0, "header CRC", _hex(zlib.crc32(prefix[: PREFIX.size])), _hex(own))
        if version > FORMAT:
            raise FormatVersionError(self.path, found=version, supported=FORMAT)
        self._check(TEXT_AT + length <= size <= HEADER_BYTES_MAX, "header size", size)
        self._check(size % BLOCK == 0, "header size", size)
        self._check(first == self.first, "first LSN", first)
        rest = self._file.read(size - TEXT_AT)
        if zlib.crc32(rest) != crc or len(rest) < size - TEXT_AT:
            return self._flaw(0, "fingerprint CRC", _hex(crc), _hex(zlib.crc32(rest)))
        fingerprint = fields.decode(
            b'{"fingerprint":' + rest[:length] + b"}",
            self.path,
            "segment",
            lambda document: document.texts("fingerprint"),
        )
        return SegmentHeader(self.first, instance.hex(), link, fingerprint, size, own)

    def records(self, header: SegmentHeader, *, with_payload: bool) -> Iterator[Record]:
        """Every record up to the first place where none stands; ``end`` says what is there.

        Memory is bounded by the largest record, or without payloads by ``CHUNK``.
        """
        offset, lsn, link = header.size, header.first, header.crc
        self.end = None
        while True:
            self._file.seek(offset)
            found = self._record(offset, lsn, link, with_payload=with_payload)
            if found is None:
                self.end = End(offset, lsn, link, is_sealed=False, flaw=self._rest(offset, lsn))
                return
            if isinstance(found, Flaw):
                self.end = End(offset, lsn, link, is_sealed=False, flaw=found)
                return
            record, size = found
            if record.kind == SEAL:
                self.end = End(
                    offset, lsn, link, is_sealed=True, flaw=self._rest(offset + size, lsn)
                )
                return
            yield record
            offset, lsn, link = offset + size, Lsn(lsn + 1), record.crc

    def proof(self, lsn: Lsn, *, start: int) -> Record | None:
        """A later record whose header says that ``lsn`` was durable; None = there is none.

        Searched at every place where a header may stand, since a damaged one hides where
        the next is.  A copy of this very segment inside of a payload proves nothing: its
        records are older than the one that carries it.

        Args:
            lsn: Of the record that is missing.
            start: From where on, bytes, a multiple of ``ALIGNMENT``.
        """
        self._file.seek(start)
        while chunk := self._file.read(CHUNK):
            whole = len(chunk) - len(chunk) % FRAME_BYTES
            for index, frame in enumerate(FRAME.iter_unpack(chunk[:whole])):
                kind, _, found, behind, _, _, own = frame
                if not kind or not 0 < behind < UNKNOWN or found - behind < lsn:
                    continue
                at = index * FRAME_BYTES
                if zlib.crc32(chunk[at : at + RECORD.size], self.seed) == own:
                    return Record(Lsn(found), kind, b"", start + at, own, found - behind)
            start += len(chunk)
        return None

    def used_bytes(self) -> int:
        """Where the zeros at the end of the file begin."""
        end = self.size
        while end:
            start = max(0, end - CHUNK)
            self._file.seek(start)
            kept = self._file.read(end - start).rstrip(b"\0")
            if kept:
                return start + len(kept)
            end = start
        return 0

    def _record(
        self, offset: int, lsn: Lsn, link: int, *, with_payload: bool
    ) -> tuple[Record, int] | Flaw | None:
        """The record with the bytes it takes, or a flaw; None = zeros."""
        frame = self._file.read(FRAME_BYTES)
        if frame == NO_FRAME[: len(frame)]:
            return None
        if len(frame) < FRAME_BYTES:
            return self._flaw(offset, "record header", f"{FRAME_BYTES} bytes", len(frame), lsn)
        kind, length, found, behind, crc, before, own = FRAME.unpack(frame)
        computed = zlib.crc32(frame[: RECORD.size], self.seed)
        if own != computed:
            return self._flaw(offset, "record header CRC", _hex(computed), _hex(own), lsn)
        if not kind or not behind:
            return self._flaw(offset, "kind and distance", "not 0", (kind, behind), lsn)
        if found != lsn:
            return self._flaw(offset, "LSN", lsn, found, lsn)
        if before != link:
            return self._flaw(offset, "link", _hex(link), _hex(before), lsn)
        size = frame_bytes(length)
        # Before anything is read: a length can promise more than there is memory.
        if offset + size > self.size:
            return self._flaw(offset, "record end", f"<= {self.size}", offset + size, lsn)
        payload, computed = self._payload(length, size - FRAME_BYTES, with_payload=with_payload)
        if computed != crc:
            return self._flaw(offset, "payload CRC", _hex(crc), _hex(computed), lsn)
        durable = found - behind if behind < UNKNOWN else 0
        return Record(lsn, kind, payload, offset, own, durable), size

    def _payload(self, length: int, padded: int, *, with_payload: bool) -> tuple[bytes, int]:
        if with_payload:
            data = self._file.read(padded)
            return data[:length], zlib.crc32(data)
        crc = 0
        while padded and (data := self._file.read(min(padded, CHUNK))):
            padded, crc = padded - len(data), zlib.crc32(data, crc)
        return b"", crc

    def _rest(self, offset: int, lsn: Lsn) -> Flaw | None:
        """None if only zeros follow: a page that was kept without the one before is a flaw."""
        used = self.used_bytes()
        if used <= offset:
            return None
        return self._flaw(offset, "record", "zeros to the end", f"bytes up to {used}", lsn)

    def _flaw(
        self, offset: int, what: str, expected: object, found: object, lsn: Lsn | None = None
    ) -> Flaw:
        return Flaw(offset, self.first if lsn is None else lsn, what, expected, found)

    def _check(self, holds: bool, what: str, found: object) -> None:  # noqa: FBT001 - as assert
        if not holds:
            raise CorruptionError(self.path, what, expected="as its name and size say", found=found)


def _hex(crc: int) -> str:
    return f"{crc:#010x}"


def _open(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | CAUTIOUS)
    except FileNotFoundError:
        raise
    except OSError as error:
        found = "a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise CorruptionError(path, "segment", expected="a regular file", found=found) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise CorruptionError(path, "segment", expected="a regular file", found=kind_of(mode))
    return os.fdopen(descriptor, "rb", buffering=CHUNK)
