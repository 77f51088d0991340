"""``make bench-bodies``: what a large S3 object costs in memory, and how fast it is read.

A real server takes an object in parts, is killed, starts again, and gives the object and a
range of it back.  Printed for each phase: the most memory the server had in it, and its
processor time; for the get also MB/s, beside reading the same blobs from the file system in
pieces as large, the best of three each.  Twice: from the disk, after the kernel was asked to
drop the files, and from its page cache, where a read is a copy in memory and the get is
bounded by what a socket of this machine carries, which is printed as well.

    python bench/bodies.py                   # 2,000 MB; needs that much disk, about a minute
    python bench/bodies.py --megabytes 200

Bias: client and server share the machine's cores; the client throws away what it gets and
checks it in another pass.  No other server runs beside it: moto keeps 200 MB in 462 MB.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import peers
from peers import HOME, Running
from tables import text_table

PART_BYTES = 8 << 20
PIECE_BYTES = 1 << 20
ROUNDS = 3
SPARE_BYTES = 1 << 30
RANGE_BYTES = 1000
PATH = "/bench/object"
COLD, WARM = "get, from disk", "get, cached"
RESULT = HOME / "bodies.json"


@dataclass(slots=True)
class Phase:
    """What the server needed in one phase."""

    name: str
    peak_mb: float
    cpu_s: float
    seconds: float
    mb_per_s: float | None = None


class Watch:
    """Memory and processor time of one process, phase by phase."""

    def __init__(self, running: Running) -> None:
        self.folder = Path(f"/proc/{running.process.pid}")
        self.phases: list[Phase] = []

    def phase(self, name: str, work: Callable[[], object], megabytes: float | None = None) -> None:
        """Do something, and note what the server needed for it."""
        # From here on the kernel counts its highest mark anew.
        (self.folder / "clear_refs").write_text("5")
        cpu, started = self._cpu_s(), time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        rate = None if megabytes is None else megabytes / seconds
        self.phases.append(Phase(name, self.peak_mb(), self._cpu_s() - cpu, seconds, rate))

    def peak_mb(self) -> float:
        """The most memory it had since the last phase began, or since it started."""
        found = re.search(r"VmHWM:\s+(\d+) kB", (self.folder / "status").read_text())
        assert found
        return int(found[1]) / 1024

    def _cpu_s(self) -> float:
        fields = (self.folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def part(number: int) -> bytes:
    """What part ``number`` holds: no two parts are alike."""
    return (hashlib.sha256(b"%d" % number).digest() * (PART_BYTES // 32))[:PART_BYTES]


def ask(port: int, method: str, target: str, body: bytes = b"") -> bytes:
    """One request on a connection of its own: the answer's body, or else its ETag."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        data = response.read()
        assert response.status == 200, (response.status, data[:500])
        return data or response.headers.get("ETag", "").encode()
    finally:
        connection.close()


def put(port: int, count: int) -> None:
    """Upload the object in ``count`` parts."""
    started = ask(port, "POST", f"{PATH}?uploads=").decode()
    upload = re.search("<UploadId>(.+)</UploadId>", started)
    assert upload
    rows = []
    for number in range(1, count + 1):
        target = f"{PATH}?partNumber={number}&uploadId={upload[1]}"
        etag = ask(port, "PUT", target, part(number)).decode()
        rows.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    document = f"<CompleteMultipartUpload>{''.join(rows)}</CompleteMultipartUpload>"
    ask(port, "POST", f"{PATH}?uploadId={upload[1]}", document.encode())


def pieces(port: int, **headers: str) -> Iterator[memoryview]:
    """The object as it arrives, each piece in the same memory."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    buffer = memoryview(bytearray(PIECE_BYTES))
    connection.request("GET", PATH, headers=headers)
    response = connection.getresponse()
    assert response.status in (200, 206), response.status
    while size := response.readinto(buffer):
        yield buffer[:size]
    connection.close()


def get(port: int, count: int) -> None:
    """Read all of it and throw it away."""
    assert sum(map(len, pieces(port))) == count * PART_BYTES


def check(port: int, count: int) -> None:
    """Whether it is what was put, and a range of it too."""
    seen, expected = hashlib.sha256(), hashlib.sha256()
    for data in pieces(port):
        seen.update(data)
    for number in range(1, count + 1):
        expected.update(part(number))
    assert seen.digest() == expected.digest(), "another object came back"


def get_range(port: int, count: int) -> None:
    """Read some bytes across the border of two parts."""
    at = count // 2 * PART_BYTES - RANGE_BYTES // 2
    wanted = f"bytes={at}-{at + RANGE_BYTES - 1}"
    found = b"".join(bytes(data) for data in pieces(port, Range=wanted))
    middle = part(count // 2)[-RANGE_BYTES // 2 :] + part(count // 2 + 1)[: RANGE_BYTES // 2]
    assert found == middle, "another range came back"


def blobs(folder: Path) -> list[Path]:
    """The files that hold the bodies."""
    return sorted((folder / "state" / "blobs").glob("??/*"))


def drop(paths: list[Path]) -> None:
    """Let the page cache forget files: their next read is one of the disk."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_files(paths: list[Path]) -> float:
    """Seconds to read all, a piece at a time."""
    buffer = bytearray(PIECE_BYTES)
    started = time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - started


def socket_seconds(megabytes: float) -> float:
    """Seconds that two processes take to send and receive as much, and do nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        child = os.fork()
        if child == 0:
            taken, _ = listening.accept()
            for _ in range(round(megabytes * 1e6 / PIECE_BYTES)):
                taken.sendall(bytes(PIECE_BYTES))
            os._exit(0)
        buffer = bytearray(PIECE_BYTES)
        started = time.perf_counter()
        with socket.create_connection(listening.getsockname()) as connection:
            while connection.recv_into(buffer):
                pass
        seconds = time.perf_counter() - started
        os.waitpid(child, 0)
    return seconds


def measure(folder: Path, count: int) -> tuple[list[Phase], dict[str, float]]:
    """All phases, and the MB/s of reading the files from disk, from memory, and of a socket."""
    megabytes = count * PART_BYTES / 1e6
    with peers.kept(folder) as running:
        watch = Watch(running)
        ask(running.port, "PUT", "/bench")
        watch.phase("put in parts", lambda: put(running.port, count), megabytes)
        first = watch.phases
        running.process.kill()
        running.process.wait()
    with peers.kept(folder) as running:
        watch = Watch(running)
        first.append(Phase("start after a kill", watch.peak_mb(), watch._cpu_s(), running.ready_s))
        watch.phase("get, checked", lambda: check(running.port, count), megabytes)
        paths = blobs(folder)
        for _ in range(ROUNDS):
            drop(paths)
            watch.phase(COLD, lambda: get(running.port, count), megabytes)
        for _ in range(ROUNDS):
            watch.phase(WARM, lambda: get(running.port, count), megabytes)
        rates = {WARM: megabytes / min(read_files(paths) for _ in range(ROUNDS))}
        seconds = []
        for _ in range(ROUNDS):
            drop(paths)
            seconds.append(read_files(paths))
        rates[COLD] = megabytes / min(seconds)
        rates["socket"] = megabytes / min(socket_seconds(megabytes) for _ in range(ROUNDS))
        watch.phase("get a range", lambda: get_range(running.port, count))
        single = b"x" * min(count * PART_BYTES, 200 << 20)
        watch.phase("put in one", lambda: ask(running.port, "PUT", "/bench/one", single))
    return [*first, *watch.phases], rates


def main() -> None:
    """Measure, print."""
    options = _options()
    count = max(2, options.megabytes * 1_000_000 // PART_BYTES)
    with tempfile.TemporaryDirectory(prefix="bodies-", dir=options.folder) as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        needed = count * PART_BYTES + SPARE_BYTES
        if free < needed:
            sys.exit(f"{folder}: {free} bytes are free, {needed} are needed")
        phases, rates = measure(folder, count)
    best = {n: max(p.mb_per_s or 0 for p in phases if p.name == n) for n in (COLD, WARM)}
    rows = [
        [p.name, f"{p.peak_mb:.0f}", f"{p.cpu_s:.2f}", f"{p.seconds:.2f}", _rate(p.mb_per_s)]
        for p in phases
    ]
    rows += [[f"(files: {n})", "", "", "", _rate(rates[n])] for n in (COLD, WARM)]
    rows.append(["(a bare socket)", "", "", "", _rate(rates["socket"])])
    print(text_table([["phase", "peak RSS MB", "CPU s", "seconds", "MB/s"], *rows]))
    ratios = {n: best[n] / rates[n] for n in best}
    size, peak = count * PART_BYTES / 1e6, max(p.peak_mb for p in phases)
    print(f"{size:.0f} MB: at most {peak:.0f} MB of memory")
    print("get / read: " + ", ".join(f"{n.partition(', ')[2]} {r:.2f}" for n, r in ratios.items()))
    result = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "megabytes": size,
        "peak_mb": peak,
        "get_mb_per_s": best,
        "read_mb_per_s": rates,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--folder", help="where the state directory is made; default: TMPDIR")
    return parser.parse_args()


if __name__ == "__main__":
    main()
