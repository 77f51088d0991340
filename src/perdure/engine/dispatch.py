"""A call to moto's handler and back, in process.

moto's server finds the handler by matching 183 host patterns, lists its own folder
for every request and goes through Flask.  Here the service is known already: its
handlers are looked up once, in moto's own order, and called with a request built
from the parts at hand.  Needs the engine lock.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from botocore.model import OperationNotFoundError
from werkzeug.exceptions import HTTPException

from perdure.engine.calls import Answer, Call
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.quirks import names
from perdure.engine.quirks.identity import write_visits
from perdure.engine.quirks.polling import PATIENCE
from perdure.engine.requests import CallRequest, environ_for, request_for
from perdure.errors import RequestError
from perdure.persistence.body import Body

# An answer's body that is no larger is read whole: it costs less than being streamed.
SMALL_BYTES = 256 << 10
Handler = Callable[[Any, str, Any], Any]
Route = tuple[Callable[[str], Any], Handler]
DEFAULT_CONTENT_TYPES = {
    "json": "application/x-amz-json-1.1",
    "rest-json": "application/json",
    "smithy-rpc-v2-cbor": "application/cbor",
}


@cache
def routes_of(module: str) -> tuple[Route, ...]:
    """The module's handlers with what matches their paths, in moto's order."""
    with ENGINE_LOCK:  # imports are pinned, and so is the clock of all meanwhile
        paths = importlib.import_module(f"moto.{module}.urls").url_paths
    return tuple((re.compile(path.format("")).match, handler) for path, handler in paths.items())


def find_handler(call: Call) -> Handler:
    """The handler for a call.

    Raises:
        RequestError: No path of the service matches: the operation is unknown.
    """
    routes = routes_of(call.service.module)
    for matches, handler in routes:
        if matches(call.path):
            return handler
    if call.service.protocol in ("json", "query", "ec2"):
        # These protocols name the operation in header or body; the path says nothing.
        for matches, handler in routes:
            if matches("/"):
                return handler
    if operation_name(call) != call.operation:
        # The model knows it by this method and path.
        raise not_implemented(call, "no handler for its path")
    raise unknown_operation(call)


def unknown_operation(call: Call) -> RequestError:
    """Neither the service's model nor moto knows what was asked for."""
    return RequestError(
        "UnknownOperationException",
        f"{call.service.name} has no operation {call.operation!r} that Perdure can run",
        status=404,
    )


def not_implemented(call: Call, why: object) -> RequestError:
    """AWS has the operation, moto does not; or not in the way it was asked for."""
    return RequestError(
        "NotImplemented",
        f"{call.service.name} {operation_name(call)} "
        f"is not implemented by the engine (moto): {why}",
        status=501,
    )


def attempt(call: Call, *, may_park: bool) -> Answer:
    """``dispatch`` with what stands around it, alike when it is first run and when replayed.

    Args:
        call: What to run.
        may_park: Whether a poll that finds nothing may raise ``ParkedError``.
    """
    if call.service.module == "iam":
        write_visits()
    PATIENCE.may_park = may_park
    try:
        return dispatch(call)
    finally:
        PATIENCE.may_park = False


def dispatch(call: Call) -> Answer:
    """Run the call in moto.

    Raises:
        RequestError: moto does not know the operation.
        Exception: Whatever moto did not expect.
    """
    handler = find_handler(call)
    request = request_for(call)
    query = f"?{call.query}" if call.query else ""
    url = f"{call.scheme}://{call.host}{call.path}{query}"
    names.enter(call)
    try:
        result = handler(request, url, request.headers)
    except HTTPException as error:
        result = error.code or 500, dict(error.get_headers()), error.get_body()
    except NotImplementedError as error:
        raise not_implemented(call, error) from error
    except OperationNotFoundError as error:
        raise unknown_operation(call) from error
    return _answer(call, result)


def operation_name(call: Call) -> str:
    """The AWS operation, found by the model's routes where the request does not name it.

    Costs a few milliseconds the first time of a service: for errors and logs only.
    """
    if not call.operation.startswith(call.method + " "):
        return call.operation
    from moto.core.routing import get_service_router

    try:
        operation, _ = get_service_router(call.service.name).match(CallRequest(environ_for(call)))
    except Exception:  # noqa: BLE001 - the router raises what werkzeug raises, and more
        return call.operation
    return str(operation.name)


def _answer(call: Call, result: Any) -> Answer:
    """Moto's result as status, headers and bytes."""
    status, headers, body = result if isinstance(result, tuple) else (200, {}, result)
    if isinstance(body, str):
        body = body.encode()
    elif body is None:
        body = b""
    elif isinstance(body, Body):
        # Now: once the answer has begun, damage could only cut it short.
        body.check()
        body = body if len(body) > SMALL_BYTES else body.read_all()
    elif not isinstance(body, bytes):
        body = b"".join(part if isinstance(part, bytes) else part.encode() for part in body)
    out = [
        (str(name).lower(), str(value))
        for name, value in headers.items()
        if str(name).lower() != "status"
    ]
    if body and all(name != "content-type" for name, _ in out):
        out.append(("content-type", DEFAULT_CONTENT_TYPES.get(call.service.protocol, "text/xml")))
    return Answer(int(status), out, body)
