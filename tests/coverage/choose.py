"""What the sweep over moto's tests leaves behind: the sample, and the table of reads.

An operation is a candidate for ``effects.json`` if it was seen to read at least
``READS_MIN`` times, never to change anything, and if its name says that it reads: one
that deletes may have found nothing to delete in all tests.  It gets in if a test of the sample
sees it read, too: what the table says is proven in every run of the tests.  So tests
are added to the sample, those that show most in least time, until all candidates are
seen or the time is used up.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READS_MIN = 2
READS = re.compile(
    r"\S+ (Admin)?(BatchCheck|BatchDescribe|BatchGet|Check|Compare|Decrypt|Describe|Detect|"
    r"Discover|Encrypt|Estimate|Evaluate|Filter|Get|Head|Is|List|Lookup|Query|ReEncrypt|Scan|"
    r"Search|Select|Sign|Simulate|TransactGet|Validate|Verify|View)([A-Z0-9]\w*)?"
)
# What no test may show: pages that wait in the store for their token.
PAGES = frozenset(
    {
        "cloudwatch ListMetrics",
        "efs DescribeFileSystems",
        "efs DescribeMountTargets",
        "resourcegroupstaggingapi GetResources",
        "resourcegroupstaggingapi GetTagKeys",
        "resourcegroupstaggingapi GetTagValues",
    }
)
SAMPLE_OF_A_FOLDER = 7
# Of one process, as the sweep measured them; two run the sample.
TEST_SECONDS_MAX = 5.0


@dataclass(slots=True)
class Seen:
    """What all processes saw operations do; a name is ``service Operation``."""

    reads: Counter[str] = field(default_factory=Counter)
    writes: set[str] = field(default_factory=set)
    misrouted: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    of_tests: dict[str, set[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add_test(self, row: Mapping[str, Any]) -> None:
        """One test's record."""
        self.of_tests[row["test"]] = set(row.get("reads", ()))
        self.seconds[row["test"]] = row.get("seconds", 0.0)

    def add_sums(self, sums: Mapping[str, Any]) -> None:
        """One process' sums."""
        for service, counts in sums.get("reads", {}).items():
            self.reads.update({f"{service} {name}": count for name, count in counts.items()})
        for service, names in sums.get("writes", {}).items():
            self.writes |= {f"{service} {name}" for name in names}
        self.misrouted |= set(sums.get("misrouted", ()))
        self.broken |= set(sums.get("broken", ()))

    def candidates(self) -> set[str]:
        """Operations that only read, as far as anybody has seen."""
        often = {name for name, count in self.reads.items() if count >= READS_MIN}
        return {name for name in often if READS.fullmatch(name)} - self.writes - PAGES


def base(passing: Iterable[str]) -> list[str]:
    """Some tests of every folder, evenly spread."""
    folders: dict[str, list[str]] = defaultdict(list)
    for test in sorted(passing):
        folders[test.split("/")[1]].append(test)
    chosen = []
    for tests in folders.values():
        step = max(1, len(tests) // SAMPLE_OF_A_FOLDER)
        chosen += tests[::step][:SAMPLE_OF_A_FOLDER]
    return chosen


def extend(sample: list[str], passing: Iterable[str], seen: Seen, *, seconds: float) -> list[str]:
    """The sample with tests that show what it does not, the cheapest first.

    Args:
        sample: What is chosen already.
        passing: What may be chosen.
        seen: What each test showed, and how long it took.
        seconds: How much longer the sample may take in one process.
    """
    missing = seen.candidates() - shown(sample, seen)
    quick = {t for t in passing if seen.seconds.get(t, TEST_SECONDS_MAX) < TEST_SECONDS_MAX}
    rest = {test: seen.of_tests.get(test, set()) & missing for test in quick - set(sample)}
    chosen = list(sample)
    while missing and seconds > 0:
        best = max(
            rest, key=lambda test: (len(rest[test]) / (0.1 + seen.seconds[test]), test), default=""
        )
        if not best or not rest[best]:
            break
        chosen.append(best)
        seconds -= seen.seconds[best]
        found = rest.pop(best)
        missing -= found
        rest = {test: names - found for test, names in rest.items() if names - found}
    return sorted(chosen)


def shown(sample: Iterable[str], seen: Seen) -> set[str]:
    """Operations that tests of the sample saw read."""
    return set().union(*(seen.of_tests.get(test, set()) for test in sample))


def write_table(path: Path, names: Iterable[str]) -> None:
    """Write ``effects.json``: a line per service."""
    rows: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        service, operation = name.split(" ", 1)
        rows[service].append(operation)
    lines = [f" {json.dumps(name)}: {json.dumps(found)}" for name, found in rows.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
