"""Classes as moto has them, and a policy that knows no moto.

Each class of ``WITNESSES`` tells ``CALLED`` when one of its methods runs, so that a
test can show that loading runs none.
"""

from __future__ import annotations

import collections
import collections.abc
import threading
import typing
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from perdure.persistence.keys import ExportId, Lsn, StoreKey
from perdure.persistence.statefile import Graph, StateFile

CALLED: list[str] = []
KEY = StoreKey("zoo", "000000000000", "us-east-1")
OTHER = StoreKey("other", "000000000000", "us-east-1")
T = typing.TypeVar("T")


class Plain:
    """An object with a ``__dict__``."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Speaker(Plain):
    """Keeps its own method, as moto does in places."""

    def speak(self) -> Any:
        return self.word

    def whisper(self) -> Any:
        return self.word


class Partly(Plain):
    """Of its attributes, ``live`` is no state."""


class Owned(Plain):
    """Belongs to the stores of ``other``."""


class OwnedDict(dict[Any, Any]):
    """A dict that belongs to the stores of ``other``."""


class OwnedList(list[Any]):
    """A list that belongs to the stores of ``other``."""


class OwnedLine(collections.deque[Any]):
    """A deque that belongs to the stores of ``other``."""


class OwnedOrdered(collections.OrderedDict[Any, Any]):
    """An ordered dict that belongs to the stores of ``other``."""


class OwnedDefault(collections.defaultdict[Any, Any]):
    """A defaultdict that belongs to the stores of ``other``."""


class Base(ABC):
    """An abstract base."""

    @abstractmethod
    def work(self) -> None:
        """Nothing."""


class Concrete(Base):
    def work(self) -> None:
        pass


class Box(typing.Generic[T]):
    pass


class BoxOfInt(Box[int]):
    pass


class Talks(typing.Protocol):
    def talk(self) -> str: ...


class Talker(Talks):
    def talk(self) -> str:
        return "hello"


class Lower(collections.abc.MutableMapping[str, Any]):
    """As requests' CaseInsensitiveDict: a mapping over a private dict."""

    def __init__(self) -> None:
        self._items: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        return self._items[key.lower()]

    def __setitem__(self, key: str, value: Any) -> None:
        self._items[key.lower()] = value

    def __delitem__(self, key: str) -> None:
        del self._items[key.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class Versions(dict[Any, Any]):
    """As moto's key store: the latest version shows, all are kept."""

    def __setitem__(self, key: Any, value: Any) -> None:
        CALLED.append("Versions.__setitem__")
        dict.setdefault(self, key, []).append(value)

    def __getitem__(self, key: Any) -> Any:
        return dict.__getitem__(self, key)[-1]

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def items(self) -> Any:
        return [(key, self[key]) for key in dict.keys(self)]


class Strict(dict[Any, Any]):
    """Needs an argument to be made."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class Ordered(collections.OrderedDict[Any, Any]):
    pass


class Default(collections.defaultdict[Any, Any]):
    pass


class Line(collections.deque[Any]):
    pass


class Row(list[Any]):
    pass


class Group(set[Any]):
    pass


class Frozen(frozenset[Any]):
    pass


class Name(str):
    __slots__ = ()


class Tagged(str):
    """A str with attributes."""


class Raw(bytes):
    __slots__ = ()


class Number(int):
    __slots__ = ()


class TaggedNumber(int):
    """An int with attributes, which no shell can carry."""


class TaggedPair(tuple[Any, ...]):  # noqa: SLOT001 - that is the point
    """A tuple with attributes, which no shell can carry."""


class Ratio(float):
    pass


class Pair(tuple[Any, ...]):
    __slots__ = ()


class Point(NamedTuple):
    x: int
    y: Any


class Masked(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "***"


class Shy(tuple[Any, ...]):
    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Rounded(float):
    def __float__(self) -> float:
        return 2.0


class Slotted:
    __slots__ = ("a",)


class SlottedDict(dict[Any, Any]):
    __slots__ = ("a",)


@dataclass(frozen=True)
class ById:
    """Hashes by content."""

    name: str


@dataclass(slots=True)
class SlottedData:
    a: int = 0


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(str, Enum):
    HIGH = "high"


class Witness:
    """Tells when any of the methods runs that a pickle could run."""

    def __init__(self) -> None:
        CALLED.append("__init__")

    def __setstate__(self, state: Any) -> None:
        CALLED.append("__setstate__")

    def __reduce_ex__(self, protocol: Any) -> Any:
        CALLED.append("__reduce_ex__")
        return object.__reduce_ex__(self, protocol)

    def __getstate__(self) -> Any:
        CALLED.append("__getstate__")
        return {}

    def __setattr__(self, name: str, value: Any) -> None:
        CALLED.append("__setattr__")
        object.__setattr__(self, name, value)

    def __del__(self) -> None:
        CALLED.append("__del__")

    @property
    def prop(self) -> int:
        CALLED.append("prop")
        return 0

    @prop.setter
    def prop(self, value: int) -> None:
        CALLED.append("prop=")

    def append(self, value: Any) -> None:
        CALLED.append("append")

    def extend(self, values: Any) -> None:
        CALLED.append("extend")

    def add(self, value: Any) -> None:
        CALLED.append("add")

    def __setitem__(self, key: Any, value: Any) -> None:
        CALLED.append("__setitem__")


class WitnessDict(dict[Any, Any]):
    def __init__(self, *a: Any) -> None:
        CALLED.append("__init__")
        super().__init__(*a)

    def __setstate__(self, state: Any) -> None:
        CALLED.append("__setstate__")

    def __setitem__(self, key: Any, value: Any) -> None:
        CALLED.append("__setitem__")
        super().__setitem__(key, value)


class WitnessList(list[Any]):
    def __init__(self, *a: Any) -> None:
        CALLED.append("__init__")
        super().__init__(*a)

    def append(self, value: Any) -> None:
        CALLED.append("append")

    def extend(self, values: Any) -> None:
        CALLED.append("extend")


class WitnessDeque(collections.deque[Any]):
    def __init__(self, *a: Any) -> None:
        CALLED.append("__init__")
        super().__init__(*a)

    def append(self, value: Any) -> None:
        CALLED.append("append")

    def extend(self, values: Any) -> None:
        CALLED.append("extend")


class WitnessSet(set[Any]):
    def __init__(self, *a: Any) -> None:
        CALLED.append("__init__")
        super().__init__(*a)

    def add(self, value: Any) -> None:
        CALLED.append("add")

    def update(self, *values: Any) -> None:
        CALLED.append("update")


class WitnessKey(Witness):
    """A key with a hash of its own."""

    def __hash__(self) -> int:
        CALLED.append("__hash__")
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


WITNESSES = (Witness, WitnessDict, WitnessList, WitnessDeque, WitnessSet, WitnessKey)


class Store:
    """What is pointed to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.things: dict[str, Any] = {"kept": 1}

    def append(self, value: Any) -> None:
        CALLED.append("Store.append")

    def __setstate__(self, state: Any) -> None:
        CALLED.append("Store.__setstate__")


class Table(dict[str, Any]):
    """A dict that is pointed to."""

    def __setitem__(self, key: str, value: Any) -> None:
        CALLED.append("Table.__setitem__")
        super().__setitem__(key, value)


STORE = Store("living")
TABLE = Table(a=1)
LIVING = {"store": STORE, "table": TABLE}


@dataclass(frozen=True)
class Special:
    name: str
    take: Callable[[Any], tuple[Any, ...]]
    make: Callable[..., Any]


def _special_factory() -> dict[str, int]:
    return {"made": 1}


def _dead() -> None:
    return None


SPECIALS = {
    type(threading.Lock()): Special("lock", lambda _: (), threading.Lock),
    weakref.ReferenceType: Special(
        "weakref", lambda r: (r(),), lambda v: _dead if v is None else weakref.ref(v)
    ),
}


class ZooPolicy:
    """Admits the classes of this module by name."""

    def __init__(self, *, refused: tuple[type, ...] = ()) -> None:
        self.refused = refused
        self.finished: list[Any] = []

    def find_class(self, module: str, name: str) -> type:
        found = globals().get(name)
        if module != __name__ or not isinstance(found, type) or found in self.refused:
            raise LookupError(f"{module}.{name}")
        return found

    def admits(self, cls: type) -> bool:
        return cls.__module__ == __name__ and cls not in self.refused

    def special_for(self, cls: type) -> Special | None:
        return SPECIALS.get(cls)

    def special_named(self, name: str) -> Special:
        return {row.name: row for row in SPECIALS.values()}[name]

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        return {"special": _special_factory}

    def factory_name(self, factory: Any) -> str | None:
        return "special" if factory is _special_factory else None

    def method_name(self, method: Any) -> str | None:
        return "speak" if method.__func__ is Speaker.speak else None

    def bind(self, owner: Any, name: str) -> Any:
        if name == "speak" and type(owner) is Speaker:
            return owner.speak
        raise LookupError(name)

    def pointer_for(self, cls: type) -> Callable[[Any], tuple[str, ...]] | None:
        if cls is Store:
            return lambda value: ("store", value.name)
        return (lambda _: ("table",)) if cls is Table else None

    def resolve(self, parts: tuple[str, ...]) -> Any:
        return LIVING[parts[0]]

    def points_to(self, parts: tuple[str, ...]) -> StoreKey | None:
        return OTHER if parts[0] == "store" else None

    def owner(self, cls: type) -> str | None:
        return "other" if cls.__name__.startswith("Owned") else "zoo"

    def translation(self, state: StateFile) -> Any:
        return None

    def incomplete(self, key: StoreKey) -> tuple[str, ...]:
        return ()

    def versions(self) -> dict[str, str]:
        return {"perdure": "2.0", "moto": "6.0"}

    def attributes_for(self, cls: type) -> Callable[[Any], dict[str, Any]] | None:
        if cls is Partly:
            return lambda value: {k: v for k, v in value.__dict__.items() if k != "live"}
        return None

    def is_collection(self, cls):
        return False

    def collection_class(self, kind):
        raise LookupError(kind)

    def bind_collection(self, value, collection, state):
        raise AssertionError(collection)

    def finishes(self, cls: type) -> Any:
        return self.finished.append


class ZooExports:
    """A registry that holds what it numbers."""

    def __init__(self) -> None:
        self.last = 0
        self.numbers: dict[int, ExportId] = {}
        self.objects: dict[ExportId, Any] = {}
        self.homes: dict[ExportId, StoreKey] = {}

    def id_of(self, value: Any) -> ExportId | None:
        return self.numbers.get(id(value))

    def has_shared(self, cls: type) -> bool:
        return any(type(value) is cls for value in self.objects.values())

    def share(self, value: Any) -> ExportId:
        if id(value) not in self.numbers:
            self.last += 1
            self.numbers[id(value)] = ExportId(self.last)
            self.objects[ExportId(self.last)] = value
        return self.numbers[id(value)]

    def home(self, number: ExportId) -> StoreKey | None:
        return self.homes.get(number)

    def find(self, number: ExportId) -> Any | None:
        return self.objects.get(number)


def state_of(graph: Graph, key: StoreKey = KEY) -> StateFile:
    """A state file around a graph."""
    return StateFile(key, Lsn(1), {"perdure": "test"}, graph)
