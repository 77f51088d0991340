"""A fixed sample of the sweep over moto's own tests (``make moto-sweep`` runs them all)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.coverage.moto_sweep import ROOT, SAMPLE, Results, Runner, halves

from perdure.engine import effects

MEMORY_MB_MAX = 800
JOBS = 2


def moto_dir() -> Path:
    """Where ``make`` unpacked moto's tests."""
    return next(iter(sorted((ROOT / ".cache").glob("moto-*/tests"))), Path("none")).parent


@pytest.fixture(scope="module")
def wanted() -> list[str]:
    """The tests of the sample, in moto's order."""
    return SAMPLE.read_text().split("\n")[:-1]


@pytest.fixture(scope="module")
def swept(wanted: list[str], tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What the sample came to: each folder's tests in one of two processes."""
    if not (moto_dir() / "tests").is_dir():
        pytest.skip("moto's tests are not there: `make moto-tests` downloads them")
    return Runner(moto_dir(), tmp_path_factory.mktemp("sample"), JOBS).run(
        halves(wanted), plain=False
    )


@pytest.mark.timeout(900)
def test_motos_own_tests_pass_with_a_restart_after_every_call(
    wanted: list[str], swept: Results
) -> None:
    """Some tests of each service give moto's results though every store is loaded anew."""
    failed = {t: swept.texts[t] for t, o in swept.outcomes.items() if o != "passed"}
    assert failed == {}
    assert set(swept.outcomes) == set(wanted)
    assert swept.restarts > swept.calls * 0.9 > len(wanted)
    assert max(swept.memory_mb) < MEMORY_MB_MAX


@pytest.mark.timeout(900)
def test_no_operation_of_the_table_of_reads_changes_anything(swept: Results) -> None:
    """Stores, and what belongs to none, have the same digests before and after each."""
    assert swept.effects.broken == set()


@pytest.mark.timeout(900)
def test_every_row_of_the_table_of_reads_was_seen_to_read(swept: Results) -> None:
    """Each operation was answered well from stores that were there."""
    rows = {f"{name} {each}" for name, found in effects.reads().items() for each in found}
    assert rows - set(swept.effects.reads) == set()


@pytest.mark.timeout(900)
def test_a_route_names_what_moto_runs(swept: Results) -> None:
    """Where a REST request has a name without moto's router, it has the same with it."""
    assert swept.effects.misrouted == set()
