"""A fixed sample of the sweep that replays moto's own tests (``make replay-sweep``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.coverage.moto_sweep import SAMPLE
from tests.coverage.replay_sweep import Comparison, Runner
from tests.coverage.test_moto_sample import moto_dir

# Of the sample of the other sweep, so that the two together take their time.
EVERY = 30


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    """What the sample gave."""
    if not (moto_dir() / "tests").is_dir():
        pytest.skip("moto's tests are not there: `make moto-tests` downloads them")
    wanted = SAMPLE.read_text().split("\n")[:-1:EVERY]
    runner = Runner(moto_dir(), tmp_path_factory.mktemp("replay"))
    yield runner.compare([wanted])


@pytest.mark.timeout(600)
def test_replays_in_two_processes_and_orders_are_the_same(found: Comparison) -> None:
    """Every answer is the same to the byte, and every store at the end of each segment."""
    requests = sum(counts.requests for counts in found.services.values())
    assert found.differing == []
    assert requests > 100
    assert len(found.services) > 20


@pytest.mark.timeout(600)
def test_a_replay_answers_as_the_recorded_run_did(found: Comparison) -> None:
    """But for calls of tests that reach into moto, patch it or freeze the clock."""
    requests = sum(counts.requests for counts in found.services.values())
    assert sum(counts.as_recorded for counts in found.services.values()) > requests * 0.95
