"""``make bench-large``: how a project resumes that holds many items, messages and objects.

Per size, on one state directory: filled through the API and stopped.  Then, five times,
started, read once from each service, and stopped; and five times written to 1,000 times
and stopped, started, written to, killed with SIGKILL and started once more.  Last, 1 % of
the items are changed and a checkpoint is asked for.  Size 0 is an empty directory: the
floor, with the same reads, so that what imports and first stores cost stands apart.
Sizes take turns, so that all see a machine's good and bad minutes; figures are medians.

    python bench/large.py [--sizes 0 10000 100000]      # 1000000 takes ten minutes

Bias: it is Perdure beside itself.  Objects are 1,000 at every size but 0, of 1 KB; parameters
(SSM), log events and datapoints of a metric as many as items, up to 10,000.
Fill and reads are one connection's.  Bytes written are what the kernel counts for the
process (``write_bytes`` of /proc/<pid>/io), children included; a file system of its own
may write more.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import peers
from calls import Builder
from peers import HOME, Running
from stall import SAVE, TABLE, name, patient, put_items
from tables import text_table

SIZES = (0, 10_000, 100_000)
OBJECTS = 1_000
# What is there besides, for the first reads of their services.
MORE = ("ssm", "logs", "cloudwatch")
OTHERS_MAX = 10_000
PAGE = 500
BURST = 1_000
ROUNDS = 5
CHANGED = 0.01
BATCH = 10
BODY = b"x" * 1024
RESULT = HOME / "large.json"
LABELS = {
    "stop_s": "clean stop after the fill, s",
    "ready_s": "ready after it, s",
    "rss_mb": "memory when ready, MB",
    "dynamodb_ms": "first GetItem, ms",
    "sqs_ms": "first ReceiveMessage, ms",
    "s3_ms": "first GetObject, ms",
    "ssm_ms": "first GetParameter, ms (10,000 at most)",
    "logs_ms": "first GetLogEvents, ms (the same)",
    "cloudwatch_ms": "first GetMetricStatistics, ms (the same)",
    "burst_stop_s": "clean stop after 1,000 writes, s",
    "killed_ready_s": "ready after SIGKILL behind 1,000 writes, s",
    "disk_mb": "on disk, MB: items, messages, objects",
    "more_mb": "the same: parameters, events, datapoints",
    "checkpoint_mb": "written by a checkpoint after 1 % of the items changed, MB",
}


class Project:
    """What is filled in and read, by prepared requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.client = patient(port)
        self._build = Builder(port).request

    def do(self, service: str, operation: str, **parameters: Any) -> Any:
        """One call that must work."""
        response = self.client.call(self._build(service, operation, **parameters))
        assert response.status == 200, response.body[:300]
        return response

    def create(self) -> None:
        """The containers."""
        self.do(
            "dynamodb",
            "create_table",
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.do("sqs", "create_queue", QueueName="large")
        self.do("s3", "create_bucket", Bucket="large")
        self.do("logs", "create_log_group", logGroupName="large")
        self.do("logs", "create_log_stream", logGroupName="large", logStreamName="large")

    @property
    def queue(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}/000000000000/large"

    def fill(self, size: int) -> None:
        """Items and messages; objects."""
        put_items(self.port, range(size), "first")
        for first in range(0, size, BATCH):
            entries = [
                {"Id": str(n), "MessageBody": f"message {first + n} " + "m" * 50}
                for n in range(BATCH)
            ]
            self.do("sqs", "send_message_batch", QueueUrl=self.queue, Entries=entries)
        for number in range(OBJECTS if size else 1):
            self.do("s3", "put_object", Bucket="large", Key=f"o-{number:05d}", Body=BODY)
        self._fill_others(min(size, OTHERS_MAX) or 1)

    def _fill_others(self, size: int) -> None:
        now = time.time()
        for number in range(size):
            value = {"Name": f"/large/{number}", "Value": f"value {number}", "Type": "String"}
            self.do("ssm", "put_parameter", **value)
        for first in range(0, size, PAGE):
            numbers = range(first, min(first + PAGE, size))
            events = [{"timestamp": int(now * 1000), "message": f"event {n}"} for n in numbers]
            log = {"logGroupName": "large", "logStreamName": "large"}
            self.do("logs", "put_log_events", **log, logEvents=events)
            data = [{"MetricName": "large", "Value": float(n), "Timestamp": now} for n in numbers]
            self.do("cloudwatch", "put_metric_data", Namespace="large", MetricData=data)

    def first_reads(self) -> dict[str, float]:
        """Milliseconds of the first read of each service, size 0 having one of each."""
        build = self._build
        requests = {
            "dynamodb_ms": build("dynamodb", "get_item", TableName=TABLE, Key=_key(0)),
            "sqs_ms": build("sqs", "receive_message", QueueUrl=self.queue),
            "s3_ms": build("s3", "get_object", Bucket="large", Key="o-00000"),
            "ssm_ms": build("ssm", "get_parameter", Name="/large/0"),
            "logs_ms": build(
                "logs", "get_log_events", logGroupName="large", logStreamName="large", limit=1
            ),
            "cloudwatch_ms": build(
                "cloudwatch",
                "get_metric_statistics",
                Namespace="large",
                MetricName="large",
                StartTime=time.time() - 60,
                EndTime=time.time() - 59,
                Period=60,
                Statistics=["Sum"],
            ),
        }
        spent = {}
        for label, request in requests.items():
            started = time.perf_counter()
            response = self.client.call(request)
            spent[label] = (time.perf_counter() - started) * 1e3
            assert response.status == 200, response.body[:300]
        return spent

    def burst(self) -> None:
        """1,000 writes of three kinds."""
        for number in range(BURST):
            if number % 3 == 0:
                item = {**_key(number), "v": {"S": f"burst {number}"}}
                self.do("dynamodb", "put_item", TableName=TABLE, Item=item)
            elif number % 3 == 1:
                self.do("sqs", "send_message", QueueUrl=self.queue, MessageBody=f"b {number}")
            else:
                self.do("s3", "put_object", Bucket="large", Key=f"b-{number}", Body=BODY)


def _key(number: int) -> dict[str, Any]:
    return {"id": {"S": name(number)}}


def stopped(running: Running) -> float:
    """Stop it cleanly; seconds."""
    started = time.perf_counter()
    running.process.terminate()
    running.process.wait(600)
    return time.perf_counter() - started


def filled(size: int, folder: Path) -> dict[str, float]:
    """Make a project of that size; what its stop took, and its disk."""
    with peers.kept(folder) as running:
        project = Project(running.port)
        project.create()
        project.fill(size)
        stop_s = stopped(running)
    all_mb = _disk_mb(folder / "state")
    more_mb = sum(_disk_mb(folder / "state" / name) for name in MORE)
    return {"stop_s": stop_s, "more_mb": more_mb, "disk_mb": all_mb - more_mb}


def resumed(folder: Path) -> dict[str, float]:
    """Start it, and read of each service."""
    with peers.kept(folder) as running:
        found = {"ready_s": running.ready_s}
        found["rss_mb"] = peers.memory(running.process.pid).rss_mb
        found |= Project(running.port).first_reads()
        stopped(running)
    return found


def burdened(folder: Path) -> dict[str, float]:
    """Stop and kill it right behind many writes."""
    found = {}
    with peers.kept(folder) as running:
        Project(running.port).burst()
        found["burst_stop_s"] = stopped(running)
    with peers.kept(folder) as running:
        Project(running.port).burst()
        running.process.kill()
        running.process.wait()
    with peers.kept(folder) as running:
        found["killed_ready_s"] = running.ready_s
        stopped(running)
    return found


def measure(sizes: list[int], folder: Path) -> dict[int, dict[str, float]]:
    """All figures: medians of rounds, in each of which every size has its turn."""
    folders = {size: folder / str(size) for size in sizes}
    results: dict[int, dict[str, float]] = {}
    for size, home in folders.items():
        home.mkdir()
        results[size] = filled(size, home)
        print(f"filled with {size:,}", flush=True)
    rounds: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for of in (resumed, burdened):
        for _ in range(ROUNDS):
            for size, home in folders.items():
                rounds[size].append(of(home))
    for size, home in folders.items():
        labels = {label for found in rounds[size] for label in found}
        for label in labels:
            results[size][label] = median(f[label] for f in rounds[size] if label in f)
        with peers.kept(home) as running:
            results[size]["checkpoint_mb"] = _checkpoint_mb(running, size)
    return results


def _checkpoint_mb(running: Running, size: int) -> float:
    """What a save writes after 1 % of the items were changed."""
    client = patient(running.port)
    assert client.call(SAVE).status == 200
    put_items(running.port, range(int(size * CHANGED)), "changed")
    before = _written(running.process.pid)
    assert client.call(SAVE).status == 200
    return (_written(running.process.pid) - before) / 1e6


def _written(pid: int) -> int:
    """Bytes written to disk by the process, and by children it has waited for."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def _disk_mb(folder: Path) -> float:
    """Blocks in use, but for the journal, whose space is allocated ahead."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.parent.name != "journal"]
    return sum(path.stat().st_blocks * 512 for path in kept) / 1e6


def table(results: dict[int, dict[str, float]]) -> list[list[str]]:
    """A row a figure, a column a size."""
    rows = [["", *(f"{size:,}" for size in results)]]
    for key, label in LABELS.items():
        rows.append([label, *(f"{found[key]:,.2f}" for found in results.values())])
    return rows


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=list(SIZES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-", ignore_cleanup_errors=True) as folder:
        results = measure(options.sizes, Path(folder))
    print(text_table(table(results)), flush=True)
    document = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "labels": LABELS,
        "sizes": results,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
