"""Work moto repeats in every call though its result never changes.

Found with ``bench/recording.py --profile`` and ``bench/run.py``:

    the methods of a response class, by inspection      a fifth of a call
    under which names an answer's member may stand      a quarter of a call; they depend on
                                                        the shape and the object's class
    the names of elements of XML, letter by letter      a twentieth of a call
    XML through a chain of handlers, piece by piece     a seventh of one that answers in it
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
from functools import cache, lru_cache
from string import ascii_lowercase
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import moto.core.responses
import moto.core.utils
from moto.core import serialize
from moto.core.responses import BaseResponse
from moto.core.utils import MISSING, _get_value_for_key
from moto.moto_api._internal import mock_random

from perdure.engine.imports import after_import
from perdure.engine.quirks.replaced import Replaced

# What no handler can change after it was handed out: a list would be, a text is not.
SCALARS = (str, int, float, bool, type(None))
# Names come from clients, too.
NAMES_MAX = 10_000
HANDLE_CHARACTERS = 185
REPLACED = Replaced()
# Where a shape keeps names, with what they were made of; and a response and a request
# what they were asked.
NAMES, BODY, ROUTE = "_perdure_names", "_perdure_body", "_perdure_route"
# moto's own, which the tests compare with.
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
    writer: Any = serialize.xmltodict
    REPLACED.put(writer, "_validate_name", lru_cache(NAMES_MAX)(writer._validate_name))
    REPLACED.put(serialize.ResponseSerializer, "get_value", _get_value)
    REPLACED.put(serialize.BaseXMLSerializer, "_serialize_body", _serialize_body)
    BaseResponse._get_param = _get_param
    BaseResponse._get_action_from_method_and_request_uri = _route_of
    after_import("moto.sqs.models", _sqs)
    after_import("moto.iam.utils", _iam)


def _sqs(module: Any) -> None:
    def generate_receipt_handle() -> str:
        return "".join(mock_random.choices_of(ascii_lowercase, HANDLE_CHARACTERS))

    REPLACED.put(module, "generate_receipt_handle", generate_receipt_handle)


def _iam(module: Any) -> None:
    draw, pool = mock_random.choices_of, module.AWS_ROLE_ALPHABET
    module._random_uppercase_or_digit_sequence = lambda length: "".join(draw(pool, length))


# ------------------------------------------------------------- members of answers


def _get_value(serializer: Any, value: Any, key: str, shape: Any) -> Any:
    names = _names_of(serializer, value, key, shape)
    if names is None:
        return REPLACED.original["get_value"](serializer, value, key, shape)
    found = _member(value, names)
    transformers = serializer._value_picker.response_transformers
    return _transformed(serializer, key, found, transformers) if transformers else found


def _member(value: Any, names: tuple[str, ...]) -> Any:
    if type(value) is dict:
        for name in names:
            if name in value:
                return value[name]
        return None
    for name in names:
        found = _get_value_for_key(value, name, MISSING)
        if found is not MISSING:
            return found
    return None


def _transformed(serializer: Any, key: str, value: Any, transformers: dict[str, Any]) -> Any:
    """A member as the first transformer makes it whose path its own ends with."""
    wanted = _ending_in(tuple(transformers), key)
    if wanted:
        path = ".".join([*serializer.path, key])
        for each in wanted:
            if path.endswith(each):
                return transformers[each](value)
    return value


@lru_cache(NAMES_MAX)
def _ending_in(paths: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Those that can be the end of a path to a member of that name, which has no dot."""
    return tuple(
        path
        for path in paths
        if (path.rpartition(".")[2] == key if "." in path else key.endswith(path))
    )


def _names_of(serializer: Any, value: Any, key: str, shape: Any) -> tuple[str, ...] | None:
    """The names under which such a value may have a member, in moto's order; None = ask moto."""
    picker = serializer._value_picker
    if type(picker) is not serialize.XFormedAttributePicker or "." in key:
        return None
    attributes = shape.__dict__
    parent = attributes.get("parent")
    kept = attributes.get(NAMES)
    if kept is None or kept[0] is not parent or kept[1] != key:
        kept = attributes[NAMES] = (parent, key, {})
    by_class: dict[type, tuple[str, ...] | None] = kept[2]
    kind = type(value)
    if kind not in by_class:
        by_class[kind] = _made(serializer, value, key, shape)
    return by_class[kind]


def _made(serializer: Any, value: Any, key: str, shape: Any) -> tuple[str, ...] | None:
    picker, model = serializer._value_picker, serializer.operation_model
    if picker.alias_providers is not serialize.DEFAULT_ALIAS_PROVIDERS or hasattr(
        type(value), "__getattr__"
    ):
        # What makes its attributes up may have an alias of its own in each object.
        return None
    context = serialize.AttributePickerContext(
        obj=value,
        key=key,
        shape=shape,
        operation_model=model,
        service_model=model.service_model,
        key_path="",
    )
    names = tuple(dict.fromkeys(picker.get_possible_keys(context)))
    # One with a dot is a path, which is looked up otherwise.
    return None if any("." in name for name in names) else names


# ---------------------------------------------------------------------------- XML


class _OddError(Exception):
    """Something that is left to the library to write."""


def _serialize_body(serializer: Any, body: Any) -> str:
    if not serializer.pretty_print and type(body) is dict:
        parts: list[str] = []
        try:
            for key, value in body.items():
                _write(parts, key, value)
        except (_OddError, RecursionError):
            pass
        else:
            return "".join(parts)
    text: str = REPLACED.original["_serialize_body"](serializer, body)
    return text


def _write(parts: list[str], key: Any, value: Any) -> None:
    """Append an element, or one for each of a list, as ``xmltodict.unparse`` would."""
    if type(key) is not str or key.startswith(("#", "@")):
        raise _OddError
    serialize.xmltodict._validate_name(key, "element")
    for each in value if type(value) is list else (value,):
        if type(each) is dict:
            head, content = _content(key, each)
        elif each is None:
            head, content = f"<{key}", ""
        else:
            head, content = f"<{key}", escape(_text(each))
        parts.append(f"{head}>{content}</{key}>" if content else f"{head}/>")


def _content(key: str, found: dict[Any, Any]) -> tuple[str, str]:
    """How an element begins, up to its bracket, and what stands in it."""
    head, text, parts = f"<{key}", "", []  # type: ignore[var-annotated]
    for name, value in found.items():
        if name == "#text":
            text = "" if value is None else escape(_text(value))
        elif type(name) is str and name.startswith("@"):
            if type(value) is not str:
                raise _OddError
            serialize.xmltodict._validate_name(name[1:], "attribute")
            head += f" {name[1:]}={quoteattr(value)}"
        elif not (type(value) is list and not value):
            _write(parts, name, value)
    return head, "".join(parts) + text


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) in (int, float):
        return str(value)
    raise _OddError


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
