"""Objects that more than one store holds.

An EC2 instance in an Auto Scaling group is one object.  Its state stands in one
file, that of its *home*: a store of the service that defines its class, if one
still reaches it, else the first store that does.  The others' files carry its
export id, which stays the same for the object's life, so that a referrer's file
stays right when only the home is saved again.

Objects are held weakly, but for those that files on disk refer to from stores
that are not loaded: such a store must find the object even if its home has
dropped it meanwhile.
"""

from __future__ import annotations

import weakref
from typing import Any

from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.statefile import Shares


class Sharing:
    """The registry behind ``policy.Exports``.  All methods need the engine lock."""

    def __init__(self) -> None:
        self.last = 0
        self._numbers: dict[int, ExportId] = {}
        self._objects: dict[ExportId, weakref.ref[Any]] = {}
        self._homes: dict[ExportId, StoreKey] = {}
        self._kept: dict[ExportId, Any] = {}
        self._classes: set[type] = set()
        # What each store shared when it was last captured, on disk or not.
        self.latest: dict[StoreKey, Shares] = {}

    def id_of(self, value: Any) -> ExportId | None:
        """The id of an object that is shared already."""
        return self._numbers.get(id(value))

    def has_shared(self, cls: type) -> bool:
        """Whether any object of exactly this class may be shared."""
        return cls in self._classes

    def share(self, value: Any) -> ExportId:
        """The id of an object, given now if it has none."""
        number = self._numbers.get(id(value))
        if number is None:
            self.last += 1
            number = ExportId(self.last)
            self.register(number, value)
        return number

    def register(self, number: ExportId, value: Any) -> None:
        """Note an object that has an id, as after a load."""
        address = id(value)

        def gone(_: object) -> None:
            # The address may have been given to another object meanwhile.
            if self._numbers.get(address) == number:
                del self._numbers[address]
            self._objects.pop(number, None)
            self._homes.pop(number, None)

        self._classes.add(type(value))
        self._numbers[address] = number
        self._objects[number] = weakref.ref(value, gone)

    def find(self, number: ExportId) -> Any | None:
        """The living object of that id."""
        reference = self._objects.get(number)
        return None if reference is None else reference()

    def home(self, number: ExportId) -> StoreKey | None:
        """The store whose file carries the object."""
        return self._homes.get(number)

    def homes(self) -> list[tuple[ExportId, StoreKey]]:
        """Every shared object whose home is decided."""
        return list(self._homes.items())

    def set_home(self, number: ExportId, key: StoreKey | None) -> None:
        """Decide, or with None undo, where the object's state stands."""
        if key is None:
            self._homes.pop(number, None)
        else:
            self._homes[number] = key

    def keep(self, number: ExportId) -> None:
        """Hold the object until ``release``: an unloaded store refers to it."""
        value = self.find(number)
        if value is not None:
            self._kept[number] = value

    def release(self, still_needed: frozenset[ExportId]) -> None:
        """Let go of kept objects no unloaded store needs any more."""
        for number in [n for n in self._kept if n not in still_needed]:
            del self._kept[number]

    def forget_homes(self, keys: set[StoreKey]) -> None:
        """Drop what these stores carry: they will be loaded as new objects."""
        for number, home in self.homes():
            if home in keys:
                value = self.find(number)
                del self._homes[number]
                self._kept.pop(number, None)
                self._objects.pop(number, None)
                if value is not None:
                    self._numbers.pop(id(value), None)

    def forget_all(self) -> None:
        """Drop all, for a state that is replaced as a whole; ids are not used again."""
        self._numbers.clear()
        self._objects.clear()
        self._homes.clear()
        self._kept.clear()
        self.latest.clear()


SHARING = Sharing()
