"""Work moto repeats in every call though its result never changes.

Found with ``bench/recording.py --profile`` and ``bench/run.py``:

    the methods of a response class, by inspection      a fifth of a call
    the names of elements of XML, letter by letter      a twentieth of a call
    XML through a chain of handlers, piece by piece     a seventh of one that answers in it
    a name of AWS' in moto's spelling, letter by letter a quarter of receiving a message
    which headers are kept with an object, by pattern   a sixteenth of an S3 put
    ids, drawn by a call for each of their characters   60 us for a receipt handle

Each answer depends on what it is remembered under, and on nothing else; ids are those
moto would have drawn.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from string import ascii_lowercase
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import moto.core.responses
import moto.core.utils
from moto.core import serialize
from moto.moto_api._internal import mock_random

from perdure.engine.imports import after_import
from perdure.engine.quirks.replaced import Replaced
from perdure.engine.requests import NAME_CHARS_MAX

# Names come from clients, too.
NAMES_MAX = 10_000
HANDLE_CHARACTERS = 185
REPLACED = Replaced()
# moto's own, which the tests compare with.
underscores_of = moto.core.utils.camelcase_to_underscores


def install() -> None:
    """Remember what depends on a class, a name, a shape or a request alone."""
    moto.core.responses.method_names_from_class = cache(moto.core.utils.method_names_from_class)
    # Before any service is imported: most take it by name.
    underscored = lru_cache(NAMES_MAX)(underscores_of)
    moto.core.utils.camelcase_to_underscores = underscored
    moto.core.responses.camelcase_to_underscores = underscored
    writer: Any = serialize.xmltodict
    REPLACED.put(writer, "_validate_name", lru_cache(NAMES_MAX)(writer._validate_name))
    REPLACED.put(serialize.BaseXMLSerializer, "_serialize_body", _serialize_body)
    after_import("moto.sqs.models", _sqs)
    after_import("moto.iam.utils", _iam)
    after_import("moto.s3.utils", _s3)


def _sqs(module: Any) -> None:
    def generate_receipt_handle() -> str:
        return str(mock_random.text_of(ascii_lowercase, HANDLE_CHARACTERS))

    REPLACED.put(module, "generate_receipt_handle", generate_receipt_handle)


def _iam(module: Any) -> None:
    draw, pool = mock_random.text_of, module.AWS_ROLE_ALPHABET
    module._random_uppercase_or_digit_sequence = lambda length: draw(pool, length)


def _s3(module: Any) -> None:
    # As in the function that is replaced.
    pattern = re.compile(r"^x-amz-meta-([a-zA-Z0-9\-_.]+)$", re.IGNORECASE)

    def kept_as(header: str) -> str | None:
        if pattern.match(header):
            return header.lower().rstrip("\n")
        return header if header.lower() in module.user_settable_fields else None

    kept = lru_cache(NAMES_MAX)(kept_as)

    def metadata_from_headers(headers: Any) -> Any:
        metadata = module.CaseInsensitiveDict()
        for header in headers.keys():  # noqa: SIM118 - some give pairs otherwise
            if not isinstance(header, str):
                continue
            name = kept(header) if len(header) <= NAME_CHARS_MAX else kept_as(header)
            if name:
                value = headers[header]
                metadata[name] = value[0] if isinstance(value, list) else value
        return metadata

    REPLACED.put(module, "metadata_from_headers", metadata_from_headers)


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
