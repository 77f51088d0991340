"""The messages of one SQS queue by place, by moment and by receipt handle.

    place    a message's number in the order of moto's list (``collections.messages``)
    ready    places of messages that can be received, a heap
    later    (moment, kind, place) of those that are hidden or delayed, a heap
    due      place -> its entry in ``later`` that holds

Entries of both heaps are left behind when a message moves or goes, and dropped when
they come up; so every step costs the logarithm of the depth at most.  A message is in
``due``, or it has an entry in ``ready``, or a receive under way has taken it from there.

A message that is on disk alone can be received, and has no handle; it is brought when
nothing before it can be.

moto's rule is kept to the millisecond: a message can be received once the clock is past
its ``visible_at`` and not before its ``delayed_until``.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any

from perdure.engine.collections.messages import Messages

# At one moment a delayed message shows, and a hidden one does not yet.
DELAYED, HIDDEN = 0, 1
SLACK = 64
Entry = tuple[float, int, int]


class Waiting:
    """An index over the messages of one queue; whoever changes those must tell it."""

    def __init__(self, messages: Messages, now_ms: float, *, is_fifo: bool) -> None:
        self.now_ms, self.is_fifo = now_ms, is_fifo
        # Not held: whoever counts references to it finds the queue's alone.
        self._messages = weakref.ref(messages)
        self.by_handle: dict[str, int] = {}
        # Whether two messages share a receipt handle, which only moto's way handles.
        self.is_ambiguous = False
        # Of FIFO queues: deduplication id -> places.
        self.by_id: dict[str | None, dict[int, None]] = {}
        self.due: dict[int, Entry] = {}
        self.later: list[Entry] = []
        # How many of ``due`` are of each kind, and the few that are of both.
        self.counts = [0, 0]
        self.both: set[int] = set()
        self.popped: list[int] = []
        if is_fifo:
            # Each may be a duplicate of one that comes.
            messages.bring_all()
        for place in sorted(messages):
            message = messages[place]
            attributes = message.__dict__
            if attributes["visible_at"] >= now_ms or attributes["delayed_until"] > now_ms:
                self._defer(place, message)
            if attributes["receipt_handle"] is not None or attributes["_old_receipt_handles"]:
                self.note_handles(place)
            if is_fifo:
                self.by_id.setdefault(message.deduplication_id, {})[place] = None
        self.ready = sorted(place for place in messages if place not in self.due)
        messages.brought.clear()

    @property
    def by_place(self) -> Messages:
        """The messages that are in memory; of one that is out of date, maybe None."""
        return self._messages()  # type: ignore[return-value]

    # ---------------------------------------------------------------- changes

    def append(self, message: Any) -> None:
        """Put a message at the end."""
        place = self.by_place.append(message)
        heappush(self.ready, place)
        self.moved(place)
        self.note_handles(place)
        if self.is_fifo:
            self.by_id.setdefault(message.deduplication_id, {})[place] = None

    def remove(self, place: int) -> None:
        """Take a message out."""
        messages = self.by_place
        message = messages.pop(place)
        messages.touch(place)
        self._undefer(place)
        for handle in message.all_receipt_handles:
            self.by_handle.pop(handle, None)
        if self.is_fifo:
            same = self.by_id[message.deduplication_id]
            del same[place]
            if not same:
                del self.by_id[message.deduplication_id]

    def moved(self, place: int) -> None:
        """The times of a message have changed."""
        self.by_place.touch(place)
        self._show(place)

    def _show(self, place: int) -> None:
        """See whether a message can be received by now."""
        message = self.by_place[place]
        was_due = place in self.due
        self._undefer(place)
        attributes = message.__dict__
        if attributes["visible_at"] >= self.now_ms or attributes["delayed_until"] > self.now_ms:
            self._defer(place, message)
        elif was_due:
            heappush(self.ready, place)

    def note_handles(self, place: int) -> None:
        """A message may have new receipt handles."""
        for handle in self.by_place[place].all_receipt_handles:
            if handle is not None and self.by_handle.setdefault(handle, place) != place:
                self.is_ambiguous = True

    def settle(self, now_ms: float) -> None:
        """Let show what is to show by ``now_ms``.

        Args:
            now_ms: Milliseconds since 1970; not less than the last time.
        """
        self.now_ms = now_ms
        while (first := self._first()) is not None and first[:2] < (now_ms, HIDDEN):
            self._show(first[2])
        self._compact()

    # ---------------------------------------------------------------- answers

    def pop(self) -> int | None:
        """Take the first place that can be received, until ``put_back``; None = none is left."""
        messages = self.by_place
        while self._bring(messages):
            place = heappop(self.ready)
            # Entries of one place are neighbours.
            is_again = bool(self.popped) and self.popped[-1] == place
            if place in messages and place not in self.due and not is_again:
                self.popped.append(place)
                return place
        return None

    def _bring(self, messages: Messages) -> bool:
        """Let the first place that may be received be in memory; whether there is one."""
        self._take(messages)
        while (head := messages.head) is not None and not (self.ready and self.ready[0] < head):
            messages.bring()
            self._take(messages)
        return bool(self.ready)

    def _take(self, messages: Messages) -> None:
        for place in messages.brought:
            heappush(self.ready, place)
        messages.brought.clear()

    def put_back(self) -> None:
        """What ``pop`` took and can still be received is ready again."""
        for place in self.popped:
            if place in self.by_place and place not in self.due:
                heappush(self.ready, place)
        self.popped = []

    def in_turn(self) -> Iterator[int]:
        """All places that can be received, in order; for who passes many of them over."""
        # Sorted it is a heap as well.
        places = sorted(set(self.ready))
        self.ready = [p for p in places if p in self.by_place and p not in self.due]
        return iter(self.ready)

    def with_id(self, deduplication_id: str | None) -> Iterable[Any]:
        """The messages of a FIFO queue that have this deduplication id."""
        return [self.by_place[place] for place in self.by_id.get(deduplication_id, ())]

    def count_visible(self) -> int:
        """How many can be received."""
        messages = self.by_place
        return len(messages) + messages.unloaded - len(self.due)

    def count_hidden(self) -> int:
        """How many were received and not deleted, for now."""
        return self.counts[HIDDEN] + self._count_both(DELAYED)

    def count_delayed(self) -> int:
        """How many were sent to show later."""
        return self.counts[DELAYED] + self._count_both(HIDDEN)

    def next_moment_ms(self) -> float | None:
        """When the next message shows, milliseconds since 1970; None = none is to."""
        first = self._first()
        return None if first is None else first[0]

    # ---------------------------------------------------------------- inside

    def _defer(self, place: int, message: Any) -> None:
        hidden, delayed = message.visible_at, message.delayed_until
        moment, kind = max((hidden, HIDDEN), (delayed, DELAYED))
        entry = self.due[place] = (moment, kind, place)
        heappush(self.later, entry)
        self.counts[kind] += 1
        if hidden >= self.now_ms and delayed > self.now_ms:
            self.both.add(place)

    def _undefer(self, place: int) -> None:
        entry = self.due.pop(place, None)
        if entry is not None:
            self.counts[entry[1]] -= 1
            self.both.discard(place)

    def _first(self) -> Entry | None:
        while self.later and self.due.get(self.later[0][2]) is not self.later[0]:
            heappop(self.later)
        return self.later[0] if self.later else None

    def _count_both(self, kind: int) -> int:
        """Of those counted as ``kind``, how many are of the other kind as well."""
        mine = [self.by_place[place] for place in self.both if self.due[place][1] == kind]
        if kind == HIDDEN:
            return sum(message.delayed_until > self.now_ms for message in mine)
        return sum(message.visible_at >= self.now_ms for message in mine)

    def _compact(self) -> None:
        if len(self.later) > 2 * len(self.due) + SLACK:
            self.later = list(self.due.values())
            heapify(self.later)
        if len(self.ready) > 2 * self.count_visible() + SLACK:
            self.ready = sorted(place for place in self.by_place if place not in self.due)
