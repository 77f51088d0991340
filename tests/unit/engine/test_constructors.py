"""What a constructor sets is read off its source; nothing is guessed."""

from __future__ import annotations

import collections
import dataclasses
import time
from typing import Any

import pytest

from perdure.engine.constructors import defaults_of

UNKNOWN = object()


class Base:
    def __init__(self, name: str, kind: str = "plain", size: int = 3) -> None:
        self.name = name
        self.kind = kind
        self.size = size


class Literals(Base):
    def __init__(self, name: str, text: str = "t", many: Any = None, spec: Any = None) -> None:
        super().__init__(name, size=7)
        self.none = None
        self.number = -1
        self.text = text
        self.many = many or []
        self.flags: dict[str, bool] = {"a": True, "b": False}
        self.empty = collections.OrderedDict()
        self.ordered = dict()  # noqa: C408 - as moto writes it
        self.members = set()
        self.chosen = "x" if many is None else "y"
        self.of_request = name.get("Key")  # type: ignore[attr-defined]
        self.of_request_or = name.get("Key", 5)  # type: ignore[attr-defined]
        self.__hidden = 1
        self.one = self.two = "both"
        given = spec or "default"
        self.given = given
        self.annotated: int


class Unknown:
    def __init__(self, name: str, size: int, first: Any = None) -> None:
        self.clock = time.time()
        self.name = name
        self.joined = f"a{name}"
        self.left, self.right = 1, 2
        self.filled = {}
        self.filled["x"] = size
        self.listed = []
        self.listed.append(name)
        self.counted = 0
        self.counted += size
        first = time.time()
        self.first = first
        size = size or time.time()
        self.late = size


class Branches:
    def __init__(self, a: Any, b: Any = None, **more: Any) -> None:
        if a:
            self.sure = 1
            self.differs = 1
            self.sometimes = 1
        else:
            self.sure = 1
            self.differs = 2
        if b:
            self.not_given = 9
        self.changed = 1
        if a:
            self.changed = 2
        self.kept = 1
        if b is not None:
            self.kept = b
        try:
            self.tried = int(a)
        except ValueError:
            self.tried = 0
        try:
            self.raised = "r"
        except ValueError as error:
            raise KeyError from error
        with open(a):
            self.within = 4
        for _ in more:
            self.looped = 1

        def inner() -> None:
            self.inner = 1


class Computed:
    def __init__(self) -> None:
        self.shown = 1
        self._kept = 2

    @property
    def shown(self) -> int:
        return 1

    @shown.setter
    def shown(self, value: int) -> None: ...


class NoSuper(Base):
    def __init__(self) -> None:
        self.own = 1


class ByName(Base):
    def __init__(self) -> None:
        Base.__init__(self, "n", "other")


@dataclasses.dataclass
class Data:
    plain: str
    text: str = "d"
    items: list[str] = dataclasses.field(default_factory=list)
    made: float = dataclasses.field(default_factory=time.time)
    late: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.late = 5
        self.after = 6


def said(cls: type) -> dict[str, Any]:
    """Each name with its default."""
    return {n: UNKNOWN if make is None else make() for n, make in defaults_of(cls).items()}


def test_literals_parameters_and_bases_are_read() -> None:
    """Literals, empty containers, parameters with defaults and what super() is called with."""
    assert said(Literals) == {
        "name": UNKNOWN,
        "kind": "plain",
        "size": 7,
        "none": None,
        "number": -1,
        "text": "t",
        "many": [],
        "flags": {"a": True, "b": False},
        "empty": {},
        "ordered": {},
        "members": set(),
        "chosen": "x",
        "of_request": None,
        "of_request_or": 5,
        "_Literals__hidden": 1,
        "one": "both",
        "two": "both",
        "given": "default",
    }
    assert type(said(Literals)["empty"]) is collections.OrderedDict


def test_what_needs_more_is_unknown() -> None:
    """Calls, parameters without a default and containers that are filled later have none."""
    assert set(said(Unknown).values()) == {UNKNOWN}
    assert "late" in said(Unknown)


def test_only_what_every_way_sets_counts() -> None:
    """Behind a condition that cannot be told an attribute may be missing, or have two values."""
    assert said(Branches) == {
        "sure": 1,
        "differs": UNKNOWN,
        "changed": UNKNOWN,
        "kept": 1,
        "tried": UNKNOWN,
        "raised": "r",
        "within": 4,
    }


def test_properties_are_left_out() -> None:
    """What a setter takes is no attribute of that name."""
    assert said(Computed) == {"_kept": 2}


def test_bases_count_only_if_their_constructor_is_called() -> None:
    """A constructor that calls no other sets what it sets; by name is as good as super()."""
    assert said(NoSuper) == {"own": 1}
    assert said(ByName) == {"name": "n", "kind": "other", "size": 3}


def test_data_classes_say_it_themselves() -> None:
    """Fields, their defaults and factories of empty containers, and what runs after."""
    assert said(Data) == {
        "plain": UNKNOWN,
        "text": "d",
        "items": [],
        "made": UNKNOWN,
        "late": 5,
        "after": 6,
    }


def test_each_object_gets_its_own() -> None:
    """Two objects do not share a default container."""
    make = defaults_of(Literals)["flags"]
    assert make is not None
    assert make() is not make()


@pytest.mark.parametrize("cls", [int, type("Made", (), {"__init__": lambda _: None}), Exception])
def test_no_source_is_no_error(cls: type) -> None:
    """Of a class without readable source nothing is known."""
    assert defaults_of(cls) == {}
