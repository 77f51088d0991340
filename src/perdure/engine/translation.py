"""The objects of a state file that an older moto wrote, brought up to date.

In this order, per object: the rows of ``migrations.TABLE`` from the file's version
(not included) to the running one, what became a property, then defaults for what
constructors set today.
What still lacks is *incomplete*: the store works, the log and ``/health`` name the
attribute, and calls that read it may fail.  A store that is incomplete stays so in
its next file, whichever moto writes it, until nothing lacks any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from inspect import getattr_static
from typing import Any

import moto
from packaging.version import Version

from perdure.engine import migrations
from perdure.engine.constructors import Default, defaults_of
from perdure.engine.migrations import (
    REMNANTS,
    Added,
    Dropped,
    Moved,
    Renamed,
    Retyped,
    Rewritten,
    Row,
)
from perdure.errors import LoadError
from perdure.persistence.keys import StoreKey
from perdure.persistence.statefile import ClassRow, StateFile

_ABSENT: Any = object()


@dataclass(slots=True)
class _Plan:
    """What is to be done with the objects of one class."""

    rows: list[Row]
    hidden: list[str]
    added: dict[str, Default | None]


@dataclass(slots=True)
class Translation:
    """For one file.  ``incomplete`` is known once it was applied."""

    store: StoreKey
    rows: tuple[Row, ...]
    known: dict[tuple[str, str], tuple[frozenset[str], frozenset[str]]]
    incomplete: set[str] = field(default_factory=set)
    _plans: dict[type, _Plan] = field(default_factory=dict)

    def class_name(self, row: ClassRow) -> tuple[str, str]:
        """Module and name of the class today."""
        found = row.module, row.name
        for step in self.rows:
            if isinstance(step, Moved) and _full(step.was) == found:
                found = _full(step.cls)
        # Two classes of then may be one of today: what one had is not what all had.
        attributes = frozenset(row.attributes)
        known = self.known.get(found, (attributes, attributes))
        self.known[found] = known[0] & attributes, known[1] | attributes
        return found

    def member_name(self, cls: type, name: str) -> str:
        """The name of a member of an enumeration today."""
        for step in self.rows:
            if isinstance(step, Renamed) and _is(cls, step.cls) and step.was == name:
                name = step.name
        return name

    def apply(self, objects: Iterable[tuple[Any, type]]) -> None:
        """Bring objects up to date that just got their classes."""
        for value, cls in objects:
            plan = self._plans.get(cls)
            if plan is None:
                plan = self._plans[cls] = self._plan(cls)
            if plan.rows or plan.hidden or plan.added:
                self._apply(value, cls, plan)

    def apply_to_store(self, fresh: Any, attributes: dict[str, Any]) -> None:
        """Bring a store's own attributes up to date, before they are laid over a fresh one.

        What it holds and a fresh store has no place for would be kept and never
        looked at again, as if it were gone: it counts as incomplete.
        """
        cls = type(fresh)
        for row in self.rows:
            if _is(cls, row.cls):
                self._step(row, attributes, fresh)
        unknown = attributes.keys() - fresh.__dict__.keys()
        self.incomplete.update(
            f"{cls.__qualname__}.{name}"
            for name in unknown
            if attributes[name] and not hasattr(cls, name)
        )

    def _plan(self, cls: type) -> _Plan:
        nothing: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()
        all_had, some_had = self.known.get((cls.__module__, cls.__qualname__), nothing)
        rows = [row for row in self.rows if _is(cls, row.cls)]
        hidden = [n for n in sorted(some_had) if isinstance(getattr_static(cls, n, None), property)]
        added = {name: make for name, make in defaults_of(cls).items() if name not in all_had}
        return _Plan(rows, hidden, added)

    def _apply(self, value: Any, cls: type, plan: _Plan) -> None:
        attributes: dict[str, Any] | None = getattr(value, "__dict__", None)
        if attributes is None:
            return
        for row in plan.rows:
            self._step(row, attributes, value)
        for name in plan.hidden:
            # It became a property, and those of moto keep their value so.
            if name in attributes and f"_{name}" not in attributes:
                attributes[f"_{name}"] = attributes.pop(name)
        for name, make in plan.added.items():
            if name in attributes:
                continue
            if make is not None:
                attributes[name] = make()
            elif not hasattr(cls, name):
                self.incomplete.add(f"{cls.__qualname__}.{name}")

    def _step(self, row: Row, attributes: dict[str, Any], value: Any) -> None:
        """Apply one row to the attributes of an object, or of a store that is to come."""
        try:
            if isinstance(row, Renamed):
                old = attributes.pop(row.was, _ABSENT)
                if old is not _ABSENT:
                    attributes.setdefault(row.name, old)
            elif isinstance(row, Dropped):
                attributes.pop(row.name, None)
            elif isinstance(row, Retyped) and row.name in attributes:
                attributes[row.name] = row.convert(attributes[row.name])
            elif isinstance(row, Added) and row.name not in attributes:
                attributes[row.name] = row.make(value, self.store)
            elif isinstance(row, Rewritten):
                row.change(attributes)
        except Exception as error:
            # The table's functions take what that moto wrote, and this is not it.
            name = f"{row.cls}.{getattr(row, 'name', '')}"
            raise LoadError(
                str(self.store), f"{name} cannot be brought up to date: {error!r}"
            ) from error


def translation_of(state: StateFile) -> Translation | None:
    """What makes of a file's objects those of the running moto; None = they are."""
    written = state.written_by.get("moto", moto.__version__)
    if written == moto.__version__ and not state.graph.incomplete:
        return None
    try:
        since = Version(written)
    except ValueError as error:
        raise LoadError(str(state.key), f"{written[:60]!r} is no version of moto") from error
    return Translation(state.key, _rows_after(since), {})


def _rows_after(since: Version) -> tuple[Row, ...]:
    """The rows between two versions, oldest first."""
    running = Version(moto.__version__)
    found = [row for row in migrations.TABLE if since < Version(row.since) <= running]
    return tuple(sorted(found, key=lambda row: Version(row.since)))


def _full(name: str) -> tuple[str, str]:
    module, _, qualname = name.partition(":")
    return (module if module == REMNANTS else f"moto.{module}"), qualname


def _is(cls: type, name: str) -> bool:
    wanted = _full(name)
    return any((each.__module__, each.__qualname__) == wanted for each in cls.__mro__)
