"""SQS answers, draws and keeps what moto would, at a cost that does not grow."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from tests.unit.engine.both_ways import Script, compare, seconds_of, target_call
from tests.unit.engine.conftest import Disk, key

from perdure.engine.collections import messages
from perdure.engine.core import Engine
from perdure.engine.quirks import queues
from perdure.engine.quirks.waiting import Waiting

URL = "http://localhost/000000000000/"
ATTRIBUTES = {
    "dead": {"VisibilityTimeout": "5"},
    "plain": {
        "RedrivePolicy": '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead",'
        ' "maxReceiveCount": "2"}',
        "MessageRetentionPeriod": "120",
    },
    "late": {"DelaySeconds": "3", "VisibilityTimeout": "0"},
    "a.fifo": {"FifoQueue": "true", "ContentBasedDeduplication": "true"},
    "b.fifo": {"FifoQueue": "true", "VisibilityTimeout": "4"},
}


class Chaos:
    """Random calls of SQS."""

    def __init__(self, script: Script, moto: Any, steps: int) -> None:
        self.script, self.moto, self.steps, self.pick = script, moto, steps, script.choose
        self.handles: list[str] = ["nonsense"]

    def call(self, operation: str, name: str, **parameters: Any) -> Any:
        given = {k: v for k, v in parameters.items() if v is not None}
        return self.script.call(
            target_call("sqs", "AmazonSQS", operation, QueueUrl=URL + name, **given)
        )

    def run(self) -> None:
        for name, attributes in ATTRIBUTES.items():
            self.script.call(
                target_call(
                    "sqs", "AmazonSQS", "CreateQueue", QueueName=name, Attributes=attributes
                )
            )
        steps = [self.send] * 6 + [self.receive] * 5 + [self.delete] * 3 + [self.hide] * 2
        steps += [self.batch, self.delete_batch, self.count, self.wait, self.wait]
        steps += [self.meddle] if self.pick.random() < 0.5 else []
        for _ in range(self.steps):
            self.pick.choice(steps)(self.pick.choice([*ATTRIBUTES, "plain"]))
        if self.pick.random() < 0.5:
            self.call("PurgeQueue", "plain")
            self.send("plain")
        self.settle()

    def entry(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"MessageBody": self.pick.choice("abcdefgh") * 3}
        if name.endswith(".fifo"):
            entry["MessageGroupId"] = self.pick.choice("xyz")
        if name == "b.fifo" and self.pick.random() < 0.9:
            entry["MessageDeduplicationId"] = self.pick.choice("123456789")
        if self.pick.random() < 0.2:
            entry["DelaySeconds"] = self.pick.choice([0, 1, 7, 901])
        if self.pick.random() < 0.3:
            value = {"DataType": "String", "StringValue": "v"}
            entry["MessageAttributes"] = {"one": value, "two": value}
        return entry

    def send(self, name: str) -> None:
        self.call("SendMessage", name, **self.entry(name))

    def batch(self, name: str) -> None:
        entries = [{"Id": str(n), **self.entry(name)} for n in range(self.pick.randint(1, 4))]
        self.call("SendMessageBatch", name, Entries=entries)

    def receive(self, name: str) -> None:
        answer = self.call(
            "ReceiveMessage",
            name,
            MaxNumberOfMessages=self.pick.choice([None, 1, 3, 10]),
            VisibilityTimeout=self.pick.choice([None, None, 0, 1, 60]),
            MessageAttributeNames=self.pick.choice([None, ["All"], ["one"]]),
            AttributeNames=["All"],
        )
        if isinstance(answer, dict):
            self.handles += [m["ReceiptHandle"] for m in answer.get("Messages", [])]

    def handle(self) -> str:
        return self.pick.choice(self.handles[-12:])

    def delete(self, name: str) -> None:
        self.call("DeleteMessage", name, ReceiptHandle=self.handle())

    def delete_batch(self, name: str) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": self.handle()} for n in range(3)]
        self.call("DeleteMessageBatch", name, Entries=entries)

    def hide(self, name: str) -> None:
        seconds = self.pick.choice([0, 0, 2, 30, 43201])
        self.call(
            "ChangeMessageVisibility", name, ReceiptHandle=self.handle(), VisibilityTimeout=seconds
        )

    def count(self, name: str) -> None:
        self.call("GetQueueAttributes", name, AttributeNames=["All"])

    def wait(self, _: str) -> None:
        """Let time go by, often up to the very microsecond at which a message shows."""
        self.script.wait(self.pick.choice([0.0, 0.0005, 1, 3, 31, 130]))
        if self.pick.random() < 0.5:
            return
        listed = [m for q in self.moto.store("sqs").queues.values() for m in queues.listed(q)]
        moments = [round(1000 * t) for m in listed for t in (m.visible_at, m.delayed_until)]
        later = [moment for moment in moments if moment > self.script.clock_us]
        self.script.clock_us = min(later, default=self.script.clock_us) - 1

    def meddle(self, name: str) -> None:
        """As a test of moto does, past all methods."""
        self.script.inside(lambda: self.meddled(name))

    def meddled(self, name: str) -> None:
        queue = self.moto.store("sqs").queues[name]
        if not queue._messages:
            return
        kind = self.pick.randrange(5)
        if kind == 0:
            queue._messages.reverse()
        elif kind == 1:
            queue._messages[0].visible_at = 0
        elif kind == 2:
            queue._messages[-1].change_visibility(9)
        elif kind == 3:
            del queue._messages[0]
        else:
            queue.delete_message(None)

    def settle(self) -> None:
        """Sets of messages are in the order of their addresses; put them into another."""
        for queue in self.moto.store("sqs").queues.values():
            queue._pending_messages = sorted(queue._pending_messages, key=lambda m: m.id)
            self.script.note([m.id for m in queue._messages])


@pytest.mark.parametrize("seed", range(12))
def test_all_is_as_moto_has_it(engine: Engine, moto: Any, seed: int) -> None:
    """Whatever is sent, received, hidden, deleted or meddled with, in whatever order."""
    seen = compare(
        engine,
        queues.REPLACED.undone,
        lambda script: Chaos(script, moto, 250).run(),
        [key("sqs")],
        seed=seed,
    )
    done = [row[0] for row in seen if isinstance(row, tuple) and row[4] == 200]
    assert {"SendMessage", "ReceiveMessage", "DeleteMessage"} <= set(done)


def filled(moto: Any, depth: int) -> Any:
    """A store with a queue of so many messages."""
    store = moto.store("sqs")
    queue = store.create_queue(f"q{depth}")
    for number in range(depth):
        store.send_message(queue.name, str(number))
    return store


def round_trip(store: Any, name: str) -> None:
    store.send_message(name, "m")
    (message,) = store.receive_message(name, 1, 0, 30)
    store.change_message_visibility(name, message.receipt_handle, 60)
    store.delete_message(name, message.receipt_handle)
    assert store.get_queue_attributes(name, ["All"])


def test_a_call_does_not_look_at_all_messages(moto: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the index is there, nothing passes over the messages again."""
    store = filled(moto, 300)
    round_trip(store, "q300")
    made: list[Any] = []
    real = Waiting.__init__
    monkeypatch.setattr(
        Waiting, "__init__", lambda *args, **named: (made.append(1), real(*args, **named))[1]
    )
    monkeypatch.setattr(queues, "listed", lambda _: pytest.fail("passed over all"))
    monkeypatch.setattr(messages, "open_list", lambda _: pytest.fail("made the list"))
    for _ in range(50):
        round_trip(store, "q300")
    assert not made


def test_its_cost_does_not_follow_the_depth(moto: Any) -> None:
    """Two hundred times as many messages cost by far not two hundred times as much."""

    def spent(depth: int) -> float:
        store = filled(moto, depth)
        round_trip(store, f"q{depth}")
        return seconds_of(lambda: round_trip(store, f"q{depth}"), 50)

    assert spent(20_000) < 5 * spent(100)


def test_what_is_saved_is_motos_list(engine: Engine, disk: Disk, moto: Any) -> None:
    """Behind a load the queue goes on: handles hold, the order is kept, nothing is there twice."""
    store = filled(moto, 5)
    first, second = store.receive_message("q5", 2, 0, 30)
    store.delete_message("q5", first.receipt_handle)
    disk.save()
    disk.restart()
    store = moto.store("sqs")
    assert [m.body for m in queues.listed(store.queues["q5"])] == ["1", "2", "3", "4"]
    store.delete_message("q5", second.receipt_handle)
    assert [m.body for m in store.receive_message("q5", 10, 0, 30)] == ["2", "3", "4"]


def test_who_holds_the_list_sees_and_does_what_it_would_with_moto(moto: Any) -> None:
    """The list is the same one for as long as somebody has it, and changes to it count."""
    store = filled(moto, 2)
    held = store.queues["q2"]._messages
    store.send_message("q2", "2")
    assert [m.body for m in held] == ["0", "1", "2"]
    held.pop(0)
    assert store.queues["q2"].approximate_number_of_messages == 2
    assert [m.body for m in store.receive_message("q2", 10, 0, 30)] == ["1", "2"]


def test_an_index_ends_with_its_queue(engine: Engine, moto: Any) -> None:
    """A deleted queue leaves nothing behind."""
    store = filled(moto, 3)
    gc.collect()
    before = len(queues._INDEXES)
    store.delete_queue("q3")
    gc.collect()
    assert len(queues._INDEXES) == before - 1
