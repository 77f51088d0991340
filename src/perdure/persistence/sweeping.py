"""Which blobs of a state directory nothing needs any more, and their removal.

A checkpoint is what lets a blob go: the manifest it replaced may have been the last to name
it.  What was set aside in quarantine/ names blobs, too, and is to be of use if somebody puts
it back.  Headers of state files and descriptions of records are plain text, so any file in
there, whatever it is called (a torn tail's ends in its offset), names whatever looks like a
name: too many are kept rather than too few.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from perdure.errors import StateError
from perdure.persistence.blobs import BlobStore
from perdure.persistence.checkpoint import Checkpointer
from perdure.persistence.directory import QUARANTINE
from perdure.persistence.files import TEMPORARY, read_chunks
from perdure.persistence.keys import Lsn

log = logging.getLogger(__name__)

LIKE_A_NAME = re.compile(rb'"([0-9a-f]{64})"')
QUOTED_BYTES = 66


class Sweeper:
    """Removes blobs behind the checkpoints of one directory.  By one thread at a time."""

    def __init__(self, store: BlobStore, checkpointer: Checkpointer) -> None:
        self.store, self.checkpointer = store, checkpointer
        # By file of the quarantine: what it names.  Nothing in there changes.
        self._aside: dict[Path, frozenset[str]] = {}
        # What kept the last sweep from its work.
        self._trouble = ""

    def sweep(self, cut: Lsn) -> list[str]:
        """Remove what a checkpoint at ``cut``, which is the live one, has let go.

        Raises:
            StateError: A live file, or one set aside, cannot be read, so nothing was
                removed; or a blob cannot be removed.
        """
        return self.store.sweep(self.checkpointer.blobs() | self._set_aside(), cut=cut)

    def sweep_or_say(self, cut: Lsn) -> None:
        """As ``sweep``; what keeps it from that is logged, once.  What stays does no harm."""
        try:
            removed = self.sweep(cut)
        except StateError as error:
            if self._trouble != str(error):
                log.warning("no bodies are removed from blobs/: %s", error)
            self._trouble = str(error)
            return
        self._trouble = ""
        if removed:
            log.debug("removed %d bodies that nothing refers to", len(removed))

    def _set_aside(self) -> set[str]:
        directory = self.checkpointer.directory
        folder = directory.path / QUARANTINE
        found = directory.files.step("quarantine.list", folder, lambda: files_below(folder))
        for path in found - self._aside.keys():
            self._aside[path] = frozenset(names_in(path))
        self._aside = {path: self._aside[path] for path in found}
        return set().union(*self._aside.values())


def files_below(folder: Path) -> set[Path]:
    """Every regular file below a folder, but temporary ones; none if there is no folder.

    Raises:
        OSError: A part of it cannot be looked at.
    """
    found: set[Path] = set()
    for top, _, names in os.walk(folder, onerror=_unless_it_went):
        for path in (Path(top, name) for name in names if not name.endswith(TEMPORARY)):
            # Its user may take a file away at any time.
            with suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    found.add(path)
    return found


def _unless_it_went(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


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
