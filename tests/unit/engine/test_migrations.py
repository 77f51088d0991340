"""The table: every row is one, and does what it says to what an older moto wrote."""

from __future__ import annotations

import datetime as dt
import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.version import Version

from perdure.engine import migrations
from perdure.engine.migrations import REMNANTS, TABLE, Moved, Row
from perdure.engine.policy import POLICY
from perdure.persistence.keys import StoreKey

KEY = StoreKey("x", "123456789012", "us-east-1")


def name_of(row: Row) -> str:
    return f"{type(row).__name__}-{row.cls}-{getattr(row, 'was', getattr(row, 'name', ''))}"


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_every_row_names_a_class_of_the_running_moto(row: Row) -> None:
    """A row's class is there, by that name; its version and reason are too."""
    module, _, name = row.cls.partition(":")
    found = importlib.import_module(module if module == REMNANTS else f"moto.{module}")

    assert isinstance(getattr(found, name), type)
    assert Version(row.since) <= Version("5.2.5")
    assert row.reason


@pytest.mark.parametrize("row", [r for r in TABLE if isinstance(r, Moved)], ids=name_of)
def test_what_moved_is_gone_where_it_was(row: Moved) -> None:
    """No row hides a class that still stands under the old name."""
    module, _, name = row.was.partition(":")
    with pytest.raises(LookupError):
        POLICY.find_class(f"moto.{module}", name)


def test_no_two_rows_say_the_same() -> None:
    """Each change stands once."""
    said = [(type(r), r.cls, getattr(r, "was", None), getattr(r, "name", None)) for r in TABLE]
    said = [each for each in said if each[0] is not migrations.Rewritten]

    assert len(set(said)) == len(said)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("true", True),
        ("false", False),
        (True, True),
        (None, None),
        ("other", "other"),
    ],
)
def test_flags(value: Any, expected: Any) -> None:
    """Text that says true or false becomes that; all else stays."""
    assert migrations._flag(value) is expected


NAIVE = dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - as moto keeps them


@pytest.mark.parametrize(
    "value",
    [
        NAIVE,
        NAIVE.replace(tzinfo=dt.UTC),
        int(NAIVE.replace(tzinfo=dt.UTC).timestamp() * 1000),
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.000Z",
        "2026-01-02T03:04:05.000000000Z",
        "2026-01-02T04:04:05+01:00",
    ],
)
def test_times(value: Any) -> None:
    """Every way moto ever kept a time becomes a naive datetime in UTC."""
    assert migrations._naive(value) == NAIVE
    assert migrations._naive(migrations._naive(value)) == NAIVE


def test_seconds() -> None:
    """What was seconds since the epoch becomes the same instant."""
    seconds = NAIVE.replace(tzinfo=dt.UTC).timestamp()
    assert migrations._naive_of_seconds(seconds) == NAIVE
    assert migrations._naive_of_seconds(NAIVE) == NAIVE
    assert migrations._naive(None) is None


def test_defaults_are_not_shared() -> None:
    """Two objects do not get the same container."""
    make = migrations._always({})
    assert make(None, KEY) is not make(None, KEY)


def test_what_a_table_can_take() -> None:
    """Provisioned tables keep their figures, others get those of on demand."""
    busy = SimpleNamespace(throughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 6})
    idle = SimpleNamespace(throughput={"ReadCapacityUnits": 0, "WriteCapacityUnits": 0})

    warm = {"ReadUnitsPerSecond": 5, "WriteUnitsPerSecond": 6, "Status": "ACTIVE"}
    assert migrations._warm(busy, KEY) == warm
    assert migrations._warm(idle, KEY)["ReadUnitsPerSecond"] == 12000


def test_attributes_of_a_message() -> None:
    """Old names of the parts become AWS' own; new ones stay."""
    old = {"a": {"data_type": "String", "string_value": "v"}}
    new = {"a": {"DataType": "String", "StringValue": "v"}}
    for attributes in (old, new):
        message = {"message_attributes": attributes}
        migrations._typed_values(message)
        assert message == {"message_attributes": new}


def test_the_type_of_a_resource() -> None:
    """Only what CloudFormation wrote is renamed, not a resource's own type."""
    made = {"logical_resource_id": "A", "type": "AWS::SQS::Queue"}
    own = {"logical_resource_id": "A", "type": "application"}
    for resource in (made, own):
        migrations._resource_type(resource)

    assert made == {"logical_resource_id": "A", "cf_resource_type": "AWS::SQS::Queue"}
    assert own == {"logical_resource_id": "A", "type": "application"}


def test_finished_queries() -> None:
    """A query that was finished is finished; one of today is left alone."""
    query: dict[str, Any] = {"status": "SUCCEEDED", "start_time": 1.0}
    migrations._queued(query)
    assert (query["_status"], query["end_time"]) == ("SUCCEEDED", 1.0)

    today = {"_status": "RUNNING"}
    migrations._queued(today)
    assert today == {"_status": "RUNNING"}
