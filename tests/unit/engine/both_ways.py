"""One sequence of calls, moto's way and ours: what is answered, drawn and kept must agree."""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tests.coverage.seen_effects import digest
from tests.unit.calls import a_call

from perdure.engine.calls import Call
from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.pins import Pins, pinned
from perdure.persistence.keys import StoreKey

EPOCH_US = 1_790_000_000_000_000


class Script:
    """A seeded sequence of calls; what it does next may follow from what was answered."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.choose = engine, random.Random(seed)
        self.clock_us = EPOCH_US
        self.seen: list[Any] = []

    def call(self, call: Call) -> Any:
        """Run a call under pins; its body, parsed if it is JSON."""
        self.clock_us += 1
        with ENGINE_LOCK, pinned(Pins(self.clock_us, self.choose.getrandbits(64))):
            try:
                answer = self.engine.execute(call, may_park=False)
                seen = (answer.status, sorted(answer.headers), answer.body)
            except Exception as error:  # noqa: BLE001 - moto's failures must agree, too
                seen = (0, [], repr(error).encode())
            self.seen.append((call.operation, call.path, call.query, call.body, *seen))
            self.seen.append(random.random())
        try:
            return json.loads(seen[2])
        except ValueError:
            return seen[2]

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.clock_us += int(seconds * 1_000_000)

    def inside(self, action: Callable[[], object]) -> None:
        """Do what is no call, under pins as well."""
        self.clock_us += 1
        with ENGINE_LOCK, pinned(Pins(self.clock_us, self.choose.getrandbits(64))):
            action()

    def note(self, value: Any) -> None:
        """Compare this as well."""
        self.seen.append(value)


def compare(
    engine: Engine,
    motos_way: Callable[[], AbstractContextManager[None]],
    script: Callable[[Script], None],
    keys: list[StoreKey],
    *,
    seed: int,
) -> list[Any]:
    """Run it both ways on empty stores; assert that all agrees; what was seen."""

    def run() -> list[Any]:
        engine.forget_all()
        running = Script(engine, seed)
        with ENGINE_LOCK:
            script(running)
            running.note([digest(key) for key in keys])
        return running.seen

    with motos_way():
        expected = run()
    found = run()
    for number, (ours, motos) in enumerate(zip(found, expected, strict=True)):
        assert ours == motos, f"{number}: {ours!r}\nand not\n{motos!r}"
    return found


def seconds_of(action: Callable[[], object], rounds: int) -> float:
    """Processor time of so many rounds, the least of three times, without collections."""
    found = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            started = time.thread_time()
            for _ in range(rounds):
                action()
            found.append(time.thread_time() - started)
    finally:
        gc.enable()
    return min(found)


def target_call(service: str, target: str, operation: str, **parameters: Any) -> Call:
    """A call of a JSON protocol."""
    headers = [
        ("x-amz-target", f"{target}.{operation}"),
        ("content-type", "application/x-amz-json-1.0"),
    ]
    return a_call(service, operation, headers=headers, body=json.dumps(parameters).encode())
