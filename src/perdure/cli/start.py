"""``perdure start``: in the foreground, or detached and watched until it is ready."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from perdure import __version__, config, runfile
from perdure.cli import options, output
from perdure.cli.options import (
    AsJson,
    DataDir,
    Debug,
    FlushInterval,
    InitDir,
    Listen,
    LoadStrategy,
    SaveStrategy,
    Services,
    Timeout,
)
from perdure.config import Config
from perdure.errors import AlreadyRunningError, StartError, TimeoutExpiredError
from perdure.gateway import tls
from perdure.runfile import RunRecord

READY_WITHIN_S = 60.0
POLL_INTERVAL_S = 0.05
LOG_LINES_SHOWN = 20


def start(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once the server is ready.")
    ] = False,
    data_dir: DataDir = None,
    listen: Listen = None,
    save_strategy: SaveStrategy = None,
    load_strategy: LoadStrategy = None,
    flush_interval: FlushInterval = None,
    services: Services = None,
    debug: Debug = False,
    init_dir: InitDir = None,
    timeout: Timeout = READY_WITHIN_S,
    as_json: AsJson = False,
) -> None:
    """Start the server.

    It runs until it is told to stop, by `perdure stop` or Ctrl-C.

    A flag wins over the environment; `perdure config` shows what is in effect.
    --timeout and --json are for --detach.
    """
    given = options.overrides(
        DATA_DIR=data_dir,
        GATEWAY_LISTEN=listen,
        SNAPSHOT_SAVE_STRATEGY=save_strategy,
        SNAPSHOT_LOAD_STRATEGY=load_strategy,
        SNAPSHOT_FLUSH_INTERVAL=flush_interval,
        SERVICES=services,
        DEBUG="1" if debug else None,
        PERDURE_INIT_DIR=init_dir,
    )
    chosen = config.load(overrides=given)
    _refuse_second(chosen)
    if detach:
        record = _detached(chosen, arguments=options.as_arguments(given), timeout_s=timeout)
        _announce(record, as_json=as_json)
        return
    output.say(where_state_goes(chosen.state_dir))
    sys.stdout.flush()
    # Before what takes longest to import: one that is missing is made meanwhile.
    tls_context = tls.begin(chosen)
    from perdure.gateway.server import serve

    serve(chosen, tls_context)


def where_state_goes(state_dir: Path | None) -> str:
    """The one line a user should read at a start."""
    if state_dir is None:
        return (
            f"Perdure {__version__}: persistence is off, state ends with this process; "
            "to keep it, set DATA_DIR or start with --data-dir DIR"
        )
    return f"Perdure {__version__}: state is kept in {state_dir.absolute()}"


def _refuse_second(chosen: Config) -> None:
    """Refuse when one of the ports is served already.

    The bind would fail as well; this says by whom.

    Raises:
        AlreadyRunningError: A run file names a living server.
    """
    for address in chosen.gateway_listen:
        record = runfile.read(address.port) if address.port else None
        # A server that starts itself again keeps its process and may find its own record.
        if record is not None and record.pid != os.getpid():
            raise AlreadyRunningError(record.listen, record.pid)


def _detached(chosen: Config, *, arguments: list[str], timeout_s: float) -> RunRecord:
    """Start a server in a session of its own and wait until it is ready.

    Returns:
        Its run file.

    Raises:
        StartError: It ended first.
        TimeoutExpiredError: It is not ready yet; it is left running.
    """
    log = _fresh_log(chosen.gateway_listen[0].port)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own program with the user's own flags
            [*_python(), "-m", "perdure", "start", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, runfile.LOG_FILE_VARIABLE: str(log), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout_s
    with output.spinner("starting"):
        while time.monotonic() < deadline:
            if (code := process.poll()) is not None:
                raise _start_error(code, log)
            if (record := _ready(process.pid)) is not None:
                return record
            time.sleep(POLL_INTERVAL_S)
    raise TimeoutExpiredError(
        f"the start of process {process.pid} (it still runs; its log is {log})", timeout_s
    )


def _python() -> list[str]:
    """The interpreter, told not to import from the working directory.

    ``-m`` alone would put it first, so a user's own ``queue.py`` would break the
    detached server and not the one in the foreground.  Where the working directory
    is where Perdure itself comes from, it stays.
    """
    from_here = not {"", str(Path.cwd())}.isdisjoint(sys.path)
    return [sys.executable] if from_here else [sys.executable, "-P"]


def _fresh_log(port: int) -> Path:
    """The path of an empty log; the one of the start before is kept beside it."""
    # With port 0 the port is not known yet, so the log is named after who asks.
    name = runfile.log_path(port).name if port else f"any-{os.getpid()}.log"
    log = runfile.create_directory() / name
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    return log


def _ready(pid: int) -> RunRecord | None:
    """The run file of ``pid`` once that server is ready.

    The run file is asked first: what answers on the port may be another program,
    while ours is about to fail for just that reason.
    """
    from perdure.cli.client import Client, is_ready

    record = runfile.find(pid)
    if record is None:
        return None
    return record if is_ready(Client(_address(record)).health()) else None


def _address(record: RunRecord) -> config.Address:
    return options.reachable(config.load({}, {"GATEWAY_LISTEN": record.listen}))


def _start_error(code: int, log: Path) -> StartError:
    """Show the end of the log and say what the server itself said."""
    lines = log.read_text(errors="replace").splitlines()
    for line in lines[-LOG_LINES_SHOWN:]:
        typer.echo(f"  | {line}", err=True)
    said = {part: _last(lines, part) for part in ("error: ", "hint: ")}
    return StartError(
        code,
        message=said["error: "] or "its log says why",
        hint=said["hint: "] or f"read {log}",
    )


def _last(lines: list[str], prefix: str) -> str | None:
    found = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    return found[-1] if found else None


def _announce(record: RunRecord, *, as_json: bool) -> None:
    from perdure.cli.client import Client, persistence, reason

    health = Client(_address(record)).health()
    if health is not None and persistence(health) == "error":
        output.warn(f"persistence is not in order: {reason(health)}")
    if as_json:
        output.emit({"pid": record.pid, "listen": record.listen, "state_dir": record.state_dir})
        return
    output.say(where_state_goes(Path(record.state_dir) if record.state_dir else None))
    output.say(f"listening on {record.listen} (process {record.pid}); log: {record.log}")
