"""coverage.json is updated in parts, and never for the worse by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.coverage import results, sweep_calls
from tests.coverage.sweep_calls import Outcome

ROW = {
    "tried": 10,
    "succeeded": 9,
    "changed": 5,
    "reads": 4,
    "identical": 3,
    "killed": 3,
    "volatile": [],
    "different": ["GetOdd"],
    "not_implemented": 1,
}
ABOUT = {"date": "2026-01-01", "versions": {"moto": "5.2.5"}}
EMPTY: dict[str, Any] = {"sweeps": {}, "services": {}}


@pytest.mark.parametrize(
    "change",
    [{"tried": 9}, {"changed": 4}, {"reads": 3, "identical": 3}, {"identical": 2}, {"killed": 2}],
    ids=lambda change: next(iter(change)),
)
def test_less_of_anything_is_worse(change: dict[str, Any]) -> None:
    """Fewer tried, changing or compared, or a smaller share identical, is named."""
    assert results.worse(ROW, {**ROW, **change})


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tried": 11},
        {"reads": 8, "identical": 6, "killed": 6},
        {"identical": 4},
        {"succeeded": 1},
    ],
)
def test_as_much_or_more_is_not(change: dict[str, Any]) -> None:
    """The same share of more reads is no loss; a service never swept cannot get worse."""
    assert results.worse(ROW, {**ROW, **change}) == []
    assert results.worse({}, ROW) == []


def test_each_sweep_updates_its_own_part() -> None:
    """What moto's tests have shown survives a sweep of calls, and the other way round."""
    tests = {"run": 3, "identical": 3, "operations": 2, "changed": 1}
    table = results.update_calls(EMPTY, {"sqs": ROW}, ABOUT)
    table = results.update_moto_tests(table, {"sqs": tests, "s3": tests}, ABOUT)
    table = results.update_calls(table, {"sqs": {**ROW, "tried": 11}}, ABOUT)

    assert table["services"]["sqs"] == {**ROW, "tried": 11, "moto_tests": tests}
    assert table["services"]["s3"] == {"moto_tests": tests}
    assert set(table["sweeps"]) == {"calls", "moto_tests"}


def test_what_is_stored_is_loaded(tmp_path: Path) -> None:
    """A table goes to disk and back, a line per service."""
    path = tmp_path / "coverage.json"
    table = results.update_calls(EMPTY, {"sqs": ROW, "s3": ROW}, ABOUT)
    results.store(table, path)

    assert results.load(path) == table
    assert [line.split('"')[1] for line in path.read_text().splitlines()[3:5]] == ["s3", "sqs"]
    assert results.load(tmp_path / "none.json") == EMPTY


def test_a_worse_result_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It exits with 1 and names the service; --accept writes it."""
    path, page = tmp_path / "coverage.json", tmp_path / "docs/coverage.md"
    page.parent.mkdir()
    monkeypatch.setattr(results.load, "__defaults__", (path,))
    monkeypatch.setattr(results.store, "__defaults__", (path,))
    monkeypatch.setattr("perdure.engine.coverage.TABLE_PATH", path)
    monkeypatch.setattr(sweep_calls, "ROOT", tmp_path)
    sweep_calls.coverage.forget()
    try:
        assert sweep_calls.write(Outcome({"sqs": ROW}), accept=False) == 0
        good = path.read_text()
        worse = Outcome({"sqs": {**ROW, "changed": 1}})

        assert sweep_calls.write(worse, accept=False) == 1
        assert "worse: sqs: changed: 1 instead of 5" in capsys.readouterr().out
        assert path.read_text() == good
        assert sweep_calls.write(worse, accept=True) == 0
        assert results.load(path)["services"]["sqs"]["changed"] == 1
        assert "| sqs | 10 | 9 | 1 |" in page.read_text()
    finally:
        monkeypatch.undo()
        sweep_calls.coverage.forget()
