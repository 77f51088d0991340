"""The state codec, inward: inert bytes to a graph of living objects, safely.

The file may come from a stranger.  So, while its opcodes run:

- only the names of ``wire`` resolve, and immutable types of ``policy.INERT`` by theirs;
- every object of another class is a shell without behaviour (``shells``);
- objects that already live and are pointed to become shells for as long;
- the closed list of specials builds fresh standard objects from plain arguments.

``load`` reads any number of stores that share objects; ``settle`` then gives
every shell its class, and ``abandon`` puts all back as it was.  Exactly one of
them ends a reader.
"""

from __future__ import annotations

import collections
import gc
import io
import operator
import pickle
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from perdure.errors import CorruptionError, HostileStateError, LoadError, PerdureError
from perdure.persistence import wire
from perdure.persistence.blobs import Blob
from perdure.persistence.body import BodyFile
from perdure.persistence.entries import Collection
from perdure.persistence.heap import set_aside
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.memory import bounded
from perdure.persistence.policy import (
    FACTORIES,
    INERT,
    INERT_ARGUMENTS,
    Exports,
    Policy,
    Translation,
)
from perdure.persistence.shells import (
    UnfitClassError,
    container_of,
    give_class,
    has_own_hash,
    shell_class,
)
from perdure.persistence.statefile import ClassRow, StateFile
from perdure.persistence.versions import said

_HELD = (list, collections.deque, dict, collections.OrderedDict, collections.defaultdict)
_SEQUENCES: dict[Any, Callable[[Any], Any]] = {
    list: list.__iter__,
    collections.deque: collections.deque.__iter__,
}


class _Callable:
    """What a name of the wire format resolves to: nothing can be set on it."""

    __slots__ = ("_run",)
    _run: Callable[..., Any]

    def __init__(self, run: Callable[..., Any]) -> None:
        object.__setattr__(self, "_run", run)

    def __call__(self, *arguments: Any) -> Any:
        return self._run(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class _Unpickler(pickle.Unpickler):
    """Resolves the closed list of names and no other."""

    def __init__(self, payload: bytes, names: dict[str, _Callable], path: Path) -> None:
        super().__init__(io.BytesIO(payload))
        self._names, self._path = names, path

    def find_class(self, module: str, name: str) -> Any:
        """Only wire names exist."""
        if module == wire.__name__ and name in self._names:
            return self._names[name]
        raise HostileStateError(self._path, f"the name {module}.{name}"[:200])


class Reader:
    """Loads stores that share objects, as one."""

    def __init__(self, policy: Policy, exports: Exports) -> None:
        self.policy, self.exports = policy, exports
        self.shared: dict[ExportId, Any] = {}
        self._settling: list[tuple[Any, type]] = []
        self._collections: list[tuple[Any, Collection, StateFile]] = []
        self._guarded: dict[int, _Guard] = {}
        self._unbound = 0
        self._members: dict[int, tuple[Enum, dict[str, Any]]] = {}
        self._classes: list[type] = []
        self._shells: list[type] = []
        self._shared_made: dict[ExportId, tuple[Any, type]] = {}
        self._translation: Translation | None = None
        # By store: those of files that an older engine wrote.
        self.translations: dict[StoreKey, Any] = {}
        self._translated: list[tuple[Translation, list[tuple[Any, type]]]] = []
        self._state: StateFile | None = None
        # What its header names: made once, as each of many bodies is held to it.
        self._blobs: frozenset[Blob] = frozenset()
        self._path = Path()
        self._gc_was_enabled = gc.isenabled()
        gc.disable()
        # What this reader makes stays in the youngest generation from here on;
        # see _rehash.
        gc.collect(1)
        self._names = {
            "perdure_new": _Callable(self._new),
            "perdure_filled": _Callable(self._filled),
            "perdure_shared": _Callable(self._share),
            "perdure_member": _Callable(self._member),
            "perdure_inert": _Callable(self._inert),
            "perdure_special": _Callable(self._special),
            "perdure_factory": _Callable(self._factory),
            "perdure_pointer": _Callable(self._pointer),
            "perdure_method": _Callable(self._method),
            "perdure_collection": _Callable(self._collection),
        }

    def load(self, state: StateFile, *, path: Path) -> dict[str, Any]:
        """Read one store's attributes.  They must not be used before ``settle``.

        Raises:
            HostileStateError: The payload names what state never needs.
            CorruptionError: The payload is not what a writer makes.
            LoadError: A class or object it needs does not exist (any more).
        """
        self._path, self._state = path, state
        self._blobs = frozenset(state.graph.blobs)
        self._translation = self.policy.translation(state)
        first = len(self._settling)
        self._classes = [self._find(ClassRow(*row)) for row in state.graph.classes]
        # A member of an enumeration is looked up, never built.
        self._shells = [
            type(None) if issubclass(cls, Enum) else shell_class(cls) for cls in self._classes
        ]
        try:
            with bounded(len(state.graph.payload)):
                attributes = _Unpickler(state.graph.payload, self._names, path).load()
        except (CorruptionError, LoadError):
            raise
        except LookupError as error:
            # Its own words, if it is the engine's; else what a list or dict said.
            reason = str(error) if type(error) is LookupError else f"the payload ran into {error!r}"
            raise LoadError(str(state.key), reason[:400]) from error
        except MemoryError as error:
            size = f"more memory than {len(state.graph.payload)} bytes can need"
            raise CorruptionError(path, "payload", expected="a state graph", found=size) from error
        except Exception as error:
            # Whatever the opcodes of a damaged payload run into: the pickle
            # module documents no bound on it.
            if self._translation is not None:
                # Its checksum is right: a class that is built in another way now.
                raise LoadError(str(state.key), f"{error!r} ({self._who()})"[:400]) from error
            raise CorruptionError(
                path, "payload", expected="a state graph", found=repr(error)[:200]
            ) from error
        if type(attributes) is not dict or not all(type(k) is str for k in attributes):
            kind = type(attributes).__name__
            found = "a dict with other keys" if kind == "dict" else f"a {kind}"
            raise CorruptionError(
                path, "payload", expected="a dict with names of attributes as keys", found=found
            )
        self._check_guards()
        if self._translation is not None:
            self.translations[state.key] = self._translation
            self._translated.append((self._translation, self._objects_of(state, first)))
        return attributes

    def _objects_of(self, state: StateFile, first: int) -> list[tuple[Any, type]]:
        """The objects whose state a file carries, of those made from ``first`` on.

        A shared one may have been made by a referrer's file, read before: who wrote
        that says nothing about the object.
        """
        shared = {id(value) for value, _ in self._shared_made.values()}
        own = [pair for pair in self._settling[first:] if id(pair[0]) not in shared]
        carried = state.graph.shares.exports & self._shared_made.keys()
        return own + [self._shared_made[number] for number in sorted(carried)]

    def settle(self) -> None:
        """Give every object its class, and put those that lived before back.

        Raises:
            LoadError: An object cannot be what its class says.
        """
        try:
            self._release()
            for shell, cls in self._settling:
                give_class(shell, cls)
            for translation, objects in self._translated:
                # First: a hash may ask for an attribute that is new.
                translation.apply(objects)
            if self._unbound:
                self._bind_methods()
            classes = {cls for _, cls in self._settling}
            hashed = set(filter(has_own_hash, classes))
            if hashed:
                _rehash(hashed)
            for shell, collection, state in self._collections:
                self.policy.bind_collection(shell, collection, state)
            self._finish(classes)
        except PerdureError:
            raise
        except Exception as error:
            # The classes' own __hash__ and the like, over attributes no writer wrote.
            raise LoadError(f"in {self._path.name}", f"it cannot be rebuilt: {error!r}") from error
        else:
            if self._gc_was_enabled:
                set_aside()
        finally:
            self._end()

    def _finish(self, classes: set[type]) -> None:
        """Complete the objects that need it."""
        found = {cls: self.policy.finishes(cls) for cls in classes}
        finishes = {cls: finish for cls, finish in found.items() if finish is not None}
        if not finishes:
            return
        for shell, cls in self._settling:
            if cls in finishes:
                finishes[cls](shell)

    def abandon(self) -> None:
        """Leave everything that lived before as it was; drop what was read."""
        self._release()
        self._end()

    # ------------------------------------------------- the names of the wire

    def _class_at(self, index: int) -> type:
        # A negative one would count from the end, and a list takes a bool.
        if type(index) is not int or not 0 <= index < len(self._classes):
            table = f"an index into the table of {len(self._classes)} classes"
            found = index if type(index) is int else f"a {type(index).__name__}"
            raise CorruptionError(self._path, "class", expected=table, found=found)
        return self._classes[index]

    def _new(self, index: int) -> Any:
        cls = self._class_at(index)
        shell: Any = object.__new__(self._shells[index])
        self._settling.append((shell, cls))
        return shell

    def _filled(self, index: int, *content: Any) -> Any:
        cls = self._class_at(index)
        container = container_of(cls)
        if container is object:
            if self._translation is not None:
                raise LoadError(f"in {self._path.name}", f"{cls.__qualname__} changed its base")
            raise HostileStateError(self._path, f"content for {cls.__qualname__}")
        shell: Callable[..., Any] = self._shells[index]
        if container is collections.defaultdict:
            made = shell(self._factory_named(*content))
        elif container in _HELD:
            made = shell()
        else:
            if type(content[0]) is not container:
                raise HostileStateError(self._path, f"a {type(content[0]).__name__} as content")
            made = shell(content[0])
        self._settling.append((made, cls))
        return made

    def _collection(self, *parts: Any) -> Any:
        assert self._state is not None
        if parts not in self._state.graph.collections:
            # Whoever checks or drops rows goes by headers.
            raise HostileStateError(self._path, "a collection that is not in its header")
        collection = Collection(*parts)
        if self._state.source is None and collection.size:
            raise CorruptionError(
                self._path, f"entries of {collection.name}", expected="a file", found="none named"
            )
        cls = self.policy.collection_class(collection.kind)
        shell: Any = shell_class(cls)()
        self._settling.append((shell, cls))
        self._collections.append((shell, collection, self._state))
        return shell

    def _share(self, number: int, index: int, *factory: str) -> Any:
        assert self._state is not None
        named = self._state.graph.shares
        if type(number) is not int or number not in named.imports | named.exports:
            # Who looks for the object's home goes by headers.
            raise HostileStateError(self._path, f"the shared object {number!r}, not in its header")
        export = ExportId(number)
        found = self.shared.get(export)
        if found is not None:
            return found
        living = self.exports.find(export)
        if living is not None:
            found = self._guard(living)
        else:
            cls = self._class_at(index)
            is_plain = container_of(cls) is object
            found = self._new(index) if is_plain else self._filled(index, *factory)
            self._shared_made[export] = found, cls
        self.shared[export] = found
        return found

    def _member(self, index: int, name: str) -> Any:
        cls = self._class_at(index)
        if self._translation is not None:
            name = self._translation.member_name(cls, name)
        if not issubclass(cls, Enum) or name not in cls.__members__:
            raise LookupError(f"{cls.__qualname__} has no member {name!r}")
        member = cls.__members__[name]
        self._members.setdefault(id(member), (member, dict(member.__dict__)))
        return member

    def _inert(self, name: str, *arguments: Any) -> Any:
        if name not in INERT:
            raise HostileStateError(self._path, f"the name {name}"[:200])
        for argument in arguments:
            if type(argument) not in INERT_ARGUMENTS:
                # An iterator could go on for ever.
                raise HostileStateError(self._path, f"an argument of {name}"[:200])
        return INERT[name](*arguments)

    def _special(self, name: str, *arguments: Any) -> Any:
        try:
            row = self.policy.special_named(name)
        except KeyError as error:
            reason = f"nothing special is called {name!r} ({self._who()})"
            raise LoadError(f"in {self._path.name}", reason[:400]) from error
        made = row.make(*arguments)
        if type(made) is BodyFile and not made.closed:
            self._check_named(made)
        return made

    def _check_named(self, made: BodyFile) -> None:
        """Whoever sweeps goes by headers, so a payload has no other blobs."""
        unnamed = sorted(set(made.body.blobs) - self._blobs)
        if unnamed:
            raise HostileStateError(self._path, f"the blob {unnamed[0].name}, not in its header")

    def _factory(self, name: str) -> Any:
        return collections.defaultdict(self._factory_named(name))

    def _factory_named(self, name: str) -> Any:
        if name in FACTORIES:
            return FACTORIES[name]
        factories = self.policy.factories()
        if name not in factories:
            raise HostileStateError(self._path, f"the factory {name!r}"[:200])
        return factories[name]

    def _method(self, owner: Any, name: str) -> Any:
        # A method on the stack could be called; it is bound when no opcode runs any more.
        self._unbound += 1
        return _Unbound(owner, name)

    def _bind_methods(self) -> None:
        """Put methods where they stand: as values of attributes, dicts and lists.

        What was made since the reader started is in the youngest generation, as for
        ``_rehash``.
        """
        bound = set()
        for held in _young((dict, list), lambda part: type(part) is _Unbound):
            places: list[tuple[Any, Any]]
            put: Any
            if issubclass(type(held), dict):
                places, put = list(dict.items(held)), dict.__setitem__
            else:
                places, put = list(enumerate(list.__iter__(held))), list.__setitem__
            for place, value in places:
                if type(value) is _Unbound:
                    put(held, place, self._bound(value))
                    bound.add(id(value))
        if len(bound) < self._unbound:
            raise LoadError(f"in {self._path.name}", "a method stands where none can be bound")

    def _bound(self, unbound: _Unbound) -> Any:
        try:
            return self.policy.bind(unbound.owner, unbound.name)
        except LookupError as error:
            raise HostileStateError(self._path, str(error)[:200]) from error

    def _pointer(self, *parts: str) -> Any:
        return self._guard(self.policy.resolve(parts))

    # --------------------------------------------------------------- guards

    def _find(self, row: ClassRow) -> type:
        module, name = row[:2]
        if self._translation is not None:
            module, name = self._translation.class_name(row)
        try:
            cls = self.policy.find_class(module, name)
            if not issubclass(cls, Enum):
                shell_class(cls)
        except UnfitClassError as error:
            raise LoadError(f"in {self._path.name}", f"{error} ({self._who()})") from error
        except LookupError as error:
            reason = f"no class {module}.{name} ({self._who()})"
            raise LoadError(f"in {self._path.name}", reason) from error
        return cls

    def _who(self) -> str:
        written_by = {} if self._state is None else self._state.written_by
        return f"written by {said(written_by) or 'nobody'}; this is {said(self.policy.versions())}"

    def _guard(self, living: Any) -> Any:
        if id(living) not in self._guarded:
            self._guarded[id(living)] = _Guard(living)
        return living

    def _check_guards(self) -> None:
        touched = [g.cls.__qualname__ for g in self._guarded.values() if g.restore()]
        touched += self._restore_members()
        if touched:
            raise HostileStateError(self._path, f"a change of {touched[0]}")

    def _restore_members(self) -> list[str]:
        changed = []
        for member, attributes in self._members.values():
            if not _same(member.__dict__, attributes):
                member.__dict__.clear()
                member.__dict__.update(attributes)
                changed.append(str(member))
        return changed

    def _release(self) -> None:
        self._restore_members()
        for guard in self._guarded.values():
            guard.restore()
            give_class(guard.value, guard.cls)
        self._guarded.clear()

    def _end(self) -> None:
        self._settling.clear()
        self._collections.clear()
        self._translated.clear()
        self._shared_made.clear()
        if self._gc_was_enabled:
            gc.enable()


class _Guard:
    """A living object that lies on the stack as a shell, with a copy of what it held."""

    __slots__ = ("attributes", "cls", "content", "kind", "value")

    def __init__(self, value: Any) -> None:
        self.value, self.cls = value, type(value)
        self.kind: Any = container_of(self.cls)
        # First: moto has stores that answer for another one's attributes.
        give_class(value, shell_class(self.cls))
        self.attributes = dict(value.__dict__)
        self.content = self._content()

    def _content(self) -> list[Any]:
        """What the container holds, in its order; dicts as pairs."""
        if issubclass(self.kind, dict):
            kind = collections.OrderedDict if self.kind is collections.OrderedDict else dict
            return list(kind.items(self.value))
        return list(_SEQUENCES[self.kind](self.value)) if self.kind in _SEQUENCES else []

    def restore(self) -> bool:
        """Put back what was changed; whether anything was."""
        changed = not _same(self.value.__dict__, self.attributes)
        if changed:
            self.value.__dict__.clear()
            self.value.__dict__.update(self.attributes)
        if not _same_content(self._content(), self.content):
            changed = True
            if self.kind in _SEQUENCES:
                self.kind.clear(self.value)
                self.kind.extend(self.value, self.content)
            else:
                kind: Any = collections.OrderedDict
                kind = kind if self.kind is collections.OrderedDict else dict
                kind.clear(self.value)
                for key, item in self.content:
                    kind.__setitem__(self.value, key, item)
        return changed


class _Unbound:
    """Where a bound method will stand."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name


def _same_content(now: list[Any], before: list[Any]) -> bool:
    """Whether two lists hold the very same objects, or pairs of the same."""
    return len(now) == len(before) and all(
        one is two or (type(one) is tuple and _same_pair(one, two))
        for one, two in zip(now, before, strict=True)
    )


def _same_pair(one: tuple[Any, ...], two: Any) -> bool:
    return type(two) is tuple and len(one) == len(two) and all(map(operator.is_, one, two))


def _same(now: dict[Any, Any], before: dict[Any, Any]) -> bool:
    """Whether two dicts hold the very same objects; runs no ``__eq__`` of values."""
    if dict.__len__(now) != len(before):
        return False
    missing = object()
    return all(before.get(key, missing) is value for key, value in dict.items(now))


def _rehash(hashed: set[type]) -> None:
    """Rebuild the dicts and sets whose keys were shells when they were put in.

    A shell hashes by identity and its class by content.  Which containers hold
    one is not known; but all were made since the reader started, with the
    collector off, so they are in the youngest generation.
    """

    def concerns(key: Any) -> bool:
        kind = type(key)
        return kind in hashed or (
            isinstance(key, tuple) and any(concerns(part) for part in tuple.__iter__(key))
        )

    for held in _young((dict, set), concerns):
        if issubclass(type(held), dict):
            if any(concerns(key) for key in dict.keys(held)):
                # OrderedDict keeps an order of its own beside dict's; as it was just
                # filled, the two agree.  Its own iterator looks every key up.
                kind: Any = dict
                if issubclass(type(held), collections.OrderedDict):
                    kind = collections.OrderedDict
                items = list(dict.items(held))
                kind.clear(held)
                for key, value in items:
                    kind.__setitem__(held, key, value)
        else:
            members = list(held)
            held.clear()
            held.update(members)


def _young(kinds: tuple[type, ...], concerns: Callable[[Any], bool]) -> Iterator[Any]:
    """Containers made since the reader started that hold what concerns it.

    Those that other threads make meanwhile are among them, some half made or about to
    change: to iterate one may fail or end the process.  To ask what it refers to, as
    the collector does, is safe at any time; and what the reader looks for is nobody
    else's.
    """
    for held in gc.get_objects(generation=0):
        # By type: ``isinstance`` would ask a proxy what it stands for.
        if issubclass(type(held), kinds) and any(map(concerns, gc.get_referents(held))):
            yield held
