"""What names a store, and the values records are counted with."""

from __future__ import annotations

import re
from typing import NamedTuple, NewType

from perdure.errors import StateError

Lsn = NewType("Lsn", int)
"""A cut: the number of calls executed before it, dense, from 1.  0 = nothing yet."""

ExportId = NewType("ExportId", int)
"""Names one object for its life, so that stores can share it.  Never used twice."""

# A key becomes part of a path and may come from a stranger's manifest: no
# separators, no dots in front, nothing a file system folds.
_PART = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,62}")


class StoreKey(NamedTuple):
    """One service's state in one account and region (a partition for global services)."""

    module: str
    account: str
    region: str

    def __str__(self) -> str:
        return f"{self.account}/{self.module}/{self.region}"

    @classmethod
    def parse(cls, parts: object) -> StoreKey:
        """A key from three strings read from a file.

        Raises:
            StateError: Not three names that are safe in a path.
        """
        if (
            isinstance(parts, list | tuple)
            and len(parts) == 3  # noqa: PLR2004 - module, account, region
            and all(isinstance(p, str) and _PART.fullmatch(p) and ".." not in p for p in parts)
        ):
            return cls(*parts)
        raise StateError(f"not a store key: {parts!r}")
