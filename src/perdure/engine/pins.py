"""The clock and the randomness of one call, fixed: the same pins give the same bytes.

    pins = CLOCK.draw()
    with running(), pinned(pins):
        dispatch(call)

While a call is pinned, ``time`` and ``datetime`` stand still at ``clock_us`` (the
monotonic clock goes on), and every source of randomness that moto reaches draws from
one stream seeded with ``seed``: moto's own ``mock_random``, the module ``random``,
``random.SystemRandom`` and ``secrets``, ``os.urandom``, ``uuid.uuid1`` and ``uuid4``.

The clock is pinned for the process, since the standard library reads it in C; the
randomness for the pinned thread only, so that nobody else draws a number the journal
will name.  That is also why the generators are not seeded in place but ask who calls:
outside of a pinned call they go on where they were, from the entropy of the system.
Had they been left at the end of a replayed call's stream, what a thread of moto drew
next would be what it drew before the crash.

Pins nest.  A store created on the way (``pinned_creation``), a module imported on the
way (``pinned_by_name``) and whatever is no part of the call (``unpinned``) draw
elsewhere, and the call goes on with the very next number of its own: whether a store
or module was there already is the history of the process, which replay does not repeat.

A call that only reads is not replayed, and so is not pinned (``recording``).

What pins do not reach is the business of ``doors``.  Cost: 3.5 us a call, 1.5 of them
for ``CLOCK.draw``, and 5 us more once it draws its first number; a number drawn costs
0.2 us more than from a plain generator (Python 3.11, time-machine 3.6, two busy cores).
"""

from __future__ import annotations

import os
import random
import string
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from random import Random
from types import TracebackType
from typing import Any, NamedTuple

from perdure.persistence.keys import StoreKey

if "pytest" in sys.modules:
    import time_machine
else:
    # It is a plugin of pytest's, too, and imports that wherever it is installed: 75 ms and
    # 15 MB of each server.  ``None`` says that it is not.
    sys.modules["pytest"] = None  # type: ignore[assignment]
    import time_machine

    del sys.modules["pytest"]

SEED_BYTES = 8
# What a generator draws at a time.
WORD_BITS, WORD_BYTES, BYTE_BITS = 32, 4, 8
HEX_DIGITS = "0123456789abcdef"
# A node no network card has: the bit that marks a group address is set.
NODE_BITS, GROUP_ADDRESS = 48, 1 << 40

_real_urandom = os.urandom
_real_uuid1 = uuid.uuid1
_thread = threading.get_ident


class Pins(NamedTuple):
    """What one call ran with.

    Attributes:
        clock_us: Microseconds since the epoch, UTC.
        seed: Unsigned, 64 bits.
    """

    clock_us: int
    seed: int


def now_us() -> int:
    """The real clock, also while a call is pinned: microseconds since the epoch, UTC."""
    if time_machine.escape_hatch.is_travelling():
        return int(time_machine.escape_hatch.time.time_ns()) // 1000
    return time.time_ns() // 1000


def new_seed() -> int:
    """A seed of real entropy."""
    return chance(SEED_BYTES)


def chance(size: int) -> int:
    """So many bytes that no other process and no replay has; not drawn from the pinned stream."""
    return int.from_bytes(_real_urandom(size))


class Clock:
    """Gives every call its pins.  The methods need the engine lock."""

    def __init__(self, now: Callable[[], int] = now_us) -> None:
        self._now = now
        # The last clock that was drawn or seen, microseconds since the epoch, UTC.
        self.last_us = 0
        # Seeds with their streams: of the call to come, and of the last one.
        self._next: tuple[int, Random] | None = None
        self._given: tuple[int, Random] | None = None

    def draw(self) -> Pins:
        """Pins for a new call: a clock later than any drawn or seen, a seed of real entropy.

        A clock that the host sets back, or two calls in one microsecond, move it on by
        one microsecond at a time.
        """
        self.last_us = max(self._now(), self.last_us + 1)
        self._given, self._next = self._next, None
        return Pins(self.last_us, new_seed() if self._given is None else self._given[0])

    def prepare(self) -> None:
        """Seed the next call's stream now; for when an answer is out and nobody waits.

        Needs no lock: what two threads prepare at once is one of the two.
        """
        if self._next is None:
            seed = new_seed()
            self._next = seed, Random(seed)  # noqa: S311 - as in ``stream_of``

    def stream_of(self, seed: int) -> Random:
        """The stream of a seed, at its first number."""
        given, self._given = self._given, None
        if given is not None and given[0] == seed:
            return given[1]
        return Random(seed)  # noqa: S311 - to be repeated is its purpose

    def is_set_back(self) -> bool:
        """Whether the host's clock is behind one that was drawn or seen.

        Notes it if not: whoever runs by the host's clock shows it.
        """
        now = self._now()
        if now < self.last_us:
            return True
        self.last_us = now
        return False

    def advance(self, clock_us: int) -> None:
        """Note a clock of the past (recovery): what is drawn from here on is later."""
        self.last_us = max(self.last_us, clock_us)


CLOCK = Clock()


class _Instance:
    """Whose stores and modules these are; without a state directory a passing one."""

    def __init__(self) -> None:
        self.name = _real_urandom(16).hex()
        self.epoch_us = now_us()


_INSTANCE = _Instance()


def set_instance(instance: str, epoch_us: int) -> None:
    """Say under what stores are created and modules are imported.

    Before any service is imported: what was created or imported until then was so under
    a random instance and the process' start, and comes out differently the next time.

    Args:
        instance: The id of the state directory; the same as long as it lives.
        epoch_us: When it was made, microseconds since the epoch, UTC.
    """
    _INSTANCE.name, _INSTANCE.epoch_us = instance, epoch_us


# ------------------------------------------------------------------- being pinned


class _Level:
    """One set of pins, in force within its ``with``; a context that is used once.

    A class, since a generator costs a microsecond more in every call.
    """

    __slots__ = ("clock_us", "seed", "stream")

    def __init__(self, clock_us: int, seed: int) -> None:
        self.clock_us, self.seed = clock_us, seed
        # How far it was drawn; None = not yet.
        self.stream: Random | None = None

    def __enter__(self) -> None:
        _SCOPE.enter(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _SCOPE.leave()


class _Scope:
    """Which thread is pinned, and by what; the last level holds."""

    __slots__ = ("levels", "thread")

    def __init__(self) -> None:
        self.thread: int | None = None
        self.levels: list[_Level] = []

    def stream(self) -> Random | None:
        """What this thread draws from; None if nothing is pinned for it."""
        if self.thread != _thread():
            return None
        level = self.levels[-1]
        if level.stream is None:
            # Not at once: many calls draw nothing, and seeding is half of the cost.
            level.stream = CLOCK.stream_of(level.seed)
        return level.stream

    def enter(self, level: _Level) -> None:
        """Put a level in force."""
        me = _thread()
        assert self.thread in (None, me), "pinned without the engine lock"
        # Set, not given: a float of these seconds is not exact to the microsecond.
        _TRAVEL.destination_timestamp_ns = level.clock_us * 1000
        _TRAVEL.start()
        self.levels.append(level)
        self.thread = me

    def leave(self) -> None:
        """Put the one before in force again."""
        self.levels.pop()
        if not self.levels:
            self.thread = None
        _TRAVEL.stop()


_SCOPE = _Scope()
_TRAVEL = time_machine.travel(0, tick=False)


def pinned(pins: Pins) -> _Level:
    """Run the body with this clock and this randomness.  Needs the engine lock."""
    return _Level(pins.clock_us, pins.seed)


def pinned_by_name(*names: str) -> _Level:
    """Run the body at the instance's epoch, with a seed from the instance and these names.

    For what is made once and then kept: it comes out the same whoever asks first.
    """
    return _Level(_INSTANCE.epoch_us, seed_of(*names))


def pinned_creation(key: StoreKey) -> _Level:
    """Create a store in the body, as its key alone says.  Needs the engine lock."""
    return pinned_by_name("store", *key)


def seed_of(*names: str) -> int:
    """A seed of 64 bits from this instance and these names; the same in every process."""
    parts = [part.encode() for part in (_INSTANCE.name, *names)]
    text = b"".join(len(part).to_bytes(4) + part for part in parts)
    return int.from_bytes(blake2b(text, digest_size=SEED_BYTES).digest())


def is_pinned() -> bool:
    """Whether this thread is pinned."""
    return _SCOPE.thread == _thread()


@contextmanager
def unpinned(*, renew_clock: bool = False) -> Iterator[None]:
    """Lift all pins of this thread: for what is no part of the call it runs in.

    Args:
        renew_clock: Whether the call goes on with a new reading of the clock, as after
            a wait.  Such a call is not replayed.  Needs the engine lock at the end, as
            at the beginning.
    """
    if not is_pinned():
        yield
        return
    levels, _SCOPE.levels, _SCOPE.thread = _SCOPE.levels, [], None
    for _ in levels:
        _TRAVEL.stop()
    try:
        yield
    finally:
        if renew_clock:
            clock_us = CLOCK.draw().clock_us
            for level in levels:
                level.clock_us = clock_us
        for level in levels:
            _SCOPE.enter(level)


# ---------------------------------------------------- the generators, by who calls


class _ByThread:
    """Of a generator: the pinned thread draws from its call's stream, others as ever."""

    # ``gauss`` keeps the second of each pair for the next caller, whoever that is.
    gauss_next = property(lambda _: None, lambda _, __: None)

    def random(self) -> float:
        """As ``Random.random``; all others rest on this and the next."""
        stream = _SCOPE.stream()
        return super().random() if stream is None else stream.random()  # type: ignore[misc]

    def getrandbits(self, bits: int, /) -> int:
        """As ``Random.getrandbits``."""
        stream = _SCOPE.stream()
        return super().getrandbits(bits) if stream is None else stream.getrandbits(bits)  # type: ignore[misc]

    def choice(self, options: Any) -> Any:
        """As ``Random.choice``, bit by bit.

        Only shorter: it asks once who calls, and calls once for each number.
        """
        stream = _SCOPE.stream()
        return _one_of(options, super().getrandbits if stream is None else stream.getrandbits)  # type: ignore[misc]

    def text_of(self, pool: str, length: int) -> str:
        """So many characters, each as ``choice`` would draw it; asks once who calls.

        A generator gives a number of up to 32 bits from the highest of one word of its own
        each, and a longer one from as many words as it takes, the lowest first.  So one of
        the very words is drawn, and a place in the pool is seen in each word's last byte;
        those that are none are drawn again, as ever.
        """
        stream = _SCOPE.stream()
        getrandbits = super().getrandbits if stream is None else stream.getrandbits  # type: ignore[misc]
        table = _characters(pool)
        if table is None:
            return "".join(_one_of(pool, getrandbits) for _ in range(length))
        text = b""
        while (missing := length - len(text)) > 0:
            words = getrandbits(WORD_BITS * missing).to_bytes(WORD_BYTES * missing, "little")
            text += words[WORD_BYTES - 1 :: WORD_BYTES].translate(*table)
        return text.decode("latin-1")

    def seed(self, *arguments: Any, **named: Any) -> None:
        """As ``Random.seed``; a call seeds for itself only."""
        stream = _SCOPE.stream()
        seed = super().seed if stream is None else stream.seed  # type: ignore[misc]
        seed(*arguments, **named)


@cache
def _characters(pool: str) -> tuple[bytes, bytes] | None:
    """Which character each byte stands for, and the bytes that stand for none.

    None for a pool of more places than a byte can name, or of characters that are no byte.
    """
    count = len(pool)
    unused = BYTE_BITS - count.bit_length()
    if not count or unused < 0 or not pool.isascii():
        return None
    places = [byte >> unused for byte in range(1 << BYTE_BITS)]
    table = bytes(ord(pool[place]) if place < count else 0 for place in places)
    return table, bytes(byte for byte, place in enumerate(places) if place >= count)


def _one_of(options: Any, getrandbits: Callable[[int], int]) -> Any:
    count = len(options)
    bits = count.bit_length()
    place = getrandbits(bits)
    while count and place >= count:
        place = getrandbits(bits)
    return options[place]


class _Shared(_ByThread, Random):
    """The one behind the functions of ``random``."""


def _urandom(size: int, /) -> bytes:
    stream = _SCOPE.stream()
    return _real_urandom(size) if stream is None else stream.randbytes(size)


def _uuid1(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
    """It tells the time, and the host unless a node is given; the sequence is drawn."""
    stream = _SCOPE.stream()
    if stream is not None:
        # The last one's time would be the history of the process; node and sequence differ.
        uuid._last_timestamp = None  # type: ignore[attr-defined]
        if node is None:
            node = stream.getrandbits(NODE_BITS) | GROUP_ADDRESS
    return _real_uuid1(node, clock_seq)


def install() -> None:
    """Stand in the way of every source of randomness.  Once per process, before any call."""
    if os.urandom is _urandom:
        return
    from moto.moto_api._internal import mock_random

    class _Motos(_ByThread, type(mock_random)):  # type: ignore[misc]
        """Of moto's own: the object stays, as a hundred modules hold it by name.

        Its texts are drawn in one go: each request has an id of 52 characters, whose
        drawing took a tenth of a call.
        """

        def get_random_string(
            self,
            length: int = 20,
            include_digits: bool = True,  # noqa: FBT001, FBT002 - as moto has it
            lower_case: bool = False,  # noqa: FBT001, FBT002 - the same
        ) -> str:
            pool = string.ascii_letters + (string.digits if include_digits else "")
            drawn = self.text_of(pool, length)
            return drawn.lower() if lower_case else drawn

        def get_random_hex(self, length: int = 8) -> str:
            return self.text_of(HEX_DIGITS, length)

    mock_random.__class__ = _Motos
    shared = random._inst
    shared.__class__ = _Shared
    for name, value in vars(random).items():
        if getattr(value, "__self__", None) is shared:
            setattr(random, name, getattr(shared, name))
    os.urandom = _urandom
    random._urandom = _urandom  # type: ignore[attr-defined]
    uuid.uuid1 = _uuid1
