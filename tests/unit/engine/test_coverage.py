"""The coverage page and its data."""

from __future__ import annotations

from pathlib import Path

from perdure.engine import coverage
from perdure.engine.limits import VOLATILE
from perdure.engine.services import all_services

PAGE = Path(__file__).parents[3] / "docs" / "coverage.md"


def test_the_page_in_the_repository_is_fresh() -> None:
    """docs/coverage.md is what the data says now; else run `make docs`."""
    assert PAGE.read_text() == coverage.page()


def test_every_service_was_swept() -> None:
    """Each service Perdure answers has a row, and no row is of another."""
    assert set(coverage.services()) == {service.name for service in all_services()}
    assert all("tried" in row for row in coverage.services().values())


def test_limits_are_of_services() -> None:
    """A limit in words stands under a name users know."""
    assert set(coverage.LIMITS) <= {service.name for service in all_services()}


def test_figures_add_up() -> None:
    """No service has more identical reads than reads, or more changes than attempts."""
    for name, row in coverage.services().items():
        same = min(row["identical"], row["killed"])
        assert row["reads"] - len(row["different"]) <= same <= row["reads"], name
        assert bool(row["different"]) == (same < row["reads"]), name
        assert row["changed"] <= row["succeeded"] <= row["tried"], name


def test_what_differs_is_named_on_the_page() -> None:
    """The page hides neither a volatile read nor a difference."""
    page = coverage.page()
    for name, row in coverage.services().items():
        for operation in (*row["volatile"], *row["different"]):
            assert any(
                operation in line for line in page.splitlines() if line.startswith(f"| {name} |")
            ), (name, operation)


def test_every_volatile_read_has_a_reason() -> None:
    """A read that differs without a restart is understood, or it is a fault."""
    for name, row in coverage.services().items():
        for operation in row["volatile"]:
            assert (name, operation) in VOLATILE


def test_health_is_small() -> None:
    """/health carries five numbers per service and nothing else."""
    for numbers in coverage.health().values():
        assert list(numbers) == ["tried", "changed", "reads", "identical", "killed"]
        assert all(type(number) is int for number in numbers.values())
