"""Records become state again, in the order of their LSNs.

A call is run as it ran: same pins, same answers through its doors; nothing goes out.
What it answers is compared with what it answered then.  After-images are installed:
the stores they hold are dropped, with all that share objects with them, and loaded
from the images when something next asks for them.

What ran when the log ends is finished last (``finish``): before that a later record
may say how it ended by itself.

Everything here needs the engine lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moto.core.base_backend import BaseBackend

from perdure.engine import process, runtimes
from perdure.engine.bodies import BLOBS
from perdure.engine.calls import Call
from perdure.engine.dispatch import attempt
from perdure.engine.doors import DOORS, DivergenceError
from perdure.engine.loading import StoreLoader, sharing
from perdure.engine.lock import running
from perdure.engine.pins import CLOCK, Pins, pinned
from perdure.engine.policy import POLICY
from perdure.engine.process import PROCESS_KEY
from perdure.engine.quirks.polling import ParkedError
from perdure.engine.recording import PARKED, digest_of, failure_of
from perdure.engine.services import by_name
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES, QuarantinedError
from perdure.errors import CorruptionError, LoadError
from perdure.persistence import statefile
from perdure.persistence.body import Body, whole
from perdure.persistence.keys import StoreKey
from perdure.persistence.reader import Reader
from perdure.persistence.record import CallRecord, ImagesRecord
from perdure.persistence.statefile import Shares, StateFile


@dataclass(frozen=True, slots=True)
class Divergence:
    """A record that did not come out as it did then.

    Attributes:
        call: Service and operation, for people.
        expected: The digest in the record.
        found: The digest now, or what happened instead.
        stores: What the call touched.
    """

    call: str
    expected: str
    found: str
    stores: frozenset[StoreKey]


class Replayer:
    """One recovery's replay."""

    def __init__(self, loader: StoreLoader, shares: dict[StoreKey, Shares]) -> None:
        """Begin.

        Args:
            loader: What loads stores.
            shares: What each store shares, as the loader reads it; images change it.
        """
        self.loader, self.shares = loader, shares
        self.loader.replaying = True
        self._images: dict[StoreKey, tuple[StateFile, Path]] = {}
        # Dropped, and not loaded yet: others may point to what is left of them.
        self._vacated: set[StoreKey] = set()
        # What could not be finished at the end, by store.
        self.troubles: dict[StoreKey, str] = {}
        self._fetch, loader.fetch = loader.fetch, self._fetch_image

    def call(self, record: CallRecord) -> Divergence | None:
        """Run a call again.

        Returns:
            None if it answered as it did then.  A call that needs a store which is set
            aside is a divergence, too: what it changed elsewhere may be missing.

        Raises:
            LoadError: An image before it cannot be loaded.
            CorruptionError: A blob of its body is missing, or not as long as it should be.
        """
        CLOCK.advance(record.clock_us)
        self._load_vacated()
        request = record.request
        name = f"{request.get('service')} {request.get('operation')}"
        body = _body_of(record)
        with running() as touched:
            try:
                found = self._run(call_of(record, body), record)
            except QuarantinedError as error:
                found = f"{error.key} is set aside"
            except (DivergenceError, LookupError, TypeError) as error:
                found = str(error) or repr(error)
        if found == record.answer:
            return None
        return Divergence(name, record.answer, found, frozenset(touched))

    def _run(self, call: Call, record: CallRecord) -> str:
        pins = Pins(record.clock_us, record.seed)
        try:
            with pinned(pins), DOORS.open(record.doors):
                return digest_of(attempt(call, may_park=record.may_park))
        except ParkedError:
            return PARKED
        except Exception as error:  # noqa: BLE001 - it failed then, too, or the digests differ
            return failure_of(error)

    def images(self, record: ImagesRecord, *, path: Path) -> None:
        """Let stores be what a record says they became.

        Raises:
            StateError: An image cannot be read; nothing was changed.
        """
        CLOCK.advance(record.clock_us)
        found = {key: statefile.decode(data, path=path) for key, data in record.stores}
        for key, state in found.items():
            BLOBS.check(state.graph.blobs)
            BLOBS.pend(state.graph.blobs)
            if state.key != key:
                raise CorruptionError(path, "image", expected=key, found=state.key)
        values = self._process_values(record.process, path)
        self._vacate(found)
        for key, state in found.items():
            self._images[key] = state, path
            self.shares[key] = state.graph.shares
        self.loader.refresh()
        STORES.dirty |= found.keys()
        SHARING.last = max(SHARING.last, record.last_id)
        process.install(values)

    def _process_values(self, data: bytes, path: Path) -> dict[str, object]:
        state = statefile.decode(data, path=path)
        if state.key != PROCESS_KEY:
            raise CorruptionError(path, "image", expected=PROCESS_KEY, found=state.key)
        reader = Reader(POLICY, SHARING)
        try:
            values: dict[str, object] = reader.load(state, path=path)
        except BaseException:
            reader.abandon()
            raise
        reader.settle()
        return values

    def _vacate(self, found: dict[StoreKey, StateFile]) -> None:
        """Drop the stores, and those that share objects with them: they get new ones.

        One that shares with them and changed since the checkpoint has an image, too;
        else it has dropped what it shared, and must not lose what it became.
        """
        shares = {**self.shares, **{key: state.graph.shares for key, state in found.items()}}
        gone = sharing(set(found), shares) - (STORES.dirty - found.keys())
        for key in gone:
            if STORES.find(key) is not None:
                STORES.vacate(key)
                STORES.unloaded.add(key)
        for key in found.keys() & STORES.quarantined.keys():
            del STORES.quarantined[key]  # an image is a whole store
        STORES.unloaded |= found.keys()
        self._vacated |= gone | found.keys()
        SHARING.forget_homes(gone)

    def _load_vacated(self) -> None:
        """Load what was dropped: a store that points to one looks nothing up.

        Raises:
            LoadError: An image cannot be loaded.  Its store's file is older, so nothing
                safe is left to go on with.
        """
        for key in sorted(self._vacated):
            if key in STORES.unloaded:
                self.loader.load(key)
            if key in STORES.quarantined and key in self._images:
                raise LoadError(str(key), f"its after-image: {STORES.quarantined[key]}")
        self._vacated.clear()

    def _fetch_image(self, key: StoreKey) -> tuple[StateFile, Path]:
        return self._images[key] if key in self._images else self._fetch(key)

    def finish(self) -> set[StoreKey]:
        """Load the images nobody asked for, and end what cannot go on.

        Returns:
            Stores that were changed by that.  What could not be ended is as it was, and
            stands in ``troubles``.

        Raises:
            LoadError: An image cannot be loaded.
        """
        self._load_vacated()
        self.loader.replaying = False
        self.loader.fetch = self._fetch
        with running() as touched:
            for key, store in list(STORES.living()):
                self._end(key, store)
        return set(touched)

    def _end(self, key: StoreKey, store: BaseBackend) -> None:
        try:
            if runtimes.revive(key, store):
                STORES.touch(key)
        except (Exception, QuarantinedError) as error:  # noqa: BLE001 - moto's methods run
            # Its state is all there; to set it aside would be to lose what was replayed.
            self.troubles[key] = f"what ran in it could not be ended: {error!r}"


def _body_of(record: CallRecord) -> bytes | Body:
    """The body a record holds or names; raises as ``Body.check``."""
    if isinstance(record.body, bytes):
        return record.body
    body = BLOBS.body(whole(blob) for blob in record.body)
    body.check()
    # The process that wrote them may have died with them in the page cache only.
    BLOBS.pend(record.body)
    BLOBS.note_md5(record.body, record.md5)
    return body


def call_of(record: CallRecord, body: bytes | Body) -> Call:
    """The call a record holds; ``LookupError`` if this engine has no such service."""
    request = dict(record.request)
    service = by_name().get(str(request.pop("service")))
    if service is None:
        raise LookupError(f"no service {record.request['service']!r}")
    return Call(service=service, body=body, **request)
