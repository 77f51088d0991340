"""Shells: what an object of a foreign class is while its bytes are being read.

A pickle is a program for a stack machine, and its opcodes call methods of what
lies on the stack: ``append``, ``__setitem__``, ``__setstate__``, property
setters.  A stranger's file could so run any such method of any class it may
name, without naming a single callable.  Therefore no object with behaviour of
its own is ever on that stack: each is built as a *shell*, an instance of an empty
class with the same memory layout, and given its real class by assignment to
``__class__`` after the last opcode has run.  ``object.__new__`` is all that is
called; no ``__init__``, ``__setstate__`` or ``__setitem__`` of the class is.

A class fits if instances differ from a known base only by ``__dict__`` and
``__weakref__``.  Classes with ``__slots__`` of their own do not, and are refused
when they are captured, by name.
"""

from __future__ import annotations

import collections
import collections.abc
import types
import typing
from abc import ABC
from functools import cache
from typing import Any, cast

# Containers first, most derived first: their C layout decides.
CONTAINERS: tuple[type, ...] = (
    collections.OrderedDict,
    collections.defaultdict,
    collections.deque,
    dict,
    list,
    collections.deque,
    tuple,
    set,
    frozenset,
    str,
    bytes,
    int,
    float,
)
# Bases that add no storage.  Their methods reach nothing but the shell itself.
INERT_BASES: tuple[type, ...] = (
    object,
    ABC,
    typing.Generic,
    typing.Protocol,
    collections.abc.MutableMapping,
    collections.abc.Mapping,
    collections.abc.MutableSequence,
    collections.abc.Sequence,
    collections.abc.MutableSet,
    collections.abc.Set,
    collections.abc.Collection,
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Hashable,
)
_T = typing.TypeVar("_T")
_GENERIC: Any = typing.Generic

_SHELLS: dict[type, type] = {}


class UnfitClassError(TypeError):
    """Instances of this class cannot be carried by a shell."""


def container_of(cls: type) -> type:
    """The built-in container ``cls`` derives from, or ``object``."""
    return next((kind for kind in CONTAINERS if issubclass(cls, kind)), object)


def has_own_hash(cls: type) -> bool:
    """Whether instances hash by content, so that a shell's place in a dict is wrong."""
    inherited = (object.__hash__, container_of(cls).__hash__, None)
    return cls.__hash__ not in inherited


def shell_class(cls: type) -> type:
    """The empty class whose instances can become instances of ``cls``.

    Raises:
        UnfitClassError: The memory layouts differ.
    """
    found = _SHELLS.get(cls)
    if found is not None:
        return found
    shell = _empty_class(_layout_base(cls), with_dict=bool(cls.__dictoffset__))
    probe: Any = cast("Any", shell).__new__(shell)
    try:
        give_class(probe, cls)
        # And back: a class may define __del__, which must not see the probe.
        give_class(probe, shell)
    except TypeError as error:
        raise UnfitClassError(f"{cls.__module__}.{cls.__qualname__}: {error}") from error
    _SHELLS[cls] = shell
    return shell


def give_class(value: Any, cls: type) -> None:
    """Make ``value`` an instance of ``cls``, past any ``__setattr__`` (frozen dataclasses)."""
    object.__setattr__(value, "__class__", cls)


def _layout_base(cls: type) -> type:
    container = container_of(cls)
    if container is not object:
        return container
    base: type | None = cls
    while base is not None and base.__dictoffset__:
        base = base.__base__
    if base not in INERT_BASES:
        raise UnfitClassError(f"{cls.__module__}.{cls.__qualname__}: derives from {base}")
    return base


@cache
def _empty_class(base: type, *, with_dict: bool) -> type:
    namespace: dict[str, Any] = {} if with_dict else {"__slots__": ()}
    # Generic refuses a subclass without parameters.
    bases: tuple[Any, ...] = (cast("Any", typing.Generic)[_T],) if base is _GENERIC else (base,)
    shell: Any = types.new_class("Shell", bases, exec_body=lambda ns: ns.update(namespace))
    if getattr(shell, "__abstractmethods__", None):
        shell.__abstractmethods__ = frozenset()
    return cast("type", shell)
