"""What the journal's thread calls back does not end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from perdure import config
from perdure.gateway.journaling import Journaling


class Waiting:
    """A journal whose last record is not durable yet."""

    appended_lsn, durable_lsn = 1, 0

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], object]] = []

    def when_durable(self, lsn: int, callback: Callable[[], object]) -> None:
        """Remember whom to call."""
        del lsn
        self.callbacks.append(callback)


def test_a_server_that_is_gone_is_not_told() -> None:
    """A record that becomes durable when the event loop is closed is no failure of the disk."""
    settings = config.load(overrides={"JOURNAL_SYNC": "always"})
    journal: Any = Waiting()
    journaling = Journaling(settings, None, lambda *_: None)  # type: ignore[arg-type]
    journaling.journal = journal

    async def wait() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(journaling.durable(), 0.01)

    asyncio.run(wait())
    (told,) = journal.callbacks
    told()
