"""Large bodies of S3's objects: in blobs, and with the answers moto gives to the same bytes."""

from __future__ import annotations

import base64
import binascii
import gc
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.coverage.memory_disk import Disk
from tests.unit.calls import a_call
from tests.unit.engine.conftest import key

from perdure.engine.bodies import BLOBS, INLINE_BYTES
from perdure.engine.calls import Answer
from perdure.engine.core import Engine
from perdure.engine.dispatch import attempt
from perdure.engine.lock import running
from perdure.engine.pins import Pins, pinned
from perdure.engine.quirks import bodies
from perdure.engine.recording import digest_of
from perdure.engine.stores import STORES
from perdure.errors import CorruptionError, HostileStateError, LoadError
from perdure.persistence.blobs import BlobStore, file_of
from perdure.persistence.body import Body, BodyFile, whole
from perdure.persistence.keys import Lsn
from perdure.persistence.statefile import Graph

LARGE = bytes(range(256)) * 1200
PART = b"0123456789abcdef" * (5 << 16)  # as small as a part may be
TAIL = b"the last part may be small"
AUTH = ("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request")
Made = bytes | Body
Make = Callable[[bytes], Made]


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> Iterator[BlobStore]:
    """Blobs in a folder of this test."""
    del engine
    BLOBS.store = BlobStore(tmp_path)
    yield BLOBS.store
    BLOBS.store = None


def swept(store: BlobStore) -> int:
    """How many blobs nothing names, once what hangs together in a circle is gone."""
    gc.collect()
    return len(store.sweep((), cut=Lsn(0)))


def in_blob(data: bytes) -> Body:
    """A body as the gateway makes one."""
    assert BLOBS.store is not None
    writer = BLOBS.store.begin()
    writer.write(data)
    return Body(BLOBS.store, [whole(writer.commit())])


class Client:
    """S3's calls, pinned one like the other in each client."""

    def __init__(self) -> None:
        self.calls = 0
        self.answers: list[tuple[int, Any, bytes]] = []
        self.last = Answer(0, [], b"")
        self("PUT", "/bucket")

    def __call__(self, method: str, target: str, body: Made = b"", **headers: str) -> bytes:
        path, _, query = target.partition("?")
        self.calls += 1
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        call = a_call(
            "s3",
            f"{method} {path}",
            method=method,
            path=path,
            query=query,
            headers=[AUTH, *given],
            body=body,
        )
        with running(), pinned(Pins(1_800_000_000_000_000 + self.calls, self.calls)):
            self.last = answer = attempt(call, may_park=False)
        data = answer.body if isinstance(answer.body, bytes) else answer.body.read_all()
        self.answers.append((answer.status, sorted(answer.headers), data))
        return data

    def upload(self, make: Make, parts: list[bytes], **headers: str) -> None:
        """A multipart upload of ``/bucket/multi``."""
        started = self("POST", "/bucket/multi?uploads=", **headers).decode()
        number = re.search("<UploadId>(.+)</UploadId>", started)
        assert number
        for index, data in enumerate(parts, 1):
            made = make(data) if len(data) > INLINE_BYTES else data
            self("PUT", f"/bucket/multi?partNumber={index}&uploadId={number[1]}", made)
        rows = "".join(
            f'<Part><PartNumber>{i}</PartNumber><ETag>"{hashlib.md5(data).hexdigest()}"</ETag></Part>'
            for i, data in enumerate(parts, 1)
        )
        self(
            "POST",
            f"/bucket/multi?uploadId={number[1]}",
            f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode(),
        )


def put_and_get(client: Client, make: Make) -> None:
    """One put; whole, ranges, no range, attributes."""
    client("PUT", "/bucket/k", make(LARGE), content_type="text/x", x_amz_meta_a="b")
    client("GET", "/bucket/k")
    client("HEAD", "/bucket/k")
    for wanted in ("0-0", "5-300000", "-10", "300000-", "400000-", "0-1,5-6", "oops", "9-3"):
        client("GET", "/bucket/k", range=f"bytes={wanted}")
        client("HEAD", "/bucket/k", range=f"bytes={wanted}")
    client("GET", "/bucket/k?partNumber=1")
    client("GET", "/bucket/k?attributes=", x_amz_object_attributes="ETag,ObjectSize,Checksum")
    client("PUT", "/bucket/k", b"small now")
    client("GET", "/bucket/k")
    client("PUT", "/bucket/k", make(LARGE[1:]))
    client("DELETE", "/bucket/k")
    client("GET", "/bucket/k")


def with_checksums(client: Client, make: Make) -> None:
    """Checksums the client sent, and those it asked for."""
    value = base64.b64encode(hashlib.sha256(LARGE).digest()).decode()
    client(
        "PUT",
        "/bucket/k",
        make(LARGE),
        x_amz_sdk_checksum_algorithm="SHA256",
        x_amz_checksum_sha256=value,
    )
    client("GET", "/bucket/k", x_amz_checksum_mode="ENABLED")
    for algorithm in ("CRC32", "SHA1", "CRC32C", "CRC64NVME", "SHA256"):
        client("PUT", "/bucket/k2", make(LARGE), x_amz_sdk_checksum_algorithm=algorithm)
        client(
            "PUT",
            "/bucket/copy",
            x_amz_copy_source="bucket/k2",
            x_amz_checksum_algorithm=algorithm,
        )


def copies(client: Client, make: Make) -> None:
    """Copies of an object, onto itself, and parts copied of it."""
    client("PUT", "/bucket/k", make(LARGE))
    client("PUT", "/bucket/copy", x_amz_copy_source="/bucket/k")
    client("PUT", "/bucket/k", x_amz_copy_source="/bucket/k", x_amz_metadata_directive="REPLACE")
    client("DELETE", "/bucket/k")
    client("GET", "/bucket/copy")
    started = client("POST", "/bucket/m?uploads=").decode()
    number = re.search("<UploadId>(.+)</UploadId>", started)
    assert number
    ranges = ["", "bytes=7-19", "bytes=0-270000"]
    for index, wanted in enumerate(ranges, 1):
        client(
            "PUT",
            f"/bucket/m?partNumber={index}&uploadId={number[1]}",
            x_amz_copy_source="/bucket/copy",
            **({"x_amz_copy_source_range": wanted} if wanted else {}),
        )
    client("GET", f"/bucket/m?uploadId={number[1]}")


def uploads(client: Client, make: Make) -> None:
    """Uploads in parts, with each kind of checksum, and what is wrong with some."""
    client.upload(make, [PART, PART[1:] + b"x", TAIL])
    client("GET", "/bucket/multi")
    client("GET", "/bucket/multi", range="bytes=5242870-5242890")
    client("HEAD", "/bucket/multi?partNumber=2")
    client.upload(make, [PART, TAIL], x_amz_checksum_algorithm="SHA256")
    client.upload(
        make, [PART, TAIL], x_amz_checksum_algorithm="CRC32", x_amz_checksum_type="FULL_OBJECT"
    )
    client("GET", "/bucket/multi", x_amz_checksum_mode="ENABLED")
    client.upload(make, [LARGE, TAIL])
    client.upload(make, [])


def versions(client: Client, make: Make) -> None:
    """Versions of an object, listed and read."""
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    client("PUT", "/bucket?versioning=", enabled)
    for number in range(3):
        client("PUT", "/bucket/k", make(LARGE + bytes([number])))
    listed = client("GET", "/bucket?versions=").decode()
    for version in re.findall("<VersionId>(.+?)</VersionId>", listed):
        client("GET", f"/bucket/k?versionId={version}")
    client("DELETE", "/bucket/k")
    client("GET", "/bucket/k")


SCENES = [put_and_get, with_checksums, copies, uploads, versions]


@pytest.mark.parametrize("scene", SCENES)
def test_answers_are_those_to_the_same_bytes(
    engine: Engine, store: BlobStore, scene: Callable[[Client, Make], None]
) -> None:
    """Status, headers and body of every call are alike, in blobs or in memory."""
    plain = Client()
    scene(plain, bytes)
    engine.forget_all()
    found = Client()
    scene(found, in_blob)

    for number, (one, two) in enumerate(zip(plain.answers, found.answers, strict=True)):
        assert one == two, number
    assert list(store.root.rglob("*/??/*")), "the bodies did lie in blobs"


def test_nothing_is_read_whole(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put, copy, range, parts and get of large bodies never have one in memory."""
    monkeypatch.setattr(bodies, "INLINE_BYTES", 16)
    sizes: list[int] = []
    read = Body.read_all
    monkeypatch.setattr(Body, "read_all", lambda body: (sizes.append(len(body)), read(body))[1])
    client = Client()
    client("PUT", "/bucket/k", in_blob(PART))
    client("PUT", "/bucket/copy", x_amz_copy_source="/bucket/k")
    client("GET", "/bucket/k", range="bytes=0-9")
    client("GET", "/bucket?versions=")
    client.upload(in_blob, [PART, PART])
    assert max(sizes) < INLINE_BYTES
    assert len(list(store.root.rglob("??/*"))) == 1, "the same bytes, once"


def test_a_deleted_object_lets_its_blob_go(engine: Engine, store: BlobStore) -> None:
    """Overwritten, deleted and reset objects hold nothing."""
    client = Client()
    client("PUT", "/bucket/k", in_blob(LARGE))
    client("PUT", "/bucket/copy", x_amz_copy_source="/bucket/k")
    client("PUT", "/bucket/k", b"")
    assert swept(store) == 0
    client("DELETE", "/bucket/copy")
    assert swept(store) == 1
    client("PUT", "/bucket/k", in_blob(LARGE))
    engine.forget_all()
    assert swept(store) == 1


def test_a_key_is_taken_by_those_who_want_bytes(store: BlobStore) -> None:
    """What reads an object's value in moto, such as a query, gets the bytes."""
    Client()("PUT", "/bucket/k", in_blob(LARGE))
    backend = STORES.find(key("s3", "aws"))
    assert backend is not None
    assert backend.get_object("bucket", "k").value == LARGE  # type: ignore[attr-defined]


def test_a_state_file_names_its_blobs(disk: Disk, engine: Engine, store: BlobStore) -> None:
    """A saved and loaded object has its body; the header says which blobs that needs."""
    client = Client()
    client("PUT", "/bucket/k", in_blob(LARGE))
    client.upload(in_blob, [PART, TAIL])
    graph = engine.capture({key("s3", "aws")}).graphs[key("s3", "aws")]
    names = {blob.name for blob in graph.blobs}
    assert names == {hashlib.sha256(data).hexdigest() for data in (LARGE, PART)}
    assert LARGE not in graph.payload

    disk.save(everything=True)
    disk.restart()
    assert client("GET", "/bucket/k") == LARGE
    assert client("GET", "/bucket/multi") == PART + TAIL
    again = engine.capture({key("s3", "aws")}).graphs[key("s3", "aws")]
    assert again.digest == graph.digest
    assert swept(store) == 0


def test_a_blob_that_is_not_in_the_header_is_refused(store: BlobStore) -> None:
    """A stranger's payload cannot refer to what a sweep would not see."""
    from tests.unit.engine.test_special import again

    file = BodyFile(in_blob(LARGE))
    assert again(file).body.read_all() == LARGE
    assert again(BodyFile(None)).closed

    original = Graph.__init__

    def without_blobs(graph: Graph, *arguments: Any, **named: Any) -> None:
        original(graph, *arguments[:4], **{k: v for k, v in named.items() if k != "blobs"})

    with pytest.MonkeyPatch.context() as patch, pytest.raises(HostileStateError, match="blob"):
        patch.setattr(Graph, "__init__", without_blobs)
        again(file)
    BLOBS.store = None
    with pytest.raises(LoadError, match="blobs"):
        again(file)


def test_a_missing_blob_is_an_error_with_its_path(store: BlobStore) -> None:
    """A read of an object whose blob is gone fails before its answer begins."""
    client = Client()
    client("PUT", "/bucket/k", in_blob(LARGE))
    name = hashlib.sha256(LARGE).hexdigest()
    (store.root / file_of(name)).unlink()

    with pytest.raises(CorruptionError, match=name):
        client("GET", "/bucket/k")
    with pytest.raises(CorruptionError, match=name):
        client("GET", "/bucket/k", range="bytes=0-5")
    assert client("HEAD", "/bucket/k") == b""


def test_a_copy_of_what_is_gone_leaves_nothing(store: BlobStore) -> None:
    """It fails before it has an effect: a key without a body would keep its bucket from lists."""
    client = Client()
    client("PUT", "/bucket/k", in_blob(LARGE))
    (store.root / file_of(hashlib.sha256(LARGE).hexdigest())).unlink()

    with pytest.raises(CorruptionError):
        client("PUT", "/bucket/copy", x_amz_copy_source="/bucket/k")

    assert b"<Key>copy</Key>" not in client("GET", "/bucket/?list-type=2")


def test_a_part_of_no_upload_is_refused(store: BlobStore) -> None:
    """As S3 refuses it; in moto it is a failure of the server."""
    client = Client()
    for body in (b"small", in_blob(LARGE)):
        found = client("PUT", "/bucket/k?partNumber=1&uploadId=none", body)
        assert b"<Code>NoSuchUpload</Code>" in found


def test_an_answer_is_known_by_where_its_bytes_lie(store: BlobStore) -> None:
    """The digest of an answer in blobs needs no pass over them, and tells others apart."""
    one, two = in_blob(LARGE), in_blob(LARGE[1:])
    for path in store.root.rglob("??/*"):
        path.unlink()
    assert digest_of(Answer(200, [], one)) == digest_of(Answer(200, [], one[:]))
    assert digest_of(Answer(200, [], one)) != digest_of(Answer(200, [], two))
    assert digest_of(Answer(200, [], one)) != digest_of(Answer(200, [], one[1:]))


def test_checksums_use_the_libraries_that_are_there(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CRC32C and CRC64NVME are what the library says, chunk by chunk, or moto's CRC-32."""
    from types import SimpleNamespace

    for library in ("crc32c", "awscrt", "awscrt.checksums"):
        monkeypatch.setitem(sys.modules, library, None)
    body = in_blob(LARGE)
    crc = binascii.crc32(LARGE).to_bytes(4, "big")
    assert bodies.checksum_of(body, "CRC32C", encode_base64=False) == crc
    assert bodies.checksum_of(body, "CRC64NVME", encode_base64=False) == crc

    def add(data: bytes, before: int) -> int:
        return before + len(data)

    monkeypatch.setitem(sys.modules, "crc32c", SimpleNamespace(crc32c=add))
    monkeypatch.setitem(sys.modules, "awscrt", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "awscrt.checksums", SimpleNamespace(crc64nvme=add))
    size = len(LARGE)
    assert bodies.checksum_of(body, "CRC32C", encode_base64=False) == size.to_bytes(4, "big")
    assert bodies.checksum_of(body, "CRC64NVME", encode_base64=False) == size.to_bytes(8, "big")
