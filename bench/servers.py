"""``make bench-servers``: which ASGI server carries Perdure?

The same tiny application (``servers_app.py``) under uvicorn (uvloop, httptools),
hypercorn (uvloop) and granian, one worker each: calls a second on one keep-alive
connection and on 16, with about 0.4 ms of work a call, as moto needs, and with none,
which shows the server's own cost; time from spawn to the first answer; memory; and by
probe, not by documentation, what each does with ``Expect: 100-continue``, an HTTP/2
preface, and TLS beside plain HTTP on one port.

``uvicorn + switch`` is uvicorn with a protocol class of ours, which chooses plain HTTP
or TLS by the first bytes.

Bias: Perdure already ran on uvicorn when this was written, and a server in C or Rust
with several workers would gain from cores that one worker, which is what an engine that
runs one call at a time needs, cannot use.  The 16 connections are driven by one client
thread that shares the machine with the server.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import select
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import peers
import report
from client import Client, Response
from peers import HOME, Running
from servers_work import calibrated

FOLDER = Path(__file__).resolve().parent
REQUIREMENTS = FOLDER / "requirements-servers.txt"
RESULT = HOME / "servers.json"
WORK_US = 400
CONNECTIONS = 16
BODY = b"b" * 1024
REQUEST = (
    b"POST /bench HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
    b"Content-Length: 1024\r\n\r\n" + BODY
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
SETTINGS_FRAME, GOAWAY_FRAME = 4, 7
PROBE_TIMEOUT_S = 1.0
UVICORN = (
    "uvicorn servers_app:app --loop uvloop --no-access-log --log-level error --lifespan off "
    "--host 127.0.0.1 --port {port} --http"
)
GRANIAN = "granian servers_app:app --interface asgi --loop uvloop --workers 1 --no-ws"
CANDIDATES = {  # the command line, and what is added to it for TLS
    "uvicorn": (f"{UVICORN} httptools", "--ssl-certfile {cert} --ssl-keyfile {key}"),
    "uvicorn + switch": (f"{UVICORN} servers_app:SwitchProtocol", ""),
    "hypercorn": (
        "hypercorn servers_app:app -k uvloop -w 0 -b 127.0.0.1:{port} --log-level error",
        "--certfile {cert} --keyfile {key}",
    ),
    "granian": (
        f"{GRANIAN} --host 127.0.0.1 --port {{port}} --log-level error",
        "--ssl-certificate {cert} --ssl-keyfile {key}",
    ),
}


@dataclass(slots=True)
class Found:
    """What was measured of one server."""

    ready_s: list[float] = field(default_factory=list)
    rss_mb: float = 0.0
    rates: dict[str, list[float]] = field(default_factory=dict)
    probes: dict[str, str] = field(default_factory=dict)


class Hall:
    """Starts the candidates with one interpreter and one certificate."""

    def __init__(self, python: Path, folder: Path, repeat: int) -> None:
        self._python = python
        self._folder = folder
        self._repeat = repeat
        command = [python, "-m", "trustme", "-q", "-i", "127.0.0.1", "-d", folder]
        subprocess.run(command, check=True)

    @contextmanager
    def server(self, name: str, *, work: bool, tls: bool = False) -> Iterator[Running]:
        """Run one candidate."""
        port = peers.free_port()
        plain, secured = CANDIDATES[name]
        names = {
            "port": port,
            "cert": self._folder / "server.pem",
            "key": self._folder / "server.key",
        }
        words = f"{plain} {secured if tls else ''}".split()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(FOLDER),
            "BENCH_REPEAT": str(self._repeat if work else 0),
            "BENCH_CERT": str(names["cert"]),
            "BENCH_KEY": str(names["key"]),
        }
        command = [str(self._python), "-m", *(word.format(**names) for word in words)]
        with peers.spawned(
            command,
            port,
            environment,
            "/",
            cwd=str(self._folder),
            ready=None if tls else _success,
        ) as running:
            yield running


def _success(response: Response) -> bool:
    return response.status == 200


def main() -> None:
    """Measure and print."""
    options = _options()
    rounds, seconds = (2, 0.4) if options.quick else (5, 1.5)
    python = peers.environment_python("servers", "-r", str(REQUIREMENTS))
    repeat, work_us = calibrated(WORK_US)
    found = {name: Found() for name in CANDIDATES}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        hall = Hall(python, Path(folder), repeat)
        for name in CANDIDATES:
            _measure_start(hall, name, found[name], spawns=rounds)
            _probe(hall, name, found[name])
        for work in (True, False):
            _measure_rates(hall, found, work=work, rounds=rounds, seconds=seconds)
    versions = _versions(python)
    table = _table(found)
    print(f"work {work_us:.0f} µs a call; {json.dumps(versions)}")
    print(report.text_table(table))
    RESULT.write_text(json.dumps(_as_json(found, versions, work_us), indent=2) + "\n")
    if options.markdown:
        print(report.markdown_table(table))


def _measure_start(hall: Hall, name: str, found: Found, *, spawns: int) -> None:
    """One spawn for memory, which also warms the caches, then the counted ones."""
    with hall.server(name, work=False) as server:
        time.sleep(1)
        found.rss_mb = peers.memory(server.process.pid).rss_mb
    for _ in range(spawns):
        with hall.server(name, work=False) as server:
            found.ready_s.append(server.ready_s)


def _measure_rates(
    hall: Hall, found: dict[str, Found], *, work: bool, rounds: int, seconds: float
) -> None:
    """All servers run side by side, one is loaded at a time, in turn."""
    label = f"{WORK_US} µs" if work else "no work"
    with ExitStack() as stack:
        running = [(name, stack.enter_context(hall.server(name, work=work))) for name in found]
        for name, server in running:
            _rate(server.port, 1, 0.3)
            found[name].rates |= {f"{label}, 1": [], f"{label}, {CONNECTIONS}": []}
        for _ in range(rounds):
            for connections in (1, CONNECTIONS):
                for name, server in running:
                    rate = _rate(server.port, connections, seconds)
                    found[name].rates[f"{label}, {connections}"].append(rate)
            running.append(running.pop(0))


def _rate(port: int, connections: int, seconds: float) -> float:
    """Calls a second; each connection has one call under way at all times."""
    clients = [Client(port) for _ in range(connections)]
    if connections == 1:
        return _rate_alone(clients[0], seconds)
    poll = select.epoll()
    by_number = {}
    for client in clients:
        client.send(REQUEST)
        by_number[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLIN)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for number, _ in poll.poll(peers.READY_TIMEOUT_S):
            _checked(by_number[number].receive(REQUEST))
            by_number[number].send(REQUEST)
            done += 1
    elapsed = time.perf_counter() - start
    for client in clients:
        client.receive(REQUEST)
        client.close()
    poll.close()
    return done / elapsed


def _rate_alone(client: Client, seconds: float) -> float:
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        _checked(client.call(REQUEST))
        done += 1
    client.close()
    return done / elapsed


def _checked(response: Response) -> None:
    if response.status != 200 or len(response.body) != 1024:
        raise peers.PeerError(f"wrong answer: {response.head!r}")


def _probe(hall: Hall, name: str, found: Found) -> None:
    with hall.server(name, work=False) as server:
        found.probes["100-continue"] = _answers_expect(server.port)
        found.probes["HTTP/2 preface"] = _answers_preface(server.port)
    with hall.server(name, work=False, tls=True) as server:
        time.sleep(1)  # the port may open before the worker behind it is there
        found.probes["TLS + plain"] = _answers_both(server.port)


def _answers_expect(port: int) -> str:
    head, _, body = REQUEST.partition(b"\r\n\r\n")
    with _connected(port) as sock:
        sock.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        if not _received(sock).startswith(b"HTTP/1.1 100"):
            return "no"
        sock.sendall(body)
        return "yes" if _received(sock).startswith(b"HTTP/1.1 200") else "no"


def _answers_preface(port: int) -> str:
    with _connected(port) as sock:
        sock.sendall(PREFACE)
        answer = _received(sock)
    if answer.startswith(b"HTTP/"):
        return answer.partition(b"\r\n")[0].decode("latin-1")
    kinds = {SETTINGS_FRAME: "yes", GOAWAY_FRAME: "recognised, refused"}
    return kinds.get(answer[3], "unknown frame") if len(answer) > 3 else "closes"


def _answers_both(port: int) -> str:
    """Whether one port answers a TLS client and a plain one."""
    plain = tls = False
    with _connected(port) as sock:
        sock.sendall(REQUEST)
        plain = _received(sock).startswith(b"HTTP/1.1 200")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with context.wrap_socket(_connected(port)) as sock:
            sock.sendall(REQUEST)
            tls = _received(sock).startswith(b"HTTP/1.1 200")
    except OSError:
        tls = False
    return {(True, True): "both", (True, False): "plain only", (False, True): "TLS only"}.get(
        (plain, tls), "neither"
    )


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PROBE_TIMEOUT_S)


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""


def _versions(python: Path) -> dict[str, str]:
    names = ("uvicorn", "uvloop", "httptools", "hypercorn", "granian")
    code = "import importlib.metadata as m,sys;print(*map(m.version, sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.split(), strict=True))


def _table(found: dict[str, Found]) -> list[list[str]]:
    first = next(iter(found.values()))
    table = [["", *found]]
    for label in first.rates:
        base = median(first.rates[label])
        rates = [median(f.rates[label]) for f in found.values()]
        noun = "connection" if label.endswith(" 1") else "connections"
        cells = [f"{rate:,.0f} ({rate / base:.2f})" for rate in rates]
        table.append([f"{label} {noun}, calls/s", *cells])
    table.append(["spawn to ready, s", *(f"{median(f.ready_s):.2f}" for f in found.values())])
    table.append(["idle RSS, MB", *(f"{f.rss_mb:.0f}" for f in found.values())])
    table += [[label, *(f.probes[label] for f in found.values())] for label in first.probes]
    return table


def _as_json(found: dict[str, Found], versions: dict[str, str], work_us: float) -> dict[str, Any]:
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": report.machine(),
        "versions": versions,
        "work_us": round(work_us),
        "servers": {
            name: {
                "ready_s": f.ready_s,
                "rss_mb": f.rss_mb,
                "calls_per_second": f.rates,
                "probes": f.probes,
            }
            for name, f in found.items()
        },
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="rough figures, half a minute")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
