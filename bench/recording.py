"""What recording costs a call, in process: no HTTP, no other process.

The nine calls of ``calls.py`` run through the engine, each request once with a recorder
and once without, in turn; counted is the processor time of this thread, so that what
else the machine does matters little.

    python bench/recording.py [CALLS]
    python bench/recording.py [CALLS] --profile     # where it goes, of the recorded ones

Bias: neither HTTP nor the event loop is in it, so the quotient is lower than what a
client sees; the difference in microseconds is what a client sees, too.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import calls
from client import Response
from perdure.engine.calls import Call
from perdure.engine.core import Engine
from perdure.engine.recording import Recorder
from perdure.gateway.classify import Classifier, RawRequest
from perdure.persistence.journal import Journal
from perdure.persistence.segment import FOLDER
from perdure.persistence.tail import read_tail
from tables import text_table

INSTANCE = "0" * 32
PORT = 4566
PROFILED_LINES = 45


class Inside:
    """Takes the place of ``client.Client``: the engine is here."""

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        self.engine, self.recorder = engine, recorder
        self._classifier = Classifier(default_region=calls.REGION, any_region=False, only=None)
        self.is_recorded = False
        # Of the last call, seconds of processor time.
        self.spent = 0.0
        self.profile: cProfile.Profile | None = None

    def call(self, request: bytes) -> Response:
        """Run one request, recorded or not."""
        call = self._call(request)
        self.engine.recorder = self.recorder if self.is_recorded else None
        self.engine.prepare()
        if self.profile is not None and self.is_recorded:
            self.profile.enable()
        started = time.thread_time()
        answer = self.engine.execute(call, may_park=False)
        self.spent = time.thread_time() - started
        if self.profile is not None:
            self.profile.disable()
        lines = [f"HTTP/1.1 {answer.status} -", *(f"{n}: {v}" for n, v in answer.headers)]
        head = "\r\n".join(lines).encode("latin-1", "replace")
        return Response(answer.status, head, answer.body, closes=False)

    def _call(self, request: bytes) -> Call:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        pairs = [line.split(": ", 1) for line in lines]
        headers = [(name.lower(), value) for name, value in pairs]
        return self._classifier.classify(
            RawRequest(
                method=method,
                scheme="http",
                host=dict(headers)["host"],
                path=path,
                query=query,
                headers=headers,
                first=dict(reversed(headers)),
                body=body,
            )
        )


def opened(folder: Path) -> Journal:
    """A journal in an empty folder."""
    (folder / FOLDER).mkdir()
    tail = read_tail(folder, cut=0, instance=INSTANCE, segment=None, known_durable=0)  # type: ignore[arg-type]
    return Journal.open(folder, after=tail, fingerprint={}, sync="interval")


def measured(name: str, inside: Inside, scenario: calls.Scenario, count: int) -> tuple[float, ...]:
    """Median seconds of one call: without and with a recorder."""
    spent: dict[bool, list[float]] = {False: [], True: []}
    for number, step in enumerate(scenario.steps(name, 2 * count)):
        inside.is_recorded = bool(number % 2)
        response = inside.call(step.request)
        spent[inside.is_recorded].append(inside.spent)
        step.check(response)
        if step.after is not None:
            step.after(response)
    return median(spent[False]), median(spent[True])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("calls", nargs="?", type=int, default=1_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        engine = Engine()
        journal = opened(Path(name))
        inside = Inside(engine, Recorder(journal, lambda: None, lambda *_: None))
        make: Callable[..., Any] = lambda _: inside  # noqa: E731 - a stand-in for a class
        calls.Client = make  # type: ignore[misc, assignment]
        scenario = calls.Scenario(PORT)
        if options.profile:
            inside.profile = cProfile.Profile()
        rows = [["call", "off us", "on us", "recording us", "off / on"]]
        for each in calls.NAMES:
            off, on = measured(each, inside, scenario, options.calls)
            cells = (off * 1e6, on * 1e6, (on - off) * 1e6)
            rows.append([each, *(f"{cell:.1f}" for cell in cells), f"{off / on:.2f}"])
        print(text_table(rows))
        journal.close()
        if inside.profile is not None:
            pstats.Stats(inside.profile).sort_stats("tottime").print_stats(PROFILED_LINES)


if __name__ == "__main__":
    main()
