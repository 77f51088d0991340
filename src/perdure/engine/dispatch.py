"""A call to moto's handler and back, in process.

moto's server finds the handler by matching 183 host patterns, lists its own folder
for every request and goes through Flask.  Here the service is known already: its
handlers are looked up once, in moto's own order, and called with a request built
from the parts at hand.  Needs the engine lock.
"""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote_to_bytes

from botocore.model import OperationNotFoundError
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    EnvironHeaders,
    Request,
    environ_key_for_header,
    should_preserve_original_header_name,
)
from werkzeug.exceptions import HTTPException

from perdure.engine.calls import Answer, Call, Headers
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.quirks import names
from perdure.engine.quirks.identity import ACCOUNT, KEY, REGION, write_visits
from perdure.engine.quirks.polling import PATIENCE
from perdure.errors import RequestError
from perdure.persistence.body import Body

# In the environment of a request: its body, if that is in blobs.
BODY = "perdure.body"
# An answer's body that is no larger is read whole: it costs less than being streamed.
SMALL_BYTES = 256 << 10
Handler = Callable[[Any, str, Any], Any]
Route = tuple[Callable[[str], Any], Handler]
DEFAULT_CONTENT_TYPES = {
    "json": "application/x-amz-json-1.1",
    "rest-json": "application/json",
    "smithy-rpc-v2-cbor": "application/cbor",
}


# Written in one way only, and with a port that no scheme implies.
PLAIN_HOST = re.compile(r"(?!.*xn--)[a-z0-9][a-z0-9.-]*(:(?!80$|443$)[1-9][0-9]{1,4})?", re.ASCII)
PLAIN_PATH = re.compile(r"/(?!/)[A-Za-z0-9/._-]*", re.ASCII)
PLAIN_QUERY = re.compile(r"[A-Za-z0-9._=&-]+", re.ASCII)
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class _Headers(EnvironHeaders):  # type: ignore[misc]
    """The same list each time: moto goes through it some thirty times for an S3 put.

    Its names are made of the environment's, which nobody changes once the request is made.
    """

    _kept: list[tuple[str, str]] | None = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        if self._kept is None:
            self._kept = list(super().__iter__())
        return iter(self._kept)


class _Request(Request):  # type: ignore[misc]
    """moto treats requests of a server differently: it adds no Date header."""

    from_wsgi_server = True

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ)
        self.headers = _Headers(environ)

    @property
    def want_form_data_parsed(self) -> bool:
        """Whether there is a form in the body.

        werkzeug makes a parser for whatever has a type, which then finds that it is none:
        a tenth of a call.
        """
        return str(self.environ.get("CONTENT_TYPE", "")).strip().lower().startswith(FORMS)

    @property
    def url(self) -> str:
        """The URL in words; werkzeug quotes one and reads it again, where nothing is quoted."""
        host, query = self.environ["HTTP_HOST"], self.environ["QUERY_STRING"]
        if PLAIN_HOST.fullmatch(host) and PLAIN_PATH.fullmatch(self.path):
            if not query:
                return f"{self.scheme}://{host}{self.path}"
            if PLAIN_QUERY.fullmatch(query):
                return f"{self.scheme}://{host}{self.path}?{query}"
        return str(super().url)

    @property
    def raw_url(self) -> str:
        """The URL as it was sent; werkzeug reads and writes one anew for it."""
        host = self.environ["HTTP_HOST"]
        if not PLAIN_HOST.fullmatch(host):
            return str(super().raw_url)
        query = f"?{self.query_string.decode()}" if self.query_string else ""
        return f"{self.scheme}://{host}{self.raw_path}{query}"


class _ObjectRequest(_Request):
    """To S3 a body is an object, whatever its type says; only a browser's upload is a form.

    curl and urllib name every body a form, and moto would store the object empty.  A
    browser's is a POST without a query.
    """

    @property
    def data(self) -> Any:
        """The body: bytes, or what stands for a large one."""
        body = self.environ.get(BODY)
        return super().data if body is None else body

    @property
    def want_form_data_parsed(self) -> bool:
        """Whether the body is taken apart before the handler sees it."""
        kind = str(self.environ.get("CONTENT_TYPE", ""))
        is_upload = self.method == "POST" and not self.query_string
        return kind.startswith("multipart/form-data") or is_upload


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
    environ = environ_for(call)
    kind = _ObjectRequest if call.service.module == "s3" else _Request
    request = kind(environ)
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
        operation, _ = get_service_router(call.service.name).match(_Request(environ_for(call)))
    except Exception:  # noqa: BLE001 - the router raises what werkzeug raises, and more
        return call.operation
    return str(operation.name)


def environ_for(call: Call) -> dict[str, Any]:
    """The WSGI environment moto reads a request from."""
    name, _, port = call.host.rpartition(":")
    if not port.isdigit():
        name, port = call.host, "443" if call.scheme == "https" else "80"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(call.path).decode("latin-1"),
        "RAW_URI": call.path + (f"?{call.query}" if call.query else ""),
        "QUERY_STRING": call.query,
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": call.scheme,
        "wsgi.input": io.BytesIO(call.body if isinstance(call.body, bytes) else b""),
        # It ends where the body does, and needs nothing around it that counts.
        "wsgi.input_terminated": True,
        REGION: call.region,
        ACCOUNT: call.account,
        KEY: call.access_key,
    }
    if isinstance(call.body, Body):
        environ[BODY] = call.body
    _add_headers(environ, call.headers)
    # The body is whole; werkzeug would take a chunked one for endless and read none of it.
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(len(call.body))
    environ["HTTP_HOST"] = call.host
    return environ


def _add_headers(environ: dict[str, Any], headers: Headers) -> None:
    preserved = {}
    for name, value in headers:
        key = environ_key_for_header(name)
        if key in environ:
            environ[key] += "," + value
        else:
            environ[key] = value
        if should_preserve_original_header_name(name):
            preserved[key] = name
    if preserved:
        environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = preserved


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
