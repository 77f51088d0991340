"""The page says of the journal's costs what was measured, and judges it by the targets."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(BENCH))
    try:
        yield importlib.import_module("journal_page")
    finally:
        sys.path.remove(str(BENCH))
        for name in ("journal_page", "tables"):
            sys.modules.pop(name, None)


def call(kept: float, shared: float) -> dict[str, Any]:
    """A call at 1,000 a second without a journal."""
    rates = {"off": 1000.0, "on": 1000 * kept, "on16": 800.0, "always16": 800 * shared}
    return {
        "servers": {mode: {"calls_per_second": rate} for mode, rate in rates.items()},
        "ratios": {"on / off": kept, "on16 / on": 0.8 / kept, "always16 / on16": shared},
    }


def found(*, replayed: int = 5000, **calls: dict[str, Any]) -> dict[str, Any]:
    """What ``journal.result`` returns."""
    one = {
        "calls": 5000,
        "calls_s": 4.0,
        "replayed": replayed,
        "replay_s": 2.5,
        "ready_s": 3.0,
        "verdict": "clean",
    }
    return {
        "connections": 16,
        "fdatasync_us": 81.4,
        "calls": {name.replace("_", "-"): each for name, each in calls.items()},
        "recovery": {"checkpoints off": one, "default": {**one, "replayed": 900}},
    }


def test_kept_rate_is_judged_by_the_geometric_mean_of_all_calls(page):
    """One slow call does not fail it, nor does an arithmetic mean pass it."""
    slow = page.costs(found(s3_put=call(0.75, 1.0), s3_get=call(1.0, 1.0)))
    fast = page.costs(found(s3_put=call(0.85, 1.0), s3_get=call(1.0, 1.0)))

    assert slow[3][5] == "0.87"
    assert slow[-1][5] == "NOT reached"
    assert (fast[3][5], fast[-1][5]) == ("0.92", "reached")


def test_waiting_for_the_disk_is_judged_by_writes_alone(page):
    """A read waits for nothing; it must not make up for writes."""
    table = page.costs(found(s3_put=call(1.0, 0.7), s3_get=call(1.0, 2.0)))

    assert table[4][7] == "0.70"
    assert table[-1][7] == "NOT reached"


def test_without_a_write_nothing_is_judged(page):
    """A run of some calls only says so, and does not fail."""
    assert page.costs(found(s3_get=call(1.0, 1.0)))[-1][7] == "not measured"


@pytest.mark.parametrize(("replayed", "verdict"), [(2500, "reached"), (2400, "NOT reached")])
def test_replay_is_judged_by_the_journal_that_holds_all(page, replayed, verdict):
    """Records a second, of the run without checkpoints."""
    rows = {row[0]: row for row in page.recoveries(found(replayed=replayed))}

    assert rows["records a second"][-1] == verdict
    assert rows["spawn to ready, s"][1:3] == ["3.00", "3.00"]


def test_every_row_is_as_wide_as_its_heading(page):
    """Else a Markdown table loses its last cells in silence."""
    measured = found(s3_put=call(1.0, 1.0))

    for table in (page.costs(measured), page.recoveries(measured)):
        assert {len(row) for row in table} == {len(table[0])}


def test_stall_is_shown_only_if_it_was_measured(page):
    """The chapter says when, with how many items, and how long the longest wait was."""
    measured = found(s3_put=call(1.0, 1.0))
    modes = {"forked": {"during_longest_ms": 41.0}, "in process": {"during_longest_ms": 902.5}}
    stall = {"date": "2026-01-02", "items": 100_000, "rate": 200.0, "connections": 8}

    without = page.markdown(measured, None)
    chapter = page.markdown(measured, {**stall, "modes": modes})

    assert "Longest wait" not in without
    assert "took 81 µs" in without
    assert "2026-01-02: 100,000 items, 200 calls/s on 8 connections" in chapter
    assert "| during longest ms | 41.0 | 902.5 |" in chapter
