"""``make crash-sweep``: moto's own tests, with a crash and a recovery after every call.

Of moto's tests some of every folder, evenly spread; after each request all stores are
dropped and come back from the last checkpoint and the journal behind it
(``crash_plugin``).  A test that fails is run again, plain and crashing: what fails in
plain moto as well says nothing.  Fails if a result differs, or a replayed call does.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import defaultdict
from pathlib import Path

from tests.coverage.moto_sweep import SAMPLE, Results, Runner

COUNT = 2000
WANTED_SHARE = 0.999
TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
SHARDS = 8


def choose(moto_dir: Path, count: int) -> list[str]:
    """The sample, and as many more tests as are wanted, evenly spread over the folders."""
    chosen = dict.fromkeys(SAMPLE.read_text().split("\n")[:-1])
    folders: dict[str, list[str]] = defaultdict(list)
    for file in sorted((moto_dir / "tests").rglob("test_*.py")):
        if file.name == "test_server.py":
            continue
        name = file.relative_to(moto_dir).as_posix()
        tests = [f"{name}::{test}" for test in TEST.findall(file.read_text())]
        folders[name.split("/")[1]] += [test for test in tests if test not in chosen]
    turn = 0
    while len(chosen) < count and any(turn < len(tests) for tests in folders.values()):
        for tests in folders.values():
            if turn < len(tests) and len(chosen) < count:
                # From both ends: neighbours in a file are alike.
                chosen[tests[turn // 2 if turn % 2 == 0 else -1 - turn // 2]] = None
        turn += 1
    return list(chosen)


def differing(crashed: Results, plain: Results) -> list[str]:
    """Tests that fail with crashes and not without."""
    return sorted(
        test
        for test, outcome in crashed.outcomes.items()
        if outcome == "failed" and plain.outcomes.get(test) != "failed"
    )


def main() -> int:
    """Run, compare, print; 0 if enough is the same and nothing diverged."""
    options = _options()
    started = time.monotonic()
    # The tests run in their own folder.
    moto, work = options.moto.resolve(), options.work.resolve()
    runner = Runner(moto, work, options.jobs, plugin="crash_plugin")
    tests = sorted(choose(moto, options.count))
    size = -(-len(tests) // SHARDS)
    shards = [tests[at : at + size] for at in range(0, len(tests), size)]
    crashed = runner.run(shards, plain=False)
    calls, crashes, diverged = crashed.calls, crashed.restarts, set(crashed.split)
    plain = Results()
    failed = [test for test, outcome in crashed.outcomes.items() if outcome == "failed"]
    if failed:
        plain = Runner(moto, work / "again", options.jobs).run([failed], plain=True)
        again = Runner(moto, work / "again", 1, plugin="crash_plugin").run([failed], plain=False)
        crashed.outcomes |= again.outcomes
        crashed.texts |= again.texts
    found = differing(crashed, plain)
    count = len(crashed.outcomes)
    print(f"{count} tests, {calls} calls, {crashes} crashes, {time.monotonic() - started:.0f} s")
    print(f"the same result: {1 - len(found) / max(1, count):.4%}; {len(found)} differ")
    for test in found:
        print(f"  {test}\n    {crashed.texts.get(test, '')[-300:]}")
    print(f"replayed calls that diverged, by call: {len(diverged)}")
    for each in sorted(diverged):
        print(f"  {each}")
    return int(1 - len(found) / max(1, count) < WANTED_SHARE)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--moto", type=Path, required=True, help="moto's source distribution")
    parser.add_argument("--work", type=Path, default=Path(".cache/crash-sweep"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--count", type=int, default=COUNT)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
