"""A shard whose records come and go between memory and disk is the shard that never did."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections import OrderedDict
from typing import Any

import pytest
from tests.coverage.memory_disk import Disk
from tests.unit.engine import test_lookups
from tests.unit.engine.both_ways import Script, compare, target_call
from tests.unit.engine.conftest import key
from tests.unit.engine.restarts import Restarts, restart

from perdure.engine.collections import records
from perdure.engine.core import Engine
from perdure.errors import LoadError
from perdure.persistence.entries import row_of

KINESIS = key("kinesis")


class Restarted(test_lookups.Records):
    """Random calls with restarts between them."""

    def __init__(self, script: Script, moto: Any, restarts: Restarts) -> None:
        super().__init__(script, moto)
        self.moto, self.restarts = moto, restarts

    def call(self, operation: str, **parameters: Any) -> Any:
        self.restarts.happen()
        return super().call(operation, **parameters)

    def settle(self) -> None:
        """Note all that is there."""
        for stream in self.moto.store("kinesis").streams.values():
            for name, shard in stream.shards.items():
                assert list(shard.records) == sorted(shard.records)
                self.script.note([name, *(vars(record) for record in shard.records.values())])


@pytest.mark.parametrize("seed", range(12))
def test_restarts_change_nothing(engine: Engine, disk: Disk, moto: Any, seed: int) -> None:
    """Answers, order and state are those of a server that never stopped."""
    restarts = Restarts(disk, seed)

    def script(running: Script) -> None:
        disk.clear()
        restarted = Restarted(running, moto, restarts)
        restarted.run()
        restarted.settle()

    compare(engine, restarts.off, script, [], seed=seed)
    assert restarts.done >= {"restart", "fail", "save"}


class Bench:
    """A stream of one shard, and what a checkpoint would write of it."""

    def __init__(self, engine: Engine, disk: Disk, moto: Any) -> None:
        self.disk, self.moto = disk, moto
        self.script = Script(engine, 1)
        self.call("CreateStream", StreamName="s", ShardCount=1)

    def call(self, operation: str, **parameters: Any) -> Any:
        return self.script.call(target_call("kinesis", "Kinesis_20131202", operation, **parameters))

    def put(self, *data: bytes) -> None:
        for each in data:
            text = base64.b64encode(each).decode()
            self.call("PutRecord", StreamName="s", PartitionKey="k", Data=text)

    def read(self, limit: int = 100) -> list[bytes]:
        iterator = self.call(
            "GetShardIterator",
            StreamName="s",
            ShardId="shardId-000000000000",
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
        found = self.call("GetRecords", ShardIterator=iterator, Limit=limit)["Records"]
        return [base64.b64decode(each["Data"]) for each in found]

    @property
    def held(self) -> records.Records:
        (shard,) = self.moto.store("kinesis").streams["s"].shards.values()
        held: records.Records = shard.records
        assert type(held) is records.Records
        return held

    def restart(self) -> None:
        restart(self.disk)

    def values(self) -> list[Any]:
        """What stands in the rows on disk."""
        return [json.loads(row.value or b"") for row in self.disk.rows[KINESIS].values()]


@pytest.fixture
def bench(engine: Engine, disk: Disk, moto: Any) -> Bench:
    """A stream without records."""
    return Bench(engine, disk, moto)


def test_a_put_brings_none(bench: Bench) -> None:
    """Its number follows from what is known of those on disk."""
    bench.put(*(b"%d" % n for n in range(9)))
    bench.restart()
    bench.put(b"new")

    assert list(bench.held.memory()) == [10]
    assert bench.held.unloaded == 9
    (row,) = bench.held.written(KINESIS)[1]
    assert int(row.key) == 10


def test_a_get_brings_what_it_asks_for(bench: Bench) -> None:
    """And the last, by which moto tells how far behind a reader is."""
    bench.put(*(b"%d" % n for n in range(9)))
    bench.restart()

    assert bench.read(2) == [b"0", b"1"]
    assert sorted(bench.held.memory()) == [1, 2, 9]
    assert bench.held.suspects == {}
    assert bench.read() == [b"%d" % n for n in range(9)]
    assert list(bench.held) == list(range(1, 10))


def test_a_record_is_written_once(bench: Bench) -> None:
    """Nothing of it changes; a checkpoint writes those that are new."""
    bench.put(b"a", b"b")
    bench.restart()
    bench.put(b"c")
    bench.disk.save()
    bench.put(b"d")

    assert [int(row.key) for row in bench.held.written(KINESIS)[1]] == [4]


def test_people_read_what_was_put(bench: Bench) -> None:
    """Text as text, anything else as base64; with the stream's and the shard's name."""
    bench.put("h\u00e4llo".encode(), b"\xff\x00", b"")
    bench.restart()

    found = bench.values()
    assert [{**each, "created_at": None} for each in found] == [
        {"partition_key": "k", "data": "h\u00e4llo", "created_at": None},
        {"partition_key": "k", "base64": "/wA=", "created_at": None},
        {"partition_key": "k", "data": "", "created_at": None},
    ]
    state, _ = bench.disk.fetch(KINESIS)
    assert [each.name for each in state.graph.collections] == ["s shardId-000000000000"]
    assert bench.read() == ["h\u00e4llo".encode(), b"\xff\x00", b""]


def test_a_row_makes_the_very_record(bench: Bench) -> None:
    """With all its attributes, in moto's order."""
    bench.call("PutRecord", StreamName="s", PartitionKey="\u00e4", Data="aGk", ExplicitHashKey="7")
    bench.put(b"x")
    before = [list(vars(record).items()) for record in bench.held.values()]
    bench.restart()

    assert [list(vars(record).items()) for record in bench.held.values()] == before
    assert before[0][1] == ("data", "aGk")


def test_a_fresh_record_has_these_attributes() -> None:
    """A moto that makes it otherwise is seen."""
    from moto.kinesis.models import Record

    assert list(vars(Record("k", "ZA==", 1, "7"))) == records.NAMES


UNFIT: dict[str, Any] = {
    "half a character": {"partition_key": "\ud800"},
    "another number": {"sequence_number": 7},
    "another time": {"created_at": 1.0},
    "an attribute moto has not": {"colour": "red"},
    "data that is no text": {"data": b"ZA=="},
}


@pytest.mark.parametrize("attributes", UNFIT.values(), ids=UNFIT.keys())
def test_what_no_row_can_say_stands_in_the_graph(bench: Bench, attributes: Any) -> None:
    """In its order among those that have rows, and is the same behind a restart."""
    bench.put(b"a", b"b", b"c")
    vars(bench.held[2]).update(attributes)
    before = [repr(vars(record)) for record in bench.held.values()]
    bench.restart()

    assert len(bench.disk.rows[KINESIS]) == 2
    assert [repr(vars(record)) for record in bench.held.values()] == before
    bench.put(b"d")
    assert bench.held.last() == 4


def test_what_moto_never_does_is_done(bench: Bench) -> None:
    """Records can be taken out and put back; their numbers say where they stand."""
    bench.put(b"a", b"b", b"c", b"d")
    bench.restart()
    held = bench.held
    second = held.pop(2)
    assert held.popitem()[0] == 4
    del held[1]
    assert (list(held), held.first(), held.last(), len(held)) == ([3], 3, 3, 1)
    bench.restart()
    held = bench.held
    assert (held.first(), held.last(), 2 in held, held.get(2)) == (3, 3, False, None)
    held[2] = second
    assert held.setdefault(2) is second
    bench.restart()
    assert list(bench.held) == [2, 3]
    bench.held.clear()
    assert not bench.held
    bench.restart()
    assert (len(bench.held), bench.held.first(), bench.held.last()) == (0, 0, 0)
    with pytest.raises(TypeError):
        bench.held["1"] = second  # type: ignore[index]


def test_copies_are_motos_own(bench: Bench) -> None:
    """A copy has all records, and is no collection."""
    bench.put(b"a", b"b")
    bench.restart()
    for copied in (copy.deepcopy(bench.held), bench.held.copy(), pickle.loads(_pickled(bench))):
        assert type(copied) is OrderedDict
        assert list(copied) == [1, 2]
    assert bench.held == bench.held.copy()


def _pickled(bench: Bench) -> bytes:
    return pickle.dumps(bench.held)


@pytest.mark.parametrize(
    "value", [b"[]", b"{}", b'{"partition_key":"k","data":"d","created_at":"never"}', b"not JSON"]
)
def test_a_row_that_is_no_record_is_refused(bench: Bench, value: bytes) -> None:
    """With the store and the entry."""
    bench.put(b"a")
    bench.disk.save()
    ((at, row),) = bench.disk.rows[KINESIS].items()
    bench.disk.rows[KINESIS][at] = row_of(*row[:5], value)
    bench.disk.restart()

    with pytest.raises(LoadError, match=r"kinesis.*entry 0000000000000001"):
        bench.held[1]
