"""Page tokens outlive the process that gave them."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from typing import Any

import pytest
from moto.core.exceptions import InvalidToken
from moto.utilities.paginator import Paginator

from perdure.engine.core import Engine
from perdure.engine.quirks.paging import checksum_of

PROGRAM = """
import sys
from moto.utilities.paginator import Paginator
from perdure.engine.core import Engine

Engine()
token = sys.argv[1] if len(sys.argv) > 1 else None
values = {"account": "1", "names": ["a", "b"], "nothing": None}
pages = Paginator(1, starting_token=token, unique_attribute="x", param_values_to_check=values)
found, token = pages.paginate(["a", "b", "c"])
print(found[0], token or "")
"""


def another_process(*arguments: str, seed: str) -> list[str]:
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_a_token_is_taken_by_another_process() -> None:
    """The next page can be asked of a process that hashes texts otherwise."""
    first, token = another_process(seed="1")
    second, _ = another_process(token, seed="2")

    assert (first, second) == ("a", "b")


def test_a_token_with_other_parameters_is_refused(engine: Engine) -> None:
    """What the checksum is for still holds."""
    how: dict[str, Any] = {"max_results": 1, "unique_attribute": "x"}
    _, token = Paginator(param_values_to_check={"a": "1"}, **how).paginate(["x", "y"])

    with pytest.raises(InvalidToken):
        Paginator(param_values_to_check={"a": "2"}, starting_token=token, **how)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": [1]}, {"b": [1], "a": 1}),
        ({"a": None}, {"a": []}),
        ({"a": {"x", "y", "z"}}, {"a": {"z", "y", "x"}}),
        ({"a": object()}, {"a": object()}),
    ],
    ids=["order", "empty", "set", "object"],
)
def test_equal_parameters_have_one_checksum(one: Any, other: Any) -> None:
    """Neither order nor address nor kind of emptiness makes another number."""
    assert checksum_of(one) == checksum_of(other) > 0


@pytest.mark.parametrize(
    "other",
    [{}, {"a": "2"}, {"a": 1}, {"b": "1"}, {"a": ["1"]}, {"a": dt.date(2026, 1, 1)}],
    ids=repr,
)
def test_other_parameters_have_another(other: Any) -> None:
    """A name, a value or a type that differs shows."""
    assert checksum_of({"a": "1"}) != checksum_of(other)
