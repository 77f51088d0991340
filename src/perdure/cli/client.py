"""The server's HTTP interface, seen from outside.

Only the standard library: a client that starts in milliseconds.  Proxies of the
environment are not used, since the server is on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from perdure.config import Address
from perdure.errors import NotRunningError, RefusedError

HEALTH_TIMEOUT_S = 2.0
STATE_TIMEOUT_S = 600.0  # between two answers, not for all of them

_opener = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one service; ``message`` is None when all went well."""

    service: str
    message: str | None

    def to_json(self) -> dict[str, str]:
        """The same shape as the server's own lines."""
        if self.message is None:
            return {"service": self.service, "status": "ok"}
        return {"service": self.service, "status": "error", "message": self.message}


class Client:
    """Talks to the server at one address."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def health(self) -> dict[str, Any] | None:
        """The health document; None when no server of ours answers."""
        try:
            url = f"http://{self.address}/_localstack/health"
            with _opener.open(url, timeout=HEALTH_TIMEOUT_S) as response:
                document = json.load(response)
        except (OSError, HTTPException, ValueError):
            return None
        # The features tell a server that speaks this interface from any other.
        if not isinstance(document, dict) or not isinstance(document.get("features"), dict):
            return None
        return document

    def state(self, verb: str, service: str | None) -> Iterator[Outcome]:
        """Save, load or reset one service or all, yielding each outcome as it comes.

        Args:
            verb: ``save``, ``load`` or ``reset``.
            service: None = all.

        Raises:
            NotRunningError: No server answers, or it ended in between.
            RefusedError: The server does not do this.
        """
        part = "" if service is None else f"/{quote(service, safe='')}"
        request = Request(
            f"http://{self.address}/_localstack/state{part}/{verb}", data=b"", method="POST"
        )
        try:
            with _opener.open(request, timeout=STATE_TIMEOUT_S) as response:
                if service is None and verb != "reset":
                    yield from (_outcome(json.loads(line)) for line in response if line.strip())
        except HTTPError as error:
            with error:
                yield _refused(error, service)
            return
        except (OSError, HTTPException) as error:
            raise NotRunningError(str(self.address)) from error
        except ValueError as error:
            raise _not_understood(self.address) from error
        if service is not None:
            yield Outcome(service, None)


def persistence(health: dict[str, Any]) -> str:
    """``disabled``, ``initializing``, ``initialized`` or ``error``."""
    return str(health["features"].get("persistence", "disabled"))


def reason(health: dict[str, Any]) -> str | None:
    """Why persistence is not in order; None when the server gives no reason."""
    detail = health.get("persistence")
    found = detail.get("reason") if isinstance(detail, dict) else None
    return None if found is None else str(found)


def is_ready(health: dict[str, Any] | None) -> bool:
    """Whether AWS calls are answered and the scripts of ready.d have ended.

    ``persistence`` tells how well the server remembers.
    """
    if health is None or persistence(health) == "initializing":
        return False
    return bool(health["features"].get("initScripts") != "initializing")


def _outcome(line: object) -> Outcome:
    if not isinstance(line, dict) or "service" not in line:
        raise ValueError(line)
    failed = line.get("status") != "ok"
    message = str(line.get("message", "no reason given")) if failed else None
    return Outcome(str(line["service"]), message)


def _refused(error: HTTPError, service: str | None) -> Outcome:
    """The outcome in an answer that is not 200.

    Raises:
        RefusedError: It says that nothing was tried.
    """
    message = _message(error)
    if error.code == HTTPStatus.NOT_FOUND:
        raise RefusedError(
            f"the server knows no service {service!r}" if service else "not offered by the server",
            hint="`perdure status --json` lists the services",
        )
    if error.code == HTTPStatus.CONFLICT:
        raise RefusedError(
            message or "persistence is off",
            hint="start the server with DATA_DIR or --data-dir set; `perdure status` shows why",
        )
    if service is None or error.code != HTTPStatus.INTERNAL_SERVER_ERROR:
        raise RefusedError(
            f"the server answered {error.code}: {message or error.reason}",
            hint="read `perdure logs`",
        )
    return Outcome(service, message or "no reason given")


def _message(error: HTTPError) -> str | None:
    try:
        document = json.load(error)
    except (OSError, HTTPException, ValueError):
        return None
    message = document.get("message") if isinstance(document, dict) else None
    return None if message is None else str(message)


def _not_understood(address: Address) -> RefusedError:
    return RefusedError(
        f"what answers at {address} does not speak Perdure's state interface",
        hint="`perdure status` shows what listens there; both sides should be of one version",
    )
