"""Bytes of a request: its body whole, aws-chunked undone, CORS headers.

``aws-chunked`` wraps a body in chunks of its own, signed or not, with checksums
behind the last one.  It is undone here, so that nothing behind the gateway ever
sees chunk signatures in a body; the trailing headers join the others.

    aws-chunked  = *chunk last-chunk *trailer CRLF
    chunk        = size-hex [";chunk-signature=" hex] CRLF data CRLF
    last-chunk   = "0" [";chunk-signature=" hex] CRLF
    trailer      = name ":" value CRLF

Source: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and
sigv4-streaming-trailers.html.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from perdure.engine.calls import Headers
from perdure.errors import RequestError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "localhost.localstack.cloud"})
HEX = re.compile(rb"[0-9a-fA-F]{1,16}")
CHUNK_LINE_BYTES_MAX = 4096
TRAILERS_BYTES_MAX = 64 << 10
CUT_SHORT = "a chunk is cut short"
BODY_BYTES_MAX = 6 << 30  # S3 takes 5 GiB in one put
CORS_METHODS = "HEAD,GET,PUT,POST,DELETE,OPTIONS,PATCH"
CORS_HEADERS = (
    "authorization,cache-control,content-length,content-md5,content-type,etag,location,"
    "x-amz-acl,x-amz-content-sha256,x-amz-date,x-amz-request-id,x-amz-security-token,"
    "x-amz-tagging,x-amz-target,x-amz-user-agent,x-amz-version-id,x-amzn-requestid"
)
CORS_EXPOSED = "etag,x-amz-version-id,x-amz-request-id,x-amzn-requestid,x-amzn-errortype"


class DisconnectedError(Exception):
    """The client went away before its request was whole; there is nobody to answer."""


async def read_body(receive: Receive, headers: dict[str, str]) -> bytes:
    """The whole body, as sent.

    Raises:
        DisconnectedError: The client went away.
        RequestError: It is larger than any AWS service takes.
    """
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > BODY_BYTES_MAX:
        raise too_large()
    parts = []
    received = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        part: bytes = message.get("body", b"")
        if part:
            received += len(part)
            if received > BODY_BYTES_MAX:
                raise too_large()
            parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large() -> RequestError:
    """What to raise where no AWS service takes that much."""
    return RequestError(
        "EntityTooLarge",
        f"the request body exceeds {BODY_BYTES_MAX} bytes",
        status=413,
    )


def is_aws_chunked(headers: dict[str, str]) -> bool:
    """Whether the body is wrapped in chunks of AWS' own."""
    return headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or (
        "aws-chunked" in headers.get("content-encoding", "")
    )


def undo_aws_chunked(body: bytes, headers: dict[str, str]) -> tuple[bytes, Headers]:
    """The body without its chunks, and the trailing headers.

    Raises:
        RequestError: The chunks are malformed or do not add up to
            ``x-amz-decoded-content-length``.
    """
    chunks = Unchunker()
    decoded = chunks.feed(body)
    trailers = chunks.finish()
    expected = headers.get("x-amz-decoded-content-length", "")
    if expected.isdigit() and int(expected) != len(decoded):
        raise other_length(len(decoded), expected)
    return decoded, trailers


class Unchunker:
    """Takes a body's chunks as they arrive, and gives what is in them."""

    def __init__(self) -> None:
        # What cannot be told yet: the beginning of a line, or all trailers.
        self._rest = b""
        self._left = 0
        self._read: Callable[[bytes, int], int] | None = self._line
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """The bytes of objects in the next bytes of the body.

        Raises:
            RequestError: They are no chunks.
        """
        data = self._rest + data if self._rest else data
        at, before = 0, -1
        while self._read is not None and at != before:
            before = at
            at = self._read(data, at)
        self._rest = data[at:]
        if len(self._rest) > TRAILERS_BYTES_MAX:
            raise _malformed("what follows the last chunk does not end")
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> Headers:
        """The trailing headers, at the end of the body; ``RequestError`` if it is cut."""
        if self._read is not None:
            is_line = self._read == self._line
            raise _malformed("a chunk's size line does not end" if is_line else CUT_SHORT)
        return _trailers(self._rest)

    def _line(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at, at + CHUNK_LINE_BYTES_MAX)
        if end < 0:
            if len(data) - at >= CHUNK_LINE_BYTES_MAX:
                raise _malformed("a chunk's size line does not end")
            return at
        self._left = _chunk_size(data[at:end])
        self._read = self._data if self._left else None
        return end + 2

    def _data(self, data: bytes, at: int) -> int:
        part = data[at : at + self._left]
        if part:
            self._parts.append(part)
            self._left -= len(part)
        if self._left == 0:
            self._read = self._end
        return at + len(part)

    def _end(self, data: bytes, at: int) -> int:
        found = data[at : at + 2]
        if found != b"\r\n"[: len(found)]:
            raise _malformed(CUT_SHORT)
        if len(found) < 2:  # noqa: PLR2004 - not both yet
            return at
        self._read = self._line
        return at + 2


def plain_headers(headers: Headers, trailers: Headers) -> Headers:
    """The headers as they would stand on a request that was never chunked."""
    kept: Headers = []
    for name, value in headers:
        if name in ("x-amz-decoded-content-length", "x-amz-trailer", "transfer-encoding"):
            continue
        if name == "x-amz-content-sha256":
            kept.append((name, "UNSIGNED-PAYLOAD"))
        elif name == "content-encoding":
            rest = [part.strip() for part in value.split(",") if part.strip() != "aws-chunked"]
            if rest:
                kept.append((name, ",".join(rest)))
        else:
            kept.append((name, value))
    return kept + [(n, v) for n, v in trailers if n.startswith("x-amz-checksum-")]


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    # int() also takes signs, underscores and 0x.
    if not HEX.fullmatch(digits):
        raise _malformed(f"{digits[:20]!r} is no chunk size")
    return int(digits, 16)


def _trailers(rest: bytes) -> Headers:
    found = []
    for line in rest.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.strip().lower().decode("latin-1"), value.strip().decode("latin-1")))
    return found


def other_length(found: int, declared: str) -> RequestError:
    """What to raise where a body is not as long as its client said."""
    return _malformed(f"{found} bytes where {declared} were declared")


def _malformed(what: str) -> RequestError:
    return RequestError("IncompleteBody", f"the aws-chunked body is malformed: {what}", status=400)


def is_local(origin: str) -> bool:
    """Whether a browser's page comes from this machine.

    Any other page must neither read what runs here nor reset it.
    """
    host = urlsplit(origin).hostname or ""
    return host in LOCAL_HOSTS or host.endswith((".localhost", ".localhost.localstack.cloud"))


def is_allowed(origin: str, trusted: frozenset[str]) -> bool:
    """Whether a page may do what local ones may: it is one, or the user named its origin."""
    return is_local(origin) or "*" in trusted or origin.lower() in trusted


def cors_headers(
    request: dict[str, str], present: Iterable[str], trusted: frozenset[str] = frozenset()
) -> Headers:
    """What lets an allowed page read the answer; nothing a service already said is repeated."""
    origin = request.get("origin")
    if origin is None or "access-control-allow-origin" in present:
        return []
    if not is_allowed(origin, trusted):
        return []
    asked = request.get("access-control-request-headers")
    headers = [
        ("access-control-allow-origin", origin),
        ("access-control-allow-methods", CORS_METHODS),
        ("access-control-allow-headers", asked or CORS_HEADERS),
        ("access-control-expose-headers", CORS_EXPOSED),
        ("vary", "origin"),
    ]
    if request.get("access-control-request-private-network") == "true":
        headers.append(("access-control-allow-private-network", "true"))
    return headers
