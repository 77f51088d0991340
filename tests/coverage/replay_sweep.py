"""Records moto's own tests, replays them in two fresh processes, and compares.

    python -m tests.coverage.replay_sweep --moto DIR                    all of moto's tests
    python -m tests.coverage.replay_sweep --moto DIR --only test_sqs    some folders or files

The two replays run in opposite orders and with different hash seeds, each from the
recording alone (pins, requests, what came through doors).  Every answer must be the same
to the byte, and every attribute of every store at the end of each segment.

Replay is compared with replay, not with the recorded run: moto's tests reach into moto,
patch it and freeze the clock, none of which a recording of calls can know.  What the
recorded run answered is counted beside it.

A segment (what lies between two resets of moto) is compared up to its first impure call;
calls from there on are counted apart.  So are calls that stop at a door in both replays:
while they were recorded their test had put something of its own in the door's place.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.coverage.moto_sweep import HERE, SHARD_SECONDS, TEST_SECONDS, environment, shards_of

WANTED_SHARE = 0.999
SHARDS = 8
SHOWN = 6
# How far around the first different byte.
AROUND = 60
HASH_SEEDS = (1, 2)


@dataclass(slots=True)
class Counts:
    """Of one service."""

    requests: int = 0
    same: int = 0
    impure: int = 0
    as_recorded: int = 0
    stores: int = 0
    same_stores: int = 0
    doors: int = 0
    stopped: int = 0


@dataclass(slots=True)
class Comparison:
    """Of all segments."""

    services: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    differing: list[str] = field(default_factory=list)
    # Operations that were impure, with the reasons.
    impure: Counter[str] = field(default_factory=Counter)
    # Those that a replay stopped, with the error.
    stopped: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    same_segments: int = 0

    def add(self, recorded: dict[str, Any], one: dict[str, Any], two: dict[str, Any]) -> None:
        """Compare one segment."""
        before = len(self.differing)
        self._answers(recorded, one["answers"], two["answers"])
        self._states(recorded["test"], one["states"], two["states"])
        self.segments += 1
        self.same_segments += before == len(self.differing)

    def _answers(self, recorded: dict[str, Any], one: list[str], two: list[str]) -> None:
        calls = recorded["calls"]
        for number, row in enumerate(calls):
            counts = self.services[row["call"]["service"]]
            operation = f"{row['call']['service']} {row['call']['operation']}"
            for reason in row["impure"]:
                self.impure[f"{operation}: {reason}"] += 1
            if number >= min(len(one), len(two)):
                counts.impure += 1
                continue
            error = _stopped(one[number])
            if error and error == _stopped(two[number]):
                counts.stopped += 1
                self.stopped[f"{operation}: {error}"] += 1
                continue
            counts.requests += 1
            counts.doors += bool(row["doors"])
            counts.as_recorded += row["seen"] == one[number]
            if one[number] == two[number]:
                counts.same += 1
            else:
                where = _difference(one[number], two[number])
                self.differing.append(f"answer  {operation}  {recorded['test']} #{number}\n{where}")

    def _states(self, test: str, one: dict[str, Any], two: dict[str, Any]) -> None:
        for key in sorted(one.keys() | two.keys()):
            counts = self.services[key.split("/")[1]]
            counts.stores += 1
            mine, other = one.get(key), two.get(key)
            if mine == other and mine is not None and "(error)" not in mine:
                counts.same_stores += 1
            elif mine is None or other is None:
                self.differing.append(f"state   {key}  {test}: only in one")
            else:
                names = [n for n in mine.keys() | other.keys() if mine.get(n) != other.get(n)]
                why = mine.get("(error)", "") or ", ".join(sorted(names))
                self.differing.append(f"state   {key}  {test}: {why}")


def _stopped(answer: str) -> str:
    text = answer.partition(" ")[2]
    return text if text.startswith(("DoorMismatchError", "EscapeError")) else ""


def _difference(one: str, two: str) -> str:
    """Both, around the first byte that differs; digests stand before the first blank."""
    one, two = one.partition(" ")[2], two.partition(" ")[2]
    at = next((n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), len(one))
    start = max(0, at - AROUND)
    return f"    {one[start : at + AROUND]!r}\n    {two[start : at + AROUND]!r}"


class Runner:
    """Runs the recording and the two replays of each part, one process at a time."""

    def __init__(self, moto_dir: Path, work: Path) -> None:
        self.moto_dir, self.work = moto_dir.resolve(), work.resolve()
        work.mkdir(parents=True, exist_ok=True)

    def record(self, tests: list[str], name: str, *, again: bool = True) -> Path:
        """Run moto's tests; their results do not matter here, only what they ask."""
        path = self.work / f"{name}.recording.jsonl"
        if path.exists() and not again:
            return path
        self._run(
            name,
            *("-m", "pytest", "-p", "replay_plugin", "-p", "no:cacheprovider", "-q"),
            *("--tb=no", "-W", "ignore", "-o", "addopts=", f"--timeout={TEST_SECONDS}"),
            *("--ignore-glob=**/test_server.py", "--continue-on-collection-errors"),
            *(f"--recording={path}", *tests),
            hash_seed=0,
        )
        return path

    def replay(self, recording: Path, name: str, number: int) -> Path:
        """In a fresh process; the second one backwards."""
        path = self.work / f"{name}.replay-{number}.jsonl"
        path.unlink(missing_ok=True)
        self._run(
            f"{name}.replay-{number}",
            *("-W", "ignore", str(HERE / "replay_segments.py"), str(recording), str(path)),
            *(["--reverse"] if number else []),
            hash_seed=HASH_SEEDS[number],
        )
        return path

    def _run(self, name: str, *arguments: str, hash_seed: int) -> None:
        with (self.work / f"{name}.log").open("w") as log:
            subprocess.run(
                [sys.executable, *arguments],
                cwd=self.moto_dir,
                env=environment(hash_seed),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=SHARD_SECONDS,
                check=False,
            )

    def compare(self, shards: Iterable[list[str]], *, again: bool = True) -> Comparison:
        """All of it."""
        found = Comparison()
        for number, tests in enumerate(shards):
            name = f"shard-{number}"
            recording = self.record(tests, name, again=again)
            replays = [self.replay(recording, name, order) for order in (0, 1)]
            compare_files(found, recording, *replays)
        return found


def compare_files(found: Comparison, recording: Path, one: Path, two: Path) -> None:
    """Compare what two replays of a recording gave."""
    replays = [
        {row["number"]: row for row in map(json.loads, path.read_text().splitlines())}
        for path in (one, two)
    ]
    for number, line in enumerate(recording.read_text().splitlines()):
        recorded = json.loads(line)
        missing = {"answers": [], "states": {"-/-/-": None}}
        found.add(recorded, *(replay.get(number, missing) for replay in replays))


def report(found: Comparison, *, seconds: float, shown: int = SHOWN) -> int:
    """Print it; 0 if enough is the same."""
    heads = ("requests", "same", "impure", "stopped", "doors", "stores", "same")
    print(f"{'service':28}" + "".join(f"{head:>9}" for head in heads))
    total = Counts()
    for name, counts in sorted(found.services.items()):
        print(_line(name, counts))
        for attribute in Counts.__slots__:
            setattr(total, attribute, getattr(total, attribute) + getattr(counts, attribute))
    print(_line("all", total))
    by_cause: dict[str, list[str]] = defaultdict(list)
    for each in found.differing:
        by_cause[" ".join(each.split()[:3])].append(each)
    for examples in by_cause.values():
        print(f"{len(examples)} x")
        for each in examples[:shown]:
            print(f"  {each}")
    for what, count in sorted(found.impure.items()):
        print(f"impure  {count:5}  {what}")
    for what, count in sorted(found.stopped.items()):
        print(f"stopped {count:5}  {what}")
    share = total.same / max(1, total.requests)
    state_share = total.same_stores / max(1, total.stores)
    recorded = total.as_recorded / max(1, total.requests)
    print(
        f"{found.segments} segments, {found.same_segments} wholly the same; "
        f"answers the same: {share:.4%} (as recorded: {recorded:.2%}); "
        f"stores the same: {state_share:.4%}; {seconds / 60:.1f} min"
    )
    return int(share < WANTED_SHARE or state_share < WANTED_SHARE or not total.requests)


def _line(name: str, counts: Counts) -> str:
    numbers = (counts.requests, counts.same, counts.impure, counts.stopped, counts.doors)
    return f"{name:28}" + "".join(
        f"{number:9}" for number in (*numbers, counts.stores, counts.same_stores)
    )


def main() -> int:
    """Record, replay twice, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--moto", type=Path, required=True, help="moto's source distribution")
    parser.add_argument("--work", type=Path, default=Path(".cache/replay-sweep"))
    parser.add_argument("--only", nargs="*", default=[], help="folders or files under tests/")
    parser.add_argument("--reuse-recording", action="store_true")
    parser.add_argument("--shards", type=int, default=SHARDS)
    parser.add_argument("--shown", type=int, default=SHOWN, help="examples of each divergence")
    options = parser.parse_args()
    started = time.monotonic()
    runner = Runner(options.moto, options.work)
    shards = shards_of(runner.moto_dir, options.only, 1 if options.only else options.shards)
    found = runner.compare(shards, again=not options.reuse_recording)
    return report(found, seconds=time.monotonic() - started, shown=options.shown)


if __name__ == "__main__":
    sys.exit(main())
