"""How far the journal is durable, and who waits for it."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

from perdure.errors import DurabilityError
from perdure.persistence.keys import Lsn


class Durable:
    """The durable LSN, which only grows, until a failure ends it for good.

    Attributes:
        lsn: All records up to it are on disk.  Read without a lock.
        changed: Notified with each change, and by those who want the syncer awake.
        failure: The first one; nothing is durable any more after it.
    """

    def __init__(self, lsn: Lsn) -> None:
        self.lsn = lsn
        self.changed = threading.Condition()
        self.failure: DurabilityError | None = None
        self._order = itertools.count()
        self._waiting: list[tuple[Lsn, int, Callable[[], object]]] = []
        self._blocked: set[threading.Event] = set()

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def when(self, lsn: Lsn, callback: Callable[[], object]) -> None:
        """Call back once ``lsn`` is durable; at once if it is.  Never after a failure."""
        if lsn > self.lsn:
            with self.changed:
                self.check()
                if lsn > self.lsn:
                    heapq.heappush(self._waiting, (lsn, next(self._order), callback))
                    self.changed.notify_all()
                    return
        callback()

    def wait(self, lsn: Lsn, timeout: float | None = None) -> bool:
        """Block until ``lsn`` is durable; False = it is not after ``timeout`` seconds.

        Raises:
            DurabilityError: It never will be.
        """
        # An event of one's own: woken once, when it is due, and not with each sync.
        done = threading.Event()
        with self.changed:
            self._blocked.add(done)
        try:
            self.when(lsn, done.set)
            done.wait(timeout)
        finally:
            with self.changed:
                self._blocked.discard(done)
        if lsn > self.lsn:
            self.check()
        return lsn <= self.lsn

    def advance(self, lsn: Lsn) -> None:
        """All up to ``lsn`` is on disk now; whoever waited is called from this thread."""
        due = []
        with self.changed:
            assert lsn >= self.lsn, "what was durable stays so"
            self.lsn = lsn
            while self._waiting and self._waiting[0][0] <= lsn:
                due.append(heapq.heappop(self._waiting)[2])
            self.changed.notify_all()
        for callback in due:
            callback()

    def fail(self, error: DurabilityError) -> bool:
        """Note the first failure; whether this is it.  Callbacks are dropped: no answer."""
        with self.changed:
            is_first = self.failure is None
            if is_first:
                self.failure = error
                self._waiting.clear()
                for done in self._blocked:
                    done.set()
            self.changed.notify_all()
            return is_first

    def check(self) -> None:
        """Raise what failed, each time anew."""
        if self.failure is not None:
            failure = self.failure
            raise DurabilityError(failure.path, failure.step, failure.reason) from failure
