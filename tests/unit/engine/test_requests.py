"""A request of a call is what werkzeug would make of it."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from moto.core.request import EnvironHeaders, Request
from tests.unit.calls import a_call

from perdure.engine import requests
from perdure.engine.core import Engine
from perdure.engine.requests import CallHeaders, CallRequest, environ_for

FORM = "application/x-www-form-urlencoded"


def test_headers_are_those_of_the_environment(engine: Engine) -> None:
    """Each pass over them gives what the first gave; a look-up ignores case."""
    headers = [("x-amz-meta-my_key", "1"), ("content-type", "text/plain")]
    environ = environ_for(a_call("s3", "PUT /b/k", method="PUT", path="/b/k", headers=headers))
    found = CallRequest(environ).headers
    assert list(found) == list(found) == list(type(found).__mro__[1](environ))
    assert ("x-amz-meta-my_key", "1") in list(found)
    assert found["Content-Type"] == "text/plain"


HEADERS = [("x-amz-meta-my_key", "1"), ("content-type", "text/plain"), ("Content-Length", "3")]


@pytest.mark.parametrize(
    "name", ["Content-Type", "content_type", "X-AMZ-META-MY-KEY", "content-length", "absent", "", 7]
)
def test_a_header_is_found_as_by_werkzeug(engine: Engine, name: Any) -> None:
    """By any spelling, or a default, or the same complaint."""
    environ = environ_for(a_call("sqs", "PUT /", headers=HEADERS, body=b"abc"))
    ours, theirs = CallHeaders(environ), EnvironHeaders(environ)
    for look in (
        lambda headers: headers[name],
        lambda headers: name in headers,
        lambda headers: headers.get(name),
        lambda headers: headers.get(name, 5),
        lambda headers: headers.get(name, 5, int),
    ):
        assert said(look, ours) == said(look, theirs)


def said(look: Any, headers: Any) -> Any:
    try:
        return look(headers)
    except Exception as error:  # noqa: BLE001 - whatever werkzeug complains of
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    "more", [{}, {"CONTENT_TYPE": ""}, {"HTTP_CONTENT_TYPE": "a"}, {"HTTP_X_EMPTY": ""}, {"A": "b"}]
)
def test_headers_are_listed_as_by_werkzeug(engine: Engine, more: dict[str, str]) -> None:
    """With the names it gives them, and without those it leaves out."""
    environ = environ_for(a_call("sqs", "PUT /", headers=HEADERS[1:], body=b"abc")) | more
    ours, theirs = CallHeaders(environ), EnvironHeaders(environ)
    for lower in (False, True):
        assert list(ours.items(lower)) == list(theirs.items(lower))
        assert list(ours.keys(lower)) == list(theirs.keys(lower))
    assert list(ours) == list(theirs)
    assert len(ours) == len(theirs)
    assert dict(ours) == dict(theirs)


@pytest.mark.parametrize("kind", ["", "text/plain", FORM, FORM.upper(), f"{FORM};charset=utf-8"])
@pytest.mark.parametrize("body", [b"", b"a=1&a=2&b=%ff+&c", b"\xff", b"a=%C3%A4;b"])
@pytest.mark.parametrize("first", ["form", "data", "files", "values", "stream"])
def test_a_body_is_read_as_by_werkzeug(engine: Engine, kind: str, body: bytes, first: str) -> None:
    """As a form or as bytes, whatever is asked for first."""
    headers = [("content-type", kind)] if kind else []
    found = []
    for of in (CallRequest, Request):
        request = of(environ_for(a_call("sqs", "SendMessage", body=body, headers=headers)))
        start = request.stream.read() if first == "stream" else getattr(request, first)
        rest = request.form, request.files, request.data, request.values, request.stream.read()
        found.append((start, rest, request.raw_path, request.url, request.raw_url))
    assert found[0] == found[1]
    assert [type(each) for each in found[0][1]] == [type(each) for each in found[1][1]]


def test_a_long_name_is_not_kept(engine: Engine) -> None:
    """Names come from clients, and a thousand of them are kept."""
    caches = requests._kept_place, requests._kept_spelling
    before = [cache.cache_info().misses for cache in caches]
    headers = [(f"x-{n}-" + "n" * 200, "1") for n in range(20)]
    found = CallRequest(environ_for(a_call("sqs", "SendMessage", headers=headers))).headers
    assert [found[name] for name, _ in headers] == ["1"] * 20
    assert {name.lower() for name, _ in headers} <= {name.lower() for name, _ in found}
    after = [cache.cache_info().misses for cache in caches]
    assert all(now - then < 20 for now, then in zip(after, before, strict=True))


def test_a_request_holds_no_circle(engine: Engine) -> None:
    """It is freed when its call is over, not when the collector comes."""
    request = CallRequest(environ_for(a_call("sqs", "SendMessage", body=b"{}")))
    gone = weakref.ref(request)
    del request
    assert gone() is None
