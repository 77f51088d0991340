"""The developer endpoints' view of moto's state, and the one door for what they change."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tests.unit.engine.conftest import ACCOUNT, REGION, Disk, is_living, key

from perdure.engine import developer
from perdure.engine.core import Engine
from perdure.engine.stores import STORES, QuarantinedError
from perdure.errors import RequestError

PHONE = "+15550100"


def messages(queue: str = "q", **flags: bool) -> Any:
    flags = {"invisible": False, "delayed": False, **flags}
    return developer.queue_messages(ACCOUNT, REGION, queue, **flags)


def push(store: Any, text: str) -> str:
    application = store.create_platform_application("app", "APNS", {})
    endpoint = store.create_platform_endpoint(application, "data", "token", {})
    endpoint.publish(text)
    return endpoint.arn


def send_mails(store: Any) -> list[str]:
    store.verify_email_identity("a@example.com")
    store.verify_email_identity("b@example.com")
    to = {"ToAddresses": ["c@example.com"]}
    store.templates["t"] = {"subject_part": "s"}
    return [
        store.send_email("a@example.com", "subject", "body", dict(to)).id,
        store.send_raw_email("b@example.com", ["c@example.com"], "Subject: raw\n\ntext").id,
        store.send_templated_email("a@example.com", "t", "{}", dict(to)).id,
    ]


def test_messages_are_shown_and_not_received(disk: Disk, moto: Any) -> None:
    """Looking into a queue changes nothing: no count, no time, no store touched."""
    queue = moto.store("sqs").create_queue("q", {})
    moto.store("sqs").send_message("q", "text", {"n": {"DataType": "Binary", "BinaryValue": b"x"}})
    disk.save()

    (shown,) = messages()

    assert (shown["Body"], shown["ReceiptHandle"]) == ("text", developer.RECEIPT_HANDLE)
    assert shown["Attributes"]["ApproximateReceiveCount"] == "0"
    assert shown["MessageAttributes"]["n"]["BinaryValue"] == "eA=="
    assert "IsVisible" not in shown["Attributes"]
    assert queue._messages[0].approximate_receive_count == 0
    assert not STORES.dirty


def test_hidden_messages_are_shown_on_request(engine: Engine, moto: Any) -> None:
    """Messages in flight and messages to come are left out unless asked for, and then marked."""
    store = moto.store("sqs")
    store.create_queue("q", {})
    store.send_message("q", "in flight")
    store.receive_message("q", 1, 0, 600)
    store.send_message("q", "visible")
    store.send_message("q", "delayed", delay_seconds=600)

    def shown(**flags: bool) -> list[tuple[str, str | None, str | None]]:
        return [
            (m["Body"], m["Attributes"].get("IsVisible"), m["Attributes"].get("IsDelayed"))
            for m in messages(**flags)
        ]

    assert shown() == [("visible", None, None)]
    assert shown(invisible=True) == [("in flight", "false", None), ("visible", "true", None)]
    assert shown(delayed=True) == [("visible", None, "false"), ("delayed", None, "true")]
    assert [row[0] for row in shown(invisible=True, delayed=True)] == [
        *("in flight", "visible", "delayed")
    ]


def test_looking_creates_nothing(disk: Disk, moto: Any) -> None:
    """A question about what is not there is answered without making a store."""
    moto.store("sqs", "eu-west-1")

    assert messages() is None
    assert developer.pushes(ACCOUNT, REGION, None) == {}
    assert developer.texts(ACCOUNT, REGION, PHONE) == {PHONE: []}
    assert developer.mails(None, None) == []
    assert not is_living(key("sqs"))
    assert not is_living(key("sns"))


def test_what_is_on_disk_is_shown(disk: Disk, moto: Any) -> None:
    """Stores that were not loaded yet are loaded to be shown, of every region."""
    moto.store("sqs").create_queue("q", {})
    moto.store("sqs").send_message("q", "kept")
    (first, *_) = send_mails(moto.store("ses", "eu-west-1"))
    disk.save()
    disk.restart()

    assert [m["Body"] for m in messages()] == ["kept"]
    assert developer.mails(first, None)[0]["Region"] == "eu-west-1"


def test_a_store_that_is_set_aside_is_not_shown_as_empty(engine: Engine) -> None:
    """A quarantined store is an error, for what reads and for what deletes."""
    STORES.quarantined[key("ses")] = "damaged"

    with pytest.raises(QuarantinedError):
        developer.mails(None, None)
    with pytest.raises(QuarantinedError):
        developer.run("ses.delete", {"id": None})


def test_mails_by_id_and_source(engine: Engine, moto: Any) -> None:
    """Each kind of mail has the fields LocalStack gives it; filters combine."""
    plain, raw, templated = send_mails(moto.store("ses"))

    assert [m["Id"] for m in developer.mails(None, "")] == [plain, raw, templated]
    assert [m["Id"] for m in developer.mails(None, "a@example.com")] == [plain, templated]
    assert developer.mails(raw, "a@example.com") == []
    (found,) = developer.mails(plain, None)
    assert list(found) == [
        *("Id", "Region", "Destination", "Source", "Subject", "Body", "Timestamp")
    ]
    assert found["Body"] == {"text_part": "body", "html_part": None}
    assert time.strptime(found["Timestamp"], "%Y-%m-%dT%H:%M:%S")
    assert developer.mails(raw, None)[0]["RawData"] == "Subject: raw\n\ntext"
    assert developer.mails(templated, None)[0]["Template"] == "t"
    json.dumps(developer.mails(None, None))


def test_deleted_mails_stay_deleted(disk: Disk, moto: Any) -> None:
    """A deletion counts as a change of its store, and of no other."""
    (first, *_) = send_mails(moto.store("ses"))
    send_mails(moto.store("ses", "eu-west-1"))
    disk.save()

    assert developer.run("ses.delete", {"id": first}) == {"deleted": 1}
    assert STORES.dirty == {key("ses")}
    disk.save()
    disk.restart()
    assert first not in {m["Id"] for m in developer.mails(None, None)}

    assert developer.run("ses.delete", {"id": None}) == {"deleted": 5}
    assert developer.run("ses.delete", {"id": None}) == {"deleted": 0}


def test_pushes(disk: Disk, moto: Any) -> None:
    """Published to an endpoint: shown by ARN, deleted by ARN or all, deleted for good."""
    arn = push(moto.store("sns"), "hello")
    disk.save()

    (shown,) = developer.pushes(ACCOUNT, REGION, None)[arn]
    assert (shown["TargetArn"], shown["Message"]) == (arn, "hello")
    assert developer.pushes(ACCOUNT, REGION, "arn:none") == {"arn:none": []}
    where = {"account": ACCOUNT, "region": REGION}
    assert developer.run("sns.delete_pushes", {**where, "endpoint": "other"}) == {"deleted": 0}
    assert not STORES.dirty
    assert developer.run("sns.delete_pushes", {**where, "endpoint": arn}) == {"deleted": 1}
    disk.save()
    disk.restart()
    assert developer.pushes(ACCOUNT, REGION, arn) == {arn: []}


def test_texts(disk: Disk, moto: Any) -> None:
    """Sent to a number: shown by number, deleted by number or all, deleted for good."""
    store = moto.store("sns")
    for number in (PHONE, PHONE, "+15550199"):
        store.publish("hello", None, number)
    disk.save()

    assert {n: len(found) for n, found in developer.texts(ACCOUNT, REGION, None).items()} == {
        PHONE: 2,
        "+15550199": 1,
    }
    where = {"account": ACCOUNT, "region": REGION}
    assert developer.run("sns.delete_texts", {**where, "phone": PHONE}) == {"deleted": 2}
    disk.save()
    disk.restart()
    assert developer.texts(ACCOUNT, REGION, None).keys() == {"+15550199"}
    assert developer.run("sns.delete_texts", where) == {"deleted": 1}


@pytest.mark.parametrize("range_key", [None, "r"])
def test_expired_items_are_deleted(disk: Disk, moto: Any, range_key: str | None) -> None:
    """What has outlived its time goes, for good and into the stream; all else stays."""
    schema = [{"AttributeName": "h", "KeyType": "HASH"}]
    if range_key:
        schema.append({"AttributeName": "r", "KeyType": "RANGE"})
    attributes = [{"AttributeName": k["AttributeName"], "AttributeType": "S"} for k in schema]
    table = moto.store("dynamodb").create_table(
        "t",
        schema=schema,
        attr=attributes,
        throughput=None,
        indexes=None,
        global_indexes=None,
        streams={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        billing_mode="PAY_PER_REQUEST",
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=None,
        warm_throughput=None,
    )
    values = {
        "past": {"N": "1"},
        "to come": {"N": "99999999999"},
        "text": {"S": "1"},
        "none": None,
    }
    for name, value in values.items():
        more = {} if value is None else {"ttl": value}
        table.put_item({"h": {"S": "same" if range_key else name}, "r": {"S": name}, **more})
    assert developer.run("dynamodb.expire", {}) == {"ExpiredItems": 0}

    spec = {"Enabled": True, "AttributeName": "ttl"}
    moto.store("dynamodb").update_time_to_live("t", spec)
    assert developer.run("dynamodb.expire", {}) == {"ExpiredItems": 1}

    disk.save()
    disk.restart()
    table = moto.store("dynamodb").tables["t"]
    assert {i.attrs["r"].value for i in table.all_items()} == {"to come", "text", "none"}
    assert table.stream_shard.items[-1].record["eventName"] == "REMOVE"


def test_an_administration_counts_as_a_call(engine: Engine, moto: Any) -> None:
    """It has a number of its own and notes its stores, as what saves and records needs."""
    send_mails(moto.store("ses"))
    before = engine.calls

    result, touched = developer.administer(engine, "ses.delete", {"id": None})

    assert (result, touched) == ({"deleted": 3}, {key("ses")})
    assert engine.calls == before + 1


def test_there_is_no_other_administration(engine: Engine) -> None:
    """A name that is not in the table is refused by name."""
    with pytest.raises(RequestError, match=r"s3\.delete"):
        developer.run("s3.delete", {})
