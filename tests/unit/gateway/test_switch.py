"""The switch: who gets a connection, and how long it may say nothing."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from perdure.gateway.http1 import Http1
from perdure.gateway.http2 import Http2
from perdure.gateway.switch import PREFACE, Switch

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECONDS = 0.05


class Transport:
    """As much of a transport as the protocols use."""

    def __init__(self, alpn: str | None = None) -> None:
        self.closed = False
        self.protocol: Any = None
        self.written = b""
        self._tls = alpn and SimpleNamespace(selected_alpn_protocol=lambda: alpn)

    def get_extra_info(self, name: str) -> Any:
        return self._tls if name in ("ssl_object", "sslcontext") else None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = write_eof = close

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0


async def answer(_: Any, __: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def connected(*pieces: bytes, alpn: str | None = None, wait: float = 0) -> tuple[Transport, Any]:
    """A connection after these pieces and a while; its transport and the server's state."""
    state, transport = ServerState(), Transport(alpn)

    async def run() -> None:
        config = uvicorn.Config(answer, log_config=None, lifespan="off")
        config.timeout_keep_alive = SECONDS  # type: ignore[assignment]
        config.load()
        switch = Switch(tls=None, config=config, server_state=state, app_state={})
        switch.connection_made(transport)  # type: ignore[arg-type]
        for piece in pieces:
            (transport.protocol or switch).data_received(piece)
        await asyncio.sleep(wait)

    asyncio.run(run())
    return transport, state


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ((b"",), None),
        ((b"P",), None),
        ((b"P", b"UT /"), Http1),
        ((b"PRI * HTTP/2.0\r\n\r\nS",), None),
        ((PREFACE[:3], PREFACE[3:]), Http2),
        ((PREFACE + b"\0",), Http2),
        ((PREFACE[:-1] + b"x",), Http1),
        ((b"\0",), Http1),
        # TLS inside of TLS is nobody's.
        ((b"\x16\x03\x01",), Http1),
    ],
)
def test_first_bytes_choose(pieces: tuple[bytes, ...], kind: type | None) -> None:
    """A connection goes to the first protocol its bytes can only be, and waits until then."""
    transport, _ = connected(*(piece for piece in pieces if piece))

    assert (None if transport.protocol is None else type(transport.protocol)) is kind


def test_alpn_chooses_before_any_byte() -> None:
    """What TLS agreed on counts."""
    assert isinstance(connected(alpn="h2")[0].protocol, Http2)
    assert connected(alpn="http/1.1")[0].protocol is None


@pytest.mark.parametrize(
    "pieces",
    [(), (b"P",), (b"GET / HT",), (b"GET / HTTP/1.1\r\nA: b",), (REQUEST,), (PREFACE,)],
    ids=["nothing", "P", "half-line", "half-head", "request", "preface"],
)
def test_silence_ends_a_connection(pieces: tuple[bytes, ...]) -> None:
    """Whatever a client has said, it is hung up on when nothing follows, and not before."""
    assert not connected(*pieces, wait=SECONDS / 5)[0].closed
    transport, _ = connected(*pieces, wait=SECONDS * 4)
    assert transport.closed


def test_a_slow_head_is_waited_for() -> None:
    """The time begins anew with each piece, so a slow client is none that is silent."""
    state, transport = ServerState(), Transport()

    async def run() -> None:
        config = uvicorn.Config(answer, log_config=None, lifespan="off")
        config.timeout_keep_alive = 1
        config.load()
        protocol = Http1(config=config, server_state=state, app_state={})
        protocol.connection_made(transport)  # type: ignore[arg-type]
        for byte in REQUEST:
            protocol.data_received(bytes([byte]))
            await asyncio.sleep(0)

    asyncio.run(run())
    assert transport.written.startswith(b"HTTP/1.1 204")
    assert not transport.closed
