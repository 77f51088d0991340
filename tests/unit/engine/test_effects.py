"""Which calls are reads: by the table, and never by a request that could mean two things."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from perdure.engine import effects, process
from perdure.engine.calls import Call
from perdure.engine.core import Engine
from perdure.engine.routes import methods_of, route_of
from perdure.engine.services import all_services, by_name, has_operation

ACCOUNT = "111111111111"


@pytest.fixture(autouse=True)
def clean(engine: Engine) -> Iterator[None]:
    """No store and no visit before and behind a test."""
    engine.forget_all()
    yield
    engine.forget_all()


def rest(service: str, method: str, path: str, query: str = "", **other: Any) -> Call:
    """A call of a REST service, as the gateway classifies it."""
    return named(service, f"{method} {path}", method=method, path=path, query=query, **other)


def named(service: str, operation: str, **other: Any) -> Call:
    """A call whose request names the operation."""
    row = by_name()[service]
    plain: dict[str, Any] = {
        "account": ACCOUNT,
        "region": "us-east-1",
        "access_key": ACCOUNT,
        "method": "POST",
        "scheme": "https",
        "host": "localhost",
        "path": "/",
        "query": "",
        "headers": [],
        "body": b"",
    }
    return Call(service=row, operation=operation, **{**plain, **other})


def target(service: str, operation: str, body: bytes = b"{}", **other: Any) -> Call:
    """A call of a service that speaks JSON."""
    headers = [("x-amz-target", f"X.{operation}"), *other.pop("headers", [])]
    return named(service, operation, body=body, headers=headers, **other)


def form(service: str, operation: str, body: str | None = None, **other: Any) -> Call:
    """A call of a service that speaks in forms."""
    text = f"Action={operation}&Version=1" if body is None else body
    return named(service, operation, body=text.encode(), form=True, **other)


def bucket(engine: Engine, name: str = "bbb") -> Any:
    """A bucket with an object, in a living store."""
    engine.execute(rest("s3", "PUT", f"/{name}"), may_park=False)
    engine.execute(rest("s3", "PUT", f"/{name}/k", body=b"x"), may_park=False)
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"].buckets[name]


def test_every_row_is_an_operation_of_a_service() -> None:
    """The table names services as services.json does, and operations as their models do.

    Services that one module of moto answers under one signing name, as RDS and DocumentDB,
    are not told apart.
    """
    services = {service.name: service for service in all_services()}
    for name, operations in effects.reads().items():
        same = [each for each in all_services() if each.module == services[name].module]
        unknown = [
            operation
            for operation in operations
            if not any(has_operation(each, operation) for each in same)
        ]
        assert unknown == [], name


HOT = {
    "dynamodb": "GetItem Query Scan BatchGetItem DescribeTable ListTables",
    "s3": "GetObject HeadObject ListObjects ListObjectsV2 ListBuckets HeadBucket",
    "sqs": "GetQueueUrl GetQueueAttributes ListQueues",
    "sns": "ListTopics GetTopicAttributes",
    "ssm": "GetParameter GetParameters GetParametersByPath",
    "iam": "GetUser GetRole ListUsers ListRoles",
    "lambda": "GetFunction ListFunctions",
    "logs": "DescribeLogGroups DescribeLogStreams GetLogEvents",
    "kinesis": "GetRecords GetShardIterator DescribeStream",
    "secretsmanager": "GetSecretValue DescribeSecret",
    "ec2": "DescribeInstances DescribeImages DescribeSecurityGroups DescribeSubnets",
    "cloudwatch": "GetMetricStatistics DescribeAlarms",
}


@pytest.mark.parametrize("service", HOT)
def test_what_is_read_most_is_in_the_table(service: str) -> None:
    """The reads that programs make all the time need no record."""
    assert set(HOT[service].split()) <= effects.reads()[service]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("sqs", "ReceiveMessage"),
        ("dynamodb", "PutItem"),
        ("sts", "AssumeRole"),
        ("ec2", "RunInstances"),
        ("kms", "GenerateDataKeyPair"),
        ("lambda", "Invoke"),
    ],
)
def test_what_changes_state_is_not_in_the_table(service: str, operation: str) -> None:
    """Names lie, and so does asking: a queue hides what it hands out."""
    assert operation not in effects.reads().get(service, ())


def test_a_call_is_a_read_by_its_target() -> None:
    """A JSON call that names an operation of the table, and no other, reads."""
    assert effects.is_read(target("dynamodb", "GetItem"))
    assert not effects.is_read(target("dynamodb", "PutItem"))
    assert not effects.is_read(target("dynamodb", "NoSuchOperation"))


def test_a_call_is_a_read_by_its_form() -> None:
    """A form that names an operation of the table first reads."""
    assert effects.is_read(form("iam", "ListRoles"))
    assert not effects.is_read(form("sts", "AssumeRole"))


@pytest.mark.parametrize(
    "call",
    [
        form("iam", "GetUser", "Action=DeleteUser&Action=GetUser"),
        form("iam", "GetUser", "%41ction=DeleteUser&Action=GetUser"),
        form("iam", "GetUser", query="Action=DeleteUser"),
        form("iam", "GetUser", headers=[("x-amz-target", "X.DeleteUser")]),
        target("dynamodb", "GetItem", query="Action=DeleteTable"),
        target("dynamodb", "GetItem", body=b'{"a":"&Action=DeleteTable&"}'),
        target("dynamodb", "GetItem", body=b'{"a":"&%41ction=DeleteTable&"}'),
        target("dynamodb", "GetItem", headers=[("action", "DeleteTable")]),
        target("dynamodb", "GetItem", headers=[("content-encoding", "gzip")]),
        rest("lambda", "GET", "/2015-03-31/functions/f", "Action=Invoke"),
        rest("lambda", "GET", "/2015-03-31/functions/f", headers=[("x-amz-target", "X.Y")]),
    ],
)
def test_a_request_that_names_two_operations_is_a_write(call: Call) -> None:
    """Moto takes the name of an action from places where the gateway does not look."""
    assert not effects.is_read(call)


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        (rest("s3", "GET", "/b/k"), "GetObject"),
        (rest("s3", "GET", "/b/k/l/"), "GetObject"),
        (rest("s3", "GET", "/b/k", "X-Amz-Signature=1&X-Amz-Date=2&x-id=GetObject"), "GetObject"),
        (rest("s3", "HEAD", "/b/k"), "HeadObject"),
        (rest("s3", "GET", "/b", "list-type=2&prefix=x"), "ListObjectsV2"),
        (rest("s3", "GET", "/b/", "prefix=x"), "ListObjects"),
        (rest("s3", "GET", "/b/k", "tagging"), "GetObjectTagging"),
        (rest("s3", "GET", "/"), "ListBuckets"),
        (rest("s3", "PUT", "/b/k"), "PutObject"),
        (rest("s3", "GET", "/b/k", "unknown=1"), None),
        (rest("s3", "FROB", "/b"), None),
        (rest("lambda", "GET", "/2015-03-31/functions/f"), "GetFunction"),
        (rest("lambda", "GET", "/2015-03-31/functions/f/g/h"), None),
        (rest("route53", "GET", "/2013-04-01/hostedzone/Z1"), "GetHostedZone"),
        (rest("apigateway", "GET", "/restapis/a/resources"), "GetResources"),
    ],
)
def test_a_rest_request_is_named_by_its_route(call: Call, operation: str | None) -> None:
    """Method, path and query name one operation, or none."""
    assert route_of(call) == operation


@pytest.mark.parametrize("service", ["s3", "lambda", "route53", "apigateway", "iot", "efs", "eks"])
def test_a_route_agrees_with_the_router_of_moto(service: str) -> None:
    """Whatever a route names, moto's own router names too."""
    from moto.core.utils import get_service_model

    from perdure.engine.dispatch import operation_name
    from perdure.engine.routes import LABEL

    model = get_service_model(service)
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, query = LABEL.sub("x1", operation.http["requestUri"]).partition("?")
        call = rest(service, operation.http["method"], path, query)
        assert route_of(call) in (None, operation_name(call)), name


def test_the_methods_of_operations_are_the_models() -> None:
    """What comes by another method than a service's reads do is a write without a closer look."""
    some = frozenset({"GetObject", "HeadObject", "SelectObjectContent"})

    assert methods_of("s3", some) == {"GET", "HEAD", "POST"}
    assert methods_of("s3", frozenset({"PutObject"})) == {"PUT"}


def test_a_call_with_an_issued_key_is_a_write() -> None:
    """It notes when the key was last used."""
    call = target("dynamodb", "GetItem", access_key="AKIA1")
    assert effects.is_read(call)
    process.ACCOUNTS_BY_KEY["AKIA1"] = ACCOUNT
    assert not effects.is_read(call)


def test_a_call_is_a_write_while_a_visit_waits() -> None:
    """The next call of IAM writes it down, and a capture does."""
    process.VISITS["AKIA1"] = (None, "s3", "us-east-1")
    assert not effects.is_read(target("dynamodb", "GetItem"))


def test_a_read_of_a_bucket_that_logs_accesses_is_a_write(engine: Engine) -> None:
    """The log is an object in some bucket."""
    found = bucket(engine)
    assert effects.is_read(rest("s3", "GET", "/bbb/k"))
    found.logging = {"TargetBucket": "bbb"}
    assert not effects.is_read(rest("s3", "GET", "/bbb/k"))
    assert effects.is_read(rest("s3", "GET", "/other/k"))


def test_a_read_of_a_restored_object_is_a_write(engine: Engine) -> None:
    """Its status moves on when it is asked for, and S3 tells who listens."""
    bucket(engine).keys["k"].restore(1)
    assert not effects.is_read(rest("s3", "GET", "/bbb/k"))
    assert effects.is_read(rest("s3", "GET", "/bbb/other"))


def test_a_read_of_s3_is_a_write_until_its_store_lives() -> None:
    """Nobody knows yet whether the bucket logs accesses."""
    assert not effects.is_read(rest("s3", "GET", "/bbb/k"))


def test_a_read_of_parameters_that_aws_provides_is_a_write() -> None:
    """Moto loads them into the store when they are first asked for."""
    assert effects.is_read(target("ssm", "GetParameter", b'{"Name": "/mine"}'))
    for name in (b"/aws/service/ami", b"\\u002faws\\u002fservice"):
        assert not effects.is_read(target("ssm", "GetParameter", b'{"Name": "%s"}' % name))
