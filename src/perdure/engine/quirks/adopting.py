"""Containers of moto become collections as soon as they are made, or have grown.

Whoever saves them would make them so, too, with a number by chance.  But that may be a child
that captures, of which its parent learns no number; and then all rows would be new again
with the next checkpoint.  Queues, tables and Kinesis' shards are adopted by ``queues``, ``tables``
and ``lookups``, which reach them anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from perdure.engine.collections import events, objects, parameters
from perdure.engine.imports import after_import


def install() -> None:
    """Adopt what is made or grows."""
    after_import("moto.s3.models", lambda s3: _behind(s3.FakeBucket, "__init__", objects.adopt))
    after_import(
        "moto.logs.models",
        lambda logs: _behind(logs.LogStream, "put_log_events", events.adopt_events),
    )
    after_import(
        "moto.dynamodb.models.table",
        lambda table: _behind(table.StreamShard, "add", events.adopt_changes),
    )
    after_import(
        "moto.ssm.models",
        lambda ssm: _behind(
            ssm.SimpleSystemManagerBackend,
            "__init__",
            lambda store: parameters.adopt(store.__dict__),
        ),
    )
    after_import(
        "moto.cloudwatch.models",
        lambda cloudwatch: _behind(
            cloudwatch.CloudWatchBackend,
            "put_metric_data",
            lambda store: events.adopt_datapoints(store.__dict__),
        ),
    )


def _behind(cls: Any, name: str, adopt: Callable[[Any], object]) -> None:
    """Let a method end with ``adopt`` of its object."""
    method = getattr(cls, name)

    @wraps(method)
    def behind(owner: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return method(owner, *arguments, **named)
        finally:
            adopt(owner)

    setattr(cls, name, behind)
