"""A table whose items come and go between memory and disk is the table that never did."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.coverage.memory_disk import Disk
from tests.unit.engine.both_ways import Script, compare, target_call
from tests.unit.engine.conftest import key
from tests.unit.engine.restarts import Restarts
from tests.unit.engine.test_tables import TABLES, TARGET, Chaos

from perdure.engine.collections import items, tracked
from perdure.engine.core import Engine
from perdure.persistence.entries import Row

DYNAMODB = key("dynamodb")


class Restarted(Chaos):
    """Random calls with restarts between them."""

    def __init__(self, script: Script, moto: Any, restarts: Restarts) -> None:
        super().__init__(script, moto, 120)
        self.restarts = restarts

    # moto has an item under the first spelling of its key for ever; nothing shows it.
    numbers = ("1", "2", "10", "-3", "0.5", "7")

    def call(self, operation: str, name: str | None = None, **parameters: Any) -> Any:
        self.restarts.happen()
        before = self.empty(name)
        try:
            return super().call(operation, name, **parameters)
        finally:
            # What a read of something absent leaves behind is in no journal either.
            if operation == "GetItem" and name:
                for hash_key in self.empty(name) - before:
                    if self.held(name).parts.get(items.text_of(hash_key)) is None:
                        del self.held(name)[hash_key]

    def held(self, name: str) -> Any:
        return self.moto.store("dynamodb").tables[name].__dict__["items"]

    def empty(self, name: str | None) -> set[Any]:
        if name not in self.moto.store("dynamodb").tables:
            return set()
        return {k for k, v in dict.items(self.held(name)) if isinstance(v, dict) and not v}

    def order(self, name: str) -> list[str]:
        self.restarts.happen()
        return [
            f"{hash_key} {list(items) if isinstance(items, dict) else items}"
            for hash_key, items in self.held(name).items()
        ]


def content(table: Any) -> list[Any]:
    """All items, in order, by value.

    A digest also tells which strings and keys are one object: that depends on what came in
    one request with what, and on how often an item was written over.
    """
    return [
        (repr(hash_key), range_key and repr(range_key), list(map(repr, each.attrs.items())))
        for hash_key, found in table.__dict__["items"].items()
        for range_key, each in (found.items() if isinstance(found, dict) else [(None, found)])
    ]


@pytest.mark.parametrize("seed", range(24))
def test_restarts_change_nothing(engine: Engine, disk: Disk, moto: Any, seed: int) -> None:
    """Answers, order and state are those of a server that never stopped."""
    restarts = Restarts(disk, seed)

    def script(running: Script) -> None:
        disk.clear()
        Restarted(running, moto, restarts).run()
        for table in moto.store("dynamodb").tables.values():
            running.note(content(table))

    compare(engine, restarts.off, script, [], seed=seed)
    assert restarts.done >= {"restart", "fail", "save"}


class Bench:
    """A store with tables, and calls of it."""

    def __init__(self, engine: Engine, disk: Disk, moto: Any) -> None:
        self.disk, self.moto = disk, moto
        self.script = Script(engine, 1)
        for wanted in TABLES:
            self.call("CreateTable", **wanted)

    def call(self, operation: str, **parameters: Any) -> Any:
        return self.script.call(target_call("dynamodb", TARGET, operation, **parameters))

    def put(self, name: str, **attributes: Any) -> None:
        self.call("PutItem", TableName=name, Item=attributes)

    def items(self, name: str) -> items.Items:
        held: items.Items = self.moto.store("dynamodb").tables[name].__dict__["items"]
        assert type(held) is items.Items
        return held

    def restart(self) -> None:
        self.disk.save()
        self.disk.restart()

    def rows_of(self, name: str) -> tuple[Row, ...]:
        """What a checkpoint would write now."""
        return self.items(name).written(DYNAMODB)[1]


@pytest.fixture
def bench(engine: Engine, disk: Disk, moto: Any) -> Bench:
    """Three empty tables."""
    return Bench(engine, disk, moto)


def item(number: int, **more: Any) -> dict[str, Any]:
    """An item of a table without a range key."""
    return {"h": {"S": f"h{number}"}, **more}


def test_one_item_is_brought_and_no_other(bench: Bench) -> None:
    """A read after a load leaves the rest of a table on disk."""
    for number in range(50):
        bench.put("one", **item(number))
    bench.restart()

    found = bench.call("GetItem", TableName="one", Key=item(7))

    assert found["Item"] == item(7)
    assert (dict.__len__(bench.items("one")), bench.items("one").unloaded) == (1, 49)


def test_only_what_changed_is_written(bench: Bench) -> None:
    """A put, an update and a delete are three rows, of however many."""
    for number in range(50):
        bench.put("one", **item(number))
    bench.restart()

    bench.put("one", **item(3, x={"S": "new"}))
    bench.call(
        "UpdateItem",
        TableName="one",
        Key=item(4),
        UpdateExpression="SET x = :x",
        ExpressionAttributeValues={":x": {"N": "1"}},
    )
    bench.call("DeleteItem", TableName="one", Key=item(5))

    rows = {row.key: row.value for row in bench.rows_of("one")}
    assert rows == {
        "S:h3": b'{"h":{"S":"h3"},"x":{"S":"new"}}',
        "S:h4": b'{"h":{"S":"h4"},"x":{"N":"1"}}',
        "S:h5": None,
    }


def test_a_read_makes_nothing_suspect(bench: Bench) -> None:
    """Else a scan would let the next checkpoint look at all items."""
    for number in range(5):
        bench.put("one", **item(number))
    bench.disk.save()

    bench.call("Scan", TableName="one")
    bench.call("GetItem", TableName="one", Key=item(1))

    assert bench.items("one").suspects == {}


@pytest.mark.parametrize("number", [0, 2, 8])
def test_a_deleted_item_does_not_come_back_from_the_files_it_was_loaded_from(
    bench: Bench, number: int
) -> None:
    """They are the older checkpoint's, and are read until all is in memory."""
    for each in range(9):
        bench.put("one", **item(each))
    bench.restart()
    bench.call("DeleteItem", TableName="one", Key=item(number))
    bench.disk.save()

    assert "Item" not in bench.call("GetItem", TableName="one", Key=item(number))
    assert bench.call("Scan", TableName="one")["Count"] == 8
    assert bench.items("one").unloaded == 0


def test_numbers_that_are_equal_are_one_key(bench: Bench) -> None:
    """However they are spelled, in memory or not."""
    bench.put("two", h={"S": "a"}, r={"N": "1.0"})
    bench.put("two", h={"S": "a"}, r={"N": "1E+2"})
    bench.restart()
    bench.put("two", h={"S": "a"}, r={"N": "1"}, x={"S": "over"})
    bench.put("two", h={"S": "a"}, r={"N": "100"}, x={"S": "over"})
    bench.restart()

    found = bench.call("Scan", TableName="two")["Items"]

    assert [row["r"]["N"] for row in found] == ["1", "100"]


VALUES: dict[str, dict[str, Any]] = {
    "text": {"S": 'quo"te \u00e4 \U0001f600 \0'},
    "no text": {"S": ""},
    "a number": {"N": "-1.50E+3"},
    "bytes": {"B": "AP8="},
    "a set of text": {"SS": ["b", "a"]},
    "a set of numbers": {"NS": ["1.0", "2"]},
    "a set of bytes": {"BS": ["AP8=", ""]},
    "true": {"BOOL": True},
    "false": {"BOOL": False},
    "nothing": {"NULL": True},
    "a list": {"L": [{"S": "x"}, {"L": []}, {"M": {"k": {"B": "AA=="}}}]},
    "a map": {"M": {"k": {"N": "1"}, "m": {"M": {}}}},
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_what_clients_put_has_a_row(bench: Bench, value: dict[str, Any]) -> None:
    """As DynamoDB writes it; it makes the very same value."""
    bench.put("one", **item(1, v=value))
    (before,) = [vars(held) for held in bench.items("one").values()]
    before = {name: repr(value) for name, value in before.items()}
    bench.restart()

    (row,) = bench.disk.rows[DYNAMODB].values()
    assert json.loads(row.value or b"") == item(1, v=value)
    (after,) = [vars(held) for held in bench.items("one").values()]
    assert {name: repr(value) for name, value in after.items()} == before
    assert bench.call("GetItem", TableName="one", Key=item(1))["Item"] == item(1, v=value)


def test_bytes_are_keys(bench: Bench) -> None:
    """Of either kind: found, in order, and gone when they are deleted."""
    keys = {"h": {"AttributeName": "h", "AttributeType": "B"}}
    keys["r"] = {"AttributeName": "r", "AttributeType": "B"}
    bench.call(
        "CreateTable",
        TableName="bytes",
        AttributeDefinitions=list(keys.values()),
        KeySchema=[
            {"AttributeName": "h", "KeyType": "HASH"},
            {"AttributeName": "r", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    for text in ("AP8=", "AA==", ""):
        bench.put("bytes", h={"B": "AP8="}, r={"B": text or "AQ=="})
    bench.restart()
    key = {"h": {"B": "AP8="}, "r": {"B": "AA=="}}
    assert bench.call("GetItem", TableName="bytes", Key=key)["Item"] == key
    bench.call("DeleteItem", TableName="bytes", Key=key)
    bench.restart()

    assert sum(row.value is not None for row in bench.disk.rows[DYNAMODB].values()) == 2
    assert bench.call("Scan", TableName="bytes")["Count"] == 2


BEYOND = {
    "a number of more digits than a row's key has": {"N": "0." + "1" * 130},
    "bytes that are not decoded": {"B": "eA=="},
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_no_row_can_say_stands_in_the_graph(bench: Bench, name: str) -> None:
    """It is found, changed and deleted like any other, also beside items with rows."""
    from moto.dynamodb.models.dynamo_type import DynamoType

    odd = {"h": {"S": "a"}, "r": BEYOND[name]}
    table = bench.moto.store("dynamodb").tables["two"]
    (table.range_key_type,) = odd["r"]
    store = bench.moto.store("dynamodb")
    store.put_item("two", odd)
    store.put_item("two", {"h": {"S": "a"}, "r": {table.range_key_type: "1"}})
    for _ in range(2):
        bench.restart()
        held = list(bench.items("two")[DynamoType(odd["h"])].values())
        assert {i.range_key.value for i in held} == {"1", *odd["r"].values()}
    digest = bench.disk.digests[DYNAMODB]
    bench.disk.save(everything=True)
    assert bench.disk.digests[DYNAMODB] == digest, "nothing changed"
    bench.items("two")[DynamoType(odd["h"])].pop(DynamoType(odd["r"]))
    bench.restart()
    assert bench.items("two").entries == 1


def test_a_failed_checkpoint_leaves_all_suspect(bench: Bench) -> None:
    """What it would have written is written by the next, with what came between."""
    bench.put("one", **item(1))
    held = bench.items("one")
    before = held.written(DYNAMODB)
    tracked.seal_all()
    bench.put("one", **item(2))
    tracked.unseal_all()

    rows = held.written(DYNAMODB)[1]

    assert rows[0] == before[1][0]
    assert [row.key for row in rows] == ["S:h1", "S:h2"]


def test_what_changes_behind_the_cut_is_for_the_next_checkpoint(bench: Bench) -> None:
    """A commit does not take for written what came after it was sealed."""
    bench.put("one", **item(1))
    held = bench.items("one")
    collection, rows, _ = held.written(DYNAMODB)
    tracked.seal_all()
    bench.put("one", **item(1, x={"S": "later"}))
    tracked.commit_all({DYNAMODB: ([collection], rows)})

    (row,) = held.written(DYNAMODB)[1]

    assert row.value == b'{"h":{"S":"h1"},"x":{"S":"later"}}'


def test_an_item_that_went_and_came_stands_last(bench: Bench) -> None:
    """As in moto, also if both happened between two checkpoints."""
    for number in range(3):
        bench.put("one", **item(number))
    bench.restart()
    bench.call("DeleteItem", TableName="one", Key=item(0))
    bench.put("one", **item(0))
    bench.restart()

    assert [k.value for k in bench.items("one")] == ["h1", "h2", "h0"]


def test_another_home_gets_all_rows(bench: Bench) -> None:
    """A table that another store carries from now on has nothing in that one's files."""
    for number in range(3):
        bench.put("one", **item(number))
    bench.restart()
    held, number = bench.items("one"), bench.items("one").number

    collection, rows, _ = held.written(key("dynamodb", "eu-west-1"))

    assert collection.number != number
    assert [row.key for row in rows] == ["S:h0", "S:h1", "S:h2"]


def test_a_restored_table_has_items_of_its_own(bench: Bench) -> None:
    """A copy of a table is another collection, on disk as well."""
    for number in range(3):
        bench.put("one", **item(number))
    bench.restart()
    backup = bench.call("CreateBackup", TableName="one", BackupName="b")["BackupDetails"]
    bench.call("DeleteItem", TableName="one", Key=item(0))
    bench.restart()
    restored = {"TargetTableName": "again", "BackupArn": backup["BackupArn"]}
    bench.call("RestoreTableFromBackup", **restored)
    bench.restart()

    assert bench.call("Scan", TableName="again")["Count"] == 3
    assert bench.call("Scan", TableName="one")["Count"] == 2
