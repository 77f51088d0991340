"""Bodies that go out while they are read: a large object's, from its blobs.

Two pieces are in memory besides what the socket has taken: one is read while the one before
it is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any

from perdure.errors import CorruptionError
from perdure.gateway.wire import Receive
from perdure.persistence.body import Body

log = logging.getLogger(__name__)

PIECE_BYTES = 512 << 10
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def send_body(send: Send, body: Body, receive: Receive | None) -> None:
    """Send a body behind its head, as long as somebody takes it.

    Args:
        send: The ASGI server's.
        body: What to send; its length was said.
        receive: Tells when the client goes away; None = nobody asks.

    Raises:
        CorruptionError: A blob went or shrank since the answer began.  The server then
            closes the connection, so the client sees that the body is not whole.
    """
    gone = None if receive is None else asyncio.ensure_future(_gone(receive))
    pieces = body.chunks(PIECE_BYTES)
    following = _read(pieces)
    try:
        while data := await following:
            if gone is not None and gone.done() and gone.result():
                break
            following = _read(pieces)
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except CorruptionError as error:
        log.error("an answer is cut short: %s (%s)", error, error.hint)  # noqa: TRY400
        raise
    finally:
        for task in (following, gone):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, CorruptionError):
                    await task
        # It may be at work in its thread still; then it ends with that.
        with suppress(ValueError):
            pieces.close()


def _read(pieces: Iterator[bytes]) -> asyncio.Task[bytes]:
    """The next piece, by another thread; nothing at the end."""
    return asyncio.ensure_future(asyncio.to_thread(next, pieces, b""))


async def _gone(receive: Receive) -> bool:
    """Whether the client has gone away, or has its answer, once there is anything to say."""
    return bool((await receive())["type"] == "http.disconnect")
