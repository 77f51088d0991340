"""A real server process on a free port and a real disk, driven with boto3.

Two kinds of tests live here.  A *resumed* test is a generator, ``create; yield; use``
(see ``resume.py``): all first halves of a file run on one server, the server
restarts, then each second half is a test.  Every file runs that way twice: once
with a clean stop and all stores loaded at the start, once with ``kill -9``, after which
all is replayed from the journal, and stores are loaded on first use.  Other tests start servers
of their own with ``start``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

HERE = Path(__file__).parent
SRC = HERE.parent.parent / "src"
# Test modules are imported by path, not as a package: what they share is found here.
sys.path.insert(0, str(HERE))
if importlib.util.find_spec("perdure") is None:
    sys.path.insert(0, str(SRC))
# Servers run the code this process sees, not what happens to be installed beside it.
PERDURE = Path(str(importlib.util.find_spec("perdure").origin)).parent.parent

WAIT_SECONDS = 30
STOP_SECONDS = 15
# Below the range the system gives to outgoing connections: while the server is down,
# nobody else gets its port.
PORTS = range(20000, 32000)
NOT_INHERITED = ("AWS_", "LOCALSTACK_", "SNAPSHOT_", "MOTO_")
NOT_INHERITED_NAMES = frozenset(
    {"DATA_DIR", "PERSISTENCE", "SERVICES", "GATEWAY_LISTEN", "DEBUG", "LS_LOG", "PYTHONPATH"}
    | {"EDGE_PORT", "EDGE_BIND_HOST", "HOSTNAME_EXTERNAL", "CUSTOM_SSL_CERT_PATH"}
    | {"EXTRA_CORS_ALLOWED_ORIGINS", "XDG_CACHE_HOME"}
)

_opener = build_opener(ProxyHandler({}))
_random = random.Random()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while True:
        port = _random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(home: Path, **env: str) -> dict[str, str]:
    """What a server process sees: a home of its own, and nothing of this user's AWS."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(NOT_INHERITED) and name not in NOT_INHERITED_NAMES
    }
    own = {"HOME": str(home), "TMPDIR": str(home), "PYTHONUNBUFFERED": "1"}
    own["PYTHONPATH"] = str(PERDURE)
    return {**inherited, **own, **env}


@cache
def _session() -> Any:
    """One session for all clients: it reads a service's model once, which takes long."""
    import boto3

    return boto3.session.Session()


def refuse_cut_answer(operation_model: Any, response_dict: Any, **_: Any) -> None:
    """Raise for an answer that a kill cut off; boto3 takes it for one that says nothing."""
    from botocore.exceptions import ConnectionClosedError

    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    bodiless = response_dict["status_code"] in (204, 304)
    if bodiless or operation_model.http["method"] == "HEAD" or "transfer-encoding" in headers:
        return
    body = response_dict["body"]  # a stream checks its length while it is read
    length = headers.get("content-length", "")
    if not length.isdigit() or (isinstance(body, bytes) and len(body) != int(length)):
        raise ConnectionClosedError(endpoint_url=operation_model.name)


class Server:
    """One server process; its port and its home outlive a restart."""

    command: tuple[str, ...] = ("perdure", "start")
    stop_seconds = STOP_SECONDS

    def __init__(self, home: Path, **env: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.env = home, env
        self.port = free_port()
        self.log_path = home / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: dict[Any, Any] = {}

    # ------------------------------------------------------------- process

    def spawn(self, **env: str) -> subprocess.Popen[bytes]:
        """Start the process without waiting for anything."""
        self.env = {**self.env, **env}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command, "--listen", f"127.0.0.1:{self.port}"],
                env=environment(self.home, **self.env),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self, **env: str) -> Server:
        """Start and wait until AWS calls are let in."""
        self.spawn(**env)
        self.wait_until(self._is_ready, "ready")
        return self

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"exit code {self.process.returncode}\n{self.log}")
        try:
            return self.health(timeout=2)["features"]["persistence"] != "initializing"
        except (URLError, OSError):
            return False

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL: what the server did not put on disk is gone."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"did not stop within {self.stop_seconds} s\n{self.log}"
            ) from error
        self.process = None
        return code

    def restart(self, how: str = "stop", **env: str) -> Server:
        """Stop it and start it again: ``stop``, or ``kill``, with or without a ``state/save``."""
        if how == "kill":
            self.kill()
        elif how == "save and kill":
            self.save()
            self.kill()
        else:
            assert self.stop() == 0, self.log
        return self.start(**env)

    def close(self) -> None:
        """End it, whatever it does."""
        for client in self._clients.values():
            client.close()
        if self.process is not None:
            self.kill()

    def refuse(self, **env: str) -> tuple[int, str]:
        """Start it, expecting that it ends by itself; exit code and what it said."""
        process = self.spawn(**env)
        code = process.wait(WAIT_SECONDS)
        self.process = None
        return code, self.log

    # ---------------------------------------------------------------- HTTP

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def ask(
        self, path: str, document: Any = None, *, method: str | None = None, timeout: float = 60
    ) -> tuple[int, bytes]:
        """Status and body of an internal route; a POST of JSON if there is a document."""
        data = None if document is None else json.dumps(document).encode()
        request = Request(self.url + path, data=data, method=method)
        try:
            with _opener.open(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def health(self, *, timeout: float = 10) -> dict[str, Any]:
        status, body = self.ask("/_localstack/health", timeout=timeout)
        assert status == 200, body
        return json.loads(body)

    def stores(self) -> dict[str, dict[str, Any]]:
        """The health document's stores by name."""
        return self.health()["persistence"]["stores"]

    def save(self) -> list[dict[str, str]]:
        """Save what changed; the answer's lines."""
        status, body = self.ask("/_localstack/state/save", method="POST")
        assert status == 200, body
        lines = [json.loads(line) for line in body.splitlines()]
        assert all(line["status"] == "ok" for line in lines), lines
        return lines

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until something holds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not {what} in {WAIT_SECONDS} s\n{self.log}"
            time.sleep(0.02)

    # --------------------------------------------------------------- boto3

    def client(
        self,
        service: str,
        region: str = "us-east-1",
        key: str = "test",
        *,
        secret: str = "test",
        token: str | None = None,
        **config: Any,
    ) -> Any:
        """A boto3 client; kept, so that it can be asked for anywhere."""
        from botocore.config import Config

        wanted = (service, region, key, token, repr(sorted(config.items())))
        if wanted not in self._clients:
            settings = {
                "retries": {"total_max_attempts": 1},
                "connect_timeout": 5,
                "read_timeout": 60,
                **config,
            }
            if service == "s3":
                settings.setdefault("s3", {"addressing_style": "path"})
            client = _session().client(
                service,
                region_name=region,
                endpoint_url=self.url,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=Config(**settings),
            )
            client.meta.events.register("before-parse", refuse_cut_answer)
            self._clients[wanted] = client
        return self._clients[wanted]


class Account:
    """A server as one account sees it, so that tests share a server and no state."""

    def __init__(self, server: Server, number: int) -> None:
        self.server = server
        self.id = f"{number:012d}"

    def client(self, service: str, region: str = "us-east-1", **more: Any) -> Any:
        """A client that acts in this account."""
        return self.server.client(service, region, key=more.pop("key", self.id), **more)


class Scenes:
    """The resumed tests of one file: halves run, halves to come."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._begun: dict[Any, tuple[Any, BaseException | None]] = {}

    def begin(self, scenario: Callable[..., Iterator[None]]) -> None:
        """Run a first half; if it fails, its test will say so."""
        # The first one acts as most users do, in the account without a number.
        running = scenario(Account(self.server, len(self._begun)))
        try:
            next(running)
        except Exception as error:  # noqa: BLE001 - raised again in ``finish``
            self._begun[scenario] = running, error
        else:
            self._begun[scenario] = running, None

    def finish(self, scenario: Callable[..., Iterator[None]]) -> None:
        """Run the second half."""
        running, failure = self._begun[scenario]
        if failure is not None:
            raise failure
        with contextlib.suppress(StopIteration):
            next(running)
            raise AssertionError("a resumed test yields once")


@pytest.fixture(autouse=True, scope="session")
def _no_credentials_of_this_user() -> Iterator[None]:
    """boto3 in this process reads no file and no variable of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("AWS_"):
                patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="module")
def start_in_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts servers that live until the end of the file."""
    yield from _starter(lambda: tmp_path_factory.mktemp("server"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that live until the end of the test; ``ready=False`` only prepares one."""
    yield from _starter(lambda: tmp_path)


def _starter(folder: Callable[[], Path]) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def begin(data_dir: Path | str | None = None, *, ready: bool = True, **env: str) -> Server:
        if data_dir is not None:
            env["DATA_DIR"] = str(data_dir)
        home = folder() / f"home-{len(servers)}"
        server = Server(home, **env)
        servers.append(server)
        return server.start() if ready else server

    yield begin
    for server in servers:
        server.close()


# How the server ends, and how it loads what it saved.
RESTARTS = {"stop": "ON_STARTUP", "kill": "ON_REQUEST"}


@pytest.fixture(scope="module", params=RESTARTS)
def scenes(
    request: pytest.FixtureRequest,
    start_in_module: Callable[..., Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Scenes:
    """Every first half of the file has run, and the server was restarted since."""
    server = start_in_module(tmp_path_factory.mktemp("state"), SNAPSHOT_FLUSH_INTERVAL="86400")
    scenes = Scenes(server)
    wanted = (
        getattr(item.obj, "scenario", None)
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module
    )
    for scenario in dict.fromkeys(wanted):
        if scenario is not None:
            scenes.begin(scenario)
    server.restart(request.param, SNAPSHOT_LOAD_STRATEGY=RESTARTS[request.param])
    return scenes
