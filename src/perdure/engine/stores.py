"""Every store of the process: which exist on disk, which live, which were touched.

moto keeps a store per service, account and region in ``BackendDict[account]
[region]`` and creates it at the first look-up.  This module stands in that way:
a look-up finds the living store, else loads the known one, else creates it, and
notes that it was touched.  Code of moto that enumerates stores sees the known but
unloaded ones too, because they are loaded first.

A quarantined store is never created anew: its look-ups raise.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend
from moto.settings import allow_unknown_region

from perdure.engine.doors import DOORS, note_impure
from perdure.engine.pins import pinned_creation, unpinned
from perdure.persistence.heap import bring_back
from perdure.persistence.keys import StoreKey

Loader = Callable[[StoreKey], None]

# Modules that are servers or tools; importing one is no part of loading state.
NEVER_STATE = ("moto.server", "moto.moto_server", "moto.moto_proxy")


class QuarantinedError(BaseException):
    """A call needs a store that is set aside.

    Not an ``Exception``: moto catches those in many places and goes on without,
    which would answer as if the store were empty.
    """

    def __init__(self, key: StoreKey, reason: str) -> None:
        super().__init__(f"{key} is quarantined: {reason}")
        self.key, self.reason = key, reason


class UnknownRegionError(KeyError):
    """A region the service does not have; a ``KeyError``, as moto's own code expects."""

    def __init__(self, region: str) -> None:
        super().__init__(region)
        self.region = region


class Stores:
    """The registry.  All methods need the engine lock."""

    def __init__(self) -> None:
        self.unloaded: set[StoreKey] = set()
        self.quarantined: dict[StoreKey, str] = {}
        # Of living stores: what their objects lack that an older moto wrote.
        self.incomplete: dict[StoreKey, tuple[str, ...]] = {}
        # By the call (or thread of moto) that runs now; by all since they were
        # last captured.  A look-up adds to both at once: nothing is lost if a
        # capture comes while a call waits.
        self.touched: set[StoreKey] = set()
        self.dirty: set[StoreKey] = set()
        # Touched together with others since they were last captured: what they share is
        # not known.
        self.untied: set[StoreKey] = set()
        self.loader: Loader | None = None
        # While a loader constructs fresh stores, a look-up of another unloaded
        # one adds it to the work instead of starting a load within the load.
        self.constructing: Callable[[StoreKey], None] | None = None
        # Whether a load has finished what ran when its store was saved.
        self.revived = False
        # Stores that are about to be loaded anew in place: others point to them.
        self._husks: dict[StoreKey, BaseBackend] = {}

    def touch(self, key: StoreKey) -> None:
        """Note that a store may be changed by what runs now."""
        self.touched.add(key)
        self.dirty.add(key)

    def living(self) -> Iterator[tuple[StoreKey, BaseBackend]]:
        """Every store in memory."""
        for table in _tables():
            for account, regions in list(dict.items(table)):
                for region, backend in list(dict.items(regions)):
                    yield StoreKey(module_of(table.backend), account, region), backend

    def find(self, key: StoreKey) -> BaseBackend | None:
        """The store of that key if it lives."""
        table = table_of(key.module)
        regions = None if table is None else dict.get(table, key.account)
        return None if regions is None else dict.get(regions, key.region)

    def open(self, regions: AccountSpecificBackend[Any], region: str) -> BaseBackend:
        """A store that does not live yet: loaded if it is known, else created."""
        key = StoreKey(_module(regions), regions.account_id, region)
        if key in self.quarantined:
            raise QuarantinedError(key, self.quarantined[key])
        if key in self.unloaded:
            if self.constructing is not None:
                self.constructing(key)
            elif self.loader is not None:
                # Whether it was loaded already is no part of the call.
                with DOORS.aside(), unpinned():
                    self.loader(key)
                if self.revived:
                    self.revived = False
                    note_impure("what ran in a store it loaded had ended with its process")
            found: BaseBackend | None = dict.get(regions, region)
            if found is not None:
                return found
            raise QuarantinedError(key, self.quarantined.get(key, "it could not be loaded"))
        return create(regions, region)

    def open_all(self, regions: AccountSpecificBackend[Any]) -> None:
        """Load what is known of one service and account, and note all as touched."""
        module, account = _module(regions), regions.account_id
        for key in [k for k in self.unloaded if k[:2] == (module, account)]:
            self.open(regions, key.region)
        for key, reason in self.quarantined.items():
            if key[:2] == (module, account):
                # Left out, it would look as if it were empty.
                raise QuarantinedError(key, reason)
        for region in dict.keys(regions):
            self.touch(StoreKey(module, account, region))

    def forget(self, key: StoreKey) -> None:
        """Drop a living store, so that the next look-up loads or creates it."""
        bring_back()
        self.incomplete.pop(key, None)
        self.untied.discard(key)
        table = table_of(key.module)
        regions = None if table is None else dict.get(table, key.account)
        if regions is not None and dict.__contains__(regions, key.region):
            dict.__delitem__(regions, key.region)

    def vacate(self, key: StoreKey) -> None:
        """Drop a living store's state, and keep the object: others may point to it.

        The next look-up loads its state, or creates it anew, into the same object.
        """
        bring_back()
        found = self.find(key)
        self.forget(key)
        if found is not None:
            self._husks[key] = found

    def construct(self, regions: AccountSpecificBackend[Any], region: str) -> BaseBackend:
        """A fresh store: a new object, or one that was vacated."""
        husk = self._husks.pop(StoreKey(_module(regions), regions.account_id, region), None)
        if husk is None:
            return regions.backend(region, account_id=regions.account_id)
        object.__getattribute__(husk, "__dict__").clear()
        type(husk).__init__(husk, region, account_id=regions.account_id)
        return husk


STORES = Stores()
_TABLES: dict[str, BackendDict[Any]] = {}


class _InUse(list[Any]):
    """moto's list of services in use, which counts those that are known from disk.

    Tagging lists the services that have stores.  One whose stores are not loaded is
    not even imported, and would look as if it had none.
    """

    def __iter__(self) -> Iterator[Any]:
        for module in {key.module for key in STORES.unloaded | STORES.quarantined.keys()}:
            # A module this moto does not have holds nothing that moto could list.
            with suppress(LookupError):
                _open_accounts(import_table(module))
        return super().__iter__()


def _tables() -> list[BackendDict[Any]]:
    """Every table that was used, without importing those that were not."""
    return list(list.__iter__(BackendDict._instances))


def module_of(cls: type) -> str:
    """The moto module a class belongs to: ``moto.sqs.models`` -> ``sqs``."""
    parts = cls.__module__.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def table_of(module: str) -> BackendDict[Any] | None:
    """The ``BackendDict`` of a moto module, if one was used."""
    found = _TABLES.get(module)
    if found is None:
        for table in _tables():
            _TABLES[module_of(table.backend)] = table
        found = _TABLES.get(module)
    return found


def import_table(module: str) -> BackendDict[Any]:
    """The ``BackendDict`` of a moto module, imported if need be; ``LookupError``."""
    table = table_of(module)
    if table is not None:
        return table
    if not module.isidentifier() or f"moto.{module}".startswith(NEVER_STATE):
        raise LookupError(f"no moto module {module!r}")
    for name in (f"moto.{module}.models", f"moto.{module}"):
        try:
            found = importlib.import_module(name)
        except ImportError:
            continue
        for value in vars(found).values():
            if isinstance(value, BackendDict) and module_of(value.backend) == module:
                return value
    raise LookupError(f"no moto module {module!r} with stores")


def create(regions: AccountSpecificBackend[Any], region: str) -> BaseBackend:
    """Construct a store as moto does; else ``UnknownRegionError``.

    What it draws, and the times in it, follow from its key: a call that is replayed may
    find it there already, made by a read that is in no journal.
    """
    if region not in regions.regions and not allow_unknown_region():
        raise UnknownRegionError(region)
    with pinned_creation(StoreKey(_module(regions), regions.account_id, region)):
        backend = STORES.construct(regions, region)
    # Its constructor may have looked itself up.
    dict.setdefault(regions, region, backend)
    return dict.__getitem__(regions, region)


def _module(regions: AccountSpecificBackend[Any]) -> str:
    module: str | None = regions.__dict__.get("_perdure_module")
    if module is None:
        module = regions.__dict__["_perdure_module"] = module_of(regions.backend)
    return module


def _key_of(regions: AccountSpecificBackend[Any], region: str) -> StoreKey:
    """The key of a store that is there; made once, as an S3 put asks eight times."""
    keys: dict[str, StoreKey] = regions.__dict__.setdefault("_perdure_keys", {})
    key = keys.get(region)
    if key is None:
        key = keys[region] = StoreKey(_module(regions), regions.account_id, region)
    return key


# ------------------------------------------------------ what moto calls instead


def _get_region(regions: AccountSpecificBackend[Any], region: str) -> BaseBackend:
    if region == "global":
        region = "aws"
    backend: BaseBackend | None = dict.get(regions, region)
    if backend is None:
        backend = STORES.open(regions, region)
    STORES.touch(_key_of(regions, region))
    return backend


def _get_known_region(
    regions: AccountSpecificBackend[Any], region: str, default: Any = None
) -> Any:
    key = StoreKey(_module(regions), regions.account_id, "aws" if region == "global" else region)
    if STORES.find(key) is None and key not in STORES.unloaded | STORES.quarantined.keys():
        return default
    return _get_region(regions, region)


def _get_account(table: BackendDict[Any], account: str) -> AccountSpecificBackend[Any]:
    regions = dict.get(table, account)
    if regions is None:
        table._create_account_specific_backend(account)
        regions = dict.__getitem__(table, account)
    return regions


def _open_accounts(table: BackendDict[Any]) -> None:
    module = module_of(table.backend)
    # Those set aside too: left out, they would look as if they were empty.
    known = STORES.unloaded | STORES.quarantined.keys()
    for account in {key.account for key in known if key.module == module}:
        _get_account(table, account)


def _seeing_regions(method: str) -> Callable[..., Any]:
    original = getattr(dict, method)

    def enumerate_regions(regions: AccountSpecificBackend[Any], *arguments: Any) -> Any:
        STORES.open_all(regions)
        return original(regions, *arguments)

    return enumerate_regions


def _seeing_accounts(method: str) -> Callable[..., Any]:
    original = getattr(dict, method)

    def enumerate_accounts(table: BackendDict[Any], *arguments: Any) -> Any:
        _open_accounts(table)
        return original(table, *arguments)

    return enumerate_accounts


def install() -> None:
    """Stand in moto's way to its stores.  Once per process, before any call."""
    AccountSpecificBackend.__getitem__ = _get_region
    BackendDict.__getitem__ = _get_account
    for method in ("__iter__", "__len__", "items", "keys", "values"):
        setattr(AccountSpecificBackend, method, _seeing_regions(method))
        setattr(BackendDict, method, _seeing_accounts(method))
    AccountSpecificBackend.get = _get_known_region
    BackendDict.get = _seeing_accounts("get")
    AccountSpecificBackend.__contains__ = _contains_region
    BackendDict.__contains__ = _seeing_accounts("__contains__")
    BackendDict.__hash__ = _hash_by_service
    BackendDict._instances = _InUse(BackendDict._instances)
    BackendDict._create_account_specific_backend = _create_account


def _contains_region(regions: AccountSpecificBackend[Any], region: str) -> bool:
    if region == "global":
        region = "aws"
    return region in regions.regions or dict.__contains__(regions, region)


def _hash_by_service(table: BackendDict[Any]) -> int:
    """As much as moto's, without the random number it draws for it."""
    return hash((table.service_name, table.backend))


def _create_account(table: BackendDict[Any], account: str) -> None:
    """As moto's, without a listing of keys that would load stores."""
    if not dict.__contains__(table, account):
        # Another thread may have made it meanwhile, and hold stores of it.
        dict.setdefault(table, account, _new_account(table, account))
    if not any(known is table for known in _tables()):
        BackendDict._instances.append(table)
        _TABLES[module_of(table.backend)] = table


def _new_account(table: BackendDict[Any], account: str) -> AccountSpecificBackend[Any]:
    """It draws an id that is no state, and in a replay it may be there already."""
    with unpinned():
        return AccountSpecificBackend(
            service_name=table.service_name,
            account_id=account,
            backend=table.backend,
            use_boto3_regions=table._use_boto3_regions,
            additional_regions=table._additional_regions,
        )
