"""The order of a set follows from how it was filled, in every process."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from perdure.engine.quirks.order import CONSTANTS, MODULES, OrderedSet

WORDS = [str(n) for n in (5, 3, 9, 1, 7)]


def test_it_is_iterated_as_it_was_filled() -> None:
    """Members come in the order in which they came in, whatever was taken out."""
    found = OrderedSet(WORDS)
    found.discard("9")
    found.update(["8"], ["3", "0"])
    assert list(found) == ["5", "3", "1", "7", "8", "0"]
    assert found.pop() == "5"
    assert repr(OrderedSet("ba")) == "{'b', 'a'}"
    assert repr(OrderedSet()) == "set()"


@pytest.mark.parametrize("other", [set("bcx"), frozenset("bcx"), OrderedSet("bcx")])
def test_it_does_what_a_set_does(other: Any) -> None:
    """With sets of either kind on either side it gives what a set would."""
    plain, ours = set("abc"), OrderedSet("abc")
    for operation in ("__sub__", "__or__", "__and__", "__xor__"):
        expected = getattr(plain, operation)(set(other))
        assert getattr(ours, operation)(other) == expected
        assert getattr(OrderedSet, "__r" + operation[2:])(ours, other) == getattr(
            set(other), operation
        )(plain)
    for method in ("union", "intersection", "difference"):
        assert getattr(ours, method)(other) == getattr(plain, method)(other)
    for method in ("issubset", "issuperset", "isdisjoint"):
        assert getattr(ours, method)(other) == getattr(plain, method)(set(other))
    assert other - ours == {"x"}
    assert ours == plain == ours
    assert (ours >= {"a"}, ours <= {"a"}) == (True, False)


@pytest.mark.parametrize("name", MODULES)
def test_moto_uses_it_there(engine: Any, name: str) -> None:
    """Each row is a module that still says ``set(``; its class is carried by its name."""
    module = importlib.import_module(name)
    assert issubclass(module.set, OrderedSet)
    assert getattr(module, module.set.__qualname__) is module.set
    with open(str(module.__file__)) as source:
        assert "set(" in source.read()


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_the_same_in_another_process(engine: Any, name: str) -> None:
    """Whatever its hash seed."""
    code = (
        "import sys, json, importlib; from perdure.engine.core import Engine; Engine();"
        "from perdure.engine.quirks.order import OrderedSet; found = importlib.import_module("
        f"{name!r});"
        "print(json.dumps([list(v) for v in vars(found).values() if type(v) is OrderedSet]))"
    )
    here = [
        list(v) for v in vars(importlib.import_module(name)).values() if isinstance(v, OrderedSet)
    ]
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "9", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(there.stdout) == here != []


def test_it_has_all_that_a_set_has() -> None:
    """What stands in for a set can do what moto may ask of one, with the same outcome."""
    names = {name for name in dir(set) if not name.startswith("_")}
    assert names <= set(dir(OrderedSet))
    for name in ("difference", "intersection", "symmetric_difference", "union", "update"):
        for method in (name, f"{name}_update"):
            if method not in names:
                continue
            plain, ordered = {1, 2, 3}, OrderedSet([1, 2, 3])
            of_plain, of_ordered = (getattr(s, method)({2, 3, 4}) for s in (plain, ordered))
            assert set(ordered) == plain
            assert of_ordered is of_plain is None or set(of_ordered) == of_plain
    assert OrderedSet([2, 1]).copy() == OrderedSet([2, 1])
