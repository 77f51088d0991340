"""Logs, CloudWatch, DynamoDB's streams: events, datapoints, changes, as rows of blocks of JSON.

A block of each is a list:

    [{"ingestion_time": 1790000000000, "timestamp": 1790000000000, "message": "hello", …}, …]
    [{"namespace": "app", "name": "latency", "dimensions": [], "value": 1.5, …}, …]
    [{"record": {"eventName": "INSERT", "dynamodb": {"Keys": …, "NewImage": …}, …}}, …]
"""

from __future__ import annotations

from typing import Any

from perdure.engine.collections.forms import Forms
from perdure.engine.collections.sequence import BLOCK, Sequence

# The attributes that moto has them in: of a log stream, a store, a shard of a table's stream.
EVENTS = "events"
DATAPOINTS = "metric_data"
CHANGES = "items"


class Events(Sequence):
    """The events of a log stream, in the order in which they were put."""

    kind = "logs.events"
    forms = Forms(
        "moto.logs.models:LogEvent",
        dict.fromkeys(("ingestion_time", "timestamp", "message", "event_id"), ...),
    )

    def name_by(self, holder: Any) -> str:
        return f"{holder.log_group.name} {holder.log_stream_name}"


class Changes(Sequence):
    """What a table's stream says happened to its items, in order."""

    kind = "dynamodb.changes"
    forms = Forms("moto.dynamodb.models.table:StreamRecord", {"record": ...})

    def name_by(self, holder: Any) -> str:
        # Not the table's own name: who asks the database for that wants the items.
        return f"{holder.table.name} stream"


class Datapoints(Sequence):
    """All datapoints of a region, in the order in which they were put."""

    kind = "cloudwatch.datapoints"
    forms = Forms(
        "moto.cloudwatch.models:MetricDatum",
        {
            "namespace": ...,
            "name": ...,
            "timestamp": ...,
            "dimensions": [],
            "unit": None,
            "value": ...,
        },
        parts={
            "MetricAggregatedDatum": "moto.cloudwatch.models:MetricAggregatedDatum",
            "Dimension": "moto.cloudwatch.models:Dimension",
        },
    )

    @property
    def name(self) -> str:
        return "datapoints"


def adopt_events(stream: Any) -> None:
    """Let a log stream's events be a collection, if they are many."""
    _adopt_of(stream, EVENTS, Events)


def adopt_changes(shard: Any) -> None:
    """The same with the changes of a table's stream."""
    _adopt_of(shard, CHANGES, Changes)


def _adopt_of(holder: Any, name: str, cls: type[Sequence]) -> None:
    held = _adopted(holder.__dict__, name, cls)
    if type(held) is cls:
        held.holder = holder


def adopt_datapoints(attributes: dict[str, Any]) -> None:
    """The same with the datapoints of a store."""
    _adopted(attributes, DATAPOINTS, Datapoints)


def _adopted(attributes: dict[str, Any], name: str, cls: type[Sequence]) -> Any:
    held = attributes.get(name)
    # The graph carries a short list for less.
    if type(held) is list and len(held) >= BLOCK:
        made = cls()
        made.adopt(held)
        held = attributes[name] = made
    return held
