"""One engine for all tests of this room, and a disk in memory."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.coverage.memory_disk import Disk

from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.stores import STORES, table_of
from perdure.persistence.keys import StoreKey

ACCOUNT = "000000000000"
REGION = "us-east-1"


@pytest.fixture(scope="session")
def the_engine() -> Engine:
    """The process' engine."""
    return Engine()


@pytest.fixture
def engine(the_engine: Engine) -> Iterator[Engine]:
    """The engine, empty."""
    with ENGINE_LOCK:
        the_engine._loader = None
        STORES.loader = None
        the_engine.forget_all()
        yield the_engine
        the_engine._loader = None
        STORES.loader = None
        the_engine.forget_all()


@pytest.fixture
def disk(engine: Engine) -> Disk:
    """An empty disk the engine knows."""
    disk = Disk(engine)
    disk.know()
    return disk


@pytest.fixture
def moto(engine: Engine) -> Any:
    """``moto.s3`` and the like: the store of a service, as moto looks it up."""
    import importlib

    def store(module: str, region: str = REGION, account: str = ACCOUNT) -> Any:
        from perdure.engine.stores import import_table

        importlib.import_module(f"moto.{module}.models")
        return import_table(module)[account][region]

    return SimpleNamespace(store=store, key=key)


def key(module: str, region: str = REGION, account: str = ACCOUNT) -> StoreKey:
    """A store's key."""
    return StoreKey(module, account, region)


def is_living(wanted: StoreKey) -> bool:
    """Whether a store is in memory."""
    return table_of(wanted.module) is not None and STORES.find(wanted) is not None
