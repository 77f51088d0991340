"""Tests that begin before a restart and end after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def resumed(scenario: Callable[[Any], Iterator[None]]) -> Callable[[Any], None]:
    """Make a test of a generator: it creates, yields once for the restart, then uses.

    Its argument is an ``Account``.  All tests of a file share one restart; see the
    fixture ``scenes``.
    """

    def test(scenes: Any) -> None:
        scenes.finish(scenario)

    test.__doc__ = scenario.__doc__
    test.__name__ = test.__qualname__ = scenario.__name__
    test.__module__ = scenario.__module__
    test.scenario = scenario
    return test
