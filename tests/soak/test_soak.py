"""The soak in short, and that it sees a loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.soak.soak import ACTORS, Options, soak

# A start under load, and its first calls, take seconds; the run itself is bounded in time.
pytestmark = pytest.mark.timeout(180)


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """After each of eight kills under eight clients all that was acknowledged is there."""
    result = soak(Options(kills=8, seconds=45, starting=0.5, clean_stop=False, folder=tmp_path))
    assert not result.failed, "what differs is printed above"
    assert result.kills >= 3, result.table()
    assert result.tally.services.keys() <= {kind.service for kind in ACTORS}
    assert len(result.tally.services) >= 12, result.table()
    assert result.tally.compared >= 100, result.table()


def test_a_loss_is_seen(tmp_path: Path) -> None:
    """A server that writes only at a stop loses calls, and the soak names what it lost."""
    given = {"seconds": 30, "services": 3, "strategy": "ON_SHUTDOWN", "folder": tmp_path}
    result = soak(Options(kills=2, early=0, starting=0, **given))
    assert result.lost
    assert (tmp_path / "at-kill").is_dir()
    assert "found    <gone>" in str(result.lost[0])
