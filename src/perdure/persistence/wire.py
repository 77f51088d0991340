"""The names a payload may carry.  They are written as globals and never called here.

A reader binds each name to a callable of its own (``reader.Reader``); importing
this module and calling one, as a plain ``pickle.loads`` would, only fails.

    perdure_new(class)                   an object; its __dict__ follows
    perdure_filled(class, value, *more)  a subclass of a container, with its content
    perdure_shared(id, class)            an object more than one store holds
    perdure_member(class, name)          a member of an enumeration
    perdure_inert(name, *arguments)      an immutable value of the standard library
    perdure_special(name, *arguments)    a type with a Special
    perdure_factory(name)                a defaultdict; its items follow
    perdure_pointer(kind, *parts)        something that lives elsewhere: a store
    perdure_method(object, name)         a method of the closed list, bound to an object
    perdure_collection(number)           a collection; entries that are no rows follow

The prefix makes them unlike any name in moto: the writer finds a function or
class that slipped into a payload by its name alone.
"""

from __future__ import annotations

from typing import Any, NoReturn


def _only_named(*_: Any) -> NoReturn:
    raise AssertionError("a name of the wire format is not called")


def perdure_new(*_: Any) -> NoReturn:
    """An object of a class of the table."""
    _only_named()


def perdure_filled(*_: Any) -> NoReturn:
    """An object of a container's subclass."""
    _only_named()


def perdure_shared(*_: Any) -> NoReturn:
    """An object more than one store holds."""
    _only_named()


def perdure_member(*_: Any) -> NoReturn:
    """A member of an enumeration."""
    _only_named()


def perdure_special(*_: Any) -> NoReturn:
    """A value of a type that needs a hand."""
    _only_named()


def perdure_factory(*_: Any) -> NoReturn:
    """A defaultdict."""
    _only_named()


def perdure_pointer(*_: Any) -> NoReturn:
    """Something that lives in another store, or is one."""
    _only_named()


def perdure_inert(*_: Any) -> NoReturn:
    """An immutable value of the standard library."""
    _only_named()


def perdure_method(*_: Any) -> NoReturn:
    """A bound method."""
    _only_named()


def perdure_collection(*_: Any) -> NoReturn:
    """A container whose entries stand elsewhere."""
    _only_named()


NAMES = frozenset(
    {
        perdure_new,
        perdure_filled,
        perdure_shared,
        perdure_member,
        perdure_inert,
        perdure_special,
        perdure_factory,
        perdure_pointer,
        perdure_method,
        perdure_collection,
    }
)
