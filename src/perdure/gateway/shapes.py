"""Errors in the shape of each AWS protocol, so that an SDK raises them as its own.

Source: the protocol pages of the Smithy documentation (smithy.io/2.0/aws).
"""

from __future__ import annotations

import json
import re
import uuid
from xml.sax import saxutils

from perdure.engine.calls import Answer
from perdure.errors import RequestError

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
# What XML 1.0 cannot carry, escaped or not; an SDK would fail to read the whole answer.
NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """Text as it may stand in an XML element."""
    return saxutils.escape(NOT_IN_XML.sub("?", text))


def error_answer(error: RequestError, *, protocol: str, with_body: bool = True) -> Answer:
    """The answer to a call that failed.

    Args:
        error: Code, message and status.
        protocol: The service's, as in ``services.Service``.
        with_body: False for HEAD.
    """
    request_id = str(uuid.uuid4())
    body, content_type = _BODIES.get(protocol, _json)(error, request_id)
    headers = [
        ("content-type", content_type),
        ("x-amzn-requestid", request_id),
        ("x-amz-request-id", request_id),
        ("x-amzn-errortype", error.code),
    ]
    return Answer(error.status, headers, body if with_body else b"")


def _json(error: RequestError, _: str) -> tuple[bytes, str]:
    document = {"__type": error.code, "message": error.message, "Message": error.message}
    return json.dumps(document).encode(), "application/x-amz-json-1.0"


def _rest_json(error: RequestError, request_id: str) -> tuple[bytes, str]:
    return _json(error, request_id)[0], "application/json"


def _query(error: RequestError, request_id: str) -> tuple[bytes, str]:
    fault = "Sender" if error.status < 500 else "Receiver"  # noqa: PLR2004 - HTTP
    text = (
        f"{XML}<ErrorResponse><Error><Type>{fault}</Type><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return text.encode(), "text/xml"


def _ec2(error: RequestError, request_id: str) -> tuple[bytes, str]:
    text = (
        f"{XML}<Response><Errors><Error><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    )
    return text.encode(), "text/xml"


def _rest_xml(error: RequestError, request_id: str) -> tuple[bytes, str]:
    text = (
        f"{XML}<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        f"<RequestId>{request_id}</RequestId></Error>"
    )
    return text.encode(), "application/xml"


def _cbor_text(text: str) -> bytes:
    """A CBOR text string (RFC 8949, major type 3)."""
    data = text.encode()
    length = len(data)
    if length < 24:  # noqa: PLR2004 - the length fits the initial byte
        head = bytes([0x60 | length])
    elif length < 1 << 8:
        head = bytes([0x78, length])
    else:
        head = b"\x79" + min(length, 0xFFFF).to_bytes(2, "big")
    return head + data[:0xFFFF]


def _cbor(error: RequestError, _: str) -> tuple[bytes, str]:
    pairs = {"__type": error.code, "message": error.message}
    body = bytes([0xA0 | len(pairs)])
    for name, value in pairs.items():
        body += _cbor_text(name) + _cbor_text(value)
    return body, "application/cbor"


_BODIES = {
    "json": _json,
    "rest-json": _rest_json,
    "query": _query,
    "ec2": _ec2,
    "rest-xml": _rest_xml,
    "smithy-rpc-v2-cbor": _cbor,
}
