"""The result of a benchmark as a plain table, as JSON, and as a Markdown page."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import journal_page
from measure import SAMPLE_EVERY, Effort, Series, Start
from peers import MINISTACK, MOTO, PERDURE, Peer
from tables import markdown_table, number, verdict

RATIO_MIN = 4.0
PEER_MEAN_MIN, PEER_EACH_MIN = 1.0, 0.7
READY_S_MAX = 0.5
IDLE_MB_MAX = 80.0

BIAS = """\
**Bias first:** Perdure's authors wrote this benchmark, chose its nine calls, and tuned
Perdure while looking at it; nobody tuned the peers. Two choices work against Perdure: it
runs with persistence on, the peers keep everything in memory, and a faster server is
called more often and so carries more roles and parameters in later rounds. One works for
it: moto_server closes the connection after every answer, so its rates include a new TCP
connection a call, as they do for every client. One connection shows the cost of a call,
not the behaviour under many clients. Your calls, payloads and machine differ: run
`make bench`.
"""

METHOD = """\
- Every server is installed in a virtual environment of its own and spawned on 127.0.0.1
  with an empty environment; logs go to /dev/null. All are measured in the same run.
- Ready: from spawn until the health endpoint answers 200, asked every 2 ms; for Perdure
  also until it says that persistence is initialized. One uncounted spawn comes first;
  median of {spawns}, servers in turn, with a fresh state directory each time.
- Idle memory: RSS and PSS of the process and its children, a second after ready.
- Calls: prepared by botocore as boto3 would send them (1 KB objects, 256-byte messages,
  small items), then sent as bytes over one connection, kept open where the server keeps
  it. {rounds} rounds of up to {calls} calls or {seconds} s a call and server, first in
  turn rotated, after a warm-up; a rate is the median of the rounds. Time runs from the
  first byte sent to the last byte received.
- A queue is filled to 50 messages at most, so all servers see the same depths; received
  messages are deleted outside the time measured. Roles and parameters get a new name in
  each call.
- Every status is checked, and one answer in {sample} for its content.
- The client's own CPU per call is in `.bench/result.json`; it was {client_us} µs in the
  median.
"""


def machine() -> dict[str, Any]:
    """What the figures depend on, without names."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(memory_gb, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def result(
    *,
    date: str,
    effort: Effort,
    versions: Mapping[Peer, str],
    starts: Mapping[Peer, Start],
    series: Mapping[Peer, Mapping[str, Series]],
    journal: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything measured, as plain JSON."""
    return {
        "date": date,
        "machine": machine(),
        "effort": {
            "spawns": effort.spawns,
            "rounds": effort.rounds,
            "calls": effort.calls,
            "seconds": effort.seconds,
        },
        "servers": {
            peer.name: {
                "version": versions[peer],
                "note": peer.note,
                **_start(starts.get(peer)),
                "calls": {name: s.summary() for name, s in series.get(peer, {}).items()},
            }
            for peer in versions
        },
        "journal": journal,
    }


def _start(start: Start | None) -> dict[str, Any]:
    if start is None:
        return {}
    pss = start.memory.pss_mb
    return {
        "ready_s": round(median(start.ready_s), 3),
        "ready_s_each": [round(seconds, 3) for seconds in start.ready_s],
        "idle_rss_mb": round(start.memory.rss_mb, 1),
        "idle_pss_mb": None if pss is None else round(pss, 1),
    }


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The table: a heading, then one row a figure."""
    servers = found["servers"]
    ours = servers.get(PERDURE.name)
    others = [name for name in servers if name != PERDURE.name]
    heading = ["", *servers, *(f"perdure / {name}" for name in others if ours), "target", ""]
    table = [heading]

    def add(label: str, path: tuple[str, ...], form: str, target: str, limit: float) -> None:
        values = {name: _at(server, path) for name, server in servers.items()}
        if all(value is None for value in values.values()):
            return
        mine = values.get(PERDURE.name)
        ratios = {name: mine / values[name] for name in others if mine and values[name]}
        row = [label, *(number(value, form) for value in values.values())]
        if ours:
            row += [number(ratios.get(name), ".2f") for name in others]
        rate = path[0] == "calls"
        judged = ratios.get(MOTO.name) if rate else mine
        table.append([*row, target, verdict(judged, limit, at_least=rate) if target else ""])

    add("ready, s", ("ready_s",), ".3f", f"<= {READY_S_MAX} s", READY_S_MAX)
    add("idle RSS, MB", ("idle_rss_mb",), ".1f", f"< {IDLE_MB_MAX:.0f} MB", IDLE_MB_MAX)
    add("idle PSS, MB", ("idle_pss_mb",), ".1f", "", 0)
    names = next((server["calls"] for server in servers.values()), {})
    for name in names:
        path = ("calls", name, "calls_per_second")
        add(f"{name}, /s", path, ",.0f", f">= {RATIO_MIN:.0f} x moto_server", RATIO_MIN)
    if ours and names and MINISTACK.name in others:
        table += _beside_ministack(servers, others, names)
    return table


def _beside_ministack(
    servers: Mapping[str, Any], others: list[str], names: Iterable[str]
) -> list[list[str]]:
    """Mean and least of the calls' ratios to ministack, which keeps nothing on disk."""
    ratios = [
        _at(servers[PERDURE.name], path) / _at(servers[MINISTACK.name], path)
        for path in (("calls", name, "calls_per_second") for name in names)
    ]
    blank = [""] * len(servers)
    rows = []
    for label, value, limit in (
        ("calls, geometric mean", geometric_mean(ratios), PEER_MEAN_MIN),
        ("calls, the least", min(ratios), PEER_EACH_MIN),
    ):
        cells = [number(value, ".2f") if name == MINISTACK.name else "" for name in others]
        target = f">= {limit} x ministack"
        rows.append([label, *blank, *cells, target, verdict(value, limit, at_least=True)])
    return rows


def _at(tree: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = tree
    for key in path:
        value = value.get(key) if value else None
    return value


def markdown(found: Mapping[str, Any], stall: Mapping[str, Any] | None, projects: str) -> str:
    """The page ``docs/benchmarks.md``.

    Args:
        found: What ``result`` returned, of a whole run.
        stall: What ``make bench-stall`` wrote at some time; None = it was never run.
        projects: The chapter ``project_page.markdown`` made.
    """
    m = found["machine"]
    versions = "\n".join(
        f"- {name} {server['version']}: {server['note']}"
        for name, server in found["servers"].items()
    )
    method = METHOD.format(
        **found["effort"], sample=SAMPLE_EVERY, client_us=f"{_client_us(found):.0f}"
    )
    return f"""# Benchmarks

<!-- written by `python bench/run.py --write`; do not edit -->

{BIAS}
## Result

{markdown_table(rows(found))}

Calls are a second on one connection, higher is better; the other rows are better when lower.
A ratio is Perdure's figure divided by the peer's.

{journal_page.markdown(found["journal"], stall)}
{projects}
## Measured on

- {found["date"]}; {m["cores"]} cores ({m["processor"]}), {m["memory_gb"]} GB, {m["system"]}, \
Python {m["python"]}
{versions}

## Method

{method}"""


def _client_us(found: Mapping[str, Any]) -> float:
    return median(
        call["client_cpu_us_per_call"]
        for server in found["servers"].values()
        for call in server["calls"].values()
    )
