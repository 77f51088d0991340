"""Restarts between calls that nobody who calls should notice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from tests.coverage.memory_disk import Disk

from perdure.engine.collections import tracked
from perdure.engine.pins import unpinned
from perdure.persistence.entries import total_of


class Restarts:
    """Saves, loads and failures of saves between two calls."""

    def __init__(self, disk: Disk, seed: int) -> None:
        self.disk, self.choose = disk, random.Random(seed)
        self.is_on = True
        self.done: set[str] = set()

    @contextmanager
    def off(self) -> Iterator[None]:
        """The body runs without."""
        self.is_on = False
        try:
            yield
        finally:
            self.is_on = True

    def happen(self) -> None:
        """Do one of them, or nothing."""
        what = self.choose.choice(["nothing"] * 8 + ["restart", "save", "fail"])
        if not self.is_on or what == "nothing":
            return
        self.done.add(what)
        with unpinned():
            getattr(self, f"_{what}")()

    def _restart(self) -> None:
        restart(self.disk)

    def _save(self) -> None:
        self.disk.save()

    def _fail(self) -> None:
        """A checkpoint is taken and comes to nothing."""
        engine = self.disk.engine
        work = engine.begin_capture(engine.changed(), budget_seconds=None)
        tracked.seal_all()
        tracked.unseal_all()
        engine.changed_again(work.result.graphs)


def restart(disk: Disk) -> None:
    """Save, and be a server that knows what was saved."""
    disk.save()
    check_rows(disk)
    disk.restart()


def check_rows(disk: Disk) -> None:
    """The rows on disk are those that the state files speak of."""
    for key in disk.files:
        state, _ = disk.fetch(key)
        assert state.source is not None
        for collection in state.graph.collections:
            rows = state.source.of_collection(collection.number)
            assert (len(rows), total_of(rows)) == (collection.size, collection.total)
