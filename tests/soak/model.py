"""A model of what a server acknowledged, exact because each actor owns its resources.

An actor is one client in one service.  Before a call it writes down what the call would
change (``pending``), after the answer that is what must be found (``expected``):

    call sent      expected, or expected with pending: the server may be killed here
    call answered  expected with pending, nothing else

A call is atomic, so what is found is compared as a whole: either all of the call in
flight is there or none of it.  After a comparison the model takes what was found.
"""

from __future__ import annotations

import random
import string
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

Values = dict[str, Any]
Caller = Callable[..., Any]


class Unknown:
    """What only an answer would have told, such as an id; equal to everything."""

    def __getitem__(self, _: Any) -> Unknown:
        return self

    def get(self, *_: Any) -> Unknown:
        return self

    def __eq__(self, _: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN: Any = Unknown()
GONE: Any = type("Gone", (), {"__repr__": lambda _: "<gone>"})()


@dataclass(frozen=True)
class Difference:
    """One value that is not what was acknowledged."""

    client: int
    service: str
    name: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return (
            f"client {self.client}, {self.service}, {self.name}:\n"
            f"  expected {self.expected!r}\n  found    {self.found!r}"
        )


@dataclass
class Tally:
    """What the actors of all threads counted."""

    acknowledged: int = 0
    compared: int = 0
    in_flight_kept: int = 0
    in_flight_undone: int = 0
    services: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, service: str) -> None:
        with self.lock:
            self.acknowledged += 1
            self.services[service] = self.services.get(service, 0) + 1


class Actor:
    """One client's resources in one service, and what is known of them.

    A subclass has ``moves`` (what may be done next) and ``read`` (everything, through the
    API).  What a move needs to know it takes from ``expected``; what only an answer told,
    a receipt handle or a ciphertext, it keeps in ``kept``.
    """

    service = ""

    def __init__(self, aws: Caller, client: int, rng: random.Random, tally: Tally) -> None:
        self.aws, self.client, self.rng, self.tally = aws, client, rng, tally
        self.name = f"soak-{type(self).__name__.lower()}-{client}"
        self.expected: Values = {}
        self.pending: Values | None = None
        self.kept: dict[str, Any] = {}
        self.serial = 0

    # --------------------------------------------------------- for subclasses

    def moves(self) -> list[Callable[[], None]]:
        raise NotImplementedError

    def read(self) -> Values:
        raise NotImplementedError

    def call(
        self,
        operation: str,
        changes: Callable[[Any], Values],
        *,
        service: str | None = None,
        **parameters: Any,
    ) -> Any:
        """Make one call that writes.

        Args:
            operation: As boto3 names it.
            changes: From the answer to the values that are new by the call; must not
                depend on it for their names, for it gets UNKNOWN while the call is made.
            service: If it is another than the actor's.
            parameters: Of the call.
        """
        self.pending = changes(UNKNOWN)
        answer = self.aws(service or self.service, operation, **parameters)
        self.tally.count(self.service)
        self.expected = self._with(changes(answer))
        self.pending = None
        return answer

    def refused(self, operation: str, code: str, **parameters: Any) -> None:
        """Make one call that is refused and changes nothing."""
        self.pending = {}
        try:
            self.aws(self.service, operation, **parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] != code:
                raise
        else:
            raise AssertionError(f"{operation} is answered, not refused with {code}: {parameters}")
        self.tally.count(self.service)
        self.pending = None

    def ask(self, operation: str, *, service: str | None = None, **parameters: Any) -> Any:
        """Make one call that reads."""
        return self.aws(service or self.service, operation, **parameters)

    def found_or(self, default: Any, codes: str, operation: str, **parameters: Any) -> Any:
        """Make one call that reads; the default if it is refused with one of the codes."""
        try:
            return self.ask(operation, **parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] not in codes.split():
                raise
            return default

    def word(self) -> str:
        """Something new to write."""
        self.serial += 1
        letters = "".join(self.rng.choices(string.ascii_lowercase, k=self.rng.randint(1, 12)))
        return f"{self.serial:05d}{letters}"

    def names(self, kind: str) -> list[str]:
        """What follows ``kind/`` in the names of the expected values."""
        return [
            name.removeprefix(f"{kind}/") for name in self.expected if name.startswith(f"{kind}/")
        ]

    # ------------------------------------------------------------ for the soak

    def step(self) -> None:
        """Do one thing."""
        self.rng.choice(self.moves())()

    def check(self) -> list[Difference]:
        """Compare all that is there with the model, which then takes what was found."""
        found = self.read()
        before, after = self.expected, self._with(self.pending or {})
        kept = found == after
        if self.pending is not None and before != after:
            with self.tally.lock:
                self.tally.in_flight_kept += kept
                self.tally.in_flight_undone += not kept
        wrong = [] if kept or found == before else self._differences(before, after, found)
        with self.tally.lock:
            self.tally.compared += max(len(found), len(before))
        self.expected, self.pending = found, None
        return wrong

    def _with(self, changes: Values) -> Values:
        return {k: v for k, v in (self.expected | changes).items() if v is not GONE}

    def _differences(self, before: Values, after: Values, found: Values) -> list[Difference]:
        wrong = []
        for name in sorted(before.keys() | after.keys() | found.keys()):
            old, new, seen = (values.get(name, GONE) for values in (before, after, found))
            if seen not in (old, new):
                allowed = old if old == new else {"without the call in flight": old, "with": new}
                wrong.append(Difference(self.client, self.service, name, allowed, seen))
        if not wrong:  # each value is allowed, but half of the call is there
            wrong.append(Difference(self.client, self.service, "a half call", after, found))
        return wrong
