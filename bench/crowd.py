"""Many connections at once against one server, each with one call under way.

One thread serves all of them: as soon as a connection has its answer, it sends the next
request.  A batch runs from its first byte sent to the last answer received; what comes
before and after (a queue filled, messages deleted, answers checked) is not timed.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from calls import QUEUE_DEPTH_MAX, AnswerError, Step
from client import Client, Response
from measure import SAMPLE_EVERY, Bench, Series

# Long beside its end, when connections fall idle one after the other.
BATCH = 160
Answered = tuple[Step, Response, float]  # seconds from request to answer


@dataclass(slots=True)
class Crowd(Bench):
    """As ``Bench``, over ``connections`` connections; its latencies hold the queueing, too."""

    connections: int = 16
    clients: list[Client] = field(init=False)

    def __post_init__(self) -> None:
        Bench.__post_init__(self)
        self.clients = [Client(self.port) for _ in range(self.connections)]

    def _run(self, name: str, calls: int, seconds: float, series: Series | None) -> float:
        """Calls a second, from the time of the batches."""
        size = QUEUE_DEPTH_MAX if name.startswith("sqs-") else BATCH
        spent, done = 0.0, 0
        while done < calls and spent < seconds:
            steps = self.scenario.batch(name, min(size, calls - done))
            cpu, start = time.process_time(), time.perf_counter()
            answered = _all(self.clients, iter(steps))
            spent += time.perf_counter() - start
            if series is not None:
                series.client_cpu_s += time.process_time() - cpu
                series.latencies_s += [elapsed for _, _, elapsed in answered]
            _look_at(answered)
            done += len(steps)
        return done / spent


def _all(clients: list[Client], steps: Iterator[Step]) -> list[Answered]:
    """Run every step, on whichever connection is free."""
    busy: dict[int, tuple[Step, float]] = {}
    answered: list[Answered] = []
    with selectors.DefaultSelector() as selector:

        def go_on(number: int) -> None:
            step = next(steps, None)
            if step is None:
                return
            busy[number] = step, time.perf_counter()
            clients[number].send(step.request)
            selector.register(clients[number].fileno(), selectors.EVENT_READ, number)

        for number in range(len(clients)):
            go_on(number)
        while busy:
            for ready, _ in selector.select():
                # Before it is read: a server that closes would take the descriptor along.
                selector.unregister(ready.fd)
                step, sent = busy.pop(ready.data)
                response = clients[ready.data].receive(step.request)
                answered.append((step, response, time.perf_counter() - sent))
                go_on(ready.data)
    return answered


def _look_at(answered: list[Answered]) -> None:
    """Check as ``Bench`` does, then do what follows each step."""
    for place, (step, response, _) in enumerate(answered):
        if not 200 <= response.status < 300:
            raise AnswerError(f"{response.head[:200]!r} {response.body[:300]!r}")
        if place % SAMPLE_EVERY == 0:
            step.check(response)
        if step.after is not None:
            step.after(response)
