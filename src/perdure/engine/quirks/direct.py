"""The way of a request through moto's response class, without what finds nothing on it.

What a call of DynamoDB, SQS or SSM took there (``bench/recording.py --profile``):

    made ready: forms, files and queries that are not there     an eighth of a call
    its operation, by header, asked four times                  a twentieth
    a parameter, through a chain of two dictionaries            two hundredths each
    a JSON body, parsed anew for each parameter                 a tenth for eleven of them
    the model's route of a REST request, found three times      30 to 200 us each
    a request id, looked for in answers without one             two hundredths

A request of another kind takes moto's own way; see ``_is_plain``.  Whatever a handler can
see is the same on both.
"""

from __future__ import annotations

import json
from collections import ChainMap, OrderedDict
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlparse

import moto.core.responses
from moto.core import serialize
from moto.core.parse import BaseJSONParser
from moto.core.responses import BaseResponse

from perdure.engine.quirks.replaced import Replaced
from perdure.engine.requests import NOTHING, CallHeaders, CallRequest, ObjectRequest

REPLACED = Replaced()
# What no handler can change after it was handed out: a list would be, a text is not.
SCALARS = (str, int, float, bool, type(None))
# Where a response and a request keep what they were asked.
BODY, ROUTE = "_perdure_body", "_perdure_route"
# Where a shape keeps what a parser has to know of its members.
PARSED = "_perdure_parsed"
# Who has none of them is one name without a value to what reads forms.
OF_FORMS = ("&", "=", "+", "%")


def install() -> None:
    """Take the short way where it leads to the same."""
    REPLACED.put(BaseResponse, "setup_class", _setup_class)
    REPLACED.put(BaseResponse, "parse_parameters", _parse_parameters)
    REPLACED.put(BaseJSONParser, "_parse_structure", _parse_structure)
    REPLACED.put(BaseJSONParser, "_parse_map", _parse_map)
    REPLACED.put(BaseResponse, "_get_action", _get_action)
    REPLACED.put(BaseResponse, "_get_param", _get_param)
    REPLACED.put(BaseResponse, "_get_action_from_method_and_request_uri", _route_of)
    REPLACED.put(BaseResponse, "_enrich_response", staticmethod(_enrich_response))


def _setup_class(
    response: Any,
    request: Any,
    full_url: str | None = None,
    headers: Any = None,
    use_raw_body: bool | None = None,  # noqa: FBT001 - as moto has it
) -> None:
    if not _is_plain(request, headers):
        REPLACED.original["setup_class"](response, request, full_url, headers, use_raw_body)
        return
    # S3 gives neither this nor headers.
    full_url = request.raw_url if full_url is None else full_url
    use_raw_body = response.use_raw_body if use_raw_body is None else use_raw_body
    response.is_werkzeug_request = request.from_wsgi_server
    response.normalized_request = request
    response.parsed_url = urlparse(full_url)
    response.body = response.raw_body = request.data
    response.form_data = request.form
    if not use_raw_body:
        response.body = response.body.decode("utf-8")
    response.uri, response.path = full_url, response.parsed_url.path
    response.raw_path, response.method = request.raw_path, request.method
    response.querystring = response.data = _query_of(response, use_raw_body=bool(use_raw_body))
    response.region = response.get_region_from_url(request, full_url)
    response.partition = moto.core.responses.get_partition(response.region)
    response.uri_match = {}
    response.headers = request.headers
    response.response_headers = {"server": "amazon.com"}
    if response.automated_parameter_parsing and response._get_action():
        response.parse_parameters(request)
    response.access_key = response.get_access_key()
    response.current_account = response.get_current_account()
    from moto.iam.models import mark_account_as_visited

    mark_account_as_visited(
        account_id=response.current_account,
        access_key=response.access_key,
        service=response.service_name,
        region=response.region,
    )


def _parse_parameters(response: Any, request: Any) -> None:
    """As ``BaseResponse.parse_parameters``, which joins query and form for every protocol."""
    model = moto.core.responses.get_service_model(response.boto3_service_name)
    operation = model.operation_model(response._get_action())
    protocol = moto.core.responses.determine_request_protocol(model, request.content_type)
    kind = moto.core.responses.PROTOCOL_PARSERS[protocol]
    if protocol == "json":
        values = NOTHING  # it reads the body alone
    elif type(request) is CallRequest and request.method == "POST" and not request.query_string:
        values = request.form
    else:
        values = request.values
    response.params = kind(operation, map_type=response.PROTOCOL_PARSER_MAP_TYPE).parse(
        {
            "method": request.method,
            "values": values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": response.uri_match,
        }
    )


def _parse_structure(parser: Any, shape: Any, value: Any) -> Any:
    """As ``BaseJSONParser._parse_structure``, which looks every member's name up anew."""
    if value is None or shape.is_document_type:
        return value
    parsed = parser.MAP_TYPE()
    kept = shape.__dict__.setdefault(PARSED, {})
    kind = type(parser)
    if kind not in kept:
        kept[kind] = _members_of(kind, shape)
    for name, sent, each, is_plain in kept[kind]:
        found = value.get(sent)
        if found is not None:
            parsed[name] = found if is_plain else parser._parse_shape(each, found)
    return parsed


def _parse_map(parser: Any, shape: Any, value: Any) -> Any:
    """As ``RequestParser._parse_map``; what names the values mostly means itself."""
    parsed, parse, of = parser.MAP_TYPE(), parser._parse_shape, shape.value
    kind: Any = type(parser)
    if not _takes_as_is(kind, shape.key.type_name):
        value = {parse(shape.key, key): each for key, each in value.items()}
    for key, each in value.items():
        parsed[key] = parse(of, each)
    return parsed


def _members_of(kind: Any, shape: Any) -> tuple[tuple[Any, ...], ...]:
    """Of each: its name, that in JSON, its shape, and whether it is taken as it is."""
    return tuple(
        (name, each.serialization.get("name", name), each, _takes_as_is(kind, each.type_name))
        for name, each in shape.members.items()
    )


@cache
def _takes_as_is(kind: Any, type_name: str) -> bool:
    """Whether a class of parsers does nothing to values of a type."""
    is_default = kind._default_handle is BaseJSONParser._default_handle
    return is_default and not hasattr(kind, f"_parse_{type_name}")


def _is_plain(request: Any, headers: Any) -> bool:
    """Whether a request is a body as it came, or a form of names and values, and nothing else."""
    return (
        type(request) in (CallRequest, ObjectRequest)
        and (headers is None or headers is request.headers)
        and "HTTP_CONTENT_ENCODING" not in request.environ
        and type(request.data) is bytes
        and (request.form is NOTHING or _is_plain_form(request))
    )


def _is_plain_form(request: Any) -> bool:
    """Whether a form is one, has no files, and is no upload by a browser."""
    return bool(request.form) and request.files is NOTHING and "key" not in request.form


def _query_of(response: Any, *, use_raw_body: bool) -> dict[str, Any]:
    """What is in a form or else in the URL; or what moto takes for either."""
    form, body, query = response.form_data, response.body, response.parsed_url.query
    if form:
        return OrderedDict((name, [value]) for name, value in form.items())
    if query:
        found = OrderedDict(parse_qs(query, keep_blank_values=True))
        if found:
            return found
    if body and not use_raw_body:
        if not any(mark in body for mark in OF_FORMS):
            return OrderedDict({body: [""]})
        pairs = parse_qsl(body, keep_blank_values=True)
        if pairs:
            return OrderedDict((name, [value]) for name, value in pairs)
    return OrderedDict(response.normalized_request.headers)


def _get_action(response: Any) -> Any:
    """As ``BaseResponse._get_action``, for what the header or a form names."""
    headers = response.headers
    if type(headers) is CallHeaders:
        action = response.querystring.get("Action")
        if action and isinstance(action, list):
            action = action[0]
        if action:
            return action
        target = headers.environ.get("HTTP_X_AMZ_TARGET")
        if target:
            return target.split(".")[-1]
    return REPLACED.original["_get_action"](response)


def _enrich_response(headers: dict[str, str], body: Any) -> tuple[dict[str, str], Any]:
    if isinstance(body, str) and "<RequestId>" in body:
        found: tuple[dict[str, str], Any] = REPLACED.original["_enrich_response"](headers, body)
        return found
    if "status" in headers:
        headers["status"] = str(headers["status"])
    moto.core.responses.gen_amzn_requestid_long(headers)
    return headers, body


# --------------------------------------------------------------------- parameters


def _get_param(response: Any, param_name: str, if_none: Any = None) -> Any:
    """As ``BaseResponse._get_param``, which parses the body again for each parameter."""
    if response.automated_parameter_parsing:
        params, found = response.params, response.uri_match
        if type(params) is dict and type(found) is dict and "." not in param_name:
            return params[param_name] if param_name in params else found.get(param_name, if_none)
        params = ChainMap(params, found)
        return serialize.get_value(params, param_name, default=if_none)
    value = response.querystring.get(param_name)
    if value is not None:
        return value[0]
    if response.body is not None:
        try:
            return _of_body(response, param_name)
        except (ValueError, KeyError, TypeError):
            pass
    if response.uri_match:
        return response.uri_match.get(param_name, if_none)
    return if_none


def _of_body(response: Any, name: str) -> Any:
    body = response.body
    kept = response.__dict__.get(BODY)
    if kept is None or kept[0] is not body:
        kept = response.__dict__[BODY] = body, json.loads(body)
    value = kept[1][name]
    if isinstance(value, SCALARS):
        return value
    # Handlers change what they are given, and ask for it again.
    return json.loads(body)[name]


def _route_of(response: Any, request: Any) -> Any:
    """As moto's method: the operation by the model's routes; None if there is none."""
    service = response.boto3_service_name
    kept = request.__dict__.get(ROUTE)
    if kept is None or kept[0] != service:
        kept = request.__dict__[ROUTE] = service, *_matched(service, request)
    _, name, params = kept
    if name is not None:
        response.uri_match = dict(params)
    return name


def _matched(service: str, request: Any) -> tuple[str | None, dict[str, Any]]:
    try:
        operation, params = moto.core.responses.get_service_router(service).match(request)
    except (moto.core.responses.NotFound, NotImplementedError):
        return None, {}
    return operation.name, params
