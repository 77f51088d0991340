"""Attributes of moto's classes that a quirk replaces, with what stood there before.

Who replaces a method for its cost alone promises the same answers, state and random
numbers; with ``undone`` a test runs both and compares.

What is derived from a container must end when somebody else may change that.  So the
container is reached through a property (``Watched``), and ``is_held`` tells whether one
who reached it earlier has it still.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NOTHING = object()


class Replaced:
    """What one quirk has replaced."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, str, Any]] = []
        # moto's own methods, by name.
        self.original: dict[str, Callable[..., Any]] = {}

    def put(self, owner: Any, name: str, ours: Any) -> None:
        """Set an attribute of a class or module, for good."""
        before = vars(owner).get(name, _NOTHING)
        self._rows.append((owner, name, before))
        if callable(before):
            self.original[name] = before
        setattr(owner, name, ours)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Run the body with moto as it comes; for tests."""
        # Not what was put: another quirk may have gone around it since.
        now = [(owner, name, vars(owner)[name]) for owner, name, _ in self._rows]
        for owner, name, before in self._rows:
            if before is _NOTHING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        try:
            yield
        finally:
            for owner, name, ours in now:
                setattr(owner, name, ours)


class Watched:
    """A property for a container in an object's ``__dict__``, under its own name.

    Whoever gets it, or puts another in its place, may change it behind our back: then
    ``drop`` is called with the object first.  Not inside of ``unwatched``.
    """

    def __init__(self, name: str, drop: Callable[[Any], object]) -> None:
        self.name, self.drop = name, drop
        self._trusted = 0

    def __get__(self, found: Any, owner: Any = None) -> Any:
        if found is None:
            return self
        if not self._trusted:
            self.drop(found)
        try:
            return found.__dict__[self.name]
        except KeyError:
            raise AttributeError(self.name) from None

    def __set__(self, found: Any, value: Any) -> None:
        self.drop(found)
        found.__dict__[self.name] = value

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Run moto's own methods in the body: the caller knows what they change."""
        self._trusted += 1
        try:
            yield
        finally:
            self._trusted -= 1


class ByIdentity:
    """What is kept of objects that have no hash, for as long as they live."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, owner: Any) -> Any:
        """What is kept of it, or None."""
        kept = self._kept.get(id(owner))
        return kept[1] if kept is not None and kept[0]() is owner else None

    def put(self, owner: Any, value: Any) -> None:
        """Keep something of it."""
        address = id(owner)
        reference = weakref.ref(owner, lambda gone: self._forget(address, gone))
        self._kept[address] = reference, value

    def drop(self, owner: Any) -> None:
        """Keep nothing of it any more."""
        self._kept.pop(id(owner), None)

    def _forget(self, address: int, reference: Any) -> None:
        kept = self._kept.get(address)
        # Another object may have the address by now.
        if kept is not None and kept[0] is reference:
            del self._kept[address]


def is_held(attributes: dict[str, Any], name: str) -> bool:
    """Whether somebody besides these attributes holds one of them."""
    return _references(attributes, name) > _ALONE


def _references(attributes: dict[str, Any], name: str) -> int:
    held = attributes[name]
    return sys.getrefcount(held)


_ALONE = _references({"": []}, "")
