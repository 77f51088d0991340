"""Logs, CloudWatch, DynamoDB's streams: events, datapoints, changes, as rows of blocks of JSON.

A block of each is a list:

    [{"ingestion_time": 1790000000000, "timestamp": 1790000000000, "message": "hello", …}, …]
    [{"namespace": "app", "name": "latency", "dimensions": [], "value": 1.5, …}, …]
    [{"record": {"eventName": "INSERT", "dynamodb": {"Keys": …, "NewImage": …}, …}}, …]
"""

from __future__ import annotations

import weakref
from typing import Any

from perdure.engine.collections.forms import Forms
from perdure.engine.collections.sequence import BLOCK, Sequence

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
    # The stream; it holds this.
    owner: weakref.ref[Any] | None = None

    @property
    def name(self) -> str:
        stream = None if self.owner is None else self.owner()
        return "" if stream is None else f"{stream.log_group.name} {stream.log_stream_name}"


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


class Changes(Sequence):
    """What a table's stream says happened to its items, in order."""

    kind = "dynamodb.changes"
    forms = Forms("moto.dynamodb.models.table:StreamRecord", {"record": ...})
    # The shard; it holds this.
    owner: weakref.ref[Any] | None = None

    @property
    def name(self) -> str:
        shard = None if self.owner is None else self.owner()
        return "" if shard is None else str(shard.table.name)


def adopt(stream: Any) -> None:
    """Let a stream's events be a collection, if they are many."""
    held = _adopted(stream.__dict__, EVENTS, Events)
    if type(held) is Events:
        held.owner = weakref.ref(stream)


def adopt_changes(shard: Any) -> None:
    """The same with the changes of a table's stream."""
    held = _adopted(shard.__dict__, CHANGES, Changes)
    if type(held) is Changes:
        held.owner = weakref.ref(shard)


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
