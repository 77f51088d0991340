"""Which operations only read, seen call by call: what ``effects.json`` is made from.

A call *changed* something if the digest of a store that was there differs behind it, or
what belongs to no store, or if a store that it created is not what it was when its
constructor was done.  It *read* if it was answered well, changed nothing and found the
stores it touched in place.  An operation that ever changed something is no read.

A call that ``effects.writes_beside`` names is left out: it counts as a write anyhow.
"""

from __future__ import annotations

import importlib
from collections import Counter, defaultdict
from typing import Any

from perdure.engine import effects, process, stores
from perdure.engine.calls import Call
from perdure.engine.policy import POLICY, state_of
from perdure.engine.sharing import Sharing
from perdure.engine.stores import STORES
from perdure.errors import CaptureError
from perdure.persistence.keys import StoreKey
from perdure.persistence.writer import Writer


def digest(key: StoreKey) -> str:
    """The digest of a store's state, without a trace in the registry of shared objects."""
    store = STORES.find(key)
    if store is None:
        return ""
    try:
        return Writer(POLICY, Sharing(), key).dump(state_of(store)).digest
    except CaptureError:
        return "cannot be captured"


class Creations:
    """Digests of stores as their constructors left them.

    A constructor may look other stores up and change what it finds: so all are looked
    at when the outermost one is done.
    """

    def __init__(self) -> None:
        self.digests: dict[StoreKey, str] = {}
        self._depth = 0
        self._open: list[StoreKey] = []

    def watch(self) -> None:
        """Follow every store that is created from here on."""
        create = stores.create

        def created(regions: Any, region: str) -> Any:
            self._depth += 1
            try:
                store = create(regions, region)
                self._open.append(
                    StoreKey(stores.module_of(regions.backend), regions.account_id, region)
                )
                return store
            finally:
                self._depth -= 1
                if not self._depth:
                    self.digests |= {key: digest(key) for key in self._open}
                    self._open.clear()

        stores.create = created

    def is_as_created(self, key: StoreKey) -> bool:
        """Whether a store is still what its constructor made."""
        return self.digests.get(key) == digest(key) != ""


class Effects:
    """What calls were seen to do."""

    def __init__(self) -> None:
        for row in process.ROWS:
            # A module that comes into use would look like a change of its values.
            importlib.import_module(row.module)
        self.creations = Creations()
        self.creations.watch()
        self.reads: dict[str, Counter[str]] = defaultdict(Counter)
        self.writes: dict[str, set[str]] = defaultdict(set)
        # Requests whose route names another operation than moto runs.
        self.misrouted: set[str] = set()
        # Operations of the table that changed something, with what they changed.
        self.broken: set[str] = set()
        self.of_test: set[str] = set()

    def may_read(self, call: Call, operation: str) -> bool:
        """Whether the operation was never seen to change anything."""
        return operation not in self.writes[call.service.name]

    def note(
        self, call: Call, operation: str, *, well: bool, in_place: bool, changed: set[str]
    ) -> None:
        """One call that is done.

        Args:
            call: The call; ``writes_beside`` was asked before it ran.
            operation: What moto ran.
            well: Whether it was answered without an error.
            in_place: Whether the stores it touched were there before.
            changed: What it changed, in words.
        """
        service = call.service.name
        named = effects.name_of(call)
        if named is not None and named != operation:
            self.misrouted.add(f"{service} {call.operation}: {named}, not {operation}")
        if changed:
            self.writes[service].add(operation)
            if named in effects.reads().get(service, ()):
                self.broken.add(f"{service} {operation}: {', '.join(sorted(changed))}")
        elif well and in_place and named is not None:
            self.reads[service][operation] += 1
            self.of_test.add(f"{service} {operation}")

    def sums(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "reads": {name: dict(counts) for name, counts in self.reads.items()},
            "writes": {name: sorted(found) for name, found in self.writes.items()},
            "misrouted": sorted(self.misrouted),
            "broken": sorted(self.broken),
        }
