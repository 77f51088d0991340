"""Wire: aws-chunked is undone, whole or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.errors import RequestError
from perdure.gateway import wire
from perdure.gateway.wire import (
    DisconnectedError,
    Unchunker,
    cors_headers,
    is_aws_chunked,
    plain_headers,
    read_body,
    undo_aws_chunked,
)

SIGNATURE = b";chunk-signature=" + b"a" * 64


def chunked(*chunks: bytes, signature: bytes = b"", trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(c), signature, c) for c in chunks)
    return body + b"0" + signature + b"\r\n" + trailers + b"\r\n"


@pytest.mark.parametrize("signature", [b"", SIGNATURE])
@pytest.mark.parametrize(
    "chunks", [(), (b"a",), (b"hello ", b"world"), (b"\r\n0\r\n\r\n",), (bytes(70_000), b"x")]
)
def test_chunks_are_joined(signature: bytes, chunks: tuple[bytes, ...]) -> None:
    """A body in chunks, signed or not, is the chunks' bytes and nothing else."""
    length = str(sum(map(len, chunks)))
    body = chunked(*chunks, signature=signature)

    found = undo_aws_chunked(body, {"x-amz-decoded-content-length": length})

    assert found == (b"".join(chunks), [])


def test_trailers_join_the_headers() -> None:
    """What stands behind the last chunk is a header; only checksums are passed on."""
    trailers = b"x-amz-checksum-crc32:AAAAAA==\r\nX-Amz-Trailer-Signature: abc\r\n"
    body, found = undo_aws_chunked(chunked(b"a", trailers=trailers), {})

    assert body == b"a"
    assert found == [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-trailer-signature", "abc")]
    assert plain_headers([], found) == [("x-amz-checksum-crc32", "AAAAAA==")]


WHOLE = chunked(b"hello", b"world", signature=SIGNATURE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"5",
        b"5\r\nhel",
        b"5\r\nhello",
        b"5\r\nhelloXX0\r\n\r\n",
        b"zz\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"1_0\r\nhellohellohelloh\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5" * 5000 + b"\r\n",
        b"hello world, not chunked at all",
        WHOLE[: len(WHOLE) // 2],
    ],
)
def test_malformed_chunks_are_refused(body: bytes) -> None:
    """A body that is no aws-chunked body is a RequestError, never a body with holes."""
    with pytest.raises(RequestError) as error:
        undo_aws_chunked(body, {})

    assert (error.value.code, error.value.status) == ("IncompleteBody", 400)


def test_every_cut_of_a_chunked_body_is_refused() -> None:
    """No body that was cut before its last chunk is taken for a whole one."""
    end = WHOLE.rindex(b"0;")
    for at in range(end + 1):
        with pytest.raises(RequestError):
            undo_aws_chunked(WHOLE[:at], {})


@pytest.mark.parametrize("length", ["4", "6", "0"])
def test_another_length_than_declared_is_refused(length: str) -> None:
    """The decoded bytes add up to what the client declared."""
    with pytest.raises(RequestError, match="declared"):
        undo_aws_chunked(chunked(b"hello"), {"x-amz-decoded-content-length": length})


def test_what_is_chunked() -> None:
    """The streaming hash or the content encoding say so."""
    assert is_aws_chunked({"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
    assert is_aws_chunked({"content-encoding": "gzip,aws-chunked"})
    assert not is_aws_chunked({"content-encoding": "gzip", "x-amz-content-sha256": "abc"})


def test_no_trace_of_chunks_is_left_in_the_headers() -> None:
    """The headers are those of a request that was never chunked."""
    headers = [
        ("content-encoding", "aws-chunked, gzip"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-type", "text/plain"),
    ]

    assert plain_headers(headers, []) == [
        ("content-encoding", "gzip"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("content-type", "text/plain"),
    ]
    assert plain_headers([("content-encoding", "aws-chunked")], []) == []


def receive_of(*messages: dict[str, Any]) -> Any:
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    return receive


def test_a_body_is_read_whole() -> None:
    """Parts are joined; a client that goes away or sends too much ends the reading."""
    part = {"type": "http.request", "body": b"ab", "more_body": True}
    last = {"type": "http.request", "body": b"c"}
    assert asyncio.run(read_body(receive_of(part, last), {})) == b"abc"
    with pytest.raises(DisconnectedError):
        asyncio.run(read_body(receive_of(part, {"type": "http.disconnect"}), {}))
    with pytest.raises(RequestError):
        asyncio.run(read_body(receive_of(), {"content-length": str(wire.BODY_BYTES_MAX + 1)}))


def test_too_large_a_body_is_refused_while_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body without a declared length is bounded as well."""
    monkeypatch.setattr(wire, "BODY_BYTES_MAX", 3)
    part = {"type": "http.request", "body": b"ab", "more_body": True}
    with pytest.raises(RequestError) as error:
        asyncio.run(read_body(receive_of(part, part), {}))

    assert error.value.status == 413


def test_cors_only_for_those_who_ask() -> None:
    """A local page's origin gets headers unless the service gave its own; no other does."""
    local = "http://localhost:3000"
    assert cors_headers({}, []) == []
    assert cors_headers({"origin": local}, ["access-control-allow-origin"]) == []
    assert ("access-control-allow-origin", local) in cors_headers({"origin": local}, [])
    for foreign in ("https://example.com", "http://localhost.example.com", "null", "o"):
        assert cors_headers({"origin": foreign}, []) == []


def test_origins_the_user_named_are_allowed() -> None:
    """A page named in EXTRA_CORS_ALLOWED_ORIGINS reads answers as a local one does; others not."""
    trusted = frozenset({"https://app.example"})

    assert cors_headers({"origin": "https://App.example"}, [], trusted)
    assert cors_headers({"origin": "https://other.example"}, [], trusted) == []
    assert cors_headers({"origin": "https://other.example"}, [], frozenset({"*"}))


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 10_000])
def test_chunks_may_arrive_in_any_pieces(piece: int) -> None:
    """However a body is cut on its way, what is in its chunks is the same."""
    trailers = b"x-amz-checksum-crc32:AAAAAA==\r\n"
    body = chunked(b"hello", b"\r\n0\r\n", b"x" * 300, signature=SIGNATURE, trailers=trailers)
    chunks = Unchunker()
    found = b"".join(chunks.feed(body[at : at + piece]) for at in range(0, len(body), piece))

    assert found == b"hello\r\n0\r\n" + b"x" * 300
    assert chunks.finish() == [("x-amz-checksum-crc32", "AAAAAA==")]


def test_trailers_without_end_are_refused() -> None:
    """What follows the last chunk is not kept however long it grows."""
    chunks = Unchunker()
    chunks.feed(b"0\r\n")
    with pytest.raises(RequestError, match="does not end"):
        for _ in range(100):
            chunks.feed(b"x" * 1000)
