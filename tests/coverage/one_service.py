"""The sweep of one service: what is called, what came back, what it comes to.

    make       creating and changing operations, in rounds that feed each other
    plan       which reads, with which parameters; fixed from here on
    read       all planned reads, kept under the name of the moment
    end        what deletes and stops, one of each

The same reads before and after the server's end, of either kind, are compared.  A read
that differs from itself without an end in between is *volatile*: by being read, or by
the clock.  Only status and types are compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from botocore.model import OperationModel
from tests.coverage.caller import Caller, Seen, is_alike
from tests.coverage.feed import Feed
from tests.coverage.synthesis import VARIANTS, Synthesis, names_it
from tests.coverage.words import Phase, is_ending, phase_of, verb_and_noun

ROUNDS = 4
READS_EACH_MAX = 3
READ_TURNS = 3


class Ending(Enum):
    """How the server ended; the value is what ``Server.restart`` calls it."""

    KILLED = "kill"
    RESTARTED = "stop"


@dataclass(frozen=True, slots=True)
class Difference:
    """A read that was answered otherwise after the server's end."""

    service: str
    operation: str
    parameters: str
    when: str
    ending: Ending
    before: bytes
    after: bytes

    def __str__(self) -> str:
        return f"{self.service} {self.operation} {self.parameters[:200]} ({self.when})"


@dataclass(slots=True)
class Read:
    """One read with its parameters, and its answers by moment."""

    operation: str
    parameters: Mapping[str, Any]
    seen: dict[str, Seen] = field(default_factory=dict)
    volatile: bool = False
    restless: bool = False


class OneService:
    """One service's part of the sweep."""

    def __init__(self, name: str, synthesis: Synthesis, connect: Callable[[str], Caller]) -> None:
        self.name, self.synthesis, self._connect = name, synthesis, connect
        self.caller = connect(name)
        self.feed: Feed = synthesis.feed
        self.reads: list[Read] = []
        self.unknown: set[str] = set()
        self.tried: dict[str, list[Seen]] = {}
        self.changed: set[str] = set()
        self.differences: list[Difference] = []

    def reconnect(self) -> None:
        """Follow a server to its new process."""
        slow = self.caller.slow
        self.caller.close()
        self.caller = self._connect(self.name)
        self.caller.slow = slow

    # ----------------------------------------------------------------- calls

    def make(self) -> None:
        """Call what creates and changes, round by round; reads in between feed ids."""
        operations = self._of(Phase.MAKE, Phase.ADD, Phase.CHANGE)
        operations.sort(key=lambda op: (phase_of(op.name), _needs(op), op.name))
        granted: dict[str, int] = {}
        for turn in range(ROUNDS):
            for operation in operations:
                done = granted.get(operation.name, 0)
                # Two that worked are enough; what failed is tried in every variant.
                if operation.name in self.unknown or done > 1:
                    continue
                variant = done or turn % VARIANTS
                seen = self._try(operation, variant=variant, turn=turn)
                if seen.succeeded:
                    granted[operation.name] = done + 1
            if turn in (0, 1):
                self._look_around()

    def end(self) -> None:
        """Call what deletes and stops, once each if it works at once."""
        operations = self._of(Phase.END)
        operations.sort(key=lambda op: is_ending(op.name))
        for operation in operations:
            for variant in range(VARIANTS):
                # The last of what was made: the first is kept, so that something is left.
                seen = self._try(operation, variant=variant, turn=1 + variant)
                if seen.succeeded or operation.name in self.unknown:
                    break

    def _try(self, operation: OperationModel, *, variant: int, turn: int) -> Seen:
        parameters = self.synthesis.parameters(operation, variant=variant, turn=turn)
        observe = operation.name not in self.changed
        seen = self.caller.call(operation.name, parameters, observe=observe)
        self._note(operation.name, seen)
        if seen.succeeded:
            noun = verb_and_noun(operation.name)[1]
            made = phase_of(operation.name) is not Phase.END
            # Of what was asked for only the name of what was made is known to exist.
            names = {n: value for n, value in parameters.items() if made and names_it(n, noun)}
            self.feed.remember(names, (noun,), made=made)
            self.feed.remember(seen.parsed, (noun,), made=made)
            if seen.changed:
                self.changed.add(operation.name)
        return seen

    def _note(self, operation: str, seen: Seen) -> None:
        if seen.is_unknown and not any(s.succeeded for s in self.tried.get(operation, ())):
            self.unknown.add(operation)
            self.tried.pop(operation, None)
        else:
            self.tried.setdefault(operation, []).append(seen)

    def _look_around(self) -> None:
        for operation in self._of(Phase.READ):
            if operation.name not in self.unknown:
                parameters = self.synthesis.parameters(operation)
                seen = self.caller.call(operation.name, parameters)
                self._note(operation.name, seen)
                if seen.succeeded:
                    nouns = (verb_and_noun(operation.name)[1],)
                    self.feed.remember(seen.parsed, nouns, made=False)

    # ----------------------------------------------------------------- reads

    def plan(self) -> None:
        """Fix the reads: each operation with up to ``READS_EACH_MAX`` parameters."""
        for operation in self._of(Phase.READ):
            if operation.name in self.unknown:
                continue
            asked: dict[str, Mapping[str, Any]] = {}
            turns = [(0, turn) for turn in range(READ_TURNS)] + [(1, 0), (2, 0), (3, 0)]
            for variant, turn in turns:
                parameters = self.synthesis.parameters(operation, variant=variant, turn=turn)
                asked.setdefault(json.dumps(parameters, default=str, sort_keys=True), parameters)
            for parameters in list(asked.values())[:READS_EACH_MAX]:
                self.reads.append(Read(operation.name, parameters))

    def read(self, moment: str, *, only_volatile: bool = False, twice: bool = False) -> None:
        """Call every planned read; answers are kept under the moment's name.

        Args:
            moment: What to call it; an earlier answer of the same moment is replaced.
            only_volatile: Only those that are known to be.
            twice: In a row, to find those that go in circles: after a whole round
                of reads they may come out the same.
        """
        for read in self.reads:
            if only_volatile and not read.volatile:
                continue
            seen = self._read(read)
            if twice:
                again = self._read(read)
                read.restless, seen = again.digest != seen.digest, again
            read.seen[moment] = seen

    def _read(self, read: Read) -> Seen:
        seen = self.caller.call(read.operation, read.parameters, parse=read.volatile)
        self._note(read.operation, seen)
        return seen

    def find_volatile(self, one: str, other: str) -> bool:
        """Mark reads that differ without a restart in between; whether any does."""
        for read in self.reads:
            differs = read.seen[one].digest != read.seen[other].digest
            read.volatile = differs or read.restless
        return any(read.volatile for read in self.reads)

    def compare(self, before: str, after: str, ending: Ending) -> None:
        """Note the reads that the server's end has changed."""
        for read in self.reads:
            one, other = read.seen[before], read.seen[after]
            same = (
                one.status == other.status and is_alike(one.parsed, other.parsed)
                if read.volatile
                else one.digest == other.digest
            )
            if not same:
                self.differences.append(
                    Difference(
                        self.name,
                        read.operation,
                        json.dumps(read.parameters, default=str),
                        f"{before} -> {after}",
                        ending,
                        f"{one.status} {one.why}\n".encode() + one.body,
                        f"{other.status} {other.why}\n".encode() + other.body,
                    )
                )

    # ---------------------------------------------------------------- result

    def result(self, volatile: frozenset[str]) -> dict[str, Any]:
        """What the coverage page says of this sweep.

        Args:
            volatile: Operations that were volatile at any moment.
        """
        granted = {r.operation for r in self.reads if any(s.succeeded for s in r.seen.values())}
        different = {d.operation for d in self.differences}
        killed = {d.operation for d in self.differences if d.ending is Ending.KILLED}
        restarted = {d.operation for d in self.differences if d.ending is Ending.RESTARTED}
        strict = (granted - volatile) | different
        return {
            "tried": len(self.tried),
            "succeeded": sum(any(s.succeeded for s in seen) for seen in self.tried.values()),
            "changed": len(self.changed),
            "reads": len(strict),
            "identical": len(strict - restarted),
            "killed": len(strict - killed),
            "volatile": sorted((granted & volatile) - different),
            "different": sorted(different),
            "not_implemented": len(self.unknown),
        }

    def _of(self, *phases: Phase) -> list[OperationModel]:
        return [op for op in self.caller.operations() if phase_of(op.name) in phases]


def _needs(operation: OperationModel) -> int:
    return 0 if operation.input_shape is None else len(operation.input_shape.required_members)
