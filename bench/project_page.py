"""What ``large``, ``growth`` and ``bodies`` found, as a chapter of the page.

Each is a command of its own, too long for every run; the page takes the last result along
with its date, and leaves out what was never run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tables import markdown_table, verdict

READY_RATIO_MAX = 1.2
KILLED_MORE_S = 2.0
FIRST_READ_MS = 50.0
STOP_S = 1.0
MEMORY_MORE_MB = 20.0
DISK_MB = 40.0
CHECKPOINT_SHARE = 0.03
SAME_MIN = 0.9
BODY_MB = 250.0
GET_SHARE = 0.5
FULL = "100000"
FIRST_READS = ("dynamodb_ms", "sqs_ms", "s3_ms", "ssm_ms", "logs_ms", "cloudwatch_ms")
LARGE = """\
## Large projects

`make bench-large`, {date}: as many DynamoDB items and SQS messages as the column says, and 1,000
objects of 1 KB; of parameters, log events and datapoints 10,000 at most. Column 0 is an empty
directory. Targets are those of 100,000 against column 0.

{table}
"""
GROWTH = """\
### What a call costs as its store grows

`make bench-growth`, {date}: processor milliseconds of a call, in process. *Rate kept* is the cost
at the smallest size by that at the largest; asked of SQS is {same} at least.

{table}
"""
BODIES = """\
### One object of {megabytes:,.0f} MB in parts

`make bench-bodies`, {date}: put, kill, start, get, range.

{table}
"""


def markdown(home: Path) -> str:
    """The chapter, of the results in a folder; empty if there are none."""
    parts: list[tuple[str, Callable[[Any], str]]] = [
        ("large", _large),
        ("growth", _growth),
        ("bodies", _bodies),
    ]
    found = [(home / f"{name}.json", render) for name, render in parts]
    return "\n".join(render(json.loads(p.read_text())) for p, render in found if p.exists())


def _large(found: Mapping[str, Any]) -> str:
    sizes = found["sizes"]
    judged = large_targets(sizes)
    rows = [["", *(f"{int(size):,}" for size in sizes), "target", ""]]
    for key, label in found["labels"].items():
        target, said = judged.get(key, ("", ""))
        figures = (f"{each[key]:,.2f}" if key in each else "" for each in sizes.values())
        rows.append([label, *figures, target, said])
    return LARGE.format(date=found["date"], table=markdown_table(rows))


def large_targets(sizes: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, str]]:
    """Target and verdict by figure; none where 0 or 100,000 was not measured."""
    if "0" not in sizes or FULL not in sizes:
        return {}
    empty, full = sizes["0"], sizes[FULL]
    limits = {
        "ready_s": (f"{READY_RATIO_MAX} x empty", READY_RATIO_MAX * empty["ready_s"]),
        "killed_ready_s": (
            f"{READY_RATIO_MAX} x empty + {KILLED_MORE_S:.0f} s",
            READY_RATIO_MAX * empty["ready_s"] + KILLED_MORE_S,
        ),
        "rss_mb": (f"empty + {MEMORY_MORE_MB:.0f}", empty["rss_mb"] + MEMORY_MORE_MB),
        "burst_stop_s": (f"{STOP_S:.0f}", STOP_S),
        "disk_mb": (f"{DISK_MB:.0f}", DISK_MB),
        "checkpoint_mb": (
            f"{CHECKPOINT_SHARE:.0%} of the disk",
            CHECKPOINT_SHARE * full["disk_mb"],
        ),
    }
    for key in FIRST_READS:
        limits[key] = (f"empty + {FIRST_READ_MS:.0f}", empty[key] + FIRST_READ_MS)
    return {
        key: (f"<= {text}", verdict(full[key], limit, at_least=False))
        for key, (text, limit) in limits.items()
    }


def _growth(found: Mapping[str, Any]) -> str:
    sizes, calls = found["sizes"], found["calls"]
    rows = [["", *(f"{size:,}" for size in sizes), "rate kept"]]
    for call, spent in calls.items():
        rows.append([call, *(f"{each:.3f}" for each in spent), f"{spent[0] / spent[-1]:.2f}"])
    return GROWTH.format(date=found["date"], same=SAME_MIN, table=markdown_table(rows))


def _bodies(found: Mapping[str, Any]) -> str:
    rows = [["", "", "target", ""]]
    peak = found["peak_mb"]
    said = verdict(peak, BODY_MB, at_least=False)
    rows.append(["memory at most, MB", f"{peak:,.0f}", f"<= {BODY_MB:.0f}", said])
    for name, rate in found["get_mb_per_s"].items():
        share = rate / found["read_mb_per_s"][name]
        said = verdict(share, GET_SHARE, at_least=True)
        rows.append(
            [f"{name}, of reading the files", f"{share:.2f}", f">= {GET_SHARE}", said],
        )
    return BODIES.format(
        date=found["date"], megabytes=found["megabytes"], table=markdown_table(rows)
    )
