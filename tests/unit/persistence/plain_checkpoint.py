"""Checkpoints of plain values, for tests of what a disk holds."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.persistence.checkpoint import Checkpointer, Cut
from perdure.persistence.directory import open_directory
from perdure.persistence.files import Files
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.statefile import Graph, Shares

ACCOUNT = "000000000000"
PROCESS = StoreKey("process", "all", "all")
NO_SHARES = Shares()


def key(module: str) -> StoreKey:
    """A store of a service."""
    return StoreKey(module, ACCOUNT, "us-east-1")


def graph(value: Any, shares: Shares = NO_SHARES) -> Graph:
    """A graph of plain data."""
    return Graph(pickle.dumps({"value": value}, protocol=5), (), shares)


def cut(number: int, values: Mapping[str, Any], *, process: Any = None) -> Cut:
    """What a capture at that cut found, by service."""
    graphs = {key(m): v if isinstance(v, Graph) else graph(v) for m, v in values.items()}
    return Cut(Lsn(number), graphs, (PROCESS, graph(process)), number, {"perdure": "test"})


def opened(path: Path, files: Files | None = None) -> Checkpointer:
    """The live checkpoint of a directory, locked and swept as a start does."""
    directory = open_directory(path, files=files or Files(), version="test")
    try:
        checkpointer = Checkpointer(directory)
        directory.sweep(checkpointer.manifest)
    except BaseException:
        directory.close()
        raise
    return checkpointer


def values(checkpointer: Checkpointer) -> dict[str, Any]:
    """All that a checkpoint holds, by service."""
    found = {
        k.module: pickle.loads(checkpointer.read(k)[0].graph.payload)["value"]
        for k in checkpointer.manifest.stores
    }
    process = checkpointer.read_process()
    if process is not None:
        found["process"] = pickle.loads(process[0].graph.payload)["value"]
    return found


def files_below(path: Path) -> dict[str, bytes]:
    """Every file of a directory but its lock."""
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file() and p.name != "LOCK"
    }
