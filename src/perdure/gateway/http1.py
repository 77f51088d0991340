"""uvicorn's HTTP/1.1, with limits to a request's head and without its trust in upgrades.

The parser keeps a head that never ends, however long it grows and however long it waits.
What is checked is the state after each piece that arrives, not each header, so a common
request costs a comparison or two.

A request that offers ``Upgrade: h2c``, as Java's client does with the first of every
connection, is a request like any other: RFC 9113 has dropped the offer.  The parser takes
it for the last one before another protocol and drops its body, which would store an
empty object.  So its head is given to the parser again, without the offer.
"""

from __future__ import annotations

from typing import Any

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import is_ssl

from perdure.gateway.farewell import forget_soon

# The line and all headers, behind the piece off the socket in which they begin: that may
# hold the end of another request, and is no longer than one read (256 KiB).
HEAD_BYTES_MAX = 64 << 10
HEADERS_MAX = 1000
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 53\r\n\r\n"
    b"the request's line and headers are more than allowed\n"
)
OFFER = frozenset({b"connection", b"upgrade", b"http2-settings"})


class Http1(HttpToolsProtocol):
    """One connection."""

    head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        scope: Any = self.scope
        if scope is None or "method" not in scope or len(self.headers) > HEADERS_MAX:
            self._check_head(len(data))
        elif self.head_bytes:
            self.head_bytes = 0

    def on_headers_complete(self) -> None:
        """Begin the call, unless its head is refused: what is answered 431 is never run."""
        if len(self.headers) > HEADERS_MAX:
            self._check_head(0)
        else:
            super().on_headers_complete()

    def _should_upgrade(self) -> bool:
        """Whether no call is begun, since the request is read again; asked of offers only."""
        return bool(self.parser.get_method() != b"CONNECT")

    def _decline(self, rest: bytes) -> None:
        """Read the request again as it would stand without an offer, then what follows it."""
        while self.parser.get_method() != b"CONNECT":  # that is refused, and nothing follows
            line = b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)
            kept = [b"%s: %s" % (n, v) for n, v in self.headers if n not in OFFER]
            if any(n == b"connection" and b"close" in v.lower() for n, v in self.headers):
                kept.append(b"connection: close")
            rest = b"\r\n".join((line, *kept, b"", rest))
            try:
                self.parser.feed_data(rest)
            except HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
            except HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            else:
                return

    def _check_head(self, received: int) -> None:
        if self.transport.is_closing():
            return
        self.head_bytes += received if self.head_bytes else 1
        if self.head_bytes > HEAD_BYTES_MAX or (self.headers and len(self.headers) > HEADERS_MAX):
            self.transport.write(TOO_LARGE)
            self.transport.close()
            return
        # Half a head: it goes on within the time an idle connection has, or never.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def shutdown(self) -> None:
        """Finish what is in flight, then close; uvicorn calls it at a stop."""
        super().shutdown()
        if self.transport.is_closing() and is_ssl(self.transport):
            forget_soon(self.server_state, self)
