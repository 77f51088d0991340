"""`perdure coverage` prints the data of the coverage page."""

import pytest

from perdure.engine import coverage

ROW = {
    "tried": 9,
    "succeeded": 8,
    "changed": 5,
    "reads": 4,
    "identical": 3,
    "killed": 4,
    "volatile": ["GetClock"],
    "different": ["GetOdd"],
    "not_implemented": 2,
}


@pytest.fixture
def swept(monkeypatch):
    """Two services were swept, one of them by moto's tests too."""
    about = {"date": "2026-01-02", "versions": {"moto": "5.2.5"}}
    tests = {"run": 30, "identical": 29, "operations": 7, "changed": 5}
    rows = {"sqs": {**ROW, "moto_tests": tests}, "lambda": dict(ROW)}
    data = {"sweeps": {"calls": about}, "services": rows}
    monkeypatch.setattr(coverage, "table", lambda: data)
    return data


def test_all_services_are_a_table_with_a_sum(perdure, swept):
    """Without a name every service is a row, the sum the last, with notes and versions."""
    found = perdure("coverage")

    assert found.code == 0
    lines = found.out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert rows["all"][:8] == ["18", "16", "10", "8", "6", "8", "2", "4"]
    assert "29 of 30" in found.out
    assert "Volatile: GetClock (unknown)." in found.out
    assert "Differs after a restart or a kill: GetOdd." in found.out
    assert "2026-01-02" in lines[-1]


def test_one_service_by_any_name(perdure, swept):
    """Moto's name means the service as its SDKs call it; its limits are told."""
    found = perdure("coverage", "awslambda")

    assert found.code == 0
    assert "Docker" in found.out
    assert "sqs" not in found.out


def test_json_is_the_data_with_the_limits(perdure, swept):
    """Scripts get numbers and lists as they stand in the data."""
    data = perdure("coverage", "lambda", "--json").data

    assert data["sweeps"] == swept["sweeps"]
    assert data["services"]["lambda"].items() >= ROW.items()
    assert data["services"]["lambda"]["limits"] == list(coverage.LIMITS["lambda"])


def test_a_service_nobody_knows_is_a_wrong_word(perdure, swept):
    """A misspelt name exits with 2 and is repeated."""
    found = perdure("coverage", "sqsx")

    assert (found.code, found.out) == (2, "")
    assert "sqsx" in found.err
