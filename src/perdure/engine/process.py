"""State that belongs to no store: one small file, always loaded.

moto keeps a few things in class attributes, where saving its stores would miss
them.  One row each.  A row is read only if its module is in use, and written back
when the module is imported, so that a start does not import services for it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from perdure.engine.imports import after_import
from perdure.errors import LoadError
from perdure.persistence.keys import StoreKey

ACCOUNTS = "accounts_by_key"
PROCESS_KEY = StoreKey("process", "all", "all")


@dataclass(frozen=True, slots=True)
class Row:
    """One value outside all stores; ``kind`` is its exact type."""

    name: str
    module: str
    reason: str
    kind: type
    get: Callable[[Any], Any]
    put: Callable[[Any, Any], None]


def _attribute(name: str, module: str, path: str, reason: str, kind: type = int) -> Row:
    *owner, last = path.split(".")

    def holder(found: Any) -> Any:
        for part in owner:
            found = getattr(found, part)
        return found

    return Row(
        name,
        module,
        reason,
        kind,
        lambda found: getattr(holder(found), last),
        lambda found, value: setattr(holder(found), last, value),
    )


def _update(name: str, module: str, path: str, reason: str) -> Row:
    """A dict that others hold too: its content is replaced, not the dict."""
    row = _attribute(name, module, path, reason, dict)

    def put(found: Any, value: dict[Any, Any]) -> None:
        target = row.get(found)
        target.clear()
        target.update(value)

    return Row(name, module, reason, dict, lambda found: dict(row.get(found)), put)


# Issued to users, asked about by the gateway; kept here so that it is state too.
ACCOUNTS_BY_KEY: dict[str, str] = {}
VISITS: dict[str, tuple[Any, str, str]] = {}

ROWS = (
    _update(
        "s3.bucket_accounts",
        "moto.s3.models",
        "s3_backends.bucket_accounts",
        "bucket name -> partition and account; names are unique across accounts",
    ),
    _update(
        "organizations.master_accounts",
        "moto.organizations.models",
        "organizations_backends.master_accounts",
        "member account -> management account",
    ),
    _update(
        "securityhub.org_configs",
        "moto.securityhub.models",
        "SecurityHubBackend._org_configs",
        "a class attribute: organization configuration by account",
    ),
    _update(
        "ec2.endpoint_services",
        "moto.ec2.models.vpcs",
        "DEFAULT_VPC_ENDPOINT_SERVICES",
        "services that endpoints can name, by region; their ids are drawn once",
    ),
    _update(
        "sns.key",
        "moto.sns.models",
        "Subscription.private_key.keys",
        "signs what web hooks get; made at the first message",
    ),
    _attribute(
        "logs.event_id",
        "moto.logs.models",
        "LogEvent._event_id",
        "a class attribute: the next event's id, seen in answers",
    ),
    _attribute(
        "logs.log_ids",
        "moto.logs.models",
        "LogStream._log_ids",
        "a class attribute: the next stream's number",
    ),
)
_waiting: dict[str, Any] = {}
_initial: dict[str, Any] = {}


def capture() -> dict[str, Any]:
    """All values as plain data, those of modules not imported yet as they were loaded."""
    values = dict(_waiting)
    for row in ROWS:
        module = sys.modules.get(row.module)
        if module is not None:
            values[row.name] = row.get(module)
    values[ACCOUNTS] = dict(ACCOUNTS_BY_KEY)
    return values


def install(values: dict[str, Any]) -> None:
    """Put values back, now or when their module is imported.

    Raises:
        LoadError: A value is of another type than ``capture`` gives; nothing was changed.
    """
    _check(values)
    _waiting.clear()
    values = dict(values)
    ACCOUNTS_BY_KEY.clear()
    ACCOUNTS_BY_KEY.update(values.pop(ACCOUNTS, {}))
    VISITS.clear()
    for row in ROWS:
        value = values.get(row.name, _initial.get(row.name))
        module = sys.modules.get(row.module)
        if module is not None:
            if value is not None:
                row.put(module, value)
        elif row.name in values:
            _waiting[row.name] = values[row.name]


def _check(values: Any) -> None:
    """A file may be a stranger's: its classes are safe, its values still anything."""
    if not isinstance(values, dict):
        raise _refusal("its values", dict, values)
    kinds = {row.name: row.kind for row in ROWS} | {ACCOUNTS: dict}
    for name, kind in kinds.items():
        # By type: a bool is an int to Python.
        if name in values and type(values[name]) is not kind:
            raise _refusal(name, kind, values[name])
    for part in itertools.chain(*values.get(ACCOUNTS, {}).items()):
        if not isinstance(part, str):
            raise _refusal(f"a part of {ACCOUNTS}", str, part)


def _refusal(name: str, kind: type, found: object) -> LoadError:
    reason = f"{name}: expected {kind.__name__}, found {type(found).__name__}"
    return LoadError(str(PROCESS_KEY), reason)


def reset(module: str) -> None:
    """Put a service's values back to what they were before its first call."""
    for row in ROWS:
        if row.module.split(".")[1] != module:
            continue
        _waiting.pop(row.name, None)
        found = sys.modules.get(row.module)
        if found is not None:
            row.put(found, _initial[row.name])


def _appear(row: Row) -> Callable[[ModuleType], None]:
    def hook(module: ModuleType) -> None:
        value = row.get(module)
        _initial[row.name] = dict(value) if isinstance(value, dict) else value
        if row.name in _waiting:
            row.put(module, _waiting.pop(row.name))

    return hook


def watch() -> None:
    """Start to follow the modules of the table.  Once per process."""
    for row in ROWS:
        after_import(row.module, _appear(row))
