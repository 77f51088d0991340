r"""Calls that LocalStack 0.x recorded, read from ``recorded_api_calls.json``.

One JSON object a line, appended as calls were answered:

    a    the service, as LocalStack calls it: s3, sqs, stepfunctions ...
    m p  method; path with its query
    d    the body, base64, or null
    h    the headers
    rd   the answer's body, base64; older files have none

A crash leaves a torn last line, which is named and left out; so is one behind which a
server that was started again went on in the same line.  A line that is broken in any
other way is damage and is told as such.  A body may be recorded as it stood on the wire, in chunks
with signatures (``aws-chunked``); it is undone here, whether or not the headers say so.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from perdure.errors import RecordingError, RequestError

NAME = "recorded_api_calls.json"
SIGNED_CHUNK = re.compile(rb"[0-9a-fA-F]{1,16};chunk-signature=[0-9a-f]{64}\r\n")
READS = re.compile(
    r"(Describe|List|Get|Head|BatchGet|Search|Lookup|Select|Preview|Validate|Check)[A-Z]\w*"
    r"|Query|Scan"
)
# What these answer is needed by calls that came after, though they read, too.
NEEDED = frozenset({"GetSessionToken", "GetFederationToken"})
# How LocalStack began each record.
BEGIN = b'{"a": '
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE_METHODS | {"PUT", "POST", "DELETE", "PATCH"}
# Not AWS calls: LocalStack recorded none, so one in the file was put there.
INTERNAL = ("/_localstack", "/_aws", "/moto-api")
FAILED_XML = re.compile(rb"<(ErrorResponse|Error|Response>\s*<Errors)[\s>]")


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded call.

    Attributes:
        line: Its line in the file, from 1.
        service: As LocalStack called it.
        method: Upper case.
        path: With the query, as it was sent.
        headers: Names in lower case.
        body: Without chunks.
        answer: What was answered then; None where the file does not say.
    """

    line: int
    service: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    answer: bytes | None

    @property
    def operation(self) -> str | None:
        """The AWS operation where the request names it, else None."""
        target = self.headers.get("x-amz-target")
        if target:
            return target.rpartition(".")[2]
        return self._fields().get("Action")

    def _fields(self) -> dict[str, str]:
        _, _, query = self.path.partition("?")
        fields = dict(parse_qsl(query))
        if "x-www-form-urlencoded" in self.headers.get("content-type", ""):
            fields |= dict(parse_qsl(self.body.decode("utf-8", "replace")))
        return fields

    @property
    def name(self) -> str:
        """For messages: service and operation, or method and path."""
        path = self.path.partition("?")[0][:100]
        return f"{self.service} {self.operation or f'{self.method} {path}'}"

    def is_read(self) -> bool:
        """Whether it changed nothing, so that it need not be replayed."""
        operation = self.operation
        if operation is None:
            return self.method in SAFE_METHODS
        if operation == "ReceiveMessage":
            # Later deletions name what it handed out; a poll that found nothing did nothing.
            return self.answer is not None and b"ReceiptHandle" not in self.answer
        return operation not in NEEDED and READS.fullmatch(operation) is not None

    def had_failed(self) -> bool:
        """Whether it was answered with an error then."""
        answer = self.answer or b""
        if FAILED_XML.search(answer[:500]):
            return True
        if not answer.startswith(b"{"):
            return False
        try:
            document = json.loads(answer)
        except (ValueError, RecursionError):
            return False
        return "__type" in document and bool({"message", "Message"} & document.keys())


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that is no recorded call; ``is_torn``: a crash cut it short."""

    line: int
    reason: str
    is_torn: bool


def find(path: Path) -> Path:
    """The file itself, or the one in a LocalStack volume.

    Raises:
        RecordingError: There is none, or it cannot be read.
    """
    found = path / NAME if path.is_dir() else path
    if not found.is_file():
        raise RecordingError(found, "it is not there, or no regular file")
    return found


def read(path: Path) -> Iterator[Record | Broken]:
    """Every line of a file, in order; empty ones are passed over.

    Raises:
        RecordingError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield from _line(number, line)
    except OSError as error:
        raise RecordingError(path, error.strerror or str(error)) from error


def _line(number: int, line: bytes) -> Iterator[Record | Broken]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        behind = line.rfind(BEGIN, 1)
        # Only the last line can lack its end: whatever follows was written after it.
        is_torn = behind > 0 or not line.endswith(b"\n")
        yield Broken(number, f"not JSON: {error}"[:200], is_torn=is_torn)
        if behind > 0:
            yield from _line(number, line[behind:])
        return
    try:
        yield _record(number, document)
    except (KeyError, TypeError, ValueError, RequestError) as error:
        yield Broken(number, f"not a recorded call: {error!r}"[:200], is_torn=False)


def _record(number: int, document: Any) -> Record:
    if not isinstance(document, dict):
        raise TypeError("an object is expected")
    service, method, path = (_text(document, name) for name in ("a", "m", "p"))
    headers = document.get("h") or {}
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise TypeError("h: an object of strings is expected")
    if method.upper() not in METHODS:
        raise ValueError(f"m: no AWS call has the method {method[:20]!r}")
    if not path.startswith("/") or unquote(path).startswith(INTERNAL):
        raise ValueError(f"p: {path[:100]!r} is no path of an AWS call")
    named = {name.lower(): value for name, value in headers.items()}
    body, named = undo_chunks(_bytes(document.get("d")) or b"", named)
    return Record(number, service, method.upper(), path, named, body, _bytes(document.get("rd")))


def undo_chunks(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Body and headers as if the request had never been chunked.

    Raises:
        RequestError: The body is in signed chunks, and they are damaged.
    """
    from perdure.gateway import wire

    is_declared = wire.is_aws_chunked(headers)
    is_signed = SIGNED_CHUNK.match(body) is not None
    if not is_declared and not is_signed:
        return body, headers
    trailers: list[tuple[str, str]] = []
    try:
        body, trailers = wire.undo_aws_chunked(body, headers)
    except RequestError:
        if is_signed:
            raise
        # Recorded without its chunks: only the headers still speak of them.
    return body, dict(wire.plain_headers(list(headers.items()), trailers))


def _text(document: dict[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise TypeError(f"{name}: text is expected")
    return value


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("base64 text is expected")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
