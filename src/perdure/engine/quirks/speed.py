"""Work moto repeats in every call though its result never changes.

Measured with ``bench/recording.py``, processor time of nine calls:

methods     a response class' methods are listed by inspection: a fifth of a call.  The
            answer depends on the class alone.
members     for each member of an answer moto makes the names under which an object may
            have it, from six providers of aliases: a quarter of a call.  They depend on the
            shape and the object's class, and are made once for both.
tags        each name of an element of XML is looked at letter by letter: a twentieth of a
            call that answers in XML.  There are as many as the models have.
handles     a receipt handle of SQS is 185 letters drawn one by one: a tenth of a receive.
            Drawn in one go they are the same letters.
"""

from __future__ import annotations

import string
from functools import cache, lru_cache
from typing import Any

import moto.core.responses
import moto.core.serialize
import moto.core.utils
from moto.core.serialize import (
    DEFAULT_ALIAS_PROVIDERS,
    AttributePickerContext,
    ResponseSerializer,
    XFormedAttributePicker,
)
from moto.core.utils import MISSING, _get_value_for_key
from moto.moto_api._internal import mock_random

from perdure.engine.imports import after_import
from perdure.engine.quirks.replaced import Replaced

REPLACED = Replaced()
# Where a shape keeps the names, with what they were made of.
NAMES = "_perdure_names"
HANDLE_LENGTH = 185
NAMES_MAX = 10_000


def install() -> None:
    """Remember what depends on a class, a name or a shape alone."""
    moto.core.responses.method_names_from_class = cache(moto.core.utils.method_names_from_class)
    moto.core.responses.camelcase_to_underscores = cache(moto.core.utils.camelcase_to_underscores)
    writer: Any = moto.core.serialize.xmltodict
    REPLACED.put(writer, "_validate_name", lru_cache(NAMES_MAX)(writer._validate_name))
    REPLACED.put(ResponseSerializer, "get_value", _get_value)
    after_import("moto.sqs.models", _sqs)


def _get_value(serializer: Any, value: Any, key: str, shape: Any) -> Any:
    names = _names_of(serializer, value, key, shape)
    if names is None:
        return REPLACED.original["get_value"](serializer, value, key, shape)
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


def _names_of(serializer: Any, value: Any, key: str, shape: Any) -> tuple[str, ...] | None:
    """The names under which such a value may have a member, in moto's order; None = ask moto."""
    picker = serializer._value_picker
    if type(picker) is not XFormedAttributePicker or picker.response_transformers:
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
    if picker.alias_providers is not DEFAULT_ALIAS_PROVIDERS or hasattr(type(value), "__getattr__"):
        # What makes its attributes up may have an alias of its own in each object.
        return None
    context = AttributePickerContext(
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


def _sqs(module: Any) -> None:
    def generate_receipt_handle() -> str:
        return "".join(mock_random.choices_of(string.ascii_lowercase, HANDLE_LENGTH))

    REPLACED.put(module, "generate_receipt_handle", generate_receipt_handle)
