"""No test in here needs the real disk to sync."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _fast_disk(fast_disk: None) -> None:
    """Every test of this folder runs without the real fsync."""
