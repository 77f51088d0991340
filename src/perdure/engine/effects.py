"""Which calls only read, and so need no record in the journal.

``effects.json`` names them per service, as ``services.json`` does.  A row is there
because it was seen: in a sweep over moto's own tests no call of the operation changed a
store that was there, a value of ``process``, or made a store other than creating it
does; and the tests see it again each time they run.  Names do not tell: of 2,959
requests of moto's tests with a name like a read's, 238 changed a store.

What is not in the table is a write, and so is

    a call whose key IAM issued: it notes when the key was last used; and one that
    comes while such a note waits to be written down
    an S3 call for a bucket that logs accesses, or one that is not in memory yet, or for
    an object that was restored from an archive: its status moves when it is asked for
    an SSM call that names parameters of AWS' own: moto loads them when they are asked for
    a request that names two operations: moto may run the other one
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from perdure.engine import process
from perdure.engine.calls import Call
from perdure.engine.quirks.identity import known_account
from perdure.engine.routes import methods_of, route_of
from perdure.engine.stores import STORES, table_of
from perdure.persistence.keys import StoreKey

TABLE_PATH = Path(__file__).with_name("effects.json")
ACTION = "Action"
FORBIDDEN = frozenset({"action", "content-encoding"})
FORBIDDEN_BESIDE_NAMES = FORBIDDEN | {"x-amz-target"}


@cache
def reads() -> dict[str, frozenset[str]]:
    """Operations that only read, by service."""
    rows = json.loads(TABLE_PATH.read_text())
    return {service: frozenset(operations) for service, operations in rows.items()}


def is_read(call: Call) -> bool:
    """Whether the call certainly changes nothing.  Needs the engine lock."""
    known = reads().get(call.service.name)
    if known is None:
        return False
    # Most writes are known by a name or a method, and need no closer look.
    if _is_rest(call):
        if call.method not in _methods_of_reads(call.service.name):
            return False
    elif call.operation not in known:
        return False
    return name_of(call) in known and not writes_beside(call)


@cache
def _methods_of_reads(service: str) -> frozenset[str]:
    """The HTTP methods of a REST service's reads."""
    return methods_of(service, reads()[service])


def name_of(call: Call) -> str | None:
    """The operation that moto will run, if the request names one and no other."""
    if _is_rest(call):
        return None if _names_an_action(call) else route_of(call)
    if call.form:
        return call.operation if _is_first(call) else None
    return None if _names_an_action(call) else call.operation


def writes_beside(call: Call) -> bool:
    """Whether a call changes state whatever its operation is.  Needs the engine lock."""
    if process.VISITS or known_account(call.access_key) is not None:
        return True
    beside = BESIDE.get(call.service.module)
    return beside is not None and beside(call)


def _is_rest(call: Call) -> bool:
    return " " in call.operation


def _is_first(call: Call) -> bool:
    """Of two actions in a form moto takes the first, and the gateway the last."""
    action = f"{ACTION}={call.operation}"
    body = small_body(call)
    form, other = (body.decode("latin-1"), call.query) if body else (call.query, "")
    return not other and (form == action or form.startswith(f"{action}&")) and _is_plain(call)


def _names_an_action(call: Call) -> bool:
    """Whether moto finds the name of an action where none belongs.

    It looks for one in the query, then in the body, whatever its type, and last in the
    headers, before it asks what the request means.
    """
    body = small_body(call)
    texts = (call.query, body.decode("latin-1") if b"=" in body else "")
    return not _is_plain(call) or any(
        ACTION in dict(parse_qsl(text, keep_blank_values=True))
        for text in texts
        # As it stands or escaped: a text with neither, as most are, is not taken apart.
        if ACTION in text or "%" in text
    )


def _is_plain(call: Call) -> bool:
    """No header that names an action beside, and none that hides the body."""
    forbidden = FORBIDDEN_BESIDE_NAMES if call.form or _is_rest(call) else FORBIDDEN
    return forbidden.isdisjoint([name for name, _ in call.headers])


def _notes_access(call: Call) -> bool:
    """Whether S3 logs the call in some bucket, or moves a restored object's status on."""
    name, _, key = call.path[1:].partition("/")
    if not name:
        return False
    store = _owner_of(unquote(name), call.account)
    if store is None:
        return True
    bucket = store.buckets.get(unquote(name)) or store.table_buckets.get(unquote(name))
    if bucket is None or bucket.logging:
        return bucket is not None
    versions = bucket.keys.getlist(unquote(key), []) if key else ()
    return any(getattr(version, "_expiry", None) is not None for version in versions)


def _owner_of(bucket: str, account: str) -> Any:
    """The living store that has the bucket, which may be another account's, or None."""
    table: Any = table_of("s3")
    if table is None:
        return None
    partition, owner = table.bucket_accounts.get(bucket, ("aws", account))
    return STORES.find(StoreKey("s3", owner, partition))


def _asks_for_defaults(call: Call) -> bool:
    """Whether SSM may load parameters that AWS provides, or ask Secrets Manager."""
    body = small_body(call)
    return b"/aws/" in body or b"\\" in body


def small_body(call: Call) -> bytes:
    """The body, if it may say what the call means; one in blobs is an object of S3's."""
    return call.body if isinstance(call.body, bytes) else b""


# What a service's calls may change beside what they are for.
BESIDE: dict[str, Callable[[Call], bool]] = {"s3": _notes_access, "ssm": _asks_for_defaults}
