"""The root file: which state files are live, and at which cut.

``manifest.json`` is replaced as a whole (``files.publish``) after every file it
names is durable.  So a crash leaves the old manifest with all its files, or the
new one with all of its; files neither names are garbage of a checkpoint that did
not finish, and the next start removes them.

    {"manifest": {...}, "blake2b": "<of the inner object's canonical JSON>"}

Normative text: docs/on-disk-format.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from perdure.errors import CorruptionError, FormatVersionError, LostManifestError
from perdure.persistence import fields
from perdure.persistence.entries import Stored, stored_in, stored_out
from perdure.persistence.fields import Fields
from perdure.persistence.files import Files, read_file
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.statefile import Shares, shares_in

NAME = "manifest.json"
FORMAT = 1
BYTES_MAX = 256 << 20
NOTHING = Lsn(0)
STATES = "api_states"


@dataclass(frozen=True, slots=True)
class Entry:
    """One store's live file.

    Attributes:
        key: The store.
        file: Relative to the state directory.
        bytes: The file's size.
        checksum: BLAKE2b-128 of the whole file, hex.
        digest: Of the captured graph: what tells a changed store from an unchanged one.
        cut: When the store last changed; older than the manifest's if it did not since.
        saved_at: ISO 8601, UTC.
        shares: What it has in common with other stores.
        entries: The files of its collections' rows: a base, then deltas, in order.
    """

    key: StoreKey
    file: str
    bytes: int
    checksum: str
    digest: str
    cut: Lsn
    saved_at: str
    shares: Shares
    entries: tuple[Stored, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All its files, relative to the state directory."""
        return self.file, *(stored.file for stored in self.entries)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One checkpoint: a cut, and the files that hold it.

    ``segment`` is the first LSN of the journal's segment that was live at the cut, at
    most ``cut`` + 1; None = there was no journal.  So a journal that is gone is noticed.
    """

    cut: Lsn = NOTHING
    saved_at: str = ""
    last_id: int = 0
    written_by: Mapping[str, str] = field(default_factory=dict)
    stores: Mapping[StoreKey, Entry] = field(default_factory=dict)
    process: Entry | None = None
    segment: Lsn | None = None
    # The last clock any call had: none after it has an earlier one.  0 = not known.
    clock_us: int = 0

    @property
    def entries(self) -> list[Entry]:
        """The stores' entries, in order of account, service and region."""
        return sorted(self.stores.values(), key=lambda entry: str(entry.key))

    def files(self) -> set[str]:
        """Every file it names, relative to the state directory."""
        entries = [*self.stores.values(), *([self.process] if self.process else [])]
        return {file for entry in entries for file in entry.files}


def file_for(key: StoreKey, cut: Lsn) -> str:
    """Where a store's state at a cut stands, relative to the state directory."""
    return f"{STATES}/{key.account}/{key.module}/{key.region}.{cut}.state"


def publish(files: Files, state_dir: Path, manifest: Manifest) -> None:
    """Make a manifest the live one.

    Durability:
        When this returns, the checkpoint is what the next start finds.

    Raises:
        DurabilityError: The old manifest is still the live one.
    """
    inner = _out(manifest)
    text = json.dumps({"manifest": inner, "blake2b": _checksum(inner)}, indent=1)
    files.publish(state_dir / NAME, text.encode() + b"\n", what="manifest")


def read(state_dir: Path) -> Manifest:
    """The live manifest; an empty one before the first checkpoint.

    A directory gets its first manifest, which names nothing, when it is made.  So
    where there are state files and no manifest, it was lost.

    Raises:
        CorruptionError: It is not what was published.  Nothing else says which
            files are live, so nothing can be loaded.
        FormatVersionError: Written by a newer Perdure.
    """
    path = state_dir / NAME
    try:
        data = read_file(path, what="manifest", bytes_max=BYTES_MAX)
    except FileNotFoundError as error:
        if has_states(state_dir):
            raise LostManifestError(path) from error
        return Manifest()
    return fields.decode(data, path, "manifest", lambda document: _in(_verified(document)))


def has_states(state_dir: Path) -> bool:
    """Whether there is any state file, live or not."""
    return next((state_dir / STATES).glob("**/*.state"), None) is not None


def _verified(document: Fields) -> Fields:
    inner = Fields(document.values.get("manifest"), document.path, "manifest")
    found = inner.integer("format", least=1)
    if found > FORMAT:
        raise FormatVersionError(document.path, found=found, supported=FORMAT)
    expected, checksum = document.text("blake2b"), _checksum(inner.values)
    if expected != checksum:
        raise CorruptionError(document.path, "checksum", expected=expected, found=checksum)
    return inner


def _checksum(inner: Any) -> str:
    canonical = json.dumps(inner, sort_keys=True, separators=(",", ":"))
    return blake2b(canonical.encode(), digest_size=16).hexdigest()


def _out(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "cut": manifest.cut,
        "saved_at": manifest.saved_at,
        "last_id": manifest.last_id,
        "written_by": dict(manifest.written_by),
        "journal": None if manifest.segment is None else {"segment": manifest.segment},
        "clock_us": manifest.clock_us,
        "process": None if manifest.process is None else entry_out(manifest.process),
        "stores": [entry_out(entry) for entry in manifest.entries],
    }


def _in(inner: Fields) -> Manifest:
    cut = Lsn(inner.integer("cut"))
    entries = [entry_in(row) for row in inner.rows("stores")]
    process = None if inner.values.get("process", 0) is None else entry_in(inner.inner("process"))
    # Every checkpoint has one: without it, what belongs to no store would be taken for empty.
    if process is None and cut > NOTHING:
        raise inner.refusal("process", f"an entry, since there is a cut {cut}", None)
    stores = {entry.key: entry for entry in entries}
    # A row that another one hides, or one of a later cut, would have its file swept or
    # written over as nobody's.
    if len(stores) < len(entries):
        raise inner.refusal("stores", "each store once", inner.items("stores"))
    latest = max((entry.cut for entry in (*entries, *([process] if process else []))), default=cut)
    if latest > cut:
        raise inner.refusal("cut", f"at least {latest}, of one of its files", cut)
    return Manifest(
        cut=cut,
        saved_at=_saved_at(inner),
        last_id=inner.integer("last_id"),
        written_by=inner.texts("written_by"),
        process=process,
        stores=stores,
        segment=_segment(inner, cut),
        clock_us=inner.clock("clock_us") if "clock_us" in inner.values else 0,
    )


def _segment(inner: Fields, cut: Lsn) -> Lsn | None:
    """Which segment was live; a manifest from before there was a journal does not say."""
    if inner.values.get("journal") is None:
        return None
    journal = inner.inner("journal")
    found = journal.integer("segment", least=1)
    if found > cut + 1:
        raise journal.refusal("segment", f"at most {cut + 1}, behind the cut", found)
    return Lsn(found)


def _saved_at(row: Fields) -> str:
    """Empty in the first manifest, which is older than any save."""
    return row.moment("saved_at") if row.text("saved_at") else ""


def entry_out(entry: Entry) -> dict[str, Any]:
    """An entry as JSON has it."""
    return {
        "store": list(entry.key),
        "file": entry.file,
        "bytes": entry.bytes,
        "checksum": entry.checksum,
        "digest": entry.digest,
        "cut": entry.cut,
        "saved_at": entry.saved_at,
        "stores": sorted(list(key) for key in entry.shares.stores),
        "imports": sorted(entry.shares.imports),
        "exports": sorted(entry.shares.exports),
        **({"entries": stored_out(entry.entries)} if entry.entries else {}),
    }


def entry_in(row: Fields) -> Entry:
    """What ``entry_out`` made, checked; ``CorruptionError``."""
    key, cut, file = row.key("store"), Lsn(row.integer("cut")), row.text("file")
    if file != file_for(key, cut):
        raise row.refusal("file", file_for(key, cut), file)
    return Entry(
        key=key,
        file=file,
        bytes=row.integer("bytes"),
        checksum=row.text("checksum"),
        digest=row.text("digest"),
        cut=cut,
        saved_at=row.moment("saved_at"),
        shares=shares_in(row),
        entries=stored_in(row, key, cut),
    )
