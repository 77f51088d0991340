"""The servers compared: where they are installed, how they start, what they weigh.

Every peer lives in a virtual environment of its own under ``.bench/``, built once from a
pinned version.  A server is spawned with a clean environment (no ``AWS_*``, no settings
of the caller), a fresh temporary directory, and its log thrown away.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from client import Client, MalformedError, Response, TruncatedError

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".bench"
POLL_INTERVAL_S = 0.002
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


class PeerError(Exception):
    """A server could not be installed or did not get ready."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One server: how to install, start and greet it."""

    name: str
    requirement: str | None  # None: the interpreter that runs Perdure
    package: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    health: str
    note: str


PERDURE = Peer(
    name="perdure",
    requirement=None,
    package="perdure",
    arguments=("-m", "perdure", "start", "--listen", "127.0.0.1:{port}"),
    environment=(("DATA_DIR", "{dir}/state"),),
    health="/_localstack/health",
    note="persistence on, default strategies",
)
MOTO = Peer(
    name="moto_server",
    requirement="moto[server]==5.2.5",
    package="moto",
    arguments=("-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"),
    environment=(),
    health="/moto-api/",
    note="in memory; closes the connection after every answer",
)
MINISTACK = Peer(
    name="ministack",
    requirement="ministack==1.5.33",
    package="ministack",
    arguments=("-m", "ministack"),
    environment=(("GATEWAY_PORT", "{port}"), ("BIND_HOST", "127.0.0.1")),
    health="/_ministack/health",
    note="persistence off, its default",
)
PEERS = (PERDURE, MOTO, MINISTACK)
# Perdure beside itself: what its journal costs.
FORGETFUL = replace(PERDURE, name="perdure without a state directory", environment=())
SYNCED = replace(
    PERDURE,
    name="perdure that waits for the disk",
    environment=(*PERDURE.environment, ("JOURNAL_SYNC", "always")),
)


def environment_python(name: str, *pip_arguments: str) -> Path:
    """The interpreter of the environment ``name``, built on first use.

    Raises:
        PeerError: pip failed.
    """
    folder = HOME / name
    python = folder / "bin" / "python"
    mark = folder / "installed.txt"
    wanted = "\n".join(_content(argument) for argument in pip_arguments)
    if mark.exists() and mark.read_text() == wanted:
        return python
    print(f"installing {' '.join(pip_arguments)} into {folder.relative_to(ROOT)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*command, *pip_arguments], check=False).returncode:
        raise PeerError(f"pip install {' '.join(pip_arguments)} failed")
    mark.write_text(wanted)
    return python


def _content(argument: str) -> str:
    """What decides whether an environment is still right: a file counts by its text."""
    path = Path(argument)
    return path.read_text() if path.is_file() else argument


def python_of(peer: Peer, perdure_python: str) -> str:
    """The interpreter that runs ``peer``; installs it if that is still to be done."""
    if peer.requirement is None:
        return perdure_python
    return str(environment_python(peer.name, peer.requirement))


def version_of(peer: Peer, python: str) -> str:
    """The version that really runs."""
    code = (
        f"import {peer.package} as p, importlib.metadata as m;"
        f"print(getattr(p, '__version__', None) or m.version('{peer.package}'))"
    )
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True, env=clean_environment()
    )
    return done.stdout.strip()


def clean_environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LC_ALL")}
    if (ROOT / "src").is_dir():
        kept["PYTHONPATH"] = str(ROOT / "src")  # Perdure from this checkout, installed or not
    return kept


@dataclass(slots=True)
class Running:
    """A spawned server and how long it took to answer."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    ready_s: float


@contextlib.contextmanager
def running(peer: Peer, python: str) -> Iterator[Running]:
    """Spawn ``peer``, wait until it is ready, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        filled = {"port": port, "dir": folder}
        environment = clean_environment() | {"TMPDIR": folder}
        if peer.requirement is not None:
            environment.pop("PYTHONPATH", None)
        environment |= {name: value.format(**filled) for name, value in peer.environment}
        command = [python, *(argument.format(**filled) for argument in peer.arguments)]
        ready = persistence_ready if "DATA_DIR" in environment else _answers
        with spawned(command, port, environment, peer.health, cwd=folder, ready=ready) as server:
            yield server


@contextlib.contextmanager
def spawned(
    command: list[str],
    port: int,
    environment: dict[str, str],
    health: str,
    *,
    cwd: str,
    ready: Callable[[Response], bool] | None,
) -> Iterator[Running]:
    """Run a command until the block ends; the block starts when ``health`` answers."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_ready(process, port, health, ready)
        yield Running(process, port, Path(cwd), time.perf_counter() - start)
    finally:
        _stop(process)


def kept(folder: Path) -> contextlib.AbstractContextManager[Running]:
    """Perdure on a state directory that stays: by default but for its place."""
    port = free_port()
    command = [sys.executable, "-m", "perdure", "start", "--listen", f"127.0.0.1:{port}"]
    environment = {
        **clean_environment(),
        "PYTHONPATH": str(ROOT / "src"),
        "DATA_DIR": str(folder / "state"),
        "TMPDIR": str(folder),
    }
    return spawned(
        command, port, environment, PERDURE.health, cwd=str(folder), ready=persistence_ready
    )


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_ready(
    process: subprocess.Popen[bytes],
    port: int,
    health: str,
    ready: Callable[[Response], bool] | None,
) -> None:
    """Ask until ``ready`` accepts the answer; with None, until the port is open."""
    request = f"GET {health} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PeerError(f"{process.args} ended with {process.returncode}")
        client = Client(port)
        try:
            if ready is None:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            if ready(client.call(request)):
                return
        except (OSError, TruncatedError, MalformedError):
            pass
        finally:
            client.close()
        time.sleep(POLL_INTERVAL_S)
    raise PeerError(f"{process.args} not ready after {READY_TIMEOUT_S} s")


def _answers(response: Response) -> bool:
    return response.status == 200


def persistence_ready(response: Response) -> bool:
    """A 200 alone is not enough: the port opens before the state is there."""
    if response.status != 200:
        return False
    return bool(json.loads(response.body)["features"]["persistence"] == "initialized")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes (10^6 bytes) of a process and its children; PSS shares shared pages."""

    rss_mb: float
    pss_mb: float | None


def memory(process_id: int) -> Memory:
    """What a process and its descendants hold, from ``/proc``."""
    rss, pss = 0, 0
    for pid in family(process_id):
        fields = _rollup(pid)
        rss += fields.get("Rss", 0)
        pss += fields.get("Pss", 0)
    return Memory(rss * 1024 / 1e6, pss * 1024 / 1e6 if pss else None)


def family(process_id: int) -> list[int]:
    """A process and all its descendants."""
    found = [process_id]
    for pid in found:  # grows while it is walked
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def _rollup(pid: int) -> dict[str, int]:
    """Kilobytes by name: Rss and Pss, or Rss alone where smaps is not readable."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        lines = Path(f"/proc/{pid}/status").read_text().replace("VmRSS", "Rss").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {k: int(v.split()[0]) for k, v in pairs if k in ("Rss", "Pss")}
