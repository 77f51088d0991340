"""Checkpoints of a store that is too large to be captured between two calls."""

from __future__ import annotations

import contextlib
import threading
from http.client import HTTPException

import pytest

ITEMS = 3000
BATCH = 25


def fill(server, value, count=ITEMS):
    """Write every item anew, many at a time."""
    dynamodb = server.client("dynamodb")
    for first in range(0, count, BATCH):
        rows = [
            {"id": {"S": str(n)}, "v": {"S": f"{value} {'x' * 60}"}}
            for n in range(first, first + BATCH)
        ]
        puts = [{"PutRequest": {"Item": row}} for row in rows]
        dynamodb.batch_write_item(RequestItems={"table": puts})


def values(server):
    """How many items hold which value."""
    counts: dict[str, int] = {}
    for page in server.client("dynamodb").get_paginator("scan").paginate(TableName="table"):
        for item in page["Items"]:
            value = item["v"]["S"].split()[0]
            counts[value] = counts.get(value, 0) + 1
    return counts


@pytest.fixture
def filled(start, tmp_path):
    """A server with a large table, which saves only when asked, and says what it does."""
    server = start(tmp_path / "state", SNAPSHOT_SAVE_STRATEGY="MANUAL", DEBUG="1")
    server.client("dynamodb").create_table(
        TableName="table",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    fill(server, "first")
    return server


def test_a_large_store_is_captured_in_a_child(filled):
    """What a child wrote is what a start after a kill finds, whole, and so is the next one."""
    filled.save()
    assert "captured in child" in filled.log
    assert "came to nothing" not in filled.log
    filled.kill()
    assert values(filled.start()) == {"first": ITEMS}
    fill(filled, "second", 100)
    filled.save()
    filled.kill()
    assert values(filled.start()) == {"second": 100, "first": ITEMS - 100}
    assert "came to nothing" not in filled.log


def test_a_save_is_one_instant_of_a_busy_server(filled):
    """Calls answered before a save are in it, those after it are not, and none is half in it."""
    done = threading.Event()
    counted = []

    def count():
        dynamodb = filled.client("dynamodb")
        number = 0
        while not done.is_set():
            number += 1
            # One call, two items: a cut between them would show.
            puts = [
                {"PutRequest": {"Item": {"id": {"S": name}, "v": {"S": f"n{number} x"}}}}
                for name in ("0", str(ITEMS - 1))
            ]
            dynamodb.batch_write_item(RequestItems={"table": puts})
            counted.append(number)

    writer = threading.Thread(target=count)
    writer.start()
    try:
        filled.wait_until(lambda: bool(counted), "writing")
        before = counted[-1]
        filled.save()
        after = counted[-1]
    finally:
        done.set()
        writer.join()
    assert after > before, "calls were answered meanwhile"
    filled.kill()
    found = values(filled.start())
    assert found.pop("first") == ITEMS - 2
    [(name, count_)] = found.items()
    assert count_ == 2
    assert before <= int(name[1:]) <= after + 1


def test_a_stop_during_a_save_keeps_all(filled):
    """A server that is told to stop while a child writes saves what there is and ends with 0."""

    def save():
        # Its connection may be cut by the stop.
        with contextlib.suppress(OSError, HTTPException):
            filled.ask("/_localstack/state/save", method="POST")

    saving = threading.Thread(target=save)
    filled.restart("save and kill", SNAPSHOT_SAVE_STRATEGY="ON_SHUTDOWN")
    fill(filled, "last")
    saving.start()
    assert filled.stop() == 0, filled.log
    saving.join()
    assert values(filled.start()) == {"last": ITEMS}
