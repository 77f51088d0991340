"""What LocalStack's developer endpoints show and do, on moto's state.

They look where no AWS call does: into a queue without receiving, at mails and texts
that were sent.  Reading creates no store and touches none; an unloaded store is loaded.

What *changes* state goes through one door, ``run(name, arguments)``: name and arguments
are JSON and so is the result, and with the clock pinned the outcome is the same again.
So it can be recorded and replayed like a call.

    ses.delete          {"id": text | null}                          {"deleted": n}
    sns.delete_pushes   {"account", "region", "endpoint": arn | null} {"deleted": n}
    sns.delete_texts    {"account", "region", "phone": text | null}   {"deleted": n}
    dynamodb.expire     {}                                           {"ExpiredItems": n}

Source: localstack/services/{sqs,ses,sns,dynamodb}/provider.py of LocalStack 4.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK, running
from perdure.engine.quirks import queues
from perdure.engine.quirks.mails import PARTS, SENT_AT
from perdure.engine.stores import STORES, QuarantinedError
from perdure.errors import RequestError
from perdure.persistence.keys import StoreKey

# LocalStack's: a real one would be taken for a message that was received.
RECEIPT_HANDLE = "SQS/BACKDOOR/ACCESS"
Result = TypeVar("Result")


def administer(
    engine: Engine, name: str, arguments: dict[str, Any]
) -> tuple[dict[str, Any], frozenset[StoreKey]]:
    """``run`` as a call runs: under the engine lock, counted, its stores noted.

    Returns:
        The result, and the stores that were touched.
    """
    with running() as touched:
        engine.calls += 1
        try:
            return run(name, arguments), frozenset(touched)
        finally:
            # Also where it failed: what it changed before that is state, too.
            engine.last_touched = touched
            engine.step(f"{name} by a developer endpoint")


def look(engine: Engine, read: Callable[[], Result]) -> Result:
    """Do one of the reads below.

    A load may end what ran in a store, which is a change: it is written down, as
    ``Engine.load`` does, before anything of it is shown.
    """
    with running():
        try:
            return read()
        finally:
            if STORES.revived:
                STORES.revived = False
                engine.step("a load that ended what ran")


def run(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do what the table above lists.  Needs the engine lock.

    Raises:
        QuarantinedError: A store it needs is set aside; nothing was changed in it.
        RequestError: There is no such action.
    """
    action = _ACTIONS.get(name)
    if action is None:
        raise RequestError("InvalidAction", f"no administration is named {name!r}", status=400)
    return action(**arguments)


# ---------------------------------------------------------------------------- SQS


def queue_messages(
    account: str, region: str, queue: str, *, invisible: bool, delayed: bool
) -> list[dict[str, Any]] | None:
    """A queue's messages as ReceiveMessage shows them, without receiving them.

    Those in flight first, then the visible ones, then the delayed ones.

    Args:
        account: The queue's.
        region: The queue's.
        queue: Its name.
        invisible: Also those in flight; each message then says ``IsVisible``.
        delayed: Also those to come; each message then says ``IsDelayed``.

    Returns:
        None when there is no such queue.
    """
    with ENGINE_LOCK:
        store = _look(StoreKey("sqs", account, region))
        found = None if store is None else store.queues.get(queue)
        if found is None:
            return None
        shown: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for message in queues.listed(found):
            is_delayed, is_visible = message.delayed, message.visible
            if (is_visible or invisible) and (not is_delayed or delayed):
                row = _message(message)
                if invisible:
                    row["Attributes"]["IsVisible"] = str(is_visible).lower()
                if delayed:
                    row["Attributes"]["IsDelayed"] = str(is_delayed).lower()
                shown[2 if is_delayed else int(is_visible)].append(row)
        return [row for rows in shown for row in rows]


def _message(message: Any) -> dict[str, Any]:
    row = {
        "MessageId": message.id,
        "ReceiptHandle": RECEIPT_HANDLE,
        "MD5OfBody": message.body_md5,
        "Body": message.body,
        "Attributes": _system_attributes(message),
    }
    if message.message_attributes:
        row["MD5OfMessageAttributes"] = message.attribute_md5
        row["MessageAttributes"] = {
            name: {field: _text(part) for field, part in value.items()}
            for name, value in message.message_attributes.items()
        }
    return row


def _system_attributes(message: Any) -> dict[str, str]:
    trace = message.system_attributes.get("AWSTraceHeader") or {}
    attributes = {
        "SenderId": message.sender_id,
        "SentTimestamp": message.sent_timestamp,
        "ApproximateReceiveCount": message.approximate_receive_count,
        "ApproximateFirstReceiveTimestamp": message.approximate_first_receive_timestamp or 0,
        "MessageDeduplicationId": message.deduplication_id,
        "MessageGroupId": message.group_id,
        "AWSTraceHeader": trace.get("StringValue"),
        "SequenceNumber": message.sequence_number,
    }
    return {name: str(value) for name, value in attributes.items() if value is not None}


def _text(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


# ---------------------------------------------------------------------------- SES


def mails(wanted_id: str | None, source: str | None) -> list[dict[str, Any]]:
    """Every mail that was sent, of all accounts and regions; None or empty = any."""
    with ENGINE_LOCK:
        found = [_mail(key.region, m) for key, s in _stores("ses") for m in s.sent_messages]
    return [
        mail
        for mail in found
        if wanted_id in (None, "", mail["Id"]) and source in (None, "", mail["Source"])
    ]


def _mail(region: str, message: Any) -> dict[str, Any]:
    mail: dict[str, Any] = {"Id": message.id, "Region": region}
    if hasattr(message, "raw_data"):
        mail |= {"Source": message.source, "RawData": message.raw_data}
    elif hasattr(message, "template"):
        mail |= {
            "Source": message.source,
            "Template": message.template,
            "TemplateData": message.template_data,
            "Destination": message.destinations,
        }
    else:
        # A mail sent before its parts were kept has one body, of either kind.
        parts = getattr(message, PARTS, None)
        mail |= {
            "Destination": message.destinations,
            "Source": message.source,
            "Subject": message.subject,
            "Body": parts or {"text_part": message.body, "html_part": None},
        }
    return {**mail, "Timestamp": getattr(message, SENT_AT, None)}


def _delete_mails(id: str | None = None) -> dict[str, Any]:  # noqa: A002 - LocalStack's name
    deleted = 0
    for key, store in _stores("ses"):
        kept = [m for m in store.sent_messages if id not in (None, m.id)]
        if len(kept) < len(store.sent_messages):
            STORES.touch(key)
            deleted += len(store.sent_messages) - len(kept)
            # In place: what else holds the list goes on holding it.
            store.sent_messages[:] = kept
    return {"deleted": deleted}


# ---------------------------------------------------------------------------- SNS


def pushes(account: str, region: str, endpoint: str | None) -> dict[str, list[dict[str, Any]]]:
    """Messages published to platform endpoints, by the endpoint's ARN."""
    with ENGINE_LOCK:
        store = _look(StoreKey("sns", account, region))
        endpoints = {} if store is None else store.platform_endpoints
        found = {
            arn: [_push(arn, *item) for item in one.messages.items()]
            for arn, one in endpoints.items()
            if endpoint == arn or (endpoint is None and one.messages)
        }
    return found if endpoint is None else {endpoint: found.get(endpoint, [])}


def _push(arn: str, message_id: str, message: str) -> dict[str, Any]:
    # moto keeps no more of it than this; LocalStack's other fields are there and empty.
    return {
        "TargetArn": arn,
        "TopicArn": None,
        "Message": message,
        "MessageAttributes": None,
        "MessageStructure": None,
        "Subject": None,
        "MessageId": message_id,
    }


def texts(account: str, region: str, phone: str | None) -> dict[str, list[dict[str, Any]]]:
    """Text messages (SMS), by phone number."""
    with ENGINE_LOCK:
        store = _look(StoreKey("sns", account, region))
        sent = {} if store is None else dict(store.sms_messages)
    found: dict[str, list[dict[str, Any]]] = {} if phone is None else {phone: []}
    for message_id, (number, message) in sent.items():
        if phone in (None, number):
            found.setdefault(number, []).append(
                {
                    "PhoneNumber": number,
                    "TopicArn": None,
                    "SubscriptionArn": None,
                    "MessageId": message_id,
                    "Message": message,
                    "MessageAttributes": None,
                    "MessageStructure": None,
                    "Subject": None,
                }
            )
    return found


def _delete_pushes(account: str, region: str, endpoint: str | None = None) -> dict[str, Any]:
    key = StoreKey("sns", account, region)
    store = _look(key)
    endpoints = {} if store is None else store.platform_endpoints
    deleted = 0
    for arn, one in endpoints.items():
        if endpoint in (None, arn) and one.messages:
            STORES.touch(key)
            deleted += len(one.messages)
            one.messages.clear()
    return {"deleted": deleted}


def _delete_texts(account: str, region: str, phone: str | None = None) -> dict[str, Any]:
    key = StoreKey("sns", account, region)
    store = _look(key)
    sent = {} if store is None else store.sms_messages
    gone = [message_id for message_id, (number, _) in sent.items() if phone in (None, number)]
    if store is not None and gone:
        STORES.touch(key)
        for message_id in gone:
            # moto keeps each twice.
            del store.sms_messages[message_id]
            store.sms_message_objects.pop(message_id, None)
    return {"deleted": len(gone)}


# ----------------------------------------------------------------------- DynamoDB


def _expire() -> dict[str, Any]:
    """Delete what has outlived its time; streams and triggers see it as a removal."""
    now = int(time.time())
    expired = 0
    for key, store in _stores("dynamodb"):
        for table in store.tables.values():
            items = list(_expired_items(table, now))
            if items:
                STORES.touch(key)
                expired += len(items)
            for item in items:
                table.delete_item(item.hash_key, item.range_key)
    return {"ExpiredItems": expired}


def _expired_items(table: Any, now: int) -> Iterator[Any]:
    if table.ttl.get("TimeToLiveStatus") != "ENABLED":
        return
    name = table.ttl["AttributeName"]
    for entry in table.items.values():
        for item in entry.values() if table.range_key_attr else [entry]:
            value = item.attrs.get(name)
            # Of another type than a number it is no time, as on AWS.
            if value is not None and value.type == "N" and float(value.value) <= now:
                yield item


# ------------------------------------------------------------------------- stores


def _look(key: StoreKey) -> Any:
    """The store if there is one: loaded if need be, never created, not counted as touched.

    Raises:
        QuarantinedError: It is set aside; to show it as empty would be a lie.
    """
    if key in STORES.unloaded and STORES.loader is not None:
        STORES.loader(key)
    if key in STORES.quarantined:
        raise QuarantinedError(key, STORES.quarantined[key])
    return STORES.find(key)


def _stores(module: str) -> list[tuple[StoreKey, Any]]:
    """Every store of a service, in an order that does not depend on the process."""
    known = {key for key, _ in STORES.living()} | STORES.unloaded | STORES.quarantined.keys()
    found = [(key, _look(key)) for key in sorted(known) if key.module == module]
    return [(key, store) for key, store in found if store is not None]


_ACTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "ses.delete": _delete_mails,
    "sns.delete_pushes": _delete_pushes,
    "sns.delete_texts": _delete_texts,
    "dynamodb.expire": _expire,
}
