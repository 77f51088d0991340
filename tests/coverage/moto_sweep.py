"""Runs moto's own tests twice and compares: plain, and through Perdure's engine.

In the second run every store a request touched is saved, dropped and loaded again
after that request (``moto_plugin.py``).  The results must be the same.

    python tests/coverage/moto_sweep.py                      all of moto's tests
    python tests/coverage/moto_sweep.py --only test_sqs      some folders or files
    python tests/coverage/moto_sweep.py --reuse-plain        keep the first run's results
    python tests/coverage/moto_sweep.py --reuse-swept        keep both runs' results
    python tests/coverage/moto_sweep.py --write-effects      choose the tests of ``make test``
                                                             and what effects.json says

The tests come with moto's source distribution (``make moto-sweep`` fetches it).
moto's own web server (``test_server.py``) is left out: Perdure does not use it.
Every test whose result differs must stand in ``moto_exceptions.toml`` with its
cause; the run fails otherwise, if fewer than 99.9 % are the same, or if many differ
only now and then.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore
import moto

if __package__:
    from tests.coverage.choose import Seen, base, extend, shown, write_table
else:
    from choose import Seen, base, extend, shown, write_table

from perdure import __version__
from perdure.engine import coverage, effects
from perdure.engine.services import all_services

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXCEPTIONS = HERE / "moto_exceptions.toml"
# The tests of the sweep that ``make test`` runs, every time the same.
SAMPLE = HERE / "moto_sample.txt"
# How much longer the sample may take for tests that show what only reads.
EFFECTS_SHARE = 0.8
# One test fills a table with 20,000 items, and every call writes and loads all of it.
TEST_SECONDS = 900
SHARD_SECONDS = 3600
SHARDS_PER_JOB = 4
AGAIN = 2
# Tests that differ once, and not when their file is run alone: by the clock, mostly.
UNSTEADY_MAX = 25
WANTED_SHARE = 0.999


@dataclass(slots=True)
class Results:
    """What one run of many processes gave."""

    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    restarts: int = 0
    memory_mb: list[int] = field(default_factory=list)
    # Plain containers that two stores of a service held: each has its own after a restart.
    split: set[str] = field(default_factory=set)
    operations: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    changing: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    effects: Seen = field(default_factory=Seen)

    def read(self, path: Path) -> None:
        """Add one process' records."""
        for line in path.read_text().splitlines() if path.exists() else ():
            row = json.loads(line)
            if "test" in row:
                self.outcomes[row["test"]] = row["outcome"]
                self.texts[row["test"]] = row["text"]
                self.effects.add_test(row)
            else:
                self._add(row["sums"])

    def _add(self, sums: dict[str, Any]) -> None:
        self.calls += sums.get("calls", 0)
        self.restarts += sums.get("restarts", 0)
        self.memory_mb.append(sums["memory_mb"])
        self.split |= set(sums.get("split", ()))
        for name, found in sums.get("operations", {}).items():
            self.operations[name] |= set(found)
        for name, found in sums.get("changing", {}).items():
            self.changing[name] |= set(found)
        self.effects.add_sums(sums.get("effects", {}))


class Runner:
    """Runs parts of moto's tests in processes of their own."""

    def __init__(self, moto_dir: Path, work: Path, jobs: int, plugin: str = "moto_plugin") -> None:
        self.moto_dir, self.work, self.jobs, self.plugin = moto_dir, work, jobs, plugin
        work.mkdir(parents=True, exist_ok=True)

    def run(self, shards: list[list[str]], *, plain: bool) -> Results:
        """Run every shard, ``jobs`` at a time."""
        name = "plain" if plain else "perdure"
        results = Results()
        with ThreadPoolExecutor(self.jobs) as pool:
            records = pool.map(
                lambda numbered: self._run_shard(numbered[1], name, numbered[0]),
                enumerate(shards),
            )
            for record in records:
                results.read(record)
        return results

    def kept(self) -> Results:
        """What the last run with restarts left behind."""
        results = Results()
        for record in sorted(self.work.glob("perdure-*.jsonl")):
            results.read(record)
        return results

    def _run_shard(self, tests: list[str], name: str, number: int) -> Path:
        record = self.work / f"{name}-{number}.jsonl"
        record.unlink(missing_ok=True)
        with (self.work / f"{name}-{number}.log").open("w") as log:
            try:
                subprocess.run(
                    self._command(tests, record, plain=name == "plain"),
                    cwd=self.moto_dir,
                    env=environment(hash_seed=number),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=SHARD_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                print(f"{name}-{number}: not done within {SHARD_SECONDS} s", file=sys.stderr)
        return record

    def _command(self, tests: list[str], record: Path, *, plain: bool) -> list[str]:
        return [
            *(sys.executable, "-m", "pytest", "-p", self.plugin, "-p", "no:cacheprovider"),
            *("-q", "--tb=short", "-W", "ignore", "-o", "addopts=", f"--timeout={TEST_SECONDS}"),
            *("--ignore-glob=**/test_server.py", "--continue-on-collection-errors"),
            f"--sweep-record={record}",
            *(["--sweep-plain"] if plain else []),
            *tests,
        ]


def environment(hash_seed: int = 0) -> dict[str, str]:
    """Of this process, without what a user may have set for AWS.

    Both runs of a shard have one hash seed, and each shard another.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MOTO_"))}
    return {
        **inherited,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(HERE)]),
        "PYTHONHASHSEED": str(hash_seed),
    }


def shards_of(moto_dir: Path, only: Iterable[str], count: int) -> list[list[str]]:
    """The test files in ``count`` parts of like size, each part's files in moto's order."""
    folder = moto_dir / "tests"
    chosen = [folder / name for name in only] or [folder]
    files = [
        file
        for path in chosen
        for file in (sorted(path.rglob("test_*.py")) if path.is_dir() else [path])
        if file.name != "test_server.py"
    ]
    sizes = [0] * count
    shards: list[list[str]] = [[] for _ in range(count)]
    for file in sorted(files, key=lambda file: -file.stat().st_size):
        least = sizes.index(min(sizes))
        sizes[least] += file.stat().st_size
        shards[least].append(str(file.relative_to(moto_dir)))
    return [sorted(shard) for shard in shards if shard]


def differing(plain: Results, swept: Results) -> list[str]:
    """Tests whose outcome is not the same in both runs."""
    tests = plain.outcomes.keys() | swept.outcomes.keys()
    return sorted(test for test in tests if plain.outcomes.get(test) != swept.outcomes.get(test))


def explained() -> dict[str, str]:
    """Every test that may differ, with its cause."""
    causes = tomllib.loads(EXCEPTIONS.read_text())["cause"]
    return {test: cause["reason"] for cause in causes for test in cause["tests"]}


def settle(runner: Runner, plain: Results, swept: Results) -> list[str]:
    """Run what differs again, both ways, away from other files' tests.

    Some of moto's tests depend on what ran before them, or on a second's rounding.
    """
    first = differing(plain, swept)
    # The records of the first run stay.
    runner = Runner(runner.moto_dir, runner.work / "again", runner.jobs)
    for _ in range(AGAIN):
        remaining = differing(plain, swept)
        if not remaining:
            break
        files: dict[str, list[str]] = defaultdict(list)
        for test in remaining:
            files[test.partition("::")[0]].append(test)
        shards = list(files.values())
        for results, is_plain in ((plain, True), (swept, False)):
            again = runner.run(shards, plain=is_plain)
            results.outcomes |= again.outcomes
            results.texts |= again.texts
    return [test for test in first if test not in differing(plain, swept)]


def write_effects(runner: Runner, plain: Results, swept: Results) -> None:
    """Choose the sample, run it forth and back, and write what stands: sample and table."""
    passing = [t for t, o in plain.outcomes.items() if o == swept.outcomes.get(t) == "passed"]
    sample = base(passing)
    seconds = EFFECTS_SHARE * sum(swept.effects.seconds[test] for test in sample)
    sample = extend(sample, passing, swept.effects, seconds=seconds)
    # One process knows them as the sweep does, two others in another order each.
    for shards in (halves(sample), halves(sample[::-1])):
        results = runner.run(shards, plain=False)
        depending = [test for test in sample if results.outcomes.get(test) != "passed"]
        print(f"not in the sample, for they depend on others: {depending}")
        sample = [test for test in sample if test not in depending]
        swept.effects.writes |= results.effects.writes
    SAMPLE.write_text("\n".join(sample) + "\n")
    table = swept.effects.candidates() & shown(sample, results.effects)
    write_table(effects.TABLE_PATH, table)
    print(f"{len(sample)} tests in the sample; {len(table)} operations only read")


def halves(tests: list[str]) -> list[list[str]]:
    """Two parts for two processes; each folder stays in one of them."""
    parts: list[list[str]] = [[], []]
    folders = sorted({test.split("/")[1] for test in tests})
    for test in tests:
        parts[folders.index(test.split("/")[1]) % 2].append(test)
    return parts


def main() -> int:
    """Run, compare, print, write; 0 if what differs is explained."""
    options = _options()
    runner = Runner(options.moto.resolve(), options.work.resolve(), options.jobs)
    shards = shards_of(runner.moto_dir, options.only, options.jobs * SHARDS_PER_JOB)
    started = time.monotonic()
    plain_file = runner.work / "plain.json"
    if (options.reuse_plain or options.reuse_swept) and plain_file.exists():
        plain = Results(outcomes=json.loads(plain_file.read_text()))
    else:
        plain = runner.run(shards, plain=True)
        plain_file.write_text(json.dumps(plain.outcomes, indent=0))
    swept = runner.kept() if options.reuse_swept else runner.run(shards, plain=False)
    if options.only:
        plain.outcomes = {t: o for t, o in plain.outcomes.items() if t in swept.outcomes}
    unsteady = settle(runner, plain, swept)
    if options.write_effects:
        sample_runner = Runner(runner.moto_dir, runner.work / "sample", 2)
        write_effects(sample_runner, plain, swept)
    if not options.only:
        write_coverage(plain, swept)
    return report(runner, plain, swept, unsteady, seconds=time.monotonic() - started)


def report(
    runner: Runner, plain: Results, swept: Results, unsteady: list[str], *, seconds: float
) -> int:
    """Print what was found; 0 if every difference has a cause and enough is the same."""
    known = explained()
    found = differing(plain, swept)
    unknown = [test for test in found if test not in known]
    share = 1 - len(found) / max(1, len(plain.outcomes))
    print(f"{len(plain.outcomes)} tests, {seconds / 60:.0f} min")
    (runner.work / "differing.json").write_text(
        json.dumps({test: swept.texts.get(test, "") for test in found}, indent=1)
    )
    print(f"{swept.calls} calls, after {swept.restarts} of them every touched store restarted")
    print(f"memory of the processes, MB: {sorted(swept.memory_mb)}")
    print(f"the same result: {share:.4%}; {len(found)} differ, {len(unsteady)} only once")
    for test in found:
        print(f"  {test}: {plain.outcomes.get(test)} -> {swept.outcomes.get(test)}")
        print(f"    {known.get(test, 'NOT EXPLAINED')}")
    for test in unsteady:
        print(f"  unsteady: {test}")
    for each in sorted(swept.effects.misrouted):
        print(f"  routed otherwise: {each}")
    for each in sorted(swept.effects.broken):
        print(f"  effects.json says it only reads: {each}")
    for each in sorted(swept.split):
        print(f"  held by two stores: {each}")
    wrong = swept.effects.misrouted | swept.effects.broken
    return int(bool(unknown or wrong) or share < WANTED_SHARE or len(unsteady) > UNSTEADY_MAX)


def service_of(test: str) -> str | None:
    """The public name of the service a test's folder is named after."""
    module = test.split("/")[1].removeprefix("test_")
    names = [service.name for service in all_services() if service.module == module]
    return min(names, key=lambda name: (name.replace("-", "") != module, name), default=None)


def by_service(plain: Results, swept: Results) -> dict[str, dict[str, int]]:
    """What the coverage page says of each service's tests."""
    tests: dict[str, list[bool]] = defaultdict(list)
    for test, outcome in plain.outcomes.items():
        name = service_of(test)
        if name is not None:
            tests[name].append(swept.outcomes.get(test) == outcome)
    names = {service.name for service in all_services()}
    return {
        name: {
            "run": len(tests[name]),
            "identical": sum(tests[name]),
            "operations": len(swept.operations[name]),
            "changed": len(swept.changing[name]),
        }
        for name in sorted((tests.keys() | swept.operations.keys()) & names)
    }


def write_coverage(plain: Results, swept: Results) -> None:
    """Put the figures into the coverage page."""
    import results

    about = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "versions": {
            "perdure": __version__,
            "moto": moto.__version__,
            "botocore": botocore.__version__,
        },
    }
    results.store(results.update_moto_tests(results.load(), by_service(plain, swept), about))
    coverage.forget()
    coverage.main()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--moto", type=Path, required=True, help="moto's source distribution")
    parser.add_argument("--work", type=Path, default=Path(".cache/moto-sweep"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", default=[], help="folders or files under tests/")
    parser.add_argument("--reuse-plain", action="store_true")
    parser.add_argument("--reuse-swept", action="store_true")
    parser.add_argument("--write-effects", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
