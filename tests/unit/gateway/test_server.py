"""The process around the gateway: what it says, and when it says that it was."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from perdure.engine.lock import running
from perdure.engine.pins import Pins, pinned
from perdure.gateway import server

YEAR_2001 = Pins(1_000_000_000_000_000, 7)


@pytest.fixture
def stderr_log() -> Iterator[logging.Handler]:
    """The handler the server logs through; what pytest logs through is there again after."""
    root, before, level = logging.getLogger(), logging.getLogger().handlers[:], logging.root.level
    # With ``force``, those that are there would be closed.
    root.handlers.clear()
    server._log_to_stderr("info")
    yield root.handlers[0]
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_within_a_call_is_dated_by_the_real_clock(stderr_log: logging.Handler) -> None:
    """A replayed call stands still in the past; what is logged meanwhile was not said then."""
    before = time.time()
    with running(), pinned(YEAR_2001):
        record = logging.makeLogRecord({"msg": "x"})
        assert record.created == 1e9
        assert stderr_log.filter(record)
        said = stderr_log.format(record)

    # Cut off to milliseconds.
    assert before - 0.001 <= record.created <= time.time()
    assert record.msecs == int(record.created * 1000) % 1000
    assert said.startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created)))
