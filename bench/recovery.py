"""How long a killed server takes to be itself again.

A server answers some thousand write calls of six services, is killed with SIGKILL, and
is started again on its directory.  Once with checkpoints off, so that the journal holds
nearly all of them, which tells the rate of replay; once as it is by default, which tells
how long one waits.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peers
from calls import AnswerError, Scenario, Step
from client import Client
from peers import PERDURE, Running

WRITES = ("s3-put", "sqs-send", "dynamodb-put", "sns-publish", "ssm-put", "iam-create-role")
# No setting of the server: nobody but this page wants a journal that is never retired.
NO_CHECKPOINTS = (
    "import sys; from perdure.gateway import journaling;"
    "journaling.REPLAY_SECONDS_MAX = journaling.RECORDS_MAX = float('inf');"
    "from perdure.cli.main import main; sys.argv[0] = 'perdure'; main()"
)
MODES = {"checkpoints off": ("-c", NO_CHECKPOINTS), "default": ("-m", "perdure")}
ENVIRONMENT = {
    "checkpoints off": {"CHECKPOINT_INTERVAL": "86400"},
    "default": {},
}
SETTLE_S = 0.5


def measure(python: str, count: int) -> dict[str, Any]:
    """Both, one after the other.

    Args:
        python: What runs Perdure.
        count: How many calls are made before the kill.

    Returns:
        By mode: calls, seconds they took, and what the next start did.
    """
    return {mode: _measured(mode, python, count) for mode in MODES}


def _measured(mode: str, python: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _server(mode, python, folder) as server:
            spent = _fill(server, count)
            server.process.kill()
            server.process.wait()
        with _server(mode, python, folder) as server:
            found = _health(server)["recovery"]
            return {
                "calls": count,
                "calls_s": round(spent, 3),
                "replayed": found["replayed"],
                "replay_s": found["seconds"],
                "ready_s": round(server.ready_s, 3),
                "verdict": found["verdict"],
            }


def _server(mode: str, python: str, folder: Path) -> Any:
    port = peers.free_port()
    command = [python, *MODES[mode], "start", "--listen", f"127.0.0.1:{port}"]
    environment = {
        **peers.clean_environment(),
        **ENVIRONMENT[mode],
        "DATA_DIR": str(folder / "state"),
        "TMPDIR": str(folder),
    }
    ready = peers.persistence_ready
    return peers.spawned(command, port, environment, PERDURE.health, cwd=str(folder), ready=ready)


def _fill(server: Running, count: int) -> float:
    """Make the calls; the seconds spent in them."""
    # The first checkpoint names the journal; it is no part of what is measured.
    time.sleep(SETTLE_S)
    scenario, client, spent = Scenario(server.port), Client(server.port), 0.0
    for step in _mixed(scenario, count):
        start = time.perf_counter()
        response = client.call(step.request)
        spent += time.perf_counter() - start
        if not 200 <= response.status < 300:
            raise AnswerError(f"{response.head[:200]!r} {response.body[:300]!r}")
        if step.after is not None:
            step.after(response)
    client.close()
    return spent


def _mixed(scenario: Scenario, count: int) -> Iterator[Step]:
    """The six calls in turn."""
    each = [scenario.steps(name, -(-count // len(WRITES))) for name in WRITES]
    for number in range(count):
        yield next(each[number % len(each)])


def _health(server: Running) -> dict[str, Any]:
    request = f"GET {PERDURE.health} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    response = Client(server.port).call(request)
    persistence: dict[str, Any] = json.loads(response.body)["persistence"]
    return persistence
