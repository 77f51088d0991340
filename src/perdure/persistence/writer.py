"""The state codec, outward: a graph of living objects to inert bytes.

A pickle (protocol 5) that names nothing but ``wire.NAMES``.  An object of a
class is written as *(index into the class table, plain __dict__)*; the table
travels in the file's header.  What is neither plain, nor admitted by the policy,
nor special raises ``CaptureError`` with the path to it: nothing is dropped and
nothing is guessed.

Reducers are found by exact type through ``Pickler.dispatch_table`` (three times
faster than ``reducer_override``).  The pickler writes functions and classes on
its own, without asking; so the payload is searched for them afterwards.
"""

from __future__ import annotations

import collections
import io
import pickle
import re
import time
import types
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from perdure.errors import CaptureError
from perdure.persistence import wire
from perdure.persistence.blobs import BLOBS_PER_STORE_MAX, Blob
from perdure.persistence.body import BodyFile
from perdure.persistence.entries import Collection, Row
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.paths import find_path
from perdure.persistence.policy import FACTORY_NAMES, INERT, Exports, Policy, Special
from perdure.persistence.shells import (
    UnfitClassError,
    container_of,
    has_own_hash,
    shell_class,
)
from perdure.persistence.statefile import ClassRow, Graph, Shares

Reducer = Callable[[Any], Any]
# An object's attributes, or None, and then what pickle wants besides.
Content = Callable[[Any], tuple[Any, ...]]
NOTED = 1000
INERT_TYPES = frozenset(INERT.values())
MUTABLE_CONTAINERS = (
    collections.OrderedDict,
    collections.defaultdict,
    dict,
    list,
    collections.deque,
)


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """A value with no place in a state file."""

    def __init__(self, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.value, self.reason = value, reason


class OutOfTimeError(Exception):
    """Writing a store took longer than ``Writer`` was given; it is not written."""


class _Timed(io.BytesIO):
    """A buffer that takes bytes until a moment of ``time.perf_counter``.

    The pickler hands over a frame of 64 KB at a time, some milliseconds of work, and
    stops where that raises.
    """

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self.deadline = deadline

    def write(self, data: Any) -> int:
        """Take a frame, or raise ``OutOfTimeError``."""
        if time.perf_counter() > self.deadline:
            raise OutOfTimeError
        return super().write(data)


class Writer:
    """Writes one store.  Used once."""

    def __init__(
        self,
        policy: Policy,
        exports: Exports,
        key: StoreKey,
        *,
        deadline: float | None = None,
        with_entries: bool = True,
    ) -> None:
        """Prepare to write a store.

        Args:
            policy: What objects mean.
            exports: Which objects are shared; gives ids to those that are found to be.
            key: The store.
            deadline: Moment of ``time.perf_counter`` from which on ``dump`` gives up,
                a frame late at most; None = never.
            with_entries: Whether entries of collections stand in the graph, which is then
                complete by itself.  Else it has their numbers, and ``rows`` of those that
                changed since the live checkpoint.
        """
        self.policy, self.exports, self.key = policy, exports, key
        self.deadline = deadline
        self.classes: dict[type, int] = {}
        # By index: the names of the attributes its objects were seen with.
        self.names: list[set[str]] = []
        self.stores: set[StoreKey] = set()
        self.imported: set[ExportId] = set()
        self.exported: set[ExportId] = set()
        self.blobs: set[Blob] = set()
        self.with_entries = with_entries
        self.collections: dict[int, tuple[Collection, tuple[Row, ...]]] = {}
        self._memo: Any = None
        # Classes of the store's own service, whose objects may be shared.
        self.own: set[type] = set()

    def dump(self, attributes: dict[str, Any]) -> Graph:
        """Write a store's attributes.

        Raises:
            CaptureError: Something reachable has no place in a state file.
            OutOfTimeError: The deadline has passed.
        """
        if self.with_entries:
            attributes = _completed(attributes, self.policy)
        buffer = io.BytesIO() if self.deadline is None else _Timed(self.deadline)
        pickler = pickle.Pickler(buffer, protocol=5)
        pickler.dispatch_table = _Reducers(self)
        try:
            pickler.dump(attributes)
            payload = buffer.getvalue()
            self._memo = pickler.memo
            _refuse_code(payload, pickler, self.classes)
        except _Refused as refused:
            where = find_path(attributes, refused.value)
            raise CaptureError(str(self.key), where, refused.reason) from refused
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            where, reason = self.explain(attributes, str(error))
            raise CaptureError(str(self.key), where, reason) from error
        classes = tuple(
            ClassRow(cls.__module__, cls.__qualname__, tuple(sorted(self.names[index])))
            for cls, index in self.classes.items()
        )
        shares = Shares(frozenset(self.stores), frozenset(self.imported), frozenset(self.exported))
        incomplete = tuple(self.policy.incomplete(self.key))
        written = [self.collections[number] for number in sorted(self.collections)]
        return Graph(
            payload,
            classes,
            shares,
            incomplete,
            tuple(sorted(self.blobs)),
            tuple(collection for collection, _ in written),
            tuple(row for _, rows in written for row in rows),
        )

    def own_objects(self) -> list[Any]:
        """The written objects that another store of the same service might hold too."""
        own = self.own
        return [value for _, value in self._memo.copy().values() if type(value) in own]

    def explain(self, attributes: dict[str, Any], reason: str) -> tuple[str, str]:
        """Where the function or class hangs that the pickler could not name itself."""
        pickler = _Explaining(io.BytesIO(), protocol=5)
        pickler.dispatch_table = _Reducers(self)
        try:
            pickler.dump(attributes)
        except _Refused as refused:
            return find_path(attributes, refused.value), refused.reason
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
            pass
        return "(unknown path)", reason

    def index_of(self, cls: type) -> int:
        """The row of ``cls`` in the class table."""
        if cls not in self.classes:
            self.classes[cls] = len(self.names)
            self.names.append(set())
        return self.classes[cls]


class _Explaining(pickle.Pickler):
    """Three times slower, but it is asked about functions and classes too."""

    def reducer_override(self, value: Any) -> Any:
        """Refuse what the fast one only finds afterwards, or fails at."""
        _refuse_if_code(value)
        return NotImplemented


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
            return self.special(special)
        if policy.is_collection(cls):
            # Else its holder's attributes have it as moto does.
            return (
                _refuse("who holds it is not known") if self.writer.with_entries else self.outside
            )
        if cls in INERT_TYPES:
            return _inert(cls)
        if cls is collections.defaultdict:
            return self.default_dict
        if cls is types.MethodType:
            return self.method
        if not policy.admits(cls):
            return _refuse("its class is not known as state")
        if issubclass(cls, Enum):
            index = self.writer.index_of(cls)
            return lambda value: (wire.perdure_member, (index, value._name_))
        return self.instance(cls)

    def pointer(self, identify: Callable[[Any], tuple[str, ...]]) -> Reducer:
        """Objects that are stores, or stand for them, are pointed to."""

        def reduce(value: Any) -> Any:
            parts = identify(value)
            store = self.writer.policy.points_to(parts)
            if store is not None and store != self.writer.key:
                self.writer.stores.add(store)
            return wire.perdure_pointer, parts

        return reduce

    def special(self, special: Special) -> Reducer:
        """A type that needs a hand; a value it cannot take is refused by name."""
        blobs = self.writer.blobs

        def reduce(value: Any) -> Any:
            try:
                arguments = special.take(value)
            except LookupError as error:
                raise _Refused(value, str(error)) from error
            if type(value) is BodyFile and not value.closed:
                blobs.update(value.body.blobs)
                if len(blobs) > BLOBS_PER_STORE_MAX:
                    raise _Refused(value, f"the store has more than {BLOBS_PER_STORE_MAX} blobs")
            return wire.perdure_special, (special.name, *arguments)

        return reduce

    def outside(self, value: Any) -> Any:
        """A collection by its number; its rows are for files of their own."""
        collection, rows, rest = value.written(self.writer.key, deadline=self.writer.deadline)
        self.writer.collections[collection.number] = collection, rows
        attributes, entries = value.in_graph(rest)
        return wire.perdure_collection, tuple(collection), attributes, None, entries

    def method(self, value: Any) -> Any:
        """A bound method; it must be on the closed list."""
        name = self.writer.policy.method_name(value)
        if name is None:
            function = value.__func__
            raise _Refused(value, f"the method {function.__module__}.{function.__qualname__}")
        return wire.perdure_method, (value.__self__, name)

    def default_dict(self, value: Any) -> Any:
        """A defaultdict; its factory must be on the closed list."""
        return (
            wire.perdure_factory,
            (self.factory_name(value),),
            None,
            None,
            iter(dict.items(value)),
        )

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
            content = _only(self.complete(attributes) if self.writer.with_entries else attributes)
        names = self.writer.names[index]
        if container is object and content is _plain:
            plain = self.many(cls, index, names)
            content = _noting(content, names)
        else:
            content = _noting(content, names)
            plain = self.by_value(index, container, content)
        if container is not object and container not in MUTABLE_CONTAINERS:
            return plain
        owner = self.writer.policy.owner(cls)
        if owner is None:
            return plain
        shared = self.shared(index, content, is_default=container is collections.defaultdict)
        if owner != self.writer.key.module:
            return lambda value: shared(value, self.writer.exports.share(value))
        self.writer.own.add(cls)
        if not self.writer.exports.has_shared(cls):
            # No object of the class is; spares a look-up for each of many.
            return plain

        def own(value: Any) -> Any:
            number = self.writer.exports.id_of(value)
            return plain(value) if number is None else shared(value, number)

        return own

    def complete(self, pick: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        """What picks attributes, with collections as the containers they are to moto."""
        return lambda value: _completed(pick(value), self.writer.policy)

    def many(self, cls: type, index: int, names: set[str]) -> Reducer:
        """Plain objects, of which a store may hold a hundred thousand.

        Noting all names of each costs a tenth of the whole capture.  So it is done
        for the first ``NOTED`` of a class; a later one is looked at only if it has
        a number of attributes that none had before.
        """
        new, arguments = wire.perdure_new, (index,)
        sizes: set[int] = set()
        left = NOTED

        def first(value: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and self[cls] is first:
                self[cls] = rest
            attributes = value.__dict__
            names.update(attributes)
            sizes.add(len(attributes))
            return new, arguments, attributes

        def rest(value: Any) -> Any:
            attributes = value.__dict__
            if len(attributes) not in sizes:
                sizes.add(len(attributes))
                names.update(attributes)
            return new, arguments, attributes

        return first

    def by_value(self, index: int, container: type, content: Content) -> Reducer:
        """An object only this store holds."""
        if container is object:
            return lambda value: (wire.perdure_new, (index,), *content(value))
        if container is collections.defaultdict:
            return lambda value: (
                wire.perdure_filled,
                (index, self.factory_name(value)),
                *content(value),
            )
        if container in MUTABLE_CONTAINERS:
            return lambda value: (wire.perdure_filled, (index,), *content(value))
        return lambda value: (
            wire.perdure_filled,
            (index, _BARE[container](value)),
            content(value)[0],
        )

    def shared(
        self, index: int, content: Content, *, is_default: bool
    ) -> Callable[[Any, ExportId], Any]:
        """An object others hold too: its state stands in one file, its id in the others."""
        writer = self.writer

        def reduce(value: Any, number: ExportId) -> Any:
            arguments = (number, index, self.factory_name(value)) if is_default else (number, index)
            if writer.exports.home(number) in (None, writer.key):
                writer.exported.add(number)
                return wire.perdure_shared, arguments, *content(value)
            writer.imported.add(number)
            return wire.perdure_shared, arguments

        return reduce


def _completed(attributes: dict[str, Any], policy: Policy) -> dict[str, Any]:
    return {
        name: held.plain() if policy.is_collection(type(held)) else held
        for name, held in attributes.items()
    }


def _plain(value: Any) -> tuple[Any, ...]:
    return (getattr(value, "__dict__", None),)


def _noting(content: Content, names: set[str]) -> Content:
    """The same content; the names of its attributes are added to ``names``."""

    def noted(value: Any) -> tuple[Any, ...]:
        parts = content(value)
        if parts[0] is not None:
            names.update(parts[0])
        return parts

    return noted


def _only(attributes: Callable[[Any], dict[str, Any]]) -> Content:
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


def _queue(value: Any) -> tuple[Any, ...]:
    if value.maxlen is not None:
        # It can be set only where a deque is made, which a shell is without it.
        raise _Refused(value, "a subclass of deque with a maxlen")
    return getattr(value, "__dict__", None), collections.deque.__iter__(value)


_CONTENT: dict[type, Content] = {
    dict: _mapping,
    collections.OrderedDict: _ordered,
    collections.defaultdict: _mapping,
    list: _sequence,
    collections.deque: _queue,
}

# A container's value past what its subclass overrides, such as __str__ or __iter__.
_BARE: dict[type, Callable[[Any], Any]] = {
    set: lambda value: set().union(value),
    frozenset: lambda value: frozenset().union(value),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
}


def _inert(cls: type) -> Reducer:
    """An immutable standard value, by what it would pickle itself with."""
    name = f"{cls.__module__}.{cls.__qualname__}"

    def reduce(value: Any) -> Any:
        make, arguments, *rest = value.__reduce_ex__(5)
        if make is not cls:
            # copyreg.__newobj__, whose first argument is the class.
            arguments = arguments[1:]
        return wire.perdure_inert, (name, *arguments), *rest

    return reduce


def _refuse(reason: str) -> Reducer:
    def refuse(value: Any) -> Any:
        kind = type(value)
        raise _Refused(value, f"{kind.__module__}.{kind.__qualname__}: {reason}")

    return refuse


# STACK_GLOBAL behind what can stand before it: MEMOIZE, BINGET or LONG_BINGET.
_GLOBAL = re.compile(rb"(?:\x94|h.|j....)\x93", re.DOTALL)
# SHORT_BINUNICODE, length, name, MEMOIZE, STACK_GLOBAL: each name is written once.
_WIRE_GLOBALS = tuple(
    b"\x8c" + bytes([len(name.__name__)]) + name.__name__.encode() + b"\x94\x93"
    for name in wire.NAMES
)
_LONGEST = max(map(len, _WIRE_GLOBALS))
# The pickler memoizes each one, so the opcode is never alone as the byte often is.
_FROZENSET = pickle.FROZENSET + pickle.MEMOIZE


def _refuse_code(payload: bytes, pickler: pickle.Pickler, classes: Iterable[type]) -> None:
    """Raise if something was written that no reader will accept, or could not rebuild.

    Looking through the memo of a large store costs more than writing it, so that
    is done only if the payload holds bytes that may be such a thing; text and
    binary content can look so too.
    """
    hashed = _FROZENSET in payload and any(has_own_hash(cls) for cls in classes)
    if not hashed and not _may_name_more(payload):
        return
    memo: Any = pickler.memo
    for _, value in memo.copy().values():
        _refuse_if_code(value)
        if isinstance(value, frozenset) and any(_hashes_late(member) for member in value):
            raise _Refused(value, "a frozenset of objects with a __hash__ of their own")


def _may_name_more(payload: bytes) -> bool:
    """Whether some bytes look like a name other than those of the wire."""
    return any(
        not payload[max(0, found.end() - _LONGEST) : found.end()].endswith(_WIRE_GLOBALS)
        for found in _GLOBAL.finditer(payload)
    )


def _refuse_if_code(value: Any) -> None:
    kind = type(value)
    if kind is types.FunctionType:
        if value not in wire.NAMES:
            raise _Refused(value, f"the function {value.__module__}.{value.__qualname__}")
    elif kind is type:
        raise _Refused(value, f"the class {value.__module__}.{value.__qualname__}")


def _hashes_late(value: Any) -> bool:
    """Whether a reader learns the hash only when the object gets its class.

    Dicts and sets are put in order then; nothing can be put into a frozenset.
    """
    kind = type(value)
    if isinstance(value, tuple):
        return any(_hashes_late(part) for part in tuple.__iter__(value))
    plain = kind in INERT_TYPES or kind.__module__ == "builtins" or isinstance(value, Enum)
    return not plain and has_own_hash(kind)
