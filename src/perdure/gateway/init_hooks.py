"""Init hooks: the scripts LocalStack's users keep in ``/etc/localstack/init``.

    boot.d        before the port opens and the state is read
    start.d       the port is open, the state is being restored; AWS calls wait meanwhile
    first-boot.d  AWS calls are answered, and no state was restored (Perdure's own stage)
    ready.d       AWS calls are answered; ``Ready.`` is logged when its scripts have ended
    shutdown.d    at a stop: AWS calls are still answered, and what they change is saved

``.sh`` must be executable and is started as it is, ``.py`` runs under this interpreter,
each in a process of its own.  The order is LocalStack's: the files of a folder by name,
then its sub-folders by name.  A script that fails is logged and does not stop the rest.

Source: localstack/runtime/init.py and runtime.py of LocalStack 4 for order, status and
the place of ``Ready.``; docs/localstack.md says where Perdure differs.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from perdure.config import Address, Config, InitOn, reachable
from perdure.errors import ConfigError

log = logging.getLogger(__name__)

# Of all scripts of shutdown.d together: a container's grace period is 10 s, and the
# calls in flight and the save need the rest.
SHUTDOWN_SECONDS = 4.0
# A script of start.d that calls AWS waits for itself; after that long calls are let in.
START_SECONDS = 30.0
KILL_SECONDS = 1.0
LINE_BYTES_MAX = 16 << 10


class Stage(Enum):
    """When scripts run; the value is their folder."""

    BOOT = "boot.d"
    START = "start.d"
    FIRST_BOOT = "first-boot.d"
    READY = "ready.d"
    SHUTDOWN = "shutdown.d"


class State(Enum):
    """What became of a script, in LocalStack's words."""

    UNKNOWN = "UNKNOWN"
    RUNNING = "RUNNING"
    SUCCESSFUL = "SUCCESSFUL"
    ERROR = "ERROR"


@dataclass(slots=True)
class Script:
    """One script and what became of it; UNKNOWN = it has not run."""

    path: Path
    stage: Stage
    state: State = State.UNKNOWN

    def to_json(self) -> dict[str, str]:
        """As ``GET /_localstack/init`` shows it."""
        return {"stage": self.stage.name, "name": self.path.name, "state": self.state.name}


@dataclass
class InitHooks:
    """The scripts of one server.  ``run`` blocks: call it in a thread of its own.

    Attributes:
        root: The folder of the stages' folders; None = there are no hooks.
        environment: What scripts see, ``set_address`` adds to it.
        first_boot_only: Whether ready.d, too, runs only where no state was restored.
        is_first_boot: Whether no state was restored; set before the READY stage.
    """

    root: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    first_boot_only: bool = False
    is_first_boot: bool = True
    completed: set[Stage] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.scripts = {stage: list(self._find(stage)) for stage in Stage}
        # One stage at a time: READY waits for a script of START that still runs.
        self._turn = threading.Lock()
        self._halted = threading.Event()
        self._running: subprocess.Popen[bytes] | None = None

    @classmethod
    def from_config(cls, config: Config, environ: Mapping[str, str] | None = None) -> InitHooks:
        """The hooks of a server.

        Raises:
            ConfigError: The folder was named by the user and is none.
        """
        root = config.perdure_init_dir
        is_given = not config.sources["PERDURE_INIT_DIR"].startswith("default")
        if root is not None and is_given and not root.is_dir():
            raise ConfigError("PERDURE_INIT_DIR", str(root), "a folder that exists")
        hooks = cls(
            root if root is None else root.absolute(),
            script_environment(os.environ if environ is None else environ, config.default_region),
            first_boot_only=config.perdure_init_on is InitOn.FIRST_BOOT,
        )
        if config.gateway_listen[0].port:
            hooks.set_address(config.gateway_listen[0])
        return hooks

    def set_address(self, address: Address) -> None:
        """Tell scripts where the server listens."""
        where = reachable(address)
        # Always this server: a variable of the surroundings may name another one.
        self.environment["AWS_ENDPOINT_URL"] = f"http://{where}"
        self.environment.setdefault("LOCALSTACK_HOST", f"localhost:{where.port}")

    @property
    def phase(self) -> str:
        """``features.initScripts`` of the health document."""
        return "initialized" if Stage.READY in self.completed else "initializing"

    # -------------------------------------------------------------------- run

    def run(self, stage: Stage) -> None:
        """Run a stage's scripts, one after the other; returns when the last has ended.

        A stage runs once.  SHUTDOWN is bounded by ``SHUTDOWN_SECONDS``: the script
        that runs then is ended, those behind it are not started.
        """
        seconds = SHUTDOWN_SECONDS if stage is Stage.SHUTDOWN else None
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._turn:
            if stage in self.completed:
                return
            try:
                for script in self._wanted(stage):
                    if stage is not Stage.SHUTDOWN and self._halted.is_set():
                        log.warning("%s was not run: the server stops", _name(script))
                        continue
                    self._run(script, deadline)
            finally:
                self.completed.add(stage)

    def halt(self) -> None:
        """End the script that runs, and start none any more but those of SHUTDOWN."""
        self._halted.set()
        if self._running is not None:
            _end(self._running)

    def _wanted(self, stage: Stage) -> list[Script]:
        found = self.scripts[stage]
        only_first = stage is Stage.FIRST_BOOT or (stage is Stage.READY and self.first_boot_only)
        if found and only_first and not self.is_first_boot:
            log.info("%s is not run: state was restored", stage.value)
            return []
        return found

    def _run(self, script: Script, deadline: float | None) -> None:
        script.state = State.RUNNING
        log.info("running %s", _name(script))
        started = time.monotonic()
        try:
            failure = self._execute(script, deadline)
        except OSError as error:
            failure = _advice(script, error)
        except BaseException:
            script.state = State.ERROR
            raise
        script.state = State.SUCCESSFUL if failure is None else State.ERROR
        if failure is not None:
            log.error("%s failed: %s", _name(script), failure)
        else:
            log.info("%s ended after %.1f s", _name(script), time.monotonic() - started)

    def _execute(self, script: Script, deadline: float | None) -> str | None:
        """Why it failed; None when it did not."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return f"not started, the {SHUTDOWN_SECONDS:g} s of {script.stage.value} were used up"
        process = subprocess.Popen(  # noqa: S603 - the user's own scripts
            [sys.executable, str(script.path)] if script.path.suffix == ".py" else [script.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment or None,
            # A group of its own: it is ended with all it started.
            start_new_session=True,
        )
        self._running = process
        reader = threading.Thread(target=_log_lines, args=(script, process.stdout), daemon=True)
        reader.start()
        try:
            if self._halted.is_set() and script.stage is not Stage.SHUTDOWN:
                _end(process)
            code = process.wait(left)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"ended: {script.stage.value} has {SHUTDOWN_SECONDS:g} s"
        except BaseException:
            _end(process)
            raise
        finally:
            self._running = None
            # What it left in the background may hold its output open for ever.
            reader.join(KILL_SECONDS)
        return None if code == 0 else _exit(code)

    def _find(self, stage: Stage) -> Iterator[Script]:
        if self.root is None:
            return
        for folder, folders, names in os.walk(self.root / stage.value):
            # "..name" is how Kubernetes keeps the versions of a mounted folder.
            folders[:] = sorted(name for name in folders if not name.startswith(".."))
            for name in sorted(names):
                path = Path(folder) / name
                if path.suffix in (".sh", ".py") and path.is_file():
                    yield Script(path, stage)

    # ----------------------------------------------------------------- status

    def routes(self) -> list[Route]:
        """``/_localstack/init`` and ``/_localstack/init/<stage>``."""
        return [
            Route("/_localstack/init", self.show),
            Route("/_localstack/init/{stage}", self.show_stage),
        ]

    async def show(self, _: Request) -> Response:
        """All stages and scripts; Perdure's own stage only where it has scripts."""
        stages = [s for s in Stage if s is not Stage.FIRST_BOOT or self.scripts[s]]
        return JSONResponse(
            {
                "completed": {stage.name: stage in self.completed for stage in stages},
                "scripts": [script.to_json() for s in stages for script in self.scripts[s]],
            }
        )

    async def show_stage(self, request: Request) -> Response:
        """One stage; 404 without a body for any other name, as LocalStack answers."""
        name = request.path_params["stage"].upper().replace("-", "_")
        if name not in Stage.__members__:
            return Response(status_code=404)
        stage = Stage[name]
        document: dict[str, Any] = {
            "completed": stage in self.completed,
            "scripts": [script.to_json() for script in self.scripts[stage]],
        }
        return JSONResponse(document)


def script_environment(environ: Mapping[str, str], region: str) -> dict[str, str]:
    """What scripts see: the surroundings, credentials and region, a path to ``awslocal``."""
    programs = str(Path(sys.executable).parent)
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PYTHONUNBUFFERED": "1",
        **environ,
    }
    if "AWS_REGION" not in environ:
        environment.setdefault("AWS_DEFAULT_REGION", region)
    # Behind the user's own, which may hold another awslocal.
    environment["PATH"] = os.pathsep.join(filter(None, (environ.get("PATH"), programs)))
    return environment


def _name(script: Script) -> str:
    """Such as ``ready.d/01-queues.sh``, sub-folders included."""
    parts = script.path.parts
    at = len(parts) - 1 - parts[::-1].index(script.stage.value)
    return "/".join(parts[at:])


def _log_lines(script: Script, stream: IO[bytes]) -> None:
    """Copy a script's output to the log, a line at a time."""
    name = _name(script)
    with suppress(ValueError, OSError), stream:
        for line in iter(lambda: stream.readline(LINE_BYTES_MAX), b""):
            log.info("%s: %s", name, line.decode("utf-8", "replace").rstrip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a script and what it started: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(KILL_SECONDS)
            return


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"ended by signal {-code}"


def _advice(script: Script, error: OSError) -> str:
    """Why the system did not start it, and what to do."""
    if isinstance(error, PermissionError):
        return f"it is not executable: `chmod +x {script.path}`"
    if script.path.suffix == ".sh":
        return f"{error.strerror}: its first line must name an interpreter, such as `#!/bin/sh`"
    return error.strerror or str(error)
