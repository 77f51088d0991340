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
from typing import Any
from urllib.parse import parse_qsl, urlparse

import moto.core.responses
from moto.core import serialize
from moto.core.responses import BaseResponse

from perdure.engine.quirks.replaced import Replaced
from perdure.engine.requests import NOTHING, MotosHeaders, MotosRequest

REPLACED = Replaced()
# What no handler can change after it was handed out: a list would be, a text is not.
SCALARS = (str, int, float, bool, type(None))
# Where a response and a request keep what they were asked.
BODY, ROUTE = "_perdure_body", "_perdure_route"
# Who has none of them is one name without a value to what reads forms.
OF_FORMS = ("&", "=", "+", "%")


def install() -> None:
    """Take the short way where it leads to the same."""
    REPLACED.put(BaseResponse, "setup_class", _setup_class)
    REPLACED.put(BaseResponse, "_get_action", _get_action)
    REPLACED.put(BaseResponse, "_get_param", _get_param)
    REPLACED.put(BaseResponse, "_get_action_from_method_and_request_uri", _route_of)
    enrich = BaseResponse._enrich_response
    REPLACED.put(BaseResponse, "_enrich_response", staticmethod(_enrich_response))
    # A static method is not called by way of its class.
    REPLACED.original["_enrich_response"] = enrich


def _setup_class(
    response: Any,
    request: Any,
    full_url: str | None = None,
    headers: Any = None,
    use_raw_body: bool | None = None,  # noqa: FBT001 - as moto has it
) -> None:
    if use_raw_body or not _is_plain(response, request, full_url, headers):
        REPLACED.original["setup_class"](response, request, full_url, headers, use_raw_body)
        return
    assert full_url is not None
    response.is_werkzeug_request = request.from_wsgi_server
    response.normalized_request = request
    response.parsed_url = urlparse(full_url)
    response.raw_body, response.form_data = request.data, request.form
    response.body = body = response.raw_body.decode("utf-8")
    response.uri, response.path = full_url, response.parsed_url.path
    response.raw_path, response.method = request.raw_path, request.method
    response.querystring = response.data = _query_of(request.form, body, request.headers)
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


def _is_plain(response: Any, request: Any, full_url: str | None, headers: Any) -> bool:
    """Whether a request is a body as it came, or a form of names and values, and nothing else."""
    if type(request) is not MotosRequest or full_url is None or response.use_raw_body:
        return False
    environ = request.environ
    return (
        headers is request.headers
        and "HTTP_CONTENT_ENCODING" not in environ
        and not environ["QUERY_STRING"]
        and "?" not in full_url
        and environ["CONTENT_LENGTH"] != "0"
        and (request.form is NOTHING or _is_plain_form(request))
    )


def _is_plain_form(request: Any) -> bool:
    """Whether a form is one, has no files, and is no upload by a browser."""
    return bool(request.form) and request.files is NOTHING and "key" not in request.form


def _query_of(form: Any, body: str, headers: Any) -> dict[str, list[str]]:
    """What is in a form; or what moto finds as it takes any other body for one."""
    if form:
        return OrderedDict((name, [value]) for name, value in form.items())
    if any(mark in body for mark in OF_FORMS):
        pairs = parse_qsl(body, keep_blank_values=True)
        if pairs:
            return OrderedDict((name, [value]) for name, value in pairs)
        return OrderedDict(headers)
    return OrderedDict({body: [""]})


def _get_action(response: Any) -> Any:
    """As ``BaseResponse._get_action``, for what the header or a form names."""
    headers = response.headers
    if type(headers) is MotosHeaders:
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
    if type(body) is str and "<RequestId>" in body:
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
