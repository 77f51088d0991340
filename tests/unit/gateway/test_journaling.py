"""What the journal's thread calls back does not end it, and when a checkpoint is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from perdure import config
from perdure.gateway import journaling as module
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


REASONS = ("records", "journal", "blobs", "seconds", "entries")


@pytest.mark.parametrize(
    ("what", "most"),
    [
        ("records", module.RECORDS_MAX),
        ("journal", module.JOURNAL_BYTES_MAX),
        ("blobs", module.BLOB_BYTES_MAX),
        ("seconds", module.REPLAY_SECONDS_MAX),
        ("entries", module.ENTRIES_MAX),
    ],
)
def test_a_checkpoint_is_due_for_each_reason(what: str, most: float) -> None:
    """Records, their bytes, bodies that only it lets go, the time of a replay, entries."""

    def is_due(amount: float) -> bool:
        amounts = dict.fromkeys(REASONS, 0.0) | {what: amount}
        recorder = SimpleNamespace(seconds=amounts["seconds"])
        engine: Any = SimpleNamespace(recorder=recorder, pending_entries=lambda: amounts["entries"])
        journaling = Journaling(config.load(), engine, lambda *_: None)
        journal: Any = SimpleNamespace(
            appended_lsn=max(1, amounts["records"]), bytes_since_retired=amounts["journal"]
        )
        journaling.journal = journal
        blobs: Any = SimpleNamespace(unswept_bytes=amounts["blobs"])
        directory: Any = SimpleNamespace()
        checkpointer: Any = SimpleNamespace(manifest=SimpleNamespace(cut=0, segment=1))
        journaling._directory, journaling._checkpointer = directory, checkpointer
        journaling._blobs = blobs
        return journaling.is_due()

    assert is_due(most)
    assert not is_due(most * 0.9)
