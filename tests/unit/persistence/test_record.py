"""Records: what is encoded is decoded, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import CorruptionError
from perdure.persistence import record as records
from perdure.persistence.keys import StoreKey
from perdure.persistence.record import CallRecord, ImagesRecord

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
