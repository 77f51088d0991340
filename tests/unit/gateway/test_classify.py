"""Classification: which service, operation, account and region a request means."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.model import Shape
from botocore.serialize import create_serializer

from perdure.engine.services import all_services, by_name
from perdure.errors import RequestError
from perdure.gateway.classify import Classifier, RawRequest, scope_of

SESSION = botocore.session.get_session()


def raw(
    method: str = "GET",
    path: str = "/",
    *,
    query: str = "",
    host: str = "localhost:4566",
    body: bytes = b"",
    **headers: str,
) -> RawRequest:
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    pairs = list(named.items())
    return RawRequest(method, "http", host, path, query, pairs, named, body)


def signed(service: str, key: str = "test", region: str = "us-east-1") -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, "
        "SignedHeaders=host, Signature=0"
    )


def classifier(**changes: Any) -> Classifier:
    settings: dict[str, Any] = {
        "default_region": "eu-west-1",
        "any_region": False,
        "only": None,
    }
    return Classifier(**(settings | changes))


def classify(request: RawRequest, **changes: Any) -> Any:
    return classifier(**changes).classify(request)


FORM = "application/x-www-form-urlencoded"


def form(text: str, signing: str | None = None, **more: Any) -> RawRequest:
    headers = {} if signing is None else {"authorization": signed(signing)}
    return raw("POST", body=text.encode(), content_type=FORM, **headers, **more)


def test_the_scope_names_account_and_region() -> None:
    """A key of twelve digits is the account, any other the default; the region is the scope's."""
    call = classify(raw(authorization=signed("s3", "123456789012", "ap-south-1")))
    assert (call.account, call.region) == ("123456789012", "ap-south-1")
    call = classify(raw(authorization=signed("s3")))
    assert (call.account, call.access_key) == ("000000000000", "test")
    assert classify(raw()).region == "eu-west-1"
    assert classify(raw(authorization=signed("iam", region="aws-global"))).region == "us-east-1"


def test_presigned_requests_are_classified_by_their_query() -> None:
    """Signature versions 4 and 2 in the query, and 2 in the header, name the key."""
    scope = "111111111111%2F20260101%2Feu-west-3%2Fs3%2Faws4_request"
    v4 = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}"
    call = classify(raw(path="/b/k", query=v4))
    assert (call.service.name, call.account, call.region) == ("s3", "111111111111", "eu-west-3")
    call = classify(raw(path="/b/k", query="AWSAccessKeyId=111111111111&Signature=x&Expires=1"))
    assert (call.service.name, call.account) == ("s3", "111111111111")
    call = classify(raw(path="/b/k", authorization="AWS 111111111111:signature"))
    assert (call.service.name, call.account) == ("s3", "111111111111")


def test_a_form_signed_as_version_2_says_names_its_key() -> None:
    """SimpleDB's clients put the key into the form, and no scope anywhere."""
    call = classify(
        form("Action=ListDomains&Version=2009-04-15&AWSAccessKeyId=111111111111&Signature=x")
    )
    assert (call.service.name, call.account) == ("sdb", "111111111111")
    assert call.access_key == "111111111111"


@pytest.mark.parametrize(
    "header",
    ["", "AWS4-HMAC-SHA256", "Credential=", "Credential=a/b", "Bearer x", "AWS", "Credential=////"],
)
def test_a_broken_authorization_is_no_error(header: str) -> None:
    """A header that says nothing leaves placeholders; no exception comes of it."""
    scope = scope_of(raw(authorization=header))

    assert scope.region is None
    classify(raw(authorization="" if header == "Credential=////" else header))


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("bucket.s3.localhost.localstack.cloud:4566", "/k", "/bucket/k"),
        ("bucket.s3.us-west-2.amazonaws.com", "/k", "/bucket/k"),
        ("bucket.s3-us-west-2.amazonaws.com", "/k", "/bucket/k"),
        ("bucket.s3.dualstack.us-west-2.amazonaws.com", "/", "/bucket/"),
        ("my.dotted.bucket.s3.localhost:4566", "/k", "/my.dotted.bucket/k"),
        (
            "point-111122223333.s3-accesspoint.us-east-1.amazonaws.com",
            "/k",
            "/point-111122223333/k",
        ),
        ("s3.localhost:4566", "/b/k", "/b/k"),
        ("localhost:4566", "/b/k", "/b/k"),
        ("127.0.0.1:4566", "/b/k%2Fx", "/b/k%2Fx"),
    ],
)
def test_virtual_hosts_become_paths(host: str, path: str, expected: str) -> None:
    """A bucket in the host name stands in the path behind, signed or not."""
    for headers in ({}, {"authorization": signed("s3")}):
        call = classify(raw("GET", path, host=host, **headers))
        assert (call.service.name, call.path) == ("s3", expected)


@pytest.mark.parametrize(
    ("host", "path", "region"),
    [
        ("localhost:4566", "/000000000000/q", "eu-west-1"),
        ("localhost:4566", "/queue/us-west-1/000000000000/q", "eu-west-1"),
        ("sqs.us-west-2.localhost.localstack.cloud:4566", "/000000000000/q", "us-west-2"),
        ("us-west-2.queue.localhost.localstack.cloud:4566", "/000000000000/q", "us-west-2"),
        ("sqs.us-west-2.amazonaws.com", "/000000000000/q", "us-west-2"),
        ("sqs.localhost.localstack.cloud:4566", "/000000000000/q", "eu-west-1"),
        ("sqs.amazonaws.com", "/000000000000/q", "eu-west-1"),
    ],
)
def test_queue_urls_of_every_shape(host: str, path: str, region: str) -> None:
    """A queue's URL reaches SQS, whatever shape it has; queries by form go to the queue's path."""
    call = classify(form("Action=SendMessage&MessageBody=x", host=host, path=path))

    assert (call.service.name, call.operation) == ("sqs", "SendMessage")
    assert call.path == "/000000000000/q"
    if "/queue/" not in path:
        assert call.region == region


def test_the_region_of_a_queue_url_without_a_signature() -> None:
    """The region in a path-style queue URL is the queue's; a signature's comes first."""
    path = "/queue/us-west-1/000000000000/q"
    assert classify(form("Action=SendMessage", "sqs", path=path)).region == "us-east-1"
    call = classify(form("Action=SendMessage", path="/queue/us-west-1/000000000000/q"))

    assert call.region == "us-west-1"


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (raw("GET", "/v20180820/bucket", authorization=signed("s3")), "s3control"),
        (raw("GET", "/v2018/bucket", authorization=signed("s3")), "s3"),
        (raw("POST", "/v2/email/outbound-emails", authorization=signed("ses")), "sesv2"),
        (form("Action=SendEmail&Version=2010-12-01", "ses"), "ses"),
        (
            form("Action=DescribeLoadBalancers&Version=2012-06-01", "elasticloadbalancing"),
            "elb",
        ),
        (
            form("Action=DescribeLoadBalancers&Version=2015-12-01", "elasticloadbalancing"),
            "elbv2",
        ),
        (
            raw(
                "POST",
                authorization=signed("dynamodb"),
                x_amz_target="DynamoDBStreams_20120810.ListStreams",
            ),
            "dynamodbstreams",
        ),
        (
            raw(
                "POST",
                authorization=signed("dynamodb"),
                x_amz_target="DynamoDB_20120810.ListTables",
            ),
            "dynamodb",
        ),
        (
            raw(
                "POST",
                authorization=signed("timestream"),
                x_amz_target="Timestream_20181101.WriteRecords",
            ),
            "timestream-write",
        ),
        (
            raw(
                "POST",
                authorization=signed("timestream"),
                x_amz_target="Timestream_20181101.Query",
            ),
            "timestream-query",
        ),
        (raw("GET", "/guardrails", authorization=signed("bedrock")), "bedrock"),
        (raw("PUT", "/agents/", authorization=signed("bedrock")), "bedrock-agent"),
        (raw("POST", "/model/x/invoke", authorization=signed("bedrock")), "bedrock-runtime"),
        (raw("GET", "/v2/apis", authorization=signed("apigateway")), "apigatewayv2"),
        (raw("GET", "/restapis", authorization=signed("apigateway")), "apigateway"),
        (
            raw("POST", authorization=signed("eventbridge"), x_amz_target="AWSEvents.PutRule"),
            "events",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_shared_signing_names_are_told_apart(request_: RawRequest, name: str) -> None:
    """Where services share a signing name, version, target or path decides."""
    assert classify(request_).service.name == name


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (raw("POST", x_amz_target="DynamoDB_20120810.ListTables"), "dynamodb"),
        (form("Action=GetCallerIdentity&Version=2011-06-15"), "sts"),
        (form("Action=ListQueues&Version=2012-11-05"), "sqs"),
        (form("Action=AssumeRoleWithWebIdentity"), "sts"),
        (raw("POST", "/2015-03-31/functions/f/invocations"), "lambda"),
        (raw("GET", "/eu-west-1_pool/.well-known/jwks.json"), "cognito-idp"),
        (raw("GET", host="abc.execute-api.us-east-1.amazonaws.com"), "apigatewaymanagementapi"),
        (raw("GET", host="sns.us-east-1.localhost.localstack.cloud:4566"), "sns"),
        (raw("GET", "/2013-04-01/hostedzone/Z1", host="route53.amazonaws.com"), "route53"),
        (raw("GET", "/key", host="no-service.amazonaws.com"), "s3"),
        (raw("GET", "/bucket/key"), "s3"),
        (raw("GET", "/"), "s3"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_unsigned_requests_say_enough(request_: RawRequest, name: str) -> None:
    """Without a signature, target, host, form or path name the service; the rest is S3."""
    assert classify(request_).service.name == name


def test_what_is_unknown_is_refused_by_name() -> None:
    """An unknown service, a region of no AWS and a service switched off are RequestErrors."""
    with pytest.raises(RequestError, match="nosuchservice") as error:
        classify(raw(authorization=signed("nosuchservice")))
    assert error.value.status == 501
    with pytest.raises(RequestError, match="mars") as error:
        classify(raw(authorization=signed("s3", region="mars")))
    assert error.value.status == 400
    with pytest.raises(RequestError, match="switched off"):
        classify(raw(), only=frozenset({"sqs"}))
    assert classify(raw(), only=frozenset({"s3"})).service.name == "s3"


@pytest.mark.parametrize("region", ["US-EAST-1", "..", "a b", "a" * 64, "a\n", "-a", "é"])
def test_a_region_that_is_no_file_name_is_refused(region: str) -> None:
    """Whatever regions are allowed, one that cannot name a file is none."""
    with pytest.raises(RequestError, match="region"):
        classify(raw(authorization=signed("s3", region=region)), any_region=True)


def test_any_region_may_be_allowed() -> None:
    """With ALLOW_NONSTANDARD_REGIONS a region of one's own is accepted."""
    call = classify(raw(authorization=signed("s3", region="mars-1a")), any_region=True)

    assert call.region == "mars-1a"


# ------------------------------------------------- one request of every service


def value_for(shape: Shape, depth: int = 0) -> Any:
    """Something a shape accepts."""
    kind = shape.type_name
    if kind == "structure":
        return {n: value_for(shape.members[n], depth + 1) for n in shape.required_members}
    if kind == "list":
        return [value_for(shape.member, depth + 1)] if depth < 6 else []
    if kind == "map":
        return {}
    if kind == "string":
        least = shape.metadata.get("min", 1)
        return shape.enum[0] if shape.enum else "a" * max(least, 1)
    if kind in ("integer", "long"):
        return shape.metadata.get("min", 1)
    values = {"boolean": True, "blob": b"x", "timestamp": 0}
    return values.get(kind, 1.0)


def request_of(name: str) -> RawRequest | None:
    """A signed request of the service's first operation that can be made up."""
    model = SESSION.get_service_model(name)
    serializer = create_serializer(model.resolved_protocol, include_validation=False)
    for operation_name in model.operation_names:
        operation = model.operation_model(operation_name)
        try:
            shape = operation.input_shape
            made = serializer.serialize_to_request(value_for(shape) if shape else {}, operation)
        except Exception:  # noqa: BLE001 - event streams and the like; the next one will do
            continue
        path, _, query = made["url_path"].partition("?")
        prepared = AWSRequest(
            method=made["method"],
            url=f"http://localhost:4566{path}",
            params=made["query_string"],
            headers=made["headers"],
            data=made["body"],
        ).prepare()
        parts = urlsplit(prepared.url)
        body = prepared.body or b""
        headers = {
            k: v.decode() if isinstance(v, bytes) else v for k, v in prepared.headers.items()
        }
        headers["authorization"] = signed(model.signing_name)
        return raw(
            made["method"],
            parts.path or "/",
            query=parts.query or query,
            body=body if isinstance(body, bytes) else str(body).encode(),
            **headers,
        )
    return None


@pytest.mark.parametrize("name", [service.name for service in all_services()])
def test_a_request_of_every_service_is_classified_to_it(name: str) -> None:
    """What an SDK sends for a service reaches the module that answers the service."""
    request = request_of(name)
    assert request is not None, "no operation could be made up"

    call = classify(request)

    assert call.service.module == by_name()[name].module, (request.method, request.path)


def test_a_host_of_an_api_belongs_to_its_service() -> None:
    """An unsigned call of an AppSync event API is AppSync's, in the region of its host."""
    request = raw(host="abc123.appsync-api.eu-west-1.amazonaws.com", path="/event", method="POST")
    call = classify(request)

    assert (call.service.name, call.region) == ("appsync", "eu-west-1")


def test_an_unsigned_call_takes_its_region_from_the_host() -> None:
    """Cognito's calls without credentials name the region in the host alone."""
    request = raw(
        host="cognito-identity.us-west-2.amazonaws.com",
        method="POST",
        x_amz_target="AWSCognitoIdentityService.GetId",
    )

    assert classify(request).region == "us-west-2"


HANDED = "perdure.internal:4566"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:4566", HANDED),
        ("sqs.eu-west-1.localhost.localstack.cloud:4566", HANDED),
        ("bucket.s3.localhost.localstack.cloud:4566", HANDED),
        # moto reads these.
        ("000000000000.s3-control.localhost:4566", "000000000000.s3-control.localhost:4566"),
        ("abc.execute-api.localhost:4566", "abc.execute-api.localhost:4566"),
    ],
)
def test_host_that_is_handed_out(host: str, expected: str) -> None:
    """LOCALSTACK_HOST takes the place of the request's host, unless that says what is meant."""
    assert classify(raw(host=host), public_host=HANDED).host == expected
    assert classify(raw(host="perdure:1"), public_host=None).host == "perdure:1"


def test_virtual_host_keeps_where_it_came_to() -> None:
    """A bucket in the host is no part of the host that links lead to; AWS' own is never one."""
    for host, expected in (
        ("bkt.s3.localhost.localstack.cloud:4566", "localhost.localstack.cloud:4566"),
        ("bkt.s3.eu-west-1.perdure.internal:80", "perdure.internal:80"),
        ("bkt.s3.amazonaws.com", "localhost"),
    ):
        call = classify(raw(host=host, path="/k"))
        assert (call.host, call.path) == (expected, "/bkt/k")


def test_links_of_a_notification() -> None:
    """The links in a notification are followed without a signature, and name their store."""
    arn = "arn:aws:sns:ap-south-1:111111111111:topic:6f0d"
    call = classify(raw(query=f"Action=Unsubscribe&SubscriptionArn={arn}"))
    assert (call.service.name, call.region, call.account) == ("sns", "ap-south-1", "111111111111")
    call = classify(raw(path="/ap-south-1/SimpleNotificationService-ab12.pem"))
    assert (call.service.name, call.region) == ("sns", "ap-south-1")
    assert call.path == "/SimpleNotificationService-ab12.pem"


def test_key_of_an_object_is_not_taken_for_a_link() -> None:
    """What is signed for S3 is S3's, however its key is called."""
    call = classify(raw(path="/bucket/SimpleNotificationService-a.pem", authorization=signed("s3")))
    assert (call.service.name, call.path) == ("s3", "/bucket/SimpleNotificationService-a.pem")


@pytest.mark.parametrize(
    "host",
    ["a b", "[::", "\xff", "../..", "x" * 300, "localhost:123456", "a:b:c", "u@host", "[x]", "-a"],
)
def test_host_that_cannot_be_one(host: str) -> None:
    """A Host header that is none is the client's error; it never gets into a URL or to moto."""
    with pytest.raises(RequestError, match="InvalidHost|cannot be a host") as refused:
        classify(raw(host=host))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "host", ["perdure_1:4566", "[::1]:4566", "10.0.0.1", "a-b.c.", "LOCALHOST"]
)
def test_host_that_is_one(host: str) -> None:
    """Names of compose files, addresses and capital letters are hosts."""
    assert classify(raw(host=host)).host == host


@pytest.mark.parametrize(
    "text",
    [
        "Action=SendMessage&MessageBody=a",
        "MessageBody=Action%3DOther&Action=SendMessage",
        "%41ction=SendMessage",
        "Version=2012-11-05&%41ction=SendMessage",
        "Action=Other&%41ction=SendMessage",
        "MessageBody=100%&Action=SendMessage",
        "Action=Other&Action=SendMessage",
        "Action=&MessageBody=a&Action=SendMessage",
        "Action=Send%4Dessage",
        "XAction=Other&Action=SendMessage",
        "MessageBody=a+Action=Other&Action=SendMessage",
    ],
)
def test_a_form_names_its_operation_however_it_is_written(text: str) -> None:
    """As one who reads the whole form finds it; the last of several counts."""
    assert dict(parse_qsl(text))["Action"] == "SendMessage"
    assert classify(form(text, "sqs")).operation == "SendMessage"
