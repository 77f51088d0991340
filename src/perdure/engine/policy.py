"""What the state codec asks about moto's objects.

A class may be state if moto defines it, or if it stands in ``BORROWED`` with a
reason.  Stores are pointed to.  An object belongs to the stores of the service
whose package defines its class; one found elsewhere is shared (see ``sharing``).
"""

from __future__ import annotations

import importlib
import re
import sys
import threading
import types
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from platform import python_version
from typing import Any, TypeVar

import moto
from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend

from perdure import __version__
from perdure.engine import outward, special
from perdure.engine.collections import events, items, messages, objects, parameters, records
from perdure.engine.collections.tracked import Tracked
from perdure.engine.quirks import executions, queues, timers
from perdure.engine.stores import NEVER_STATE, STORES, import_table, module_of, table_of
from perdure.engine.translation import Translation, translation_of
from perdure.persistence.entries import Collection
from perdure.persistence.keys import StoreKey
from perdure.persistence.statefile import StateFile

# Classes of other packages that moto keeps in its stores as plain data.
BORROWED = {
    ("requests.structures", "CaseInsensitiveDict"): "metadata of multipart uploads",
    ("joserfc._rfc7518.rsa_key", "RSAKey"): "keys of Cognito user pools",
    ("perdure.engine.remnants", "GoneDict"): "what is left of classes moto dropped",
    ("perdure.engine.remnants", "GoneList"): "what is left of classes moto dropped",
    ("werkzeug.datastructures.structures", "MultiDict"): "form fields",
    ("werkzeug.datastructures.structures", "ImmutableMultiDict"): "form fields",
}

# Packages of moto whose objects belong to whoever holds them.
SHARED_PACKAGES = frozenset({"core", "utilities", "moto_api", "packages"})

# Default factories that are lambdas or classes in moto: where they are made, and
# what is equal to them.  A function cannot be stored, only named.
MOTO_FACTORIES: dict[str, Callable[[], Any]] = {
    "moto.awslambda.models:LambdaStorage.__init__.<locals>.<lambda>": dict,
    "moto.ssm.models:SimpleSystemManagerBackend.__init__.<locals>.<lambda>": (
        lambda: defaultdict(dict)
    ),
}
MOTO_FACTORY_CLASSES = {
    "moto.apigatewaymanagementapi.models:Connection",
    "moto.sdb.models:FakeItem",
    "moto.meteringmarketplace.models:CustomerDeque",
    "moto.meteringmarketplace.models:ResultDeque",
    "moto.apigateway.integration_parsers.unknown_parser:TypeUnknownParser",
    "moto.lakeformation.models:default_settings",
    "moto.xray.models:SegmentCollection._new_trace_item",
}

# Methods that moto keeps bound in its stores.  A stranger's file can bind no other.
METHODS = re.compile(
    r"moto\.amp\.models:PrometheusServiceBackend\.list_tags_for_resource"
    r"|moto\.ec2\.models\.security_groups:SecurityGroup(Rule)?\.filter_\w+"
)
# Objects that a thread works with: the part that outlives it.
WITHOUT_THREADS: dict[tuple[str, str], Callable[[Any], dict[str, Any]]] = {
    ("moto.stepfunctions.parser.asl.eval.environment", "Environment"): executions.recorded,
    (
        "moto.stepfunctions.parser.asl.eval.callback.callback",
        "CallbackPoolManager",
    ): executions.recorded_tokens,
    ("moto.swf.models.timer", "Timer"): timers.recorded,
}
# Objects that hold a collection: what makes it one.
HOLDERS: dict[tuple[str, str], Callable[[Any], object]] = {
    ("moto.sqs.models", "Queue"): messages.adopt,
    ("moto.s3.models", "FakeBucket"): objects.adopt,
    ("moto.logs.models", "LogStream"): events.adopt_events,
    ("moto.kinesis.models", "Shard"): records.adopt,
    ("moto.dynamodb.models.table", "Table"): items.adopt,
    ("moto.dynamodb.models.table", "StreamShard"): events.adopt_changes,
}
# Objects whose attributes are put right otherwise before they are saved.
BEHIND: dict[tuple[str, str], Callable[[Any], dict[str, Any]]] = {
    ("moto.sqs.models", "Queue"): queues.recorded,
    ("moto.kinesis.models", "Stream"): records.recorded_stream,
}
# Containers whose entries are saved each for itself, by kind.  Some derive from moto's own,
# which are imported with their service.
COLLECTIONS: dict[str, Callable[[], type]] = {
    items.Items.kind: lambda: items.Items,
    messages.Messages.kind: lambda: messages.Messages,
    records.Records.kind: lambda: records.Records,
    objects.KIND: objects.objects_class,
    parameters.KIND: parameters.parameters_class,
    events.Events.kind: lambda: events.Events,
    events.Datapoints.kind: lambda: events.Datapoints,
    events.Changes.kind: lambda: events.Changes,
}
# Stores that hold some themselves, by module.
STORE_HOLDERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "ssm": parameters.adopt,
    "cloudwatch": events.adopt_datapoints,
}
# Classes that moto derives from its stores' base, of objects that are none.
NO_STORES = {("moto.servicecatalogappregistry.models", "AssociatedResource")}
# Attributes of stores that are no state: each is what a fresh store has.
FRESH_ATTRIBUTES = {
    "config": frozenset({"config_schema"}),  # botocore's model
    "rds": frozenset({"resource_map"}),  # class -> the store's own dict, see ``lay_over``
}

# ``run`` is what quirks.threads wraps.
THREAD_ATTRIBUTES = frozenset(threading.Thread().__dict__) | {"run"}
_MADE: dict[int, str] = {}
_Row = TypeVar("_Row")


class MotoPolicy:
    """The one policy; it has no state of its own."""

    def find_class(self, module: str, name: str) -> type:
        """The class of that name; ``LookupError`` unless it may be state."""
        if not _may_be_state(module, name):
            raise LookupError(f"{module}.{name}")
        try:
            found: Any = sys.modules.get(module) or importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise LookupError(f"{module}.{name}") from error
        if not isinstance(found, type) or (found.__module__, found.__qualname__) != (module, name):
            raise LookupError(f"{module}.{name}")
        return found

    def admits(self, cls: type) -> bool:
        """Whether objects of this class may be state."""
        return (
            _may_be_state(cls.__module__, cls.__qualname__) and "<locals>" not in cls.__qualname__
        )

    def special_for(self, cls: type) -> special.Row | None:
        """The row of the table of specials."""
        return special.row_for(cls)

    def special_named(self, name: str) -> special.Row:
        """The row of that name."""
        return special.BY_NAME[name]

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        """Moto's own default factories."""
        return _Factories()

    def factory_name(self, factory: Any) -> str | None:
        """The name of one of them."""
        if id(factory) in _MADE:
            return _MADE[id(factory)]
        name = f"{getattr(factory, '__module__', '')}:{getattr(factory, '__qualname__', '')}"
        return name if name in MOTO_FACTORIES or name in MOTO_FACTORY_CLASSES else None

    def method_name(self, method: Any) -> str | None:
        """The name of a bound method of the closed list."""
        name = f"{method.__func__.__module__}:{method.__func__.__qualname__}"
        return name if METHODS.fullmatch(name) else None

    def bind(self, owner: Any, name: str) -> Any:
        """That method of ``owner``."""
        module, _, path = str(name).partition(":")
        cls, _, method = path.rpartition(".")
        if METHODS.fullmatch(str(name)):
            for kind in type(owner).__mro__:
                if (kind.__module__, kind.__qualname__) == (module, cls) and method in vars(kind):
                    return types.MethodType(vars(kind)[method], owner)
        raise LookupError(f"no method {name!r} of a {type(owner).__qualname__}"[:200])

    def pointer_for(self, cls: type) -> Callable[[Any], tuple[str, ...]] | None:
        """Stores, and the tables they stand in, are only ever pointed to."""
        if issubclass(cls, BaseBackend) and (cls.__module__, cls.__qualname__) not in NO_STORES:
            return _backend_parts
        if issubclass(cls, BackendDict):
            return _table_parts
        if issubclass(cls, AccountSpecificBackend):
            return _regions_parts
        return None

    def resolve(self, parts: tuple[str, ...]) -> Any:
        """The living object a pointer names."""
        kind, module, *rest = parts
        if kind == "store" and len(rest) == 2:  # noqa: PLR2004 - account, region
            found = STORES.find(StoreKey.parse([module, *rest]))
            if found is None:
                raise LookupError(f"no store {rest[0]}/{module}/{rest[1]}")
            return found
        table = import_table(module)
        if kind == "table" and not rest:
            return table
        if kind == "regions" and len(rest) == 1:
            regions = dict.get(table, rest[0])
            if regions is not None:
                return regions
        raise LookupError(f"no {'/'.join(map(str, parts))}")

    def points_to(self, parts: tuple[str, ...]) -> StoreKey | None:
        """The store its holder depends on."""
        return StoreKey(*parts[1:]) if parts[0] == "store" else None

    def owner(self, cls: type) -> str | None:
        """The module whose stores own objects of this class."""
        if not cls.__module__.startswith("moto."):
            return None
        module = module_of(cls)
        return None if module in SHARED_PACKAGES else module

    def translation(self, state: StateFile) -> Translation | None:
        """What brings a file of an older moto up to date; None for one of this moto."""
        return translation_of(state)

    def incomplete(self, key: StoreKey) -> tuple[str, ...]:
        """Attributes that objects of a store lack since it was brought up to date."""
        return STORES.incomplete.get(key, ())

    def versions(self) -> dict[str, str]:
        """What runs."""
        return {"perdure": __version__, "moto": moto.__version__, "python": python_version()}

    def attributes_for(self, cls: type) -> Callable[[Any], dict[str, Any]] | None:
        """Of a thread, and of what one works with, only what outlives it is state."""
        if issubclass(cls, threading.Thread):
            return _without_thread
        name = cls.__module__, cls.__qualname__
        pick = WITHOUT_THREADS.get(name) or _first_of(cls, BEHIND)
        if pick is not None:
            return pick
        adopt = _first_of(cls, HOLDERS)
        return None if adopt is None else partial(_adopted, adopt)

    def is_collection(self, cls: type) -> bool:
        """Whether objects of this class are collections."""
        return issubclass(cls, Tracked)

    def collection_class(self, kind: str) -> type:
        """The class of collections of that kind."""
        return COLLECTIONS[kind]()

    def bind_collection(self, value: Any, collection: Collection, state: StateFile) -> None:
        """Tell a collection where its rows are."""
        value.bind(collection, state.key, state.source)

    def finishes(self, cls: type) -> Callable[[Any], object] | None:
        """What completes objects of this class: one that holds a collection, or a thread."""
        if issubclass(cls, threading.Thread):
            return _will_not_run
        return _first_of(cls, HOLDERS) or outward.notices(cls)


def _adopted(adopt: Callable[[Any], object], holder: Any) -> dict[str, Any]:
    """The attributes of what holds a collection."""
    adopt(holder)
    attributes: dict[str, Any] = holder.__dict__
    return attributes


def _first_of(cls: type, rows: Mapping[tuple[str, str], _Row]) -> _Row | None:
    """The row of a class, or of the next one it derives from: who holds what, its heirs do."""
    for kind in cls.__mro__:
        found = rows.get((kind.__module__, kind.__qualname__))
        if found is not None:
            return found
    return None


class _Factories(Mapping[str, Callable[[], Any]]):
    """``MOTO_FACTORIES`` by name; each made once, so that its name is found again."""

    def __getitem__(self, name: str) -> Callable[[], Any]:
        if name in MOTO_FACTORY_CLASSES:
            module, _, qualname = name.partition(":")
            found: Any = importlib.import_module(module)
            for part in qualname.split("."):
                found = getattr(found, part)
            return found  # type: ignore[no-any-return]
        factory = MOTO_FACTORIES[name]
        if factory is not dict:
            _MADE[id(factory)] = name
        return factory

    def __iter__(self) -> Any:
        return iter((*MOTO_FACTORIES, *MOTO_FACTORY_CLASSES))

    def __len__(self) -> int:
        return len(MOTO_FACTORIES) + len(MOTO_FACTORY_CLASSES)


def _may_be_state(module: str, name: str) -> bool:
    if (module, name) in BORROWED:
        return True
    return module.startswith("moto.") and not module.startswith(NEVER_STATE)


def _backend_parts(backend: BaseBackend) -> tuple[str, ...]:
    module = module_of(type(backend))
    return "store", module, backend.account_id, _region_of(module, backend)


def _region_of(module: str, backend: BaseBackend) -> str:
    """The key a store stands under: the region, or a partition for global services."""
    table = table_of(module)
    regions = None if table is None else dict.get(table, backend.account_id)
    for region, found in () if regions is None else dict.items(regions):
        if found is backend:
            return str(region)
    return str(backend.region_name)


def _table_parts(table: BackendDict[Any]) -> tuple[str, ...]:
    return "table", module_of(table.backend)


def _regions_parts(regions: AccountSpecificBackend[Any]) -> tuple[str, ...]:
    return "regions", module_of(regions.backend), regions.account_id


def _will_not_run(value: Any) -> None:
    """Rebuild a thread as one that does not run."""
    attributes = dict(value.__dict__)
    threading.Thread.__init__(value)
    value.__dict__.update(attributes)


def _without_thread(value: Any) -> dict[str, Any]:
    return {k: v for k, v in value.__dict__.items() if k not in THREAD_ATTRIBUTES}


def state_of(backend: BaseBackend) -> dict[str, Any]:
    """The attributes of a store that are state."""
    module = module_of(type(backend))
    fresh = FRESH_ATTRIBUTES.get(module)
    attributes = own_attributes(backend)
    if module in STORE_HOLDERS:
        STORE_HOLDERS[module](attributes)
    if fresh is None:
        return attributes
    return {name: value for name, value in attributes.items() if name not in fresh}


def own_attributes(backend: BaseBackend) -> dict[str, Any]:
    """A store's ``__dict__``, past moto's stores that answer for another one's attributes."""
    found: dict[str, Any] = object.__getattribute__(backend, "__dict__")
    return found


def lay_over(
    backend: BaseBackend, attributes: dict[str, Any], translation: Translation | None = None
) -> None:
    """Give a fresh store the attributes that were saved, maybe by an older moto."""
    module = module_of(type(backend))
    if translation is not None:
        translation.apply_to_store(backend, attributes)
    own = own_attributes(backend)
    before = {id(value): name for name, value in own.items()}
    for name in FRESH_ATTRIBUTES.get(module, ()):
        attributes.pop(name, None)
    own.update(attributes)
    if module in STORE_HOLDERS:
        STORE_HOLDERS[module](own)
    if module == "rds":
        # Its values are the store's own dicts, which have just been replaced.
        found: Any = backend
        found.resource_map = {
            cls: own[before[id(held)]] for cls, held in found.resource_map.items()
        }


POLICY = MotoPolicy()
