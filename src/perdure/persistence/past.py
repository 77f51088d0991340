"""The journal's segments that are full: which records they hold, until they are retired."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from perdure.errors import DurabilityError
from perdure.persistence.files import Files
from perdure.persistence.keys import Lsn
from perdure.persistence.segment import name_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Span:
    """Records ``first`` to ``following`` - 1, and how many bytes they take."""

    first: Lsn
    following: Lsn
    bytes: int

    def bytes_behind(self, cut: Lsn) -> int:
        """The share of the records behind a cut: they count alike."""
        behind = self.following - 1 - max(cut, self.first - 1)
        return self.bytes * behind // (self.following - self.first) if behind > 0 else 0


class Past:
    """Full segments in order; one thread adds, another retires."""

    def __init__(self, folder: Path, files: Files, retired: Lsn) -> None:
        self.retired = retired
        self._folder, self._files = folder, files
        self._lock = threading.Lock()
        self._spans: list[Span] = []

    def add(self, span: Span) -> None:
        """One more, behind all others."""
        with self._lock:
            self._spans.append(span)

    def bytes_behind(self, cut: Lsn, active: Span) -> int:
        """How many bytes records behind a cut take, with those of the active segment."""
        with self._lock:
            return sum(span.bytes_behind(cut) for span in (*self._spans, active))

    def retire(self, cut: Lsn, *, busy: Collection[Lsn]) -> None:
        """Unlink those that lie before a cut, the oldest first: what is left has no gap.

        Args:
            cut: Of a published checkpoint.
            busy: First LSNs of segments that are still written to.
        """
        with self._lock:
            self.retired = max(self.retired, cut)
            while self._spans:
                oldest = self._spans[0]
                if oldest.following > cut + 1 or oldest.first in busy:
                    return
                try:
                    self._files.remove(self._folder / name_of(oldest.first), what="journal")
                except DurabilityError as error:
                    # It is covered by the checkpoint, so it harms nothing; next time again.
                    log.warning("retired segment stays: %s", error)
                    return
                self._spans.pop(0)
