"""Calls over HTTP through botocore, with the answer as it came off the wire.

Whether a read is identical is asked of status, headers and body, byte for byte,
without what names the request or the moment of its transport.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from tests.coverage.headers import CHANGED, OBSERVE
from tests.coverage.words import words

TIMEOUT_S = 10
SLOW_S = 0.5
BODY_KEPT_BYTES = 20_000
NOT_IMPLEMENTED = 501
# moto says so of an operation; of a parameter it says something else.
NO_SUCH_OPERATION = re.compile(
    rb"has not been implemented|no handler for its path|UnknownOperationException"
)
# The CRC is that of a body with a request's id in it.
OF_THE_TRANSPORT = {CHANGED, "x-amz-crc32"} | words(
    "date server connection content-length transfer-encoding x-localstack x-amz-id-2 "
    "x-amzn-requestid x-amz-request-id x-amzn-request-id x-amzn-trace-id"
)
_REQUEST_IDS = re.compile(
    rb'(?i)(<(?:request_?id|hostid)>)[^<]*|("(?:request_?id|hostid)"\s*:\s*")[^"]*'
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer.

    Attributes:
        status: 0 if there was none.
        digest: Of what must be identical.
        body: The first bytes, for reports.
        parsed: What botocore made of it; empty for errors.
        changed: Modules whose stores the call changed, if it was observed.
        why: The error, if it was one.
    """

    status: int
    digest: str
    body: bytes
    parsed: Mapping[str, Any]
    changed: frozenset[str]
    why: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 400 or self.status == 304

    @property
    def is_unknown(self) -> bool:
        """Whether moto does not implement the operation."""
        refused = self.status in (NOT_IMPLEMENTED, 404)
        return refused and NO_SUCH_OPERATION.search(self.body) is not None


class Caller:
    """A client of one service, in one account."""

    def __init__(
        self, session: botocore.session.Session, service: str, *, url: str, account: str
    ) -> None:
        self._url = url
        self.client = session.create_client(
            service,
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id=account,
            aws_secret_access_key="sweep",
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=TIMEOUT_S,
                read_timeout=TIMEOUT_S,
                s3={"addressing_style": "path"},
                inject_host_prefix=False,
                request_checksum_calculation="when_required",
            ),
        )
        self.model = self.client.meta.service_model
        self._methods = {v: k for k, v in self.client.meta.method_to_api_mapping.items()}
        self._last: tuple[int, Mapping[str, str], bytes] | None = None
        self._observe, self._parse = False, True
        # Operations that took long, with the seconds.
        self.slow: dict[str, float] = {}
        self.client.meta.events.register("before-send", self._mark)
        session_of = self.client._endpoint.http_session
        self._send, session_of.send = session_of.send, self._send_and_keep

    def close(self) -> None:
        """Close its connections."""
        self.client.close()

    def operations(self) -> list[OperationModel]:
        """Every operation of the model that a client can call."""
        return [self.model.operation_model(name) for name in sorted(self._methods)]

    def call(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        observe: bool = False,
        parse: bool = True,
    ) -> Seen:
        """Call an operation; every failure is an answer too.

        Args:
            operation: As the model names it.
            parameters: As the model takes them.
            observe: Ask which stores the call changed.
            parse: Without it only status and digest are told, in a tenth of the time
                where answers are large.
        """
        self._last, self._observe, self._parse = None, observe, parse
        parsed: Mapping[str, Any] = {}
        why = ""
        began = time.monotonic()
        try:
            parsed = getattr(self.client, self._methods[operation])(**parameters)
        except _EnoughError:
            pass
        except ClientError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - what a client raises is an answer, too
            why = f"{type(error).__name__}: {error}"
        parsed = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        if (taken := time.monotonic() - began) > SLOW_S:
            self.slow[operation] = max(taken, self.slow.get(operation, 0))
        if self._last is None:
            return Seen(0, "", b"", {}, frozenset(), why)
        status, headers, body = self._last
        changed = frozenset(filter(None, headers.get(CHANGED, "").split(",")))
        return Seen(
            status,
            digest_of(status, headers, body),
            body[:BODY_KEPT_BYTES],
            parsed,
            changed,
            why,
        )

    def _mark(self, request: Any, **_: Any) -> None:
        # Some services put an account or a bucket into the host, which nobody resolves.
        parts = urlsplit(request.url)
        request.url = urlunsplit((*urlsplit(self._url)[:2], *parts[2:]))
        if self._observe:
            request.headers[OBSERVE] = "1"

    def _send_and_keep(self, request: Any) -> Any:
        answer = self._send(request)
        body = answer.content
        headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
        self._last = answer.status_code, headers, body
        if not self._parse:
            raise _EnoughError
        answer.raw = _Replay(body)
        return answer


class _EnoughError(Exception):
    """Ends a call whose answer is not to be parsed."""


class _Replay:
    """The body again, for answers that botocore reads as a stream."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def read(self, amt: int | None = None) -> bytes:
        taken, self.body = self.body[:amt], self.body[amt:] if amt is not None else b""
        return taken

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.read()

    def close(self) -> None:
        pass


def digest_of(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """What must be the same before and after a restart."""
    kept = sorted((n, v) for n, v in headers.items() if n not in OF_THE_TRANSPORT)
    masked = _REQUEST_IDS.sub(rb"\1\2-", body)
    return blake2b(repr((status, kept)).encode() + masked, digest_size=16).hexdigest()


def is_alike(one: Any, other: Any) -> bool:
    """Whether two parsed answers have the same types wherever both have something.

    All that can be asked of an answer that changes by itself: what it leaves out, or
    lists, may change too.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(is_alike(one[name], other[name]) for name in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return not one or all(any(is_alike(part, like) for like in one) for part in other)
    return type(one) is type(other)
