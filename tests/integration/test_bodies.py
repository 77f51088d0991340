"""Large objects: streamed to disk and back, kept through a kill, swept when they are gone."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import random
import socket
import zlib
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from tests.coverage.peak import peak_mb

KB, MB = 1 << 10, 1 << 20
# Beyond the interpreter, moto and S3's modules, which take about 90 MB.
SMALL_MEMORY_MB = 30


def data_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def folder(server) -> Path:
    return Path(server.env["DATA_DIR"]) / "blobs"


def blobs(server) -> list[Path]:
    return sorted(folder(server).glob("??/*"))


def read(s3, key, **more):
    return s3.get_object(Bucket="big", Key=key, **more)["Body"].read()


@pytest.fixture
def server(start, tmp_path):
    """A server that keeps its state, with a bucket."""
    server = start(DATA_DIR=str(tmp_path / "data"))
    server.client("s3").create_bucket(Bucket="big")
    return server


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_large_objects_survive(server, how):
    """Objects of one put, of parts, and copies are there in full after a restart."""
    s3 = server.client("s3")
    sizes = {"small": 200 * KB, "over": 300 * KB, "some": 5 * MB, "large": 50 * MB}
    for key, size in sizes.items():
        answer = s3.put_object(Bucket="big", Key=key, Body=data_of(size))
        assert answer["ETag"] == f'"{hashlib.md5(data_of(size)).hexdigest()}"'
    parts = [data_of(6 * MB, 2), data_of(5 * MB, 3), b"the end"]
    upload = s3.create_multipart_upload(Bucket="big", Key="multi")["UploadId"]
    named = {"Bucket": "big", "Key": "multi", "UploadId": upload}
    done = [
        {
            "PartNumber": n,
            "ETag": s3.upload_part(**named, PartNumber=n, Body=part)["ETag"],
        }
        for n, part in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": done})
    s3.copy_object(Bucket="big", Key="copy", CopySource={"Bucket": "big", "Key": "large"})
    s3.delete_object(Bucket="big", Key="large")
    before = len(blobs(server))
    assert before == 5, "over, some, large with its copy, and two parts"

    server.restart(how)

    s3 = server.client("s3")
    for key, size in {**sizes, "copy": sizes["large"]}.items():
        if key != "large":
            assert read(s3, key) == data_of(size)
    assert read(s3, "multi") == b"".join(parts)
    assert (
        read(s3, "multi", Range=f"bytes={6 * MB - 3}-{6 * MB + 2}") == parts[0][-3:] + parts[1][:3]
    )
    assert read(s3, "copy", Range="bytes=-5") == data_of(sizes["large"])[-5:]
    assert s3.head_object(Bucket="big", Key="multi")["ContentLength"] == 11 * MB + 7
    with pytest.raises(ClientError, match="InvalidRange"):
        read(s3, "some", Range=f"bytes={6 * MB}-")
    assert server.health()["persistence"]["recovery"]["divergence_count"] == 0


def test_a_body_is_never_in_memory(server):
    """Neither a put, nor a start that replays it, nor a get holds the body."""
    s3 = server.client("s3")
    s3.put_object(Bucket="big", Key="warm", Body=data_of(MB))
    read(s3, "warm")
    base = peak_mb(server.process.pid)
    s3.put_object(Bucket="big", Key="k", Body=data_of(150 * MB))
    answer = s3.get_object(Bucket="big", Key="k")["Body"]
    seen = hashlib.sha256()
    while piece := answer.read(MB):
        seen.update(piece)
    assert seen.hexdigest() == hashlib.sha256(data_of(150 * MB)).hexdigest()
    s3.copy_object(Bucket="big", Key="c", CopySource="big/k")
    assert peak_mb(server.process.pid) < base + SMALL_MEMORY_MB

    server.restart("kill")
    s3 = server.client("s3")
    assert read(s3, "k", Range="bytes=100000000-100000009") == data_of(150 * MB)[10**8 : 10**8 + 10]
    assert peak_mb(server.process.pid) < base + SMALL_MEMORY_MB


@pytest.mark.parametrize("size", [10, 300 * KB, 3 * MB])
def test_a_wrong_checksum_is_refused(server, size):
    """Whatever its size, a body that does not fit its checksum is not stored."""
    s3 = server.client("s3")
    data = data_of(size)
    right = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    wrong = base64.b64encode(bytes(4)).decode()
    s3.put_object(Bucket="big", Key="k", Body=data, ChecksumAlgorithm="CRC32")
    for bad in (
        {"ChecksumCRC32": wrong},
        {"ChecksumSHA256": base64.b64encode(bytes(32)).decode()},
        {"ContentMD5": base64.b64encode(bytes(16)).decode()},
    ):
        with pytest.raises(ClientError, match="BadDigest"):
            s3.put_object(Bucket="big", Key="other", Body=data, **bad)
    with pytest.raises(ClientError, match="NoSuchKey"):
        read(s3, "other")
    found = s3.get_object(Bucket="big", Key="k", ChecksumMode="ENABLED")
    assert found["ChecksumCRC32"] == right
    assert found["Body"].read() == data
    server.save()
    assert len(blobs(server)) == (size > 256 * KB)
    assert not list(folder(server).glob("incoming/*"))


def chunked(server, key, data, *, trailer=b"", declared=None, cut=0, **headers):
    """A body in chunks of AWS' own, sent in pieces of HTTP's; status and text."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = b"".join(
        b"%x\r\n%s\r\n" % (len(data[at : at + 65536]), data[at : at + 65536])
        for at in range(0, len(data), 65536)
    )
    body += b"0\r\n" + trailer + b"\r\n"
    body = body[: len(body) - cut]
    sent = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "content-encoding": "aws-chunked",
        **({} if declared is None else {"x-amz-decoded-content-length": str(declared)}),
        **headers,
    }
    pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    connection.request("PUT", f"/big/{key}", pieces, sent, encode_chunked=True)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("size", [100 * KB, 256 * KB, 256 * KB + 1, 2 * MB + 17])
def test_chunks_are_undone_on_the_way(server, size, declared):
    """Chunks leave no trace, a trailing checksum is kept and a wrong one refused."""
    data = data_of(size)
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    known = {"declared": size} if declared else {}
    headers = {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm": "CRC32"}
    right = f"x-amz-checksum-crc32:{crc}\r\n".encode()
    wrong = b"x-amz-checksum-crc32:AAAAAA==\r\n"
    assert chunked(server, "k", data, trailer=right, **known, **headers) == (200, "")
    status, text = chunked(server, "bad", data, trailer=wrong, **known, **headers)
    assert (status, "BadDigest" in text) == (400, True)
    status, text = chunked(server, "bad", data, cut=20, **known)
    assert (status, "IncompleteBody" in text) == (400, True)
    status, text = chunked(server, "bad", data, declared=size + 1)
    assert (status, "IncompleteBody" in text) == (400, True)

    s3 = server.client("s3")
    found = s3.get_object(Bucket="big", Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == data
    assert found["ChecksumCRC32"] == crc
    assert "aws-chunked" not in found.get("ContentEncoding", "")
    with pytest.raises(ClientError, match="NoSuchKey"):
        read(s3, "bad")


def test_http2_carries_large_bodies_too(server):
    """A body streams in and out over HTTP/2 as over HTTP/1.1, ranges as well."""
    data = data_of(5 * MB)
    with httpx.Client(
        base_url=server.url, http1=False, http2=True, timeout=30, trust_env=False
    ) as client:
        pieces = (data[at : at + 50_000] for at in range(0, len(data), 50_000))
        assert client.put("/big/k", content=pieces).status_code == 200
        answer = client.get("/big/k")
        assert (answer.http_version, answer.content) == ("HTTP/2", data)
        part = client.get("/big/k", headers={"Range": "bytes=1000000-3000000"})
        assert (part.status_code, part.content) == (206, data[10**6 : 3 * 10**6 + 1])
        with client.stream("GET", "/big/k") as left:
            next(left.iter_raw())
        assert client.head("/big/k").headers["content-length"] == str(len(data))
    assert len(blobs(server)) == 1


def test_a_client_that_leaves_costs_nothing(server):
    """Uploads and downloads that break off leave no file, and the server goes on."""
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as half:
            half.sendall(b"PUT /big/k HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
            half.sendall(data_of(MB))
    server.client("s3").put_object(Bucket="big", Key="k", Body=data_of(20 * MB))
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as half:
            half.sendall(b"GET /big/k HTTP/1.1\r\nHost: x\r\n\r\n")
            half.recv(1000)
    assert read(server.client("s3"), "k") == data_of(20 * MB)
    server.wait_until(lambda: not list(folder(server).glob("incoming/*")), "nothing incoming")
    assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 60


def test_what_is_gone_is_swept(server):
    """Bodies that were overwritten or deleted go with a checkpoint; versions keep theirs."""
    s3 = server.client("s3")
    for number, key in enumerate(("over", "deleted", "kept")):
        s3.put_object(Bucket="big", Key=key, Body=data_of(MB, number))
    s3.put_bucket_versioning(Bucket="big", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="big", Key="v", Body=data_of(MB, 10))["VersionId"]
    second = s3.put_object(Bucket="big", Key="v", Body=data_of(MB, 11))["VersionId"]
    upload = s3.create_multipart_upload(Bucket="big", Key="m")["UploadId"]
    named = {"Bucket": "big", "Key": "m", "UploadId": upload}
    s3.upload_part(**named, PartNumber=1, Body=data_of(5 * MB, 12))
    server.save()
    assert len(blobs(server)) == 6

    s3.delete_object(Bucket="big", Key="v", VersionId=first)
    s3.abort_multipart_upload(**named)
    assert checkpointed(server) == 4
    s3 = server.client("s3")
    s3.put_bucket_versioning(Bucket="big", VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket="big", Key="over", Body=b"small")
    s3.delete_object(Bucket="big", Key="deleted", VersionId="null")
    assert checkpointed(server) == 2
    s3 = server.client("s3")
    assert read(s3, "kept") == data_of(MB, 2)
    assert read(s3, "v", VersionId=second) == data_of(MB, 11)
    assert read(s3, "over") == b"small"


def test_what_no_save_names_is_swept_at_a_start(start, tmp_path):
    """With MANUAL saving a body that was not saved is gone behind the next start, no other."""
    data = str(tmp_path / "data")
    server = start(DATA_DIR=data)
    server.client("s3").create_bucket(Bucket="big")
    server.client("s3").put_object(Bucket="big", Key="tail", Body=data_of(MB, 1))
    # The tail of a journal is what a start finds first.
    server.restart("kill", SNAPSHOT_SAVE_STRATEGY="MANUAL")
    s3 = server.client("s3")
    assert len(blobs(server)) == 1
    s3.put_object(Bucket="big", Key="saved", Body=data_of(MB, 2))
    server.save()
    s3.put_object(Bucket="big", Key="unsaved", Body=data_of(MB, 3))
    assert len(blobs(server)) == 3

    server.restart("stop", SNAPSHOT_SAVE_STRATEGY="MANUAL")
    assert len(blobs(server)) == 2
    s3 = server.client("s3")
    assert read(s3, "tail") == data_of(MB, 1)
    assert read(s3, "saved") == data_of(MB, 2)


def checkpointed(server) -> int:
    """How many blobs are left behind a checkpoint of a process that holds none of them."""
    server.restart("stop")
    server.client("s3").put_object(Bucket="big", Key="tick", Body=os.urandom(8))
    server.save()
    return len(blobs(server))


def test_a_damaged_body_is_never_answered(server):
    """A blob that is missing or cut is a 500 with a clear log; the others are read on."""
    s3 = server.client("s3")
    for number in range(3):
        s3.put_object(Bucket="big", Key=str(number), Body=data_of(MB, number))
    assert server.stop() == 0
    paths = {
        number: folder(server) / name[:2] / name
        for number, name in ((n, hashlib.sha256(data_of(MB, n)).hexdigest()) for n in range(3))
    }
    paths[0].unlink()
    os.truncate(paths[1], 1000)
    server.start()
    s3 = server.client("s3")
    for key in ("0", "1"):
        with pytest.raises(ClientError, match="blobs/"):
            read(s3, key)
        with pytest.raises(ClientError, match="blobs/"):
            read(s3, key, Range="bytes=0-9")
    assert read(s3, "2") == data_of(MB, 2)
    assert f"{paths[0]}: blob: expected a file of {MB} bytes" in server.log


def test_a_body_that_shrinks_while_it_is_read_is_cut_off(server):
    """An answer that has begun and cannot be finished ends with its connection."""
    s3 = server.client("s3")
    s3.put_object(Bucket="big", Key="k", Body=data_of(40 * MB))
    answer = s3.get_object(Bucket="big", Key="k")["Body"]
    answer.read(1000)
    os.truncate(blobs(server)[0], 1000)
    with pytest.raises((ConnectionError, HTTPClientError, BotoCoreError)):
        while answer.read(MB):
            pass
    assert server.health()


def test_a_server_that_keeps_nothing_leaves_nothing(start, tmp_path):
    """Without a state directory bodies lie below TMPDIR, and are gone when it stops."""
    server = start(PERSISTENCE="0")
    s3 = server.client("s3")
    s3.create_bucket(Bucket="big")
    s3.put_object(Bucket="big", Key="k", Body=data_of(3 * MB))
    assert read(s3, "k") == data_of(3 * MB)
    found = list(server.home.rglob("blobs/??/*"))
    assert len(found) == 1
    assert server.stop() == 0
    assert not list(server.home.glob("perdure-blobs-*"))


@pytest.mark.parametrize("sync", ["always", "never"])
def test_each_way_to_sync(start, tmp_path, sync):
    """Large and small objects are kept alike, however often the disk is synced."""
    server = start(DATA_DIR=str(tmp_path / "data"), JOURNAL_SYNC=sync)
    s3 = server.client("s3")
    s3.create_bucket(Bucket="big")
    for number in range(4):
        s3.put_object(Bucket="big", Key=str(number), Body=data_of(MB * number + 10, number))
    server.restart("kill")
    s3 = server.client("s3")
    for number in range(4):
        assert read(s3, str(number)) == data_of(MB * number + 10, number)
