"""A request as moto reads it, made of a call.

werkzeug's, which moto takes, is made for requests that come off a socket.  Here body and
headers are at hand, so what it would find out again and again is known or remembered; in
all else it answers as werkzeug's does.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    EnvironHeaders,
    Request,
    should_preserve_original_header_name,
)
from werkzeug.datastructures import ImmutableMultiDict

from perdure.engine.calls import Call, Headers
from perdure.engine.quirks.identity import ACCOUNT, KEY, REGION
from perdure.persistence.body import Body

# In the environment of a request: its body, if that is in blobs.
BODY = "perdure.body"
# Written in one way only, and with a port that no scheme implies.
PLAIN_HOST = re.compile(r"(?!.*xn--)[a-z0-9][a-z0-9.-]*(:(?!80$|443$)[1-9][0-9]{1,4})?", re.ASCII)
PLAIN_PATH = re.compile(r"/(?!/)[A-Za-z0-9/._-]*", re.ASCII)
PLAIN_QUERY = re.compile(r"[A-Za-z0-9._=&-]+", re.ASCII)
# Names of headers come from clients, too; one that is longer is not kept.
NAMES_MAX, NAME_CHARS_MAX = 1_000, 128
FORM = "application/x-www-form-urlencoded"
OF_BODIES = ("Content-Type", "Content-Length")
NOTHING: ImmutableMultiDict[str, Any] = ImmutableMultiDict()
URL_ENCODED = re.compile(rf"{FORM}(; ?charset=utf-8)?", re.IGNORECASE)
FORMS = (FORM, "multipart/form-data")


def _place(name: str) -> str:
    """Under which key of an environment a header stands."""
    return _kept_place(name) if len(name) <= NAME_CHARS_MAX else _place_of(name)


def _place_of(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def _spelling(key: str) -> str:
    """How a header is spelt that stands there; "" for what is no header."""
    return _kept_spelling(key) if len(key) <= NAME_CHARS_MAX else _spelling_of(key)


def _spelling_of(key: str) -> str:
    if key.startswith("HTTP_") and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
        return key[5:].replace("_", "-").title()
    return key.replace("_", "-").title() if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else ""


_kept_place, _kept_spelling = lru_cache(NAMES_MAX)(_place_of), lru_cache(NAMES_MAX)(_spelling_of)


class CallHeaders(EnvironHeaders):  # type: ignore[misc]
    """The headers of a call: looked at some thirty times for an S3 put, by name or all in turn.

    Its names are made of the environment's, which nobody changes once the request is made.
    """

    _kept: list[tuple[str, str]] | None = None

    def __getitem__(self, key: str) -> Any:
        if type(key) is not str:
            return super().__getitem__(key)
        return self.environ[_place(key)]

    def __contains__(self, key: Any) -> bool:
        return _place(key) in self.environ if type(key) is str else super().__contains__(key)

    def get(self, key: str, default: Any = None, type: Any = None) -> Any:  # noqa: A002
        """The header, or a default; as the class above has it."""
        if type is not None or key.__class__ is not str:
            return super().get(key, default, type)
        return self.environ.get(_place(key), default)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._all())

    def items(self, lower: bool = False) -> Iterator[tuple[str, str]]:  # noqa: FBT001, FBT002
        """Names and values; as the class above has it."""
        return super().items(lower) if lower else iter(self._all())

    def keys(self, lower: bool = False) -> Iterator[str]:  # noqa: FBT001, FBT002
        """Names; as the class above has it."""
        return super().keys(lower) if lower else iter([name for name, _ in self._all()])

    def _all(self) -> list[tuple[str, str]]:
        if self._kept is None:
            if PRESERVED_HEADER_NAMES_ENVIRON_KEY in self.environ:
                self._kept = list(super().__iter__())
            else:
                spelt = ((_spelling(key), value) for key, value in self.environ.items())
                # One of these two without a value is none.
                self._kept = [(n, v) for n, v in spelt if n and (v or n not in OF_BODIES)]
        return self._kept


class CallRequest(Request):  # type: ignore[misc]
    """A call as a request of werkzeug's; moto takes it for a server's, and adds no Date."""

    from_wsgi_server = True

    def __init__(self, environ: dict[str, Any]) -> None:
        # Not populated: it would hold itself, and be freed by the collector only.
        super().__init__(environ, populate_request=False)
        self.headers = CallHeaders(environ)
        if not self.want_form_data_parsed:
            # What werkzeug finds, once asked, by looking for what parses it.
            found = self.__dict__
            found["form"] = found["files"] = NOTHING
            found["stream"] = environ["wsgi.input"]

    @property
    def want_form_data_parsed(self) -> bool:
        """Whether there is a form in the body.

        werkzeug makes a parser for whatever has a type, which then finds that it is none:
        a tenth of a call.
        """
        return str(self.environ.get("CONTENT_TYPE", "")).strip().lower().startswith(FORMS)

    def _load_form_data(self) -> None:
        """Take the form out of the body, which is a fifth of a call by way of werkzeug's parser."""
        found, kind = self.__dict__, self.environ.get("CONTENT_TYPE", "")
        if "form" in found or "_cached_data" in found or not URL_ENCODED.fullmatch(kind):
            super()._load_form_data()
            return
        # moto puts what unpacks a body there.
        found["stream"] = stream = found.get("stream", self.environ["wsgi.input"])
        try:
            text = stream.read().decode()
            items = parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote")
        except ValueError:  # as werkzeug's, which says nothing of it
            items = []
        found["form"], found["files"] = ImmutableMultiDict(items), NOTHING

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
    def raw_path(self) -> str:
        """The path as it was sent."""
        sent = self.environ["RAW_URI"]
        return str(sent.partition("?")[0] if sent.startswith("/") else super().raw_path)

    @property
    def raw_url(self) -> str:
        """The URL as it was sent; werkzeug reads and writes one anew for it."""
        host = self.environ["HTTP_HOST"]
        if not PLAIN_HOST.fullmatch(host):
            return str(super().raw_url)
        query = f"?{self.query_string.decode()}" if self.query_string else ""
        return f"{self.scheme}://{host}{self.raw_path}{query}"


class ObjectRequest(CallRequest):
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


def request_for(call: Call) -> CallRequest:
    """The request moto's handlers are given."""
    kind = ObjectRequest if call.service.module == "s3" else CallRequest
    return kind(environ_for(call))


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
        key = _place(name)
        if key in environ:
            environ[key] += "," + value
        else:
            environ[key] = value
        if should_preserve_original_header_name(name):
            preserved[key] = name
    if preserved:
        environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = preserved
