"""One port for all: the first bytes of a connection choose its protocol.

    0x16, a TLS handshake          TLS is put underneath, then ALPN or the first bytes inside
    PRI * HTTP/2.0 ... SM          HTTP/2 by prior knowledge
    anything else                  HTTP/1.1, which answers 400 to what is none

The switch hands the connection over with the bytes it has read and is out of the way:
the transport then talks to the chosen protocol directly, so no request costs anything.

TLS is ``loop.start_tls``.  It takes no bytes that were read before, so they are fed to the
protocol it installs, through the interface every buffered protocol has.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, cast

from perdure.gateway.http1 import Http1

if TYPE_CHECKING:
    from perdure.gateway.http2 import Http2

log = logging.getLogger(__name__)

TLS_HANDSHAKE = 0x16
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# From the first byte to the end of the handshake.
HANDSHAKE_SECONDS = 10


class Switch(asyncio.Protocol):
    """A connection whose protocol is not known yet; uvicorn makes one for each."""

    def __init__(self, *, tls: ssl.SSLContext | None, **arguments: Any) -> None:
        """Keep what the protocols are made with.

        Args:
            tls: For connections that begin with a handshake; None inside of TLS.
            arguments: What uvicorn gives to a protocol.
        """
        self._tls, self._arguments = tls, arguments
        self._loop: asyncio.AbstractEventLoop = arguments.get("_loop") or asyncio.get_running_loop()
        self._connections: set[Any] = arguments["server_state"].connections
        self._transport: asyncio.Transport | None = None
        self._read = b""
        self._lost = False
        self._silence: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes, but not for ever."""
        # uvloop's is no subclass.
        self._transport = transport = cast("asyncio.Transport", transport)
        if self._lost:
            transport.close()
            return
        self._connections.add(self)
        seconds = self._arguments["config"].timeout_keep_alive
        self._silence = self._loop.call_later(seconds, transport.close)
        encryption = transport.get_extra_info("ssl_object")
        if encryption is not None and encryption.selected_alpn_protocol() == "h2":
            self._hand_over(_http2())
        elif self._read:
            self._choose()

    def data_received(self, data: bytes) -> None:
        """Choose, once there is enough to choose by."""
        self._read += data
        # Inside of TLS the first bytes may come before their transport does.
        if self._transport is not None:
            self._choose()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing was begun, so nothing ends."""
        del exc
        self._lost = True
        self._leave()

    def shutdown(self) -> None:
        """Close: no call is in flight; uvicorn calls it at a stop."""
        if self._transport is not None:
            self._transport.abort()
        self._leave()

    # ----------------------------------------------------------------- choice

    def _choose(self) -> None:
        if self._tls is not None and self._read[0] == TLS_HANDSHAKE:
            self._handshake = self._loop.create_task(self._secure(self._tls))
        elif self._read.startswith(PREFACE):
            self._hand_over(_http2())
        elif not PREFACE.startswith(self._read):
            self._hand_over(Http1)

    def _hand_over(self, kind: type[Http1 | Http2]) -> None:
        assert self._transport is not None
        self._leave()
        chosen = kind(**self._arguments)
        self._transport.set_protocol(chosen)
        chosen.connection_made(self._transport)
        if self._read:
            chosen.data_received(self._read)
            self._read = b""

    def _leave(self) -> None:
        self._connections.discard(self)
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    # -------------------------------------------------------------------- TLS

    async def _secure(self, tls: ssl.SSLContext) -> None:
        """Put TLS under a new switch, which chooses by what comes inside."""
        assert self._transport is not None
        transport = self._transport
        transport.pause_reading()  # what follows is for the TLS layer, which resumes it
        inside = Switch(tls=None, **self._arguments)
        starting = self._loop.create_task(
            self._loop.start_tls(
                transport, inside, tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        )
        # There is no event for "installed": it takes a turn of the loop.
        while (layer := transport.get_protocol()) is self and not starting.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        # One more turn: it is given its transport in that.
        await asyncio.sleep(0)
        try:
            if not transport.is_closing():
                _feed(layer, self._read)
            secured = await starting
        except OSError as error:  # a TLS error is one
            log.debug("TLS handshake failed: %s", error)
            transport.abort()
            return
        finally:
            self._leave()
        assert secured is not None
        inside.connection_made(secured)


def _feed(layer: Any, data: bytes) -> None:
    """Hand bytes to a buffered protocol, as its transport does."""
    view = memoryview(data)
    while view:
        room = layer.get_buffer(len(view))
        taken = min(len(room), len(view))
        room[:taken] = view[:taken]
        layer.buffer_updated(taken)
        view = view[taken:]


def _http2() -> type[Http2]:
    # Few clients speak it, and who never meets one need not hold its library: 2 MB.
    from perdure.gateway.http2 import Http2

    return Http2
