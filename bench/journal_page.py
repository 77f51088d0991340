"""What ``journal`` and ``stall`` found, as tables and as a chapter of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import geometric_mean
from typing import Any

from tables import markdown_table, number, text_table, verdict

WRITES = ("s3-put", "sqs-send", "dynamodb-put", "ssm-put")
KEPT_MIN = 0.9  # of the rate without a journal
SHARED_MIN = 0.8  # of the rate without waiting for the disk
REPLAYED_MIN = 1000.0  # records a second
RATES = ("off", "on", "on16", "always16")
RATIOS = ("on / off", "on16 / on", "always16 / on16")
HEADINGS = {
    "off": "no journal, /s",
    "on": "journal, /s",
    "on16": "journal, {n} connections, /s",
    "always16": "`always`, {n} connections, /s",
    "on / off": "journal / none",
    "on16 / on": "{n} connections / 1",
    "always16 / on16": "`always` / `interval`, {n} connections",
}
CHAPTER = """\
## What the journal costs

Perdure beside itself, alternating in one run. *No journal* is a server without a state directory;
*journal* is the default, which makes its checkpoints meanwhile; `always` is `JOURNAL_SYNC=always`,
where every answer waits until the disk has what it shows. A ratio is the median of the rounds'
ratios, as both sides of it are measured within a second or two of each other in each round.

{costs}

The four writes are S3 put, SQS send, DynamoDB put and SSM put: reads append nothing to wait for.
Writing and syncing 1 KB took {sync_us:,.0f} µs here (median): where a disk takes longer, `always`
costs more, and where it only says it has synced, nothing.
One thread of one process is all {n} clients, on the server's cores.

### Recovery after SIGKILL

{count:,} write calls of six services on one connection, kill, start again. *Checkpoints off* keeps
all in the journal, for the rate of replay; *default* is how long one waits. Both import the six
services on the way, as nothing has called them yet.

{recovery}
"""
STALL = """\
### Longest wait while a checkpoint runs

`make bench-stall`, {date}: {items:,} items, {rate:g} calls/s on {connections} connections; a call's
time runs from when it was due. *forked* is how it is; *in process* is for comparison.

{table}
"""


def costs(found: Mapping[str, Any]) -> list[list[str]]:
    """Rates and ratios: a heading, one row a call, then means, targets and verdicts."""
    n, calls = found["connections"], found["calls"]
    table = [["", *(HEADINGS[name].format(n=n) for name in (*RATES, *RATIOS))]]
    for name, call in calls.items():
        rates = [call["servers"][mode]["calls_per_second"] for mode in RATES]
        ratios = [call["ratios"][label] for label in RATIOS]
        table.append(
            [name, *(number(v, ",.0f") for v in rates), *(number(v, ".2f") for v in ratios)]
        )
    every = {label: mean(calls, calls, label) for label in RATIOS}
    writes = mean(calls, WRITES, RATIOS[2])
    blank = [""] * len(RATES)
    table += [
        ["geometric mean", *blank, *(number(v, ".2f") for v in every.values())],
        ["  of four writes", *blank, "", "", number(writes, ".2f")],
        ["target", *blank, f">= {KEPT_MIN}", "", f"writes >= {SHARED_MIN}"],
        [
            "",
            *blank,
            verdict(every[RATIOS[0]], KEPT_MIN, at_least=True),
            "",
            verdict(writes, SHARED_MIN, at_least=True),
        ],
    ]
    return table


def mean(calls: Mapping[str, Any], names: Iterable[str], label: str) -> float | None:
    """The geometric mean of a ratio over those calls that were measured."""
    values = [calls[name]["ratios"][label] for name in names if name in calls]
    return geometric_mean(values) if values else None


def recoveries(found: Mapping[str, Any]) -> list[list[str]]:
    """One column a mode; the target is the first one's."""
    modes = found["recovery"]
    rates = {mode: each["replayed"] / (each["replay_s"] or 1e-3) for mode, each in modes.items()}
    first = next(iter(modes))
    rows = [
        ("calls answered before the kill", "calls", ",d"),
        ("records replayed", "replayed", ",d"),
        ("replay, s", "replay_s", ".2f"),
    ]
    table = [["", *modes, "target", ""]]
    table += [
        [label, *(number(each[key], form) for each in modes.values()), "", ""]
        for label, key, form in rows
    ]
    judged = verdict(rates[first], REPLAYED_MIN, at_least=True)
    table.append(
        [
            "records a second",
            *(number(rate, ",.0f") for rate in rates.values()),
            f">= {REPLAYED_MIN:,.0f}",
            judged,
        ]
    )
    ready = [number(each["ready_s"], ".2f") for each in modes.values()]
    verdicts = [each["verdict"] for each in modes.values()]
    return [*table, ["spawn to ready, s", *ready, "", ""], ["journal", *verdicts, "", ""]]


def stalls(found: Mapping[str, Any]) -> list[list[str]]:
    """One column a way to capture, as ``stall`` wrote it."""
    rows = found["modes"]
    labels = next(iter(rows.values()))
    return [
        ["", *rows],
        *(
            [label.replace("_", " "), *(number(row[label], ",.1f") for row in rows.values())]
            for label in labels
        ),
    ]


def text(found: Mapping[str, Any]) -> str:
    """For a terminal."""
    return f"{text_table(costs(found))}\n\n{text_table(recoveries(found))}"


def markdown(found: Mapping[str, Any], stall: Mapping[str, Any] | None) -> str:
    """The chapter.

    Args:
        found: What ``journal.result`` returned.
        stall: What ``make bench-stall`` wrote at some time; None = it was never run.
    """
    chapter = CHAPTER.format(
        costs=markdown_table(costs(found)),
        sync_us=found["fdatasync_us"],
        n=found["connections"],
        count=next(iter(found["recovery"].values()))["calls"],
        recovery=markdown_table(recoveries(found)),
    )
    if stall is None:
        return chapter
    return f"{chapter}\n{STALL.format(**stall, table=markdown_table(stalls(stall)))}"
