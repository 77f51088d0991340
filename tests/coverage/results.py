"""coverage.json: what sweeps found, each updating its own part.

    {"sweeps":   {"calls": {"date": ..., "versions": {...}}, "moto_tests": {...}},
     "services": {"sqs": {"tried": ..., ..., "moto_tests": {...}}, ...}}

A result in which a service got worse does not replace a better one by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.engine.coverage import CALLS, TABLE_PATH

MOTO_TESTS = "moto_tests"
MAY_NOT_SHRINK = ("tried", "changed", "reads")
SHARES = ("identical", "killed")


def load(path: Path = TABLE_PATH) -> dict[str, Any]:
    """The table, or an empty one."""
    if not path.exists():
        return {"sweeps": {}, "services": {}}
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def worse(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """In what a service got worse; nothing if it was never swept.

    Fewer operations tried or changing, fewer reads compared, or a smaller share of
    them identical.
    """
    found = [
        f"{name}: {new[name]} instead of {old[name]}"
        for name in MAY_NOT_SHRINK
        if name in old and new[name] < old[name]
    ]
    different = ", ".join(new.get("different", ()))
    found += [
        f"{name}: {new[name]} of {new['reads']} instead of {old[name]} of {old['reads']} "
        f"({different})"
        for name in SHARES
        if name in old and new[name] * old["reads"] < old[name] * new["reads"]
    ]
    return found


def update_calls(
    table: dict[str, Any], results: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The table with these services' part of the sweep of calls replaced."""
    services = dict(table["services"])
    for name, result in results.items():
        kept = {k: v for k, v in services.get(name, {}).items() if k not in CALLS}
        services[name] = {**result, **kept}
    return {
        "sweeps": {**table["sweeps"], "calls": dict(about)},
        "services": dict(sorted(services.items())),
    }


def update_moto_tests(
    table: dict[str, Any], results: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The table with these services' part of the sweep of moto's tests replaced."""
    services = dict(table["services"])
    for name, result in results.items():
        services[name] = {**services.get(name, {}), MOTO_TESTS: dict(result)}
    return {
        "sweeps": {**table["sweeps"], MOTO_TESTS: dict(about)},
        "services": dict(sorted(services.items())),
    }


def store(table: dict[str, Any], path: Path = TABLE_PATH) -> None:
    """Write the table: a line per service, so that a change shows as one."""
    lines = [f"  {json.dumps(n)}: {json.dumps(row)}" for n, row in table["services"].items()]
    text = (
        '{\n "sweeps": '
        + json.dumps(table["sweeps"])
        + ',\n "services": {\n'
        + ",\n".join(lines)
        + "\n }\n}\n"
    )
    path.write_text(text)
