"""The benchmark's raw client reads every framing a server may use, and no more."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "bench" / "client.py"
_spec = importlib.util.spec_from_file_location("bench_client", PATH)
assert _spec is not None
assert _spec.loader is not None
client = importlib.util.module_from_spec(_spec)
sys.modules["bench_client"] = client
_spec.loader.exec_module(client)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def read_all(pair, data, count=1, method=b"GET"):
    """Answers read from ``data``, after which the server's side closes."""
    ours, theirs = pair
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    reader = client.Reader(ours)
    return [reader.response(method=method) for _ in range(count)]


def test_kept_connection_yields_one_answer_after_the_other(pair):
    """Bytes read beyond one answer belong to the next."""
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nabc"
    two = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"

    first, second = read_all(pair, one + two, count=2)

    assert (first.status, first.body, first.closes) == (200, b"abc", False)
    assert first.header("x-a") == "1"
    assert (second.status, second.body) == (404, b"")


def test_chunks_are_joined_and_trailers_dropped(pair):
    """A chunked body ends after its trailers; the next answer starts right behind."""
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;note=x\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    one, two = read_all(pair, chunked + b"HTTP/1.1 204 No Content\r\n\r\n", count=2)

    assert one.body == b"abc0123456789abcdef"
    assert (two.status, two.body) == (204, b"")


def test_an_answer_without_a_length_ends_with_the_connection(pair):
    """Neither length nor chunks: the body runs to the close."""
    (answer,) = read_all(pair, b"HTTP/1.0 200 OK\r\n\r\nall of it")

    assert (answer.body, answer.closes) == (b"all of it", True)


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close", True),
        (b"HTTP/1.1 200 OK\r\nconnection: Keep-Alive", False),
        (b"HTTP/1.0 200 OK\r\nServer: x", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", False),
    ],
)
def test_whether_the_server_closes_is_told(pair, head, closes):
    """The header decides; without it, the version does."""
    (answer,) = read_all(pair, head + b"\r\nContent-Length: 2\r\n\r\nok")

    assert (answer.closes, answer.body) == (closes, b"ok")


def test_interim_answers_are_skipped(pair):
    """100 Continue comes before the answer and is not the answer."""
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx"
    (answer,) = read_all(pair, data)

    assert (answer.status, answer.body) == (201, b"x")


def test_an_answer_to_head_has_no_body(pair):
    """Its Content-Length speaks of the body a GET would get."""
    (answer,) = read_all(pair, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", method=b"HEAD")

    assert answer.body == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=["nothing", "head", "length", "chunk", "trailer", "interim"],
)
def test_a_cut_answer_raises(pair, data):
    """An answer that ends early is an error, never a short success."""
    with pytest.raises(client.TruncatedError):
        read_all(pair, data)


def test_what_is_not_http_raises(pair):
    """An HTTP/2 frame or a TLS alert is not taken for an answer."""
    with pytest.raises(client.MalformedError):
        read_all(pair, b"\x00\x00\x00\x04\x00 something else\r\n\r\n")
