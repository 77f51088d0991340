"""The ASGI application: an internal route, or an AWS call on its way.

wire -> classify -> execute -> save (ON_REQUEST) -> answer
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from perdure import __version__
from perdure.engine.calls import Answer, Headers
from perdure.errors import RequestError
from perdure.gateway import checksums, developer, downloads, uploads, wire
from perdure.gateway.classify import Classifier, RawRequest, scope_of
from perdure.gateway.internal import HEALTH_PATHS, PREFIX, Internal
from perdure.gateway.pipeline import Pipeline
from perdure.gateway.shapes import error_answer
from perdure.persistence.blobs import BlobStore
from perdure.persistence.body import Body

log = logging.getLogger(__name__)

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"})

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class App:
    """One server's application."""

    def __init__(
        self,
        classifier: Classifier,
        pipeline: Pipeline,
        internal: Internal,
        origins: frozenset[str] = frozenset(),
        blobs: BlobStore | None = None,
    ) -> None:
        self.classifier, self.pipeline = classifier, pipeline
        # Where large objects go while they arrive; None = none does.
        self.blobs = blobs
        # Of pages that may do what local ones may (EXTRA_CORS_ALLOWED_ORIGINS).
        self.origins = origins
        self.internal = internal.app()
        # AWS calls wait for it; internal routes do not.
        self.ready = asyncio.Event()

    async def __call__(self, scope: Scope, receive: wire.Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if _is_moto_api(scope):
            await developer.closed_moto_api()(scope, receive, send)
            return
        is_developer = path.startswith(developer.PREFIXES)
        is_health = path in HEALTH_PATHS and not _is_signed(scope)
        if path.startswith(PREFIX) or is_developer or is_health:
            if _is_foreign(scope, self.origins):
                error = RequestError(
                    "AccessDenied", "a page of another site may not do this", status=403
                )
                await _send(send, error_answer(error, protocol="rest-json"), [])
                return
            sent = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
            cors = wire.cors_headers(dict(reversed(sent)), (), self.origins)
            if scope["method"] == "OPTIONS" and cors:
                await _send(send, Answer(204, [], b""), cors)
                return
            if is_developer:
                # They show and change state, as calls do.
                await self.ready.wait()
            await self.internal(scope, receive, _adding(send, cors))
            return
        try:
            request = await self._request(scope, receive)
        except wire.DisconnectedError:
            return
        except RequestError as error:
            await _send(send, error_answer(error, protocol="rest-xml"), [])
            return
        await self.ready.wait()
        answer = await self._answer(request)
        names = [name for name, _ in answer.headers]
        cors = wire.cors_headers(request.first, names, self.origins)
        await _send(send, answer, cors, method=request.method, receive=receive)
        # The answer is in the socket: while the client reads it, nobody waits.
        self.pipeline.engine.prepare()

    async def _request(self, scope: Scope, receive: wire.Receive) -> RawRequest:
        headers: Headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        first = dict(reversed(headers))
        body: bytes | Body
        if self._is_large_object(scope, headers, first):
            assert self.blobs is not None
            body, trailers = await uploads.receive_object(receive, first, self.blobs)
            if wire.is_aws_chunked(first):
                headers = wire.plain_headers(headers, trailers)
        else:
            body = await wire.read_body(receive, first)
            if wire.is_aws_chunked(first) and body:
                body, trailers = wire.undo_aws_chunked(body, first)
                headers = wire.plain_headers(headers, trailers)
        return _raw(scope, headers, body)

    def _is_large_object(self, scope: Scope, headers: Headers, first: dict[str, str]) -> bool:
        """Whether the body may go to a blob while it arrives."""
        if self.blobs is None or not uploads.may_be_large(scope["method"], first):
            return False
        try:
            # Of copies: to classify a request may change its path and headers.
            call = self.classifier.classify(_raw(scope, list(headers), b""))
        except RequestError:
            return False  # it will be refused
        return uploads.puts_object(call)

    async def _answer(self, request: RawRequest) -> Answer:
        if request.method == "OPTIONS":
            return Answer(204, [], b"")
        if request.method not in METHODS:
            error = RequestError(
                "MethodNotAllowed", f"no AWS service takes {request.method}", status=405
            )
            return error_answer(error, protocol=_likely_protocol(request))
        try:
            call = self.classifier.classify(request)
            if isinstance(call.body, bytes) and call.method == "PUT" and uploads.puts_object(call):
                checksums.refuse_wrong(call.headers, call.body)
        except RequestError as error:
            return error_answer(error, protocol=_likely_protocol(request))
        answer = await self.pipeline.run(call)
        log.debug(
            "%s %s/%s %s %d",
            call.service.name,
            call.account,
            call.region,
            call.operation,
            answer.status,
        )
        return answer


def _raw(scope: Scope, headers: Headers, body: bytes | Body) -> RawRequest:
    first = dict(reversed(headers))
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return RawRequest(
        method=scope["method"],
        scheme=scope["scheme"],
        host=first.get("host") or "localhost",
        path=raw_path.partition(b"?")[0].decode("latin-1") or "/",
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        first=first,
        body=body,
    )


def _adding(send: Send, more: Headers) -> Send:
    """A ``send`` that adds headers to an answer."""
    if not more:
        return send
    added = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in more]

    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return adding


def _is_signed(scope: Scope) -> bool:
    """A signed request for ``/health`` asks for a bucket of that name."""
    return any(name == b"authorization" for name, _ in scope["headers"])


def _is_moto_api(scope: Scope) -> bool:
    """Whether moto's own interface is meant, and not a bucket of that name."""
    path = scope["path"]
    is_presigned = b"X-Amz-Signature=" in scope["query_string"]
    return (
        (path == "/moto-api" or path.startswith("/moto-api/"))
        and not is_presigned
        and not _is_signed(scope)
    )


def _is_foreign(scope: Scope, trusted: frozenset[str]) -> bool:
    """Whether a browser sends this for a page of another site."""
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    return scope["method"] not in ("GET", "HEAD") and not all(
        wire.is_allowed(origin.decode("latin-1"), trusted) for origin in origins
    )


def _likely_protocol(request: RawRequest) -> str:
    """The shape a client of an unknown service most likely reads."""
    if "x-amz-target" in request.first:
        return "json"
    if request.first.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return "query"
    if request.first.get("content-type", "").startswith("application/cbor"):
        return "smithy-rpc-v2-cbor"
    return "rest-xml" if scope_of(request).signing in (None, "s3") else "rest-json"


async def _send(
    send: Send,
    answer: Answer,
    more: Headers,
    *,
    method: str = "",
    receive: wire.Receive | None = None,
) -> None:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in (*answer.headers, *more)
        if name not in ("connection", "transfer-encoding", "content-length")
    ]
    declared = next((v for n, v in answer.headers if n == "content-length"), None)
    if method == "HEAD" and declared is not None:
        headers.append((b"content-length", declared.encode()))
    elif answer.status not in (204, 304):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    headers.append((b"x-localstack", __version__.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if method == "HEAD" or answer.status in (204, 304) else answer.body
    if isinstance(body, Body):
        await downloads.send_body(send, body, receive)
    else:
        await send({"type": "http.response.body", "body": body})
