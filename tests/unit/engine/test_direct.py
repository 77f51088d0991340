"""A request is made ready for a handler as moto does it."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import pytest
from moto.core.request import Request
from moto.core.responses import PROTOCOL_PARSERS, BaseResponse
from moto.core.utils import get_service_model
from moto.moto_api._internal import mock_random
from tests.unit.calls import a_call
from werkzeug.datastructures import ImmutableMultiDict

from perdure.engine.calls import Call
from perdure.engine.core import Engine
from perdure.engine.dispatch import routes_of
from perdure.engine.pins import Pins, pinned
from perdure.engine.quirks import direct
from perdure.engine.requests import CallRequest, ObjectRequest, environ_for, request_for


class Listed(dict[str, Any]):
    """A mapping that is no plain one."""


JSON, FORM = "application/x-amz-json-1.0", "application/x-www-form-urlencoded"


def response(body: Any) -> Any:
    found = BaseResponse("ssm")
    found.querystring, found.body, found.uri_match = {"q": ["of the query"]}, body, {"p": "path"}
    return found


@pytest.mark.parametrize(
    "body", ['{"a": [1, {"b": 2}], "n": 3, "q": 0, "p": 1, "none": null}', "[1]", "no", "", None]
)
def test_a_parameter_is_what_moto_finds(engine: Engine, body: str | None) -> None:
    """In query, body and path, in this order; a body that is no object has none."""
    asked, expected = response(body), response(body)
    for name in ("a", "n", "q", "p", "none", "absent"):
        for _ in range(2):
            assert asked._get_param(name, 7) == direct.REPLACED.original["_get_param"](
                expected, name, 7
            )


def test_a_parameter_that_was_changed_is_asked_for_unchanged(engine: Engine) -> None:
    """Handlers change lists they were given, and moto parses the body anew for the next."""
    asked = response('{"a": [1], "n": 3}')
    asked._get_param("n")
    asked._get_param("a").append(2)
    assert asked._get_param("a") == [1]
    asked.body = '{"a": [5], "n": 4}'
    assert (asked._get_param("a"), asked._get_param("n")) == ([5], 4)


def test_a_route_is_found_once_and_its_parameters_are_each_askers_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As moto finds it; who changes the path's parameters changes nobody else's."""
    routes_of("awslambda")
    path = "/2015-03-31/functions/f/aliases/a"
    request = CallRequest(environ_for(a_call("lambda", "GET /", method="GET", path=path)))
    found, again, plain = (BaseResponse("lambda") for _ in range(3))

    name = found._get_action_from_method_and_request_uri(request)
    found.uri_match["FunctionName"] = "changed"
    monkeypatch.setattr(direct, "_matched", None)

    assert again._get_action_from_method_and_request_uri(request) == name == "GetAlias"
    assert (
        direct.REPLACED.original["_get_action_from_method_and_request_uri"](plain, request) == name
    )
    assert again.uri_match == plain.uri_match == {"FunctionName": "f", "Name": "a"}


def test_a_path_of_no_operation_has_none(engine: Engine) -> None:
    """It leaves the parameters of the path as they were, as moto does."""
    request = CallRequest(environ_for(a_call("lambda", "GET /", method="GET", path="/nowhere")))
    found = BaseResponse("lambda")
    found.uri_match = {"kept": "1"}
    assert found._get_action_from_method_and_request_uri(request) is None
    assert found.uri_match == {"kept": "1"}


BODIES: dict[str, list[bytes]] = {
    JSON: [
        b'{"TableName": "t"}',
        b'{"a": "x=1&Action=Other+%20"}',
        b"&",
        b"=",
        b"not json",
        "ä\U0001f600".encode(),
        b"\xff",
        b"null",
        b"",
    ],
    FORM: [
        b"Action=CreateRole&RoleName=r",
        b"Action=A&Action=B&empty=&RoleName=%C3%A4+%ff",
        b"key=k&Action=CreateRole",
        b"Action",
        b"&",
        b"\xff",
        b"",
    ],
    f"{FORM}; charset=utf-8": [b"Action=CreateRole&RoleName=r"],
    f"{FORM}; charset=utf-16": [b"Action=CreateRole&RoleName=r"],
    "multipart/form-data; boundary=b": [
        b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\nv\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nv\r\n--b--\r\n',
    ],
    "": [b'{"a": 1}', b""],
}
REQUESTS = [(kind, body) for kind, bodies in BODIES.items() for body in bodies]
# Request's own, of which each side has one.
APART = {"normalized_request", "headers"}


def made_ready(call: Call, url: str | None, **named: Any) -> list[Any]:
    """All that a handler may see of a request, ours and moto's; or the complaints about it."""
    with direct.REPLACED.undone():
        kind = OfServersObject if call.service.module == "s3" else OfServer
        of_moto = seen_of(kind(environ_for(call)), url, named)
    return [seen_of(request_for(call), url, named), of_moto]


class OfServer(Request):
    """A request as moto's server has it, with all of werkzeug's ways."""

    from_wsgi_server = True


class OfServersObject(OfServer):
    """The same for S3, to which a body is an object."""

    want_form_data_parsed = ObjectRequest.want_form_data_parsed


def seen_of(request: Any, url: str | None, named: dict[str, Any]) -> Any:
    response = Plain("ssm")
    try:
        response.setup_class(request, url, **named)
    except Exception as error:  # noqa: BLE001 - whatever moto runs into
        return f"{type(error).__name__}: {error}"
    seen = {k: v for k, v in vars(response).items() if k not in APART}
    return {
        **seen,
        "querystring": list(response.querystring.items()),
        "types": {name: type(value) for name, value in seen.items()},
        "action": response._get_action(),  # within ``undone``, moto's
        "request": (request.data, request.form, list(request.files), request.stream.read()),
    }


class Plain(BaseResponse):
    """Of a service that parses its own parameters."""


@pytest.mark.parametrize("target", ["AmazonSSM.PutParameter", None])
@pytest.mark.parametrize(("kind", "body"), REQUESTS)
@pytest.mark.parametrize("query", ["", "a=1", "Action=Q"])
def test_a_response_is_made_ready_as_by_moto(
    engine: Engine, kind: str, body: bytes, query: str, target: str | None
) -> None:
    """Every attribute, of the same type, whatever the body is."""
    headers = [("host", "localhost:4566")]
    headers += [("content-type", kind)] if kind else []
    headers += [] if target is None else [("x-amz-target", target)]
    call = a_call("ssm", "PutParameter", body=body, headers=headers, query=query)
    url = "http://localhost:4566/" + (f"?{query}" if query else "")
    for named in ({}, {"use_raw_body": True}):
        for given in (url, None):
            ours, of_moto = made_ready(call, given, **named)
            assert ours == of_moto


@pytest.mark.parametrize("method", ["PUT", "GET", "POST"])
@pytest.mark.parametrize("query", ["", "tagging", "list-type=2&prefix=a%20b"])
@pytest.mark.parametrize(("kind", "body"), REQUESTS)
def test_an_object_is_made_ready_as_by_moto(
    engine: Engine, kind: str, body: bytes, query: str, method: str
) -> None:
    """S3 takes a body as bytes, whatever it is."""
    headers = [("content-type", kind)] if kind else []
    call = a_call("s3", "PUT /b/k", method=method, path="/b/k", query=query, body=body)
    call.headers += headers
    url = "http://localhost:4566/b/k" + (f"?{query}" if query else "")
    for given in (url, None):
        ours, of_moto = made_ready(call, given, use_raw_body=True)
        assert ours == of_moto


@pytest.mark.parametrize(
    ("kind", "body", "seen"),
    [(JSON, b'{"Name": "n"}', "body"), (FORM, b"Action=CreateRole", "form_data")],
)
def test_a_packed_body_is_unpacked(engine: Engine, kind: str, body: bytes, seen: str) -> None:
    """Which the short way does not do."""
    headers = [("content-type", kind), ("content-encoding", "gzip")]
    call = a_call("ssm", "PutParameter", body=gzip.compress(body), headers=headers)
    ours, of_moto = made_ready(call, "http://localhost:4566/")
    assert ours == of_moto
    assert ours[seen] in (body.decode(), ImmutableMultiDict({"Action": "CreateRole"}))


@pytest.mark.parametrize(
    ("service", "changes"),
    [
        ("ssm", {"headers": [("content-type", JSON)], "body": b'{"Name": "n"}'}),
        ("iam", {"headers": [("content-type", FORM)], "body": b"Action=CreateRole"}),
        ("s3", {"method": "PUT", "path": "/b/k", "body": b"text"}),
        ("s3", {"method": "GET", "path": "/b/k", "query": "tagging"}),
    ],
)
def test_the_short_way_is_taken(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, service: str, changes: dict[str, Any]
) -> None:
    """By calls of each protocol; S3 gives neither URL nor headers."""
    monkeypatch.setitem(direct.REPLACED.original, "setup_class", None)
    monkeypatch.setitem(direct.REPLACED.original, "parse_parameters", None)
    request = request_for(a_call(service, "PUT /b/k", **changes))
    BaseResponse(service).setup_class(request)


@pytest.mark.parametrize("action", [["A"], [""], [], "A", None])
@pytest.mark.parametrize("target", ["S.B", "B", "", None])
def test_an_operation_is_what_moto_finds(engine: Engine, action: Any, target: str | None) -> None:
    """In the form, else in the header, else by the path."""
    headers = [] if target is None else [("X-Amz-Target", target)]
    request = CallRequest(environ_for(a_call("ssm", "B", headers=headers)))
    response = BaseResponse("ssm")
    response.querystring = {} if action is None else {"Action": action}
    response.normalized_request, response.headers = request, request.headers
    response.uri_match = {}
    expected = direct.REPLACED.original["_get_action"](response)
    assert response._get_action() == expected


@pytest.mark.parametrize(
    "params", [{"a": 1, "p": None, "n": {"m": 2}}, {}, None, "text", Listed(a=1)]
)
def test_a_parsed_parameter_is_what_moto_finds(engine: Engine, params: Any) -> None:
    """Among those parsed, then in the path; a name with a dot is a way into them."""
    response = BaseResponse("ssm")
    response.automated_parameter_parsing = True
    response.params, response.uri_match = params, {"p": "path", "q": 1}
    for name in ("a", "p", "q", "n", "n.m", "n.o", "absent"):
        expected = direct.REPLACED.original["_get_param"](response, name, 7)
        assert response._get_param(name, 7) == expected


@pytest.mark.parametrize("body", ["<RequestId>x</RequestId>", "<a/>", "{}", b"<RequestId>x", None])
@pytest.mark.parametrize("status", [{}, {"status": 404}])
def test_an_answer_has_the_request_id_moto_gives(
    engine: Engine, body: Any, status: dict[str, Any]
) -> None:
    """In its headers, and in its body where that has a place for it; drawn alike."""
    found = []
    for enrich in (BaseResponse._enrich_response, direct.REPLACED.original["_enrich_response"]):
        with pinned(Pins(1, 7)):
            found.append((*enrich(dict(status), body), mock_random.random()))
    assert found[0] == found[1]
    assert len(found[0][0]["x-amzn-requestid"]) == 52


def some_json(shape: Any, choose: random.Random, depth: int = 0) -> Any:
    """What a client may send for a shape, and some of what it may not."""
    if choose.random() < 0.1:
        return choose.choice([None, 7, "text", True, [], {}])
    if depth > 4:
        return None
    several = range(choose.randrange(3))
    if shape.type_name == "list":
        return [some_json(shape.member, choose, depth + 1) for _ in several]
    if shape.type_name == "map":
        return {f"key{n}": some_json(shape.value, choose, depth + 1) for n in several}
    if shape.type_name == "structure":
        return {
            each.serialization.get("name", name): some_json(each, choose, depth + 1)
            for name, each in shape.members.items()
            if choose.random() < 0.6
        } | {"unknown": 1}
    sent = {"blob": "YQ==", "timestamp": 1_700_000_000, "boolean": True, "string": "s"}
    return sent.get(shape.type_name, choose.choice([3, 2.5, "4", True]))


@pytest.mark.parametrize(
    "service", ["dynamodb", "sqs", "ssm", "logs", "lambda", "kinesis", "batch"]
)
def test_parameters_are_those_moto_parses(engine: Engine, service: str) -> None:
    """Of JSON of every shape, or with the same complaint."""
    model = get_service_model(service)
    choose = random.Random(service)
    parsed = 0
    for name in list(model.operation_names)[:80]:
        operation = model.operation_model(name)
        if operation.input_shape is None:
            continue
        for _ in range(5):
            body = json.dumps(some_json(operation.input_shape, choose)).encode()
            request = {
                "body": body,
                "values": {},
                "headers": {},
                "url_params": {},
                "method": "",
                "url_path": "/",
            }
            ours = outcome(PROTOCOL_PARSERS[str(model.protocol)](operation).parse, request)
            with direct.REPLACED.undone():
                kind = PROTOCOL_PARSERS[str(model.protocol)]
                expected = outcome(kind(operation).parse, request)
            assert ours == expected
            parsed += isinstance(ours, dict)
    assert parsed > 20


def outcome(parse: Any, request: dict[str, Any]) -> Any:
    try:
        return parse(request)
    except Exception as error:  # noqa: BLE001 - whatever moto complains of
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(("kind", "body"), [r for r in REQUESTS if b"\xff" not in r[1]])
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("query", ["", "Path=p"])
@pytest.mark.parametrize("service", ["ssm", "iam", "ec2"])
def test_parsed_parameters_are_those_of_moto(  # noqa: PLR0917 - what a request is made of
    engine: Engine, kind: str, body: bytes, method: str, query: str, service: str
) -> None:
    """Whatever the body is, by query and form."""
    headers = [("content-type", kind), ("x-amz-target", "S.PutParameter")]
    action = {"ssm": "PutParameter", "iam": "CreateRole", "ec2": "RunInstances"}[service]
    call = a_call(service, action, body=body, headers=headers, query=query, method=method)
    found = []
    for parse in (BaseResponse.parse_parameters, direct.REPLACED.original["parse_parameters"]):
        request = CallRequest(environ_for(call))
        response = BaseResponse(service)
        response.querystring, response.headers = {"Action": [action]}, request.headers
        response.normalized_request, response.uri_match = request, {}
        try:
            parse(response, request)
            found.append(response.params)
        except Exception as error:  # noqa: BLE001 - whatever moto complains of
            found.append(f"{type(error).__name__}: {error}")
    assert found[0] == found[1]
