"""The nine calls measured, as prepared requests, and what a right answer holds.

Requests are built and signed by botocore as boto3 would send them (dummy credentials
``test``/``test``), then kept as bytes.  One header is left out: ``Expect:
100-continue``, with which botocore waits for the server before it sends a body; with it
an S3 put would measure two round trips.

What each call does, the same for every server:

- ``s3-put``, ``s3-get``: 1 KB objects under 50 keys of one bucket.
- ``sqs-send``, ``sqs-receive``: 256-byte messages, one a call.  A queue is filled to
  50 messages, then replaced by an empty one; for receiving it is filled to 50 and
  emptied.  So it stays shallow and every server sees the same depths; each received
  message is deleted, outside the time measured.
- ``dynamodb-put``, ``dynamodb-get``: items of four attributes under 50 keys of one table.
- ``sns-publish``: to a topic without subscribers.
- ``ssm-put``, ``iam-create-role``: a name never used before in each call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import botocore.session
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config

from client import Client, Response

REGION = "us-east-1"
KEYS = 50
QUEUE_DEPTH_MAX = 50
OBJECT = bytes(range(32, 96)) * 16  # 1,024 bytes
MESSAGE = "m" * 256
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
NAMES = (
    "s3-put",
    "s3-get",
    "sqs-send",
    "sqs-receive",
    "dynamodb-put",
    "dynamodb-get",
    "sns-publish",
    "ssm-put",
    "iam-create-role",
)


class AnswerError(Exception):
    """A server answered a measured call wrongly, so its rate would mean nothing."""


class _BuiltError(Exception):
    """Carries the finished request out of botocore before it is sent."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__("built")
        self.request = request


class Builder:
    """Turns an operation and its parameters into the bytes boto3 would send."""

    def __init__(self, port: int) -> None:
        session = botocore.session.Session()
        session.set_credentials("test", "test")
        self._session = session
        self._url = f"http://127.0.0.1:{port}"
        self._clients: dict[str, Any] = {}

    def request(self, service: str, operation: str, **parameters: Any) -> bytes:
        """Build and sign one request."""
        call = getattr(self._client(service), operation)
        try:
            call(**parameters)
        except _BuiltError as built:
            return _as_bytes(built.request)
        raise AssertionError("botocore answered without sending")

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            client = self._session.create_client(
                service,
                region_name=REGION,
                endpoint_url=self._url,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": 1},
                    s3={"addressing_style": "path"},
                    inject_host_prefix=False,
                ),
            )
            client.meta.events.register("before-send", _capture)
            self._clients[service] = client
        return self._clients[service]


def _capture(request: AWSPreparedRequest, **_: Any) -> NoReturn:
    raise _BuiltError(request)


def _as_bytes(request: AWSPreparedRequest) -> bytes:
    url = urlsplit(request.url)
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        body = body.encode()
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {url.netloc}"]
    for name, value in request.headers.items():
        if name.lower() in ("expect", "host", "content-length"):
            continue
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        lines.append(f"{name}: {text}")
    if body or request.method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Step(NamedTuple):
    """One measured call: its request, a check, and what to do after it, untimed."""

    request: bytes
    check: Callable[[Response], None]
    after: Callable[[Response], None] | None = None


class Scenario:
    """The nine calls against one server, which keeps its resources for the whole run."""

    def __init__(self, port: int) -> None:
        self._build = Builder(port).request
        self._client = Client(port)
        self._serial = 0
        self._queue = ""
        self._depth = 0
        self.set_up()

    def set_up(self) -> None:
        """Create what the calls work on, through calls that are not measured."""
        self._do("s3", "create_bucket", Bucket="bench")
        topic = self._do("sns", "create_topic", Name="bench")
        self._topic = _xml_text(topic.body, "TopicArn")
        self._do(
            "dynamodb",
            "create_table",
            TableName="bench",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        b = self._build
        keys = [f"object-{n:03}" for n in range(KEYS)]
        ids = [f"item-{n:03}" for n in range(KEYS)]
        self._put = [b("s3", "put_object", Bucket="bench", Key=k, Body=OBJECT) for k in keys]
        self._get = [b("s3", "get_object", Bucket="bench", Key=k) for k in keys]
        self._items = [b("dynamodb", "put_item", TableName="bench", Item=_item(i)) for i in ids]
        self._look_ups = [
            b("dynamodb", "get_item", TableName="bench", Key={"id": {"S": i}}) for i in ids
        ]
        self._publish = b("sns", "publish", TopicArn=self._topic, Message=MESSAGE)
        self._new_queue()
        for request in (*self._put, *self._items):
            _expect_success(self._client.call(request))

    def steps(self, name: str, count: int) -> Iterator[Step]:
        """Up to ``count`` steps of the call ``name``; requests are built beforehand."""
        return {
            "s3-put": lambda: _cycled(self._put, _expect_header("etag"), count),
            "s3-get": lambda: _cycled(self._get, _expect_object, count),
            "sqs-send": lambda: self._sends(count),
            "sqs-receive": lambda: self._receives(count),
            "dynamodb-put": lambda: _cycled(self._items, _expect_success, count),
            "dynamodb-get": lambda: _cycled(self._look_ups, _expect_item, count),
            "sns-publish": lambda: _cycled([self._publish], _expect_text(b"<MessageId>"), count),
            "ssm-put": lambda: self._parameters(count),
            "iam-create-role": lambda: self._roles(count),
        }[name]()

    def batch(self, name: str, count: int) -> list[Step]:
        """Steps that may run at the same time; a queue they need is made ready before.

        Args:
            name: Of the call.
            count: How many; at most ``QUEUE_DEPTH_MAX`` for a queue's calls.
        """
        if name == "sqs-send":
            self._new_queue()
        elif name == "sqs-receive":
            self._fill()
        return list(self.steps(name, count))

    def _do(self, service: str, operation: str, **parameters: Any) -> Response:
        response = self._client.call(self._build(service, operation, **parameters))
        _expect_success(response)
        return response

    def _sends(self, count: int) -> Iterator[Step]:
        def sent(_: Response) -> None:
            self._depth += 1

        for _ in range(count):
            if self._depth >= QUEUE_DEPTH_MAX:
                self._new_queue()
            yield Step(self._send, _expect_text(b'"MessageId"'), sent)

    def _receives(self, count: int) -> Iterator[Step]:
        for _ in range(count):
            if self._depth == 0:
                self._fill()
            yield Step(self._receive, _expect_text(MESSAGE.encode()), self._delete)

    def _delete(self, response: Response) -> None:
        (message,) = json.loads(response.body)["Messages"]
        handle = message["ReceiptHandle"]
        self._do("sqs", "delete_message", QueueUrl=self._queue, ReceiptHandle=handle)
        self._depth -= 1

    def _new_queue(self) -> None:
        """Go on with an empty queue; PurgeQueue is allowed once a minute only."""
        if self._queue:
            self._do("sqs", "delete_queue", QueueUrl=self._queue)
        (name,) = self._names(1)
        answer = self._do("sqs", "create_queue", QueueName=name)
        self._queue, self._depth = json.loads(answer.body)["QueueUrl"], 0
        b, url = self._build, self._queue
        self._send = b("sqs", "send_message", QueueUrl=url, MessageBody=MESSAGE)
        self._receive = b("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=1)

    def _fill(self) -> None:
        while self._depth < QUEUE_DEPTH_MAX:
            _expect_success(self._client.call(self._send))
            self._depth += 1

    def _names(self, count: int) -> list[str]:
        first, self._serial = self._serial, self._serial + count
        return [f"bench-{n:07}" for n in range(first, self._serial)]

    def _parameters(self, count: int) -> Iterator[Step]:
        requests = [
            self._build("ssm", "put_parameter", Name=name, Value="v" * 64, Type="String")
            for name in self._names(count)
        ]
        return _cycled(requests, _expect_text(b'"Version"'), count)

    def _roles(self, count: int) -> Iterator[Step]:
        requests = [
            self._build("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=TRUST)
            for name in self._names(count)
        ]
        return _cycled(requests, _expect_text(b"<RoleId>"), count)


def _item(key: str) -> dict[str, dict[str, str]]:
    return {
        "id": {"S": key},
        "name": {"S": "n" * 100},
        "count": {"N": "42"},
        "note": {"S": "x" * 100},
    }


def _cycled(requests: list[bytes], check: Callable[[Response], None], count: int) -> Iterator[Step]:
    return (Step(request, check) for request in islice(cycle(requests), count))


def _xml_text(body: bytes, tag: str) -> str:
    for element in ET.fromstring(body).iter():
        if element.tag.rpartition("}")[2] == tag:
            return element.text or ""
    raise AnswerError(f"no {tag} in {body[:300]!r}")


def _expect_success(response: Response) -> None:
    if not 200 <= response.status < 300:
        raise AnswerError(f"{response.head[:200]!r} {response.body[:300]!r}")


def _expect_object(response: Response) -> None:
    if response.body != OBJECT:
        raise AnswerError(f"S3 get returned {response.body[:100]!r}")


def _expect_item(response: Response) -> None:
    item = json.loads(response.body).get("Item", {})
    if item != _item(item.get("id", {}).get("S", "")):
        raise AnswerError(f"DynamoDB get returned {response.body[:300]!r}")


def _expect_text(text: bytes) -> Callable[[Response], None]:
    def check(response: Response) -> None:
        if text not in response.body:
            raise AnswerError(f"{text!r} is missing in {response.body[:300]!r}")

    return check


def _expect_header(name: str) -> Callable[[Response], None]:
    def check(response: Response) -> None:
        if response.header(name) is None:
            raise AnswerError(f"no {name} in {response.head!r}")

    return check
