"""The process: opens the port at once, restores, serves, saves on a signal.

1. read the state directory (refuse to start if it cannot be used)
2. open the port: ``/health`` says ``initializing``, AWS calls wait
3. restore, let the calls in, print ``Ready.``
4. on SIGTERM or SIGINT: finish calls in flight, save, exit 0
   a second signal does not cut the save short: it would lose what it saves

Scripts of the user run before 1, within 3 and at the head of 4: see ``init_hooks``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any

import uvicorn

from perdure import __version__, ignored, runfile
from perdure.config import Address, Config, LoadStrategy, SaveStrategy, Sync, in_container
from perdure.engine import pins
from perdure.engine.core import Engine
from perdure.engine.quirks import names
from perdure.engine.services import by_name
from perdure.errors import ConfigError, ListenError, LoadError, PerdureError
from perdure.gateway.app import App
from perdure.gateway.classify import REGION, Classifier
from perdure.gateway.container import warning as container_warning
from perdure.gateway.init_hooks import START_SECONDS, InitHooks, Stage
from perdure.gateway.internal import Internal
from perdure.gateway.lifecycle import Lifecycle
from perdure.gateway.pipeline import Pipeline
from perdure.gateway.switch import Switch

log = logging.getLogger("perdure")

# Calls in flight at a stop get this long: a container's grace period is 10 s, and
# the save needs the rest.
FINISH_SECONDS = 2
KEEP_ALIVE_SECONDS = 65  # longer than the clients', so that they close first
BACKLOG = 1024


def serve(config: Config, tls_context: Callable[[], ssl.SSLContext]) -> None:
    """Serve until a signal.

    Args:
        config: What was chosen.
        tls_context: What ``tls.begin`` gave.

    Raises:
        PerdureError: The state directory or an address cannot be used.
    """
    _log_to_stderr(config.log_level)
    _check_names(config)
    for variable in ignored.found():
        log.info("%s is set and not used: %s", variable.name, variable.why)
    _warn_of_lost_state(config)
    hooks = InitHooks.from_config(config)
    hooks.run(Stage.BOOT)
    sockets = [_listen(address) for address in config.gateway_listen]
    try:
        engine = Engine(
            any_region=config.allow_nonstandard_regions, port=sockets[0].getsockname()[1]
        )
        lifecycle = Lifecycle(config, engine)
        lifecycle.open()
        hooks.set_address(Address(*sockets[0].getsockname()[:2]))
        hooks.is_first_boot = not lifecycle.has_state
        # Kept now, behind the state directory's lock.
        server = Server(config, engine, lifecycle, sockets, hooks, tls=tls_context())
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(server.run())
        finally:
            lifecycle.close()
    finally:
        for opened in sockets:
            opened.close()
    if server.failure is not None:
        raise server.failure
    if not server.finished and not server.restart:
        # A call still waits for something outside; the interpreter would wait for it.
        logging.shutdown()
        os._exit(0)
    if server.restart:
        os.execv(sys.executable, [sys.executable, "-m", "perdure", *sys.argv[1:]])  # noqa: S606


class Server:
    """One run of the server."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        lifecycle: Lifecycle,
        sockets: list[socket.socket],
        hooks: InitHooks,
        *,
        tls: ssl.SSLContext,
    ) -> None:
        self.config, self.engine, self.lifecycle, self.sockets = config, engine, lifecycle, sockets
        self.hooks, self.tls = hooks, tls
        self.restart = False
        self.failure: PerdureError | None = None
        # Whether all calls had ended when the state was saved.
        self.finished = True
        self._stopping = asyncio.Event()
        on_request = config.snapshot_save_strategy is SaveStrategy.ON_REQUEST
        saver = lifecycle.save_before_answer if on_request and lifecycle.enabled else None
        waits = config.journal_sync is Sync.ALWAYS and lifecycle.enabled
        self.pipeline = Pipeline(engine, saver, lifecycle.durable if waits else None)
        lifecycle.stopping = self._stopping.is_set
        names.set_default(f"http://{config.public_host or _reached(sockets[0])}")
        self.app = App(
            Classifier(
                default_region=config.default_region,
                any_region=config.allow_nonstandard_regions,
                only=config.services,
                public_host=config.public_host,
            ),
            self.pipeline,
            Internal(config, engine, lifecycle, self.stop, hooks),
            config.extra_cors_allowed_origins or frozenset(),
            lifecycle.blobs,
        )

    def stop(self, action: str = "kill") -> None:
        """Stop soon; ``restart`` starts again with the same arguments."""
        self.restart = self.restart or action == "restart"
        self.lifecycle.finish_soon()
        self._stopping.set()

    async def run(self) -> None:
        """Serve until ``stop``."""
        speaks: Any = partial(Switch, tls=self.tls)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        http = _Uvicorn(
            uvicorn.Config(
                self.app,
                http=speaks,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                ws="none",
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=FINISH_SECONDS,
            )
        )
        serving = asyncio.create_task(http.serve(sockets=self.sockets))
        jobs = [asyncio.create_task(self._work()), asyncio.create_task(self._verify())]
        jobs.append(asyncio.create_task(self._greet()))
        written = self._announce()
        try:
            await self._stopping.wait()
            log.info("stopping")
        finally:
            await self._run_last_hooks()
            for job in jobs:
                job.cancel()
            self.pipeline.release_parked()
            http.should_exit = True
            await serving
            for job in jobs:
                with suppress(asyncio.CancelledError):
                    await job
            self.finished = await asyncio.to_thread(self.pipeline.close, seconds=FINISH_SECONDS)
            for port in written:
                runfile.remove(port)

    async def _work(self) -> None:
        """Restore, let calls in, then what goes on in the background."""
        starting = asyncio.ensure_future(asyncio.to_thread(self.hooks.run, Stage.START))
        try:
            await asyncio.to_thread(self.lifecycle.restore)
            if self.config.eager_service_loading:
                await asyncio.to_thread(self._warm)
        except PerdureError as error:
            self.lifecycle.phase, self.lifecycle.reason = "error", str(error)
            log.error("%s (%s)", error, error.hint)  # noqa: TRY400 - expected, no traceback
            self.failure = error
            self.stop()
            return
        except Exception as error:
            # Our own mistake; else nobody would ever be let in, nor told why.
            log.exception("the state could not be restored")
            self.failure = LoadError("(all)", repr(error))
            self.lifecycle.phase, self.lifecycle.reason = "error", str(self.failure)
            self.stop()
            return
        await asyncio.wait([starting], timeout=START_SECONDS)
        if not starting.done():
            log.warning("a script of start.d still runs: calls are let in; AWS is for ready.d")
        self.app.ready.set()
        if not self.lifecycle.enabled:
            return
        if self.config.snapshot_save_strategy is SaveStrategy.SCHEDULED:
            await self.lifecycle.save_periodically()
        if self.config.snapshot_save_strategy is SaveStrategy.JOURNAL:
            await self.lifecycle.checkpoint_when_due()

    async def _greet(self) -> None:
        """Run the scripts that call AWS, then say what wait scripts look for."""
        await self.app.ready.wait()
        for stage in (Stage.FIRST_BOOT, Stage.READY):
            await asyncio.to_thread(self.hooks.run, stage)
        if not self._stopping.is_set():
            log.info("Ready.")

    async def _run_last_hooks(self) -> None:
        """Run the scripts of shutdown.d while calls are still answered."""
        await asyncio.to_thread(self.hooks.halt)
        if self.app.ready.is_set():
            await asyncio.to_thread(self.hooks.run, Stage.SHUTDOWN)

    async def _verify(self) -> None:
        """Tell damage before it is needed, where stores are loaded on first use."""
        await self.app.ready.wait()
        lazily = self.config.snapshot_load_strategy is LoadStrategy.ON_REQUEST
        if self.lifecycle.enabled and lazily:
            await asyncio.to_thread(self.lifecycle.verify_files, self._stopping.is_set)

    def _warm(self) -> None:
        names = self.config.services
        modules = {by_name()[name].module for name in names} if names else self.engine.services()
        self.engine.warm(sorted(modules))

    def _announce(self) -> list[int]:
        """Write a run file per port, for ``perdure stop`` and ``status``."""
        ports = []
        for opened in self.sockets:
            host, port = opened.getsockname()[:2]
            log.info("listening on %s, Perdure %s", Address(host, port), __version__)
            runfile.write(
                runfile.RunRecord.current(str(Address(host, port)), state_dir=self.config.state_dir)
            )
            ports.append(port)
        return ports


class _Uvicorn(uvicorn.Server):
    """Signals are the process' business, not the HTTP server's."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """None: see ``Server.run``."""
        return nullcontext()


def _check_names(config: Config) -> None:
    """Refuse names that only the engine knows to be wrong.

    A misspelt service would be switched off, and every other one with it.
    """
    if not config.allow_nonstandard_regions and not REGION.fullmatch(config.default_region):
        raise ConfigError(
            "DEFAULT_REGION", config.default_region, "an AWS region, or ALLOW_NONSTANDARD_REGIONS=1"
        )
    unknown = sorted((config.services or frozenset()) - by_name().keys())
    if unknown:
        raise ConfigError("SERVICES", ",".join(unknown), "names of services as /health lists them")


def _reached(listening: socket.socket) -> str:
    """How a client on this machine names a socket that listens."""
    return f"localhost:{listening.getsockname()[1]}"


def _warn_of_lost_state(config: Config) -> None:
    """Say it if what is saved ends with the container."""
    if config.state_dir is not None and in_container():
        said = container_warning(config.state_dir)
        if said is not None:
            log.warning(said)


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise ListenError(str(address), error.strerror or str(error)) from error
    opened.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return opened


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s : %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(_on_real_time)
    for noisy in ("botocore", "boto3", "urllib3", "asyncio", "uvicorn.error", "hpack"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _on_real_time(record: logging.LogRecord) -> bool:
    """Date a line by the real clock: one said within a call was dated by the call's pins."""
    now = pins.now_us()
    record.created, record.msecs = now / 1e6, float(now // 1000 % 1000)
    return True
