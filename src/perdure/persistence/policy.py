"""What the codec knows without an engine, and what it asks one about."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from perdure.persistence.entries import Collection, Row
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.statefile import ClassRow, StateFile

# Immutable C types: nothing can be set on the type, and an instance has no
# __dict__ for a BUILD opcode to fill.
INERT: dict[str, Any] = {
    f"{kind.__module__}.{kind.__qualname__}": kind
    for kind in (
        dt.datetime,
        dt.date,
        dt.time,
        dt.timedelta,
        dt.timezone,
        decimal.Decimal,
        collections.OrderedDict,
        collections.deque,
        complex,
    )
}
# What they are made from; a deque's and an OrderedDict's items come separately.
INERT_ARGUMENTS = frozenset({int, float, str, bytes, type(None), tuple, dt.timedelta, dt.timezone})
FACTORIES: dict[str, Any] = {
    "none": None,
    "list": list,
    "dict": dict,
    "set": set,
    "int": int,
    "float": float,
    "str": str,
    "OrderedDict": collections.OrderedDict,
}
FACTORY_NAMES = {factory: name for name, factory in FACTORIES.items()}


class Special(Protocol):
    """How one type that is not plain state is carried."""

    @property
    def name(self) -> str:
        """Its name in a payload."""

    def take(self, value: Any) -> tuple[Any, ...]:
        """Plain arguments that say all about ``value``."""

    def make(self, *arguments: Any) -> Any:
        """A fresh, inert object from those arguments.  Runs no code of the state's."""


class Translation(Protocol):
    """How the objects of one file, written by an older engine, become today's."""

    def class_name(self, row: ClassRow) -> tuple[str, str]:
        """Module and name of the class today."""

    def member_name(self, cls: type, name: str) -> str:
        """The name of a member of an enumeration today."""

    def apply(self, objects: Iterable[tuple[Any, type]]) -> None:
        """Bring objects up to date that just got their classes.

        Not every object has its final place in a dict yet whose keys hash by
        content; so nothing is looked up in one.
        """


class Policy(Protocol):
    """What the engine says about the objects of its stores."""

    def find_class(self, module: str, name: str) -> type:
        """The class of that name, if objects of it may be state; else ``LookupError``."""

    def admits(self, cls: type) -> bool:
        """Whether objects of this class may be state."""

    def special_for(self, cls: type) -> Special | None:
        """The special for objects of this class."""

    def special_named(self, name: str) -> Special:
        """The special of that name; else ``LookupError``."""

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        """Default factories beyond the built-in ones, by name."""

    def factory_name(self, factory: Any) -> str | None:
        """The name of a default factory, or None."""

    def method_name(self, method: Any) -> str | None:
        """The name of a bound method, or None if it is not on the closed list."""

    def bind(self, owner: Any, name: str) -> Any:
        """That method of ``owner``; ``LookupError`` if it is not on the list or not its own."""

    def pointer_for(self, cls: type) -> Callable[[Any], tuple[str, ...]] | None:
        """What identifies objects of a class that are only ever pointed to; else None."""

    def resolve(self, parts: tuple[str, ...]) -> Any:
        """The living object such a pointer names; else ``LookupError``."""

    def points_to(self, parts: tuple[str, ...]) -> StoreKey | None:
        """The store a pointer makes its holder depend on, or None."""

    def owner(self, cls: type) -> str | None:
        """The module of the stores that own objects of this class; None = whoever holds them."""

    def translation(self, state: StateFile) -> Translation | None:
        """What makes of a file's objects those of the running engine; None = they are."""

    def incomplete(self, key: StoreKey) -> Iterable[str]:
        """Attributes that objects of a living store lack, as ``Graph.incomplete`` has them."""

    def versions(self) -> Mapping[str, str]:
        """What runs, by name, for messages."""

    def attributes_for(self, cls: type) -> Callable[[Any], dict[str, Any]] | None:
        """What picks the attributes to save, where not all of ``__dict__`` is state; else None."""

    def is_collection(self, cls: type) -> bool:
        """Whether objects of exactly this class are ``Outside``."""

    def collection_class(self, kind: str) -> type:
        """The class of collections of that kind; else ``LookupError``."""

    def bind_collection(self, value: Any, collection: Collection, state: StateFile) -> None:
        """Tell a collection that just got its class where its rows are."""

    def finishes(self, cls: type) -> Callable[[Any], object] | None:
        """What completes objects that just got this class, such as a thread; None = nothing."""


class Outside(Protocol):
    """A collection: a container of moto whose entries are written each for itself."""

    def plain(self) -> Any:
        """An equal container of the type moto would have made, with all entries."""

    def in_graph(self, rest: Any) -> tuple[dict[str, Any] | None, Iterator[Any] | None]:
        """What the graph has of it: attributes, and by key the entries ``written`` left."""

    def written(
        self, key: StoreKey, *, deadline: float | None = None
    ) -> tuple[Collection, tuple[Row, ...], Mapping[Any, Any]]:
        """What it is now, as a checkpoint of that store has it.

        Args:
            key: The store.
            deadline: As ``Writer`` has it.

        Returns:
            The collection; the rows that differ from the live checkpoint's; and the
            entries that no row can express, by key: they stand behind all others.

        Raises:
            OutOfTimeError: The deadline has passed.
        """


class Exports(Protocol):
    """Which objects are shared between stores, and whose file carries each."""

    def id_of(self, value: Any) -> ExportId | None:
        """The id of an object that is shared already."""

    def has_shared(self, cls: type) -> bool:
        """Whether any object of exactly this class may be shared."""

    def share(self, value: Any) -> ExportId:
        """The id of an object, given now if it has none; the same one for its life."""

    def home(self, number: ExportId) -> StoreKey | None:
        """The store whose file carries the object; None = not decided yet."""

    def find(self, number: ExportId) -> Any | None:
        """The living object of that id, or None."""
