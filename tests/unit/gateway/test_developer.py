"""The shapes of LocalStack's developer endpoints: queue URLs in, XML or JSON out."""

from __future__ import annotations

import json

import pytest
from starlette.requests import Request

from perdure.gateway.developer import QueueError, _queue_error, _tree, parse_queue_url

ACCOUNT = "000000000000"


def request(**headers: str) -> Request:
    named = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
    return Request({"type": "http", "headers": named})


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (f"http://localhost:4566/{ACCOUNT}/q", None),
        (f"http://localhost:4566/queue/eu-west-1/{ACCOUNT}/q", "eu-west-1"),
        (f"http://sqs.eu-west-1.localhost.localstack.cloud:4566/{ACCOUNT}/q/", "eu-west-1"),
        (f"http://eu-west-1.queue.localhost.localstack.cloud:4566/{ACCOUNT}/q", "eu-west-1"),
        (f"http://queue.localhost.localstack.cloud:4566/{ACCOUNT}/q", "us-east-1"),
    ],
)
def test_each_shape_of_queue_url(url: str, region: str | None) -> None:
    """Account, region and name are read from every URL LocalStack hands out."""
    assert parse_queue_url(url) == (ACCOUNT, region, "q")


@pytest.mark.parametrize("url", ["q", "http://localhost/q", "http://[", "http://h/x/r/a/q"])
def test_what_is_no_queue_url(url: str) -> None:
    """Anything else is an error that says so."""
    with pytest.raises(QueueError, match="no queue URL"):
        parse_queue_url(url)


def test_the_same_elements_as_xml_and_json() -> None:
    """XML by default; JSON with single children unwrapped, for a client that prefers it."""
    tree = ("R", [("A", 'x<&"'), ("B", [("C", "1")]), ("B", []), ("D", "")])

    xml = _tree(tree, request())
    as_json = _tree(tree, request(accept="application/json"))

    assert xml.media_type == "text/xml"
    assert b"<A>x&lt;&amp;&quot;</A><B><C>1</C></B><B></B><D></D></R>" in xml.body
    assert json.loads(as_json.body) == {"R": {"A": 'x<&"', "B": [{"C": "1"}, None], "D": None}}
    assert _tree(tree, request(accept="*/*", content_type="application/json")).body == as_json.body
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert _tree(tree, request(accept=browser)).body == xml.body


def test_errors_in_both_protocols() -> None:
    """An SDK of either protocol raises the error it would raise for ReceiveMessage."""
    error = QueueError("QueueDoesNotExist", "AWS.Old", "no such queue")

    as_json = _queue_error(error, request(), is_json_protocol=True)
    as_xml = _queue_error(error, request(), is_json_protocol=False)

    assert as_json.status_code == as_xml.status_code == 400
    assert json.loads(as_json.body)["__type"] == "com.amazonaws.sqs#QueueDoesNotExist"
    assert as_json.headers["x-amzn-query-error"] == "AWS.Old;Sender"
    assert b"<Code>AWS.Old</Code>" in as_xml.body
