"""How the rows of a checkpoint are written: as a delta, or with all others as a new base.

A delta costs what changed; a base costs all there is, and is what people open.  So a small
store gets a base with every checkpoint, and any other one when its deltas have grown to a
sixteenth of its base: then a byte that changed has been written some sixteen times.  A
stop writes a base of middling size too, so that whoever looks at the files of a stopped
server finds all in one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from perdure.errors import CorruptionError, DurabilityError, StateError
from perdure.persistence import base as bases
from perdure.persistence import delta
from perdure.persistence.entries import (
    DELTA,
    Row,
    Stored,
    base_kind,
    checksum_of,
    file_of,
    verify,
)
from perdure.persistence.files import Files, temporary_of
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.statefile import Graph

log = logging.getLogger(__name__)

# Up to here a base is written with every checkpoint; at a stop.
SMALL_BYTES = 512 << 10
SMALL_AT_STOP_BYTES = 32 << 20
# What deltas may hold together: a share of the base, within bounds.  1 MB is read in 10 ms.
SHARE = 16
DELTAS_BYTES = 1 << 20, 16 << 20
DELTAS_MAX = 64
# Of a line of a delta, what is neither key nor value.
LINE_BYTES = 40


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Writes the rows of stores for one cut, under temporary names.

    Attributes:
        root: The state directory.
        files: The disk.
        cut: The cut.
        at_stop: Whether nobody waits for the next one.
        apart: Whether a child writes: then a delta is there in any case, which tells its
            parent what changed.
    """

    root: Path
    files: Files
    cut: Lsn
    at_stop: bool = False
    apart: bool = False

    def write(self, key: StoreKey, graph: Graph, before: tuple[Stored, ...]) -> tuple[Stored, ...]:
        """Write what changed of a store's collections.

        Args:
            key: The store.
            graph: Its state at the cut.
            before: The files of the live checkpoint, on which ``graph.rows`` are built.

        Returns:
            The files that hold all rows at the cut; a new one has its temporary name.

        Raises:
            DurabilityError: It could not be written.

        Durability:
            When this returns, the content of a new file is on disk.
        """
        if not graph.collections:
            return ()
        if not graph.rows and not self._is_worth_it(key, graph, before):
            # All is as it was; or there never was a row.
            return before
        if self.apart:
            self._write_delta(key, graph)
        if self._is_time(before, sum(map(_bytes, graph.rows))):
            try:
                return (self._merge(key, graph, before),)
            except CorruptionError as error:
                # What is in memory is written all the same, above the damage, which stays.
                log.error("%s: its entries are not merged: %s (%s)", key, error, error.hint)  # noqa: TRY400
            if not graph.rows:
                return before
        if not self.apart:
            self._write_delta(key, graph)
        return *before, self._stored(file_of(key, self.cut, DELTA))

    def _is_worth_it(self, key: StoreKey, graph: Graph, before: tuple[Stored, ...]) -> bool:
        """Whether to write a base, for people, though no row has changed."""
        if self.at_stop and is_untidy(before):
            return True
        total = sum(stored.bytes for stored in before)
        if not before or before[0].file.endswith(DELTA) or total > self._small:
            return False
        try:
            with closing(bases.open_base(verify(self.root, before[0]), key)) as base:
                # A table that is gone would still be in what they open.
                return not base.numbers() <= {each.number for each in graph.collections}
        except StateError:
            # Whoever loads the store is told.
            return False

    def _write_delta(self, key: StoreKey, graph: Graph) -> None:
        path = self.root / file_of(key, self.cut, DELTA)
        data = delta.encode(key, self.cut, list(graph.rows))
        self.files.write_temporary(path, data, what="entries")

    @property
    def _small(self) -> int:
        """Up to which size a base is written with each checkpoint."""
        return SMALL_AT_STOP_BYTES if self.at_stop else SMALL_BYTES

    def _is_time(self, before: tuple[Stored, ...], bytes_more: int) -> bool:
        """Whether to write a base."""
        total = sum(stored.bytes for stored in before) + bytes_more
        if total <= self._small:
            return True
        if self.at_stop:
            return False
        base = sum(stored.bytes for stored in before if not stored.file.endswith(DELTA))
        least, most = DELTAS_BYTES
        allowed = min(max(base // SHARE, least), most)
        return total - base > allowed or len(before) > DELTAS_MAX

    def _merge(self, key: StoreKey, graph: Graph, before: tuple[Stored, ...]) -> Stored:
        # What is damaged must not come out of this with a checksum that is right.
        paths = [verify(self.root, stored) for stored in before]
        base = next((path for path in paths if not path.name.endswith(DELTA)), None)
        rows: Iterator[Row] = chain.from_iterable(
            delta.read(path, key) for path in paths if path != base
        )
        file = file_of(key, self.cut, base_kind(key))
        path = self.root / file
        self.files.make_folder(path.parent, what="entries")
        temporary = temporary_of(path)
        changed = chain(rows, graph.rows)
        self.files.step(
            "entries.merge",
            temporary,
            lambda: bases.merge(path, base, changed, graph.collections, key),
        )
        try:
            self.files.sync_file(temporary, what="entries")
        except DurabilityError:
            # On a full disk its space may be what the next attempt needs.
            self.files.discard_temporary(temporary)
            raise
        return self._stored(file)

    def _stored(self, file: str) -> Stored:
        return Stored(file, *checksum_of(temporary_of(self.root / file)))


def is_untidy(stored: tuple[Stored, ...]) -> bool:
    """Whether what a stop leaves is not one base, and soon could be."""
    deltas = sum(each.bytes for each in stored if each.file.endswith(DELTA))
    return 0 < deltas <= DELTAS_BYTES[1] and sum(s.bytes for s in stored) <= SMALL_AT_STOP_BYTES


def _bytes(row: Row) -> int:
    """About what it takes in a delta."""
    return len(row.key) + len(row.sub) + len(row.value or b"") + LINE_BYTES
