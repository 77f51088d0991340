"""Events, datapoints and changes of tables, between memory and disk, are those that never went."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from tests.coverage.memory_disk import Disk
from tests.unit.engine import test_lookups
from tests.unit.engine.both_ways import Script, compare, target_call
from tests.unit.engine.conftest import key
from tests.unit.engine.restarts import Restarts, check_rows, restart
from tests.unit.engine.test_recording import form_call

from perdure.engine.collections import events, sequence
from perdure.engine.collections.events import Changes, Datapoints, Events
from perdure.engine.collections.sequence import Sequence
from perdure.engine.collections.tracked import reading
from perdure.engine.core import Engine
from perdure.engine.pins import unpinned
from perdure.errors import LoadError
from perdure.persistence.entries import Row, row_of

LOGS, CLOUDWATCH, DYNAMODB = key("logs"), key("cloudwatch"), key("dynamodb")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of four, so that few entries make many."""
    monkeypatch.setattr(sequence, "BLOCK", 4)
    monkeypatch.setattr(events, "BLOCK", 4)


class RestartedEvents(test_lookups.Events):
    """Random calls of Logs with restarts between them."""

    made = Events

    def __init__(self, script: Script, moto: Any, restarts: Restarts) -> None:
        super().__init__(script, moto)
        self.restarts = restarts

    def call(self, operation: str, **parameters: Any) -> Any:
        self.restarts.happen()
        return super().call(operation, **parameters)

    def settle(self) -> None:
        """Note all that is there."""
        (group,) = self.moto.store("logs").groups.values()
        (stream,) = group.streams.values()
        self.script.note([list(vars(event).items()) for event in stream.events])


class RestartedDatapoints:
    """Random calls of CloudWatch with restarts between them."""

    made = Datapoints

    def __init__(self, script: Script, moto: Any, restarts: Restarts) -> None:
        self.script, self.moto, self.restarts = script, moto, restarts
        self.pick = script.choose

    def call(self, operation: str, **parameters: str) -> None:
        self.restarts.happen()
        self.script.call(form_call("cloudwatch", operation, **parameters))

    def run(self) -> None:
        steps = [self.put] * 5 + [self.put_set, self.put_values, self.statistics, self.list]
        for _ in range(80):
            self.pick.choice(steps)("MetricData.member.1.{}".format)

    def named(self, name: Callable[[str], str]) -> dict[str, str]:
        given = {"Namespace": "app", name("MetricName"): self.pick.choice("ab")}
        if self.pick.random() < 0.5:
            given[name("Dimensions.member.1.Name")] = "host"
            given[name("Dimensions.member.1.Value")] = self.pick.choice("xy")
        if self.pick.random() < 0.5:
            given[name("Timestamp")] = "2026-09-21T14:13:20Z"
        return given

    def put(self, name: Callable[[str], str]) -> None:
        self.call("PutMetricData", **self.named(name), **{name("Value"): "1.5"})

    def put_set(self, name: Callable[[str], str]) -> None:
        stats = {"Sum": "3", "Minimum": "1", "Maximum": "2", "SampleCount": "2"}
        values = {name(f"StatisticValues.{part}"): value for part, value in stats.items()}
        self.call("PutMetricData", **self.named(name), **values)

    def put_values(self, name: Callable[[str], str]) -> None:
        values = {name(f"Values.member.{n}"): str(n) for n in range(1, 4)}
        self.call("PutMetricData", **self.named(name), **values)

    def statistics(self, _: Callable[[str], str]) -> None:
        self.call(
            "GetMetricStatistics",
            Namespace="app",
            MetricName="a",
            Period="60",
            StartTime="2026-09-21T00:00:00Z",
            EndTime="2026-09-22T00:00:00Z",
            **{"Statistics.member.1": "Sum", "Statistics.member.2": "SampleCount"},
        )

    def list(self, _: Callable[[str], str]) -> None:
        self.call("ListMetrics", Namespace="app")

    def settle(self) -> None:
        """Note all that is there."""
        held = self.moto.store("cloudwatch").metric_data
        self.script.note([repr(self.seen(datapoint)) for datapoint in held])

    def seen(self, datapoint: Any) -> Any:
        found = dict(vars(datapoint))
        found["dimensions"] = [vars(each) for each in datapoint.dimensions]
        return type(datapoint).__name__, list(found.items())


class RestartedChanges:
    """Random calls of a table with a stream, and of the stream, with restarts between them."""

    made = Changes

    def __init__(self, script: Script, moto: Any, restarts: Restarts) -> None:
        self.script, self.moto, self.restarts = script, moto, restarts
        self.pick = script.choose
        self.iterators: list[str] = []

    def call(
        self, operation: str, service: str = "dynamodb", *, status: int = 200, **parameters: Any
    ) -> Any:
        self.restarts.happen()
        target = {"dynamodb": "DynamoDB_20120810", "dynamodbstreams": "DynamoDBStreams_20120810"}
        found = self.script.call(target_call(service, target[service], operation, **parameters))
        assert self.script.seen[-2][4] == status, found
        return found

    def run(self) -> None:
        self.create()
        steps = [self.put] * 8 + [self.update, self.delete, self.iterator, self.records] * 2
        steps += [self.put_what_fails, self.make_anew]
        for _ in range(80):
            self.pick.choice(steps)()

    def create(self) -> None:
        spec = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        made = self.call(
            "CreateTable",
            TableName="t",
            KeySchema=[{"AttributeName": "h", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "h", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification=spec,
        )
        self.arn = made["TableDescription"]["LatestStreamArn"]

    def key(self) -> dict[str, Any]:
        return {"h": {"S": self.pick.choice("abc")}}

    def put(self) -> None:
        value = self.pick.choice(
            [
                {"N": "1.50"},
                {"B": "AP8="},
                {"SS": ["a", "b"]},
                {"M": {"l": {"L": [{"S": "h\u00e4"}]}}},
                {"M": {"!": {"S": "as no row can say it"}}},
            ]
        )
        self.call("PutItem", TableName="t", Item={**self.key(), "v": value})

    def put_what_fails(self) -> None:
        """All or nothing: what the first of them did is undone."""
        check = {"TableName": "t", "Key": self.key(), "ConditionExpression": "attribute_exists(z)"}
        put = {"Put": {"TableName": "t", "Item": self.key()}}
        self.call("TransactWriteItems", status=400, TransactItems=[put, {"ConditionCheck": check}])

    def make_anew(self) -> None:
        """Iterators of the stream before hold its shard on; it is in no table."""
        self.call("DeleteTable", TableName="t")
        self.create()

    def update(self) -> None:
        self.call(
            "UpdateItem",
            TableName="t",
            Key=self.key(),
            UpdateExpression="SET n = if_not_exists(n, :o) + :o",
            ExpressionAttributeValues={":o": {"N": "1"}},
        )

    def delete(self) -> None:
        self.call("DeleteItem", TableName="t", Key=self.key())

    def iterator(self) -> None:
        kind = self.pick.choice(["TRIM_HORIZON", "LATEST"])
        found = self.call(
            "GetShardIterator",
            "dynamodbstreams",
            StreamArn=self.arn,
            ShardId=self.shard.id,
            ShardIteratorType=kind,
        )
        self.iterators.append(found["ShardIterator"])

    def records(self) -> None:
        if self.iterators:
            iterator = self.pick.choice(self.iterators)
            self.call("GetRecords", "dynamodbstreams", ShardIterator=iterator, Limit=7)

    @property
    def shard(self) -> Any:
        return self.moto.store("dynamodb").tables["t"].stream_shard

    def settle(self) -> None:
        """Note all that is there."""
        while len(self.shard.items) < 6:  # the last table may be young
            self.put()
        self.note(self.shard)
        for iterator in self.moto.store("dynamodbstreams").shard_iterators.values():
            self.note(iterator.stream_shard)

    def note(self, shard: Any) -> None:
        self.script.note([repr(list(vars(change).items())) for change in shard.items])


@pytest.mark.parametrize("kind", [RestartedEvents, RestartedDatapoints, RestartedChanges])
@pytest.mark.parametrize("seed", range(10))
def test_restarts_change_nothing(
    engine: Engine, disk: Disk, moto: Any, kind: Any, seed: int
) -> None:
    """Answers, order and state are those of a server that never stopped."""
    restarts = Restarts(disk, seed)

    def script(running: Script) -> None:
        disk.clear()
        restarted = kind(running, moto, restarts)
        restarted.run()
        restarted.settle()

    compare(engine, restarts.off, script, [], seed=seed)
    assert restarts.done >= {"restart", "fail", "save"}
    disk.save()
    check_rows(disk)
    assert rows_of(disk, kind.made)


def rows_of(disk: Disk, cls: type[Sequence]) -> list[Row]:
    """The rows on disk of one kind."""
    numbers = {
        collection.number
        for key in disk.files
        for collection in disk.fetch(key)[0].graph.collections
        if collection.kind == cls.kind
    }
    return [
        row for rows in disk.rows.values() for row in rows.values() if row.collection in numbers
    ]


class Bench:
    """A log stream, and what a checkpoint would write of it."""

    def __init__(self, disk: Disk, moto: Any) -> None:
        self.disk, self.moto = disk, moto
        store = moto.store("logs")
        store.create_log_group("g", {})
        store.create_log_stream("g", "s")

    @property
    def stream(self) -> Any:
        return self.moto.store("logs").groups["g"].streams["s"]

    @property
    def held(self) -> Any:
        held = self.stream.events
        assert type(held) is Events
        return held

    def put(self, *messages: str) -> None:
        self.stream.put_log_events([{"timestamp": 1, "message": m} for m in messages])

    def put_many(self, count: int) -> None:
        self.put(*map(str, range(count)))

    def restart(self) -> None:
        restart(self.disk)

    def written(self) -> list[int]:
        """The blocks that a checkpoint would write."""
        return [int(row.key) for row in self.held.written(LOGS)[1]]

    def messages(self) -> list[str]:
        return [event.message for event in self.stream.events]


@pytest.fixture
def bench(disk: Disk, moto: Any) -> Bench:
    """A stream without events."""
    return Bench(disk, moto)


def test_a_short_list_stands_in_the_graph(bench: Bench) -> None:
    """Until it has the entries of a block."""
    bench.put_many(3)
    bench.restart()
    assert type(bench.stream.events) is list
    assert not bench.disk.rows[LOGS]

    bench.put("3")
    assert type(bench.stream.events) is Events
    bench.restart()
    assert len(bench.disk.rows[LOGS]) == 1
    assert bench.messages() == ["0", "1", "2", "3"]


def test_to_put_brings_the_last_block_at_most(bench: Bench) -> None:
    """And a checkpoint writes that one and those behind it."""
    bench.put_many(10)
    bench.restart()
    assert len(bench.held) == 10
    assert list.__len__(bench.held) == 0

    bench.put("10", "11", "12")
    assert (len(bench.held), bench.held.first) == (13, 8)
    assert bench.written() == [2, 3]
    bench.restart()
    bench.put_many(3)
    bench.restart()
    bench.put("16")
    assert (bench.held.first, bench.written()) == (16, [4])
    assert bench.messages() == [str(n) for n in range(13)] + ["0", "1", "2", "16"]


def test_a_read_makes_no_block_suspect(bench: Bench) -> None:
    """Anything else does, and a digest tells that nothing changed."""
    bench.put_many(10)
    bench.restart()
    with reading():
        assert len(bench.messages()) == 10
    assert bench.held.suspects == {}
    bench.messages()
    assert len(bench.held.suspects) == 3
    assert bench.written() == []
    bench.held[5].message = "other"
    assert bench.written() == [1]


@pytest.mark.parametrize(
    ("part", "blocks"),
    [
        (slice(5, 7), [1]),
        (slice(3, 5), [0, 1]),
        (slice(-1, None), [2]),
        (slice(9, 2, -6), [0, 2]),
        (slice(4, 4), []),
        (slice(None), [0, 1, 2]),
    ],
)
def test_a_part_hands_out_its_own_blocks(bench: Bench, part: slice, blocks: list[int]) -> None:
    """What is changed in it is written; no other block is looked at, but one between."""
    bench.put_many(10)
    bench.restart()
    for event in bench.held[part]:
        event.message = "changed"
    assert bench.written() == blocks
    assert len(bench.held.suspects) <= (3 if part.step else len(blocks))
    changed = bench.messages()
    bench.restart()
    assert bench.messages() == changed


def test_people_read_what_was_put(bench: Bench) -> None:
    """Objects with moto's names."""
    bench.put("h\u00e4llo", *"123")
    bench.restart()

    (row,) = bench.disk.rows[LOGS].values()
    first = json.loads(row.value or b"")[0]
    assert {**first, "ingestion_time": 0, "event_id": 0} == {
        "ingestion_time": 0,
        "timestamp": 1,
        "message": "h\u00e4llo",
        "event_id": 0,
    }
    state, _ = bench.disk.fetch(LOGS)
    assert [each.name for each in state.graph.collections] == ["g s"]


class Stream(RestartedChanges):
    """A table with a stream of six changes, and no restart but those a test asks for."""

    def __init__(self, engine: Engine, disk: Disk, moto: Any) -> None:
        restarts = Restarts(disk, 1)
        restarts.is_on = False
        super().__init__(Script(engine, 1), moto, restarts)
        self.disk = disk
        self.create()
        for _ in range(6):
            self.put()

    def restart(self) -> None:
        with unpinned():
            restart(self.disk)

    def seen(self) -> list[str]:
        return [repr(vars(change)) for change in self.shard.items]


@pytest.fixture
def stream(engine: Engine, disk: Disk, moto: Any) -> Stream:
    """See the class."""
    return Stream(engine, disk, moto)


def test_a_tables_changes_are_a_collection_as_soon_as_they_are_many(stream: Stream) -> None:
    """Not when they are saved: that may be done by a child, whose number nobody learns."""
    assert type(stream.shard.items) is Changes


def test_a_tables_changes_are_read_by_people_and_added_to(stream: Stream) -> None:
    """As a table's stream tells them; one more brings the last block."""
    stream.restart()
    state, _ = stream.disk.fetch(DYNAMODB)
    found = {each.kind: each for each in state.graph.collections}
    assert found["dynamodb.items"].name == "t"
    assert found[Changes.kind][2:] == ("t stream", 2, found[Changes.kind].total, 6)
    first = min(rows_of(stream.disk, Changes), key=lambda row: row.key)
    record = json.loads(first.value or b"")[0]["record"]
    assert (record["eventName"], record["dynamodb"]["SequenceNumber"]) == (
        "INSERT",
        "1100000000017454423009",
    )

    stream.put()
    held = stream.shard.items
    assert (type(held), len(held), held.first) == (Changes, 7, 4)
    assert [int(row.key) for row in held.written(DYNAMODB)[1]] == [1]


def test_changes_that_a_function_took_are_gone(stream: Stream) -> None:
    """Moto then puts another list in place; rows of the one before are nobody's."""
    stream.restart()
    stream.shard.items = []
    for _ in range(5):
        stream.put()
    before = stream.seen()
    stream.restart()
    assert (len(before), stream.seen()) == (5, before)
    # A block with what no row can say has none.
    assert len({row.collection for row in rows_of(stream.disk, Changes)}) == 1


@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_failed_transaction_takes_its_changes_out_of_the_last_block(
    stream: Stream, count: int
) -> None:
    """No other is brought, or looked at."""
    stream.restart()
    before = len(stream.shard.items)
    for _ in range(count):
        stream.put_what_fails()
    held = stream.shard.items
    assert (type(held), len(held), held.first) == (Changes, before, 4)
    assert {int(at[0]) for at in held.suspects} <= {1}
    assert held.written(DYNAMODB)[1] == ()


def test_a_failed_transaction_that_makes_a_list_long_leaves_it_short(stream: Stream) -> None:
    """It becomes a collection within the transaction, and is the list of before behind it."""
    del stream.shard.items[3:]
    stream.shard.items = list(stream.shard.items)
    before = stream.seen()
    stream.put_what_fails()
    assert stream.seen() == before
    stream.restart()
    assert stream.seen() == before
    stream.put()
    assert type(stream.shard.items) is Changes
    assert stream.seen()[:3] == before


def test_fresh_entries_have_these_attributes(moto: Any) -> None:
    """A moto that makes them otherwise is seen."""
    from moto.cloudwatch.models import MetricDatum
    from moto.dynamodb.models.dynamo_type import DynamoType, Item
    from moto.dynamodb.models.table import StreamRecord
    from moto.logs.models import LogEvent

    assert list(vars(LogEvent(1, {"timestamp": 1, "message": ""}))) == Events.forms._names
    assert list(vars(MetricDatum("n", "m", 1.0, [], None))) == Datapoints.forms._names
    item = Item(DynamoType({"S": "a"}), None, {"h": {"S": "a"}})
    table = SimpleNamespace(hash_key_attr="h", range_key_attr=None)
    change = StreamRecord(table, "NEW_IMAGE", "INSERT", None, item, 1)
    assert list(vars(change)) == Changes.forms._names
    # Nothing in it is an object of another's, so a row says all of it.
    assert {type(part) for part in parts_of(change.record)} <= {dict, str, int, datetime}


def parts_of(value: Any) -> Iterator[Any]:
    """A value, and all in it."""
    yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from parts_of(part)


@pytest.mark.parametrize("place", [0, 4, 9])
def test_what_no_row_can_say_stands_in_the_graph(bench: Bench, place: int) -> None:
    """Its block does, in its place; to append to it is no other than to any."""
    bench.put_many(10)
    bench.held[place].message = "\ud800"
    before = bench.messages()
    bench.restart()
    assert len(bench.disk.rows[LOGS]) == 2
    assert len(bench.held) == 10
    bench.put("10")
    bench.restart()
    bench.put("11")
    assert bench.messages() == [*before, "10", "11"]
    bench.restart()
    assert bench.messages() == [*before, "10", "11"]
    bench.held[place].message = "fit"
    bench.restart()
    assert len(bench.disk.rows[LOGS]) == 3


@pytest.mark.parametrize("value", [b"{}", b"[1]", b"[]", b'[{"timestamp": 1}]', None])
@pytest.mark.parametrize("use", [Bench.messages, lambda bench: bench.put("x")])
def test_a_row_that_is_wrong_is_refused(bench: Bench, value: bytes | None, use: Any) -> None:
    """Or one that is missing: with the store, the block and why."""
    bench.put_many(6)
    bench.disk.save()
    at = next(at for at in bench.disk.rows[LOGS] if int(at[1]) == 1)
    row = bench.disk.rows[LOGS].pop(at)
    if value is not None:
        made = row_of(row.collection, row.key, row.sub, row.part, row.place, value)
        bench.disk.rows[LOGS][at] = made
    bench.disk.restart()

    with pytest.raises(LoadError, match=r"entry 00000001|block 1|entries"):
        use(bench)


def an_event(message: str) -> Any:
    from moto.logs.models import LogEvent

    return LogEvent(1, {"timestamp": 1, "message": message})


class AsList:
    """The same done to a stream's events and to a list of their messages."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.pick = bench, random.Random(seed)
        bench.put_many(9)
        self.plain = bench.messages()
        self.name = ""

    def run(self) -> None:
        steps = [self.bench.restart, self.bench.disk.save, self.insert, self.pop, self.sort]
        steps += [self.reverse, self.cut, self.set, self.extend, self.append, self.look]
        steps += [self.walk, self.join, self.copy, self.cut_tail]
        for number in range(60):
            self.name = str(number)
            self.place = self.pick.randrange(len(self.plain)) if self.plain else 0
            self.pick.choice(steps)()
            assert len(self.held) == len(self.plain)
            assert bool(self.held) == bool(self.plain)
        assert self.bench.messages() == self.plain

    @property
    def held(self) -> Any:
        return self.bench.stream.events

    def insert(self) -> None:
        self.held.insert(self.place, an_event(self.name))
        self.plain.insert(self.place, self.name)

    def pop(self) -> None:
        if self.plain:
            assert self.held.pop().message == self.plain.pop()

    def sort(self) -> None:
        self.held.sort(key=lambda event: event.message)
        self.plain.sort()

    def reverse(self) -> None:
        self.held.reverse()
        self.plain.reverse()

    def cut(self) -> None:
        del self.held[self.place : self.place + 2]
        del self.plain[self.place : self.place + 2]

    def cut_tail(self) -> None:
        count = self.pick.choice([0, 1, 2, 5])
        del self.held[max(len(self.plain) - count, 0) :]
        del self.plain[max(len(self.plain) - count, 0) :]

    def set(self) -> None:
        if self.plain:
            self.held[self.place] = an_event(self.name)
            self.plain[self.place] = self.name

    def extend(self) -> None:
        self.bench.stream.events += [an_event(self.name), an_event(self.name)]
        self.plain += [self.name, self.name]

    def append(self) -> None:
        self.held.append(an_event(self.name))
        self.plain.append(self.name)

    def look(self) -> None:
        if self.plain:
            held, found = self.held, self.held[self.place]
            assert found.message == self.plain[self.place]
            assert (held.index(found), held.count(found)) == (self.place, 1)
            assert found in held

    def walk(self) -> None:
        assert [event.message for event in reversed(self.held)] == self.plain[::-1]
        assert [event.message for event in self.held[self.place :]] == self.plain[self.place :]
        assert [event.message for event in self.held.copy()] == self.plain

    def join(self) -> None:
        more = [an_event("+")]
        assert [event.message for event in self.held + more] == [*self.plain, "+"]
        assert [event.message for event in more + self.held] == ["+", *self.plain]
        assert [event.message for event in self.held * 2] == self.plain * 2

    def copy(self) -> None:
        held = self.held
        assert type(copy.deepcopy(held)) is list
        assert type(pickle.loads(pickle.dumps(held))) is list
        assert held == list(held)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_a_list(bench: Bench, seed: int) -> None:
    """Whatever is done to it, with restarts between."""
    AsList(bench, seed).run()
    bench.held.clear()
    bench.restart()
    assert bench.messages() == []
