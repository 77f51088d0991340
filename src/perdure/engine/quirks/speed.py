"""Work moto repeats in every call though its result never changes.

Measured with ``bench/recording.py``, processor time of nine calls:

methods     a response class' methods are listed by inspection: a fifth of a call.  The
            answer depends on the class alone.
members     for each member of an answer moto makes the names under which an object may
            have it, from six providers of aliases: a quarter of a call.  They depend on the
            shape, and for a plain dict on nothing else; then they are made once a shape.
handles     a receipt handle of SQS is 185 letters drawn one by one: a tenth of a receive.
            Drawn in one go they are the same letters.
"""

from __future__ import annotations

import string
from functools import cache
from typing import Any

import moto.core.responses
import moto.core.utils
from moto.core.serialize import (
    DEFAULT_ALIAS_PROVIDERS,
    AttributePickerContext,
    ResponseSerializer,
    XFormedAttributePicker,
)
from moto.moto_api._internal import mock_random

from perdure.engine.imports import after_import
from perdure.engine.quirks.replaced import Replaced

REPLACED = Replaced()
# Where a shape keeps the names, with what they were made of.
NAMES = "_perdure_names"
HANDLE_LENGTH = 185
_NONE: dict[str, Any] = {}


def install() -> None:
    """Remember what depends on a class, a name or a shape alone."""
    moto.core.responses.method_names_from_class = cache(moto.core.utils.method_names_from_class)
    moto.core.responses.camelcase_to_underscores = cache(moto.core.utils.camelcase_to_underscores)
    REPLACED.put(ResponseSerializer, "get_value", _get_value)
    after_import("moto.sqs.models", _sqs)


def _get_value(serializer: Any, value: Any, key: str, shape: Any) -> Any:
    if type(value) is dict and _is_usual(serializer._value_picker):
        names = _names_of(serializer, key, shape)
        if names is not None:
            for name in names:
                if name in value:
                    return value[name]
            return None
    return REPLACED.original["get_value"](serializer, value, key, shape)


def _is_usual(picker: Any) -> bool:
    if type(picker) is not XFormedAttributePicker or picker.response_transformers:
        return False
    return picker.alias_providers is DEFAULT_ALIAS_PROVIDERS


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
    context = AttributePickerContext(
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


def _sqs(module: Any) -> None:
    def generate_receipt_handle() -> str:
        return "".join(mock_random.choices_of(string.ascii_lowercase, HANDLE_LENGTH))

    REPLACED.put(module, "generate_receipt_handle", generate_receipt_handle)
