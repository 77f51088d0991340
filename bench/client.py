"""A raw HTTP/1.1 client for benchmarks: prepared bytes out, one answer in.

Measured time must be the server's, so this client does as little as HTTP allows: a
request is bytes built beforehand, and an answer is a status, raw header bytes and a
body.  It reads the three framings servers use (Content-Length, chunked, until close),
skips interim answers (100 Continue), and opens a new connection only when the server
closed the last one; that reconnection counts as part of the call, as it does for every
real client of such a server.

It is no general client: no redirects, no compression, no HTTP/2, no pipelining.
"""

from __future__ import annotations

import socket
from typing import NamedTuple

TIMEOUT_S = 30.0
READ_BYTES = 65536
BODYLESS = (204, 304)


class TruncatedError(Exception):
    """The server closed the connection inside an answer."""


class MalformedError(Exception):
    """The answer is not HTTP/1.x."""


class Response(NamedTuple):
    """One answer; ``head`` is the status line and the headers as received."""

    status: int
    head: bytes
    body: bytes
    closes: bool

    def header(self, name: str) -> str | None:
        """The value of a header, or None."""
        return header(self.head, name)


def header(head: bytes, name: str) -> str | None:
    """The value of the header ``name`` in a raw head, or None."""
    value = _find(head.lower(), head, b"\r\n" + name.lower().encode() + b":")
    return None if value is None else value.decode("latin-1")


def _find(lowered: bytes, head: bytes, key: bytes) -> bytes | None:
    start = lowered.find(key)
    if start < 0:
        return None
    start += len(key)
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()


class Reader:
    """Reads answers from a connected socket; keeps what was read too far."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def response(self, *, method: bytes = b"GET") -> Response:
        """Read one final answer.

        Args:
            method: The request's method; an answer to HEAD has no body.

        Raises:
            TruncatedError: The connection ended before the answer did.
            MalformedError: Something else than HTTP/1.x was answered.
        """
        while True:
            head = self._head()
            status = _status(head)
            if status >= 200:
                break
        lowered = head.lower()
        connection = _find(lowered, head, b"\r\nconnection:")
        closes = (connection or b"").lower() == b"close" or (
            connection is None and head.startswith(b"HTTP/1.0")
        )
        if method == b"HEAD" or status in BODYLESS:
            return Response(status, head, b"", closes)
        length = _find(lowered, head, b"\r\ncontent-length:")
        if length is not None:
            return Response(status, head, self._exactly(int(length)), closes)
        if (_find(lowered, head, b"\r\ntransfer-encoding:") or b"").lower() == b"chunked":
            return Response(status, head, self._chunked(), closes)
        return Response(status, head, self._rest(), True)  # noqa: FBT003

    def _more(self) -> None:
        data = self._sock.recv(READ_BYTES)
        if not data:
            raise TruncatedError(f"connection closed after {self._buffer[:80]!r}")
        self._buffer += data

    def _until(self, mark: bytes) -> bytes:
        """What comes before ``mark``; the mark itself is consumed."""
        while (end := self._buffer.find(mark)) < 0:
            self._more()
        found, self._buffer = self._buffer[:end], self._buffer[end + len(mark) :]
        return found

    def _head(self) -> bytes:
        return self._until(b"\r\n\r\n")

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def _chunked(self) -> bytes:
        chunks = []
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            chunks.append(self._exactly(size))
            self._exactly(2)
        while self._until(b"\r\n"):  # trailers, up to the empty line
            pass
        return b"".join(chunks)

    def _rest(self) -> bytes:
        """Everything up to the close; only here is a close an end and not a cut."""
        parts = [self._buffer]
        self._buffer = b""
        while data := self._sock.recv(READ_BYTES):
            parts.append(data)
        return b"".join(parts)


def _status(head: bytes) -> int:
    if not head.startswith(b"HTTP/1."):
        raise MalformedError(repr(head[:80]))
    return int(head[9:12])


class Client:
    """One connection to one port, reopened when the server closes it."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._sock: socket.socket | None = None
        self._reader: Reader | None = None
        self.connections = 0

    def call(self, request: bytes) -> Response:
        """Send one prepared request and read its answer.

        A kept connection may have been closed by the server in the meantime; that is
        noticed before anything is answered, and the request is sent once more.
        """
        fresh = self._sock is None
        self.send(request)
        try:
            return self.receive(request)
        except (TruncatedError, ConnectionError):
            self.close()
            if fresh:
                raise
        self.send(request)
        return self.receive(request)

    def send(self, request: bytes) -> None:
        """Send without waiting for the answer."""
        if self._sock is None:
            self._connect()
        assert self._sock is not None
        self._sock.sendall(request)

    def receive(self, request: bytes) -> Response:
        """Read the answer to ``request``, sent before."""
        assert self._reader is not None
        response = self._reader.response(method=request[: request.find(b" ")])
        if response.closes:
            self.close()
        return response

    def fileno(self) -> int:
        """The socket's, for selectors; the connection must be open."""
        assert self._sock is not None
        return self._sock.fileno()

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._sock is not None:
            self._sock.close()
        self._sock = self._reader = None

    def _connect(self) -> None:
        self._sock = socket.create_connection(self._address, timeout=TIMEOUT_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader(self._sock)
        self.connections += 1
