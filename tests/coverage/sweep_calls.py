"""Every operation of every service is called, the server restarted, every read compared.

    python -m tests.coverage.sweep_calls [--service NAME]... [--accept] [--report DIR]

A real ``perdure start`` with a state directory, boto3's clients over HTTP, an account
for each service.  Services are swept in batches, each with a server of its own:

    make; plan; read "before", "again" -> kill -> read -> restart -> read
    end;        read "ended", "again"  -> kill -> read -> restart -> read

The kill is a SIGKILL right behind the last call; what is read after it comes from the
journal and the checkpoints that happened to be made.  Behind a restart it comes from the
checkpoint of a clean stop.

Writes src/perdure/engine/coverage.json and docs/coverage.md, unless a service got
worse: then it names it and exits with 1.  ``--accept`` writes all the same.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import botocore.session
from tests.coverage import results
from tests.coverage.caller import Caller, Seen
from tests.coverage.feed import Feed
from tests.coverage.given import GIVEN, LEANS_ON, Lean
from tests.coverage.one_service import Difference, Ending, OneService
from tests.coverage.synthesis import Synthesis, filled
from tests.coverage.words import plain, verb_and_noun
from tests.integration.conftest import Server

from perdure.engine import coverage
from perdure.engine.services import all_services

BATCH = 10
# So that what changes with the clock, by the second, shows as volatile.
TICK_S = 1.1
# How often a read that advances something is called before it counts as volatile.
STEPS_MAX = 5
TROUBLE = " ERROR   perdure.gateway.lifecycle "
ROOT = Path(__file__).parents[2]


class SweptServer(Server):
    """A server process with the observer in it."""

    command = ("tests.coverage.host",)
    stop_seconds = 60


@dataclass(slots=True)
class Outcome:
    """What a batch came to."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=dict)
    slow: dict[str, dict[str, float]] = field(default_factory=dict)
    log: str = ""
    troubled: list[str] = field(default_factory=list)


def service_names() -> list[str]:
    """Every service, by the name its SDKs use."""
    return [service.name for service in all_services()]


def account_of(service: str) -> str:
    """Each service has an account of its own, the same in every sweep."""
    return f"{100_000_000_001 + service_names().index(service)}"


class Batch:
    """Services that share a server."""

    def __init__(self, names: Sequence[str], home: Path) -> None:
        source = f"{ROOT / 'src'}:{ROOT}"
        self.server = SweptServer(
            home,
            DATA_DIR=str(home / "state"),
            PYTHONPATH=source,
            # The same everywhere: no Docker, whatever this machine has.
            DOCKER_HOST="tcp://127.0.0.1:9",
        )
        self.session = botocore.session.get_session()
        self.names = names
        self.services: list[OneService] = []
        self.volatile: dict[str, set[str]] = {name: set() for name in names}

    def run(self) -> Outcome:
        """The whole way of a batch."""
        try:
            self.server.start()
            self.services = [self._begin(name) for name in self.names]
            for one in self.services:
                one.make()
                one.plan()
            self._compare("before")
            for one in self.services:
                one.end()
            self._compare("ended")
            return self._outcome()
        finally:
            for one in self.services:
                one.caller.close()
            self.server.close()

    def _begin(self, name: str) -> OneService:
        account = account_of(name)
        feed = Feed()
        connect = partial(self._connect, account)
        surroundings = Surroundings(name, account, feed, connect)
        synthesis = Synthesis(
            name,
            account,
            "us-east-1",
            feed,
            dt.datetime.now(dt.UTC).replace(microsecond=0),
            GIVEN.get(name, {}),
            surroundings.provide,
        )
        return OneService(name, synthesis, connect)

    def _connect(self, account: str, service: str) -> Caller:
        return Caller(self.session, service, url=self.server.url, account=account)

    def _compare(self, first: str) -> None:
        """Read until nothing moves, then compare that with what is read after each end."""
        second = f"{first}, again"
        began = time.monotonic()
        self._read(first)
        time.sleep(max(0.0, TICK_S - (time.monotonic() - began)))
        self._read(second, twice=True)
        self._settle(first, second)
        for ending in Ending:
            self.server.restart(ending.value)
            for one in self.services:
                one.reconnect()
            after = f"{first}, {ending.name}"
            self._read(after)
            for one in self.services:
                one.compare(second, after, ending)

    def _settle(self, first: str, second: str) -> None:
        """Read on where reads differ: what they create or advance comes to an end.

        A task that advances a step each time it is described is done after a few
        times; what still differs then is volatile.
        """
        unsettled = [one for one in self.services if one.find_volatile(first, second)]
        for one in unsettled:
            for _ in range(STEPS_MAX):
                one.read(first, only_volatile=True)
            one.read(first)
        time.sleep(TICK_S if unsettled else 0)
        for one in unsettled:
            one.read(second, twice=True)
            one.find_volatile(first, second)
            one.read(second, only_volatile=True)  # once more, parsed
            self.volatile[one.name] |= {r.operation for r in one.reads if r.volatile}

    def _read(self, moment: str, *, twice: bool = False) -> None:
        for one in self.services:
            one.read(moment, twice=twice)

    def _outcome(self) -> Outcome:
        outcome = Outcome()
        for one in self.services:
            outcome.results[one.name] = one.result(frozenset(self.volatile[one.name]))
            outcome.differences += one.differences
            outcome.slow[one.name] = one.caller.slow
            outcome.failures[one.name] = [
                f"{name}: {seen[-1].status} {seen[-1].why}"
                for name, seen in sorted(one.tried.items())
                if not any(s.succeeded for s in seen)
            ]
        outcome.log = self.server.log
        # Whatever could not be saved or loaded is said in the log, also of an earlier process.
        outcome.troubled = [line for line in outcome.log.splitlines() if TROUBLE in line]
        return outcome


class Surroundings:
    """What a service leans on, made or found in its account when first asked for."""

    def __init__(self, service: str, account: str, feed: Feed, connect: Any) -> None:
        self.service, self.account = service, account
        self.feed, self.connect = feed, connect
        self.asked: set[str] = set()

    def provide(self, names: Iterable[str]) -> bool:
        """Feed what other services have under one of these names; whether it did."""
        for name in names:
            row = LEANS_ON.get(name)
            if row is None or row.service == self.service or name in self.asked:
                continue
            self.asked.add(name)
            lean = filled(row, self.account, 0)
            caller = self.connect(lean.service)
            try:
                seen = caller.call(lean.operation, lean.parameters)
            finally:
                caller.close()
            if seen.succeeded:
                self._feed(name, lean, seen)
                return True
        return False

    def _feed(self, name: str, lean: Lean, seen: Seen) -> None:
        nouns = (verb_and_noun(lean.operation)[1],)
        found = Feed()
        found.remember(lean.parameters, nouns, made=False)
        found.remember(seen.parsed, nouns, made=True)
        if lean.same_as:
            found.remember({name: found.find_all(plain(lean.same_as))}, nouns, made=True)
        if lean.answer:
            found.remember({name: lean.answer}, nouns, made=True)
        self.feed.lend(name, found)


def sweep(names: Sequence[str], *, jobs: int = 1) -> Outcome:
    """Sweep these services, ``BATCH`` on a server, ``jobs`` servers at a time."""
    batches = [names[at : at + BATCH] for at in range(0, len(names), BATCH)]
    whole = Outcome()
    with ProcessPoolExecutor(jobs, max_tasks_per_child=1) as pool:
        for swept, part in zip(batches, pool.map(run_batch, batches), strict=True):
            whole.results |= part.results
            whole.differences += part.differences
            whole.failures |= part.failures
            whole.slow |= part.slow
            whole.log += part.log
            whole.troubled += part.troubled
            say(f"{', '.join(swept)}: {len(part.differences)} differences")
            for difference in part.differences:
                say(f"differs: {difference}")
    return whole


def run_batch(names: Sequence[str]) -> Outcome:
    """Sweep these services on one server."""
    with tempfile.TemporaryDirectory(prefix="perdure-sweep-") as home:
        return Batch(names, Path(home)).run()


def say(text: str) -> None:
    """A line of progress."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="coverage-sweep", description=__doc__)
    parser.add_argument("--service", action="append", choices=service_names(), metavar="NAME")
    parser.add_argument("--accept", action="store_true", help="write although a service got worse")
    parser.add_argument("--report", type=Path, help="a folder for differences and failures")
    parser.add_argument("--jobs", type=int, default=2, help="servers at a time")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    outcome = sweep(options.service or service_names(), jobs=options.jobs)
    if options.report:
        write_report(outcome, options.report)
    for name, row in outcome.results.items():
        say(f"{name}: {json.dumps(row)}")
    for line in outcome.troubled:
        say(f"trouble: {line}")
    say(f"{time.monotonic() - began:.0f} s")
    return write(outcome, accept=options.accept)


def write(outcome: Outcome, *, accept: bool) -> int:
    """Write table and page, unless a service got worse; the exit code."""
    table = results.load()
    worse = {
        name: why
        for name, row in outcome.results.items()
        if (why := results.worse(table["services"].get(name, {}), row))
    }
    for name, why in worse.items():
        say(f"worse: {name}: {'; '.join(why)}")
    if worse and not accept:
        say("nothing was written; --accept writes it all the same")
        return 1
    results.store(results.update_calls(table, outcome.results, about()))
    coverage.forget()
    (ROOT / "docs/coverage.md").write_text(coverage.page())
    return 0


def about() -> dict[str, Any]:
    """When the sweep was, and of what."""
    from importlib.metadata import version

    from perdure import __version__

    names = ("moto", "botocore")
    versions = {"perdure": __version__, **{name: version(name) for name in names}}
    return {"date": dt.datetime.now(dt.UTC).date().isoformat(), "versions": versions}


def write_report(outcome: Outcome, folder: Path) -> None:
    """Differences with both answers, and what failed with the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, d in enumerate(outcome.differences):
        text = f"{d.service} {d.operation} {d.parameters}\n{d.when}\n\n".encode()
        name = f"{number:03d}-{d.service}-{d.operation}.txt"
        (folder / name).write_bytes(text + d.before + b"\n\n-----\n\n" + d.after)
    (folder / "failures.json").write_text(json.dumps(outcome.failures, indent=1))
    (folder / "slow.json").write_text(json.dumps(outcome.slow, indent=1))
    (folder / "server.log").write_text(outcome.log)


if __name__ == "__main__":
    sys.exit(main())
