"""Living stores to graphs, all at one cut.

Saving a store can call for others: an object it shares with a store of another
service must stand in that one's file, so the owner is captured again with the
object marked; and an object its home has dropped moves to a store that still
holds it.  ``capture`` repeats until nothing more is called for.

Stores of one service may share objects too (a VPC peering stands in two regions).
No class tells those; they are found by comparing what such stores hold.

A capture may be given a budget: then stores it cannot write in that time are left
for ``finish``, which a forked child can do as well (``gateway/cuts.py``).  The child
goes on with the same work on its copy of the memory.  What it writes can be used only
if the parent can come to the same decisions: it can take over homes, but no export ids,
as those belong to objects in memory.  ``finish_apart`` tells, ``take_over`` does it.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from perdure.engine import process
from perdure.engine.collections import tracked
from perdure.engine.costs import COSTS
from perdure.engine.policy import POLICY, state_of
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES
from perdure.errors import CaptureError, StateError
from perdure.persistence.heap import no_collections
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.statefile import Graph, Shares
from perdure.persistence.writer import OutOfTimeError, Writer

ROUNDS_MAX = 100
# No attribute has this name: below it stands what a file carries for others alone.
KEPT = ""
# What a child meets that reads a file of its parent's: see ``forked``.
CLOSED = repr(OSError(errno.EBADF, os.strerror(errno.EBADF)))


@dataclass(slots=True)
class Captured:
    """What ``capture`` saw: graphs of stores, and those that could not be saved."""

    graphs: dict[StoreKey, Graph] = field(default_factory=dict)
    failed: dict[StoreKey, CaptureError] = field(default_factory=dict)


class Move(NamedTuple):
    """A shared object's home before a decision and after it; None = no store's file."""

    number: ExportId
    before: StoreKey | None
    after: StoreKey | None


class Capture:
    """One capture under way: ``begin``, then ``finish``; both need the engine lock.

    Between the two no call may run in this process: both halves see one instant.
    """

    def __init__(self, saved: Mapping[StoreKey, Shares], *, with_entries: bool = True) -> None:
        """Prepare one.

        Args:
            saved: What each store's file on disk shares.
            with_entries: As ``Writer`` has it.
        """
        self.saved, self.with_entries = saved, with_entries
        self.result = Captured()
        # What ``begin`` did not get to, or could not write in time.
        self.left: set[StoreKey] = set()
        # Failures that no object of the state explains.
        self.unexpected: set[StoreKey] = set()
        # What ``finish_apart`` captured, and the homes it decided.
        self.apart: set[StoreKey] = set()
        self.moves: list[Move] = []
        self._deadline: float | None = None
        self.seen_ids: dict[StoreKey, int] = {}
        # Where services have several stores to capture: which of them holds an object.
        self.holders: dict[int, StoreKey] = {}
        self.twins: set[StoreKey] = set()
        self.siblings: set[str] = set()
        # Objects a store's file carries though the store has dropped them: the store
        # that holds them cannot be written, and its file on disk refers to them.
        self.kept: dict[StoreKey, dict[ExportId, Any]] = {}

    def begin(self, wanted: set[StoreKey], *, budget_seconds: float | None) -> None:
        """Capture what fits into the budget, smallest first; the rest is ``left``.

        Sharing among the captured ones settles here, so that less of it is left to
        ``finish``.

        Args:
            wanted: The stores that may have changed.
            budget_seconds: How long this may take, and a few milliseconds more; None =
                as long as it takes, and nothing is left.
        """
        if budget_seconds is None:
            self._settle(wanted)
            self.refuse_dangling()
            return
        self.left = COSTS.beyond(wanted, budget_seconds, tracked.expected())
        self._deadline = time.perf_counter() + budget_seconds
        self._settle(wanted - self.left)
        self._deadline = None
        if not self.left:
            self.refuse_dangling()
        # It is captured at this instant: what changes it from here on is new.
        STORES.dirty -= self.left

    def more(self, wanted: set[StoreKey]) -> None:
        """Capture these as well, at the same instant; the end is ``refuse_dangling``."""
        self._settle(wanted)

    def finish(self) -> None:
        """Capture what is left, in whatever time it takes."""
        left, self.left = self.left, set()
        self._settle(left)
        self.refuse_dangling()

    def finish_apart(self) -> str | None:
        """As ``finish``, in a forked child, whose decisions die with it.

        ``apart`` and ``moves`` then say what the parent has to ``take_over``.

        Returns:
            None, or why the parent cannot use what was captured.  ``unexpected`` are
            then stores it had better not leave to a child again.
        """
        before, homes = _decisions(), dict(SHARING.homes())
        captured = dict(self.result.graphs)
        self.finish()
        if self.unexpected:
            return "; ".join(_unexpected(self.result.failed[k]) for k in sorted(self.unexpected))
        if _decisions() != before:
            return "objects are shared that were not before, or stores were loaded"
        now = dict(SHARING.homes())
        self.moves = [
            Move(number, homes.get(number), now.get(number))
            for number in sorted(homes.keys() | now.keys())
            if homes.get(number) != now.get(number)
        ]
        self.apart = {k for k, graph in self.result.graphs.items() if captured.get(k) is not graph}
        return None

    def take_over(
        self, apart: set[StoreKey], moves: list[Move], failed: Mapping[StoreKey, CaptureError]
    ) -> bool:
        """Make a child's decisions this process', as if it had captured these stores itself.

        Their graphs, of which sharing may have called for other ones, are dropped here.

        Returns:
            Whether that was possible; if not, a home has changed since the fork, as a
            load may do, and nothing is done.
        """
        if any(SHARING.home(move.number) != move.before for move in moves):
            return False
        for move in moves:
            # One that is gone meanwhile needs no home: who held it has changed.
            if SHARING.find(move.number) is not None:
                SHARING.set_home(move.number, move.after)
        for key in apart:
            self.result.graphs.pop(key, None)
        # Only now: a child that failed would have told nobody what they share.
        STORES.untied -= apart
        for key, error in failed.items():
            self.fail(key, error)
        return True

    def _settle(self, todo: set[StoreKey]) -> None:
        # Writing makes short-lived tuples by the million; each would count towards a
        # collection that walks the whole heap.
        with no_collections():
            for _ in range(ROUNDS_MAX):
                self.write_all(todo)
                todo = self.called_for() - self.result.failed.keys() - self.left
                if not todo:
                    return
        for key in todo:
            reason = f"which store carries an object did not settle in {ROUNDS_MAX} rounds"
            self.fail(key, CaptureError(str(key), "(shared)", reason))

    def write_all(self, keys: set[StoreKey]) -> None:
        """Capture these stores, in an order that does not depend on the process."""
        counts = Counter(key.module for key in self.result.graphs.keys() | keys | self.left)
        self.siblings = {module for module, count in counts.items() if count > 1}
        for key in COSTS.order(keys) if self._deadline is not None else sorted(keys):
            self.write(key)

    def write(self, key: StoreKey) -> None:
        """Capture one store, loading it if it is not in memory."""
        if key in STORES.unloaded and STORES.loader is not None:
            STORES.loader(key)
        store = STORES.find(key)
        if store is None:
            return
        if self._is_late(key):
            self._leave(key)
            return
        self.seen_ids[key] = SHARING.last
        try:
            StoreKey.parse(key)
        except StateError as error:
            # A manifest that names it could never be read again.
            self.fail(key, CaptureError(str(key), "(its key)", str(error)))
            return
        # First: what changes it from here on, a revival in another's load for one, is new.
        STORES.dirty.discard(key)
        STORES.untied.discard(key)
        try:
            self._dump(key, store)
        except OutOfTimeError:
            self._leave(key)
        except CaptureError as error:
            self.fail(key, error)
        except Exception as error:  # noqa: BLE001 - one store must not keep others from being saved
            self.unexpected.add(key)
            self.fail(key, CaptureError(str(key), "(unknown path)", repr(error)))

    def _dump(self, key: StoreKey, store: Any) -> None:
        deadline = None if key in COSTS.here else self._deadline
        writer = Writer(POLICY, SHARING, key, deadline=deadline, with_entries=self.with_entries)
        with COSTS.noted(key):
            graph = self.result.graphs[key] = writer.dump(self._attributes(key, store))
            SHARING.latest[key] = graph.shares
            if key.module in self.siblings:
                self._compare(key, writer.own_objects())

    def _leave(self, key: StoreKey) -> None:
        """Forget that writing it was tried: ``finish`` sees it as it will be then."""
        self.left.add(key)
        self.result.graphs.pop(key, None)
        self.seen_ids.pop(key, None)

    def _is_late(self, key: StoreKey) -> bool:
        """Whether it need not be tried: nothing is left of the budget."""
        if self._deadline is None or key in COSTS.here:
            return False
        return time.perf_counter() > self._deadline

    def _attributes(self, key: StoreKey, store: Any) -> dict[str, Any]:
        attributes = state_of(store)
        if key not in self.kept:
            return attributes
        kept = self.kept[key]
        return {**attributes, KEPT: [kept[number] for number in sorted(kept)]}

    def _compare(self, key: StoreKey, objects: list[Any]) -> None:
        """Note what the store holds; share what another of its service holds as well."""
        for value in objects:
            other = self.holders.setdefault(id(value), key)
            if other != key and SHARING.id_of(value) is None:
                SHARING.share(value)
                self.twins |= {key, other}

    def fail(self, key: StoreKey, error: CaptureError) -> None:
        """The store could not be captured: its file stays as it is, and it is changed still."""
        self.result.graphs.pop(key, None)
        self.result.failed[key] = error
        for number, home in SHARING.homes():
            # It was to carry this from now on; another has to.
            if home == key and number not in self._on_disk(key).exports:
                SHARING.set_home(number, None)
        STORES.dirty.add(key)

    def shares(self) -> dict[StoreKey, Shares]:
        """Every store's shares as they would be on disk after this capture."""
        fresh = {key: graph.shares for key, graph in self.result.graphs.items()}
        return {**self.saved, **fresh}

    def called_for(self) -> set[StoreKey]:
        """Decide homes; the stores that must be captured (again) for it."""
        again, self.twins = self._claims() | self.twins, set()
        importers: dict[ExportId, set[StoreKey]] = {}
        carried: set[ExportId] = set()
        for key, shares in self.shares().items():
            carried |= shares.exports
            for number in shares.imports:
                importers.setdefault(number, set()).add(key)
        for number, holders in importers.items():
            # An object of stores that are not loaded has its home on disk alone.
            homeless = number not in carried and SHARING.home(number) is None
            # Who of those still to be captured holds it, and can be written, is not known.
            if homeless and not holders & self.left:
                again |= self._owners(number) or self._adopt(number, holders) or self._keep(number)
        return again

    def _claims(self) -> set[StoreKey]:
        again: set[StoreKey] = set()
        exporters: dict[ExportId, list[StoreKey]] = {}
        for key, graph in self.result.graphs.items():
            for number in graph.shares.exports:
                exporters.setdefault(number, []).append(key)
        for number, keys in exporters.items():
            home = SHARING.home(number)
            if home is None:
                # Stores captured before the object was shared wrote it as their own.
                late = self._owners(number)
                if late:
                    again |= late
                    continue
                owner = self._owner(number)
                home = next((key for key in keys if key.module == owner), keys[0])
                SHARING.set_home(number, home)
            again |= {key for key in keys if key != home}  # it stands in one file
        exported = {key: graph.shares.exports for key, graph in self.result.graphs.items()}
        for number, home in SHARING.homes():
            if home in exported and number not in exported[home]:
                SHARING.set_home(number, None)  # its home has dropped it
        return again

    def _owners(self, number: ExportId) -> set[StoreKey]:
        """Stores that may own the object but were last captured before it was shared."""
        owner = self._owner(number)
        return {
            key
            for key, _ in STORES.living()
            if key.module == owner
            and self.seen_ids.get(key, -1) < number
            and key not in self.result.failed
        }

    def _owner(self, number: ExportId) -> str | None:
        value = SHARING.find(number)
        return None if value is None else POLICY.owner(type(value))

    def _adopt(self, number: ExportId, holders: set[StoreKey]) -> set[StoreKey]:
        """Make a store that holds the object its home, if one of them can be written."""
        candidates = sorted(holders - self.result.failed.keys() - STORES.quarantined.keys())
        if not candidates:
            return set()
        SHARING.set_home(number, candidates[0])
        return {candidates[0]}

    def _keep(self, number: ExportId) -> set[StoreKey]:
        """Let the store that carries the object on disk go on carrying it."""
        value = SHARING.find(number)
        carriers = sorted(k for k in self.result.graphs if number in self._on_disk(k).exports)
        if value is None or not carriers:
            return set()
        SHARING.set_home(number, carriers[0])
        self.kept.setdefault(carriers[0], {})[number] = value
        return {carriers[0]}

    def _on_disk(self, key: StoreKey) -> Shares:
        return self.saved.get(key, Shares())

    def refuse_dangling(self) -> None:
        """A store whose shared object could not be saved keeps its old file as well."""
        while True:
            exported: set[ExportId] = set()
            for shares in self.shares().values():
                exported |= shares.exports
            dangling = [
                (key, number)
                for key, graph in self.result.graphs.items()
                for number in graph.shares.imports
                if number not in exported
            ]
            if not dangling:
                return
            for key, number in dangling:
                kind = type(SHARING.find(number)).__qualname__
                reason = f"the store that owns object {number} ({kind}) could not be saved"
                self.fail(key, CaptureError(str(key), "(shared)", reason))


def _decisions() -> tuple[Any, ...]:
    """All that a capture may change besides its result and the homes of shared objects."""
    stores = frozenset(STORES.unloaded), frozenset(STORES.quarantined)
    return SHARING.last, *stores, {key for key, _ in STORES.living()}


def capture(wanted: set[StoreKey], saved: Mapping[StoreKey, Shares]) -> Captured:
    """Capture ``wanted``, and what sharing calls for besides.  Needs the engine lock.

    Args:
        wanted: The stores that may have changed.
        saved: What each store's file on disk shares, by key.

    Returns:
        Graphs of all captured stores, and an error for each that could not be.
    """
    work = Capture(saved)
    work.begin(wanted, budget_seconds=None)
    return work.result


def _unexpected(failure: CaptureError) -> str:
    """Why a child could not capture a store that its parent may be able to."""
    if failure.reason != CLOSED:
        return str(failure)
    return f"store {failure.store}: it holds bodies in files on disk, which only the server reads"


def capture_process() -> Graph:
    """The state that belongs to no store.  Needs the engine lock."""
    return Writer(POLICY, SHARING, process.PROCESS_KEY).dump(process.capture())
