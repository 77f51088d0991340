"""The rows of one store at one checkpoint, to be read one by one.

Deltas are read at once, as they are small; a base by what is asked of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from perdure.errors import CorruptionError
from perdure.persistence import delta
from perdure.persistence.base import Base, open_base
from perdure.persistence.entries import DELTA, Collection, Row, Stored, total_of, verify
from perdure.persistence.keys import StoreKey


class Source:
    """A base with the deltas above it.  By one thread at a time."""

    def __init__(self, base: Base | None, rows: Iterable[Row]) -> None:
        """Take a base, and what changed above it, in order."""
        self._base = base
        # Collection -> (key, sub) -> the last row of it.
        self._above: dict[int, dict[tuple[str, str], Row]] = {}
        for row in rows:
            self._above.setdefault(row.collection, {})[row.key, row.sub] = row

    def close(self) -> None:
        """Let go of the files."""
        if self._base is not None:
            self._base.close()

    def get(self, collection: int, key: str, sub: str = "") -> Row | None:
        """The row of an entry; None = there is none."""
        above = self._above.get(collection, {}).get((key, sub))
        if above is not None:
            return None if above.value is None else above
        return None if self._base is None else self._base.get(collection, key, sub)

    def check(self, collection: Collection, path: Path) -> int:
        """Whether all rows of a collection are there; how many.

        Args:
            collection: As the store's state file has it.
            path: That file, for the error.

        Raises:
            CorruptionError: Rows are missing, or others are there.
        """
        rows = self.of_collection(collection.number)
        found = len(rows), total_of(rows)
        if found != (collection.size, collection.total):
            expected = collection.size, collection.total
            raise CorruptionError(
                path, f"entries of {collection.name}", expected=expected, found=found
            )
        return len(rows)

    def of_key(self, collection: int, key: str) -> list[Row]:
        """All rows of a key, in order."""
        above = self._above.get(collection, {})
        mine = [row for (first, _), row in above.items() if first == key]
        below = () if self._base is None else self._base.of_key(collection, key)
        return _in_order(mine, (row for row in below if (row.key, row.sub) not in above))

    def keys(self, collection: int) -> list[str]:
        """The keys of all rows, in no order; of a collection without subs."""
        above = self._above.get(collection, {})
        mine = [row.key for row in above.values() if row.value is not None]
        below = () if self._base is None else self._base.keys(collection)
        return mine + [key for key in below if (key, "") not in above]

    def following(self, collection: int, key: str, limit: int) -> list[Row]:
        """The first rows behind a key, in order of their keys; of a collection without subs."""
        above = self._above.get(collection, {})
        mine = sorted(row for row in above.values() if row.key > key and row.value is not None)[
            :limit
        ]
        if self._base is None:
            return mine
        # As many more as may be hidden by what lies above.
        below = self._base.following(collection, key, limit + len(above))
        rest = [row for row in below if (row.key, row.sub) not in above]
        return sorted(mine + rest)[:limit]

    def of_value(self, collection: int, value: bytes) -> list[Row]:
        """All rows of a collection that say just this, in order.  Looks at every row."""
        above = self._above.get(collection, {})
        mine = [row for row in above.values() if row.value == value]
        below = () if self._base is None else self._base.of_value(collection, value)
        return _in_order(mine, (row for row in below if (row.key, row.sub) not in above))

    def of_collection(self, collection: int) -> list[Row]:
        """All rows of a collection, in order."""
        above = self._above.get(collection, {})
        below = () if self._base is None else self._base.of_collection(collection)
        rest = (row for row in below if (row.key, row.sub) not in above)
        return _in_order(list(above.values()), rest)


def open_source(root: Path, key: StoreKey, files: tuple[Stored, ...]) -> Source:
    """Open a store's files.

    Args:
        root: The state directory.
        key: The store.
        files: A base, if there is one, then deltas, in order.

    Raises:
        CorruptionError: One is gone or damaged.
        FormatVersionError: One was written by a newer Perdure.
    """
    paths = [verify(root, stored) for stored in files]
    bases = [path for path in paths if not path.name.endswith(DELTA)]
    rows = [row for path in paths if path not in bases for row in delta.read(path, key)]
    return Source(open_base(bases[0], key) if bases else None, rows)


def _in_order(above: list[Row], below: Iterator[Row]) -> list[Row]:
    found = [row for row in above if row.value is not None]
    found.extend(below)
    found.sort(key=_place)
    return found


def _place(row: Row) -> tuple[int, int]:
    return row.part, row.place
