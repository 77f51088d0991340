"""Shapes: an SDK reads code and message of our errors as if AWS had sent them."""

from __future__ import annotations

import pytest
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import RequestError
from perdure.gateway.shapes import error_answer

PROTOCOLS = ["json", "rest-json", "query", "ec2", "rest-xml", "smithy-rpc-v2-cbor"]
MESSAGES = ["plain", "<&>\"'", "ä€😀", "x" * 30, "y" * 300, "z" * 70_000, "two\nlines", ""]


def parsed(message: str, protocol: str) -> tuple[str, str]:
    error = RequestError("ServiceUnavailable", message, status=503)
    answer = error_answer(error, protocol=protocol)
    headers = {name.title(): value for name, value in answer.headers}
    headers |= dict(answer.headers)
    found = create_parser(protocol).parse(
        {"status_code": answer.status, "headers": headers, "body": answer.body}, None
    )
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 503
    return found["Error"]["Code"], found["Error"]["Message"] or ""


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m[:6])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_botocore_reads_code_and_message(protocol: str, message: str) -> None:
    """In each protocol, botocore's own parser finds the code and the message."""
    code, found = parsed(message, protocol)

    assert code == "ServiceUnavailable"
    assert found == (message if protocol != "smithy-rpc-v2-cbor" else message[:0xFFFF])


@given(st.text(), st.sampled_from(PROTOCOLS))
def test_no_message_breaks_a_shape(message: str, protocol: str) -> None:
    """Whatever text a message holds, the code of the error arrives."""
    assert parsed(message, protocol)[0] == "ServiceUnavailable"


def test_a_head_has_no_body() -> None:
    """The answer to HEAD carries status and headers only."""
    answer = error_answer(RequestError("X", "m", status=404), protocol="rest-xml", with_body=False)

    assert (answer.status, answer.body) == (404, b"")
