"""Kinesis, Logs, SSM and IAM: what has a place is looked up there, not looked for among all.

records   moto lists all sequence numbers of a shard to know the last one, for each put,
          and passes over all records to find where a reader goes on
events    moto filters and sorts all events of a log stream for each page of them, and
          passes over all to tell the times of the first and the last
names     moto passes over all parameters of SSM to find those below a path
roles     moto passes over all roles to find one by name, or to see that there is none

Processor time with 100,000 of them, ``bench/growth.py``: a put of a record 16 ms before,
reading from the end 6 ms, a page of events 10 ms, a path of a few parameters 9 ms, a role
made 11 ms, deleted 15 ms; now what it is in an empty store.

Sequence numbers are given in a row; where a shard's are not, moto's own way is taken.
Events mostly come in the order of their times; then moto's list is the order.  The names
of parameters and of roles in order are no state; they are collected when first needed,
and anew where some went, or came by another way than all do.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

from perdure.engine.collections import records
from perdure.engine.collections.records import Records
from perdure.engine.imports import after_import
from perdure.engine.quirks.ordered import Ordered
from perdure.engine.quirks.replaced import ByIdentity, Replaced

REPLACED = Replaced()
_EVENTS: WeakKeyDictionary[Any, _Events] = WeakKeyDictionary()
_NUMBERED = ByIdentity()
_NAMES: WeakKeyDictionary[Any, _Names] = WeakKeyDictionary()


def install() -> None:
    """Look up by key."""
    after_import("moto.kinesis.models", _kinesis)
    after_import("moto.logs.models", _logs)
    after_import("moto.ssm.models", _ssm)
    after_import("moto.iam.models", _iam)


# ------------------------------------------------------------------- Kinesis


def _kinesis(module: Any) -> None:
    shard = module.Shard
    # Wrapped: what an older state lacks is read off moto's constructor.
    REPLACED.put(shard, "__init__", wraps(shard.__init__)(_init_shard))
    REPLACED.put(shard, "get_min_sequence_number", _first_number)
    REPLACED.put(shard, "get_max_sequence_number", _last_number)
    REPLACED.put(shard, "get_records", _get_records)


def _init_shard(shard: Any, *arguments: Any, **named: Any) -> None:
    REPLACED.original["__init__"](shard, *arguments, **named)
    # From the start: a child that saves it must not have to give it a number.
    records.adopt(shard)


def _first_number(shard: Any) -> int:
    held = shard.records
    return held.first() if type(held) is Records else next(iter(held), 0)


def _last_number(shard: Any) -> int:
    held = shard.records
    return held.last() if type(held) is Records else next(reversed(held), 0)


def _get_records(shard: Any, last_sequence_id: str, limit: int | None) -> Any:
    held, first, last = shard.records, _first_number(shard), _last_number(shard)
    if limit and len(held) == last - first + 1:
        start = max(int(last_sequence_id) + 1, first)
        # As many as are asked for, and the last of all, by which moto tells the delay.
        wanted = [*range(start, min(start + limit, last + 1)), last]
        narrowed = OrderedDict((number, held[number]) for number in wanted)
        shard = SimpleNamespace(records=narrowed)
    return REPLACED.original["get_records"](shard, last_sequence_id, limit)


# ------------------------------------------------------------------- Logs


class _Events:
    """The events of a stream by time, as far as they were looked at."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.seen = 0
        # None while they are in order as they are.
        self.ordered: list[Any] | None = None

    def in_order(self) -> list[Any]:
        """All of them, the earliest first; of one time, the first one put."""
        fresh = range(max(self.seen, 1), len(self.events))
        if fresh and (self.ordered is not None or any(map(self._is_late, fresh))):
            self.ordered = sorted(self.events, key=_time_of)
        self.seen = len(self.events)
        return self.events if self.ordered is None else self.ordered

    def _is_late(self, place: int) -> bool:
        return bool(self.events[place].timestamp < self.events[place - 1].timestamp)


def _time_of(event: Any) -> int:
    moment: int = event.timestamp
    return moment


def _in_order(stream: Any) -> list[Any]:
    kept = _EVENTS.get(stream)
    if kept is None or kept.events is not stream.events or kept.seen > len(stream.events):
        kept = _EVENTS[stream] = _Events(stream.events)
    return kept.in_order()


def _logs(module: Any) -> None:
    REPLACED.put(module.LogStream, "_update", _update)
    REPLACED.put(module.LogStream, "get_log_events", _get_log_events)


def _update(stream: Any) -> None:
    ordered = _in_order(stream)
    stream.first_event_timestamp = ordered[0].timestamp if ordered else None
    stream.last_event_timestamp = ordered[-1].timestamp if ordered else None


def _get_log_events(  # noqa: PLR0917 - as moto has it
    stream: Any, start_time: Any, end_time: Any, limit: Any, next_token: Any, start_from_head: Any
) -> Any:
    ordered = _in_order(stream)
    first = bisect_left(ordered, start_time, key=_time_of) if start_time else 0
    behind = bisect_right(ordered, end_time, key=_time_of) if end_time else len(ordered)
    between = _Between(ordered, first, max(behind - first, 0))
    module: Any = sys.modules["moto.logs.models"]
    # What moto would filter and sort; its indices and tokens count from there.
    module.filter, module.sorted = lambda *_: (), lambda *_, **__: between
    try:
        return REPLACED.original["get_log_events"](
            stream, start_time, end_time, limit, next_token, start_from_head
        )
    finally:
        del module.filter, module.sorted


class _Between:
    """A part of a list, without a copy."""

    def __init__(self, events: list[Any], first: int, count: int) -> None:
        self.events, self.first, self.count = events, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, places: slice) -> list[Any]:
        start, stop, _ = places.indices(self.count)
        return self.events[self.first + start : self.first + stop]


# ------------------------------------------------------------------- SSM


class _Numbered:
    """The keys of a dict, with the number of each in the order in which they were put."""

    def __init__(self, names: Any) -> None:
        self.numbers: dict[str, int] = {name: n for n, name in enumerate(names)}
        self.next_number = len(self.numbers)
        self.order = Ordered(lambda: self.numbers)
        self.last = _last_of(names)

    def follow(self, names: Any) -> bool:
        """Take in the names that were put since; False if others went.

        What is put comes last.  So if the last item is the very same, and as many are
        there, nothing happened; and what stands behind it is new.
        """
        fresh = []
        for name in reversed(names):
            if name == self.last[0]:
                break
            fresh.append(name)
        if len(names) - len(fresh) != len(self.numbers) or not self._is_last(names):
            return False
        for name in reversed(fresh):
            self.numbers[name] = self.next_number
            self.next_number += 1
            self.order.came(name)
        self.last = _last_of(names)
        return True

    def went(self, name: str, names: Any) -> None:
        """A name that was there is not any more; the others were followed before."""
        del self.numbers[name]
        self.order.went(name)
        self.last = _last_of(names)

    def _is_last(self, names: Any) -> bool:
        return self.last[0] is not None and dict.get(names, self.last[0]) is self.last[1]


def _last_of(names: Any) -> tuple[str | None, Any]:
    name = next(reversed(names), None)
    return name, None if name is None else dict.get(names, name)


def _ssm(module: Any) -> None:
    REPLACED.put(module.ParameterDict, "get_keys_beginning_with", _get_keys_beginning_with)
    for name in ("pop", "__delitem__"):
        REPLACED.put(module.ParameterDict, name, _removing(module.ParameterDict, name))


def _removing(cls: type, method: str) -> Callable[..., Any]:
    def removed(names: Any, name: str, *arguments: Any) -> Any:
        numbered: _Numbered | None = _NUMBERED.get(names)
        is_known = numbered is not None and numbered.follow(names)
        found = getattr(super(cls, names), method)(name, *arguments)
        if numbered is None:
            return found
        if not is_known:
            _NUMBERED.drop(names)
        elif name in numbered.numbers:
            numbered.went(name, names)
        return found

    return removed


def _get_keys_beginning_with(names: Any, path: str, recursive: Any) -> Iterator[str]:
    names._check_loading_status(path)
    numbered: _Numbered | None = _NUMBERED.get(names)
    if numbered is None or not numbered.follow(names):
        numbered = _Numbered(names)
        _NUMBERED.put(names, numbered)
    order = numbered.order.in_order()
    place = 0 if path == "/" else bisect_left(order, path)
    found = []
    while place < len(order) and (path == "/" or order[place].startswith(path)):
        name = order[place]
        if recursive or "/" not in name[len(path) + 1 :]:
            found.append(name)
        place += 1
    return iter(sorted(found, key=numbered.numbers.__getitem__))


# ------------------------------------------------------------------- IAM


class _Names:
    """The roles of a store by name."""

    def __init__(self, roles: dict[str, Any]) -> None:
        self.roles = roles
        self.by_name: dict[str, Any] = {}
        for role in roles.values():
            self.by_name.setdefault(role.name, role)
        self.note()

    def note(self) -> None:
        """What was changed is known."""
        self.seen = self._shape()

    def is_right(self, roles: dict[str, Any]) -> bool:
        """Whether nobody else has changed the roles."""
        return self.roles is roles and self.seen == self._shape()

    def _shape(self) -> tuple[int, str | None]:
        return len(self.roles), next(reversed(self.roles), None)


class _Narrowed:
    """What ``get_roles`` answers in a method that looks for one; None = all."""

    roles: list[Any] | None = None


@contextmanager
def _looking_for(store: Any, name: str) -> Iterator[None]:
    role = _names_of(store).by_name.get(name)
    _Narrowed.roles = [] if role is None else [role]
    try:
        yield
    finally:
        _Narrowed.roles = None


def _names_of(store: Any) -> _Names:
    names = _NAMES.get(store)
    if names is None or not names.is_right(store.roles):
        names = _NAMES[store] = _Names(store.roles)
    return names


def _iam(module: Any) -> None:
    store = module.IAMBackend
    for method in (_get_roles, _create_role, _delete_role, _get_role, _get_role_by_arn):
        REPLACED.put(store, method.__name__[1:], method)


def _get_roles(store: Any) -> Any:
    return store.roles.values() if _Narrowed.roles is None else _Narrowed.roles


def _create_role(store: Any, role_name: str, *arguments: Any, **named: Any) -> Any:
    with _looking_for(store, role_name):
        role = REPLACED.original["create_role"](store, role_name, *arguments, **named)
    names = _NAMES[store]
    names.by_name[role_name] = role
    names.note()
    return role


def _delete_role(store: Any, role_name: str) -> None:
    names = _names_of(store)
    REPLACED.original["delete_role"](store, role_name)
    del names.by_name[role_name]
    names.note()


def _get_role(store: Any, role_name: str) -> Any:
    with _looking_for(store, role_name):
        return REPLACED.original["get_role"](store, role_name)


def _get_role_by_arn(store: Any, arn: str) -> Any:
    # No two roles have one name, whatever their paths.  A path may also end without a slash,
    # so that the name does not stand alone: then all are looked through.
    name = arn.rpartition("/")[2]
    role = _names_of(store).by_name.get(name)
    if role is None or role.arn != arn:
        return REPLACED.original["get_role_by_arn"](store, arn)
    with _looking_for(store, name):
        return REPLACED.original["get_role_by_arn"](store, arn)
