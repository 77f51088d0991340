"""How long it took to capture each store, so that the next capture can be planned.

Only a guess: a store may have grown since.  So who plans with it also sets a deadline
(``Writer``), and what a wrong guess costs is bounded by that.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from perdure.persistence.keys import StoreKey
from perdure.persistence.writer import OutOfTimeError


class Costs:
    """Seconds by store, as last measured.  All methods need the engine lock."""

    def __init__(self) -> None:
        self._seconds: dict[StoreKey, float] = {}
        # Stores whose content a forked child cannot read, whatever they cost.
        self.here: set[StoreKey] = set()

    def seconds(self, key: StoreKey) -> float | None:
        """What the store took when it was last captured; None = it never was."""
        return self._seconds.get(key)

    def note(self, key: StoreKey, seconds: float) -> None:
        """Remember what a store took."""
        self._seconds[key] = seconds

    @contextmanager
    def noted(self, key: StoreKey) -> Iterator[None]:
        """Measure the block as a capture of that store.

        One that was given up took at least so long, and twice that is as good a guess
        as any: it is left out of the next budget of the same size.
        """
        # The thread's own time: in a child beside a busy server, waiting is no work.
        started, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        except OutOfTimeError:
            spent = time.perf_counter() - wall
            self._seconds[key] = max(2 * spent, self._seconds.get(key, 0.0))
            raise
        self._seconds[key] = time.thread_time() - started

    def order(self, keys: Iterable[StoreKey]) -> list[StoreKey]:
        """Cheapest first, those nobody knows anything about last."""
        return sorted(keys, key=lambda key: (self._seconds.get(key, float("inf")), key))

    def beyond(
        self, keys: set[StoreKey], budget_seconds: float, least: Mapping[StoreKey, float]
    ) -> set[StoreKey]:
        """Which of the known ones do not fit into the budget together, cheapest first.

        Args:
            keys: The stores.
            budget_seconds: What they may take together.
            least: What some of them will take now, whatever they took before.
        """
        guesses = {
            key: max(self._seconds.get(key, 0.0), least.get(key, 0.0))
            for key in keys - self.here
            if key in self._seconds or key in least
        }
        known = sorted(guesses, key=lambda key: (guesses[key], key))
        total = 0.0
        for place, key in enumerate(known):
            total += guesses[key]
            if total > budget_seconds:
                return set(known[place:])
        return set()


COSTS = Costs()
