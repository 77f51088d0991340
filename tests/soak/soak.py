"""Kill a busy server many times; compare what it holds with what it acknowledged.

    clients call -> SIGKILL -> perdure check -> (kills while it starts) -> start -> compare

Every client owns its resources (see ``model.py``), so what was acknowledged is known
exactly.  Three kinds of kills: while clients call, after all was compared; early, while
the first calls load the stores and the comparison is under way; while the server starts.

Run it with ``make soak``; ``ARGS="--kills 20 --seed 7"``.  ``SOAK_SAVE_STRATEGY``,
``SOAK_JOURNAL_SYNC`` and ``SOAK_CHECKPOINT_INTERVAL`` set what the server is started with.
It ends at the first round in which something is wrong, and keeps the state directory as
it was at the kill and as it is after the recovery.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnection
from tests.integration.conftest import Server, environment
from tests.soak import actors_apis, actors_control, actors_data, actors_queues, actors_stacks
from tests.soak.model import Actor, Difference, Tally
from tests.soak.settings import settings

ACTORS: list[type[Actor]] = [
    actors_data.S3,
    actors_queues.Sns,
    actors_queues.Sqs,
    actors_control.Ssm,
    actors_queues.Fifo,
    actors_control.Kms,
    actors_data.Dynamodb,
    actors_control.Iam,
    actors_apis.Lambda,
    actors_control.Events,
    actors_stacks.Cloudformation,
    actors_data.Kinesis,
    actors_stacks.Autoscaling,
    actors_data.Logs,
    actors_stacks.Stepfunctions,
    actors_control.Secretsmanager,
    actors_apis.Route53,
    actors_apis.Apigateway,
]
# What a client sees of a server that is killed, and of one that is not there.
CUT = (NoConnection, HTTPClientError, IncompleteReadError)
TIMEOUTS = {"connect_timeout": 2, "read_timeout": 30, "max_pool_connections": 16}
KILL_SECONDS = (0.05, 1.5)
STARTING_SECONDS = 0.6
COMPARE_SECONDS = 300
REPORT_EVERY = 10
STEPS_BEFORE = 2


@dataclass(frozen=True)
class Options:
    """What a run is asked to do."""

    kills: int = 300
    seconds: float = 3600
    seed: int = 1
    clients: int = 8
    services: int = 9  # of each client; together they are at all of them
    sync: str | None = None
    strategy: str | None = None
    checkpoint_interval: float = 0.5
    early: float = 0.25  # share of lives that end while stores are loaded
    starting: float = 0.25  # share of starts that are killed
    clean_stop: bool = True  # at the end, and compare once more
    folder: Path | None = None


@dataclass
class Result:
    """What a run found."""

    kills: int = 0
    kills_starting: int = 0
    kills_early: int = 0
    lost: list[Difference] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    ready_seconds: list[float] = field(default_factory=list)
    seconds: float = 0

    @property
    def failed(self) -> bool:
        return bool(self.lost or self.diverged or self.errors)

    def line(self) -> str:
        return (
            f"{self.kills:4} kills  {self.tally.acknowledged:6} acknowledged  "
            f"{self.tally.compared:7} compared  {len(self.lost)} lost  "
            f"{len(self.diverged)} diverged  {len(self.errors)} errors  {self.seconds:5.0f} s"
        )

    def table(self) -> str:
        tally, ready = self.tally, sorted(self.ready_seconds) or [0.0]
        rows = [
            ("kills", self.kills),
            ("  of them while the server started", self.kills_starting),
            ("  of them while stores were loaded", self.kills_early),
            ("calls acknowledged", tally.acknowledged),
            ("services", len(tally.services)),
            ("values compared", tally.compared),
            ("calls in flight kept", tally.in_flight_kept),
            ("calls in flight undone", tally.in_flight_undone),
            ("seconds to ready, median", f"{ready[len(ready) // 2]:.2f}"),
            ("seconds to ready, most", f"{ready[-1]:.2f}"),
            ("lost", len(self.lost)),
            ("diverged", len(self.diverged)),
            ("unexpected errors", len(self.errors)),
        ]
        return "\n".join(f"{name:36} {value:>8}" for name, value in rows)


class Client:
    """One thread's actors."""

    def __init__(self, number: int, actors: list[Actor], rng: random.Random) -> None:
        self.number, self.actors, self.rng = number, actors, rng

    def compare(self) -> list[Difference]:
        """Compare every actor that was not yet, on this server."""
        wrong = []
        for actor in self.rng.sample(self.actors, len(self.actors)):
            wrong += actor.check()
        return wrong

    def prepare(self) -> None:
        """Have something in every service, however slow the machine is."""
        for actor in self.actors:
            for _ in range(STEPS_BEFORE):
                actor.step()

    def work(self, end: threading.Event) -> None:
        while not end.is_set():
            self.rng.choice(self.actors).step()


class Life:
    """From one start of the server to its kill."""

    def __init__(self, clients: list[Client], *, first: bool = False) -> None:
        self.first = first
        self.killing = threading.Event()
        self.lost: list[Difference] = []
        self.errors: list[str] = []
        self._compared = {client.number: threading.Event() for client in clients}
        self._threads = [threading.Thread(target=self._run, args=[client]) for client in clients]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait_until_compared(self) -> None:
        deadline = time.monotonic() + COMPARE_SECONDS
        for number, event in self._compared.items():
            if not event.wait(max(0, deadline - time.monotonic())):
                self.errors.append(f"client {number}: not compared in {COMPARE_SECONDS} s")

    def end(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self, client: Client) -> None:
        where = f"client {client.number}"
        try:
            if self.first:
                client.prepare()
            else:
                self.lost += client.compare()
            self._compared[client.number].set()
            if not self.lost:
                client.work(self.killing)
        except CUT as error:
            if not self.killing.is_set():
                self.errors.append(f"{where}: {error!r}")
        except (BotoCoreError, ClientError, AssertionError, LookupError, TypeError, ValueError):
            self.errors.append(f"{where}: {traceback.format_exc()}")
        finally:
            self._compared[client.number].set()


class Soak:
    """A run: a server, its state directory, clients with their models."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.state = folder / "state"
        self.rng = random.Random(f"{options.seed}/kills")
        self.result = Result()
        asked = {"JOURNAL_SYNC": options.sync, "SNAPSHOT_SAVE_STRATEGY": options.strategy}
        env = settings(CHECKPOINT_INTERVAL=str(options.checkpoint_interval))
        env |= {name: value for name, value in asked.items() if value}
        self.server = Server(folder / "home", DATA_DIR=str(self.state), **env)
        self.clients = [self._client(number) for number in range(options.clients)]
        # boto3 makes clients in one thread only; they are used in all.
        for service in {"ec2", "iam", *(actor.service for actor in ACTORS)}:
            self.server.client(service, **TIMEOUTS)

    def _client(self, number: int) -> Client:
        rng = random.Random(f"{self.options.seed}/{number}")
        first = number * self.options.services
        kinds = [ACTORS[(first + n) % len(ACTORS)] for n in range(self.options.services)]
        actors = [
            kind(self._call, number, random.Random(f"{rng.random()}"), self.result.tally)
            for kind in kinds
        ]
        return Client(number, actors, rng)

    def _call(self, service: str, operation: str, **parameters: Any) -> Any:
        return getattr(self.server.client(service, **TIMEOUTS), operation)(**parameters)

    def run(self) -> Result:
        """Kill and compare until it is enough, or something is wrong."""
        began = time.monotonic()
        reported = 0
        try:
            self._start()
            while not self._is_enough(began):
                self._life()
                self.result.seconds = time.monotonic() - began
                if self.result.kills >= reported + REPORT_EVERY:
                    print(self.result.line(), flush=True)
                    reported = self.result.kills
            if not self.result.failed:
                self._last_life()
        except AssertionError as error:  # the server did not start, or ended by itself
            self.result.errors.append(str(error))
        finally:
            self.server.close()
            self.result.seconds = time.monotonic() - began
        return self.result

    def _is_enough(self, began: float) -> bool:
        late = time.monotonic() - began > self.options.seconds
        return self.result.failed or late or self.result.kills >= self.options.kills

    def _start(self) -> None:
        began = time.monotonic()
        self.server.start()
        self.result.ready_seconds.append(time.monotonic() - began)

    def _life(self) -> None:
        first = self.result.kills == 0
        life = Life(self.clients, first=first)
        early = self.rng.random() < self.options.early and not first
        pause = self.rng.uniform(*KILL_SECONDS)
        life.begin()
        if not early:
            life.wait_until_compared()
            self._look_at_health()
        time.sleep(pause)
        life.killing.set()
        self.result.kills_early += early
        self._kill()
        life.end()
        self.result.lost += life.lost
        self.result.errors += life.errors
        if self.result.failed:
            return
        while self._is_killed_starting():
            self.server.spawn()
            time.sleep(self.rng.uniform(0, STARTING_SECONDS))
            self.result.kills_starting += 1
            self._kill()
        self._start()

    def _is_killed_starting(self) -> bool:
        again = self.rng.random() < self.options.starting
        return again and self.result.kills < self.options.kills

    def _last_life(self) -> None:
        """Compare once more, after the last kill and after a clean stop."""
        self._compare()
        if not self.options.clean_stop:
            return
        code = self.server.stop()
        if code != 0:
            self.result.errors.append(f"exit code {code}\n{self.server.log}")
        self._check_directory()
        self._start()
        self._compare()

    def _compare(self) -> None:
        life = Life(self.clients)
        life.killing.set()  # nobody works
        life.begin()
        life.wait_until_compared()
        life.end()
        self._look_at_health()
        self.result.lost += life.lost
        self.result.errors += life.errors

    def _kill(self) -> None:
        code = self.server.kill()
        self.result.kills += 1
        if code != -9:
            self.result.errors.append(f"ended by itself, exit code {code}\n{self.server.log}")
        self._check_directory()
        at_kill = self.folder / "at-kill"
        shutil.rmtree(at_kill, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):  # killed before there was one
            shutil.copytree(self.state, at_kill)

    def _look_at_health(self) -> None:
        self.result.diverged += diverged_in(self.server.health()["persistence"])

    def _check_directory(self) -> None:
        if (self.state / "perdure.json").exists():
            self.result.diverged += verdict_of(self.server.home, self.state)


def diverged_in(persistence: dict[str, Any]) -> list[str]:
    """What a health document says of stores that are not what they were."""
    bad = {
        f"{key}: {store}"
        for key, store in persistence["stores"].items()
        if store["status"] in ("quarantined", "diverged") or store.get("diverged")
    }
    told = persistence.get("diverged")
    return sorted(bad) + ([f"diverged: {told}"] if told else [])


def verdict_of(home: Path, state: Path) -> list[str]:
    """What ``perdure check`` says, unless it is clean or a torn tail."""
    done = subprocess.run(
        [sys.executable, "-m", "perdure", "check", "--json", str(state)],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    try:
        verdict = str(json.loads(done.stdout)["verdict"])
    except (ValueError, KeyError):
        verdict = ""
    if done.returncode == 0 and (verdict == "clean" or verdict.startswith("torn")):
        return []
    return [f"perdure check: exit code {done.returncode}\n{done.stdout}{done.stderr}"]


def soak(options: Options) -> Result:
    """Run, and say what is wrong; the folder is kept if something is."""
    folder = options.folder or Path(tempfile.mkdtemp(prefix="perdure-soak-"))
    result = Soak(options, folder).run()
    if result.failed:
        print(f"\nFAILED with seed {options.seed}, after {result.kills} kills")
        for what in (*result.lost, *result.diverged, *result.errors):
            print(what)
        print(f"kept: {folder}/at-kill (before the recovery), {folder}/state, home/server.log")
    elif options.folder is None:
        shutil.rmtree(folder)
    return result


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=Options.kills)
    parser.add_argument("--seconds", type=float, default=Options.seconds, help="end after")
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--clients", type=int, default=Options.clients)
    parser.add_argument("--services", type=int, default=Options.services, help="of each client")
    parser.add_argument("--sync", choices=["always", "interval", "never"], help="JOURNAL_SYNC")
    parser.add_argument("--strategy", help="SNAPSHOT_SAVE_STRATEGY")
    parser.add_argument("--checkpoint-interval", type=float, default=Options.checkpoint_interval)
    parser.add_argument("--folder", type=Path, help="work here, and keep it")
    return Options(**vars(parser.parse_args()))


def main() -> int:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    result = soak(_options())
    print(f"\n{result.table()}")
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
