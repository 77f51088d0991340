"""What a test holds of a store it looked up itself, kept true behind a restart.

Some of moto's tests look a store up (``backend = s3_backends[account]["aws"]``), keep
objects of it, make calls and look at what they kept.  No client can do that.  After the
restart that follows a call their objects belong to a store that was dropped; they are
given the attributes of the loaded ones, so that the test sees what came out of the
state file, and nothing else.

Which object is which is told by where it stands: the dropped and the loaded store are
walked side by side, through attributes, dicts, lists and tuples.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from moto.core.base_backend import BaseBackend

from perdure.persistence.keys import StoreKey

Pair = tuple[Any, Any]


class Held:
    """Stores that tests look up, and their objects of earlier restarts."""

    def __init__(self) -> None:
        self.stores: dict[StoreKey, weakref.ref[BaseBackend]] = {}
        # By the id of a living object: those whose place it took, oldest first.
        self._earlier: dict[int, list[weakref.ref[Any]]] = {}

    def note(self, key: StoreKey, store: BaseBackend) -> None:
        """A test looked this store up."""
        self.stores.setdefault(key, weakref.ref(store))

    def keys(self) -> set[StoreKey]:
        """Stores a test may still hold."""
        self.stores = {key: ref for key, ref in self.stores.items() if ref() is not None}
        return set(self.stores)

    def follow(self, dropped: BaseBackend, loaded: BaseBackend) -> None:
        """Give what was dropped the attributes of what was loaded in its place."""
        found = list(_pairs(dropped, loaded))
        earlier, self._earlier = self._earlier, {}
        for old, new in found:
            line = [ref for ref in earlier.get(id(old), ()) if ref() is not None]
            self._earlier[id(new)] = [*line, weakref.ref(old)]
        for _, new in found:
            for ref in self._earlier[id(new)]:
                kept = ref()
                if kept is not None:
                    kept.__dict__ = new.__dict__


def _pairs(dropped: Any, loaded: Any) -> Iterator[Pair]:
    """Objects of moto that stand in the same place of both."""
    seen: set[int] = set()
    waiting: list[Pair] = [(dropped, loaded)]
    while waiting:
        old, new = waiting.pop()
        if type(old) is not type(new) or id(old) in seen or old is new:
            continue
        seen.add(id(old))
        if isinstance(old, dict):
            waiting += [(value, new[key]) for key, value in dict.items(old) if key in new]
        elif isinstance(old, list | tuple):
            waiting += zip(old, new, strict=False)
        if _is_motos(old):
            waiting.append((vars(old), vars(new)))
            yield old, new


def _is_motos(value: Any) -> bool:
    cls = type(value)
    return cls.__module__.startswith("moto.") and "__dict__" in dir(value) and _can_be_weak(cls)


def _can_be_weak(cls: type) -> bool:
    return cls.__weakrefoffset__ != 0
