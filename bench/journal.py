"""What the journal costs: Perdure beside itself, alternating in one run.

Four servers at the same time, of which one is loaded while the others idle:

- ``off``: no state directory, so nothing is kept; one connection.
- ``on``: a state directory, all else by default; one connection.
- ``on16``: the same, with 16 connections.
- ``always16``: ``JOURNAL_SYNC=always``, with 16 connections.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import measure
import peers
import recovery
from crowd import Crowd
from measure import Bench, Effort
from peers import FORGETFUL, PERDURE, SYNCED

CONNECTIONS = 16
MODES = {
    "off": (FORGETFUL, 1),
    "on": (PERDURE, 1),
    "on16": (PERDURE, CONNECTIONS),
    "always16": (SYNCED, CONNECTIONS),
}
# Of these, the quotient of each round, as both are measured side by side in it.
RATIOS = {
    "on / off": ("on", "off"),
    "on16 / on": ("on16", "on"),
    "always16 / on16": ("always16", "on16"),
}
SYNCS = 40
RECORD_BYTES = 1024


def result(python: str, names: tuple[str, ...], effort: Effort) -> dict[str, Any]:
    """Measure all of it.

    Args:
        python: What runs Perdure.
        names: Of the nine calls.
        effort: As for the peers.
    """
    with contextlib.ExitStack() as stack:
        benches = {}
        for mode, (peer, connections) in MODES.items():
            server = stack.enter_context(peers.running(peer, python))
            print(f"{mode}: process {server.process.pid}, port {server.port}", flush=True)
            one = connections == 1
            benches[mode] = (
                Bench(server.port) if one else Crowd(server.port, connections=connections)
            )
        measure.rounds(benches.values(), names, effort)
    return {
        "connections": CONNECTIONS,
        "fdatasync_us": round(_sync_seconds() * 1e6, 1),
        "calls": {name: _call(benches, name) for name in names},
        "recovery": recovery.measure(python, effort.records),
    }


def _call(benches: Mapping[str, Bench], name: str) -> dict[str, Any]:
    series = {mode: bench.series[name] for mode, bench in benches.items()}
    return {
        "servers": {mode: each.summary() for mode, each in series.items()},
        "ratios": {
            label: round(_ratio(series[over].rates, series[under].rates), 3)
            for label, (over, under) in RATIOS.items()
        },
    }


def _ratio(over: list[float], under: list[float]) -> float:
    return median(a / b for a, b in zip(over, under, strict=True))


def _sync_seconds() -> float:
    """What a record's way to this disk takes, median: without it ``always`` says nothing."""
    spent = []
    with tempfile.TemporaryFile(prefix="bench-") as file:
        os.posix_fallocate(file.fileno(), 0, SYNCS * RECORD_BYTES)
        os.fsync(file.fileno())
        for number in range(SYNCS):
            start = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * RECORD_BYTES, number * RECORD_BYTES)
            os.fdatasync(file.fileno())
            spent.append(time.perf_counter() - start)
    return median(spent)
