"""Shells: an instance of an empty class becomes one of a foreign class, or is refused."""

from __future__ import annotations

import collections
import threading
import types
from typing import Any

import pytest
from tests.unit.persistence import zoo

from perdure.persistence import shells
from perdure.persistence.shells import UnfitClassError, container_of, has_own_hash, shell_class

CONTAINERS: list[tuple[type, type, tuple[Any, ...]]] = [
    (zoo.Plain, object, ()),
    (zoo.Concrete, object, ()),
    (zoo.BoxOfInt, object, ()),
    (zoo.Talker, object, ()),
    (zoo.Lower, object, ()),
    (threading.Event, object, ()),
    (zoo.Versions, dict, ()),
    (zoo.Strict, dict, ()),
    (zoo.Ordered, collections.OrderedDict, ()),
    (zoo.Default, collections.defaultdict, ()),
    (zoo.Row, list, ()),
    (zoo.Line, collections.deque, ()),
    (zoo.Group, set, ()),
    (zoo.Frozen, frozenset, ({1, 2},)),
    (zoo.Name, str, ("abc",)),
    (zoo.Tagged, str, ("abc",)),
    (zoo.Raw, bytes, (b"abc",)),
    (zoo.Number, int, (7,)),
    (zoo.Ratio, float, (0.5,)),
    (zoo.Pair, tuple, ((1, 2),)),
    (zoo.Point, tuple, ((1, 2),)),
]


@pytest.mark.parametrize(
    ("cls", "container", "content"), CONTAINERS, ids=[c.__name__ for c, *_ in CONTAINERS]
)
def test_a_shell_takes_on_its_class(cls: type, container: type, content: tuple[Any, ...]) -> None:
    """A shell holds what its container holds, and becomes the class by assignment."""
    made: Any = shell_class(cls)
    if container is object:
        shell = object.__new__(made)
    else:
        shell = made(*content)
        assert shell == container(*content)

    shell.__class__ = cls

    assert type(shell) is cls
    assert container_of(cls) is container
    assert hasattr(shell, "__dict__") == bool(cls.__dictoffset__)


def test_a_shell_has_no_behaviour() -> None:
    """A shell class derives from its container, or a base without storage, and adds no method."""
    for cls, container, _ in CONTAINERS:
        shell = shell_class(cls)
        assert {n for n, v in vars(shell).items() if isinstance(v, types.FunctionType)} <= {
            "__init__",  # Protocol's own, which nobody calls
            "__subclasshook__",
            "_proto_hook",
        }, cls
        assert shell.__mro__[1] is container or shell.__mro__[1] in shells.INERT_BASES


@pytest.mark.parametrize(
    "cls",
    [
        zoo.Slotted,
        zoo.SlottedDict,
        zoo.SlottedData,
        zoo.TaggedNumber,
        zoo.TaggedPair,
        complex,
        type,
    ],
)
def test_a_layout_of_its_own_is_refused(cls: type) -> None:
    """A class whose instances differ from the base by more than a dict is refused by name."""
    with pytest.raises(UnfitClassError, match=cls.__qualname__):
        shell_class(cls)


def test_no_destructor_sees_the_probe() -> None:
    """Asking for a shell runs no method of the class, its ``__del__`` included."""
    zoo.CALLED.clear()
    shells._SHELLS.pop(zoo.Witness, None)

    shell_class(zoo.Witness)

    assert zoo.CALLED == []


@pytest.mark.parametrize(
    ("cls", "own"),
    [
        (zoo.Plain, False),
        (zoo.ById, True),
        (zoo.Point, False),
        (zoo.Name, False),
        (zoo.Versions, False),
        (zoo.Colour, True),
        (zoo.WitnessKey, True),
        (types.SimpleNamespace, False),
    ],
)
def test_own_hashes_are_seen(cls: type, own: bool) -> None:
    """A class hashes by content exactly if its hash is not its container's."""
    assert has_own_hash(cls) is own
