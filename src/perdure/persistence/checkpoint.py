"""Publishes captured stores as one cut.

    1. state files of the stores that changed,    write, fsync, under temporary names
       with the rows of their collections
    2. their names                                rename
    3. their folders                              fsync
    4. the manifest that names them               write, fsync, rename, fsync
    5. files the new manifest no longer names     unlink

A crash before the rename in 4 leaves the old checkpoint whole; after it, the new
one.  A failure in 1 to 4 raises and changes nothing that is live.

Step 1 may have been done for some stores by another process (``prepare``), which
then hands over their entries: a forked child writes large stores, and whatever
becomes of it, only this process renames, syncs folders and replaces the manifest.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from perdure.errors import CorruptionError, DurabilityError, StateError
from perdure.persistence import entries, statefile
from perdure.persistence import manifest as manifests
from perdure.persistence.compaction import Rewriter, is_untidy
from perdure.persistence.directory import Directory
from perdure.persistence.files import TEMPORARY, read_file
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.manifest import Entry, Manifest
from perdure.persistence.source import Source, open_source
from perdure.persistence.statefile import Graph, StateFile
from perdure.persistence.versions import refuse_newer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cut:
    """The state of one instant: in memory, or written already under temporary names.

    Attributes:
        cut: Its number.
        graphs: The stores captured in memory.
        process: What belongs to no store, with its key.
        last_id: The last export id given.
        written_by: Versions of what wrote it.
        prepared: The entries of stores that ``prepare`` wrote for this cut.
        segment: The journal's ``active_first`` at that instant; None = no journal.
        clock_us: The last clock any call had, microseconds since 1970; 0 = none.
        must_advance: Whether to publish it though no store changed: records of a
            journal lie behind the live one.
        dropped: Stores of the live one that this one has no more; their files are set
            aside.
        at_stop: Whether the server stops, and nobody waits for the next one.
    """

    cut: Lsn
    graphs: Mapping[StoreKey, Graph]
    process: tuple[StoreKey, Graph]
    last_id: int
    written_by: Mapping[str, str]
    prepared: Mapping[StoreKey, Entry] = field(default_factory=dict)
    segment: Lsn | None = None
    clock_us: int = 0
    must_advance: bool = False
    dropped: frozenset[StoreKey] = frozenset()
    at_stop: bool = False


class Checkpointer:
    """Owns the live manifest of an opened directory."""

    def __init__(self, directory: Directory, running: Mapping[str, str] | None = None) -> None:
        """Read the live manifest.

        Args:
            directory: The opened state directory.
            running: Versions that files must not be newer than; None = no check.

        Raises:
            NewerVersionError: A newer program wrote the checkpoint.
            StateError: The manifest cannot be read.
        """
        self.directory = directory
        self.running = running or {}
        self.manifest = manifests.read(directory.path)
        manifest_path = directory.path / manifests.NAME
        refuse_newer(manifest_path, self.manifest.written_by, self.running)
        self._attempted = self.manifest.cut
        # By file: the blobs it names.  Files do not change.
        self._blobs: dict[str, frozenset[str]] = {}

    @property
    def next_cut(self) -> Lsn:
        """The lowest cut the next checkpoint may have.

        A publish that failed may still have become the one on disk: its last step
        is an fsync.  So no cut is used twice, else the next attempt would write over
        files which that manifest names.
        """
        return Lsn(self._attempted + 1)

    def publish(self, cut: Cut, *, replace: bool = False) -> list[StoreKey]:
        """Make a cut the live checkpoint; writes only stores whose digest changed.

        Args:
            cut: What was captured.
            replace: Whether the cut holds all there is.  The files of the checkpoint
                it replaces are set aside, not deleted: nobody has loaded them.

        Returns:
            The stores that were written.

        Raises:
            DurabilityError: The previous checkpoint is still the live one here; the
                next start finds it, or this one.
            StateError: A key could not be read back; nothing was written.

        Durability:
            When this returns, the next start finds this cut.
        """
        assert cut.cut >= self.next_cut, f"cut {cut.cut} was used, {self.next_cut} is next"
        assert not cut.prepared.keys() & cut.graphs.keys(), "a store was captured twice"
        assert all(entry.cut == cut.cut for entry in cut.prepared.values()), "of another cut"
        for key in (*cut.graphs, *cut.prepared):
            StoreKey.parse(key)
        self._attempted = cut.cut
        now = _now()
        old = Manifest() if replace else self.manifest
        try:
            written = [
                self._write_temporary(key, graph, cut.cut, cut.written_by, now)
                for key, graph in sorted(cut.graphs.items())
                if _is_changed(key, graph, old)
            ]
            rewriter = Rewriter(
                self.directory.path, self.directory.files, cut.cut, at_stop=cut.at_stop
            )
            written = [_with_entries(e, cut.graphs[e.key], old, rewriter) for e in written]
            if cut.at_stop:
                written += self._tidied(cut, old, rewriter, {entry.key for entry in written})
            process = self._process(cut, old, now)
        except StateError:
            # On a full disk their space may be what the next attempt needs.
            self.discard(cut.cut)
            raise
        fresh = sorted([*written, *cut.prepared.values()], key=lambda entry: entry.key)
        dropped = {key: old.stores[key].files for key in cut.dropped if key in old.stores}
        if not (fresh or replace or cut.must_advance or dropped) and process is old.process:
            return []
        new_files = [file for entry in (*fresh, process) for file in _files_of(entry, cut.cut)]
        for file in new_files:
            self.directory.files.put_in_place(self.directory.path / file, what="state")
        for folder in {(self.directory.path / file).parent for file in new_files}:
            self.directory.files.sync_folder(folder, what="state")
        kept = {key: entry for key, entry in old.stores.items() if key not in dropped}
        stores = {**kept, **{entry.key: entry for entry in fresh}}
        new = Manifest(
            cut.cut,
            now,
            cut.last_id,
            cut.written_by,
            stores,
            process,
            cut.segment,
            cut.clock_us,
        )
        aside = self.manifest.files() if replace else set().union(*dropped.values())
        self._make_live(new, aside=aside)
        return [entry.key for entry in fresh]

    def prepare(
        self,
        key: StoreKey,
        graph: Graph,
        *,
        cut: Lsn,
        written_by: Mapping[str, str],
        replace: bool = False,
    ) -> Entry | None:
        """Write a store of a cut to come, for its ``Cut.prepared``; nothing live is touched.

        Args:
            key: The store.
            graph: Its state at the cut.
            cut: The cut that will be published.
            written_by: As the cut's.
            replace: As ``publish`` will be told.

        Returns:
            Its entry.  None = the live checkpoint has this state already; nothing
            was written.

        Raises:
            DurabilityError: It could not be written.

        Durability:
            When this returns, the content is on disk under a temporary name.
        """
        old = Manifest() if replace else self.manifest
        if not _is_changed(key, graph, old):
            return None
        entry = self._write_temporary(key, graph, cut, written_by, _now())
        rewriter = Rewriter(self.directory.path, self.directory.files, cut, apart=True)
        return _with_entries(entry, graph, old, rewriter)

    def discard(self, cut: Lsn) -> None:
        """Remove what was written under temporary names for a cut that will not be."""
        states = self.directory.path / manifests.STATES
        for path in states.glob(f"*/*/*.{cut}.state{TEMPORARY}"):
            self.directory.files.discard_temporary(path)
        for kind in (entries.DATABASE, entries.DOCUMENT, entries.DELTA):
            for path in self.directory.path.glob(f"*/*.{cut}{kind}{TEMPORARY}"):
                self.directory.files.discard_temporary(path)

    def keep_copies(self, module: str) -> None:
        """Give the live files of a service a second name in the quarantine folder."""
        mine = [entry.files for key, entry in self.manifest.stores.items() if key.module == module]
        for file in (*sorted(set().union(*mine)), manifests.NAME):
            self.directory.keep_copy(file)

    def blobs(self) -> set[str]:
        """The names of all blobs that the live checkpoint refers to.

        By one thread at a time, and not while something is published.

        Raises:
            CorruptionError: A live file cannot be read, so not all are known.
            FormatVersionError: The same.
        """
        live = self.manifest.files()
        self._blobs = {file: names for file, names in self._blobs.items() if file in live}
        states = {file for file in live if file.startswith(f"{manifests.STATES}/")}
        for file in sorted(states - self._blobs.keys()):
            path = self.directory.path / file
            try:
                self._blobs[file] = frozenset(blob.name for blob in statefile.blobs_of(path))
            except FileNotFoundError as error:
                raise _missing(path, error) from error
        return set().union(*self._blobs.values())

    def read(self, key: StoreKey) -> tuple[StateFile, Path]:
        """A store's live file, checked.

        Raises:
            CorruptionError: It is missing, or not what was written.
            NewerVersionError: A newer program wrote it.
        """
        entry = self.manifest.stores[key]
        state, path = self._read(entry)
        if not entry.entries:
            return state, path
        source = open_source(self.directory.path, key, entry.entries)
        return changed(state, source=source), path

    def source(self, key: StoreKey) -> Source | None:
        """The rows of a store's collections, as the live checkpoint has them; None = none.

        Raises:
            CorruptionError: A file of them is gone or damaged.
        """
        entry = self.manifest.stores.get(key)
        if entry is None or not entry.entries:
            return None
        return open_source(self.directory.path, key, entry.entries)

    def verify(self, key: StoreKey) -> None:
        """Read a store's live files, to see whether they are what was written.

        Raises:
            CorruptionError: One is gone or damaged.
            NewerVersionError: A newer program wrote it.
        """
        entry = self.manifest.stores[key]
        self._read(entry)
        for stored in entry.entries:
            entries.verify(self.directory.path, stored)

    def read_process(self) -> tuple[StateFile, Path] | None:
        """The file of what belongs to no store; None before the first checkpoint."""
        entry = self.manifest.process
        return None if entry is None else self._read(entry)

    def _read(self, entry: Entry) -> tuple[StateFile, Path]:
        path = self.directory.path / entry.file
        try:
            data = read_file(path, what="state file")
        except FileNotFoundError as error:
            raise _missing(path, error) from error
        state = statefile.decode(data, path=path)
        verify_entry(entry, state, data, path)
        refuse_newer(path, state.written_by, self.running)
        return state, path

    def _tidied(
        self, cut: Cut, old: Manifest, rewriter: Rewriter, written: set[StoreKey]
    ) -> list[Entry]:
        """Stores that did not change, with their rows in one base where they were in deltas."""
        found = []
        for key, entry in sorted(old.stores.items()):
            if key in written | cut.prepared.keys() | cut.dropped or not is_untidy(entry.entries):
                continue
            try:
                state, _ = self._read(entry)
            except StateError as error:
                # It is told when the store is loaded; nothing of it is lost by this.
                log.warning("%s stays as it is: %s", key, error)
                continue
            fresh = self._write_temporary(key, state.graph, cut.cut, state.written_by, _now())
            found.append(_with_entries(fresh, state.graph, old, rewriter))
        return found

    def _process(self, cut: Cut, old: Manifest, now: str) -> Entry:
        key, graph = cut.process
        if old.process is not None and old.process.digest == graph.digest:
            return old.process
        return self._write_temporary(key, graph, cut.cut, cut.written_by, now)

    def _write_temporary(
        self, key: StoreKey, graph: Graph, cut: Lsn, written_by: Mapping[str, str], now: str
    ) -> Entry:
        file = manifests.file_for(key, cut)
        data = statefile.encode(StateFile(key, cut, dict(written_by), graph))
        self.directory.files.write_temporary(self.directory.path / file, data, what="state")
        return Entry(
            key=key,
            file=file,
            bytes=len(data),
            checksum=blake2b(data, digest_size=16).hexdigest(),
            digest=graph.digest,
            cut=cut,
            saved_at=now,
            shares=graph.shares,
        )

    def _make_live(self, new: Manifest, *, aside: set[str]) -> None:
        old = self.manifest
        if aside:
            # First: once the new manifest is live, the next start would remove them.
            for file in (*sorted(aside), manifests.NAME):
                self.directory.keep_copy(file)
        manifests.publish(self.directory.files, self.directory.path, new)
        self.manifest = new
        for file in old.files() - new.files():
            try:
                self.directory.files.remove(self.directory.path / file, what="state")
            except DurabilityError as error:
                # The checkpoint is published; what is left is swept at the next start.
                log.warning("superseded file stays: %s", error)


def _missing(path: Path, error: OSError) -> CorruptionError:
    return CorruptionError(path, "state file", expected="a readable file", found=error.strerror)


def _with_entries(entry: Entry, graph: Graph, old: Manifest, rewriter: Rewriter) -> Entry:
    """The entry with the files of its collections' rows, written where they changed."""
    before = old.stores[entry.key].entries if entry.key in old.stores else ()
    return changed(entry, entries=rewriter.write(entry.key, graph, before))


def _files_of(entry: Entry, cut: Lsn) -> list[str]:
    """The files of an entry that were written for this cut."""
    if entry.cut != cut:
        return []
    written = [s.file for s in entry.entries if entries.cut_of(s.file) == cut]
    return [entry.file, *written]


def _is_changed(key: StoreKey, graph: Graph, old: Manifest) -> bool:
    """Whether the state of a store is not what the manifest's file holds."""
    return key not in old.stores or old.stores[key].digest != graph.digest


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def verify_entry(entry: Entry, state: StateFile, data: bytes, path: Path) -> None:
    """Whether a file is the one its manifest entry names.

    Raises:
        CorruptionError: It is a whole state file, but another one.
    """
    found = blake2b(data, digest_size=16).hexdigest()
    if found != entry.checksum:
        raise CorruptionError(path, "file checksum", expected=entry.checksum, found=found)
    if state.key != entry.key:
        raise CorruptionError(path, "store", expected=entry.key, found=state.key)
