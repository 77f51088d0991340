"""Commands about a running server: stop, status, wait, logs."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from perdure import runfile
from perdure.cli import options, output
from perdure.cli.options import AsJson, Server, Timeout
from perdure.config import Address
from perdure.errors import NoLogError, NotRunningError, TimeoutExpiredError
from perdure.runfile import RunRecord

STOPPED_WITHIN_S = 30.0
READY_WITHIN_S = 60.0
POLL_INTERVAL_S = 0.05
BLOCK_BYTES = 65536
FINE = ("saved", "changed", "unloaded")


def stop(
    *, listen: Server = None, timeout: Timeout = STOPPED_WITHIN_S, as_json: AsJson = False
) -> None:
    """Stop the server and wait for its end.

    The server saves what changed before it ends.
    """
    address = options.reachable(options.settings(listen))
    record = runfile.read(address.port)
    if record is None:
        raise _not_ours(address)
    began = time.monotonic()
    with suppress(ProcessLookupError):  # it ended by itself since we looked
        os.kill(record.pid, signal.SIGTERM)
    with output.spinner("stopping"):
        while runfile.is_alive(record):
            if time.monotonic() - began > timeout:
                raise TimeoutExpiredError(f"the end of process {record.pid}", timeout)
            time.sleep(POLL_INTERVAL_S)
    if as_json:
        output.emit({"stopped": True, "pid": record.pid, "listen": record.listen})
    else:
        output.say(f"stopped (process {record.pid})")


def _not_ours(address: Address) -> NotRunningError:
    """No run file: nothing runs, or it was started elsewhere."""
    from perdure.cli.client import Client

    error = NotRunningError(str(address))
    if Client(address).health() is not None:
        error = NotRunningError(f"{address} that this user started on this machine")
        error.hint = "something answers there: stop it where it runs (such as `docker stop`)"
    return error


def status(*, listen: Server = None, as_json: AsJson = False) -> None:
    """Show the running server and its state."""
    address = options.reachable(options.settings(listen))
    from perdure.cli.client import Client

    record = runfile.read(address.port)
    health = Client(address).health()
    if health is None:
        raise _silent(address, record)
    summary = _summary(address, record, health)
    if as_json:
        output.emit(summary)
        return
    stores = summary["stores"]
    counted = Counter(store.get("status") for store in stores.values())
    shown = {name: value for name, value in summary.items() if name not in ("services", "stores")}
    shown["stores"] = ", ".join(f"{n} {name}" for name, n in sorted(counted.items())) or None
    output.table(("server", ""), list(shown.items()))
    troubled = [(key, s) for key, s in sorted(stores.items()) if s.get("status") not in FINE]
    if troubled:
        rows = [(key, s.get("status"), s.get("saved_at"), s.get("reason")) for key, s in troubled]
        output.table(("store", "status", "last saved", "reason"), rows)


def _silent(address: Address, record: RunRecord | None) -> NotRunningError:
    error = NotRunningError(str(address))
    if record is not None:
        error.hint = (
            f"process {record.pid} has the port and does not answer: read `perdure logs`, "
            "`perdure wait` for it, or `perdure stop` it"
        )
    return error


def _summary(address: Address, record: RunRecord | None, health: dict[str, Any]) -> dict[str, Any]:
    """What `perdure status --json` prints; the names are a contract with scripts."""
    from perdure.cli.client import is_ready, persistence

    detail = health.get("persistence")
    detail = detail if isinstance(detail, dict) else {}
    return {
        "listen": str(address),
        "ready": is_ready(health),
        "version": health.get("version"),
        "pid": record.pid if record else None,
        "started": record.started if record else None,
        "log": record.log if record else None,
        "persistence": persistence(health),
        "reason": detail.get("reason"),
        "state_dir": detail.get("state_dir"),
        "cut": detail.get("cut"),
        "saved_at": detail.get("saved_at"),
        "services": health.get("services", {}),
        "stores": detail.get("stores") or {},
    }


def wait(*, listen: Server = None, timeout: Timeout = READY_WITHIN_S) -> None:
    """Wait until the server answers AWS calls.

    It may also be started meanwhile.
    """
    address = options.reachable(options.settings(listen))
    from perdure.cli.client import Client, is_ready, persistence, reason

    client, deadline = Client(address), time.monotonic() + timeout
    with output.spinner(f"waiting for {address}"):
        while not is_ready(health := client.health()):
            if time.monotonic() > deadline:
                raise TimeoutExpiredError(f"readiness of {address}", timeout)
            time.sleep(POLL_INTERVAL_S)
    assert health is not None
    if persistence(health) == "error":
        output.warn(f"persistence is not in order: {reason(health)}")
    output.say(f"ready: {address}, persistence {persistence(health)}")


def logs(
    *,
    listen: Server = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the server ends.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many lines from the end.")
    ] = 50,
) -> None:
    """Show the log of a detached server.

    Also that of the last one, when it has ended.
    """
    address = options.reachable(options.settings(listen))
    record = runfile.read(address.port)
    path = Path(record.log) if record and record.log else runfile.log_path(address.port)
    # A server in the foreground has no log; a file of an earlier one is not its.
    if (record and not record.log) or not path.is_file():
        raise NoLogError(str(address))
    text, end = tail(path, lines)
    typer.echo(text, nl=False)
    if follow and record:
        _follow(path, end, record)


def tail(path: Path, lines: int) -> tuple[bytes, int]:
    """The last ``lines`` lines of a file, read from its end.

    Returns:
        The bytes, and the offset right after them.
    """
    with path.open("rb") as file:
        end = start = file.seek(0, os.SEEK_END)
        data = b""
        # One line feed more than lines: the one that ends the line before them.
        while start > 0 and data.count(b"\n") <= lines:
            size = min(BLOCK_BYTES, start)
            start -= size
            file.seek(start)
            data = file.read(size) + data
    kept = data.splitlines(keepends=True)[-lines:] if lines else []
    return b"".join(kept), end


def _follow(path: Path, offset: int, record: RunRecord) -> None:
    """Print what is appended to ``path`` until its server is gone."""
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            # Asked before the read, so that its last words are read after its end.
            alive = runfile.is_alive(record)
            if data := file.read():
                typer.echo(data, nl=False)
            if not alive:
                return
            time.sleep(POLL_INTERVAL_S)
