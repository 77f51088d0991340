"""The application served in ``servers.py``, and a protocol switch for uvicorn.

``app`` reads the body, works for a while, answers 1 KB.  The work is plain Python on
plain data, as a moto handler's is; how often it is repeated comes from the environment
(``BENCH_REPEAT``), so every server does exactly the same.

``SwitchProtocol`` is what uvicorn takes as ``http=``: it looks at the first bytes of a
connection and hands plain HTTP to uvicorn's own protocol and TLS to a TLS layer before
it; HTTP/2 it only recognises, and refuses.  It exists to show that one port can serve
both, and what that costs a call: nothing after the first bytes, because the transport
then talks to the chosen protocol directly.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from servers_work import work

REPEAT = int(os.environ.get("BENCH_REPEAT", "0"))
ANSWER = b"x" * 1024
HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", b"1024")]
TLS_HANDSHAKE = 0x16
HTTP2_PREFACE = b"PRI * HTTP/2.0"
GOAWAY = b"\0\0\x08\x07\0\0\0\0\0" + b"\0\0\0\0" + b"\0\0\0\x0d"  # HTTP_1_1_REQUIRED


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request alike."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    work(REPEAT)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


class SwitchProtocol(asyncio.Protocol):
    """Chooses the protocol of a connection by its first bytes."""

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody sent anything."""

    def data_received(self, data: bytes) -> None:
        """Hand the connection, and these bytes, to the protocol they belong to."""
        inner = HttpToolsProtocol(**self._arguments)
        if data[0] == TLS_HANDSHAKE:
            self._to_tls(inner, data)
        elif data.startswith(HTTP2_PREFACE):
            self._transport.write(GOAWAY)  # where an HTTP/2 layer would take over
            self._transport.close()
        else:
            self._transport.set_protocol(inner)
            inner.connection_made(self._transport)
            inner.data_received(data)

    def _to_tls(self, inner: asyncio.Protocol, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        layer = SSLProtocol(loop, inner, _tls_context(), loop.create_future(), server_side=True)
        self._transport.set_protocol(layer)
        layer.connection_made(self._transport)
        view = memoryview(data)
        while view:
            room = layer.get_buffer(len(view))
            taken = min(len(room), len(view))
            room[:taken] = view[:taken]
            layer.buffer_updated(taken)
            view = view[taken:]


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.environ["BENCH_CERT"], os.environ["BENCH_KEY"])
    return context
