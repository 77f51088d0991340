"""Records whose blobs a power cut has taken.

A blob is synced before the records that name it are, but nothing says in which order a disk
gets what was not synced: a record may be there and its blob not, or not in full.  Such a
record was never durable, so it is a torn tail's first.  A blob of a record that was durable
is another matter: no crash explains what it lacks, and it is an error when it is needed.

Only blobs of records that may not have been durable are read, which are those of the last
``JOURNAL_SYNC_INTERVAL``; with ``never``, of all since a segment or checkpoint began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from perdure.errors import CorruptionError, StateError
from perdure.persistence.blobs import FOLDER as BLOBS
from perdure.persistence.blobs import Blob, BlobStore
from perdure.persistence.record import blobs_named
from perdure.persistence.segment import FOLDER, Record
from perdure.persistence.tail import Tail


def find_lost(
    tail: Tail, store: BlobStore, saved: Callable[[], Iterable[str]]
) -> tuple[Record, CorruptionError] | None:
    """The first record that never was durable and names a blob which is not there in full.

    Args:
        tail: What ``read_tail`` found.
        store: Where the blobs are.
        saved: The names of blobs that live state files refer to, which were durable;
            called if it matters.

    Raises:
        CorruptionError: A record is whole, and what it says is not of its format.
    """
    if not tail.count or not (tail.path / BLOBS).is_dir():
        return None
    # A segment is sealed once all in it is on disk.
    sealed = [live.end.next_lsn - 1 for live in tail.segments if live.end.is_sealed]
    durable = max(sealed, default=0)
    naming: list[tuple[Record, tuple[Blob, ...]]] = []
    for record in tail.records():
        durable = max(durable, record.durable)
        blobs = blobs_named(record.kind, record.payload, path=tail.path / FOLDER)
        if blobs:
            naming.append((record._replace(payload=b""), blobs))
    if not any(record.lsn > durable for record, _ in naming):
        return None
    return _find(naming, durable, store, _known(saved))


def _find(
    naming: list[tuple[Record, tuple[Blob, ...]]], durable: int, store: BlobStore, seen: set[str]
) -> tuple[Record, CorruptionError] | None:
    for record, blobs in naming:
        for blob in blobs:
            if record.lsn > durable and blob.name not in seen:
                try:
                    store.check(blob, content=True)
                except CorruptionError as error:
                    return record, error
            seen.add(blob.name)
    return None


def _known(saved: Callable[[], Iterable[str]]) -> set[str]:
    try:
        return set(saved())
    except StateError:
        return set()  # they are read, too; who loads the damaged file says so
