"""A fixed sample of the sweep over moto's own tests (``make moto-sweep`` runs them all)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.coverage.moto_sweep import ROOT, SAMPLE, Runner

MEMORY_MB_MAX = 1200
JOBS = 2


def moto_dir() -> Path:
    """Where ``make`` unpacked moto's tests."""
    return next(iter(sorted((ROOT / ".cache").glob("moto-*/tests"))), Path("none")).parent


@pytest.mark.timeout(900)
def test_motos_own_tests_pass_with_a_restart_after_every_call(tmp_path: Path) -> None:
    """Some tests of each service give moto's results though every store is loaded anew."""
    if not (moto_dir() / "tests").is_dir():
        pytest.skip("moto's tests are not there: `make moto-tests` downloads them")
    wanted = SAMPLE.read_text().split("\n")[:-1]
    half = len(wanted) // JOBS

    swept = Runner(moto_dir(), tmp_path, JOBS).run([wanted[:half], wanted[half:]], plain=False)

    failed = {t: swept.texts[t] for t, o in swept.outcomes.items() if o != "passed"}
    assert failed == {}
    assert set(swept.outcomes) == set(wanted)
    assert swept.restarts > swept.calls * 0.9 > len(wanted)
    assert max(swept.memory_mb) < MEMORY_MB_MAX
