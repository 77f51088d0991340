"""Replays recorded segments in this process, from the recording alone.

    python replay_segments.py RECORDING.jsonl OUT.jsonl [--reverse]

A line for each segment: what was answered to each call, and the digests of all stores
at the end, attribute by attribute.  A segment is replayed up to its first impure call,
whose after-images nobody installs here (``install_images`` is where they would be).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import moto_plugin
from moto.core.config import default_user_config
from replay_calls import restore, seen_of
from replay_plugin import EPOCH_US, INSTANCE
from state_digest import digests_of

from perdure.engine import pins
from perdure.engine.doors import DOORS, DivergenceError
from perdure.engine.lock import ENGINE_LOCK, running
from perdure.engine.pins import pinned
from perdure.engine.quirks.polling import ParkedError
from perdure.engine.stores import STORES, QuarantinedError


class Replayer:
    """The engine, with moto's surroundings as while it was recorded."""

    def __init__(self) -> None:
        motos_own = moto_plugin._motos_own()
        self.sweep = _original_sweep()
        moto_plugin._identify_moto_itself(motos_own)
        moto_plugin._check_what_was_sent(self.sweep)
        moto_plugin._frozen_clock_rows()

    def segment(self, row: dict[str, Any]) -> dict[str, Any]:
        """Replay one, from nothing."""
        self.sweep.reset()
        answers: list[str] = []
        started = time.monotonic()
        for call in row["calls"]:
            if call["impure"] and not install_images(call):
                break
            answers.append(self.call(call))
        return {
            "test": row["test"],
            "answers": answers,
            "seconds": time.monotonic() - started,
            "states": self.states(),
        }

    def call(self, row: dict[str, Any]) -> str:
        """Replay one call; what was seen of it."""
        recorded, doors = restore(row)
        default_user_config.clear()
        default_user_config.update(recorded.config)
        for name in [n for n in os.environ if n.startswith("MOTO_")]:
            del os.environ[name]
        os.environ.update(recorded.environment)
        self.sweep.sent = urlsplit(recorded.url)
        with ENGINE_LOCK:
            try:
                with running(), pinned(recorded.pins), DOORS.open(doors):
                    return seen_of(self.sweep.execute(recorded.call, may_park=recorded.may_park))
            except (Exception, ParkedError, QuarantinedError, DivergenceError) as error:  # noqa: BLE001 - an answer as well
                return seen_of(error)

    def states(self) -> dict[str, Any]:
        """The digest of each attribute of each store."""
        with ENGINE_LOCK:
            found: dict[str, Any] = {}
            for key, _ in sorted(STORES.living(), key=lambda living: living[0]):
                try:
                    found[str(key)] = digests_of(key)
                except Exception as error:  # noqa: BLE001 - told apart in the report
                    found[str(key)] = {"(error)": f"{type(error).__name__}: {error}"[:300]}
            return found


def install_images(_: dict[str, Any]) -> bool:
    """Put the after-images of an impure call in place; whether there were any."""
    return False


_original_sweep = moto_plugin.Sweep.__mro__[1]


def main() -> int:
    """Replay all segments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--reverse", action="store_true")
    parser.add_argument("--only", default="", help="part of a test's name")
    options = parser.parse_args()
    pins.set_instance(INSTANCE, EPOCH_US)
    replayer = Replayer()
    lines = [line for line in options.recording.read_text().splitlines() if options.only in line]
    with options.out.open("w") as out:
        numbers = range(len(lines))
        for number in reversed(numbers) if options.reverse else numbers:
            result = replayer.segment(json.loads(lines[number]))
            out.write(json.dumps({"number": number, **result}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
