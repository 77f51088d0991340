"""A queue whose messages come and go between memory and disk is the queue that never did."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.coverage.memory_disk import Disk
from tests.unit.engine.both_ways import Script, compare
from tests.unit.engine.conftest import key
from tests.unit.engine.restarts import Restarts, restart
from tests.unit.engine.test_queues import Chaos

from perdure.engine.collections import messages, tracked
from perdure.engine.core import Engine
from perdure.engine.quirks import queues
from perdure.errors import LoadError
from perdure.persistence.entries import row_of

SQS = key("sqs")


class Restarted(Chaos):
    """Random calls with restarts between them."""

    def __init__(self, script: Script, moto: Any, restarts: Restarts) -> None:
        super().__init__(script, moto, 160)
        self.restarts = restarts

    def call(self, operation: str, name: str, **parameters: Any) -> Any:
        self.restarts.happen()
        return super().call(operation, name, **parameters)

    def settle(self) -> None:
        for queue in self.moto.store("sqs").queues.values():
            self.script.note([vars(message) for message in queues.listed(queue)])
            self.script.note(sorted(message.id for message in queue.pending_messages))
            self.script.note(sorted(map(str, queue.deleted_messages)))
            held = {message.id: message for message in queues.listed(queue)}
            for message in queue.pending_messages:
                assert held.get(message.id, message) is message


@pytest.mark.parametrize("seed", range(16))
def test_restarts_change_nothing(
    engine: Engine, disk: Disk, moto: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers, order and state are those of a server that never stopped."""
    monkeypatch.setattr(messages, "BLOCK", 2)
    restarts = Restarts(disk, seed)

    def script(running: Script) -> None:
        disk.clear()
        Restarted(running, moto, restarts).run()

    compare(engine, restarts.off, script, [], seed=seed)
    assert restarts.done >= {"restart", "fail", "save"}


class Bench:
    """A store with a queue, and what a checkpoint would write of it."""

    def __init__(self, disk: Disk, moto: Any) -> None:
        self.disk, self.moto = disk, moto
        self.store.create_queue("q", {"VisibilityTimeout": "30"})

    @property
    def store(self) -> Any:
        return self.moto.store("sqs")

    @property
    def queue(self) -> Any:
        return self.store.queues["q"]

    @property
    def held(self) -> messages.Messages:
        held: messages.Messages = self.queue.__dict__["_messages"]
        assert type(held) is messages.Messages
        return held

    def send(self, *bodies: Any) -> None:
        for body in bodies:
            self.store.send_message("q", str(body))

    def receive(self, number: int = 1, seconds: int = 30) -> list[Any]:
        found: list[Any] = self.store.receive_message("q", number, 0, seconds)
        return found

    def restart(self) -> None:
        restart(self.disk)

    def rows(self) -> dict[int, Any]:
        """By place: bodies, None for a row that goes."""
        written = self.held.written(SQS)[1]
        return {int(r.key): r.value and json.loads(r.value)["body"] for r in written}

    def bodies(self) -> list[str]:
        return [message.body for message in queues.listed(self.queue)]


@pytest.fixture
def bench(engine: Engine, disk: Disk, moto: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A store with an empty queue, whose messages come three at a time."""
    monkeypatch.setattr(messages, "BLOCK", 3)
    return Bench(disk, moto)


def test_a_receive_brings_the_first_messages_and_no_others(bench: Bench) -> None:
    """However many wait behind them."""
    bench.send(*range(50))
    bench.restart()

    assert [m.body for m in bench.receive(2)] == ["0", "1"]
    assert (len(bench.held), bench.held.unloaded) == (3, 47)
    assert [m.body for m in bench.receive(3)] == ["2", "3", "4"]
    assert (len(bench.held), bench.held.unloaded) == (6, 44)


def test_a_send_and_a_count_bring_none(bench: Bench) -> None:
    """What is on disk counts."""
    bench.send(*range(9))
    bench.restart()
    bench.send("new")

    queue = bench.queue
    assert queue.approximate_number_of_messages == 10
    assert queue.approximate_number_of_messages_not_visible == 0
    assert bench.store.get_queue_attributes("q", ["All"])["ApproximateNumberOfMessages"] == 10
    assert (len(bench.held), bench.held.unloaded) == (1, 9)


def test_only_what_changed_is_written(bench: Bench) -> None:
    """A send is a row; a receive takes one away, as does a delete."""
    bench.send(*range(9))
    bench.restart()
    bench.send("new")
    (first,) = bench.receive()
    bench.store.delete_message("q", first.receipt_handle)
    bench.receive()

    assert bench.rows() == {0: None, 1: None, 9: "new"}


def test_what_was_received_is_found_by_its_handle(bench: Bench) -> None:
    """Behind a restart too: it stands in the state file, and in no row."""
    bench.send(*range(5))
    first, second = bench.receive(2)
    bench.restart()
    bench.store.delete_message("q", second.receipt_handle)
    bench.store.change_message_visibility("q", first.receipt_handle, 0)

    assert [m.body for m in bench.receive(9)] == ["0", "2", "3", "4"]
    bench.restart()
    assert bench.bodies() == ["0", "2", "3", "4"]
    (again,) = [m for m in queues.listed(bench.queue) if m.body == "0"]
    assert again in bench.queue.pending_messages
    assert again.approximate_receive_count == 2


@pytest.mark.parametrize("number", [1, 3, 9])
def test_a_deleted_message_does_not_come_back(bench: Bench, number: int) -> None:
    """From the files of the older checkpoint, which are read until all is in memory."""
    bench.send(*range(9))
    bench.restart()
    for message in bench.receive(number):
        bench.store.delete_message("q", message.receipt_handle)
    bench.disk.save()

    assert bench.bodies() == list("012345678"[number:])
    bench.restart()
    assert bench.bodies() == list("012345678"[number:])


def test_a_place_is_not_given_twice(bench: Bench) -> None:
    """By the next process neither, of a message that came and went without a checkpoint."""
    bench.send("a", "b")
    bench.restart()
    bench.send("c")
    received = bench.receive(3)
    bench.store.delete_message("q", received[2].receipt_handle)
    bench.restart()
    bench.send("d")

    assert max(bench.held) > 2
    assert bench.bodies() == ["a", "b", "d"]


def test_the_list_is_motos_for_who_asks(bench: Bench) -> None:
    """All of it, in order, and what it does with it counts; the next call takes it back."""
    bench.send(*range(7))
    bench.restart()
    held = bench.queue._messages
    assert [m.body for m in held] == list("0123456")
    held.reverse()
    assert bench.queue.approximate_number_of_messages == 7
    assert type(bench.queue.__dict__["_messages"]) is list
    del held

    assert [m.body for m in bench.receive(2)] == ["6", "5"]
    assert type(bench.queue.__dict__["_messages"]) is messages.Messages
    bench.restart()
    assert bench.bodies() == list("6543210")


def test_a_checkpoint_under_way_leaves_the_messages_where_they_are(bench: Bench) -> None:
    """It holds them from step to step, while calls go on; they have the number they had."""
    bench.send("a")
    bench.disk.save()
    held, number = bench.held, bench.held.number
    bench.send("b")
    bench.receive()

    assert bench.held is held
    assert bench.held.number == number
    bench.restart()
    assert bench.held.number == number


def test_a_list_that_is_held_is_saved_as_it_is(bench: Bench) -> None:
    """With what its holder did until then."""
    bench.send("a", "b")
    held = bench.queue._messages
    held.reverse()
    bench.restart()
    del held

    assert bench.bodies() == ["b", "a"]


def test_who_looks_at_a_queue_changes_nothing(bench: Bench) -> None:
    """The developer's endpoint shows all messages, and the next checkpoint writes none."""
    from perdure.engine.developer import queue_messages

    bench.send(*range(7))
    bench.restart()
    shown = queue_messages(SQS.account, SQS.region, "q", invisible=True, delayed=True)

    assert shown is not None
    assert [row["Body"] for row in shown] == list("0123456")
    assert bench.rows() == {}


def test_a_queue_is_purged_without_reading_it(bench: Bench) -> None:
    """Its rows go with the next base."""
    bench.send(*range(9))
    bench.restart()
    held = bench.held
    bench.store.purge_queue("q")
    assert held.unloaded == 9
    bench.send("new")
    bench.restart()

    assert bench.bodies() == ["new"]
    assert len(bench.disk.rows[SQS]) == 1


def test_a_copy_of_a_queue_has_a_list(bench: Bench) -> None:
    """Of messages of its own."""
    bench.send(*range(4))
    bench.restart()
    copied = copy.deepcopy(bench.held)

    assert [m.body for m in copied] == list("0123")
    assert copied[0] is not bench.held[0]


def test_a_failed_checkpoint_is_made_up_for(bench: Bench) -> None:
    """What it would have written is written by the next, with what came between."""
    bench.send("a")
    bench.restart()
    bench.send("b")
    tracked.seal_all()
    bench.send("c")
    tracked.unseal_all()

    assert bench.rows() == {1: "b", 2: "c"}


UNFIT: dict[str, Any] = {
    "bytes": {"message_attributes": {"x": {"BinaryValue": b"x", "DataType": "Binary"}}},
    "half a character": {"body": "\ud800"},
    "a tuple": {"system_attributes": {"x": ("a",)}},
    "a number for a name": {"system_attributes": {1: "a"}},
    "a number JSON rounds": {"sent_timestamp": 2**60},
    "no number": {"sent_timestamp": float("nan")},
    "an attribute moto has not": {"colour": "red"},
    "a time to show": {"delayed_until": 1.0},
    "another zero": {"visible_at": 0},
}


@pytest.mark.parametrize("attributes", UNFIT.values(), ids=UNFIT.keys())
def test_what_no_row_can_say_stands_in_the_graph(bench: Bench, attributes: Any) -> None:
    """In its order among those that have rows, and is the same behind a restart."""
    bench.send(*"abcde")
    place = sorted(bench.held)[2]
    vars(bench.held[place]).update(attributes)
    before = [repr(vars(m)) for m in queues.listed(bench.queue)]
    bench.restart()

    assert place not in {int(at[1]) for at in bench.disk.rows[SQS]}
    assert len(bench.disk.rows[SQS]) == 4
    assert [repr(vars(m)) for m in queues.listed(bench.queue)] == before


def test_a_row_makes_the_very_message(bench: Bench) -> None:
    """With all that was sent with it, in the order moto has its attributes."""
    bench.store.send_message(
        "q",
        'quo"te \U0001f600\0',
        message_attributes={"one": {"data_type": "Number", "string_value": "1.0"}},
        system_attributes={"AWSTraceHeader": {"string_value": "Root=1"}},
        group_id="g",
    )
    bench.store.send_message_batch(
        "q", {"1": {"Id": "x", "MessageBody": "b", "DelaySeconds": None, "MessageAttributes": {}}}
    )
    before = [list(vars(m).items()) for m in queues.listed(bench.queue)]
    bench.restart()

    assert len(bench.disk.rows[SQS]) == 2
    assert [list(vars(m).items()) for m in queues.listed(bench.queue)] == before


def test_a_fresh_message_is_motos(moto: Any) -> None:
    """What a row leaves out is what moto would make; a moto that makes it otherwise is seen."""
    from moto.sqs.models import Message

    made = vars(Message("i", "b"))

    assert list(made) == messages.NAMES
    assert {**made, "id": None, "body": None} == messages.FRESH


@pytest.mark.parametrize(
    "value", [b"[]", b'{"colour": "red"}', b"7", b'{"id": "x", "__class__": "y"}']
)
def test_a_row_that_is_no_message_is_refused(bench: Bench, value: bytes) -> None:
    """With the store and the entry, before anything of it is used."""
    bench.send("a")
    bench.disk.save()
    ((at, row),) = bench.disk.rows[SQS].items()
    bench.disk.rows[SQS][at] = row_of(*row[:5], value)
    bench.disk.restart()

    with pytest.raises(LoadError, match=r"sqs.*entry 000000000000"):
        bench.receive()


def test_rows_that_are_missing_are_missed(bench: Bench) -> None:
    """No queue is taken for shorter than it was."""
    bench.send("a", "b")
    bench.disk.save()
    bench.disk.rows[SQS].clear()
    bench.disk.restart()

    with pytest.raises(LoadError, match="2 messages of q are missing"):
        bench.receive()
