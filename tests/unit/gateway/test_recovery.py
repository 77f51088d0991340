"""What a recovery reports: bounded, and in texts that every answer can carry."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perdure.engine.replaying import Divergence
from perdure.errors import RecoveryStoppedError
from perdure.gateway.recovery import DIVERGENCES_MAX, Recovery, _diverged, replay
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.record import MARK

KEY = StoreKey("sqs", "000000000000", "us-east-1")


def test_divergences_are_counted_and_the_first_kept() -> None:
    """A journal that diverges everywhere fills no memory, and is told to do so."""
    recovery = Recovery()
    for lsn in range(DIVERGENCES_MAX + 5):
        _diverged(Lsn(lsn), Divergence("sqs SendMessage", "a", "b", frozenset({KEY})), recovery)

    shown = recovery.to_json()
    assert (shown["verdict"], shown["divergence_count"]) == ("diverged", DIVERGENCES_MAX + 5)
    assert [row["lsn"] for row in shown["diverged"]] == list(range(DIVERGENCES_MAX))
    assert "LSN 0" in recovery.diverged[KEY]


def test_half_a_character_is_shown_escaped() -> None:
    """No text of a record or of moto keeps ``/health`` from being answered."""
    recovery = Recovery()
    _diverged(Lsn(1), Divergence("s \ud800", "é", "\udfff", frozenset({KEY})), recovery)

    text = json.dumps(recovery.to_json(), ensure_ascii=False).encode().decode()
    assert all(part in text for part in ("s \\\\ud800", "é", "\\\\udfff"))
    recovery.diverged[KEY].encode()


def test_a_stop_in_a_replay_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The exit code is that of a stop, so the log says how far it came and what it changed."""
    caplog.set_level("INFO")
    records = [SimpleNamespace(kind=MARK, lsn=Lsn(n)) for n in (1, 2, 3)]
    tail: Any = SimpleNamespace(records=lambda: iter(records), path=tmp_path)
    replayer: Any = None
    stops = iter([False, False, True])

    with pytest.raises(RecoveryStoppedError):
        replay(tail, replayer, Recovery(), strict=False, stop=lambda: next(stops))

    assert "stopped after 2 records were replayed; nothing on disk was changed" in caplog.text
