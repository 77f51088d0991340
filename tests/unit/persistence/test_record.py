"""Records: what is encoded is decoded, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import CorruptionError
from perdure.persistence import record as records
from perdure.persistence import statefile
from perdure.persistence.blobs import Blob
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.record import CallRecord, ImagesRecord
from perdure.persistence.statefile import Graph, StateFile

PATH = Path("journal/1.wal")
KEY = StoreKey("sqs", "000000000000", "us-east-1")
CALL = CallRecord(
    request={
        "service": "sqs",
        "operation": "SendMessage",
        "account": "000000000000",
        "region": "us-east-1",
        "access_key": "test",
        "method": "POST",
        "scheme": "http",
        "host": "localhost:4566",
        "path": "/",
        "query": "",
        "headers": [("x-amz-target", "AmazonSQS.SendMessage"), ("x-amz-meta-é", "\x85")],
        "form": False,
    },
    body=b"\x00body",
    clock_us=1_700_000_000_000_001,
    seed=2**64 - 1,
    may_park=True,
    doors=(("rsa", b"der"), ("rsa", b"")),
    answer="ab" * 16,
)
IMAGES = ImagesRecord(
    reason="lambda Invoke: it waited",
    clock_us=1_700_000_000_000_002,
    last_id=7,
    stores=((KEY, b"state file"), (StoreKey("s3", "000000000000", "aws"), b"")),
    process=b"process",
    lost=((KEY, "it holds a socket"),),
)


def whole(parts: Any) -> bytes:
    return b"".join(parts)


def test_a_call_is_what_was_encoded() -> None:
    """Every field of a call outlives the journal, to the bit."""
    assert records.decode_call(whole(records.encode_call(CALL)), path=PATH) == CALL


def test_half_a_character_is_written_and_refused_by_name() -> None:
    """UTF-8 has no bytes for it: it is escaped, not lost, and whoever reads it is told."""
    odd = CALL._replace(request={**CALL.request, "path": "/\ud800"})
    payload = whole(records.encode_call(odd))
    assert b"\\ud800" in payload
    with pytest.raises(CorruptionError, match="lone surrogates"):
        records.decode_call(payload, path=PATH)


def test_images_are_what_was_encoded() -> None:
    """Every field of a record of after-images outlives the journal."""
    assert records.decode_images(whole(records.encode_images(IMAGES)), path=PATH) == IMAGES


@pytest.mark.parametrize("cut", [0, 3, 4, 40, -1])
def test_a_payload_cut_short_is_refused(cut: int) -> None:
    """No part of a record is taken for the whole."""
    payload = whole(records.encode_call(CALL))

    with pytest.raises(CorruptionError):
        records.decode_call(payload[:cut], path=PATH)


def test_bytes_behind_the_last_part_are_refused() -> None:
    """A record holds what it describes and nothing else."""
    payload = whole(records.encode_images(IMAGES)) + b"more"

    with pytest.raises(CorruptionError, match="nothing behind its parts"):
        records.decode_images(payload, path=PATH)


def test_a_description_that_promises_more_than_there_is_is_refused() -> None:
    """No length is believed that the payload does not have."""
    payload = (1 << 31).to_bytes(4, "little") + b"{}"

    with pytest.raises(CorruptionError, match="a description inside of it"):
        records.decode_call(payload, path=PATH)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "not hex"),
        ("seed", 5),
        ("seed", "5"),
        ("seed", "-0000000000000_1"),
        ("clock_us", 253_370_764_800_000_000),
        ("clock_us", 2**63 - 1),
        ("clock_us", -1),
        ("clock_us", 1.5),
        ("may_park", 1),
        ("body", 10**12),
        ("body", True),
        ("doors", [["rsa"]]),
        ("doors", [["rsa", -1]]),
        ("request", []),
        ("request", {"headers": [["one"]], "form": False}),
        ("request", {"headers": [], "form": "yes"}),
        ("request", {"service": "s\ud800", "headers": [], "form": False}),
        ("answer", "\ud800"),
        ("answer", None),
    ],
)
def test_a_field_of_another_type_is_refused(name: str, value: object) -> None:
    """A stranger's record names the field that is wrong."""
    payload = whole(records.encode_call(CALL))
    size = int.from_bytes(payload[:4], "little")
    description = json.loads(payload[4 : 4 + size]) | {name: value}
    text = json.dumps(description).encode()

    with pytest.raises(CorruptionError):
        records.decode_call(len(text).to_bytes(4, "little") + text + payload[4 + size :], path=PATH)


def test_an_image_of_no_store_is_refused() -> None:
    """A key that would lead out of the folder is none."""
    hostile = replace(IMAGES, stores=((StoreKey("..", "/", "x"), b""),))

    with pytest.raises(CorruptionError, match="module, account, region"):
        records.decode_images(whole(records.encode_images(hostile)), path=PATH)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lost", [5]),
        ("lost", [["one"]]),
        ("lost", [[list(KEY), 5]]),
        ("lost", [["sqs", "reason"]]),
        ("clock_us", 2**63 - 1),
    ],
)
def test_a_field_of_images_of_another_type_is_refused(name: str, value: object) -> None:
    """A stranger's record of images names the field that is wrong."""
    payload = whole(records.encode_images(IMAGES))
    size = int.from_bytes(payload[:4], "little")
    description = json.loads(payload[4 : 4 + size]) | {name: value}
    text = json.dumps(description).encode()

    with pytest.raises(CorruptionError, match=f"images.{name}"):
        records.decode_images(
            len(text).to_bytes(4, "little") + text + payload[4 + size :], path=PATH
        )


BLOBS = (Blob("ab" * 32, 300_000), Blob("cd" * 32, 1))


def test_a_body_in_blobs_is_named_and_not_held() -> None:
    """A record of a large body holds the names, no bytes, and no length that says it is empty."""
    record = CALL._replace(body=BLOBS)
    payload = whole(records.encode_call(record))

    assert records.decode_call(payload, path=PATH) == record
    assert b'"body"' not in payload
    assert records.blobs_named(records.CALL, payload, path=PATH) == BLOBS
    assert records.blobs_named(records.CALL, whole(records.encode_call(CALL)), path=PATH) == ()
    named_in_text = CALL._replace(body=b'{"blobs": 1}')
    payload = whole(records.encode_call(named_in_text))
    assert records.blobs_named(records.CALL, payload, path=PATH) == ()
    assert records.blobs_named(records.MARK, b'"blobs"', path=PATH) == ()


def test_blobs_of_after_images_are_those_of_their_state_files() -> None:
    """A record of after-images names the blobs of every store in it."""
    graphs = [Graph(b"x", (), blobs=(blob,)) for blob in BLOBS]
    stores = tuple((KEY, statefile.encode(StateFile(KEY, Lsn(0), {}, graph))) for graph in graphs)
    payload = whole(records.encode_images(replace(IMAGES, stores=stores)))

    assert records.blobs_named(records.IMAGES, payload, path=PATH) == BLOBS


@pytest.mark.parametrize(
    "blobs",
    [
        "x",
        [3],
        [["ab" * 32]],
        [["../" + "a" * 61, 1]],
        [["AB" * 32, 1]],
        [["ab" * 32, -1]],
        [["ab" * 32, True]],
        [["ab" * 32, 1, 2]],
        [["ab" * 32 + "\n", 1]],
    ],
)
def test_a_malformed_blob_is_refused(blobs: Any) -> None:
    """A stranger's record cannot name a path."""
    record = CALL._replace(body=BLOBS)
    payload = bytearray(whole(records.encode_call(record)))
    size = int.from_bytes(payload[:4], "little")
    description = json.loads(payload[4 : 4 + size])
    text = json.dumps({**description, "blobs": blobs}).encode()
    changed = len(text).to_bytes(4, "little") + text + bytes(payload[4 + size :])

    with pytest.raises(CorruptionError, match="blobs"):
        records.decode_call(changed, path=PATH)
    with pytest.raises(CorruptionError, match="blobs"):
        records.blobs_named(records.CALL, changed, path=PATH)


@pytest.mark.parametrize("md5", ["x", "AB" * 16, "ab" * 15, 3, None])
def test_a_malformed_md5_is_refused(md5: Any) -> None:
    """The MD5 of a body becomes a part of an answer: 32 hex digits, or none."""
    known = CALL._replace(body=BLOBS[:1], md5="ab" * 16)
    payload = whole(records.encode_call(known))
    assert records.decode_call(payload, path=PATH) == known
    size = int.from_bytes(payload[:4], "little")
    text = json.dumps({**json.loads(payload[4 : 4 + size]), "md5": md5}).encode()
    changed = len(text).to_bytes(4, "little") + text + payload[4 + size :]

    with pytest.raises(CorruptionError, match="md5"):
        records.decode_call(changed, path=PATH)


def test_a_body_is_in_one_place() -> None:
    """A record that has a body and blobs is damaged."""
    payload = whole(records.encode_call(CALL._replace(body=BLOBS)))
    size = int.from_bytes(payload[:4], "little")
    text = payload[4 : 4 + size][:-1] + b',"body":0}'
    changed = len(text).to_bytes(4, "little") + text + payload[4 + size :]

    with pytest.raises(CorruptionError, match="beside blobs"):
        records.decode_call(changed, path=PATH)
