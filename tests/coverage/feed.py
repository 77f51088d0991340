"""What answers have told so far, so that later calls use real ids.

``CreateQueue`` answers ``QueueUrl``; ``SendMessage`` asks for one.  A value is
kept under its member's plain name, and where that says little (``Id``, ``Name``)
also under the name of what it stands in: ``Repository.name`` is ``repositoryname``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.coverage.words import GENERIC, kin, plain, words

VALUES_MAX = 12
TEXT_MAX = 2048
ARNS = "anyarn"
# They say nothing about what exists, and a page token used twice is an error.
NOT_KEPT = words(
    "nexttoken marker nextmarker paginationtoken requestid description message "
    "clienttoken clientrequesttoken idempotencytoken creatorrequestid nextpagetoken"
)
ANY_RESOURCE = words(
    "resourcearn resourceid resource resourceidentifier targetarn arn resourcename sourcearn"
)


class Feed:
    """Values by name.  Those a changing call answered come before those a read found."""

    def __init__(self) -> None:
        self._made: dict[str, list[Any]] = {}
        self._seen: dict[str, list[Any]] = {}

    def remember(self, document: Any, nouns: tuple[str, ...], *, made: bool) -> None:
        """Keep the values of an answer (or of what was asked for and granted)."""
        for name, value in _named(document, nouns):
            kept = (self._made if made else self._seen).setdefault(name, [])
            if value not in kept and len(kept) < VALUES_MAX:
                kept.append(value)

    def lend(self, name: str, other: Feed) -> None:
        """Take over what another feed has under a name; as no resource of this service."""
        self._seen.setdefault(name, []).extend(other.find_all(name))

    def find_all(self, name: str) -> list[Any]:
        """All values under a plain name, or under its kin if there are none."""
        for kin_name in kin(name, ()):
            values = [*self._made.get(kin_name, ()), *self._seen.get(kin_name, ())]
            if values:
                return values
        return []

    def find(
        self,
        member: str,
        nouns: tuple[str, ...],
        fits: Callable[[Any], bool],
        *,
        turn: int = 0,
    ) -> Any:
        """A value for a member, or None.

        Args:
            member: The member's name in the model.
            nouns: The structure it stands in and the operation's noun, plain.
            fits: Whether the model accepts a value.
            turn: Which of several to take.
        """
        for name in self._names(member, nouns):
            values = [*self._made.get(name, ()), *self._seen.get(name, ())]
            fitting = [value for value in values if fits(value)]
            if fitting:
                return fitting[turn % len(fitting)]
        return None

    def _names(self, member: str, nouns: tuple[str, ...]) -> Iterator[str]:
        yield from kin(member, nouns)
        if plain(member) in ANY_RESOURCE:
            yield ARNS


def _named(document: Any, nouns: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every value of a document with each name it is kept under."""
    if isinstance(document, list):
        for part in document:
            yield from _named(part, nouns)
        return
    if not isinstance(document, Mapping):
        return
    for member, value in document.items():
        name = plain(str(member))
        if isinstance(value, list) and value and not isinstance(value[0], Mapping | list):
            for part in value[:VALUES_MAX]:
                yield from _scalar(name, part, nouns)
        elif isinstance(value, Mapping | list):
            yield from _named(value, (name, *nouns[-1:]))
        else:
            yield from _scalar(name, value, nouns)


def _scalar(name: str, value: Any, nouns: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if name in NOT_KEPT or isinstance(value, bool) or not isinstance(value, str | int):
        return
    if isinstance(value, str) and not 0 < len(value) <= TEXT_MAX:
        return
    if isinstance(value, str) and value.startswith("arn:"):
        yield ARNS, value
    if name in GENERIC:
        for noun in nouns:
            yield noun + name, value
    else:
        yield name, value
