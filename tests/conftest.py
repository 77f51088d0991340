"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Skip the real fsync, where a test simulates what it would keep."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    yield
