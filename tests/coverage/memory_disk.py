"""A checkpoint in memory, for tests that save and load without a state directory.

It hands stores to the engine as a checkpoint would: as the bytes of state files.
Imports nothing of the tests, so that a test run of another project can use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from perdure.engine import process
from perdure.engine.collections import tracked
from perdure.engine.core import Engine
from perdure.engine.sharing import SHARING
from perdure.errors import CorruptionError
from perdure.persistence.entries import Row
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.source import Source
from perdure.persistence.statefile import Graph, Shares, StateFile, decode, encode


class Disk:
    """Saved stores in memory, handed to the engine as a checkpoint would."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.files: dict[StoreKey, bytes] = {}
        # Of collections' entries, by collection, key and sub.
        self.rows: dict[StoreKey, dict[tuple[Any, ...], Row]] = {}
        self.digests: dict[StoreKey, str] = {}
        self.process: bytes = b""
        self.process_digest = ""
        self.shares: dict[StoreKey, Shares] = {}
        self.reports: dict[StoreKey, str] = {}
        self.fetched: list[StoreKey] = []
        self.cut = 0
        # Who the files say wrote them.
        self.written_by: dict[str, str] = {}

    def save(self, *, everything: bool = False) -> set[StoreKey]:
        """Capture what changed; returns the stores written."""
        self.cut += 1
        self.engine.note_visits()
        wanted = self.engine.living() if everything else self.engine.changed()
        captured = self.engine.begin_capture(wanted, budget_seconds=None).result
        assert captured.failed == {}, captured.failed
        tracked.seal_all()
        self.write(captured.graphs)
        return set(captured.graphs)

    def write(self, graphs: Mapping[StoreKey, Graph]) -> None:
        """Publish what was captured."""
        tracked.commit_all(tracked.written_of(graphs))
        for key, graph in graphs.items():
            live = {collection.number for collection in graph.collections}
            rows = {**self.rows.get(key, {}), **{row[:3]: row for row in graph.rows}}
            self.rows[key] = {at: row for at, row in rows.items() if row.collection in live}
            self.files[key] = encode(StateFile(key, Lsn(self.cut), self.written_by, graph))
            self.digests[key] = graph.digest
            self.shares[key] = graph.shares
        graph = self.engine.capture_process()
        self.process_digest = graph.digest
        self.process = encode(StateFile(process.PROCESS_KEY, Lsn(self.cut), {}, graph))
        self.engine.saved_again()

    def fetch(self, key: StoreKey) -> tuple[StateFile, Path]:
        """A store's file; damaged ones raise as a checkpoint's do."""
        path = Path(str(key))
        self.fetched.append(key)
        if key not in self.files:
            raise CorruptionError(path, "state file", expected="a file", found="none")
        source = Source(None, self.rows[key].values())
        return replace(decode(self.files[key], path=path), source=source), path

    def clear(self) -> None:
        """Forget what was saved."""
        for saved in (self.files, self.rows, self.digests, self.shares):
            saved.clear()
        self.process = b""
        self.know()

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
