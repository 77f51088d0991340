"""State files to living stores, with all they refer to.

A store is loaded by constructing a fresh one, as moto does, and laying the saved
attributes over it: what a newer moto added stays at its default.  Stores that
share objects are loaded together, so that a shared object is one object again.

If one of them cannot be loaded, it is quarantined, and so is every store that
refers to it, directly or not: each would otherwise see it empty.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from moto.core.base_backend import BaseBackend

from perdure.engine import runtimes
from perdure.engine.capture import KEPT
from perdure.engine.policy import POLICY, lay_over
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES, QuarantinedError, create, import_table
from perdure.errors import LoadError, PerdureError
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.reader import Reader
from perdure.persistence.statefile import Shares, StateFile

log = logging.getLogger(__name__)

Fetch = Callable[[StoreKey], tuple[StateFile, Path]]
Report = Callable[[StoreKey, str], None]


class StoreLoader:
    """Loads stores on demand.  All methods need the engine lock."""

    def __init__(self, shares: Mapping[StoreKey, Shares], fetch: Fetch, report: Report) -> None:
        self.shares, self.fetch, self.report = shares, fetch, report
        # While the journal is replayed what ran is not finished yet: a later record
        # may say how it ended.  Nor is any of its threads started.
        self.replaying = False
        self.homes: dict[ExportId, StoreKey] = {}
        self.refresh()
        self._fresh: dict[StoreKey, BaseBackend] = {}
        self._files: dict[StoreKey, tuple[StateFile, Path]] = {}
        # Who looked whom up while being constructed, beside what files say.
        self._lookups: dict[StoreKey, set[StoreKey]] = {}

    def refresh(self) -> None:
        """Read again who carries which shared object, after a checkpoint."""
        self.homes = {number: key for key, share in self.shares.items() for number in share.exports}

    def reachable(self, keys: set[StoreKey]) -> set[StoreKey]:
        """All stores that can be reached from these by reference, as last saved."""
        found: set[StoreKey] = set()
        waiting = list(keys)
        while waiting:
            shares = self.shares.get(waiting.pop())
            if shares is not None:
                new = self._neighbours(shares) - found
                found |= new
                waiting.extend(new)
        return found

    def _neighbours(self, shares: Shares) -> set[StoreKey]:
        return set(shares.stores) | {self.homes[n] for n in shares.imports if n in self.homes}

    def load(self, key: StoreKey) -> None:
        """Load a store and all it refers to; or quarantine it, with the reason."""
        touched, dirty = set(STORES.touched), set(STORES.dirty)
        loaded: dict[StoreKey, BaseBackend] = {}
        try:
            self._load(key)
            loaded = {k: store for k, store in self._fresh.items() if STORES.find(k) is store}
        finally:
            self._fresh, self._files, self._lookups = {}, {}, {}
            # Loading is no change; but a store its constructors made is.
            for noted, before in ((STORES.touched, touched), (STORES.dirty, dirty)):
                noted -= {k for k in noted - before if k in self.shares}
        if not self.replaying:
            self.revive(loaded)

    def _load(self, key: StoreKey) -> None:
        if not self._construct_all(key):
            return
        reader = Reader(POLICY, SHARING)
        attributes = {}
        current = key
        try:
            for current in self._fresh:
                state, path = self._files[current]
                attributes[current] = reader.load(state, path=path)
                # Nobody in the store holds these; who does finds them by their ids.
                attributes[current].pop(KEPT, None)
            for current in self._fresh:
                self._check_shared(current, reader)
        except Exception as error:  # noqa: BLE001 - a store that half came is none
            reader.abandon()
            self._quarantine(current, _reason(error))
            return
        except BaseException:
            reader.abandon()
            raise
        try:
            reader.settle()
            for current, backend in self._fresh.items():
                lay_over(backend, attributes[current], reader.translations.get(current))
        except Exception as error:  # noqa: BLE001 - the same
            self._quarantine(current, _reason(error))
            return
        STORES.unloaded -= self._fresh.keys()
        self._register(reader.shared)
        for current, translation in reader.translations.items():
            _note_incomplete(current, translation.incomplete)

    def revive(self, loaded: Mapping[StoreKey, BaseBackend]) -> None:
        """Finish what ended with its process, which may load other stores in turn.

        That is a change no call made: it counts as touched, and as one that cannot be
        run again.
        """
        for key, store in loaded.items():
            try:
                changed = runtimes.revive(key, store)
            except (Exception, QuarantinedError) as error:  # noqa: BLE001 - moto's methods run
                for each in loaded:
                    STORES.forget(each)
                SHARING.forget_homes(set(loaded))
                STORES.unloaded |= loaded.keys()
                self._quarantine(key, _reason(error))
                return
            if changed:
                STORES.touch(key)
                STORES.revived = True

    def _construct_all(self, key: StoreKey) -> bool:
        """Read the files and construct a fresh store for each; whether all could be."""
        work = [key]

        def construct_now(wanted: StoreKey) -> None:
            if wanted not in self._fresh:
                self._lookups.setdefault(current, set()).add(wanted)
                self._construct(wanted)
                work.append(wanted)

        STORES.constructing = construct_now
        try:
            while work:
                current = work.pop()
                try:
                    if current not in self._fresh:
                        self._construct(current)
                except Exception as error:  # noqa: BLE001 - moto's constructors run here
                    self._quarantine(current, _reason(error))
                    return False
                work.extend(k for k in self._refers_to(current) if k not in self._fresh)
        finally:
            STORES.constructing = None
        return True

    def _construct(self, key: StoreKey) -> None:
        self._files[key] = self.fetch(key)
        regions = import_table(key.module)[key.account]
        try:
            self._fresh[key] = create(regions, key.region)
        except KeyError as error:
            raise LoadError(str(key), f"moto knows no region {key.region!r}") from error

    def _refers_to(self, key: StoreKey) -> set[StoreKey]:
        """Unloaded stores the store of that key points to or shares objects of."""
        return self._neighbours(self.shares[key]) & STORES.unloaded

    def _check_shared(self, key: StoreKey, reader: Reader) -> None:
        for number in self.shares[key].imports:
            if number not in self.homes and SHARING.find(number) is None:
                reason = f"no file carries the shared object {number}: its store was reset"
                raise LoadError(str(key), reason)
            if number not in reader.shared and SHARING.find(number) is None:
                raise LoadError(str(key), f"the shared object {number} was not found")

    def _quarantine(self, broken: StoreKey, reason: str) -> None:
        """Set aside a store and those that refer to it; undo what was constructed."""
        for key in self._fresh:
            STORES.forget(key)
        reasons = {broken: reason}
        waiting = [broken]
        while waiting:
            aside = waiting.pop()
            for key in list(STORES.unloaded):
                refers = aside in self._refers_to(key) | self._lookups.get(key, set())
                if refers and key not in reasons:
                    reasons[key] = f"it refers to {broken}, which cannot be loaded"
                    waiting.append(key)
        for key, why in reasons.items():
            STORES.quarantined[key] = why
            STORES.unloaded.discard(key)
            self.report(key, why)

    def _register(self, shared: dict[ExportId, object]) -> None:
        for number, value in shared.items():
            if SHARING.id_of(value) is None:
                SHARING.register(number, value)
            if number in self.homes:
                SHARING.set_home(number, self.homes[number])
        # One that is set aside may be repaired.
        absent = (STORES.unloaded | STORES.quarantined.keys()) & self.shares.keys()
        for numbers in (self.shares[key].imports for key in absent):
            for number in numbers & shared.keys():
                SHARING.keep(number)


def _note_incomplete(key: StoreKey, names: set[str]) -> None:
    if names:
        STORES.incomplete[key] = tuple(sorted(names))
        log.warning(
            "store %s was written by an older moto, and nothing says what is new in it: %s; "
            "calls that read these may fail",
            key,
            ", ".join(sorted(names)),
        )


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, PerdureError) else f"it cannot be rebuilt: {error!r}"


def connected(keys: set[StoreKey], shares: Mapping[StoreKey, Shares]) -> set[StoreKey]:
    """These stores and all that are tied to them by reference, in either direction."""
    return _closure(keys, shares, lambda share: share.stores)


def both(one: Mapping[StoreKey, Shares], two: Mapping[StoreKey, Shares]) -> dict[StoreKey, Shares]:
    """What stores share by either of two accounts."""
    found = dict(one)
    for key, share in two.items():
        known = found.get(key)
        found[key] = share if known is None else known.with_(share)
    return found


def sharing(keys: set[StoreKey], shares: Mapping[StoreKey, Shares]) -> set[StoreKey]:
    """These stores and all that share objects with them, directly or not."""
    return _closure(keys, shares, lambda _: frozenset())


def _closure(
    keys: set[StoreKey],
    shares: Mapping[StoreKey, Shares],
    pointed: Callable[[Shares], frozenset[StoreKey]],
) -> set[StoreKey]:
    ties: dict[StoreKey, set[StoreKey]] = {}
    homes = {number: key for key, share in shares.items() for number in share.exports}
    for key, share in shares.items():
        for other in pointed(share) | {homes[n] for n in share.imports if n in homes}:
            ties.setdefault(key, set()).add(other)
            ties.setdefault(other, set()).add(key)
    found = set(keys)
    waiting = list(keys)
    while waiting:
        new = ties.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found
