"""``make bench-stall``: how long calls wait while a checkpoint of a large store runs.

A real server holds 100,000 DynamoDB items.  Eight connections read and write single
items, each at a bounded rate.  Every few seconds 1 % of the items are changed and a
checkpoint is asked for.  Printed: the longest wait and the 99.9th percentile, of the
calls that were under way while a checkpoint ran and of the others, once with the large
store captured in a forked child, as it is, and once with all captured in process.

A call's time runs from when it was due, not from when it could be sent: a stall that
holds up a connection is seen by every call it delays.

    python bench/stall.py                      # about three minutes
    python bench/stall.py --items 20000        # rough

Bias: client and server share the machine's cores, and so does the child.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import selectors
import shutil
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import journal_page
import peers
from calls import Builder
from client import Client
from peers import HOME, PERDURE
from tables import text_table

TABLE = "stall"
CONNECTIONS = 8
BATCH = 25
CHANGED = 0.01
QUIET_S = 2.0
RESULT = HOME / "stall.json"
SAVE = b"POST /_localstack/state/save HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
# No setting of the server: nobody but this page wants the second one.
IN_PROCESS = (
    "import sys; from perdure.gateway import cuts; cuts.BUDGET_SECONDS = float('inf');"
    "from perdure.cli.main import main; sys.argv[0] = 'perdure'; main()"
)
MODES = {"forked": ("-m", "perdure"), "in process": ("-c", IN_PROCESS)}


@dataclass(slots=True)
class Found:
    """Latencies in seconds, of calls during checkpoints and of all others."""

    during: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    checkpoints_s: list[float] = field(default_factory=list)
    rss_mb: float = 0.0


class Load:
    """Calls on eight connections at a fixed rate, in a thread of its own."""

    def __init__(self, port: int, items: int, rate: float) -> None:
        self.items, self.interval = items, CONNECTIONS / rate
        self.finished: list[tuple[float, float]] = []  # due, answered
        self._builder = Builder(port)
        self._clients = [Client(port) for _ in range(CONNECTIONS)]
        self.requests = [self._request(n) for n in range(400)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _request(self, number: int) -> bytes:
        key = {"id": {"S": name((number * 7919) % self.items)}}
        if number % 2:
            return self._builder.request("dynamodb", "get_item", TableName=TABLE, Key=key)
        item = {**key, "v": {"S": f"load {number} " + "x" * 60}}
        return self._builder.request("dynamodb", "put_item", TableName=TABLE, Item=item)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Calls are made while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        start = time.perf_counter()
        due = [start + n * self.interval / CONNECTIONS for n in range(CONNECTIONS)]
        busy: dict[int, bytes] = {}
        requests = deque(self.requests)
        while not self._stop.is_set():
            now = time.perf_counter()
            for number, client in enumerate(self._clients):
                if number not in busy and due[number] <= now:
                    busy[number] = requests[0]
                    requests.rotate(-1)
                    client.send(busy[number])
                    selector.register(client.fileno(), selectors.EVENT_READ, number)
            wake = min((d for n, d in enumerate(due) if n not in busy), default=now + 0.05)
            for ready, _ in selector.select(max(0.0, min(wake - time.perf_counter(), 0.05))):
                number = ready.data
                selector.unregister(ready.fd)
                response = self._clients[number].receive(busy.pop(number))
                assert response.status == 200, response.body
                self.finished.append((due[number], time.perf_counter()))
                # The next one is due when it would have been without any stall.
                due[number] += self.interval


def patient(port: int) -> Client:
    """A connection on which a save may take its time."""
    opened = Client(port)
    opened._connect()
    assert opened._sock is not None
    opened._sock.settimeout(120)
    return opened


def name(number: int) -> str:
    return f"item-{number:07d}"


def put_items(port: int, numbers: range, text: str) -> None:
    """BatchWriteItem; the requests are built by hand, as signing 4,000 takes longer than they."""
    client = Client(port)
    built = Builder(port).request("dynamodb", "batch_write_item", **_batch(range(1), text))
    head = built.partition(b"\r\n\r\n")[0].split(b"\r\n")
    lines = [line for line in head if not line.lower().startswith(b"content-length")]
    for first in range(numbers.start, numbers.stop, BATCH):
        body = json.dumps(_batch(range(first, min(first + BATCH, numbers.stop)), text)).encode()
        request = b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])
        response = client.call(request)
        assert response.status == 200, response.body
    client.close()


def _batch(numbers: range, text: str) -> dict[str, Any]:
    rows = [{"id": {"S": name(n)}, "v": {"S": f"{text} {n} " + "x" * 60}} for n in numbers]
    return {"RequestItems": {TABLE: [{"PutRequest": {"Item": row}} for row in rows]}}


@contextlib.contextmanager
def server(mode: str, folder: Path) -> Iterator[peers.Running]:
    """A server on a state directory that is kept; saves only when asked."""
    port = peers.free_port()
    command = [sys.executable, *MODES[mode], "start", "--listen", f"127.0.0.1:{port}"]
    environment = {
        **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")},
        "PYTHONPATH": str(peers.ROOT / "src"),
        "DATA_DIR": str(folder / "state"),
        "SNAPSHOT_SAVE_STRATEGY": "MANUAL",
        "SNAPSHOT_LOAD_STRATEGY": "ON_STARTUP",
        "TMPDIR": str(folder),
    }
    ready = peers.persistence_ready
    with peers.spawned(
        command, port, environment, PERDURE.health, cwd=str(folder), ready=ready
    ) as running:
        yield running


def prepare(folder: Path, items: int) -> None:
    """Fill a state directory, once for both servers."""
    with server("forked", folder) as running:
        request = Builder(running.port).request(
            "dynamodb",
            "create_table",
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client = patient(running.port)
        assert client.call(request).status == 200
        put_items(running.port, range(items), "first")
        assert client.call(SAVE).status == 200
        client.close()


def measure(mode: str, folder: Path, options: argparse.Namespace) -> Found:
    """Checkpoints under load, after one that is not counted."""
    found, spans, changing = Found(), [], []
    with server(mode, folder) as running:
        saver = patient(running.port)
        assert saver.call(SAVE).status == 200
        load = Load(running.port, options.items, options.rate)
        # The first calls of a process import their service, which is no stall.
        for request in load.requests[:2]:
            assert saver.call(request).status == 200
        with load.running():
            for number in range(options.checkpoints):
                time.sleep(QUIET_S)
                changed = int(options.items * CHANGED)
                started = time.perf_counter()
                put_items(running.port, range(changed), f"round {number}")
                changing.append((started, time.perf_counter()))
                time.sleep(QUIET_S)
                started = time.perf_counter()
                response = saver.call(SAVE)
                assert response.status == 200, response.body
                spans.append((started, time.perf_counter()))
            found.rss_mb = peers.memory(running.process.pid).rss_mb
            time.sleep(QUIET_S)
        saver.close()
    found.checkpoints_s = [end - start for start, end in spans]
    for due, answered in load.finished:
        if _overlaps(due, answered, spans):
            found.during.append(answered - due)
        elif not _overlaps(due, answered, changing):
            found.quiet.append(answered - due)
    return found


def _overlaps(due: float, answered: float, spans: list[tuple[float, float]]) -> bool:
    return any(due < end and answered > start for start, end in spans)


def main() -> None:
    """Measure both, print."""
    options = _options()
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory(prefix="stall-") as name_:
        folder = Path(name_)
        (folder / "prepared").mkdir()
        prepare(folder / "prepared", options.items)
        for mode in MODES:
            shutil.copytree(folder / "prepared", folder / mode)
            found[mode] = measure(mode, folder / mode, options)
    print(f"{options.items:,} items, {options.rate:g} calls/s on {CONNECTIONS} connections")
    result = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "items": options.items,
        "rate": options.rate,
        "connections": CONNECTIONS,
        "modes": {mode: _summary(each) for mode, each in found.items()},
    }
    print(text_table(journal_page.stalls(result)))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def _summary(found: Found) -> dict[str, float]:
    row: dict[str, float] = {"checkpoint_s": max(found.checkpoints_s), "rss_mb": found.rss_mb}
    for what in ("during", "quiet"):
        seconds = sorted(getattr(found, what))
        row[f"{what}_calls"] = len(seconds)
        for label, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)):
            place = min(int(len(seconds) * share), len(seconds) - 1)
            row[f"{what}_{label}_ms"] = seconds[place] * 1e3
    return row


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200.0, help="calls a second in all")
    parser.add_argument("--checkpoints", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
