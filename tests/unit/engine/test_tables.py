"""DynamoDB answers, draws and keeps what moto would, without looking at the whole table."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from moto.dynamodb.models.dynamo_type import DDBType, DynamoType, Item
from tests.unit.engine.both_ways import Script, compare, seconds_of, target_call
from tests.unit.engine.conftest import key

from perdure.engine.core import Engine
from perdure.engine.quirks import tables, transactions
from perdure.engine.quirks.replaced import Replaced

TARGET = "DynamoDB_20120810"
NAMES = {"h": "S", "r": "N", "g": "S", "n": "N"}


def table(name: str, keys: str, *, stream: bool = False) -> dict[str, Any]:
    """A CreateTable with an index over ``g`` and one over ``g`` and ``n``."""

    def schema(names: str) -> list[dict[str, str]]:
        return [
            {"AttributeName": n, "KeyType": kind}
            for n, kind in zip(names, ("HASH", "RANGE"), strict=False)
        ]

    everything = {"ProjectionType": "ALL"}
    wanted: dict[str, Any] = {
        "TableName": name,
        "KeySchema": schema(keys),
        "AttributeDefinitions": [
            {"AttributeName": n, "AttributeType": t} for n, t in NAMES.items() if n in keys + "gn"
        ],
        "GlobalSecondaryIndexes": [
            {"IndexName": f"by-{names}", "KeySchema": schema(names), "Projection": everything}
            for names in ("g", "gn", "n")
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if stream:
        wanted["StreamSpecification"] = {
            "StreamEnabled": True,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
    return wanted


TABLES = [table("one", "h"), table("two", "hr"), table("streamed", "hr", stream=True)]
BAD = [("SET x = y", None), ("SET h = :g", {":g": {"S": "h"}})]
RANGED = {"two", "streamed"}


class Chaos:
    """Random calls of DynamoDB."""

    def __init__(self, script: Script, moto: Any, steps: int) -> None:
        self.script, self.moto, self.steps, self.pick = script, moto, steps, script.choose

    numbers = ("1", "2", "2.0", "10", "-3", "0.5", "7", "1e1")

    def call(self, operation: str, name: str | None = None, **parameters: Any) -> Any:
        given = {k: v for k, v in parameters.items() if v is not None}
        given |= {"TableName": name} if name else {}
        return self.script.call(target_call("dynamodb", TARGET, operation, **given))

    def run(self) -> None:
        for each in TABLES:
            self.call("CreateTable", **each)
        # Some runs leave what is known of a table alone, so that it has to follow changes.
        self.is_calm = self.pick.random() < 0.6
        names = self.pick.choice([["one", "two", "two", "streamed"], ["two"], ["one"]])
        steps = [self.put] * 9 + [self.delete] * 3 + [self.update] * 4 + [self.get] * 2
        steps += [self.query] * 4 + [self.query_index] * 4 + [self.scan] * 4
        steps += [self.transact] * 3 + [self.describe, self.statement]
        steps += [] if self.is_calm else [self.meddle]
        for _ in range(self.steps):
            self.pick.choice(steps)(self.pick.choice(names))
        for name in ("one", "two", "streamed"):
            self.pages("Scan", name, Limit=7)
            self.script.note(self.order(name))

    def order(self, name: str) -> list[str]:
        return [repr(k) for k in self.moto.store("dynamodb").tables[name].items]

    def key(self, name: str) -> dict[str, Any]:
        found = {"h": {"S": self.pick.choice("abcdefghij")}}
        if name in RANGED:
            found["r"] = {"N": self.pick.choice(self.numbers)}
        return found

    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {"x": {"S": self.pick.choice("uvw")}}
        if self.pick.random() < 0.7:
            found["g"] = {"S": self.pick.choice("xyz")}
        if self.pick.random() < 0.7:
            found["n"] = {"N": self.pick.choice(["1", "1.0", "3", "20"])}
        if self.pick.random() < 0.2:
            found["m"] = {"M": {"k": {"L": [{"S": "deep"}, {"N": "4"}]}}}
        return found

    def put(self, name: str) -> None:
        condition = self.pick.choice([None, None, "attribute_not_exists(h)"])
        item = {**self.key(name), **self.attributes()}
        if self.pick.random() < 0.05:
            item.pop("h")
        if not self.is_calm and self.pick.random() < 0.05:
            item["g"] = self.pick.choice([{"N": "1"}, {"NULL": True}, {"M": {}}])
        self.call("PutItem", name, Item=item, ConditionExpression=condition)

    def get(self, name: str) -> None:
        self.call("GetItem", name, Key=self.key(self.pick.choice([name, "two"])))

    def delete(self, name: str) -> None:
        self.call("DeleteItem", name, Key=self.key(name), ReturnValues="ALL_OLD")

    def update(self, name: str) -> None:
        self.call("UpdateItem", name, **self.updated(name), ReturnValues="ALL_NEW")

    def updated(self, name: str) -> dict[str, Any]:
        expression, values = self.pick.choice(
            [
                ("SET g = :g", {":g": {"S": self.pick.choice("xyz")}}),
                ("ADD n :n", {":n": {"N": "2"}}),
                ("REMOVE g", None),
                *([] if self.is_calm else BAD),
            ]
        )
        found = {"Key": self.key(name), "UpdateExpression": expression}
        return found | ({"ExpressionAttributeValues": values} if values else {})

    def query(self, name: str) -> None:
        text, values = "h = :h", {":h": {"S": self.pick.choice("abcdefghijk")}}
        if name in RANGED and self.pick.random() < 0.5:
            text, values = text + " AND r > :r", {**values, ":r": {"N": "1"}}
        self.pages("Query", name, KeyConditionExpression=text, ExpressionAttributeValues=values)

    def query_index(self, name: str) -> None:
        text, values, index = self.pick.choice(
            [
                ("g = :g", {":g": {"S": "x"}}, "by-g"),
                ("g = :g", {":g": {"S": "y"}}, "by-gn"),
                ("g = :g AND n >= :n", {":g": {"S": "y"}, ":n": {"N": "2"}}, "by-gn"),
                ("n = :n", {":n": {"N": "1.00"}}, "by-n"),
                ("n = :n", {":n": {"S": "1"}}, "by-n"),
                ("n = :n", {":n": {"S": "1"}}, "nowhere"),
            ]
        )
        self.pages(
            "Query",
            name,
            IndexName=index,
            KeyConditionExpression=text,
            ExpressionAttributeValues=values,
        )

    def scan(self, name: str) -> None:
        more = self.pick.choice(
            [
                {},
                {"IndexName": "by-gn"},
                {"IndexName": "by-g"},
                {"IndexName": "by-n"},
                {"Segment": 1, "TotalSegments": 2},
                {"ScanFilter": {"x": {"ComparisonOperator": "NULL"}}},
                {
                    "FilterExpression": "x = :x",
                    "ExpressionAttributeValues": {":x": {"S": "u"}},
                },
            ]
        )
        self.pages("Scan", name, **more)

    def pages(self, operation: str, name: str, **parameters: Any) -> None:
        parameters.setdefault("Limit", self.pick.choice([None, 1, 3]))
        if operation == "Query":
            parameters["ScanIndexForward"] = self.pick.choice([None, False])
        key = self.key(name)
        indexed = {**key, "g": {"S": "y"}, "n": {"N": self.pick.choice(["2", "3.0"])}}
        start = self.pick.choice([None, None, None, key, indexed, {**indexed, "n": {"S": "3"}}])
        for _ in range(4):
            answer = self.call(operation, name, **parameters, ExclusiveStartKey=start)
            start = answer.get("LastEvaluatedKey") if isinstance(answer, dict) else None
            if not start:
                return
            if self.pick.random() < 0.3:
                self.put(name)

    def transact(self, _: str) -> None:
        kinds = [
            self.pick.choice(["Put", "Put", "Delete", "Update", "ConditionCheck"]) for _ in range(2)
        ]
        self.call("TransactWriteItems", TransactItems=[self.operation(kind) for kind in kinds])

    def operation(self, kind: str) -> dict[str, Any]:
        name = self.pick.choice(["one", "two", "streamed", "streamed"])
        found: dict[str, Any] = {"TableName": name}
        if kind == "Put":
            found["Item"] = {**self.key(name), **self.attributes()}
        elif kind == "Update":
            found |= self.updated(name)
        else:
            found["Key"] = self.key(name)
        if kind == "ConditionCheck" or self.pick.random() < 0.1:
            found["ConditionExpression"] = self.pick.choice(
                ["attribute_exists(h)", "attribute_not_exists(h)"]
            )
        return {kind: found}

    def describe(self, name: str) -> None:
        self.call("DescribeTable", name)

    def statement(self, _: str) -> None:
        self.call("ExecuteStatement", Statement="SELECT * FROM one WHERE h = 'a'")

    def meddle(self, name: str) -> None:
        """As a test of moto may do, past all methods."""
        items = self.moto.store("dynamodb").tables[name].items
        for hash_key in list(items)[:1]:
            del items[hash_key]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("replaced", [tables.REPLACED, transactions.REPLACED], ids=["t", "tx"])
def test_all_is_as_moto_has_it(engine: Engine, moto: Any, replaced: Replaced, seed: int) -> None:
    """Whatever is put, changed, asked for page by page, or undone, in whatever order."""
    seen = compare(
        engine,
        replaced.undone,
        lambda script: Chaos(script, moto, 150).run(),
        [key("dynamodb")],
        seed=seed,
    )
    done = {row[0] for row in seen if isinstance(row, tuple) and row[4] == 200}
    assert {"PutItem", "Query", "Scan", "TransactWriteItems", "UpdateItem"} <= done


def filled(moto: Any, name: str, items: int) -> Any:
    """A store with a table of so many items, ten to a hash key; one in ten has ``g``."""
    store = moto.store("dynamodb")
    wanted = table(name, "hr")
    store.create_table(
        name,
        schema=wanted["KeySchema"],
        throughput=None,
        attr=wanted["AttributeDefinitions"],
        global_indexes=wanted["GlobalSecondaryIndexes"],
        **dict.fromkeys(("indexes", "streams", "sse_specification", "warm_throughput")),
        billing_mode="PAY_PER_REQUEST",
        tags=[],
        deletion_protection_enabled=False,
    )
    for number in range(items):
        item = {"h": {"S": str(number // 10)}, "r": {"N": str(number % 10)}}
        store.put_item(name, {**item, "g": {"S": str(number // 10)}})
    return store


def calls(store: Any, name: str) -> None:
    """One of each that must not follow the table's size."""
    h, r = {"S": "3"}, {"N": "4"}
    key = {"h": h, "r": r}
    store.put_item(name, {**key, "g": h})
    store.update_item(name, key, "SET x = :x", {}, {":x": {"S": "x"}})
    store.get_item(name, key)
    rest: dict[str, Any] = {"limit": 5, "exclusive_start_key": None, "projection_expressions": None}
    rest |= {"range_comparison": None, "range_value_dicts": [], "scan_index_forward": True}
    assert len(store.query(name, h, **rest)[0]) == 5
    of_index = {"index_name": "by-g", "hash_key_conditions": [("g", h)]}
    assert len(store.query(name, h, **rest, **of_index)[0]) == 5
    none: dict[str, Any] = dict.fromkeys(
        ("filter_expression", "expr_names", "expr_values", "index_name", "projection_expression")
    )
    page = store.scan(name, {}, 5, key, **none, consistent_read=False, segments=(None, None))
    assert len(page[0]) == 5
    start = {**key, "g": h}
    none["index_name"] = "by-g"
    page = store.scan(name, {}, 5, start, **none, consistent_read=False, segments=(None, None))
    assert len(page[0]) == 5
    store.delete_item(name, key)
    with pytest.raises(Exception, match="Transaction"):
        store.transact_write_items(
            [
                {"Put": {"TableName": name, "Item": key}},
                {
                    "Update": {
                        "TableName": name,
                        "Key": {**key, "r": {"N": "5"}},
                        "UpdateExpression": "SET x = y",
                        "ConditionExpression": "attribute_not_exists(h)",
                    }
                },
            ]
        )
    store.put_item(name, {**key, "g": h})


def test_its_cost_does_not_follow_the_size(moto: Any) -> None:
    """A hundred times as many items cost by far not a hundred times as much."""

    def spent(items: int) -> float:
        store = filled(moto, f"t{items}", items)
        calls(store, f"t{items}")
        return seconds_of(lambda: calls(store, f"t{items}"), 10)

    assert spent(10_000) < 8 * spent(100)


def test_a_query_looks_at_the_items_of_its_key_alone(
    moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a thousand items moto is shown ten."""
    store = filled(moto, "t", 1000)
    shown: list[int] = []
    real = tables._narrowed

    def narrowed(items: Any) -> Any:
        shown.append(len(list(items)))
        return real(items)

    monkeypatch.setattr(tables, "_narrowed", narrowed)
    rest: dict[str, Any] = {"limit": 99, "exclusive_start_key": None}
    rest |= {"range_comparison": None, "range_value_dicts": [], "scan_index_forward": True}
    for more in ({}, {"index_name": "by-g", "hash_key_conditions": [("g", {"S": "3"})]}):
        found = store.query("t", {"S": "3"}, **rest, projection_expressions=None, **more)[0]
        assert len(found) == 10
    assert shown == [10, 10]


@pytest.mark.parametrize("change", ["put", "delete", "update"])
def test_a_stream_that_fails_leaves_no_old_index(
    moto: Any, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Moto changes the items and then tells the stream: what was answered 500 has happened."""
    store = filled(moto, "t", 3)
    found = store.tables["t"]
    found.set_stream_specification({"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    of_index: dict[str, Any] = {"index_name": "by-g", "hash_key_conditions": [("g", {"S": "0"})]}
    rest: dict[str, Any] = {"limit": 9, "exclusive_start_key": None, "projection_expressions": None}
    rest |= {"range_comparison": None, "range_value_dicts": [], "scan_index_forward": True}
    keys = [item.to_json()["Attributes"] for item in found.all_items()]
    old = {name: keys[0][name] for name in ("h", "r")}
    assert len(store.query("t", {"S": "0"}, **rest, **of_index)[0]) == 3

    def fail(*_: Any) -> None:
        raise AttributeError("a function that is gone")

    monkeypatch.setattr(type(found.stream_shard), "add", fail)
    with pytest.raises(AttributeError):
        if change == "put":
            store.put_item("t", {"h": {"S": "new"}, "r": {"N": "1"}, "g": {"S": "0"}})
        elif change == "delete":
            store.delete_item("t", old)
        else:
            store.update_item("t", old, "SET g = :g", {}, {":g": {"S": "else"}})

    expected = {"put": 4, "delete": 2, "update": 2}[change]
    assert len(store.query("t", {"S": "0"}, **rest, **of_index)[0]) == expected


VALUES = [
    {"S": "ä"},
    {"S": ""},
    {"S": b"bytes"},
    {"S": 7},
    {"N": "1.50"},
    {"N": "no number"},
    {"B": "YQ=="},
    {"B": b"a"},
    {"BOOL": True},
    {"NULL": True},
    {"SS": ["a", "b"]},
    {"NS": ["1", "2"]},
    {"L": [{"S": "a"}, {"N": "1"}]},
    {"M": {"a": {"S": "b"}, "c": {"L": []}}},
    {"X": "of no type"},
    {DDBType.STRING: "of an enumeration"},
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_a_value_is_as_large_and_means_the_same_as_in_moto(engine: Engine, value: Any) -> None:
    """Whatever its type, or the same complaint."""
    found = []
    for moto in (nullcontext(), tables.REPLACED.undone()):
        with moto:
            typed = DynamoType(value)
            found.append(
                (outcome(typed.size), outcome(lambda of=typed: of.cast_value), vars(typed))
            )
    assert repr(found[0]) == repr(found[1])


@pytest.mark.parametrize(
    "attrs",
    [
        {str(n): each for n, each in enumerate(VALUES) if "no number" not in str(each)},
        {"N": {"N": None}},
        {"a": {"S": 7}, "b": None},
        {"a": {"S": "x" * 404_990}},
        {"a": {"S": "x" * 404_999}},
        {"a": {"S": "x" * 405_000}},
        {f"a{n}": {"S": "x" * 1000} for n in range(410)},
        {"a" * 405_000: {"S": ""}, "b": None},
        {7: {"S": "a"}},
        {},
    ],
    ids=lambda attrs: str(attrs)[:30],
)
def test_an_item_is_made_or_refused_as_by_moto(engine: Engine, attrs: Any) -> None:
    """With all its attributes, in their order; or for its size, or what is wrong first."""
    key = DynamoType({"S": "k"})
    found = []
    for moto in (nullcontext(), tables.REPLACED.undone()):
        with moto:
            made = outcome(lambda: vars(Item(key, None, attrs)))
            shown = repr(made)
            kinds = [type(each) for each in made.values()] if isinstance(made, dict) else []
            found.append((shown, kinds))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "value",
    [
        {"S": "a"},
        {"NS": []},
        {"SS": []},
        {"SS": [], "NS": []},
        {"M": {"a": {"SS": []}}},
        {"L": [{"SS": []}]},
        {"M": {"SS": {"NS": []}}},
        {"BS": []},
        {"M": None},
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["h", "other"])
def test_an_empty_set_is_refused_as_by_moto(engine: Engine, name: str, value: Any) -> None:
    """Wherever in an item it is, but in a key; in a table that has items."""
    from moto.dynamodb import responses

    for table in (SimpleNamespace(attribute_keys=["h"]), None):
        ask = partial(responses.validate_put_has_empty_attrs, {"ok": {"S": ""}, name: value}, table)
        expected = partial(tables.REPLACED.original["validate_put_has_empty_attrs"], *ask.args)
        assert shown(ask) == shown(expected)


def shown(ask: Any) -> Any:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - whatever moto complains of
        return type(error), str(error), getattr(error, "message", None)


def outcome(ask: Any) -> Any:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - whatever moto complains of
        return f"{type(error).__name__}: {error}"
