"""What changed between versions of moto, as far as saved state is concerned.

The one table.  A state file says which moto wrote it; the rows of later versions
are applied to its objects, in order, when it is loaded under a newer one.  Rows are
needed for what cannot be seen: a class or attribute that goes by another name, a
value that is of another type, a default that the constructor does not spell out.
An attribute whose default it does spell out needs no row (``constructors``), and a
store's own attributes none either: a fresh store has them (``policy.lay_over``).

A row names its class as the running moto does, as ``module:Class`` without
``moto.``, and holds for subclasses too.  ``since`` is the first version of moto, on
PyPI, that is so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One change of one class."""

    since: str
    cls: str
    reason: str


@dataclass(frozen=True, slots=True)
class Moved(Row):
    """The class, or member of an enumeration, was called ``was``."""

    was: str


@dataclass(frozen=True, slots=True)
class Renamed(Row):
    """The attribute (or member of an enumeration) ``name`` was called ``was``."""

    was: str
    name: str


@dataclass(frozen=True, slots=True)
class Dropped(Row):
    """The attribute ``name`` means nothing any more, or another thing."""

    name: str


@dataclass(frozen=True, slots=True)
class Added(Row):
    """The attribute ``name`` is new; ``make`` says its value from the object."""

    name: str
    make: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Retyped(Row):
    """The value of ``name`` is of another type; ``convert`` takes the old one."""

    name: str
    convert: Callable[[Any], Any]


TABLE: tuple[Row, ...] = ()
