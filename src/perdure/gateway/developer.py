"""LocalStack's developer endpoints: ``/_aws/{sqs,ses,sns,dynamodb}/...``.

    GET POST    /_aws/sqs/messages                       QueueUrl, ShowInvisible, ShowDelayed
    GET         /_aws/sqs/messages/<region>/<account>/<queue>
    GET DELETE  /_aws/ses                                id, email
    GET DELETE  /_aws/sns/platform-endpoint-messages     accountId, region, endpointArn
    GET DELETE  /_aws/sns/sms-messages                   accountId, region, phoneNumber
    DELETE      /_aws/dynamodb/expired

What changes state goes through ``engine.developer.administer`` and, with
SNAPSHOT_SAVE_STRATEGY=ON_REQUEST, is saved before it is answered, as a call is.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from perdure.config import Config, SaveStrategy
from perdure.engine import developer
from perdure.engine.core import DEFAULT_ACCOUNT, Engine
from perdure.engine.stores import QuarantinedError
from perdure.gateway.bodies import parsed, small_body
from perdure.gateway.lifecycle import Lifecycle
from perdure.gateway.shapes import escape

PREFIXES = ("/_aws/sqs/", "/_aws/ses", "/_aws/sns/", "/_aws/dynamodb/")
NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
SCOPE_REGION = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/")
ARN = re.compile(r"arn:[^:]+:sns:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):.+")
DOMAIN_QUEUE = re.compile(r"(?:(?P<region>[a-z0-9-]+)\.)?queue\.")
STANDARD_QUEUE = re.compile(r"sqs\.(?P<region>[a-z0-9-]+)\.")
TRUE = ("1", "true")
Result = TypeVar("Result")

# An element's name and its text or its children, as XML has them.
Node = tuple[str, "str | list[Node]"]


class QueueError(Exception):
    """What is wrong with a request for messages, in the words of both SQS protocols."""

    def __init__(self, code: str, query_code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.query_code, self.message, self.status = code, query_code, message, status


@dataclass(slots=True)
class Developer:
    """The developer endpoints of one server."""

    config: Config
    engine: Engine
    lifecycle: Lifecycle

    def routes(self) -> list[Route]:
        """All of them; any other path below ``PREFIXES`` is a 404."""
        queue = "/{region}/{account}/{queue}"
        return [
            # An SDK that is given the first as its endpoint may add a slash.
            Route("/_aws/sqs/messages", self.messages, methods=["GET", "POST"]),
            Route("/_aws/sqs/messages/", self.messages, methods=["GET", "POST"]),
            Route(f"/_aws/sqs/messages{queue}", self.messages, methods=["GET"]),
            Route("/_aws/ses", self.mails, methods=["GET", "DELETE"]),
            Route("/_aws/sns/platform-endpoint-messages", self.pushes, methods=["GET", "DELETE"]),
            Route("/_aws/sns/sms-messages", self.texts, methods=["GET", "DELETE"]),
            Route("/_aws/dynamodb/expired", self.expire, methods=["DELETE"]),
        ]

    async def messages(self, request: Request) -> Response:
        """A queue's messages, as XML or JSON, received by nobody."""
        values, is_json_protocol = await _values(request)
        try:
            found = await self._messages(request, values)
        except QueueError as error:
            return _queue_error(error, request, is_json_protocol=is_json_protocol)
        if is_json_protocol:
            return _amz_json({"Messages": found} if found else {})
        children: list[Node] = [("Message", _message_nodes(message)) for message in found]
        metadata: list[Node] = [("RequestId", str(uuid.uuid4()))]
        result: list[Node] = [("ReceiveMessageResult", children), ("ResponseMetadata", metadata)]
        return _tree(("ReceiveMessageResponse", result), request)

    async def _messages(self, request: Request, values: dict[str, str]) -> list[dict[str, Any]]:
        operation = values.get("Action", "ReceiveMessage")
        operation = request.headers.get("x-amz-target", operation).rpartition(".")[2]
        if operation != "ReceiveMessage":
            text = "This endpoint only accepts ReceiveMessage calls"
            raise QueueError("InvalidRequest", "InvalidRequest", text)
        account, region, queue = self._queue(request, values)
        flags = {
            flag: values.get(name, "").lower() in TRUE
            for flag, name in (("invisible", "ShowInvisible"), ("delayed", "ShowDelayed"))
        }
        try:
            found = await self._look(
                lambda: developer.queue_messages(account, region, queue, **flags)
            )
        except QuarantinedError as error:
            name = "ServiceUnavailable"
            raise QueueError(name, name, str(error), 503) from error
        if found is None:
            raise _no_queue()
        return found

    def _queue(self, request: Request, values: dict[str, str]) -> tuple[str, str, str]:
        """Account, region and name, from the path or any shape of queue URL."""
        path = request.path_params
        if path:
            return path["account"], path["region"], path["queue"]
        if not values.get("QueueUrl"):
            raise _no_queue()
        account, region, queue = parse_queue_url(values["QueueUrl"])
        signed = SCOPE_REGION.search(request.headers.get("authorization", ""))
        return account, region or (signed[1] if signed else self.config.default_region), queue

    async def mails(self, request: Request) -> Response:
        """What SES sent; DELETE forgets one or all."""
        given = request.query_params
        if request.method == "DELETE":
            return await self._change("ses.delete", {"id": given.get("id")})
        return await self._read(
            lambda: {"messages": developer.mails(given.get("id"), given.get("email"))}
        )

    async def pushes(self, request: Request) -> Response:
        """What SNS published to platform endpoints; DELETE forgets."""
        endpoint = request.query_params.get("endpointArn")
        account, region = _account_and_region(request)
        if endpoint is not None:
            named = ARN.fullmatch(endpoint)
            if named is None:
                text = f"endpointArn={endpoint!r} is no ARN of SNS"
                return JSONResponse({"message": text}, status_code=400)
            account, region = named["account"], named["region"]
        if request.method == "DELETE":
            where = {"account": account, "region": region, "endpoint": endpoint}
            return await self._change("sns.delete_pushes", where)
        return await self._read(
            lambda: {
                "platform_endpoint_messages": developer.pushes(account, region, endpoint),
                "region": region,
            }
        )

    async def texts(self, request: Request) -> Response:
        """Text messages SNS sent; DELETE forgets."""
        phone = request.query_params.get("phoneNumber")
        account, region = _account_and_region(request)
        if request.method == "DELETE":
            where = {"account": account, "region": region, "phone": phone}
            return await self._change("sns.delete_texts", where)
        return await self._read(
            lambda: {"sms_messages": developer.texts(account, region, phone), "region": region}
        )

    async def expire(self, _: Request) -> Response:
        """Delete DynamoDB's expired items now; the answer says how many."""
        return await self._change("dynamodb.expire", {}, is_answered=True)

    async def _read(self, read: Callable[[], dict[str, Any]]) -> Response:
        try:
            return JSONResponse(await self._look(read))
        except QuarantinedError as error:
            return _set_aside(error)

    async def _look(self, read: Callable[[], Result]) -> Result:
        """What a read gives, once all that it can show is as durable as an answer."""
        found = await asyncio.to_thread(developer.look, self.engine, read)
        await self.lifecycle.durable()
        return found

    async def _change(
        self, name: str, arguments: dict[str, Any], *, is_answered: bool = False
    ) -> Response:
        """Change state as a call does; LocalStack answers most with 204."""
        try:
            result, touched = await asyncio.to_thread(
                developer.administer, self.engine, name, arguments
            )
        except QuarantinedError as error:
            return _set_aside(error)
        on_request = self.config.snapshot_save_strategy is SaveStrategy.ON_REQUEST
        if on_request and self.lifecycle.enabled:
            await self.lifecycle.save_before_answer(touched)
        await self.lifecycle.durable()
        return JSONResponse(result) if is_answered else Response(status_code=204)


def parse_queue_url(url: str) -> tuple[str, str | None, str]:
    """Account, region if it says so, and name of a queue, from each shape of URL.

    Raises:
        QueueError: It is no queue URL.
    """
    try:
        parts = urlsplit(url.rstrip("/"))
        path = parts.path.strip("/").split("/")
        host = parts.netloc
    except ValueError:
        path, host = [], ""
    if len(path) == 4 and path[0] == "queue":  # noqa: PLR2004 - queue, region, account, name
        return path[2], path[1], path[3]
    if len(path) != 2:  # noqa: PLR2004 - account, name
        text = f"{url!r} is no queue URL"
        raise QueueError("InvalidAddress", "InvalidAddress", text, 404)
    named = STANDARD_QUEUE.match(host) or DOMAIN_QUEUE.match(host)
    region = None if named is None else named["region"] or "us-east-1"
    return path[0], region, path[1]


def closed_moto_api() -> Response:
    """The answer to moto's own interface, ``/moto-api/``: it would change state past the engine."""
    message = (
        "moto's own interface is closed: it changes state that Perdure could not save. "
        "Use POST /_localstack/state/reset to empty all services, GET /_localstack/health, and "
        "the developer endpoints /_aws/sqs/messages, /_aws/ses, /_aws/sns/sms-messages"
    )
    return JSONResponse({"message": message}, status_code=404)


async def _values(request: Request) -> tuple[dict[str, str], bool]:
    """Query, form and JSON fields together, and whether SQS' JSON protocol is spoken."""
    values = dict(request.query_params)
    kind = request.headers.get("content-type", "")
    body = await small_body(request)
    if "json" in kind:
        document = parsed(body or b"{}")
        if isinstance(document, dict):
            values |= {name: str(value) for name, value in document.items()}
    else:
        values |= dict(parse_qsl(body.decode("utf-8", "replace")))
    return values, "x-amz-json" in kind


def _account_and_region(request: Request) -> tuple[str, str]:
    given = request.query_params
    return given.get("accountId", DEFAULT_ACCOUNT), given.get("region", "us-east-1")


def _no_queue() -> QueueError:
    return QueueError(
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
    )


def _set_aside(error: QuarantinedError) -> Response:
    return JSONResponse({"message": str(error)}, status_code=503)


def _queue_error(error: QueueError, request: Request, *, is_json_protocol: bool) -> Response:
    fault = "Sender" if error.status < 500 else "Receiver"  # noqa: PLR2004 - HTTP
    if is_json_protocol:
        document = {"__type": f"com.amazonaws.sqs#{error.code}", "message": error.message}
        answer = _amz_json(document, error.status)
        answer.headers["x-amzn-query-error"] = f"{error.query_code};{fault}"
        return answer
    fields: list[Node] = [
        ("Code", error.query_code),
        ("Message", error.message),
        ("Type", fault),
    ]
    tree: list[Node] = [("Error", fields), ("RequestId", str(uuid.uuid4()))]
    return _tree(("ErrorResponse", tree), request, error.status)


def _amz_json(document: dict[str, Any], status: int = 200) -> Response:
    body = json.dumps(document).encode()
    return Response(body, status_code=status, media_type="application/x-amz-json-1.0")


def _message_nodes(message: dict[str, Any]) -> list[Node]:
    """A message's elements in the order and under the names of the query protocol."""
    nodes: list[Node] = [(n, v) for n, v in message.items() if isinstance(v, str)]
    for name, value in message["Attributes"].items():
        nodes.append(("Attribute", [("Name", name), ("Value", value)]))
    for name, fields in message.get("MessageAttributes", {}).items():
        parts: list[Node] = [(field, str(part)) for field, part in fields.items() if part]
        nodes.append(("MessageAttribute", [("Name", name), ("Value", parts)]))
    return nodes


def _tree(root: Node, request: Request, status: int = 200) -> Response:
    """XML, or the same elements as JSON for a client that prefers it."""
    accept = request.headers.get("accept", "*/*")
    if accept == "*/*":
        accept = request.headers.get("content-type", "")
    if "json" in accept and "xml" not in accept:
        return JSONResponse({root[0]: _as_json(root[1])}, status_code=status)
    name, inner = root[0], _as_xml(root[1])
    text = f"<?xml version='1.0' encoding='utf-8'?>\n<{name} xmlns=\"{NAMESPACE}\">{inner}</{name}>"
    return Response(text.encode(), status_code=status, media_type="text/xml")


def _as_xml(value: str | list[Node]) -> str:
    if isinstance(value, str):
        return escape(value).replace('"', "&quot;").replace("\r", "&#xD;")
    return "".join(f"<{name}>{_as_xml(inner)}</{name}>" for name, inner in value)


def _as_json(value: str | list[Node]) -> Any:
    """As LocalStack turns its XML into JSON: one child is itself, several are a list."""
    if isinstance(value, str) or not value:
        return value or None
    found: dict[str, list[Any]] = {}
    for name, inner in value:
        found.setdefault(name, []).append(_as_json(inner))
    return {name: inner if len(inner) > 1 else inner[0] for name, inner in found.items()}
