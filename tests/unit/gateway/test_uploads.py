"""Uploads and downloads: never whole in memory, nothing left of what came to nothing."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.faults import FaultyFiles
from tests.unit.calls import a_call
from tests.unit.gateway.test_wire import chunked
from tests.unit.persistence.slow_files import SECONDS_MAX, SlowFiles

from perdure.engine.bodies import INLINE_BYTES
from perdure.errors import CorruptionError, RequestError
from perdure.gateway import uploads, wire
from perdure.gateway.checksums import refuse_wrong
from perdure.gateway.downloads import send_body
from perdure.persistence.blobs import BlobStore, BlobWriter
from perdure.persistence.body import Body, whole

LARGE = bytes(range(256)) * 6000
GONE = {"type": "http.disconnect"}


def parts_of(data: bytes, piece: int = 65_536) -> list[dict[str, Any]]:
    """The messages of a body."""
    cut = [data[at : at + piece] for at in range(0, len(data), piece)] or [b""]
    last = len(cut) - 1
    return [
        {"type": "http.request", "body": part, "more_body": number < last}
        for number, part in enumerate(cut)
    ]


def receive(
    store: BlobStore, messages: Iterable[dict[str, Any]], **headers: str
) -> tuple[bytes | Body, list[tuple[str, str]]]:
    """What becomes of a body that arrives so."""
    waiting = iter(messages)

    async def next_one() -> dict[str, Any]:
        return next(waiting)

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(uploads.receive_object(next_one, named, store))


def files_of(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES, INLINE_BYTES + 1, len(LARGE)])
@pytest.mark.parametrize("piece", [1000, 65_536, 1 << 21])
@pytest.mark.parametrize("declared", [True, False])
def test_only_large_bodies_go_to_a_blob(
    tmp_path: Path, size: int, piece: int, *, declared: bool
) -> None:
    """A body that an object keeps in itself stays bytes; a larger one is in a blob, whole."""
    store = BlobStore(tmp_path)
    headers = {"content_length": str(size)} if declared else {}
    body, trailers = receive(store, parts_of(LARGE[:size], piece), **headers)

    assert trailers == []
    assert isinstance(body, bytes) == (size <= INLINE_BYTES)
    assert (body if isinstance(body, bytes) else body.read_all()) == LARGE[:size]
    assert len(files_of(tmp_path)) == (size > INLINE_BYTES)


def test_little_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written at once is about a piece, however large the body is."""
    sizes: list[int] = []
    write = uploads.BlobWriter.write

    def noting(writer: Any, data: bytes) -> None:
        sizes.append(len(data))
        write(writer, data)

    monkeypatch.setattr(uploads.BlobWriter, "write", noting)
    receive(BlobStore(tmp_path), parts_of(LARGE * 3))
    assert max(sizes) < uploads.PIECE_BYTES + 65_536
    assert sum(sizes) == 3 * len(LARGE)


def test_nothing_is_left_when_the_client_goes(tmp_path: Path) -> None:
    """A body that is never whole leaves no file."""
    messages = [*parts_of(LARGE)[:-1], GONE]
    with pytest.raises(wire.DisconnectedError):
        receive(BlobStore(tmp_path), messages, content_length=str(len(LARGE)))
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("slow", ["blob.create", "blob.write", "blob.rename"])
def test_an_upload_that_is_cancelled_while_a_thread_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """It ends at once; its thread writes to no other file, and closes and removes its own."""
    files = SlowFiles(slow)
    store = BlobStore(tmp_path, files)
    closed: list[int] = []
    close = os.close

    def closing(descriptor: int) -> None:
        # By what it stands for, as numbers come back; one that stands for nothing fails.
        closed.append(os.fstat(descriptor).st_ino)
        close(descriptor)

    opened: list[int] = []
    begin = store.begin

    def beginning() -> BlobWriter:
        monkeypatch.setattr(os, "close", closing)
        writer = begin()
        opened.append(writer.path.stat().st_ino)
        return writer

    monkeypatch.setattr(store, "begin", beginning)
    other = tmp_path / "other"

    async def cancelled() -> None:
        messages = iter(parts_of(LARGE))

        async def next_one() -> dict[str, Any]:
            return next(messages)

        upload = asyncio.create_task(uploads.receive_object(next_one, {}, store))
        await asyncio.to_thread(files.begun.wait, SECONDS_MAX)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        # It may get the number of a descriptor that was closed too early.
        with other.open("wb"):
            files.go_on.set()
            await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(cancelled())
    assert other.read_bytes() == b""
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(opened) == 1
    assert closed.count(opened[0]) == 1


def test_an_upload_that_is_cancelled_before_its_thread_begins(tmp_path: Path) -> None:
    """A thread that comes to it too late begins no file."""
    incoming = uploads._Incoming(BlobStore(tmp_path), {})
    incoming.close()
    with pytest.raises(wire.DisconnectedError):
        incoming._work(incoming._write)
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("step", ["blob.create", "blob.write", "blob.rename", "blob.mkdir"])
def test_a_full_disk_is_a_503(tmp_path: Path, step: str) -> None:
    """Whenever the disk is found full, the client gets what S3 says of that, and may retry."""
    files = FaultyFiles(at=1, fault="fail-on", code=errno.ENOSPC, only=step)
    with pytest.raises(RequestError, match="no room") as error:
        receive(BlobStore(tmp_path, files), parts_of(LARGE))
    assert (error.value.code, error.value.status) == ("ServiceUnavailable", 503)
    assert files_of(tmp_path) == []


def test_a_body_that_will_not_fit_is_refused_before_it_arrives(tmp_path: Path) -> None:
    """Room for a body whose length is known is looked for at once."""
    store = BlobStore(tmp_path)
    store.headroom_bytes = 1 << 60
    with pytest.raises(RequestError, match="no room") as error:
        receive(store, [], content_length=str(len(LARGE)))
    assert error.value.status == 503
    with pytest.raises(RequestError, match="exceeds") as error:
        receive(store, [], content_length=str(wire.BODY_BYTES_MAX + 1))
    assert error.value.status == 413


def test_a_broken_disk_is_a_500(tmp_path: Path) -> None:
    """Another failure of the disk ends the call, not the process."""
    files = FaultyFiles(at=1, fault="fail-on", only="blob.write")
    with pytest.raises(RequestError, match=r"blob\.write") as error:
        receive(BlobStore(tmp_path, files), parts_of(LARGE))
    assert error.value.status == 500


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_checksums_in_headers_and_trailers(tmp_path: Path, size: int) -> None:
    """A body that does not fit its checksum is refused, and nothing of it is kept."""
    for name in "abc":
        (tmp_path / name).mkdir()
    data = LARGE[:size]
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    sha = base64.b64encode(hashlib.sha256(data).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    receive(BlobStore(tmp_path / "a"), parts_of(data), x_amz_checksum_sha256=sha, content_md5=md5)
    for name, value in (
        ("x_amz_checksum_sha256", crc),
        ("content_md5", sha),
        ("x_amz_checksum_crc32", md5),
    ):
        with pytest.raises(RequestError, match="did not match"):
            receive(BlobStore(tmp_path / "b"), parts_of(data), **{name: value})
    for name, value in (("crc32", crc), ("sha1", sha)):
        body = chunked(data, trailers=f"x-amz-checksum-{name}:{value}\r\n".encode())
        headers = {
            "content_encoding": "aws-chunked",
            "x_amz_trailer": f"x-amz-checksum-{name}",
            "x_amz_decoded_content_length": str(size),
        }
        if name == "crc32":
            _, trailers = receive(BlobStore(tmp_path / "c"), parts_of(body, 777), **headers)
            assert trailers == [("x-amz-checksum-crc32", crc)]
        else:
            with pytest.raises(RequestError, match="SHA1"):
                receive(BlobStore(tmp_path / "b"), parts_of(body, 777), **headers)
    assert files_of(tmp_path / "b") == []


def test_what_cannot_be_computed_is_not_compared() -> None:
    """A checksum of an algorithm without its library is taken as it was said."""
    refuse_wrong([("x-amz-checksum-crc64nvme", "AAAA"), ("x-amz-checksum-odd", "x")], b"data")
    refuse_wrong([("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "x")], b"data")
    with pytest.raises(RequestError, match="CRC32"):
        refuse_wrong([("x-amz-checksum-crc32", "AAAA")], b"data")


def test_chunks_that_lie_are_refused(tmp_path: Path) -> None:
    """Chunks that are cut short or add up to something else leave nothing."""
    body = chunked(LARGE)
    for messages, declared in ((parts_of(body[:-9]), len(LARGE)), (parts_of(body), len(LARGE) - 1)):
        with pytest.raises(RequestError, match="malformed"):
            receive(
                BlobStore(tmp_path),
                messages,
                content_encoding="aws-chunked",
                x_amz_decoded_content_length=str(declared),
            )
    assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"query": "uploadId=x&partNumber=3&x-id=UploadPart"}, True),
        ({"query": "X-Amz-Signature=a&X-Amz-Expires=3"}, True),
        ({"query": "AWSAccessKeyId=a&Signature=b&Expires=1"}, True),
        ({"path": "/bucket"}, False),
        ({"path": "/bucket/"}, False),
        ({"method": "POST"}, False),
        ({"query": "acl="}, False),
        ({"query": "tagging"}, False),
        ({"query": "retention"}, False),
        ({"headers": [("content-type", "multipart/form-data; boundary=x")]}, False),
    ],
)
def test_which_calls_store_their_body(changes: dict[str, Any], expected: bool) -> None:
    """Objects and parts only: every other body says what a call means."""
    given = {"method": "PUT", "path": "/bucket/key", **changes}
    assert uploads.puts_object(a_call("s3", "PUT", **given)) is expected
    assert not uploads.puts_object(a_call("sqs", "PUT", **given))


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("PUT", {"content-length": str(INLINE_BYTES)}, False),
        ("PUT", {"content-length": str(INLINE_BYTES + 1)}, True),
        ("PUT", {}, True),
        ("PUT", {"content-length": "٣" * 9}, True),
        ("PUT", {"content-length": "9" * 9, "x-amz-copy-source": "b/k"}, False),
        ("POST", {"content-length": "9" * 9}, False),
        (
            "PUT",
            {
                "content-length": "9" * 9,
                "content-encoding": "aws-chunked",
                "x-amz-decoded-content-length": "5",
            },
            False,
        ),
    ],
)
def test_which_bodies_may_be_large(method: str, headers: dict[str, str], expected: bool) -> None:
    """By what the head says; one that does not say may be."""
    assert uploads.may_be_large(method, headers) is expected


class Taker:
    """A client that takes an answer, maybe not to its end."""

    def __init__(self, leaves_after: int = 1 << 60) -> None:
        self.leaves_after = leaves_after
        self.taken = b""
        self.messages = 0
        self.gone = asyncio.Event()

    async def send(self, message: Any) -> None:
        self.messages += 1
        self.taken += message["body"]
        if len(self.taken) >= self.leaves_after:
            self.gone.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def receive(self) -> Any:
        await self.gone.wait()
        return GONE


def a_body(root: Path, data: bytes) -> Body:
    store = BlobStore(root)
    writer = store.begin()
    writer.write(data)
    return Body(store, [whole(writer.commit())])


def test_a_body_goes_out_in_pieces(tmp_path: Path) -> None:
    """All bytes, in order, none larger than a piece, then the end."""

    async def run() -> Taker:
        taker = Taker()
        await send_body(taker.send, a_body(tmp_path, LARGE), taker.receive)
        return taker

    taker = asyncio.run(run())
    assert taker.taken == LARGE
    assert taker.messages == len(LARGE) // (512 << 10) + 2


def test_nobody_reads_for_a_client_that_has_gone(tmp_path: Path) -> None:
    """Once the client is gone no more is read."""

    async def run() -> Taker:
        taker = Taker(leaves_after=1)
        await send_body(taker.send, a_body(tmp_path, LARGE), taker.receive)
        return taker

    assert len(asyncio.run(run()).taken) < len(LARGE)


def test_an_answer_that_cannot_be_finished_fails(tmp_path: Path) -> None:
    """A blob that is cut while it is sent is an error, not an end."""

    async def run() -> None:
        body = a_body(tmp_path, LARGE)
        path = files_of(tmp_path)[0]
        taker = Taker()

        async def cutting(message: Any) -> None:
            path.write_bytes(b"")
            await taker.send(message)

        await send_body(cutting, body, None)

    with pytest.raises(CorruptionError, match="blob"):
        asyncio.run(run())
