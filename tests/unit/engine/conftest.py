"""One engine for all tests of this room, and a disk in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perdure.engine import process
from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES, table_of
from perdure.errors import CorruptionError
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.statefile import Shares, StateFile, decode, encode

ACCOUNT = "000000000000"
REGION = "us-east-1"


class Disk:
    """Saved stores in memory, handed to the engine as a checkpoint would."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.files: dict[StoreKey, bytes] = {}
        self.process: bytes = b""
        self.shares: dict[StoreKey, Shares] = {}
        self.reports: dict[StoreKey, str] = {}
        self.fetched: list[StoreKey] = []
        self.cut = 0
        # Who the files say wrote them.
        self.written_by: dict[str, str] = {}

    def save(self, *, everything: bool = False) -> set[StoreKey]:
        """Capture what changed; returns the stores written."""
        self.cut += 1
        captured = self.engine.capture(self.engine.living() if everything else None)
        assert captured.failed == {}, captured.failed
        for key, graph in captured.graphs.items():
            self.files[key] = encode(StateFile(key, Lsn(self.cut), self.written_by, graph))
            self.shares[key] = graph.shares
        graph = self.engine.capture_process()
        self.process = encode(StateFile(process.PROCESS_KEY, Lsn(self.cut), {}, graph))
        self.engine.saved_again()
        return set(captured.graphs)

    def fetch(self, key: StoreKey) -> tuple[StateFile, Path]:
        """A store's file; damaged ones raise as a checkpoint's do."""
        path = Path(str(key))
        self.fetched.append(key)
        if key not in self.files:
            raise CorruptionError(path, "state file", expected="a file", found="none")
        return decode(self.files[key], path=path), path

    def restart(self) -> None:
        """Forget all that lives, and know what was saved."""
        last = self.engine.last_id
        self.engine.forget_all()
        SHARING.last = 0
        self.know(last)

    def know(self, last_id: int = 0) -> None:
        """Tell the engine what is saved."""
        self.engine.know(self.shares, self.fetch, self.report, last_id)
        if self.process:
            path = Path("process")
            self.engine.install_process(decode(self.process, path=path), path=path)

    def report(self, key: StoreKey, reason: str) -> None:
        """Note a quarantine."""
        self.reports[key] = reason


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
        from perdure.engine.policy import import_table

        importlib.import_module(f"moto.{module}.models")
        return import_table(module)[account][region]

    return SimpleNamespace(store=store, key=key)


def key(module: str, region: str = REGION, account: str = ACCOUNT) -> StoreKey:
    """A store's key."""
    return StoreKey(module, account, region)


def is_living(wanted: StoreKey) -> bool:
    """Whether a store is in memory."""
    return table_of(wanted.module) is not None and STORES.find(wanted) is not None
