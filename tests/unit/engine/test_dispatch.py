"""Dispatch: a call reaches moto's handler, and its failures have names."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.engine.calls import Call
from perdure.engine.core import Engine
from perdure.engine.dispatch import environ_for, operation_name
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
