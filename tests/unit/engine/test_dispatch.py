"""Dispatch: a call reaches moto's handler, and its failures have names."""

from __future__ import annotations

from typing import Any

import pytest
from moto.core.request import Request

from perdure.engine.calls import Call
from perdure.engine.core import Engine
from perdure.engine.dispatch import operation_name
from perdure.engine.requests import CallRequest, environ_for
from perdure.engine.services import by_name
from perdure.errors import RequestError


def call(service: str, operation: str, **changes: Any) -> Call:
    fields: dict[str, Any] = {
        "service": by_name()[service],
        "operation": operation,
        "account": "123456789012",
        "region": "us-east-1",
        "access_key": "test",
        "method": "POST",
        "scheme": "http",
        "host": "localhost:4566",
        "path": "/",
        "query": "",
        "headers": [],
        "body": b"",
    }
    return Call(**(fields | changes))


def test_a_call_is_answered_for_its_account(engine: Engine) -> None:
    """Account and region of the call are what moto sees."""
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    form = [("content-type", "application/x-www-form-urlencoded")]
    answer = engine.execute(
        call("sts", "GetCallerIdentity", headers=form, body=body), may_park=False
    )

    assert answer.status == 200
    assert b"123456789012" in answer.body


def test_a_bucket_is_made_and_read(engine: Engine) -> None:
    """Path, method and body reach the handler; what it made is there for the next call."""
    for method, path, body in (("PUT", "/bucket", b""), ("PUT", "/bucket/k%20x", b"text")):
        made = call("s3", f"{method} {path}", method=method, path=path, body=body)
        assert engine.execute(made, may_park=False).status == 200
    scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"
    signed = [("authorization", scope)]
    got = engine.execute(
        call("s3", "GET /", method="GET", path="/bucket/k%20x", headers=signed), may_park=False
    )

    assert (got.status, got.body) == (200, b"text")


def test_an_unknown_path_or_operation_is_named(engine: Engine) -> None:
    """What no route of the service matches is a RequestError of 404, what moto lacks one of 501."""
    with pytest.raises(RequestError) as error:
        engine.execute(call("lambda", "GET /x", method="GET", path="/nowhere"), may_park=False)
    assert (error.value.status, error.value.code) == (404, "UnknownOperationException")
    target = [("x-amz-target", "DynamoDB_20120810.ListGlobalTables")]
    with pytest.raises(RequestError) as error:
        engine.execute(
            call("dynamodb", "ListGlobalTables", headers=target, body=b"{}"), may_park=False
        )
    assert error.value.status == 501
    assert "ListGlobalTables" in str(error.value)


def test_operations_are_named_by_the_model() -> None:
    """Where method and path stand for the operation, the service's model names it."""
    assert operation_name(call("s3", "PUT /b", method="PUT", path="/b")) == "CreateBucket"
    assert operation_name(call("s3", "FROB /b", method="FROB", path="/b")) == "FROB /b"
    assert operation_name(call("sqs", "SendMessage")) == "SendMessage"


def test_headers_that_come_twice_are_joined() -> None:
    """The environment holds a repeated header once, its values joined."""
    environ = environ_for(call("s3", "x", headers=[("x-a", "1"), ("x-a", "2")], body=b"12"))

    assert environ["HTTP_X_A"] == "1,2"
    assert (environ["CONTENT_LENGTH"], environ["HTTP_HOST"]) == ("2", "localhost:4566")


HOSTS = ["localhost:4566", "127.0.0.1", "b.s3.localhost.localstack.cloud:4566", "a..b", "-a", "a."]
HOSTS += [
    "localhost:80",
    "localhost:443",
    "localhost:8",
    "localhost:08",
    "Local:4566",
    "[::1]:4566",
]
HOSTS += ["b\u00fccher:99", "xn--bcher-kva:99", "", "a_b:4566", "a:4566:4566", "a:1234567", "a b"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_url_is_the_one_moto_would_make(engine: Engine, host: str, scheme: str) -> None:
    """Whatever the host, the path and the query look like."""
    for path in ("/", "/bucket/key.txt", "/bucket/k%20x%2Fy", "//double", "/%C3%A9", "/a/../b//c"):
        for query in ("", "list-type=2&prefix=a-b", "list-type=2&prefix=a%2Fb", "x=%C3%A9+", "acl"):
            wanted = call("s3", "GET /", host=host, path=path, query=query, scheme=scheme)
            ours, motos = CallRequest(environ_for(wanted)), Request(environ_for(wanted))
            assert ours.raw_url == motos.raw_url
            assert ours.url == motos.url


KINDS = ["application/x-amz-json-1.0", "application/x-www-form-urlencoded", "text/plain", ""]
KINDS += ["application/x-www-form-urlencoded; charset=utf-8", " Application/X-WWW-Form-Urlencoded"]
KINDS += ["multipart/form-data; boundary=b", "MULTIPART/form-data;boundary=b", "multipart/mixed"]
BODIES = [b"", b"a=1&b=%20&a=2", b'{"a": "=&"}']
BODIES += [b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\nv\r\n--b--\r\n']


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_a_body_is_what_moto_would_read(engine: Engine, kind: str, method: str) -> None:
    """Data, form, files and values are the same, in whatever order they are asked for."""
    for body in BODIES:
        wanted = call("sqs", "X", method=method, body=body, headers=[("content-type", kind)])
        for names in (["data", "form", "files", "values"], ["form", "data"], ["values", "data"]):
            ours, plain = CallRequest(environ_for(wanted)), environ_for(wanted)
            del plain["wsgi.input_terminated"]
            motos = Request(plain)
            for name in names:
                assert getattr(ours, name) == getattr(motos, name)
