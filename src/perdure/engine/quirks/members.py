"""The members of an answer, found and written by one loop a structure.

moto asks its ways of naming a member, one after the other, for each member that an answer
might have, and goes through five methods for each it has: a quarter of a call.  Under which
names a member may stand depends on its shape and on the object's class, and so it is kept
with them.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

from moto.core import serialize
from moto.core.errors import ErrorShape
from moto.core.serialize import BaseJSONSerializer, ResponseSerializer
from moto.core.utils import MISSING, _get_value_for_key

from perdure.engine.quirks.replaced import Replaced

REPLACED = Replaced()
PATHS_MAX = 10_000
# Where a shape keeps names, with what they were made of, and its members with theirs.
NAMES, MEMBERS = "_perdure_names", "_perdure_members"
# What JSON has as it is.
PLAIN = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
}


def install() -> None:
    """Write answers so."""
    REPLACED.put(ResponseSerializer, "get_value", _get_value)
    REPLACED.put(ResponseSerializer, "_serialize_type_structure", _serialize_type_structure)


# --------------------------------------------------------------------- structures


class _Member(NamedTuple):
    """One that a structure may have.

    Attributes:
        shape: Its own.
        names: Those under which the object may have it, in moto's order.
        plain: The type that is written as it is; None = whatever it is, moto writes it.
        written: Under which name.
    """

    shape: Any
    names: tuple[str, ...]
    plain: type | None
    written: str


def _serialize_type_structure(
    serializer: Any, serialized: Any, value: Any, shape: Any, key: str
) -> None:
    members = _members_of(serializer, value, shape)
    if members is None:
        REPLACED.original["_serialize_type_structure"](serializer, serialized, value, shape, key)
        return
    wrapper = serializer.MAP_TYPE() if key else serialized
    transformers = serializer._value_picker.response_transformers
    changing = _changing(tuple(transformers), tuple(members)) if transformers else ()
    is_dict = type(value) is dict
    for name, (each, names, plain, written) in members.items():
        found = None
        if is_dict:
            # As ``_member``, whose call costs as much as what it does.
            for alias in names:
                if alias in value:
                    found = value[alias]
                    break
        else:
            found = _member(value, names)
        if name in changing:
            found = _transformed(serializer, name, found, transformers)
        if found is None:
            continue
        if type(found) is plain:
            wrapper[written] = found
        else:
            serializer._serialize(wrapper, found, each, name)
    if key:
        serializer._default_serialize(serialized, wrapper, shape, key)


def _members_of(serializer: Any, value: Any, shape: Any) -> dict[str, _Member] | None:
    """What such a value may have, by name; None = ask moto."""
    if value is None or not _is_usual(serializer, value) or isinstance(shape, ErrorShape):
        return None  # the shape of an error is made anew for each
    kept = shape.__dict__.setdefault(MEMBERS, {})
    kind = type(serializer), type(value)
    if kind not in kept:
        kept[kind] = _members_made(serializer, value, shape)
    found: dict[str, _Member] | None = kept[kind]
    return found


def _members_made(serializer: Any, value: Any, shape: Any) -> dict[str, _Member] | None:
    kind: Any = type(serializer)
    if not _overrides_nothing(kind):
        return None
    members = {}
    for key, each in shape.members.items():
        each.parent = shape
        names = _names_of(serializer, value, key, each)
        if names is None:
            return None
        plain = PLAIN.get(each.type_name) if _writes_plain(kind) else None
        written = serializer.get_serialized_name(each, key)
        members[key] = _Member(each, names, plain, written)
    return members


def _is_usual(serializer: Any, value: Any) -> bool:
    """Whether names depend on the class of the value, which is there for good, and the shape."""
    picker, kind = serializer._value_picker, type(value)
    return (
        type(picker) is serialize.XFormedAttributePicker
        and picker.alias_providers is serialize.DEFAULT_ALIAS_PROVIDERS
        # A class that a call makes would be kept for ever, with what is known of it.
        and (kind is dict or "<locals>" not in kind.__qualname__)
    )


@cache
def _overrides_nothing(kind: Any) -> bool:
    """Whether a class of serializers does to a member what all do."""
    return all(
        getattr(kind, name) is getattr(ResponseSerializer, name)
        for name in ("_serialize_structure_member", "_serialize", "get_value")
    )


@cache
def _writes_plain(kind: Any) -> bool:
    """Whether one writes texts and numbers as they are, under the name of the shape."""
    return (
        issubclass(kind, BaseJSONSerializer)
        and kind._serialize_type_string is BaseJSONSerializer._serialize_type_string
        and not hasattr(kind, "_serialize_type_boolean")
        and all(
            getattr(kind, name) is getattr(ResponseSerializer, name)
            for name in (
                "_default_serialize",
                "get_serialized_name",
                *(f"_serialize_type_{each}" for each in ("integer", "long", "float", "double")),
            )
        )
    )


# ------------------------------------------------------------- members


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


@lru_cache(PATHS_MAX)
def _changing(paths: tuple[str, ...], names: tuple[str, ...]) -> frozenset[str]:
    """Members that one of these paths may end with."""
    return frozenset(name for name in names if _ending_in(paths, name))


@lru_cache(PATHS_MAX)
def _ending_in(paths: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Those that can be the end of a path to a member of that name, which has no dot."""
    return tuple(
        path
        for path in paths
        if (path.rpartition(".")[2] == key if "." in path else key.endswith(path))
    )


def _names_of(serializer: Any, value: Any, key: str, shape: Any) -> tuple[str, ...] | None:
    """The names under which such a value may have a member, in moto's order; None = ask moto."""
    if "." in key or not _is_usual(serializer, value):
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
    if hasattr(type(value), "__getattr__"):
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
