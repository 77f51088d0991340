"""The chapter of large projects: each figure beside its target, and no more than was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

import project_page as page

EMPTY = {
    "stop_s": 0.2,
    "ready_s": 0.5,
    "rss_mb": 70.0,
    "dynamodb_ms": 100.0,
    "sqs_ms": 20.0,
    "s3_ms": 40.0,
    "ssm_ms": 30.0,
    "logs_ms": 30.0,
    "cloudwatch_ms": 30.0,
    "burst_stop_s": 0.3,
    "killed_ready_s": 1.0,
    "disk_mb": 0.1,
    "checkpoint_mb": 0.0,
}
WORSE = {
    "ready_s": 0.61,
    "rss_mb": 91.0,
    "dynamodb_ms": 151.0,
    "sqs_ms": 71.0,
    "s3_ms": 91.0,
    "ssm_ms": 81.0,
    "logs_ms": 81.0,
    "cloudwatch_ms": 81.0,
    "burst_stop_s": 1.1,
    "killed_ready_s": 2.7,
    "disk_mb": 41.0,
    "checkpoint_mb": 0.4,
}
FINE = {**EMPTY, "disk_mb": 10.0, "checkpoint_mb": 0.2, "killed_ready_s": 2.5}


def test_each_figure_is_held_to_its_target() -> None:
    """As good as asked is reached, a little worse is not; each target is of the empty one."""
    fine = page.large_targets({"0": EMPTY, "100000": FINE})
    assert {said for _, said in fine.values()} == {"reached"}
    for key, value in WORSE.items():
        said = page.large_targets({"0": EMPTY, "100000": {**FINE, key: value}})
        assert [name for name, (_, each) in said.items() if each != "reached"] == [key]


def test_without_both_ends_nothing_is_judged() -> None:
    """A target is relative to the empty directory, and asked of 100,000."""
    assert page.large_targets({"10000": FINE}) == page.large_targets({"0": EMPTY}) == {}


@pytest.mark.parametrize("name", ["large", "growth", "bodies"])
def test_what_was_measured_is_on_the_page(tmp_path: Path, name: str) -> None:
    """Each result makes its part, and none makes nothing."""
    results = {
        "large": {
            "date": "2026-01-02",
            "labels": dict.fromkeys(EMPTY, "a label"),
            "sizes": {"0": EMPTY, "100000": FINE},
        },
        "growth": {"date": "2026-01-02", "sizes": [0, 9], "calls": {"sqs send": [1.0, 2.0]}},
        "bodies": {
            "date": "2026-01-02",
            "megabytes": 2000.0,
            "peak_mb": 251.0,
            "get_mb_per_s": {"get, cached": 40.0},
            "read_mb_per_s": {"get, cached": 100.0},
        },
    }
    assert page.markdown(tmp_path) == ""
    (tmp_path / f"{name}.json").write_text(json.dumps(results[name]))
    found = page.markdown(tmp_path)
    assert f"bench-{name}`, 2026-01-02" in found
    expected = {"large": "100,000", "growth": "0.50", "bodies": "0.40"}
    assert expected[name] in found
    assert ("NOT reached" in found) == (name == "bodies")
