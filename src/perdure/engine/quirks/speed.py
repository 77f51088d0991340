"""Work moto repeats in every call though its result never changes.

Found with ``bench/recording.py --profile`` and ``bench/run.py``:

    the methods of a response class, by inspection      a fifth of a call
    under which names an answer's member may stand      a tenth to a quarter of a call
    a JSON body, parsed anew for each parameter         a tenth for eleven parameters
    the model's route of a REST request, found 3 times  30 to 200 us each
    a name of AWS' in moto's spelling, letter by letter a quarter of receiving a message
    ids, drawn by a call for each of their characters   60 us for a receipt handle

Each answer depends on what it is remembered under, and on nothing else; ids are those
moto would have drawn.
"""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Iterable
from functools import cache, lru_cache
from string import ascii_lowercase
from typing import Any

import moto.core.responses
import moto.core.utils
from moto.core import serialize
from moto.core.responses import BaseResponse
from moto.moto_api._internal import mock_random

from perdure.engine.imports import after_import
from perdure.engine.quirks.replaced import Replaced

# What no handler can change after it was handed out: a list would be, a text is not.
SCALARS = (str, int, float, bool, type(None))
# Names come from clients, too.
NAMES_MAX = 4096
HANDLE_CHARACTERS = 185
REPLACED = Replaced()
# Where a shape keeps names, with what they were made of; and a response and a request
# what they were asked.
NAMES, KEYS = "_perdure_names", "_perdure_keys"
BODY, ROUTE = "_perdure_body", "_perdure_route"
_NONE: dict[str, Any] = {}
# moto's own, which the tests compare with.
names_of = serialize.XFormedAttributePicker.get_possible_keys
underscores_of = moto.core.utils.camelcase_to_underscores
param_of = BaseResponse._get_param
action_of = BaseResponse._get_action_from_method_and_request_uri


def install() -> None:
    """Remember what depends on a class, a name, a shape or a request alone."""
    moto.core.responses.method_names_from_class = cache(moto.core.utils.method_names_from_class)
    # Before any service is imported: most take it by name.
    underscored = lru_cache(NAMES_MAX)(underscores_of)
    moto.core.utils.camelcase_to_underscores = underscored
    moto.core.responses.camelcase_to_underscores = underscored
    after_import("moto.sqs.models", _sqs)
    after_import("moto.iam.utils", _iam)
    REPLACED.put(serialize.ResponseSerializer, "get_value", _get_value)
    serialize.XFormedAttributePicker.get_possible_keys = _possible_keys
    BaseResponse._get_param = _get_param
    BaseResponse._get_action_from_method_and_request_uri = _route_of


def _sqs(module: Any) -> None:
    def generate_receipt_handle() -> str:
        return "".join(mock_random.choices_of(ascii_lowercase, HANDLE_CHARACTERS))

    REPLACED.put(module, "generate_receipt_handle", generate_receipt_handle)


def _iam(module: Any) -> None:
    draw, pool = mock_random.choices_of, module.AWS_ROLE_ALPHABET
    module._random_uppercase_or_digit_sequence = lambda length: "".join(draw(pool, length))


# ------------------------------------------------------------- members of answers


def _get_value(serializer: Any, value: Any, key: str, shape: Any) -> Any:
    """A member of a plain dict, found without asking the picker."""
    if type(value) is dict and _is_usual(serializer._value_picker):
        names = _names_of(serializer, key, shape)
        if names is not None:
            for name in names:
                if name in value:
                    return value[name]
            return None
    return REPLACED.original["get_value"](serializer, value, key, shape)


def _is_usual(picker: Any) -> bool:
    if type(picker) is not serialize.XFormedAttributePicker or picker.response_transformers:
        return False
    return picker.alias_providers is serialize.DEFAULT_ALIAS_PROVIDERS


def _names_of(serializer: Any, key: str, shape: Any) -> tuple[str, ...] | None:
    """The names under which a dict may have a member, in moto's order; None = ask moto."""
    attributes = shape.__dict__
    parent = attributes.get("parent")
    kept = attributes.get(NAMES)
    if kept is None or kept[0] is not parent or kept[1] != key:
        kept = attributes[NAMES] = (parent, key, _made(serializer, key, shape))
    names: tuple[str, ...] | None = kept[2]
    return names


def _made(serializer: Any, key: str, shape: Any) -> tuple[str, ...] | None:
    model = serializer.operation_model
    context = serialize.AttributePickerContext(
        obj=_NONE,
        key=key,
        shape=shape,
        operation_model=model,
        service_model=model.service_model,
        key_path="",
    )
    names = tuple(dict.fromkeys(serializer._value_picker.get_possible_keys(context)))
    # One with a dot is a path, which is looked up otherwise.
    return None if any("." in name for name in names) else names


def _possible_keys(picker: Any, context: Any) -> Iterable[str]:
    """As moto's; kept with the shape, by the kind of object the member is read of."""
    shape, obj = context.shape, context.obj
    is_usual = picker.alias_providers is serialize.DEFAULT_ALIAS_PROVIDERS
    if shape is None or not is_usual or "Meta" in getattr(obj, "__dict__", ()):
        # An object, or a picker, may bring aliases of its own; none of moto's does so far.
        return names_of(picker, context)  # type: ignore[no-any-return]
    attributes = shape.__dict__
    parent, kept = attributes.get("parent"), attributes.get(KEYS)
    if kept is None or kept[0] is not parent:
        kept = attributes[KEYS] = parent, {}
    under = type(obj), context.key
    names = kept[1].get(under)
    if names is None:
        names = kept[1][under] = tuple(names_of(picker, context))
    return names  # type: ignore[no-any-return]


# ----------------------------------------------------------------------- requests


def _get_param(response: Any, param_name: str, if_none: Any = None) -> Any:
    """As ``BaseResponse._get_param``, which parses the body again for each parameter."""
    if response.automated_parameter_parsing:
        params = ChainMap(response.params, response.uri_match)
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
