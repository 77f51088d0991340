"""Which blobs of a state directory nothing needs any more, and their removal.

A checkpoint is what lets a blob go: the manifest it replaced may have been the last to name
it.  What was set aside in quarantine/ names blobs, too, and is to be of use if somebody puts
it back.  Headers of state files and descriptions of records are plain text, so a file in
there names whatever looks like a name: too many are kept rather than too few.
"""

from __future__ import annotations

import re
from pathlib import Path

from perdure.persistence.blobs import BlobStore
from perdure.persistence.checkpoint import Checkpointer
from perdure.persistence.directory import QUARANTINE
from perdure.persistence.files import read_chunks
from perdure.persistence.keys import Lsn

LIKE_A_NAME = re.compile(rb'"([0-9a-f]{64})"')
QUOTED_BYTES = 66
KEPT_SUFFIXES = (".state", ".wal")


class Sweeper:
    """Removes blobs behind the checkpoints of one directory.  By one thread at a time."""

    def __init__(self, store: BlobStore, checkpointer: Checkpointer) -> None:
        self.store, self.checkpointer = store, checkpointer
        # By file of the quarantine: what it names.  Nothing in there changes.
        self._aside: dict[Path, frozenset[str]] = {}

    def sweep(self, cut: Lsn) -> list[str]:
        """Remove what a checkpoint at ``cut``, which is the live one, has let go.

        Raises:
            StateError: A live file cannot be read, so nothing was removed; or a blob
                cannot be removed.
        """
        return self.store.sweep(self.checkpointer.blobs() | self._set_aside(), cut=cut)

    def _set_aside(self) -> set[str]:
        folder = self.checkpointer.directory.path / QUARANTINE
        found = {p for p in folder.rglob("*") if p.suffix in KEPT_SUFFIXES and p.is_file()}
        for path in found - self._aside.keys():
            self._aside[path] = frozenset(names_in(path))
        return set().union(*(self._aside[path] for path in found))


def names_in(path: Path) -> set[str]:
    """Whatever in a file looks like a blob's name.

    Raises:
        StateError: It cannot be read.
    """
    found: set[str] = set()
    rest = b""
    try:
        for chunk in read_chunks(path, what="file set aside"):
            data = rest + chunk
            found.update(name.decode() for name in LIKE_A_NAME.findall(data))
            rest = data[-(QUOTED_BYTES - 1) :]
    except FileNotFoundError:
        return set()  # its user has taken it away
    return found
