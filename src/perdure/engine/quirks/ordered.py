"""The keys of a container in order, sorted when first asked for and kept so since."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Any

# As many changed keys are put into the order one by one; more, and it is sorted anew.
CHANGES_MAX = 64


class Ordered:
    """Who changes the container says which keys came and went."""

    def __init__(self, keys: Callable[[], Iterable[Any]]) -> None:
        self._keys = keys
        self._order: list[Any] | None = None
        # Since the order was last right.  A key may have gone before, and come back.
        self._came: set[Any] = set()
        self._went: set[Any] = set()

    def came(self, key: Any) -> None:
        """A key is there that was not."""
        if self._order is not None:
            self._came.add(key)

    def went(self, key: Any) -> None:
        """A key is not there any more."""
        if self._order is not None:
            self._came.discard(key)
            self._went.add(key)

    def in_order(self) -> list[Any]:
        """The keys, to be read only.

        Raises:
            TypeError: Keys cannot be compared.
        """
        if self._order is None or len(self._came) + len(self._went) > CHANGES_MAX:
            self._order = sorted(self._keys())
        else:
            for key in self._went:
                place = bisect_left(self._order, key)
                if place < len(self._order) and self._order[place] == key:
                    del self._order[place]
            for key in self._came:
                insort(self._order, key)
        self._came, self._went = set(), set()
        return self._order
