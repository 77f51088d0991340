"""Bases: the one file that holds all rows of a store, in the format its service has.

``entries.BASES`` says which; whoever reads or writes rows comes through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from perdure.persistence import database, document
from perdure.persistence.database import Database
from perdure.persistence.document import Document
from perdure.persistence.entries import DATABASE, Collection, Row
from perdure.persistence.files import temporary_of
from perdure.persistence.keys import StoreKey


class Base(Protocol):
    """A base that is read.  By one thread at a time."""

    def close(self) -> None:
        """Let go of the file."""

    def numbers(self) -> set[int]:
        """The collections in it."""

    def get(self, collection: int, key: str, sub: str) -> Row | None:
        """One row, or None."""

    def of_key(self, collection: int, key: str) -> Iterator[Row]:
        """The rows of a key, in no order."""

    def of_collection(self, collection: int) -> Iterator[Row]:
        """All rows of a collection, in no order."""

    def keys(self, collection: int) -> Iterator[str]:
        """The keys of all rows of a collection, in no order."""

    def of_value(self, collection: int, value: bytes) -> Iterator[Row]:
        """The rows of a collection that say just this, in no order."""

    def following(self, collection: int, key: str, limit: int) -> Iterator[Row]:
        """The first rows behind a key, in order of their keys."""


def open_base(path: Path, key: StoreKey) -> Base:
    """Open one whose checksum was verified.

    Raises:
        CorruptionError: It is no base of that store.
        FormatVersionError: Written by a newer Perdure.
        HostileStateError: It holds more than a base does.
    """
    return Database(path) if path.suffix == DATABASE else Document(path, key)


def merge(
    path: Path,
    older: Path | None,
    rows: Iterable[Row],
    collections: tuple[Collection, ...],
    key: StoreKey,
) -> None:
    """Make a new base: what an older one holds, changed by rows, in the collections that live.

    Args:
        path: What it will be called; it is made under that one's temporary name.
        older: The older one, verified; None = none.
        rows: What changed, in order.
        collections: Those whose rows are kept.
        key: The store.

    Durability:
        None of it is, before the caller has synced the file.

    Raises:
        CorruptionError: The older one is none.
        DurabilityError: It cannot be written.
        OSError: The same.
    """
    temporary = temporary_of(path)
    if path.suffix == DATABASE:
        database.merge(temporary, older, rows, collections)
    elif older is None:
        document.merge(temporary, None, rows, collections, key)
    else:
        with closing(Document(older, key)) as base:
            document.merge(temporary, base, rows, collections, key)
