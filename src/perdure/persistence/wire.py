"""The names a payload may carry.  They are written as globals and never called here.

A reader binds each name to a callable of its own (``codec.Reader``); importing
this module and calling one, as a plain ``pickle.loads`` would, only fails.

    new(class)                    an object; its __dict__ follows
    filled(class, value, *more)   a subclass of a container, with its content
    shared(id, class)             an object more than one store holds
    member(class, name)           a member of an enumeration
    special(name, *arguments)     a type with a Special
    factory(name)                 a defaultdict; its items follow
    pointer(kind, *parts)         something that lives elsewhere: a store
"""

from __future__ import annotations

from typing import Any, NoReturn


def _only_named(*_: Any) -> NoReturn:
    raise AssertionError("a name of the wire format is not called")


def new(*_: Any) -> NoReturn:
    """An object of a class of the table."""
    _only_named()


def filled(*_: Any) -> NoReturn:
    """An object of a container's subclass."""
    _only_named()


def shared(*_: Any) -> NoReturn:
    """An object more than one store holds."""
    _only_named()


def member(*_: Any) -> NoReturn:
    """A member of an enumeration."""
    _only_named()


def special(*_: Any) -> NoReturn:
    """A value of a type that needs a hand."""
    _only_named()


def factory(*_: Any) -> NoReturn:
    """A defaultdict."""
    _only_named()


def pointer(*_: Any) -> NoReturn:
    """Something that lives in another store, or is one."""
    _only_named()


NAMES = frozenset({new, filled, shared, member, special, factory, pointer})
