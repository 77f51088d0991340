"""A small sweep in every run of the tests: no sampled service is worse than the page says."""

from __future__ import annotations

import pytest
from tests.coverage import results
from tests.coverage.sweep_calls import Outcome, run_batch

from perdure.engine import coverage

# Protocols, global and regional stores, and shared objects; no slow ones.
SAMPLE = (
    "sqs",
    "sns",
    "kms",
    "ssm",
    "secretsmanager",
    "kinesis",
    "dynamodb",
    "events",
    "stepfunctions",
    "sts",
    "ecr",
    "route53",
)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """One sweep of the sample, on one server."""
    return run_batch(SAMPLE)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SAMPLE)
def test_a_service_did_not_get_worse(outcome: Outcome, name: str) -> None:
    """As many operations tried, changing and compared, and as many identical, as on the page."""
    assert results.worse(coverage.services()[name], outcome.results[name]) == []


def test_no_store_was_lost(outcome: Outcome) -> None:
    """No store of the sample could not be saved or had to be set aside."""
    assert outcome.troubled == []
