"""Routes that are not AWS': health, info, state.  LocalStack's names and shapes.

Answered from copies, without the engine lock, so that they answer while a long
call runs; what changes state runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from perdure import __version__
from perdure.config import Config, in_container
from perdure.engine.core import Engine
from perdure.engine.services import by_name
from perdure.errors import PerdureError
from perdure.gateway.bodies import parsed, small_body
from perdure.gateway.developer import Developer
from perdure.gateway.init_hooks import InitHooks
from perdure.gateway.lifecycle import Lifecycle
from perdure.persistence.keys import StoreKey

HEALTH_PATHS = ("/_localstack/health", "/health")
PREFIX = "/_localstack/"
Work = Callable[[], dict[StoreKey, str | None]]


@dataclass(slots=True)
class Internal:
    """The internal application and what it reads from."""

    config: Config
    engine: Engine
    lifecycle: Lifecycle
    stop: Callable[[str], None]
    hooks: InitHooks = field(default_factory=InitHooks)
    started: float = field(default_factory=time.monotonic)
    session: str = field(default_factory=lambda: str(uuid.uuid4()))
    # What clients put into the health document (LocalStack's init scripts do).
    notes: dict[str, Any] = field(default_factory=dict)

    def app(self) -> Starlette:
        """The ASGI application for everything under ``HEALTH_PATHS`` and ``PREFIX``."""
        state = "/_localstack/state"
        routes = [
            *(Route(path, self.health, methods=["GET", "HEAD"]) for path in HEALTH_PATHS),
            *(Route(path, self.act, methods=["POST"]) for path in HEALTH_PATHS),
            *(Route(path, self.note, methods=["PUT"]) for path in HEALTH_PATHS),
            Route("/_localstack/info", self.info),
            *self.hooks.routes(),
            Route(f"{state}/save", self.save, methods=["POST"]),
            Route(f"{state}/load", self.load, methods=["POST"]),
            Route(f"{state}/reset", self.reset, methods=["POST"]),
            Route(f"{state}/{{service}}/save", self.save_one, methods=["POST"]),
            Route(f"{state}/{{service}}/load", self.load_one, methods=["POST"]),
            Route(f"{state}/{{service}}/reset", self.reset, methods=["POST"]),
        ]
        routes += Developer(self.config, self.engine, self.lifecycle).routes()
        app = Starlette(routes=routes, exception_handlers={404: _nothing_there})
        # A path with a slash too many is another path, as to LocalStack.
        app.router.redirect_slashes = False
        return app

    # ---------------------------------------------------------------- health

    async def health(self, _: Request) -> Response:
        """The health document."""
        return JSONResponse(self.document())

    def document(self) -> dict[str, Any]:
        """What ``/health`` says: services, features, persistence."""
        persistence = self.lifecycle.health()
        document = {
            "services": self._services(persistence["stores"]),
            "features": {"persistence": self.lifecycle.phase, "initScripts": self.hooks.phase},
            "edition": "community",
            "version": __version__,
            "persistence": persistence,
        }
        return _merged(document, self.notes)

    def _services(self, stores: dict[str, Any]) -> dict[str, str]:
        broken = {n.split("/")[1] for n, s in stores.items() if s["status"] == "quarantined"}
        shown = {}
        for module in self.engine.services():
            name = public_name(module)
            if self.config.services is not None and not {name, module} & self.config.services:
                shown[name] = "disabled"
            elif module in broken:
                shown[name] = "error"
            else:
                shown[name] = "running" if self.engine.is_imported(module) else "available"
        return shown

    async def act(self, request: Request) -> Response:
        """``{"action": "restart" | "kill"}``."""
        document = await _json(request)
        action = document.get("action") if isinstance(document, dict) else None
        if action not in ("restart", "kill"):
            return PlainTextResponse("invalid request: action is restart or kill", status_code=400)
        self.stop(action)
        return PlainTextResponse("ok")

    async def note(self, request: Request) -> Response:
        """Merge JSON into the health document; ``a:b`` names ``b`` inside ``a``."""
        document = await _json(request)
        if not isinstance(document, dict):
            return JSONResponse({"message": "a JSON object is expected"}, status_code=400)
        for name, value in document.items():
            *path, last = str(name).split(":")
            target = self.notes
            for part in path:
                inner = target.setdefault(part, {})
                target = inner if isinstance(inner, dict) else target
            target[last] = value
        return JSONResponse({"status": "OK"})

    async def info(self, _: Request) -> Response:
        """Who answers, since when."""
        return JSONResponse(
            {
                "version": __version__,
                "edition": "community",
                "is_license_activated": False,
                "session_id": self.session,
                "machine_id": f"{uuid.getnode():012x}",
                "system": platform.system().lower(),
                "is_docker": in_container(),
                "server_time_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
                "uptime": int(time.monotonic() - self.started),
                "pid": os.getpid(),
            }
        )

    # ----------------------------------------------------------------- state

    async def save(self, _: Request) -> Response:
        """Save what changed; a line per service."""
        return await self._lines(self._save_all)

    async def load(self, _: Request) -> Response:
        """Load the checkpoint; a line per service."""
        return await self._lines(self.lifecycle.load)

    async def save_one(self, request: Request) -> Response:
        """Save one service."""
        module = _module(request)
        return await self._one(request, lambda: self._save_all(module))

    async def load_one(self, request: Request) -> Response:
        """Load one service, and what shares objects with it."""
        module = _module(request)
        return await self._one(request, lambda: self.lifecycle.load(module))

    async def reset(self, request: Request) -> Response:
        """Empty one service, or all."""
        module = _module(request)
        if "service" in request.path_params and module is None:
            return _unknown(request)
        try:
            await asyncio.to_thread(self.lifecycle.reset, module)
        except PerdureError as error:
            return JSONResponse({"status": "error", "message": str(error)}, status_code=500)
        return Response()

    def _save_all(self, module: str | None = None) -> dict[StoreKey, str | None]:
        saved = self.lifecycle.save(everything=True)
        known = self.lifecycle.checkpointer.manifest.stores
        done: dict[StoreKey, str | None] = dict.fromkeys(
            key for key in known if module is None or key.module == module
        )
        done |= {
            key: str(error)
            for key, error in saved.failed.items()
            if module is None or key.module == module
        }
        for key, reason in self.engine.quarantined().items():
            if key in done:
                done[key] = f"set aside, its file stays as it is: {reason}"
        return done

    async def _lines(self, work: Work) -> Response:
        if not self.lifecycle.enabled:
            return _off()
        try:
            outcome = await asyncio.to_thread(work)
        except PerdureError as error:
            message = f"{error} ({error.hint})"
            return JSONResponse({"status": "error", "message": message}, status_code=500)

        async def lines() -> AsyncIterator[str]:
            for line in per_service(outcome):
                yield json.dumps(line) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def _one(self, request: Request, work: Work) -> Response:
        if _module(request) is None:
            return _unknown(request)
        if not self.lifecycle.enabled:
            return _off()
        service = request.path_params["service"]
        try:
            outcome = await asyncio.to_thread(work)
            reasons = [f"{key}: {reason}" for key, reason in outcome.items() if reason]
        except PerdureError as error:
            reasons = [f"{error} ({error.hint})"]
        if not reasons:
            return Response()
        document = {"service": service, "status": "error", "message": "; ".join(reasons)}
        return JSONResponse(document, status_code=500)


def per_service(outcome: dict[StoreKey, str | None]) -> list[dict[str, str]]:
    """The ndjson lines of a save or load: one per service, bad news first."""
    reasons: dict[str, list[str]] = {}
    for key, reason in outcome.items():
        known = reasons.setdefault(public_name(key.module), [])
        if reason is not None:
            known.append(f"{key}: {reason}")
    return [
        {"service": name, "status": "error", "message": "; ".join(why)}
        if why
        else {"service": name, "status": "ok"}
        for name, why in sorted(reasons.items(), key=lambda item: (not item[1], item[0]))
    ]


def public_name(module: str) -> str:
    """The name users know a moto module by: botocore's."""
    service = by_name().get(module)
    return module if service is None else service.name


def _module(request: Request) -> str | None:
    service = by_name().get(request.path_params.get("service", ""))
    return None if service is None else service.module


def _unknown(request: Request) -> Response:
    name = request.path_params["service"]
    return JSONResponse({"message": f"no service is named {name!r}"}, status_code=404)


def _nothing_there(_: Request, __: Exception) -> Response:
    """An unknown path is a 404 without a body, as LocalStack answers."""
    return Response(status_code=404)


def _off() -> Response:
    message = "persistence is off; start with DATA_DIR=<path> or PERSISTENCE=1"
    return JSONResponse({"status": "error", "message": message}, status_code=409)


async def _json(request: Request) -> Any:
    return parsed(await small_body(request) or b"{}")


def _merged(document: dict[str, Any], notes: dict[str, Any]) -> dict[str, Any]:
    for name, value in notes.items():
        inner = document.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            document[name] = _merged(dict(inner), value)
        else:
            document[name] = value
    return document
