"""JSON documents of a state directory: of the types their format says, or damaged.

``perdure.json``, ``manifest.json`` and the headers of state files may come from a
stranger, whose checksums are right.  So no value is taken for another type
(``"1"``, ``true`` and ``1.0`` are no integers here), and whatever is wrong ends in
a ``CorruptionError`` that names the field, what it should be and what it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from perdure.errors import CorruptionError, StateError
from perdure.persistence.keys import StoreKey

# What 64 bits hold: a cut above it can never be counted up to.
INTEGER_MAX = 2**63 - 1
# The end of the year 9998, microseconds since 1970, UTC: ``datetime`` ends a year later, and
# a clock goes on from what was read.
CLOCK_US_MAX = 253_370_764_799_999_999
SHOWN_MAX = 80
Result = TypeVar("Result")


def decode(data: bytes, path: Path, what: str, build: Callable[[Fields], Result]) -> Result:
    """What ``build`` makes of a JSON object.

    Args:
        data: The document.
        path: Named in errors, never opened.
        what: The document in one word, in front of its fields' names in errors.
        build: Asks for the fields it wants.

    Raises:
        CorruptionError: It is no JSON object, or a field is not what it should be.
    """
    try:
        try:
            value = json.loads(data)
        except ValueError as error:
            raise CorruptionError(path, what, expected="JSON", found=error) from error
        return build(Fields(value, path, what))
    except RecursionError as error:
        # While it is parsed, or while a checksum is made of what was.
        raise CorruptionError(
            path, what, expected="a few levels of nesting", found="more than can be read"
        ) from error


class Fields:
    """A JSON object whose fields are asked for by name and type."""

    def __init__(self, value: object, path: Path, where: str) -> None:
        self.path, self.where = path, where
        if not isinstance(value, dict):
            raise CorruptionError(path, where, expected="an object", found=shown(value))
        self.values: dict[str, Any] = value

    def integer(self, name: str, *, least: int = 0) -> int:
        """A whole number from ``least`` to ``INTEGER_MAX``."""
        return self._integer(name, self.values.get(name), least)

    def clock(self, name: str) -> int:
        """A time that can be set: microseconds since 1970, UTC, before the year 9999."""
        found = self.integer(name)
        if found > CLOCK_US_MAX:
            raise self.refusal(name, "microseconds since 1970, before the year 9999", found)
        return found

    def integers(self, name: str) -> list[int]:
        """A list of whole numbers from 0."""
        return [self._integer(name, item) for item in self.items(name)]

    def text(self, name: str) -> str:
        """A string."""
        return self._text(name, self.values.get(name))

    def encodable(self, name: str) -> str:
        """A string that UTF-8 can hold.  JSON's escapes can name half of a character."""
        found = self.text(name)
        try:
            found.encode()
        except UnicodeEncodeError as error:
            raise self.refusal(name, "text without lone surrogates", found) from error
        return found

    def texts(self, name: str) -> dict[str, str]:
        """An object whose values are strings."""
        inner = self.inner(name)
        return {key: inner.text(key) for key in inner.values}

    def moment(self, name: str) -> str:
        """A string that is a date and time."""
        found = self.text(name)
        try:
            datetime.fromisoformat(found)
        except ValueError as error:
            raise self.refusal(name, "a time as ISO 8601 writes it", found) from error
        return found

    def items(self, name: str) -> list[Any]:
        """A list of anything."""
        found = self.values.get(name)
        if not isinstance(found, list):
            raise self.refusal(name, "a list", found)
        return found

    def inner(self, name: str) -> Fields:
        """An object."""
        return Fields(self.values.get(name), self.path, f"{self.where}.{name}")

    def rows(self, name: str) -> list[Fields]:
        """A list of objects."""
        where = f"{self.where}.{name}"
        return [
            Fields(row, self.path, f"{where}[{number}]")
            for number, row in enumerate(self.items(name))
        ]

    def key(self, name: str) -> StoreKey:
        """What names a store."""
        return self._key(name, self.values.get(name))

    def keys(self, name: str) -> list[StoreKey]:
        """A list of what names stores."""
        return [self._key(name, item) for item in self.items(name)]

    def refusal(self, name: str, expected: str, found: object) -> CorruptionError:
        """The error that says what a field should be and what it is."""
        is_missing = found is None and name not in self.values
        return CorruptionError(
            self.path,
            f"{self.where}.{name}",
            expected=expected,
            found="nothing" if is_missing else shown(found),
        )

    def _integer(self, name: str, value: object, least: int = 0) -> int:
        # By type: a bool is an int to Python.
        if type(value) is not int or not least <= value <= INTEGER_MAX:
            raise self.refusal(name, f"a whole number from {least}, below 2^63", value)
        return value

    def _text(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise self.refusal(name, "text", value)
        return value

    def _key(self, name: str, value: object) -> StoreKey:
        try:
            # One by one: what is nested is not shown, nor looked into.
            return StoreKey.parse([self._text(name, part) for part in _parts(value)])
        except StateError as error:
            raise self.refusal(name, "[module, account, region]", value) from error


def shown(value: object) -> str:
    """A value in an error: short, and never what is inside of it."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value)[:SHOWN_MAX]


def _parts(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
