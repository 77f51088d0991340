"""A command line run in this process, and a small server to talk to."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from perdure import runfile
from perdure.cli.main import main
from perdure.config import PREFIX, SETTINGS, Address
from perdure.runfile import RunRecord

HEALTH = "/_localstack/health"


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@dataclass
class FakeServer:
    """Answers what it is told to and remembers what it was asked."""

    address: Address
    answers: dict[tuple[str, str], tuple[int, bytes]] = field(default_factory=dict)
    health: Any = None
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, status: int, body: bytes | dict | str = b"") -> None:
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        if isinstance(body, str):
            body = body.encode()
        self.answers["POST", path] = (status, body)

    def reply(self, method: str, path: str) -> tuple[int, bytes]:
        self.asked.append(f"{method} {path}")
        if (method, path) == ("GET", HEALTH):
            found = next(self.health) if isinstance(self.health, Iterator) else self.health
            return 200, found if isinstance(found, bytes) else json.dumps(found).encode()
        return self.answers.get((method, path), (404, b"{}"))


def health(persistence="initialized", **detail):
    return {
        "services": {"s3": "running", "sqs": "available"},
        "features": {"persistence": persistence},
        "edition": "perdure",
        "version": "9.9",
        "persistence": {
            "reason": None,
            "state_dir": "/state",
            "cut": 7,
            "saved_at": "2026-01-01T00:00:00+00:00",
            "stores": {},
            **detail,
        },
    }


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """No settings, run files or proxies but a test's own."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
        monkeypatch.delenv(PREFIX + setting.name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    # Nothing listens on port 9, so a client that asks a proxy fails.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


@pytest.fixture
def perdure(capsys):
    """Runs one command here and returns its code and what it printed."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        try:
            main(arguments)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture
def make_health():
    return health


@pytest.fixture
def server(monkeypatch):
    """A server in this process, which GATEWAY_LISTEN names."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            status, body = fake.reply(self.command, self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        fake = FakeServer(Address("127.0.0.1", httpd.server_port), health=health())
        monkeypatch.setenv("GATEWAY_LISTEN", str(fake.address))
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        httpd.shutdown()
        thread.join()


@pytest.fixture
def nothing_listens(monkeypatch):
    """GATEWAY_LISTEN names a port where nobody answers."""
    monkeypatch.setenv("GATEWAY_LISTEN", "127.0.0.1:9")
    return Address("127.0.0.1", 9)


@pytest.fixture
def recorded():
    """Writes a run file; for this process unless told otherwise."""

    def write(address: Address, *, pid: int | None = None, log: str | None = None) -> RunRecord:
        record = RunRecord(
            pid=pid or os.getpid(),
            listen=str(address),
            state_dir="/state",
            log=log,
            version="9.9",
            started="2026-01-01T00:00:00+00:00",
        )
        runfile.write(record)
        return runfile.read(address.port)

    return write


@pytest.fixture
def child():
    """Starts a Python program and returns once it has printed a line."""
    started = []

    def start(program: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
