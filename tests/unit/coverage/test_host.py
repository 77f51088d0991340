"""The observer tells which calls changed a store, and blames no other call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.coverage import host
from tests.coverage.headers import CHANGED, OBSERVE
from tests.unit.calls import a_call
from tests.unit.engine.conftest import Disk, key

from perdure.engine.core import Engine
from perdure.engine.loading import StoreLoader
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.stores import STORES, Stores

QUEUE = "http://localhost:4566/000000000000/q"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """An observed engine, empty, on an empty disk; afterwards nothing is observed."""
    for owner, name in ((Engine, "execute"), (Stores, "open"), (StoreLoader, "load")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    engine = Engine()
    host.watch(host.Observer())
    with ENGINE_LOCK:
        engine.forget_all()
        disk = Disk(engine)
        disk.know()
        yield disk
        engine._loader = None
        STORES.loader = None
        engine.forget_all()


def call(disk: Disk, operation: str, *, observe: bool = True, **parameters: Any) -> str | None:
    """Run a call; what the observer says of it."""
    headers = [("x-amz-target", f"AmazonSQS.{operation}"), ("x-amzn-query-mode", "true")]
    if observe:
        headers.append((OBSERVE, "1"))
    answer = disk.engine.execute(
        a_call(
            "sqs",
            operation,
            headers=[*headers, ("content-type", "application/x-amz-json-1.0")],
            body=json.dumps(parameters).encode(),
        ),
        may_park=False,
    )
    assert answer.status == 200, answer.body
    return dict(answer.headers).get(CHANGED)


def test_a_change_is_told_and_a_read_is_none(disk: Disk) -> None:
    """A read that only brings its store into being has changed nothing."""
    assert call(disk, "ListQueues") == ""
    assert call(disk, "CreateQueue", QueueName="q") == "sqs"
    assert call(disk, "ListQueues") == ""


def test_nobody_is_blamed_for_what_went_unobserved(disk: Disk) -> None:
    """A change by an unobserved call is not put down to the next observed one."""
    call(disk, "CreateQueue", QueueName="q")
    assert call(disk, "SendMessage", observe=False, QueueUrl=QUEUE, MessageBody="m") is None
    assert call(disk, "ListQueues") == ""


def test_a_loaded_store_is_compared_with_what_was_loaded(disk: Disk) -> None:
    """The first call after a restart has changed nothing by loading."""
    call(disk, "CreateQueue", QueueName="q")
    disk.save()
    disk.restart()

    assert call(disk, "GetQueueUrl", QueueName="q") == ""
    assert call(disk, "SendMessage", QueueUrl=QUEUE, MessageBody="m") == "sqs"


def test_looking_leaves_no_trace(disk: Disk) -> None:
    """A digest gives no object an export id and dirties no store."""
    call(disk, "CreateQueue", QueueName="q")
    disk.save()
    last = disk.engine.last_id
    host.digest(key("sqs"))

    assert disk.engine.last_id == last
    assert STORES.dirty == set()
