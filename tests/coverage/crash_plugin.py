"""A pytest plugin: moto's own tests, with a crash in process after every call.

As ``moto_plugin``, but nothing is saved after a call: all stores are dropped, as a
``kill -9`` does, and come back from the last checkpoint and the journal behind it.  A
checkpoint is made every few calls.  What a test changes in a store that it looked up
itself is written down as after-images before the next call.

    python -m pytest -p crash_plugin --sweep-record OUT.jsonl tests/test_sqs
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any
from unittest import mock

import moto_plugin
import pytest
from moto import settings

from perdure.engine import process
from perdure.engine.calls import Call
from perdure.engine.stores import STORES
from perdure.errors import CaptureError, NoRoomError
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.record import CALL, decode_call, decode_images
from perdure.persistence.statefile import Shares

PATH = Path("journal")
CHECKPOINT_CALLS = 10


class CrashSweep(moto_plugin.Sweep):
    """The engine under moto's tests, crashing."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[int, bytes]] = []
        self.since = 0
        self.shares: dict[StoreKey, Shares] = {}
        self.engine.record(self, self.lost)

    # A journal in memory.

    def append(self, kind: int, parts: Sequence[bytes]) -> Lsn:
        """Keep a record."""
        self.log.append((kind, b"".join(parts)))
        return Lsn(len(self.log))

    def room_for(self, payload_bytes: int) -> bool:
        """Always."""
        return True

    def no_room(self) -> NoRoomError:
        """Never."""
        raise AssertionError

    def lost(self, key: StoreKey, error: CaptureError) -> None:
        """A change that could not be written down."""
        self.split.add(f"lost: {key}: {error}")

    # What is done around a call.

    def settle(self, *, look_at_all: bool) -> set[StoreKey]:
        """Write down what the test changed in stores it looked up itself."""
        del look_at_all  # what only reads is another sweep's matter
        # Two libraries cannot hold one clock; and what a test has put into moto's place
        # around a call, or told it about whom to let in, no record of the call can say.
        is_frozen = moto_plugin.yield_to_frozen_clock()
        if is_frozen or PATCHES.count or inf != settings.INITIAL_NO_AUTH_ACTION_COUNT:
            self.engine.stop_recording()
            return set()
        held = self.held.keys() & self.engine.living()
        if held:
            self.engine.recorder.step(held, "a test")
        return set()

    def save_and_drop(self, call: Call, operation: str, *_: Any, **__: Any) -> None:
        """Crash, but while a thread of moto holds objects, or nothing was recorded."""
        if self.engine.recorder is None:
            self.checkpoint()
            self.engine.record(self, self.lost)
            return
        if moto_plugin._motos_threads():
            return
        self.restarts += 1
        self.since += 1
        if self.since >= CHECKPOINT_CALLS:
            self.checkpoint()
        self.crash(f"{call.service.name} {operation}")

    def checkpoint(self) -> None:
        """Save what changed; the journal begins anew."""
        self.since = 0
        self.disk.save()
        self.shares = dict(self.disk.shares)
        self.log.clear()

    def crash(self, after: str) -> None:
        """Drop all; load the checkpoint, replay the log."""
        living = self.engine.living()
        held = {key: STORES.find(key) for key in living & self.held.keys()}
        for key in living:
            moto_plugin._close_bodies(key)
        last = self.engine.last_id
        self.engine.stop_recording()
        self.engine.forget_all()
        process.install({})
        # Replay notes in there what its images share.
        self.disk.shares.clear()
        self.disk.shares.update(self.shares)
        self.disk.know(last)
        replayer = self.engine.replayer(self.disk.shares)
        moto_plugin._look_for_buckets_in_hosts(False)
        for kind, payload in self.log:
            if kind != CALL:
                replayer.images(decode_images(payload, path=PATH), path=PATH)
                continue
            found = replayer.call(decode_call(payload, path=PATH))
            if found is not None:
                self.split.add(f"diverged after {after}: {found.call}: {found.found}")
        changed = replayer.finish()
        moto_plugin._look_for_buckets_in_hosts(True)
        self.engine.record(self, self.lost)
        if changed:
            self.engine.recorder.step(changed, "recovery")
        for key, dropped in held.items():
            if STORES.find(key) is None:
                self.engine.load(key)
            self.held.follow(dropped, STORES.find(key))

    def reset(self) -> None:
        """Between tests moto empties all its stores."""
        self.engine.stop_recording()
        super().reset()
        self.checkpoint()
        self.engine.record(self, self.lost)


class Patches:
    """How many of moto's names tests have put something else in the place of, just now."""

    def __init__(self) -> None:
        self.count = 0

    def watch(self) -> None:
        """Count from now on."""
        enter, leave = mock._patch.__enter__, mock._patch.__exit__

        def entered(patch: Any) -> Any:
            found = enter(patch)
            self.count += _is_motos(patch.target)
            return found

        def left(patch: Any, *error: Any) -> Any:
            self.count -= _is_motos(patch.target)
            return leave(patch, *error)

        mock._patch.__enter__, mock._patch.__exit__ = entered, left


def _is_motos(target: Any) -> bool:
    name = getattr(target, "__module__", None) or getattr(target, "__name__", "")
    return str(name).startswith("moto.")


PATCHES = Patches()
moto_plugin.Sweep = CrashSweep


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where results go."""
    moto_plugin.pytest_addoption(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Put the engine under moto, and let keys be keys."""
    moto_plugin.pytest_configure(config)
    moto_plugin.keep_keys_real()
    PATCHES.watch()


pytest_runtest_call = moto_plugin.pytest_runtest_call
pytest_sessionstart = moto_plugin.pytest_sessionstart
pytest_runtest_logreport = moto_plugin.pytest_runtest_logreport
pytest_sessionfinish = moto_plugin.pytest_sessionfinish
