"""The state codec, outward: a graph of living objects to inert bytes.

A pickle (protocol 5) that names nothing but ``wire.NAMES`` and ``policy.INERT``.
An object of any other class is written as *(index into the class table, plain
__dict__)*; the table travels in the file's header.  What is neither plain, nor
admitted by the policy, nor special raises ``CaptureError`` with the path to it:
nothing is dropped and nothing is guessed.

Reducers are found by exact type through ``Pickler.dispatch_table`` (three times
faster than ``reducer_override``).  The pickler writes functions and classes on
its own, without asking; so its memo is searched for them afterwards.
"""

from __future__ import annotations

import collections
import io
import pickle
import types
from collections.abc import Callable
from enum import Enum
from typing import Any

from perdure.errors import CaptureError
from perdure.persistence import wire
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.paths import find_path
from perdure.persistence.policy import FACTORY_NAMES, INERT, Exports, Policy
from perdure.persistence.shells import UnfitClassError, container_of, shell_class
from perdure.persistence.statefile import Graph, Shares

Reducer = Callable[[Any], Any]
INERT_TYPES = frozenset(INERT.values())
MUTABLE_CONTAINERS = (collections.OrderedDict, collections.defaultdict, dict, list, set)


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """A value with no place in a state file."""

    def __init__(self, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.value, self.reason = value, reason


class Writer:
    """Writes one store.  Used once."""

    def __init__(self, policy: Policy, exports: Exports, key: StoreKey) -> None:
        self.policy, self.exports, self.key = policy, exports, key
        self.classes: dict[type, int] = {}
        self.stores: set[StoreKey] = set()
        self.imported: set[ExportId] = set()
        self.exported: set[ExportId] = set()

    def dump(self, attributes: dict[str, Any]) -> Graph:
        """Write a store's attributes.

        Raises:
            CaptureError: Something reachable has no place in a state file.
        """
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, protocol=5)
        pickler.dispatch_table = _Reducers(self)
        try:
            pickler.dump(attributes)
            _refuse_code(pickler)
        except _Refused as refused:
            where = find_path(attributes, refused.value)
            raise CaptureError(str(self.key), where, refused.reason) from refused
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise CaptureError(str(self.key), "(unknown path)", str(error)) from error
        classes = tuple((c.__module__, c.__qualname__) for c in self.classes)
        shares = Shares(frozenset(self.stores), frozenset(self.imported), frozenset(self.exported))
        return Graph(buffer.getvalue(), classes, shares)

    def index_of(self, cls: type) -> int:
        """The row of ``cls`` in the class table."""
        return self.classes.setdefault(cls, len(self.classes))


class _Reducers(dict[type, Reducer]):
    """``Pickler.dispatch_table``, filled as types turn up."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.writer = writer

    def __missing__(self, cls: type) -> Reducer:
        reducer = self[cls] = self.choose(cls)
        return reducer

    def choose(self, cls: type) -> Reducer:
        """The reducer for objects of exactly this class."""
        policy = self.writer.policy
        if (identify := policy.pointer_for(cls)) is not None:
            return self.pointer(identify)
        if (special := policy.special_for(cls)) is not None:
            return lambda value: (wire.special, (special.name, *special.take(value)))
        if cls in INERT_TYPES:
            return lambda value: value.__reduce_ex__(5)
        if cls is collections.defaultdict:
            return self.default_dict
        if not policy.admits(cls):
            return _refuse("its class is not known as state")
        if issubclass(cls, Enum):
            index = self.writer.index_of(cls)
            return lambda value: (wire.member, (index, value._name_))
        return self.instance(cls)

    def pointer(self, identify: Callable[[Any], tuple[str, ...]]) -> Reducer:
        """Objects that are stores, or stand for them, are pointed to."""

        def reduce(value: Any) -> Any:
            parts = identify(value)
            store = self.writer.policy.points_to(parts)
            if store is not None and store != self.writer.key:
                self.writer.stores.add(store)
            return wire.pointer, parts

        return reduce

    def default_dict(self, value: Any) -> Any:
        """A defaultdict; its factory must be on the closed list."""
        return wire.factory, (self.factory_name(value),), None, None, iter(dict.items(value))

    def factory_name(self, value: Any) -> str:
        """The name of a defaultdict's factory."""
        factory = value.default_factory
        name = FACTORY_NAMES.get(factory) or self.writer.policy.factory_name(factory)
        if name is None:
            raise _Refused(value, f"its default factory {factory!r} is not on the closed list")
        return name

    def instance(self, cls: type) -> Reducer:
        """An object of an admitted class, maybe shared with other stores."""
        try:
            shell_class(cls)
        except UnfitClassError as error:
            return _refuse(str(error))
        index = self.writer.index_of(cls)
        container = container_of(cls)
        content = _CONTENT.get(container, _plain)
        if (attributes := self.writer.policy.attributes_for(cls)) is not None:
            content = _only(attributes)
        plain = self.by_value(index, container, content)
        if container is not object and container not in MUTABLE_CONTAINERS:
            return plain
        owner = self.writer.policy.owner(cls)
        if owner is None:
            return plain
        shared = self.shared(index, content)
        if owner != self.writer.key.module:
            return lambda value: shared(value, self.writer.exports.share(value))

        def own(value: Any) -> Any:
            number = self.writer.exports.id_of(value)
            return plain(value) if number is None else shared(value, number)

        return own

    def by_value(self, index: int, container: type, content: Callable[..., Any]) -> Reducer:
        """An object only this store holds."""
        if container is object:
            arguments = (index,)
            if content is _plain:
                return lambda value: (wire.new, arguments, value.__dict__)
            return lambda value: (wire.new, arguments, *content(value))
        if container is collections.defaultdict:
            return lambda value: (
                wire.filled,
                (index, self.factory_name(value)),
                *content(value),
            )
        if container in MUTABLE_CONTAINERS:
            return lambda value: (wire.filled, (index,), *content(value))
        return lambda value: (
            wire.filled,
            (index, container(value)),
            getattr(value, "__dict__", None),
        )

    def shared(self, index: int, content: Callable[..., Any]) -> Callable[[Any, ExportId], Any]:
        """An object others hold too: its state stands in one file, its id in the others."""
        writer = self.writer

        def reduce(value: Any, number: ExportId) -> Any:
            if writer.exports.home(number) in (None, writer.key):
                writer.exported.add(number)
                return wire.shared, (number, index), *content(value)
            writer.imported.add(number)
            return wire.shared, (number, index)

        return reduce


def _plain(value: Any) -> tuple[Any, ...]:
    return (value.__dict__,)


def _only(attributes: Callable[[Any], dict[str, Any]]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda value: (attributes(value),)


def _mapping(value: Any) -> tuple[Any, ...]:
    # Raw items: moto overrides __iter__ and __getitem__ of dict subclasses, and
    # its S3 key store would so lose every version but the last.
    return getattr(value, "__dict__", None), None, iter(dict.items(value))


def _ordered(value: Any) -> tuple[Any, ...]:
    # move_to_end changes an order that only OrderedDict itself knows.
    return getattr(value, "__dict__", None), None, iter(collections.OrderedDict.items(value))


def _sequence(value: Any) -> tuple[Any, ...]:
    return getattr(value, "__dict__", None), list.__iter__(value)


_CONTENT: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    dict: _mapping,
    collections.OrderedDict: _ordered,
    collections.defaultdict: _mapping,
    list: _sequence,
}


def _refuse(reason: str) -> Reducer:
    def refuse(value: Any) -> Any:
        kind = type(value)
        raise _Refused(value, f"{kind.__module__}.{kind.__qualname__}: {reason}")

    return refuse


def _refuse_code(pickler: pickle.Pickler) -> None:
    """Raise if a function or class was written that no reader will accept."""
    memo: Any = pickler.memo
    for _, value in memo.copy().values():
        kind = type(value)
        if kind is types.FunctionType:
            if value not in wire.NAMES:
                raise _Refused(value, f"the function {value.__module__}.{value.__qualname__}")
        elif kind is type and value not in INERT_TYPES:
            raise _Refused(value, f"the class {value.__module__}.{value.__qualname__}")
