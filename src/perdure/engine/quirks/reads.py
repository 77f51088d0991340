"""What moto notes about a call that only reads, though nobody ever asks for the note.

ticks   objects with a status count how often they were looked at, S3's keys among
        them.  The count moves a status only where its transitions are "manual".
tags    SSM makes an empty entry for the tags of each parameter it lists.
pages   S3 keeps every token that says where a list goes on; ours say it themselves.
etags   S3 keeps an object's ETag when it is first asked for; ours is there at once.
times   a log stream that is described keeps the times of its first and last event, and
        reckons them anew when it is described again.

Without these a read leaves the state as it was, and needs no record in the journal.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from moto.moto_api import state_manager
from moto.moto_api._internal.managed_state_model import ManagedState

from perdure.engine.imports import after_import

DIGEST_LENGTH = 32


def install() -> None:
    """Note only what counts."""
    ManagedState.advance = _advance
    after_import("moto.ssm.models", _ssm)
    after_import("moto.s3.models", _s3)
    after_import("moto.logs.models", _logs)


def _advance(model: Any) -> None:
    if state_manager.get_transition(model.model_name)["progression"] == "manual":
        model._tick += 1


def _ssm(module: Any) -> None:
    backend = module.SimpleSystemManagerBackend
    listed = backend.list_tags_for_resource

    def list_tags_for_resource(store: Any, resource_type: str, resource_id: str) -> Any:
        name = store._validate_resource_type_and_id(resource_type, resource_id)
        if name in store._resource_tags.get(resource_type, {}):
            return listed(store, resource_type, resource_id)
        return {}

    backend.list_tags_for_resource = list_tags_for_resource


def _logs(module: Any) -> None:
    describe = module.LogStream.to_describe_dict

    def to_describe_dict(stream: Any) -> Any:
        kept = stream.first_event_timestamp, stream.last_event_timestamp
        try:
            return describe(stream)
        finally:
            stream.first_event_timestamp, stream.last_event_timestamp = kept

    module.LogStream.to_describe_dict = to_describe_dict


def _s3(module: Any) -> None:
    backend = module.S3Backend
    put, truncate = backend.put_object, backend._truncate_result
    list_objects, list_objects_v2 = backend.list_objects, backend.list_objects_v2

    def put_object(store: Any, *arguments: Any, **named: Any) -> Any:
        key = put(store, *arguments, **named)
        assert key.etag
        return key

    def truncate_result(store: Any, keys: Any, max_keys: int) -> Any:
        kept, store._pagination_tokens = store._pagination_tokens, {}
        try:
            page, is_truncated, token = truncate(store, keys, max_keys)
        finally:
            store._pagination_tokens = kept
        return page, is_truncated, token and token_of(backend._get_name(page[-1]))

    def list_from(store: Any, *arguments: Any, marker: str | None, **named: Any) -> Any:
        marker = marker and (name_in(marker) or marker)
        return list_objects(store, *arguments, marker=marker, **named)

    def list_from_v2(
        store: Any,
        *arguments: Any,
        continuation_token: str | None,
        start_after: str | None,
        **named: Any,
    ) -> Any:
        name = name_in(continuation_token) if continuation_token else None
        if name is not None:
            continuation_token, start_after = None, name
        named |= {"continuation_token": continuation_token, "start_after": start_after}
        return list_objects_v2(store, *arguments, **named)

    backend.put_object, backend._truncate_result = put_object, truncate_result
    backend.list_objects, backend.list_objects_v2 = list_from, list_from_v2


def token_of(name: str) -> str:
    """A token that says behind which key a list goes on."""
    return _digest(name) + base64.urlsafe_b64encode(name.encode()).decode()


def name_in(token: str) -> str | None:
    """The key a token names; None for what is no token of ours, such as a key."""
    try:
        name = base64.urlsafe_b64decode(token[DIGEST_LENGTH:].encode()).decode()
    except ValueError:
        return None
    return name if token[:DIGEST_LENGTH] == _digest(name) else None


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=DIGEST_LENGTH // 2).hexdigest()
