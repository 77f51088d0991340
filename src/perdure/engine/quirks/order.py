"""Sets whose order reaches an answer keep the order in which they were filled.

A set's order follows from hashes, which for many objects are their addresses: a
loaded set has another one, and a listing that is read in pages would skip what
moved.  In these modules ``set`` is a class that remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from typing import Any

from perdure.engine.imports import after_import

MODULES = {
    "moto.cognitoidp.models": "a user's groups are listed in pages",
    "moto.lakeformation.models": "permissions are listed in pages",
}


def install() -> None:
    """Give each module its class."""
    for name in MODULES:
        after_import(name, _remember_order)


def _remember_order(module: Any) -> None:
    class Ordered(MutableSet[Any]):
        """A set that is iterated in the order in which it was filled."""

        def __init__(self, members: Iterable[Any] = ()) -> None:
            self._members: dict[Any, None] = dict.fromkeys(members)

        def __contains__(self, member: object) -> bool:
            return member in self._members

        def __iter__(self) -> Iterator[Any]:
            return iter(list(self._members))

        def __len__(self) -> int:
            return len(self._members)

        def add(self, value: Any) -> None:
            """As a set's."""
            self._members[value] = None

        def discard(self, value: Any) -> None:
            """As a set's."""
            self._members.pop(value, None)

        def union(self, *others: Iterable[Any]) -> Ordered:
            """As a set's."""
            return Ordered([*self, *(member for other in others for member in other)])

        def difference(self, *others: Iterable[Any]) -> Ordered:
            """As a set's."""
            gone = {member for other in others for member in other}
            return Ordered(member for member in self if member not in gone)

    # State names its classes by module; a look-up there finds this one.
    Ordered.__module__, Ordered.__qualname__ = module.__name__, "Ordered"
    module.Ordered = module.set = Ordered
