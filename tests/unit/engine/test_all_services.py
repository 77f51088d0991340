"""Every service's first store is saved and loaded, whatever it is made of."""

from __future__ import annotations

import ipaddress
import threading
from typing import Any

import pytest
from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend
from tests.unit.engine.conftest import ACCOUNT, REGION, Disk, key

from perdure.engine.collections.tracked import Tracked
from perdure.engine.services import module_names
from perdure.engine.stores import import_table

# Modules that answer calls out of the stores of another one.
WITHOUT_STORES = {"apigatewaymanagementapi", "bedrockruntime", "ec2instanceconnect"}
LIVING = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event)


def same(one: Any, two: Any, path: str, seen: set[tuple[int, int]]) -> None:
    """Whether two graphs hold equal values in equal places."""
    assert type(one) is type(two), path
    if (id(one), id(two)) in seen or isinstance(one, LIVING):
        return
    seen.add((id(one), id(two)))
    if isinstance(one, Tracked):
        # Where its rows are is none of moto's.
        same(one.plain(), two.plain(), path, seen)
        return
    if isinstance(one, BaseBackend | BackendDict | AccountSpecificBackend) and path:
        assert one.__dict__.keys() == two.__dict__.keys(), path
        return
    if isinstance(one, ipaddress._IPAddressBase):
        assert one == two, path  # what it has computed is no state
        return
    if isinstance(one, dict):
        keys, others = list(dict.keys(one)), list(dict.keys(two))
        assert len(keys) == len(others), path
        for a, b in zip(keys, others, strict=True):
            same(a, b, f"{path}<{a!r}>", seen)
            same(dict.__getitem__(one, a), dict.__getitem__(two, b), f"{path}[{a!r}]", seen)
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), path
        for n, (a, b) in enumerate(zip(one, two, strict=True)):
            same(a, b, f"{path}[{n}]", seen)
    elif type(one).__eq__ is not object.__eq__ and not hasattr(one, "__dict__"):
        assert one == two, path
    if isinstance(getattr(one, "__dict__", None), dict) and not isinstance(one, type):
        assert one.__dict__.keys() == two.__dict__.keys(), path
        for name in one.__dict__:
            same(one.__dict__[name], two.__dict__[name], f"{path}.{name}", seen)


@pytest.mark.parametrize("module", [m for m in module_names() if m not in WITHOUT_STORES])
def test_the_first_store_of_every_service_comes_back(module: str, disk: Disk) -> None:
    """A fresh store of each service is captured, forgotten and loaded with equal attributes."""
    regions = import_table(module)[ACCOUNT]
    region = REGION if REGION in regions.regions else "aws"
    before = regions[region]
    disk.save()
    disk.restart()

    after = import_table(module)[ACCOUNT][region]

    assert disk.reports == {}
    assert after is not before
    assert key(module, region) in disk.fetched
    same(before, after, "", set())
