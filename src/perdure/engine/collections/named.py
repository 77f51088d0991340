"""Containers of moto with one entry for a name: dicts, whatever moto's class makes of them.

Such a class has methods of its own, which end in those of ``dict``.  Here a layer stands
between the two, ``OfDict`` or ``OfDefaultDict``: it brings the entry that is asked for from
the disk, and notes what is handed out.  So moto's methods stay as they are.

    class Keys(Named, _VersionedKeyStore, OfDict): ...
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from perdure.engine.collections.tracked import STANDS, Place, Tracked, is_encodable
from perdure.errors import LoadError
from perdure.persistence.entries import Collection, Row
from perdure.persistence.keys import StoreKey
from perdure.persistence.source import Source

if TYPE_CHECKING:
    from perdure.engine.collections.forms import Forms

# dict's own methods, past those of moto and of the layer.
_DICT: Any = dict


class Named(Tracked):
    """Entries by their names."""

    keeps_places = True

    forms: Forms
    # Whether what is in memory stands in the order it has.
    is_sorted: bool

    def begin(self) -> None:
        super().begin()
        self.is_sorted = True

    def bind(self, collection: Collection, home: StoreKey, source: Source | None) -> None:
        rest = list(_DICT.items(self))
        _DICT.clear(self)
        super().bind(collection, home, source)
        for keys, entry in rest:
            (name,) = keys
            _DICT.__setitem__(self, name, entry)
            # It is looked at again by the next checkpoint, which else would leave it out.
            self.pin(place_of(name), (name,))
            self._find_place(name)
        self.is_sorted = not rest

    def _find_place(self, name: Any) -> None:
        """Of an entry that stands in the graph: learn where."""
        at = place_of(name)
        row = None if at is None or self.source is None else self.source.get(self.number, *at)
        if row is not None and row.value == STANDS:
            self.found(row)

    # ------------------------------------------------------------------ from the disk

    def names(self) -> Iterator[Any]:
        """All names, in no order; brings none of their entries."""
        yield from _DICT.__iter__(self)
        if self.unloaded and self.source is not None:
            for name in self.source.keys(self.number):
                if self.is_unloaded((name, "")):
                    yield name

    def has(self, name: Any) -> bool:
        """Let the entry of a name be in memory; whether there is one."""
        if _DICT.__contains__(self, name):
            return True
        if not self.unloaded or self.source is None:
            return False
        at = place_of(name)
        row = None if at is None else self.source.get(self.number, *at)
        if row is None or not self.is_new(row):
            return False
        self.is_sorted = False
        self._put(row)
        return True

    def _put(self, row: Row) -> None:
        if row.value == STANDS:
            raise LoadError(str(self.home), f"entry {row.key} is missing")
        _DICT.__setitem__(self, row.key, self.forms.load(row, str(self.home)))
        self.found(row)

    def bring_all(self) -> None:
        if not self.unloaded and self.is_sorted:
            return
        numbers = {name: number for number, name in enumerate(_DICT.__iter__(self))}
        if self.source is not None:
            rows = self.source.of_collection(self.number)
            # Asked of all first: what is gone is forgotten as soon as all is in memory.
            for row in [row for row in rows if self.is_new(row)]:
                self._put(row)
        pairs = sorted(_DICT.items(self), key=lambda pair: self._order(pair[0], numbers))
        _DICT.clear(self)
        _DICT.update(self, pairs)
        self.is_sorted = True

    def _order(self, name: Any, numbers: dict[Any, int]) -> tuple[int, int]:
        """Where it stands: as on disk, and what has no place there behind."""
        at = place_of(name)
        known = None if at is None or self.is_moved(at) else self.disk.get(at)
        return (1, numbers.get(name, -1)) if known is None else (0, known.place)

    def note_name(self, name: Any, *, is_moved: bool = False) -> None:
        """The entry of a name was handed out, came or went."""
        self.note(place_of(name), (name,), is_moved=is_moved)

    # ------------------------------------------------------------------ as a collection

    def bare(self) -> Any:
        """An empty container of moto's own class."""
        raise NotImplementedError

    def plain(self) -> Any:
        self.bring_all()
        made = self.bare()
        for name, entry in _DICT.items(self):
            _DICT.__setitem__(made, name, entry)
        return made

    def entry(self, keys: tuple[Any, ...]) -> Any | None:
        return _DICT.get(self, keys[0])

    def places(self) -> Iterator[tuple[Place | None, tuple[Any, ...]]]:
        for name in _DICT.__iter__(self):
            yield place_of(name), (name,)

    def encode(self, entry: Any, keys: tuple[Any, ...]) -> bytes:
        return self.forms.encode(entry)

    def adopt(self, held: Any) -> None:
        """Have what a container of moto has, as what no checkpoint knows."""
        self.begin()
        for name, entry in _DICT.items(held):
            self.mark(place_of(name), (name,), is_moved=True)
            _DICT.__setitem__(self, name, entry)


def place_of(name: Any) -> Place | None:
    """Where the row of a name stands; None = it can have none."""
    return (name, "") if type(name) is str and name and is_encodable(name) else None


if TYPE_CHECKING:
    _Base = Named
else:
    # It stands between moto's class and dict; what it asks for comes with the collection.
    _Base = object


class _Layer(_Base):
    """What stands in the place of dict's methods; they are called by their class, past moto's."""

    def __getitem__(self, name: Any) -> Any:
        self.has(name)
        found = _DICT.__getitem__(self, name)
        self.note_name(name)
        return found

    def get(self, name: Any, default: Any = None) -> Any:
        return _Layer.__getitem__(self, name) if self.has(name) else default

    def __contains__(self, name: Any) -> bool:
        return self.has(name)

    def __setitem__(self, name: Any, entry: Any) -> None:
        self.note_name(name, is_moved=not self.has(name))
        _DICT.__setitem__(self, name, entry)

    def __delitem__(self, name: Any) -> None:
        self.has(name)
        _DICT.__delitem__(self, name)
        self.note_name(name)

    def pop(self, name: Any, *default: Any) -> Any:
        is_there = self.has(name)
        found = _DICT.pop(self, name, *default)
        if is_there:
            self.note_name(name)
        return found

    def popitem(self) -> Any:
        self.bring_all()
        found = _DICT.popitem(self)
        self.note_name(found[0])
        return found

    def setdefault(self, name: Any, default: Any = None) -> Any:
        if not self.has(name):
            _Layer.__setitem__(self, name, default)
        return _Layer.__getitem__(self, name)

    def update(self, *others: Any, **named: Any) -> None:
        for name, entry in dict(*others, **named).items():
            _Layer.__setitem__(self, name, entry)

    def __ior__(self, other: Any) -> Any:
        _Layer.update(self, other)
        return self

    def clear(self) -> None:
        self.bring_all()
        for name in _DICT.__iter__(self):
            self.note_name(name)
        _DICT.clear(self)

    def __iter__(self) -> Iterator[Any]:
        self.bring_all()
        return _DICT.__iter__(self)  # type: ignore[no-any-return]

    def __reversed__(self) -> Iterator[Any]:
        self.bring_all()
        return _DICT.__reversed__(self)  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return _DICT.__len__(self) + self.unloaded  # type: ignore[no-any-return]

    def keys(self) -> Any:
        self.bring_all()
        return _DICT.keys(self)

    def values(self) -> Any:
        self._note_all()
        return _DICT.values(self)

    def items(self) -> Any:
        self._note_all()
        return _DICT.items(self)

    def _note_all(self) -> None:
        self.bring_all()
        for name in _DICT.__iter__(self):
            self.note_name(name)

    def copy(self) -> Any:
        return self.plain()

    def __eq__(self, other: object) -> bool:
        self.bring_all()
        return _DICT.__eq__(self, other)  # type: ignore[no-any-return]

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deepcopy(self.plain(), memo)


class OfDict(_Layer, dict[Any, Any]):
    """The layer above a _DICT."""


class OfDefaultDict(_Layer, defaultdict[Any, Any]):
    """The layer above one that makes what is missing."""
