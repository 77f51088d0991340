"""HTTP/2 in front of the application: what uvicorn's HTTP/1.1 protocol is, over ``h2``.

One object a connection, one ``_Exchange`` a stream.  ``h2`` knows the protocol: frames,
states, header compression, limits; what is ours is when bytes move.

- A body is acknowledged when the application takes it, so a client that sends faster
  waits, and no more than a stream's window lies here.
- An answer is written as far as the client's windows and the socket allow.
- At a stop new streams are refused (a client may send them again elsewhere), those in
  flight are answered, then the connection says goodbye.

uvicorn's server sees the same face as of its own protocols: ``connections`` and
``tasks`` of its ``ServerState``, and ``shutdown``.

Source: RFC 9113; docs/adr/0007-tls-and-http2.md says why it is ``h2``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import (
    ConnectionInputs,
    ConnectionState,
    H2Connection,
    H2ConnectionStateMachine,
)
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from perdure.gateway.farewell import forget_soon

log = logging.getLogger(__name__)

STREAMS_MAX = 128
STREAM_WINDOW_BYTES = 1 << 20
CONNECTION_WINDOW_BYTES = 16 << 20
WINDOW_BYTES_DEFAULT = 65535  # what a connection begins with (RFC 9113, 6.9.2)
# A client that asks (pings, settings) and never reads the replies is cut off here.
UNREAD_BYTES_MAX = 4 << 20
LINGER_SECONDS = 5
# They describe one HTTP/1.1 connection; in HTTP/2 they are an error (RFC 9113, 8.2.2).
OF_A_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
Headers = list[tuple[bytes, bytes]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class _States(H2ConnectionStateMachine):
    def process_input(self, input_: ConnectionInputs) -> list[Event]:
        return [] if input_ is ConnectionInputs.RECV_GOAWAY else super().process_input(input_)


class _Connection(H2Connection):
    """h2 with a client's goodbye as RFC 9113, 6.8 has it.

    h2 takes the connection for closed at once: it sends nothing more, and what follows is
    an error.  But a client that says goodbye still waits for its answers and makes room for
    them (Node's ``session.close()``, which the JavaScript SDK calls after each request).
    """

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.state_machine = _States()

    def clear_outbound_data_buffer(self) -> None:
        """Nothing: h2 calls it at a goodbye."""


class Http2(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        del app_state  # of lifespan events, which nobody here sends
        self.app: Any = config.loaded_app
        self.idle_seconds = config.timeout_keep_alive
        self.state = server_state
        self.loop = _loop or asyncio.get_running_loop()
        self.h2 = _Connection(H2Configuration(client_side=False, header_encoding=None))
        self.transport: asyncio.Transport
        self.exchanges: dict[int, _Exchange] = {}
        self.write_paused = False
        self.stopping = False
        self._progress = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None
        self._parting: asyncio.TimerHandle | None = None
        self._facts: dict[str, Any] = {}

    # ---------------------------------------------------------------- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what is allowed here."""
        # uvloop's is no subclass.
        self.transport = transport = cast("asyncio.Transport", transport)
        self.state.connections.add(self)  # type: ignore[arg-type]
        self._facts = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
            "root_path": "",
        }
        self.h2.initiate_connection()
        self.h2.update_settings(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
            }
        )
        self.h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - WINDOW_BYTES_DEFAULT)
        self.flush()
        self._rest()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._parting is not None:
            return
        self._wake()
        try:
            for event in self.h2.receive_data(data):
                self._handle(event)
        except ProtocolError as error:
            log.debug("HTTP/2 connection given up: %s", error)
            self._abandon()
            self._part()  # h2 has a word ready that says why
            return
        self.flush()
        if self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            self.transport.abort()
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everyone who waits."""
        del exc
        if self._parting is not None:
            self._parting.cancel()
        self.state.connections.discard(self)
        self._wake()
        self._abandon()

    def _abandon(self) -> None:
        for exchange in self.exchanges.values():
            exchange.leave()
        self.progress()

    def pause_writing(self) -> None:
        """Let answers wait until the socket has room."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """Go on with the answers."""
        self.write_paused = False
        self.progress()

    def shutdown(self) -> None:
        """Finish what is in flight, then close; uvicorn calls it at a stop."""
        self.stopping = True
        self._close_if_done()

    # ---------------------------------------------------------------- streams

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._begin(event)
            case DataReceived():
                self._take(event)
            case StreamEnded(stream_id=number) if number in self.exchanges:
                self.exchanges[number].end()
            case StreamReset(stream_id=number) if number in self.exchanges:
                self.exchanges[number].leave()
                self.progress()
            case WindowUpdated() | RemoteSettingsChanged():
                self.progress()
            case ConnectionTerminated():
                self._end(event)

    def _begin(self, event: RequestReceived) -> None:
        assert event.stream_id is not None
        # Streams that were reset count until their call is over: else a client could
        # start calls without end by taking each back.
        if self.stopping or len(self.exchanges) >= 2 * STREAMS_MAX:
            self.reset(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        scope = {**self._facts, **_scope(event.headers or [])}
        exchange = self.exchanges[event.stream_id] = _Exchange(self, event.stream_id, scope)
        # Every path of ours begins so, as HTTP/1.1 has it; CONNECT and "*" have none.
        app = self.app if scope["raw_path"].startswith(b"/") else _bad_request
        task = self.loop.create_task(exchange.run(app))
        self.state.tasks.add(task)
        task.add_done_callback(self.state.tasks.discard)

    def _take(self, event: DataReceived) -> None:
        assert event.stream_id is not None
        exchange = self.exchanges.get(event.stream_id)
        if exchange is None or exchange.answered or exchange.gone:
            # Nobody reads it; the connection's window is given back all the same.
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            return
        exchange.feed(event.data or b"", event.flow_controlled_length or 0)

    def _end(self, goodbye: ConnectionTerminated) -> None:
        if goodbye.error_code != ErrorCodes.NO_ERROR:
            self._abandon()
        self.shutdown()

    def finish(self, exchange: _Exchange) -> None:
        """Forget a stream whose call is over."""
        self.exchanges.pop(exchange.number, None)
        if exchange.unacknowledged:
            # What nobody took: the connection's window is shared by all other streams.
            self.h2.acknowledge_received_data(exchange.unacknowledged, exchange.number)
            self.flush()
        self._close_if_done()
        self._rest()

    # ------------------------------------------------------------------ bytes

    def reset(self, number: int, code: ErrorCodes) -> None:
        """End a stream, unless the client did so in the same piece of bytes."""
        with suppress(ProtocolError):
            self.h2.reset_stream(number, code)
        self.flush()

    def flush(self) -> None:
        """Write what h2 has ready."""
        data = self.h2.data_to_send()
        if data and self._parting is None and not self.transport.is_closing():
            self.transport.write(data)

    def progress(self) -> None:
        """Wake the answers that wait for room."""
        self._progress.set()
        self._progress = asyncio.Event()

    async def more_room(self) -> None:
        """Wait until there may be more room for answers."""
        await self._progress.wait()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _rest(self) -> None:
        busy = self.exchanges or self._idle or self._parting
        if not busy and not self.transport.is_closing():
            self._idle = self.loop.call_later(self.idle_seconds, self.shutdown)

    def _close_if_done(self) -> None:
        if self.stopping and not self.exchanges and self._parting is None:
            if self.h2.state_machine.state is not ConnectionState.CLOSED:
                self.h2.close_connection()
            self._part()

    def _part(self) -> None:
        """Say no more, and leave it to the client to close, for a while.

        What a client sends to a closed socket, such as room for the answer it is reading,
        is answered with a reset, by which it loses the rest of that answer.
        """
        if self.transport.is_closing():
            return
        self.flush()
        self._wake()
        self._parting = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        forget_soon(self.state, self)


class _Exchange:
    """One stream: a request and its answer."""

    def __init__(self, connection: Http2, number: int, scope: dict[str, Any]) -> None:
        self.connection, self.number, self.scope = connection, number, scope
        self.h2 = connection.h2
        self.body = bytearray()
        self.unacknowledged = 0
        self.ended = False  # the request
        self.delivered = False  # its end, to the application
        self.started = self.answered = False
        self.gone = False  # reset, or the connection is lost
        self.changed = asyncio.Event()
        self.expects = any(n == b"expect" and v.lower() == b"100-continue" for n, v in self.headers)

    @property
    def headers(self) -> Headers:
        headers: Headers = self.scope["headers"]
        return headers

    # ---------------------------------------------------- from the connection

    def feed(self, data: bytes, flow_controlled: int) -> None:
        self.body += data
        self.unacknowledged += flow_controlled
        self.changed.set()

    def end(self) -> None:
        self.ended = True
        self.changed.set()

    def leave(self) -> None:
        self.gone = True
        self.changed.set()

    # --------------------------------------------------------- the application

    async def run(self, app: Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            log.exception("the application failed on a stream")
        finally:
            self._settle()
            self.connection.finish(self)

    def _settle(self) -> None:
        """Leave no stream open that nobody works on."""
        if self.gone:
            return
        if not self.answered:
            self.connection.reset(self.number, ErrorCodes.INTERNAL_ERROR)
        elif not self.ended:
            # Answered before the body was whole: the rest is not wanted.
            self.connection.reset(self.number, ErrorCodes.NO_ERROR)

    async def receive(self) -> dict[str, Any]:
        """The next part of the body."""
        if self.expects and not (self.body or self.ended or self.gone or self.started):
            self.expects = False
            self.h2.send_headers(self.number, [(b":status", b"100")])
            self.connection.flush()
        while not (self.gone or self.answered or self.body or (self.ended and not self.delivered)):
            self.changed.clear()
            await self.changed.wait()
        if self.gone or self.answered:
            return {"type": "http.disconnect"}
        self.delivered = self.ended
        body = bytes(self.body)
        self.body.clear()
        if self.unacknowledged:
            self.h2.acknowledge_received_data(self.unacknowledged, self.number)
            self.unacknowledged = 0
            self.connection.flush()
        return {"type": "http.request", "body": body, "more_body": not self.ended}

    async def send(self, message: dict[str, Any]) -> None:
        """The next part of the answer."""
        if self.gone:
            return
        if message["type"] == "http.response.start":
            self.started = True
            headers: Headers = [(b":status", str(message["status"]).encode())]
            for name, value in (*self.connection.state.default_headers, *message["headers"]):
                if name.lower() not in OF_A_CONNECTION:
                    headers.append((name.lower(), value))
            self.h2.send_headers(self.number, headers)
            return  # on its way with the body
        last = not message.get("more_body", False)
        await self._send_data(memoryview(message.get("body", b"")), last=last)
        if last:
            self.answered = True
            self.changed.set()

    async def _send_data(self, rest: memoryview, *, last: bool) -> None:
        while True:
            room = 0 if rest else 1
            while not self.gone:
                if not self.connection.write_paused:
                    window = self.h2.local_flow_control_window(self.number)
                    room = min(window, self.h2.max_outbound_frame_size)
                    if room > 0 or not rest:
                        break
                self.connection.flush()  # headers need no room
                await self.connection.more_room()
            if self.gone:
                return
            part, rest = rest[:room], rest[max(room, 0) :]
            self.h2.send_data(self.number, bytes(part), end_stream=last and not rest)
            self.connection.flush()
            if not rest:
                return


def _scope(headers: Any) -> dict[str, Any]:
    """What a request's headers say, as ASGI has it."""
    pseudo = {bytes(name): bytes(value) for name, value in headers if name.startswith(b":")}
    plain: Headers = [(bytes(n), bytes(v)) for n, v in headers if not n.startswith(b":")]
    if b":authority" in pseudo:
        plain = [(b"host", pseudo[b":authority"]), *(pair for pair in plain if pair[0] != b"host")]
    raw_path, _, query = pseudo.get(b":path", b"").partition(b"?")
    return {
        "method": pseudo[b":method"].decode("latin-1"),
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "headers": plain,
    }


async def _bad_request(_: Any, __: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": b"the path must begin with /"})
