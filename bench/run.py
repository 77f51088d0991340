"""``make bench``: Perdure beside moto_server and ministack, then beside itself.

Measured: time from spawn to health, idle memory, and nine calls a second on one
connection.  Perdure runs with persistence on, the peers in memory.  Then what the journal
costs: without it, with it, with 16 connections, with ``JOURNAL_SYNC=always``, and after a
kill.  How it is measured and which way it is biased stands in ``report.py`` and
``journal_page.py`` and at the top of docs/benchmarks.md, which ``--write`` renews; it
takes what ``make bench-stall`` found last along.  Results also go to ``.bench/``.

Run it with the interpreter Perdure is installed for::

    python bench/run.py                    # under eight minutes once the peers are installed
    python bench/run.py --quick            # does it work? figures are rough
    python bench/run.py --only journal     # without the peers
    python bench/run.py --only perdure --calls s3-put --rounds 30    # something to profile
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import sys
import time
from dataclasses import replace
from typing import Any

import calls
import journal
import journal_page
import measure
import peers
import project_page
import report
import stall
from measure import FULL, QUICK, Bench, Effort
from peers import HOME, PEERS, ROOT, Peer
from tables import text_table

PAGE = ROOT / "docs" / "benchmarks.md"
RESULT = HOME / "result.json"
JOURNAL = "journal"


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _options()
    effort = _effort(options)
    chosen = [peer for peer in PEERS if not options.only or peer.name in options.only]
    began = time.monotonic()
    HOME.mkdir(exist_ok=True)
    pythons = {peer: peers.python_of(peer, options.python) for peer in chosen}
    versions = {peer: peers.version_of(peer, python) for peer, python in pythons.items()}
    starts = measure.starts(pythons, effort.spawns) if effort.spawns else {}
    names = tuple(options.calls)
    benches = _load(pythons, names, effort) if chosen else {}
    wanted = not options.only or JOURNAL in options.only
    found = report.result(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        effort=effort,
        versions=versions,
        starts=starts,
        series={peer: bench.series for peer, bench in benches.items()},
        journal=journal.result(options.python, names, effort) if wanted else None,
    )
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    if chosen:
        print(text_table(report.rows(found)))
    if wanted:
        print(journal_page.text(found["journal"]))
    print(f"\n{time.monotonic() - began:.0f} s; details in {RESULT.relative_to(ROOT)}")
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(report.markdown(found, _last_stall(), project_page.markdown(HOME)))
        print(f"wrote {PAGE.relative_to(ROOT)}")


def _load(pythons: dict[Peer, str], names: tuple[str, ...], effort: Effort) -> dict[Peer, Bench]:
    """Run all servers side by side and load one at a time."""
    with contextlib.ExitStack() as stack:
        benches = {}
        for peer, python in pythons.items():
            server = stack.enter_context(peers.running(peer, python))
            print(f"{peer.name}: process {server.process.pid}, port {server.port}", flush=True)
            benches[peer] = Bench(server.port)
        measure.rounds(benches.values(), names, effort)
    return benches


def _last_stall() -> dict[str, Any] | None:
    if not stall.RESULT.exists():
        return None
    found: dict[str, Any] = json.loads(stall.RESULT.read_text())
    return found


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else FULL
    given = {"rounds": options.rounds, "spawns": options.spawns}
    return replace(effort, **{k: v for k, v in given.items() if v is not None})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a rough run, under a minute")
    parser.add_argument("--write", action="store_true", help="renew docs/benchmarks.md")
    parser.add_argument(
        "--only",
        action="append",
        choices=[*(peer.name for peer in PEERS), JOURNAL],
        help="a server, or what the journal costs; repeatable",
    )
    parser.add_argument("--calls", nargs="+", choices=calls.NAMES, default=calls.NAMES)
    parser.add_argument("--rounds", type=int, help="rounds of every call")
    parser.add_argument("--spawns", type=int, help="counted spawns; 0 skips start and memory")
    parser.add_argument("--python", default=sys.executable, help="what runs Perdure")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs all of it: the page's figures are of one run")
    return options


if __name__ == "__main__":
    main()
