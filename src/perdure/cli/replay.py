"""Recorded calls sent to a running server, one after the other.

Only writes are sent.  Waiting is taken out of polls, old ids are replaced by those the
server gives now, and a call that fails is noted with the reason while the rest goes on.
"""

from __future__ import annotations

import http.client
import re
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from perdure.cli import recorded
from perdure.cli.identifiers import Identifiers
from perdure.cli.recorded import Broken, Record
from perdure.config import Address
from perdure.errors import NotRunningError

TIMEOUT_S = 120.0
# Said anew by this connection, or about the old one.
DROPPED = frozenset(
    {
        *("content-length", "transfer-encoding", "connection", "keep-alive", "expect", "te"),
        *("accept-encoding", "proxy-authorization", "proxy-connection", "upgrade", "origin"),
        *("x-forwarded-for", "content-md5"),
    }
)
CODE = re.compile(rb"<Code>([^<]{1,100})</Code>|\"__type\": ?\"([^\"]{1,100})\"")
MESSAGE = re.compile(rb"<Message>([^<]{1,300})|\"[mM]essage\": ?\"([^\"]{1,300})")
WAIT_FORM = re.compile(rb"(?<![^&])WaitTimeSeconds=\d+")
WAIT_JSON = re.compile(rb"\"WaitTimeSeconds\": ?\d+")
# Queries that make an S3 request one about settings, whose body is XML of AWS'.
NOT_SETTINGS = frozenset({"partNumber", "uploadId", "x-id", "versionId"})


@dataclass(frozen=True, slots=True)
class Failure:
    """One call that could not be replayed; ``call`` is None for a line that is none."""

    line: int
    call: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {"line": self.line, "call": self.call, "reason": self.reason}


@dataclass(slots=True)
class Outcome:
    """What became of a file's calls."""

    restored: int = 0
    reads: int = 0
    failed_then: int = 0
    ids: int = 0
    torn_lines: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def replay(path: Path, address: Address, region: str, show: Callable[[str], None]) -> Outcome:
    """Send a file's writes to the server.

    Args:
        path: The file.
        address: Where the server listens.
        region: Of requests that were recorded without a signature.
        show: Told now and then how far it is.

    Raises:
        NotRunningError: No server answers, or it ended in between.
        RecordingError: The file cannot be read.
    """
    outcome, ids = Outcome(), Identifiers()
    server = Server(address)
    try:
        for entry in recorded.read(path):
            show(f"state import: line {entry.line}")
            if isinstance(entry, Broken):
                _note_broken(outcome, entry)
            elif entry.is_read():
                outcome.reads += 1
            elif entry.had_failed():
                outcome.failed_then += 1
            else:
                _replay_one(server, entry, ids, outcome, region)
    finally:
        server.close()
    outcome.ids = len(ids)
    return outcome


def _note_broken(outcome: Outcome, broken: Broken) -> None:
    if broken.is_torn:
        outcome.torn_lines.append(broken.line)
    else:
        outcome.failures.append(Failure(broken.line, None, broken.reason))


def _replay_one(
    server: Server, record: Record, ids: Identifiers, outcome: Outcome, region: str
) -> None:
    try:
        request = prepare(record, ids, region)
        status, answer = server.send(*request)
    except (ValueError, UnicodeError) as error:
        outcome.failures.append(Failure(record.line, record.name, f"cannot be sent: {error}"))
        return
    if status >= HTTPStatus.BAD_REQUEST:
        outcome.failures.append(Failure(record.line, record.name, reason(status, answer)))
        return
    outcome.restored += 1
    ids.learn(record.answer, answer)


def prepare(
    record: Record, ids: Identifiers, region: str
) -> tuple[str, str, dict[str, str], bytes]:
    """Method, target, headers and body of the request to send."""
    path = quote(ids.rewrite_text(record.path), safe=string.punctuation)
    headers = {
        name: ids.rewrite_text(value)
        for name, value in record.headers.items()
        if name not in DROPPED
    }
    if "Credential=" not in headers.get("authorization", "") and "X-Amz-Credential" not in path:
        headers["authorization"] = _signature(record.service, region)
    body = record.body
    if not _is_object(record):
        body = ids.rewrite(body)
    if record.operation == "ReceiveMessage":
        path, body = _without_wait(path.encode()).decode(), _without_wait(body)
    return record.method, path, headers, body


def _is_object(record: Record) -> bool:
    """Whether the body is an S3 object: users' own bytes, in which nothing is replaced."""
    if record.service != "s3" or record.method not in ("PUT", "POST"):
        return False
    query = record.path.partition("?")[2]
    return not {name for name, _ in parse_qsl(query, keep_blank_values=True)} - NOT_SETTINGS


def _without_wait(body: bytes) -> bytes:
    """A body, or a path with its query, that asks for messages that are there now."""
    if body.lstrip().startswith(b"{"):
        if WAIT_JSON.search(body):
            return WAIT_JSON.sub(b'"WaitTimeSeconds": 0', body)
        return body.rstrip()[:-1] + b', "WaitTimeSeconds": 0}'
    if WAIT_FORM.search(body):
        return WAIT_FORM.sub(b"WaitTimeSeconds=0", body)
    # The queue itself may have a time to wait.
    return body + b"&WaitTimeSeconds=0" if b"=" in body else body


def _signature(service: str, region: str) -> str:
    """What a signed request says of service and region; nothing more of it is read."""
    from perdure.engine.services import by_name

    known = by_name().get(service)
    signing = service if known is None else known.signing
    return (
        f"AWS4-HMAC-SHA256 Credential=test/20200101/{region}/{signing}/aws4_request, "
        "SignedHeaders=host, Signature=0"
    )


def reason(status: int, answer: bytes) -> str:
    """Status, code and message of an error of any protocol."""
    parts = [str(status)]
    for pattern in (CODE, MESSAGE):
        found = pattern.search(answer)
        if found:
            text = next(group for group in found.groups() if group)
            parts.append(text.decode("utf-8", "replace"))
    return ": ".join(parts)


class Server:
    """One connection to the server, kept open."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)

    def send(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            NotRunningError: There was none.
            ValueError: The request cannot be put on the wire.
        """
        # The recorded Host stays: a bucket may stand in it.
        headers = {"host": str(self.address), **headers, "content-length": str(len(body))}
        try:
            return self._send(method, target, headers, body)
        except http.client.InvalidURL as error:
            self.close()
            raise ValueError(str(error)) from error
        except ValueError:
            self.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NotRunningError(str(self.address)) from error

    def _send(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        self._connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders(body)
        with self._connection.getresponse() as answer:
            return answer.status, answer.read()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()
