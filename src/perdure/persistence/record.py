"""What a record of the journal says: a call to run again, or stores as they became.

    CALL     a request with its pins, what came through doors, and a digest of its answer
    IMAGES   after-images: stores as state files, of a change that cannot be run again
    MARK     a checkpoint's cut; says nothing

A payload is a length, a JSON object of that length, and bytes it gives the lengths of:

    byte  size  field                              (integers little-endian)
    0     4     length n of the description, bytes
    4     n     description, JSON
    4+n   ...   CALL: the body, unless blobs hold it, then each door's bytes; IMAGES:
                each state file, the process state last; nothing behind them

Normative text: docs/on-disk-format.md, 7.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from perdure.errors import CorruptionError, StateError
from perdure.persistence import fields, statefile
from perdure.persistence.blobs import Blob
from perdure.persistence.fields import Fields
from perdure.persistence.keys import StoreKey

CALL, IMAGES, MARK = 1, 2, 3
LENGTH = struct.Struct("<I")
DESCRIPTION_BYTES_MAX = 16 << 20
FIELD = b'"blobs"'
MD5 = re.compile(r"[0-9a-f]{32}")
SEED = re.compile(r"[0-9a-f]{16}")


class CallRecord(NamedTuple):
    """One call as it arrived, and what it needs to be run again alike.

    Attributes:
        request: What the gateway made of the request; all texts, but for ``headers``,
            a list of pairs, and ``form``, a bool.
        body: Whole, de-chunked; or the blobs it is made of, at least one.
        clock_us: The pinned time, microseconds since 1970, UTC.
        seed: The pinned seed of all randomness, 64 bits.
        may_park: Whether a poll that found nothing was to raise instead of answer.
        doors: Name and bytes of what came in through each door, in order.
        answer: Digest of the answer, or what stands for an error.
        md5: Of a body in one blob, hex, for the ETag; None = to be computed.  A wrong one
            is a divergence, as the answer shows it.
    """

    request: dict[str, Any]
    body: bytes | tuple[Blob, ...]
    clock_us: int
    seed: int
    may_park: bool
    doors: tuple[tuple[str, bytes], ...]
    answer: str
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class ImagesRecord:
    """Stores as they became.

    Attributes:
        reason: What changed them, for people.
        clock_us: The clock at that time: none after it may be earlier.
        last_id: The last export id given.
        stores: Each store's state file, whole.
        process: The state file of what belongs to no store.
        lost: Stores that changed and could not be captured, with the reason.
    """

    reason: str
    clock_us: int
    last_id: int
    stores: tuple[tuple[StoreKey, bytes], ...]
    process: bytes
    lost: tuple[tuple[StoreKey, str], ...] = field(default=())


def encode_call(record: CallRecord) -> Sequence[bytes]:
    """The payload, in parts; their sum is what ``decode_call`` reads."""
    body = record.body
    in_record = body if isinstance(body, bytes) else b""
    # Never both: a reader that knows no blobs must not take the body for empty.
    where: dict[str, Any]
    if isinstance(body, bytes):
        where = {"body": len(body)}
    else:
        where = {"blobs": [[blob.name, blob.size] for blob in body]}
    if record.md5 is not None:
        where["md5"] = record.md5
    description = {
        "request": record.request,
        **where,
        "clock_us": record.clock_us,
        # JSON's numbers hold 53 bits elsewhere; a text is exact for every reader.
        "seed": f"{record.seed:016x}",
        "may_park": record.may_park,
        "doors": [[name, len(data)] for name, data in record.doors] if record.doors else [],
        "answer": record.answer,
    }
    if not record.doors:
        return _described(description), in_record
    return (_described(description), in_record, *(data for _, data in record.doors))


def decode_call(payload: bytes, *, path: Path) -> CallRecord:
    """What ``encode_call`` encoded.

    Raises:
        CorruptionError: The record's checksum is right, and its content is not.
    """
    text, at = _description(payload, path)
    return fields.decode(text, path, "call", lambda found: _call(found, _Parts(payload, at, path)))


def encode_images(record: ImagesRecord) -> Sequence[bytes]:
    """The payload, in parts."""
    description = {
        "reason": record.reason,
        "clock_us": record.clock_us,
        "last_id": record.last_id,
        "stores": [[list(key), len(data)] for key, data in record.stores],
        "process": len(record.process),
        "lost": [[list(key), reason] for key, reason in record.lost],
    }
    return (_described(description), *(data for _, data in record.stores), record.process)


def decode_images(payload: bytes, *, path: Path) -> ImagesRecord:
    """What ``encode_images`` encoded; raises as ``decode_call``."""
    text, at = _description(payload, path)
    return fields.decode(
        text, path, "images", lambda found: _images(found, _Parts(payload, at, path))
    )


def blobs_named(kind: int, payload: bytes, *, path: Path) -> tuple[Blob, ...]:
    """The blobs a record refers to, of its body or of the stores in it.

    Raises:
        CorruptionError, FormatVersionError: Of a record that names some, as its decoder.
    """
    if FIELD not in payload:
        return ()  # spares taking apart what all but a few records are
    if kind == CALL:
        body = decode_call(payload, path=path).body
        return () if isinstance(body, bytes) else body
    if kind == IMAGES:
        stores = decode_images(payload, path=path).stores
        images = [statefile.decode(data, path=path).graph.blobs for _, data in stores]
        return tuple(blob for blobs in images for blob in blobs)
    return ()


class _Parts:
    """The bytes behind a description, taken one after the other."""

    def __init__(self, payload: bytes, at: int, path: Path) -> None:
        self.payload, self.at, self.path = payload, at, path

    def take(self, size: int) -> bytes:
        if size > len(self.payload) - self.at:
            left = len(self.payload) - self.at
            raise CorruptionError(self.path, "record", expected=f"<= {left} bytes", found=size)
        self.at += size
        return self.payload[self.at - size : self.at]

    def end(self) -> None:
        if self.at != len(self.payload):
            left = len(self.payload) - self.at
            raise CorruptionError(
                self.path, "record", expected="nothing behind its parts", found=f"{left} bytes"
            )


def _described(description: dict[str, Any]) -> bytes:
    try:
        text = orjson.dumps(description)
    except orjson.JSONEncodeError:
        # Half of a character, which JSON can only escape.
        text = json.dumps(description, separators=(",", ":")).encode()
    return LENGTH.pack(len(text)) + text


def _description(payload: bytes, path: Path) -> tuple[bytes, int]:
    if len(payload) < LENGTH.size:
        raise CorruptionError(
            path, "record", expected=f">= {LENGTH.size} bytes", found=len(payload)
        )
    (size,) = LENGTH.unpack_from(payload)
    end = LENGTH.size + size
    if size > min(DESCRIPTION_BYTES_MAX, len(payload) - LENGTH.size):
        raise CorruptionError(
            path, "record", expected="a description inside of it", found=f"{size} bytes"
        )
    return payload[LENGTH.size : end], end


def _call(found: Fields, parts: _Parts) -> CallRecord:
    request = _request(found.inner("request"))
    body: bytes | tuple[Blob, ...] = statefile.blobs_in(found)
    if not body:
        body = parts.take(found.integer("body"))
    elif "body" in found.values:
        raise found.refusal("body", "nothing beside blobs", found.values["body"])
    doors = tuple((name, parts.take(size)) for name, size in _sized(found, "doors"))
    parts.end()
    return CallRecord(
        request=request,
        body=body,
        clock_us=found.clock("clock_us"),
        seed=_seed(found),
        may_park=_flag(found, "may_park"),
        doors=doors,
        answer=found.encodable("answer"),
        md5=_md5(found) if "md5" in found.values else None,
    )


def _request(found: Fields) -> dict[str, Any]:
    request = {name: found.encodable(name) for name in found.values.keys() - {"headers", "form"}}
    headers = found.items("headers")
    if not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) for p in pair)  # noqa: PLR2004 - a pair
        for pair in headers
    ):
        raise found.refusal("headers", "a list of [name, value]", headers)
    return {**request, "headers": [tuple(p) for p in headers], "form": _flag(found, "form")}


def _images(found: Fields, parts: _Parts) -> ImagesRecord:
    stores = tuple((_key(found, key), parts.take(size)) for key, size in _sized(found, "stores"))
    process = parts.take(found.integer("process"))
    parts.end()
    return ImagesRecord(
        reason=found.text("reason"),
        clock_us=found.clock("clock_us"),
        last_id=found.integer("last_id"),
        stores=stores,
        process=process,
        lost=_lost(found),
    )


def _sized(found: Fields, name: str) -> list[tuple[Any, int]]:
    """Pairs of something and a length."""
    rows = found.items(name)
    for row in rows:
        if not isinstance(row, list) or len(row) != 2 or type(row[1]) is not int or row[1] < 0:  # noqa: PLR2004 - a pair
            raise found.refusal(name, "a list of [name, length]", rows)
    return [(first, size) for first, size in rows]


def _lost(found: Fields) -> tuple[tuple[StoreKey, str], ...]:
    """Pairs of a store and a reason."""
    rows = found.items("lost")
    for row in rows:
        if not isinstance(row, list) or len(row) != 2 or not isinstance(row[1], str):  # noqa: PLR2004 - a pair
            raise found.refusal("lost", "a list of [store, reason]", rows)
    return tuple((_key(found, key, "lost"), reason) for key, reason in rows)


def _key(found: Fields, parts: object, name: str = "stores") -> StoreKey:
    try:
        return StoreKey.parse(parts)
    except StateError as error:
        raise found.refusal(name, "[module, account, region] of each", parts) from error


def _flag(found: Fields, name: str) -> bool:
    value = found.values.get(name)
    if not isinstance(value, bool):
        raise found.refusal(name, "true or false", value)
    return value


def _md5(found: Fields) -> str:
    text = found.text("md5")
    if not MD5.fullmatch(text):
        raise found.refusal("md5", "32 hex digits", text)
    return text


def _seed(found: Fields) -> int:
    text = found.text("seed")
    # ``int`` alone would take signs, spaces, underscores, and any number of digits.
    if not SEED.fullmatch(text):
        raise found.refusal("seed", "16 hex digits", text)
    return int(text, 16)
