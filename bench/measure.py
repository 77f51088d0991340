"""What is measured of a server: spawn to health, idle memory, calls a second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median, quantiles

import peers
from calls import AnswerError, Scenario, Step
from client import Client
from peers import Memory, Peer

SETTLE_S = 1.0
SAMPLE_EVERY = 25
WARM_UP_CALLS = 30


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure; the same for every server."""

    spawns: int
    rounds: int
    calls: int
    seconds: float
    records: int  # in the journal that is recovered


FULL = Effort(spawns=5, rounds=7, calls=400, seconds=1.0, records=5_000)
QUICK = Effort(spawns=2, rounds=3, calls=100, seconds=0.25, records=600)


@dataclass(slots=True)
class Series:
    """One call against one server: the rate of each round, and every latency."""

    rates: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    client_cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Calls a second, median of the rounds."""
        return median(self.rates)

    def summary(self) -> dict[str, object]:
        """The series as plain JSON."""
        cuts = quantiles(self.latencies_s, n=100)
        return {
            "calls_per_second": round(self.rate, 1),
            "rounds": [round(rate, 1) for rate in self.rates],
            "calls": len(self.latencies_s),
            "latency_ms": {
                "p50": round(cuts[49] * 1e3, 3),
                "p99": round(cuts[98] * 1e3, 3),
                "max": round(max(self.latencies_s) * 1e3, 3),
            },
            "client_cpu_us_per_call": round(self.client_cpu_s / len(self.latencies_s) * 1e6, 1),
        }


@dataclass(frozen=True, slots=True)
class Start:
    """How a server starts and what it weighs before its first call."""

    ready_s: list[float]
    memory: Memory


def starts(pythons: Mapping[Peer, str], spawns: int) -> dict[Peer, Start]:
    """Spawn every server ``spawns`` times, in turn.

    One more spawn comes first and is not counted: it writes the byte-code caches and
    reads the files into the page cache.  Memory is read once, in that spawn, a second
    after it was ready.
    """
    memories: dict[Peer, Memory] = {}
    for peer, python in pythons.items():
        with peers.running(peer, python) as server:
            time.sleep(SETTLE_S)
            memories[peer] = peers.memory(server.process.pid)
    ready: dict[Peer, list[float]] = {peer: [] for peer in pythons}
    for _ in range(spawns):
        for peer, python in pythons.items():
            with peers.running(peer, python) as server:
                ready[peer].append(server.ready_s)
    return {peer: Start(ready[peer], memories[peer]) for peer in pythons}


@dataclass(slots=True)
class Bench:
    """One running server under load: its scenario, connection, and results."""

    port: int
    scenario: Scenario = field(init=False)
    client: Client = field(init=False)
    series: dict[str, Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = Client(self.port)
        self.scenario = Scenario(self.port)

    def warm_up(self, name: str) -> None:
        """Call a few times without counting: imports, caches, first-use work."""
        self._run(name, WARM_UP_CALLS, 1.0, None)

    def round(self, name: str, effort: Effort) -> None:
        """Measure up to ``effort.calls`` calls or ``effort.seconds``, whichever ends first."""
        series = self.series.setdefault(name, Series())
        series.rates.append(self._run(name, effort.calls, effort.seconds, series))

    def _run(self, name: str, calls: int, seconds: float, series: Series | None) -> float:
        """Calls a second, from the time spent inside calls; checks lie outside."""
        spent, done = 0.0, 0
        for step in self.scenario.steps(name, calls):
            spent += self._timed(step, series, checked=done % SAMPLE_EVERY == 0)
            done += 1
            if spent >= seconds:
                break
        return done / spent

    def _timed(self, step: Step, series: Series | None, *, checked: bool) -> float:
        """Seconds of one call, from the first byte out to the last byte in."""
        cpu = time.process_time()
        start = time.perf_counter()
        response = self.client.call(step.request)
        elapsed = time.perf_counter() - start
        cpu = time.process_time() - cpu
        if not 200 <= response.status < 300:
            raise AnswerError(f"{response.head[:200]!r} {response.body[:300]!r}")
        if checked:
            step.check(response)
        if step.after is not None:
            step.after(response)
        if series is not None:
            series.latencies_s.append(elapsed)
            series.client_cpu_s += cpu
        return elapsed


def rounds(benches: Iterable[Bench], names: tuple[str, ...], effort: Effort) -> None:
    """Measure every call against every server, in rounds.

    Within a round each call visits every server before the next call starts, and the
    server visited first changes from round to round, so that a slow minute of the
    machine falls on all of them.
    """
    order = list(benches)
    for bench in order:
        for name in names:
            bench.warm_up(name)
    for _ in range(effort.rounds):
        for name in names:
            for bench in order:
                bench.round(name, effort)
        order.append(order.pop(0))
