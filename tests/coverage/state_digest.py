"""The state of a store as one number, the same in every process that holds the same.

``Graph.digest`` will not do to compare processes.  A pickle shows in which order sets
are iterated, which of two equal texts are one object, and which export ids were given.
So this walks the living objects by the codec's own reducers, and sees what the codec
sees, but

    sets              as the sorted digests of their members
    texts, numbers    by value, never by identity
    shared objects    by value wherever they stand, without their export ids
    other objects     numbered as they are met: who holds the same one is seen
    stores            by their keys
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from perdure.engine.policy import POLICY, state_of
from perdure.engine.stores import STORES
from perdure.persistence import wire
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.writer import Writer, _Reducers

BYTES = 12
PLAIN = (str, bytes, int, float, bool, type(None), complex, bytearray)


class _NoExports:
    """Every object is written by value."""

    def share(self, _: Any) -> ExportId:
        return ExportId(0)

    def id_of(self, _: Any) -> ExportId | None:
        return None

    def has_shared(self, _: type) -> bool:
        return False

    def home(self, _: ExportId) -> StoreKey | None:
        return None


class _Token(str):
    """What the walk itself says, apart from texts of the state."""

    __slots__ = ()


class _Walk:
    """One pass over what can be reached from a value."""

    def __init__(self, reducers: _Reducers) -> None:
        self.reducers = reducers
        self.classes = reducers.writer.classes
        self.hash = blake2b(digest_size=BYTES)
        self.met: dict[int, int] = {}
        self.kept: list[Any] = []

    def digest(self, root: Any) -> bytes:
        """The digest of the value and all below it."""
        waiting = [root]
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if kind in PLAIN or kind is _Token:
                self.say(f"{kind.__name__}:{value!r}")
            elif kind is tuple:
                self.say(f"tuple {len(value)}")
                waiting.extend(reversed(value))
            elif kind in (set, frozenset):
                self.say(
                    f"{kind.__name__} {sorted(_Walk(self.reducers).digest(each) for each in value)}"
                )
            elif kind.__module__ == "builtins" and not isinstance(value, (dict, list)):
                self.code_or_inert(value, waiting)
            elif id(value) in self.met:
                self.say(f"again {self.met[id(value)]}")
            else:
                self.met[id(value)] = len(self.met)
                self.kept.append(value)
                waiting.extend(reversed(self.parts(value)))
        return self.hash.digest()

    def say(self, text: str) -> None:
        self.hash.update(text.encode("utf-8", "surrogatepass") + b"\0")

    def code_or_inert(self, value: Any, waiting: list[Any]) -> None:
        if hasattr(value, "__qualname__"):
            self.say(f"{value.__module__}.{value.__qualname__}")
        else:
            waiting.extend(reversed(self.reduced(value)))

    def parts(self, value: Any) -> list[Any]:
        """What a value consists of, in order."""
        if POLICY.is_collection(type(value)):
            # A store may hold one itself; else its holder has it so.
            value = value.plain()
            self.kept.append(value)
        if type(value) is dict:
            return [_Token(f"dict {len(value)}"), *_flat(value.items())]
        if type(value) is list:
            return [_Token(f"list {len(value)}"), *value]
        return self.reduced(value)

    def reduced(self, value: Any) -> list[Any]:
        make, arguments, *rest = self.reducers[type(value)](value)
        rest += [None] * (3 - len(rest))
        state, members, items = rest
        if make is wire.perdure_shared:
            arguments = (type(value).__qualname__,)
        elif make in (wire.perdure_new, wire.perdure_filled, wire.perdure_member):
            arguments = (type(value).__qualname__, *arguments[1:])
        return [
            _Token(f"{type(value).__module__} {make.__name__}"),
            tuple(arguments),
            _Token("state"),
            state,
            *((_Token("members"), *members) if members is not None else ()),
            *((_Token("items"), *_flat(items)) if items is not None else ()),
        ]


def _flat(pairs: Any) -> list[Any]:
    return [part for pair in pairs for part in pair]


def digest_of(value: Any, key: StoreKey) -> str:
    """The digest of anything that may stand in the store of that key."""
    return _Walk(_Reducers(Writer(POLICY, _NoExports(), key))).digest(value).hex()


# A walk in Python takes a second for a large store, the codec a hundredth; and most stores
# of most segments are as they were created.  So what was walked once is known by its bytes.
_WALKED: dict[tuple[StoreKey, str, bytes], str] = {}


def digests_of(key: StoreKey) -> dict[str, str]:
    """One digest for each attribute of a living store.  Needs the engine lock."""
    store = STORES.find(key)
    assert store is not None, key
    return {name: _attribute(value, key, name) for name, value in sorted(state_of(store).items())}


def _attribute(value: Any, key: StoreKey, name: str) -> str:
    graph = Writer(POLICY, _NoExports(), key).dump({name: value})
    seen = blake2b(graph.payload, digest_size=BYTES)
    seen.update(repr([row[:2] for row in graph.classes]).encode())
    known = (key, name, seen.digest())
    if known not in _WALKED:
        _WALKED[known] = digest_of(value, key)
    return _WALKED[known]
