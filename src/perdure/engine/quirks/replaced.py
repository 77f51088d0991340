"""Attributes of moto's classes that a quirk replaces, with what stood there before.

Who replaces a method for its cost alone promises the same answers, state and random
numbers; with ``undone`` a test runs both and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NOTHING = object()


class Replaced:
    """What one quirk has replaced."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, str, Any]] = []
        # moto's own methods, by name.
        self.original: dict[str, Callable[..., Any]] = {}

    def put(self, owner: Any, name: str, ours: Any) -> None:
        """Set an attribute of a class or module, for good."""
        before = vars(owner).get(name, _NOTHING)
        self._rows.append((owner, name, before))
        if callable(before):
            self.original[name] = before
        setattr(owner, name, ours)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Run the body with moto as it comes; for tests."""
        # Not what was put: another quirk may have gone around it since.
        now = [(owner, name, vars(owner)[name]) for owner, name, _ in self._rows]
        for owner, name, before in self._rows:
            if before is _NOTHING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        try:
            yield
        finally:
            for owner, name, ours in now:
                setattr(owner, name, ours)
