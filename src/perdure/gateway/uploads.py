"""Bodies that go to disk while they arrive: S3's objects and parts, if they are large.

A body is kept in memory until it is larger than what an object keeps in itself; from then on
it is written to a blob, about a megabyte at a time, by another thread, which hashes it as
well.  Chunks of AWS' own are undone on the way.  Every other body is whole in memory before
its call runs, as before.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qsl

from perdure.engine.bodies import INLINE_BYTES
from perdure.engine.calls import Call, Headers
from perdure.errors import DurabilityError, NoRoomError, RequestError
from perdure.gateway import wire
from perdure.gateway.checksums import Checksums
from perdure.persistence.blobs import BlobStore, BlobWriter
from perdure.persistence.body import Body, whole

Result = TypeVar("Result")
# What is written at a time, and held in memory besides what the socket has.
PIECE_BYTES = 512 << 10
# What may stand in the query of a request that puts an object or a part.
PLAIN_QUERY = re.compile(
    r"x-id|uploadId|partNumber|AWSAccessKeyId|Signature|Expires|x-amz-.*", re.IGNORECASE
)


def may_be_large(method: str, headers: dict[str, str]) -> bool:
    """Whether the head of a request leaves it open that its body is a large object."""
    if method != "PUT" or "x-amz-copy-source" in headers:
        return False
    declared = declared_bytes(headers)
    return declared is None or declared > INLINE_BYTES


def declared_bytes(headers: dict[str, str]) -> int | None:
    """How long the body will be without chunks, as far as the client says."""
    name = "x-amz-decoded-content-length" if wire.is_aws_chunked(headers) else "content-length"
    declared = headers.get(name, "")
    # Not ``isdigit``: that takes digits of other scripts, and any number of them.
    return int(declared) if re.fullmatch(r"[0-9]{1,18}", declared) else None


def puts_object(call: Call) -> bool:
    """Whether a call stores its body as an object, or a part of one."""
    bucket, _, key = call.path[1:].partition("/")
    names = [name for name, _ in parse_qsl(call.query, keep_blank_values=True)]
    kinds = [value for name, value in call.headers if name == "content-type"]
    return (
        call.service.module == "s3"
        and call.method == "PUT"
        and bool(bucket and key)
        and all(PLAIN_QUERY.fullmatch(name) for name in names)
        # moto takes such a body apart, and stores the file in it.
        and not any(kind.startswith("multipart/form-data") for kind in kinds)
    )


async def receive_object(
    receive: wire.Receive, headers: dict[str, str], store: BlobStore
) -> tuple[bytes | Body, Headers]:
    """A body without chunks, in memory or in a blob, and its trailing headers.

    Raises:
        DisconnectedError: The client went away.
        RequestError: The chunks are malformed, a checksum is wrong, the body is too large,
            or the disk is too full for it.  Nothing of it is left.
    """
    declared = declared_bytes(headers)
    if declared is not None and declared > wire.BODY_BYTES_MAX:
        raise wire.too_large()
    incoming = _Incoming(store, headers)
    try:
        if declared is not None and not store.has_room(declared):
            raise store.no_room(declared)
        chunks = wire.Unchunker() if wire.is_aws_chunked(headers) else None
        async for data in _parts(receive):
            await incoming.take(chunks.feed(data) if chunks else data)
        trailers: Headers = chunks.finish() if chunks else []
        if chunks and declared is not None and incoming.size != declared:
            raise wire.other_length(incoming.size, str(declared))
        return await incoming.end([*headers.items(), *trailers]), trailers
    except NoRoomError as error:
        raise RequestError("ServiceUnavailable", f"{error} ({error.hint})", status=503) from error
    except DurabilityError as error:
        raise RequestError("InternalError", f"{error} ({error.hint})", status=500) from error
    finally:
        incoming.close()


async def _parts(receive: wire.Receive) -> AsyncIterator[bytes]:
    received = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise wire.DisconnectedError
        data: bytes = message.get("body", b"")
        received += len(data)
        # Of chunks, too: their sizes may be one byte, and their lines long.
        if received > 2 * wire.BODY_BYTES_MAX:
            raise wire.too_large()
        if data:
            yield data
        if not message.get("more_body", False):
            return


class _Incoming:
    """A body that arrives: in memory, until it is too large for that.

    Whoever waits for a thread that writes may be cancelled, as all are when the server
    stops; the thread goes on.  So what it works with is dropped by whoever is last.
    """

    def __init__(self, store: BlobStore, headers: dict[str, str]) -> None:
        self.store = store
        self.size = 0
        self._checksums = Checksums(headers)
        self._waiting = bytearray()
        self._writer: BlobWriter | None = None
        self._working = threading.Lock()
        self._is_closed = False

    async def take(self, data: bytes) -> None:
        """The next bytes."""
        self.size += len(data)
        if self.size > wire.BODY_BYTES_MAX:
            raise wire.too_large()
        self._waiting += data
        # Only what one read of the socket brought comes on top of a piece.
        if self.size > INLINE_BYTES and len(self._waiting) >= PIECE_BYTES:
            await asyncio.to_thread(self._work, self._write)

    async def end(self, headers: Headers) -> bytes | Body:
        """All of it, if its checksums are right."""
        if self.size > INLINE_BYTES:
            return await asyncio.to_thread(self._work, partial(self._commit, headers))
        body = bytes(self._waiting)
        self._checksums.update(body)
        self._checksums.refuse_wrong(headers)
        return body

    def _work(self, work: Callable[[], Result]) -> Result:
        """In a thread beside the event loop: do something, unless it was closed before."""
        try:
            with self._working:
                if self._is_closed:
                    raise wire.DisconnectedError
                return work()
        finally:
            # Behind the lock: whatever came before ``close`` asked for it is seen here.
            if self._is_closed:
                self._drop()

    def _write(self) -> None:
        data = bytes(self._waiting)
        self._waiting.clear()
        if self._writer is None:
            self._writer = self.store.begin()
        self._writer.write(data)
        self._checksums.update(data)

    def _commit(self, headers: Headers) -> Body:
        self._write()
        self._checksums.refuse_wrong(headers)
        assert self._writer is not None
        blob = self._writer.commit()
        return Body(self.store, [whole(blob)])

    def close(self) -> None:
        """Drop what has not become a body, without waiting for a thread."""
        self._is_closed = True
        self._drop()

    def _drop(self) -> None:
        # Not free: a thread is at work, and drops it when it is through.
        if self._working.acquire(blocking=False):
            try:
                if self._writer is not None:
                    self._writer.discard()
            finally:
                self._working.release()
