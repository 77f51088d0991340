"""The soak in short, and that it sees a loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.soak.soak import ACTORS, Options, soak

# A start under load, and its first calls, take seconds; the run itself is bounded in time.
pytestmark = pytest.mark.timeout(300)


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """After each of eight kills under eight clients all that was acknowledged is there."""
    given = {"seconds": 30, "early": 0.5, "starting": 0.5, "clean_stop": False}
    result = soak(Options(kills=8, folder=tmp_path, **given))
    assert not result.failed, "what differs is printed above"
    assert result.kills >= 2, result.table()
    assert result.tally.services.keys() == {kind.service for kind in ACTORS}
    assert result.tally.acknowledged >= 100, result.table()
    assert result.tally.compared >= 100, result.table()


def test_a_loss_is_seen(tmp_path: Path) -> None:
    """A server that writes only at a stop loses calls, and the soak names what it lost."""
    given = {"seconds": 30, "strategy": "ON_SHUTDOWN", "folder": tmp_path}
    result = soak(Options(kills=2, clients=2, services=3, early=0, starting=0, **given))
    assert result.lost
    assert (tmp_path / "at-kill").is_dir()
    assert "found    <gone>" in str(result.lost[0])
