"""SQS: what a call costs does not depend on how many messages wait.

moto walks through all messages of a queue, several times a call: to count them, to
find the visible ones, to find a receipt handle or a duplicate.  Here ``waiting.Waiting``
finds them.  Answers, state and the numbers drawn are moto's; so is every line that is
not about finding a message.  Processor time with 100,000 messages waiting,
``bench/growth.py``; moto's with one reading of the clock a pass, as it was here before:

                 moto      here
    send         17 ms     as on an empty queue
    receive      56 ms     the same
    delete       18 ms     the same

The index is no state.  What is, are the messages by place (``collections.messages``),
which stand where moto has its list.  Whoever asks for that list gets one, made of them, and
may change it: then it is the list that is saved, until a call finds that nobody holds it any
more and takes its messages back.  Where somebody does, and where a case is rare, moto's own
way is taken.  The times of a message are properties as well: a change that was not ours
makes every index anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

from perdure.engine.collections import messages
from perdure.engine.collections.messages import MESSAGES, Messages
from perdure.engine.imports import after_import
from perdure.engine.quirks.replaced import Replaced, Watched, is_held
from perdure.engine.quirks.waiting import Waiting

TIMES = ("visible_at", "delayed_until")
# What a copy may share with its original: no part of it can be changed.
ATOMS = frozenset({str, int, float, bool, bytes, type(None)})

REPLACED = Replaced()
_INDEXES: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()


class _Kept:
    """An index, and at which of all changes it was right."""

    __slots__ = ("changes", "index")

    def __init__(self, index: Waiting, changes: int) -> None:
        self.index, self.changes = index, changes


class _Changes:
    """How often somebody gave a message another time to show."""

    count = 0


class _Time:
    """An attribute of a message; that it is set once more is noted."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, message: Any, owner: Any = None) -> Any:
        if message is None:
            return self
        try:
            return message.__dict__[self.name]
        except KeyError:
            raise AttributeError(self.name) from None

    def __set__(self, message: Any, value: Any) -> None:
        attributes = message.__dict__
        if self.name in attributes:
            _Changes.count += 1
        attributes[self.name] = value


def install() -> None:
    """Find messages by an index."""
    after_import("moto.sqs.models", _sqs)


def recorded(queue: Any) -> dict[str, Any]:
    """The attributes of a queue that are state."""
    if not _is_somebodys(queue):
        messages.adopt(queue)
    attributes: dict[str, Any] = queue.__dict__
    return attributes


def is_any_visible(queue: Any) -> bool:
    """Whether a receive would look at a message."""
    return bool(queue.approximate_number_of_messages)


def next_moment_ms(queue: Any) -> float | None:
    """When the next hidden or delayed message shows, milliseconds since 1970; None = never."""
    index = _index(queue)
    if index is not None:
        return index.next_moment_ms()
    now_ms = _Clock.now_ms()
    moments = [max(m.visible_at, m.delayed_until) for m in listed(queue)]
    return min((moment for moment in moments if moment > now_ms), default=None)


# ------------------------------------------------------------------- the index


class _Clock:
    """moto's."""

    now_ms: Callable[[], float]


def _index(queue: Any) -> Waiting | None:
    """The index of a queue, as of now; None where moto's own way has to be taken."""
    if _is_somebodys(queue):
        return None
    now_ms = _Clock.now_ms()
    kept = _INDEXES.get(queue)
    if kept is None or not _is_right(kept, queue, now_ms):
        if kept is not None:
            _changed_by_others(queue)
        messages.adopt(queue)
        index = Waiting(queue.__dict__[MESSAGES], now_ms, is_fifo=queue.fifo_queue)
        kept = _INDEXES[queue] = _Kept(index, _Changes.count)
    kept.index.settle(now_ms)
    return None if kept.index.is_ambiguous else kept.index


class _List(Watched):
    """moto's list; who puts another one in its place has no use for it."""

    def __set__(self, found: Any, value: Any) -> None:
        _INDEXES.pop(found, None)
        found.__dict__[self.name] = value


def _is_somebodys(queue: Any) -> bool:
    """Whether the messages are in a list that somebody holds."""
    return type(queue.__dict__[MESSAGES]) is list and is_held(queue.__dict__, MESSAGES)


def _is_right(kept: _Kept, queue: Any, now_ms: float) -> bool:
    if kept.changes != _Changes.count or kept.index.is_fifo != queue.fifo_queue:
        return False
    if kept.index.by_place is not queue.__dict__[MESSAGES]:
        return False
    # A clock that was set back hides what had shown.
    return now_ms >= kept.index.now_ms


def _changed_by_others(queue: Any) -> None:
    """Any message in memory may be another than it was."""
    held = queue.__dict__[MESSAGES]
    if type(held) is Messages:
        for place in held:
            held.touch(place)


def listed(queue: Any) -> list[Any]:
    """Moto's list, to be read only: it is not kept."""
    held = queue.__dict__[MESSAGES]
    return held.in_order() if type(held) is Messages else held


def _drop(queue: Any) -> None:
    messages.open_list(queue)
    _INDEXES.pop(queue, None)


# ------------------------------------------------------------------- moto's methods


def _sqs(module: Any) -> None:
    _Clock.now_ms = module.unix_time_millis
    queue, backend = module.Queue, module.SQSBackend
    for name in TIMES:
        REPLACED.put(module.Message, name, _Time(name))
    REPLACED.put(queue, MESSAGES, _List(MESSAGES, _drop))
    # Wrapped: what an older state lacks is read off moto's constructor.
    REPLACED.put(queue, "__init__", wraps(queue.__init__)(_init))
    for name, counter in _COUNTERS.items():
        REPLACED.put(queue, name, property(counter))
    REPLACED.put(queue, "add_message", _add_message)
    REPLACED.put(queue, "delete_message", _delete_message)
    REPLACED.put(backend, "send_message", _send_message)
    REPLACED.put(backend, "receive_message", _receive_message)
    REPLACED.put(backend, "change_message_visibility", _change_message_visibility)
    REPLACED.put(backend, "is_message_valid_based_on_retention_period", _is_retained)


def _init(queue: Any, *arguments: Any, **named: Any) -> None:
    REPLACED.original["__init__"](queue, *arguments, **named)
    # From the start: a child that saves it must not have to give it a number.
    messages.adopt(queue)


def _messages(queue: Any) -> list[Any]:
    """Moto's ``Queue.messages``; whoever asks may change them."""
    now_ms = _Clock.now_ms()
    return [m for m in queue._messages if now_ms > m.visible_at and now_ms >= m.delayed_until]


def _count_visible(queue: Any) -> int:
    index, now_ms = _index(queue), _Clock.now_ms()
    if index is None:
        return sum(now_ms > m.visible_at and now_ms >= m.delayed_until for m in listed(queue))
    return index.count_visible()


def _count_hidden(queue: Any) -> int:
    index, now_ms = _index(queue), _Clock.now_ms()
    if index is None:
        return sum(now_ms <= m.visible_at for m in listed(queue))
    return index.count_hidden()


def _count_delayed(queue: Any) -> int:
    index, now_ms = _index(queue), _Clock.now_ms()
    if index is None:
        return sum(now_ms < m.delayed_until for m in listed(queue))
    return index.count_delayed()


_COUNTERS: dict[str, Callable[[Any], Any]] = {
    "messages": _messages,
    "approximate_number_of_messages": _count_visible,
    "approximate_number_of_messages_not_visible": _count_hidden,
    "approximate_number_of_messages_delayed": _count_delayed,
}


class _Asked:
    """A queue that is sent to: of its attributes one is asked for, which counts nothing."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    @property
    def attributes(self) -> dict[str, Any]:
        if not self._queue.fifo_queue:
            return {}
        found = self._queue.content_based_deduplication
        return {"ContentBasedDeduplication": str(found).lower()}


def _send_message(backend: Any, queue_name: str, *arguments: Any, **named: Any) -> Any:
    asked = _Asked(backend.get_queue(queue_name))
    sending = SimpleNamespace(
        get_queue=lambda _: asked, _validate_message=backend._validate_message
    )
    return REPLACED.original["send_message"](sending, queue_name, *arguments, **named)


def _add_message(queue: Any, message: Any) -> None:
    index = None if queue.lambda_event_source_mappings else _index(queue)
    if index is None:
        REPLACED.original["add_message"](queue, message)
        return
    if queue.fifo_queue and _is_duplicate(queue, index, message):
        return
    with queue._messages_lock:
        index.append(message)
        queue._messages_lock.notify_all()


def _is_duplicate(queue: Any, index: Waiting, message: Any) -> bool:
    by_content = queue.attributes.get("ContentBasedDeduplication") == "true"
    if not by_content and not message.deduplication_id:
        return False
    limit_seconds = _models().DEDUPLICATION_TIME_IN_SECONDS
    return any(
        (message.sent_timestamp - other.sent_timestamp) / 1000 < limit_seconds
        for other in index.with_id(message.deduplication_id)
    )


def _delete_message(queue: Any, receipt_handle: Any) -> None:
    # Every message that was never received has the handle None.
    index = None if receipt_handle is None else _index(queue)
    if index is None:
        REPLACED.original["delete_message"](queue, receipt_handle)
        return
    if receipt_handle in queue.deleted_messages:
        return
    place = index.by_handle.get(receipt_handle)
    if place is None:
        raise _models().ReceiptHandleIsInvalid
    message = index.by_place[place]
    queue.pending_messages.discard(message)
    queue.deleted_messages.update(message.all_receipt_handles)
    index.remove(place)


def _models() -> Any:
    return sys.modules["moto.sqs.models"]


def _change_message_visibility(
    backend: Any, queue_name: str, receipt_handle: Any, visibility_timeout: Any
) -> None:
    original = REPLACED.original["change_message_visibility"]
    queue = backend.get_queue(queue_name)
    index = None if receipt_handle is None else _index(queue)
    if index is None:
        original(backend, queue_name, receipt_handle, visibility_timeout)
        return
    place = index.by_handle.get(receipt_handle)
    found = [] if place is None else [index.by_place[place]]
    narrowed = SimpleNamespace(_messages=found, pending_messages=queue.pending_messages)
    changes = _Changes.count
    original(
        SimpleNamespace(get_queue=lambda _: narrowed),
        queue_name,
        receipt_handle,
        visibility_timeout,
    )
    assert place is not None
    _Changes.count = changes
    index.moved(place)


def _receive_message(  # noqa: PLR0917 - as moto has it
    backend: Any,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[Any]:
    queue = backend.get_queue(queue_name)
    index = None if wait_seconds_timeout else _index(queue)
    if index is None:
        found: list[Any] = REPLACED.original["receive_message"](
            *(backend, queue_name, count, wait_seconds_timeout, visibility_timeout),
            message_attribute_names,
        )
        return found
    result: list[Any] = []
    dead: list[int] = []
    try:
        for place in _candidates(queue, index, dead):
            message = index.by_place[place]
            queue.pending_messages.add(message)
            _mark_received(index, place, visibility_timeout)
            copied = _copy_of(message)
            _models()._filter_message_attributes(copied, message_attribute_names or [])
            if not backend.is_message_valid_based_on_retention_period(queue_name, message):
                break
            result.append(copied)
            if len(result) >= count:
                break
    finally:
        index.put_back()
    for place in dead:
        message = index.by_place[place]
        index.remove(place)
        queue.dead_letter_queue.add_message(message)
    return result


def _candidates(queue: Any, index: Waiting, dead: list[int]) -> Any:
    """The places of messages that can be handed out, in order; fills ``dead`` on the way."""
    is_fifo, pending = queue.fifo_queue, queue.pending_messages
    groups = queue.pending_message_groups if is_fifo else frozenset()
    for place in index.in_turn() if is_fifo else iter(index.pop, None):
        message = index.by_place[place]
        if message in pending:
            # It shows again: whoever received it has let its time go by.
            pending.remove(message)
            groups = queue.pending_message_groups if is_fifo else groups
        if is_fifo and message.group_id and message.group_id in groups:
            continue
        if _is_dead(queue, message):
            dead.append(place)
            continue
        yield place


def _is_dead(queue: Any, message: Any) -> bool:
    if queue.dead_letter_queue is None or not queue.redrive_policy:
        return False
    limit: int = queue.redrive_policy["maxReceiveCount"]
    return bool(message.approximate_receive_count >= limit)


def _mark_received(index: Waiting, place: int, visibility_timeout: int) -> None:
    changes = _Changes.count
    index.by_place[place].mark_received(visibility_timeout=visibility_timeout)
    _Changes.count = changes
    index.moved(place)
    index.note_handles(place)


def _copy_of(message: Any) -> Any:
    """As ``deepcopy``, which takes longer than all the rest of a receive."""
    copied = object.__new__(type(message))
    copied.__dict__.update(
        {
            name: value if type(value) in ATOMS else deepcopy(value)
            for name, value in message.__dict__.items()
        }
    )
    return copied


def _is_retained(backend: Any, queue_name: str, message: Any) -> bool:
    period_seconds = backend.get_queue(queue_name).message_retention_period
    retain_until = period_seconds + message.sent_timestamp / 1000
    return bool(retain_until > _models().unix_time())
