"""A base: the rows of one store as a SQLite database that any tool can read.

    SELECT key, sub, value FROM entries WHERE name = 'users'

``entries`` is a view of what people ask for; the tables are ``collection`` and ``entry``.
A base is made under a temporary name, of the one before it and of rows that changed since,
and never written to again.  So it is opened ``immutable``: no lock, no journal, and whoever
has it open reads on after its name is gone.

It may come from a stranger.  Nothing but the schema made here is accepted, so no view or
trigger of theirs runs; and its rows are taken for what a digest says they are.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from perdure.errors import (
    CorruptionError,
    DurabilityError,
    FormatVersionError,
    HostileStateError,
)
from perdure.persistence.entries import Collection, Row, row_of, value_of
from perdure.persistence.files import CAUTIOUS

FORMAT = 1
# Marks the file as ours to tools that know it: "PRDU".
APPLICATION = 0x50524455
# A row of up to a quarter of a page stands in it, a longer one needs pages of its own: with
# SQLite's 4 KB an object of 1 KB took 4.5 KB.
PAGE_BYTES = 8192
# Up to here it is written without gaps, in memory; larger, when a quarter of it is gaps.
PACKED_BYTES = 64 << 20
SPARE_PAGES = 4
SCHEMA = {
    "collection": (
        "CREATE TABLE collection (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, "
        "name TEXT NOT NULL)"
    ),
    "entry": (
        "CREATE TABLE entry (collection INTEGER NOT NULL, key TEXT NOT NULL, sub TEXT NOT NULL, "
        "part INTEGER NOT NULL, place INTEGER NOT NULL, digest INTEGER NOT NULL, "
        "value TEXT NOT NULL, PRIMARY KEY (collection, key, sub)) WITHOUT ROWID"
    ),
    "entries": (
        "CREATE VIEW entries AS SELECT kind, name, key, sub, value FROM entry "
        "JOIN collection ON number = collection"
    ),
}
_COLUMNS = "collection, key, sub, part, place, value, digest"
TYPES = (int, str, str, int, int, str, int)


class Database:
    """A base that is read.  By one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open one whose checksum was verified.

        Raises:
            CorruptionError: It is no base.
            FormatVersionError: Written by a newer Perdure.
            HostileStateError: It holds more than a base does.
        """
        self.path = path
        # Not as text: a path may hold what a URI gives a meaning to.
        uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
        with _explained(path):
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            try:
                self._connection.execute("PRAGMA trusted_schema = OFF")
                _check_schema(self._connection, path)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def numbers(self) -> set[int]:
        """The collections in it."""
        with _explained(self.path):
            return {
                number for (number,) in self._connection.execute("SELECT number FROM collection")
            }

    def get(self, collection: int, key: str, sub: str) -> Row | None:
        """One row, or None."""
        return next(
            self._rows("collection = ? AND key = ? AND sub = ?", collection, key, sub), None
        )

    def of_key(self, collection: int, key: str) -> Iterator[Row]:
        """The rows of a key, in no order."""
        return self._rows("collection = ? AND key = ?", collection, key)

    def of_collection(self, collection: int) -> Iterator[Row]:
        """All rows of a collection, in no order."""
        return self._rows("collection = ?", collection)

    def following(self, collection: int, key: str, limit: int) -> Iterator[Row]:
        """The first rows behind a key, in order of their keys."""
        return self._rows("collection = ? AND key > ? ORDER BY key LIMIT ?", collection, key, limit)

    def keys(self, collection: int) -> Iterator[str]:
        """The keys of all rows of a collection, in no order."""
        query = "SELECT key FROM entry WHERE collection = ?"
        with _explained(self.path):
            for (key,) in self._connection.execute(query, (collection,)):
                if type(key) is not str:
                    raise CorruptionError(self.path, "entry", expected="a text", found=key)
                yield key

    def of_value(self, collection: int, value: bytes) -> Iterator[Row]:
        """The rows of a collection that say just this, in no order."""
        return self._rows("collection = ? AND value = ?", collection, value.decode())

    def _rows(self, condition: str, *values: object) -> Iterator[Row]:
        query = f"SELECT {_COLUMNS} FROM entry WHERE {condition}"  # noqa: S608 - no value in it
        with _explained(self.path):
            for found in self._connection.execute(query, values):
                # A column of SQLite takes any type.
                if tuple(map(type, found)) != TYPES:
                    raise CorruptionError(
                        self.path, "entry", expected="numbers and texts", found=found[:3]
                    )
                number, key, sub, part, place, value, digest = found
                row = row_of(number, key, sub, part, place, value.encode())
                if row.digest != digest:
                    raise CorruptionError(
                        self.path,
                        f"entry {key} {sub}",
                        expected=digest,
                        found=row.digest,
                    )
                yield row


def merge(
    temporary: Path, base: Path | None, rows: Iterable[Row], collections: Iterable[Collection]
) -> None:
    """Make a new base: what an older one holds, changed by rows, in the collections that live.

    Args:
        temporary: Where; made anew.
        base: The older one, verified; None = none.
        rows: What changed, in order.
        collections: Those whose rows are kept.

    Durability:
        None of it is, before the caller has synced the file.

    Raises:
        CorruptionError: The older one is none.
        OSError: It cannot be written.
    """
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | CAUTIOUS, 0o600)
        os.close(descriptor)
        if base is not None:
            shutil.copyfile(base, temporary)
        with (
            closing(sqlite3.connect(temporary, isolation_level=None)) as connection,
            _explained(temporary if base is None else base),
        ):
            _fill(connection, rows, list(collections), base)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _fill(
    connection: sqlite3.Connection,
    rows: Iterable[Row],
    collections: list[Collection],
    base: Path | None,
) -> None:
    run = connection.execute
    # Nobody reads it before it has its name, and a crash leaves a file that nobody wants.
    for setting in ("journal_mode = OFF", "synchronous = OFF", "trusted_schema = OFF"):
        run(f"PRAGMA {setting}")
    if base is None:
        run(f"PRAGMA page_size = {PAGE_BYTES}")
        run(f"PRAGMA application_id = {APPLICATION}")
        run(f"PRAGMA user_version = {FORMAT}")
        for statement in SCHEMA.values():
            run(statement)
    else:
        _check_schema(connection, base)
    run("BEGIN")
    run("DELETE FROM collection")
    connection.executemany(
        "INSERT INTO collection VALUES (?, ?, ?)", [each[:3] for each in collections]
    )
    if base is not None:
        run("DELETE FROM entry WHERE collection NOT IN (SELECT number FROM collection)")
    live = {each.number for each in collections}
    latest = {row[:3]: row for row in rows if row.collection in live}
    connection.executemany(
        "DELETE FROM entry WHERE collection = ? AND key = ? AND sub = ?",
        [place for place, row in latest.items() if row.value is None],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (*row[:5], row.digest, value_of(row).decode())
            for _, row in sorted(latest.items())
            if row.value is not None
        ),
    )
    run("COMMIT")
    _pack(connection)


def _pack(connection: sqlite3.Connection) -> None:
    """Fill the pages: rows that come in between leave a third of them empty."""
    (pages, size, free) = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "page_size", "freelist_count")
    )
    if pages * size <= PACKED_BYTES:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("VACUUM")
    elif free * SPARE_PAGES > pages:
        connection.execute("VACUUM")


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise FormatVersionError(path, found=version, supported=FORMAT)
    found = dict(
        connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    )
    if found != SCHEMA:
        other = sorted(name for name in found if found[name] != SCHEMA.get(name))
        raise HostileStateError(path, f"a schema of its own ({', '.join(map(str, other))[:80]})")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What SQLite says is wrong with a file that is damaged."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "disk" in str(error) and "malformed" not in str(error):
            raise DurabilityError(path, "entries.database", str(error)) from error
        raise CorruptionError(path, "entries", expected="a base", found=error) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise CorruptionError(path, "entries", expected="a base", found=error) from error
