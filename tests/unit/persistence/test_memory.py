"""The bound on memory holds while a payload is read, and no longer."""

from __future__ import annotations

import resource

import pytest

from perdure.persistence import memory
from perdure.persistence.memory import bounded


def limit() -> int:
    return resource.getrlimit(resource.RLIMIT_AS)[0]


def test_what_goes_beyond_is_a_memory_error() -> None:
    """More than the room and the payload's multiple is refused; that much is not."""
    with bounded(1 << 20):
        assert len(bytearray(200 << 20)) == 200 << 20
        with pytest.raises(MemoryError):
            bytearray(2 << 30)
    assert len(bytearray(1 << 20)) == 1 << 20


def test_the_limit_is_taken_back() -> None:
    """After the block, and after an error in it, the process may grow as before."""
    before = limit()
    with bounded(0):
        assert 0 < limit() < 1 << 40
    with pytest.raises(KeyError), bounded(0):
        raise KeyError
    assert limit() == before


def test_a_lower_limit_stays() -> None:
    """Who runs the process with less memory is not given more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with bounded(0):
        low = limit()
        with bounded(1 << 40):
            assert limit() == low
    assert resource.getrlimit(resource.RLIMIT_AS) == (soft, hard)


def test_where_nothing_says_the_size_nothing_is_bounded(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without /proc the payload is read all the same."""
    monkeypatch.setattr(memory, "_STATM", tmp_path / "none")  # type: ignore[operator]
    before = limit()
    with bounded(0):
        assert limit() == before
