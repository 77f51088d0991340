"""Paths: where in a graph something hangs."""

from __future__ import annotations

import collections
from types import SimpleNamespace
from typing import Any

import pytest

from perdure.persistence import paths
from perdure.persistence.paths import find_path

TARGET = object()


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ({"a": TARGET}, "['a']"),
        ({"a": [0, TARGET]}, "['a'][1]"),
        ({"a": (1, {TARGET})}, "['a'][1]{}"),
        ({"a": collections.deque([TARGET])}, "['a'][0]"),
        ({"a": SimpleNamespace(b=TARGET)}, "['a'].b"),
        ({(1, TARGET): 5}, f"<key {str((1, TARGET))[:40]!r}>[1]"),
        ({"deep": [[[TARGET]]], "near": {"x": TARGET}}, "['near']['x']"),
        ({"a": 1}, "(unknown path)"),
    ],
    # Without ids, an address would stand in one, and workers would not agree.
    ids=map(str, range(8)),
)
def test_the_shortest_path_is_found(root: dict[str, Any], path: str) -> None:
    """The path leads from the root to the object by the fewest steps."""
    assert find_path(root, TARGET) == path


def test_cycles_end() -> None:
    """A graph that contains itself is searched once."""
    loop: dict[str, Any] = {}
    loop["self"] = loop

    assert find_path(loop, TARGET) == "(unknown path)"


def test_the_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the bound, the answer is that the path is unknown."""
    monkeypatch.setattr(paths, "OBJECTS_MAX", 3)

    assert find_path([[[[[TARGET]]]]], TARGET) == "(unknown path)"


def test_dict_subclasses_are_seen_raw() -> None:
    """An overridden items() does not hide what a dict holds."""

    class Hiding(dict[str, Any]):
        def items(self) -> Any:
            return ()

    assert find_path({"a": Hiding(b=TARGET)}, TARGET) == "['a']['b']"
