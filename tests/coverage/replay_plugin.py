"""A pytest plugin: moto's own tests, run by Perdure's engine, every call recorded.

    python -m pytest -p replay_plugin --recording OUT.jsonl tests/test_sqs

Surroundings and their reasons are ``moto_plugin``'s, but nothing is saved or restarted.
Each call runs pinned and with its doors open, as in the product; what a replay needs is
written down, a line for each segment (the calls between two resets of moto).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import moto_plugin
import pytest
from moto.core.config import default_user_config
from moto_plugin import *  # noqa: F403 - pytest looks for its hooks here
from replay_calls import Recorded, describe, seen_of

from perdure.engine import pins
from perdure.engine.calls import Answer, Call
from perdure.engine.doors import DOORS
from perdure.engine.lock import ENGINE_LOCK, running
from perdure.engine.pins import CLOCK, Pins, pinned
from perdure.engine.quirks.polling import ParkedError

INSTANCE, EPOCH_US = "replay-sweep", 1_700_000_000_000_000


class Recorder(moto_plugin.Sweep):
    """The engine under moto's tests, and a file of what it was asked."""

    def __init__(self) -> None:
        pins.set_instance(INSTANCE, EPOCH_US)
        super().__init__()
        self.out: Any = None
        self.segment: list[dict[str, Any]] = []

    def attempt(self, call: Call, *, may_park: bool) -> Answer:
        """Run it once, pinned, and note it."""
        with ENGINE_LOCK:
            self.calls += 1
            at = _draw()
            seen = ""
            recorded = Recorded(call, at, may_park, _config(), _environment(), self.sent.geturl())
            with running(), pinned(at), DOORS.open() as notes:
                try:
                    answer = self.execute(call, may_park=may_park)
                except (Exception, ParkedError) as error:
                    seen = seen_of(error)
                    raise
                else:
                    seen = seen_of(answer)
                    return answer
                finally:
                    self.segment.append(describe(recorded, notes, seen))

    def reset(self) -> None:
        """The end of a segment."""
        with ENGINE_LOCK:
            if self.segment and self.out is not None:
                test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
                self.out.write(json.dumps({"test": test, "calls": self.segment}) + "\n")
            self.segment = []
            super().reset()


def _draw() -> Pins:
    if moto_plugin.yield_to_frozen_clock():
        # Not from the clock that never goes back: some tests look years ahead.
        return Pins(int(time.time() * 1_000_000), int.from_bytes(os.urandom(8)))
    return CLOCK.draw()


def _config() -> dict[str, Any]:
    return json.loads(json.dumps(default_user_config))


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("MOTO_")}


moto_plugin.Sweep = Recorder
_configure = moto_plugin.pytest_configure


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the recording goes."""
    moto_plugin.pytest_addoption(parser)
    parser.addoption("--recording", required=True, help="segments as JSON lines")


def pytest_configure(config: pytest.Config) -> None:
    """Put the engine under moto."""
    _configure(config)
    moto_plugin.keep_keys_real()
    moto_plugin.SWEEP.out = Path(config.getoption("--recording")).open("w")  # noqa: SIM115


def pytest_sessionfinish() -> None:
    """Write the last segment."""
    moto_plugin.pytest_sessionfinish()
    moto_plugin.SWEEP.reset()
    moto_plugin.SWEEP.out.close()
