"""Page tokens are the same in every process: a list begun before a stop ends after it.

moto puts ``hash()`` of the other parameters into a token, to refuse one that comes
with different parameters.  Texts hash differently in every process, and on Python
3.11 so does None; a token from before a restart would be refused as inconsistent.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from perdure.engine.imports import after_import

CHECKSUM_BYTES = 7  # so that it is exact as a number of JSON, too


def install() -> None:
    """Replace the checksum."""
    after_import("moto.utilities.paginator", _paginator)


def _paginator(module: Any) -> None:
    def checksum(paginator: Any) -> int:
        return checksum_of(paginator._param_values_to_check)

    module.Paginator._calculate_parameter_checksum = checksum


def checksum_of(parameters: Any) -> int:
    """A number for these parameters, the same in every process; never 0."""
    text = json.dumps(_plain(parameters), sort_keys=True)
    return 1 + int.from_bytes(blake2b(text.encode(), digest_size=CHECKSUM_BYTES).digest())


def _plain(value: Any) -> Any:
    """The value as lists and texts; as in moto, whatever is empty is nothing."""
    if not value:
        return None
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_plain(part), sort_keys=True) for part in value)
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, str | int | float | dt.datetime | dt.date):
        return repr(value)
    # The default text of an object is its address.
    return type(value).__qualname__
