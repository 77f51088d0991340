"""Rows of collections, for tests of what a disk holds."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping

import orjson

from perdure.persistence.entries import Collection, Row, gone, row_of, total_of
from perdure.persistence.statefile import Graph

NUMBER = 7


def row(key: str, value: object, *, sub: str = "", place: int = 0, number: int = NUMBER) -> Row:
    """An entry; ``value`` None = it is gone."""
    if value is None:
        return gone(number, key, sub)
    return row_of(number, key, sub, 0, place, orjson.dumps({"v": value}))


def collection(rows: Iterable[Row], *, number: int = NUMBER, name: str = "users") -> Collection:
    """What a state file says of a collection with just these rows."""
    rows = list(rows)
    end = max((each.place for each in rows), default=0) + 1
    return Collection(number, "test.rows", name, len(rows), total_of(rows), end)


def rows_of(values: Mapping[str, object]) -> list[Row]:
    """A row of each value, in their order."""
    return [row(key, value, place=place) for place, (key, value) in enumerate(values.items())]


def graph_of(rows: Iterable[Row], changed: Iterable[Row]) -> Graph:
    """A graph that names one collection.

    Args:
        rows: All that the collection holds.
        changed: What a checkpoint has to write of it.
    """
    found = collection(rows)
    return Graph(
        pickle.dumps({"value": tuple(found)}, protocol=5),
        (),
        collections=(found,),
        rows=tuple(changed),
    )
