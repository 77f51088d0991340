"""The types that are not plain state: one table, each row with its reason.

``take`` says all there is to say about a value with plain arguments, ``make``
builds a fresh standard object from them.  ``make`` may run on a stranger's
arguments: it builds inert objects and calls nothing that belongs to the state.
"""

from __future__ import annotations

import copy
import datetime as dt
import io
import ipaddress
import itertools
import queue
import re
import tempfile
import threading
import types
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perdure.engine.bodies import BLOBS
from perdure.persistence.body import BodyFile, parts_in, parts_out

BODY_IN_MEMORY_BYTES = 16 << 20
COUNT_MAX = 1 << 62


@dataclass(frozen=True, slots=True)
class Row:
    """One type (or family of types) and how it is carried."""

    name: str
    reason: str
    take: Callable[[Any], tuple[Any, ...]]
    make: Callable[..., Any]


def _nothing(_: Any) -> tuple[Any, ...]:
    return ()


def _file_content(file: Any) -> tuple[Any, ...]:
    if file.closed:
        # moto closes the body of a deleted object that something still holds.
        return (None, 0)
    position = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(position)
    return (content, getattr(file, "_max_size", 0))


def _spooled(content: bytes | None, bytes_max: int) -> Any:
    # ResourceWarnings of files nobody closed are moto's way of handling bodies.
    file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - the state holds it
        max_size=min(int(bytes_max), BODY_IN_MEMORY_BYTES)
    )
    if content is None:
        file.close()
    else:
        file.write(_typed(content, bytes))
    return file


def _body(rows: Any) -> Any:
    parts = parts_in(rows)
    return BodyFile(None if parts is None else BLOBS.body(parts))


def _bytes_io(content: bytes | None, _: int) -> Any:
    made = io.BytesIO(_typed(content or b"", bytes))
    if content is None:
        made.close()
    return made


def _string_io(content: str | None, _: int) -> Any:
    return io.StringIO(_typed(content or "", str))


def _event(is_set: bool) -> Any:  # noqa: FBT001 - a pickle has positions only
    event = threading.Event()
    if is_set:
        event.set()
    return event


def _weak_reference(value: Any) -> Any:
    return weakref.ref(_Gone() if value is None else value)


class _Gone:
    """What a weak reference to something gone pointed to."""


def _count_parts(counter: Any) -> tuple[Any, ...]:
    parts: tuple[Any, ...] = counter.__reduce__()[1]
    return parts


def _count(*parts: int) -> Any:
    if any(type(part) is not int or abs(part) > COUNT_MAX for part in parts):
        raise TypeError("count takes small whole numbers")
    return itertools.count(*parts)


def _rest_of_list(items: list[Any]) -> Any:
    return iter(_typed(items, list))


def _array(content: bytes) -> Any:
    return bytearray(_typed(content, bytes))


def _pattern(pattern: str, flags: int) -> Any:
    return re.compile(_typed(pattern, (str, bytes)), int(flags))


def _address(kind: str, text: str) -> Any:
    return _ADDRESS_KINDS[kind](_typed(text, str))


def _typed(value: Any, kind: Any) -> Any:
    """Constructors take numbers for sizes; only content is meant."""
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind} is expected")
    return value


_ADDRESS_KINDS = {
    kind.__name__: kind
    for kind in (
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
    )
}


def _key_bytes(key: Any) -> tuple[Any, ...]:
    from cryptography.hazmat.primitives import serialization as form

    encoded: bytes = key.private_bytes(
        form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    return (encoded,)


def _key(encoded: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    return load_der_private_key(_typed(encoded, bytes), None)


def _public_bytes(key: Any) -> tuple[Any, ...]:
    from cryptography.hazmat.primitives import serialization as form

    encoded: bytes = key.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    return (encoded,)


def _public_key(encoded: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return load_der_public_key(_typed(encoded, bytes))


def _certificate_bytes(certificate: Any) -> tuple[Any, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding

    return (certificate.public_bytes(Encoding.PEM),)


def _certificate(encoded: bytes) -> Any:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(_typed(encoded, bytes))


def _syntax_text(node: Any) -> tuple[Any, ...]:
    from graphql import print_ast

    return (print_ast(node),)


def _syntax(text: str) -> Any:
    from graphql import parse

    return parse(_typed(text, str)).definitions[0]


LIVE = "a lock guards nothing that outlives the process"
BODY = "a file's content is state, the file is not"
OPENSSL = "an OpenSSL handle; its standard encoding is the key"

EXACT: dict[type, Row] = {
    type(threading.Lock()): Row("lock", LIVE, _nothing, threading.Lock),
    type(threading.RLock()): Row("rlock", LIVE, _nothing, threading.RLock),
    threading.Condition: Row("condition", LIVE, _nothing, threading.Condition),
    threading.Event: Row("event", LIVE, lambda e: (e.is_set(),), _event),
    threading.Thread: Row("thread", "a thread ends with its process", _nothing, threading.Thread),
    queue.Queue: Row("queue", "what waits in it waited for a thread", _nothing, queue.Queue),
    tempfile.SpooledTemporaryFile: Row("spooled", BODY, _file_content, _spooled),
    BodyFile: Row("body", "its blobs are files of their own", parts_out, _body),
    io.BytesIO: Row("bytesio", BODY, _file_content, _bytes_io),
    io.StringIO: Row("stringio", BODY, _file_content, _string_io),
    re.Pattern: Row("pattern", "compiled", lambda p: (p.pattern, p.flags), _pattern),
    uuid.UUID: Row(
        "uuid",
        "a Python class, on which a payload could set attributes",
        lambda u: (u.int,),
        lambda number: uuid.UUID(int=number),
    ),
    weakref.WeakValueDictionary: Row(
        "weakvalues",
        "holds KeyedRefs and a local function",
        lambda d: (dict(d.items()),),
        lambda items: weakref.WeakValueDictionary(_typed(items, dict)),
    ),
    weakref.WeakSet: Row(
        "weakset",
        "holds references and a local function",
        lambda s: (list(s),),
        lambda members: weakref.WeakSet(_typed(members, list)),
    ),
    weakref.ReferenceType: Row("weakref", "points", lambda r: (r(),), _weak_reference),
    weakref.ProxyType: Row(
        "proxy",
        "copying it would make a strong one of it",
        lambda p: (p.__repr__.__self__,),
        weakref.proxy,
    ),
    bytearray: Row("bytearray", "its constructor takes a size", lambda b: (bytes(b),), _array),
    itertools.count: Row("count", "an iterator; its next number says all", _count_parts, _count),
    type(iter([])): Row(
        "list-iterator", "what is left of a list", lambda i: (list(copy.copy(i)),), _rest_of_list
    ),
    range: Row("range", "three numbers", lambda r: (r.start, r.stop, r.step), range),
    **{
        kind: Row("ip", "Python classes with slots", lambda a: (type(a).__name__, str(a)), _address)
        for kind in _ADDRESS_KINDS.values()
    },
}

ABSENT = Row(
    "absent",
    "a client, a template engine or a half-read generator: made anew where needed",
    _nothing,
    lambda: None,
)
PRIVATE_KEY = Row("private-key", OPENSSL, _key_bytes, _key)
PUBLIC_KEY = Row("public-key", OPENSSL, _public_bytes, _public_key)
CERTIFICATE = Row("certificate", OPENSSL, _certificate_bytes, _certificate)
UTC = Row("utc", "dateutil's singleton, which a payload could change", _nothing, lambda: dt.UTC)

SYNTAX = Row(
    "graphql", "graphql-core's trees have slots; their text says all", _syntax_text, _syntax
)

ABSENT_MODULES = ("docker.", "jinja2.")


def row_for(cls: type) -> Row | None:
    """The row for objects of this class, if it has one."""
    if cls in EXACT:
        return EXACT[cls]
    module = cls.__module__
    if cls is types.GeneratorType or module.startswith(ABSENT_MODULES):
        return ABSENT
    if module.startswith("cryptography."):
        if hasattr(cls, "private_bytes"):
            return PRIVATE_KEY
        if cls.__name__ == "Certificate":
            return CERTIFICATE
        if cls.__name__.endswith("PublicKey"):
            return PUBLIC_KEY
    if module == "graphql.language.ast" and cls.__name__.endswith("DefinitionNode"):
        return SYNTAX
    if module == "dateutil.tz.tz" and cls.__name__ == "tzutc":
        return UTC
    return None


BY_NAME: dict[str, Row] = {
    row.name: row
    for row in (
        *EXACT.values(),
        ABSENT,
        PRIVATE_KEY,
        PUBLIC_KEY,
        CERTIFICATE,
        UTC,
        SYNTAX,
    )
}
