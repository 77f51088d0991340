"""Pins: the same clock and seed give the same bytes, and nothing else does."""

# ruff: noqa: PLW0108

from __future__ import annotations

import datetime as dt
import importlib
import json
import os
import random
import secrets
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from moto.moto_api._internal import mock_random
from moto.moto_api._internal.moto_random import MotoRandom

from perdure.engine import pins
from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK, running, waiting
from perdure.engine.pins import CLOCK, Clock, Pins, pinned, pinned_by_name, pinned_creation
from perdure.persistence.keys import StoreKey

KEY = StoreKey("sqs", "000000000000", "us-east-1")
PINS = Pins(1_700_000_000_123_457, 42)
# Looked up when they are called, as moto does.
SOURCES: dict[str, Callable[[], Any]] = {
    "mock_random": lambda: mock_random.random(),
    "mock_random.hex": lambda: mock_random.get_random_hex(8),
    "mock_random.uuid4": lambda: mock_random.uuid4(),
    "random": lambda: random.random(),
    "random.choice": lambda: random.choice(range(10**9)),
    "random.sample": lambda: random.sample(range(10**6), 3),
    "random.gauss": lambda: random.gauss(0, 1),
    "random.getrandbits": lambda: random.getrandbits(64),
    "random.randbytes": lambda: random.randbytes(8),
    "SystemRandom": lambda: random.SystemRandom().random(),
    "secrets": lambda: secrets.token_hex(8),
    "urandom": lambda: os.urandom(8),
    "uuid4": lambda: uuid.uuid4(),
    "uuid1": lambda: uuid.uuid1(),
}
CLOCKS: dict[str, Callable[[], Any]] = {
    "time": lambda: time.time(),
    "time_ns": lambda: time.time_ns(),
    "utcnow": lambda: dt.datetime.now(tz=dt.UTC),
    "gmtime": lambda: time.gmtime(),
}


def draw_all() -> list[Any]:
    return [source() for source in SOURCES.values()]


@pytest.fixture(autouse=True)
def lock(engine: Engine) -> Engine:
    return engine


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_of_randomness_follows_from_the_seed(name: str) -> None:
    """The same seed draws the same, another one differs, and no pins draw anew."""
    source = SOURCES[name]

    def draw(seed: int) -> list[Any]:
        with pinned(Pins(PINS.clock_us, seed)):
            return [source(), source()]

    first = draw(1)
    assert first[0] != first[1]
    assert draw(1) == first != draw(2)
    assert source() not in [*first, source()]


@pytest.mark.parametrize("generator", [mock_random, random], ids=["mock_random", "random"])
def test_a_choice_draws_what_pythons_own_draws(generator: Any) -> None:
    """It is a shorter way to the same numbers: a journal of before replays alike."""
    plain = random.Random(PINS.seed)
    counts = [*range(1, 70), 2**16, 2**16 + 1]

    with running(), pinned(PINS):
        found = [generator.choice(range(count)) for count in counts]

    assert found == [plain.choice(range(count)) for count in counts]
    assert {generator.choice("ab") for _ in range(100)} == {"a", "b"}
    with pytest.raises(IndexError):
        generator.choice([])


@pytest.mark.parametrize("name", CLOCKS)
def test_each_clock_stands_still_at_the_pin(name: str) -> None:
    """A pinned clock is the pin to the microsecond; afterwards it is the real one."""
    with pinned(PINS):
        first = CLOCKS[name]()
        time.sleep(0.002)
        assert CLOCKS[name]() == first
        assert time.time_ns() == PINS.clock_us * 1000
        assert dt.datetime.now(tz=dt.UTC).microsecond == PINS.clock_us % 1_000_000
    assert CLOCKS[name]() != first


def test_the_monotonic_clock_goes_on() -> None:
    """Timeouts are measured while a call is pinned."""
    with pinned(PINS):
        before = time.monotonic()
        time.sleep(0.002)
        assert time.monotonic() > before


def test_the_same_pins_give_the_same_in_another_process() -> None:
    """Neither the process nor its hash seed shows in what is drawn."""
    code = (
        "import sys, json; sys.path[:0] = json.loads(sys.argv[1]);"
        "from tests.unit.engine.test_pins import PINS, draw_all;"
        "from perdure.engine import pins; pins.install();\n"
        "with pins.pinned(PINS): print(draw_all())"
    )
    with pinned(PINS):
        here = repr(draw_all())
    there = subprocess.run(
        [sys.executable, "-c", code, json.dumps([*sys.path, os.getcwd()])],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here


@pytest.mark.parametrize("length", [1, 8, 52])
def test_a_text_draws_what_motos_own_draws(length: int) -> None:
    """Ids are drawn in one go, and are those moto would have drawn, to the next number."""
    plain = MotoRandom(PINS.seed)
    with running(), pinned(PINS):
        found = [
            mock_random.get_random_string(length),
            mock_random.get_random_string(length, include_digits=False, lower_case=True),
            mock_random.get_random_hex(length),
            mock_random.random(),
        ]

    assert found == [
        plain.get_random_string(length),
        plain.get_random_string(length, include_digits=False, lower_case=True),
        plain.get_random_hex(length),
        plain.random(),
    ]


def test_two_calls_at_one_instant_differ() -> None:
    """Pins drawn from a clock that stands still have later clocks and other seeds."""
    clock = Clock(now=lambda: 1000)
    first, second = clock.draw(), clock.draw()
    assert (first.clock_us, second.clock_us) == (1000, 1001)
    assert first.seed != second.seed


def test_the_clock_never_goes_back() -> None:
    """What is drawn is later than all that was drawn or seen before, whatever the host says."""
    times = iter([1000, 500, 400])
    clock = Clock(now=lambda: next(times))
    assert clock.draw().clock_us == 1000
    assert clock.draw().clock_us == 1001
    clock.advance(5000)
    clock.advance(3000)
    assert clock.draw().clock_us == 5001


def test_a_prepared_stream_is_that_of_its_seed() -> None:
    """What was seeded ahead draws what the seed says, for the next call and no other."""
    clock = Clock()
    clock.prepare()
    clock.prepare()
    first, second = clock.draw(), clock.draw()
    assert first.seed != second.seed

    drawn = [clock.stream_of(pins.seed).random() for pins in (first, second, first)]

    assert drawn == [random.Random(pins.seed).random() for pins in (first, second, first)]


def test_a_prepared_stream_is_not_used_for_another_seed() -> None:
    """A call that draws nothing leaves its stream behind; a replayed one has its own seed."""
    clock = Clock()
    clock.prepare()
    clock.draw()
    assert clock.stream_of(42).random() == random.Random(42).random()


def test_a_clock_that_is_looked_at_is_noted() -> None:
    """Whoever runs by the host's clock shows it; what comes next is no earlier."""
    times = iter([1000, 2000, 1500, 1600])
    clock = Clock(now=lambda: next(times))
    assert clock.draw().clock_us == 1000
    assert not clock.is_set_back()
    assert clock.is_set_back()
    assert clock.draw().clock_us == 2001


def test_a_clock_drawn_in_a_call_is_the_real_one() -> None:
    """Pins do not follow the clock of another call."""
    with pinned(Pins(1_000_000, 1)):
        assert pins.now_us() > 1_600_000_000_000_000
        assert CLOCK.draw().clock_us > 1_600_000_000_000_000


@pytest.mark.parametrize(
    "on_the_way",
    [
        lambda: pinned_creation(KEY),
        lambda: pinned_by_name("module", "moto.sqs"),
        lambda: pinned(Pins(1, 2)),
        pins.unpinned,
    ],
    ids=["creation", "import", "nested", "unpinned"],
)
def test_what_happens_on_the_way_leaves_the_call_alone(on_the_way: Callable[[], Any]) -> None:
    """A call draws its next number and reads its clock as if nothing had happened between."""

    def run(*, interrupted: bool) -> list[Any]:
        with pinned(PINS):
            drawn = draw_all()
            if interrupted:
                with on_the_way():
                    draw_all()
            return [*drawn, *draw_all(), time.time_ns()]

    assert run(interrupted=True) == run(interrupted=False)


def test_a_creation_follows_from_instance_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store is created alike whenever it is, and differently by key and by instance."""
    monkeypatch.setattr(pins, "_INSTANCE", pins._Instance())

    def create(key: StoreKey) -> Any:
        with pinned(CLOCK.draw()), pinned_creation(key):
            return (mock_random.random(), time.time_ns())

    pins.set_instance("an instance", 7_000_000)
    here = create(KEY)
    assert here == create(KEY)
    assert here[1] == 7_000_000_000
    assert here[0] != create(StoreKey("sqs", "000000000000", "eu-west-1"))[0]
    pins.set_instance("another", 7_000_000)
    assert here[0] != create(KEY)[0]


def test_other_threads_draw_real_entropy() -> None:
    """What a thread draws beside a pinned call neither follows from its seed nor changes it."""
    others: list[Any] = []

    def run() -> list[Any]:
        with pinned(PINS):
            thread = threading.Thread(target=lambda: others.append(draw_all()))
            thread.start()
            thread.join()
            return draw_all()

    first = run()
    assert run() == first
    assert not set(map(repr, first)) & set(map(repr, [*others[0], *others[1]]))
    assert not set(map(repr, others[0])) & set(map(repr, others[1]))


def test_a_wait_lifts_pins_and_goes_on_later() -> None:
    """While a call waits others are pinned otherwise; it goes on with a later clock."""
    seen: list[Any] = []

    def other() -> None:
        with running(), pinned(CLOCK.draw()):
            seen.append((time.time_ns(), mock_random.random()))

    def wait() -> list[Any]:
        with waiting():
            assert not pins.is_pinned()
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        return [time.time_ns(), mock_random.random()]

    mine = CLOCK.draw()
    with running(), pinned(mine):
        before, drawn = time.time_ns(), mock_random.random()
        after, then = wait()
    assert before < seen[0][0] < after
    with running(), pinned(mine):
        assert [mock_random.random(), mock_random.random()] == [drawn, then]


def test_pins_are_lifted_by_an_error() -> None:
    """A call that raises leaves nothing pinned."""
    with pytest.raises(KeyError), pinned(PINS), pinned_creation(KEY):
        raise KeyError
    assert not pins.is_pinned()
    assert time.time_ns() != PINS.clock_us * 1000


def test_a_generator_seeded_in_a_call_is_seeded_for_it_alone() -> None:
    """A call cannot fix what later ones draw."""
    with pinned(PINS):
        random.seed(5)
        mock_random.seed(5)
        drawn = random.random()
    assert random.random() != drawn
    with pinned(PINS):
        assert random.random() != drawn


def test_stores_do_not_depend_on_who_creates_them(moto: Any, engine: Engine) -> None:
    """The same store comes out the same in another call, and draws nothing from that."""

    def create(seed: int) -> Any:
        with ENGINE_LOCK, pinned(Pins(PINS.clock_us, seed)):
            store = moto.store("ec2")
            return [sorted(store.vpcs), sorted(store.subnets["us-east-1a"]), mock_random.random()]

    first = create(1)
    engine.forget_all()
    again = create(2)
    assert again[:2] == first[:2]
    with pinned(Pins(PINS.clock_us, 2)):
        assert mock_random.random() == again[2]


def test_modules_of_moto_are_imported_under_their_names() -> None:
    """What a module draws when it is imported is the same whenever that happens."""

    def import_anew(seed: int) -> Any:
        for name in [n for n in sys.modules if n.startswith("moto.appmesh")]:
            monkey.delitem(sys.modules, name)
        with pinned(Pins(PINS.clock_us + seed, seed)):
            module = importlib.import_module("moto.appmesh.dataclasses.shared")
            return vars(module.Metadata)["created_at"], mock_random.random()

    with pytest.MonkeyPatch.context() as monkey:
        created, drawn = import_anew(1)
        again, other = import_anew(2)
    assert created == again
    with pinned(Pins(0, 1)):
        assert mock_random.random() == drawn != other


def test_other_modules_are_imported_unpinned(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library imported in a call sees the real clock and draws nothing from the call."""
    (tmp_path / "a_library.py").write_text(
        "import os, time\nDRAWN = os.urandom(8)\nNOW = time.time_ns()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pinned(PINS):
        library = importlib.import_module("a_library")
        drawn = os.urandom(8)
    assert PINS.clock_us * 1000 < library.NOW
    assert type(library.__loader__).__name__ == "SourceFileLoader"
    with pinned(PINS):
        assert os.urandom(8) == drawn


def test_pins_without_the_lock_are_refused() -> None:
    """Two threads cannot be pinned at once."""
    errors: list[BaseException] = []

    def pin() -> None:
        try:
            with pinned(PINS):
                pass
        except AssertionError as error:
            errors.append(error)

    with pinned(PINS):
        thread = threading.Thread(target=pin)
        thread.start()
        thread.join()
    assert len(errors) == 1


@pytest.mark.parametrize(
    "pool",
    [
        *("".join(map(chr, range(33, 33 + count))) for count in range(1, 95)),
        "".join(map(chr, range(128))),  # places of eight bits
        "aab" * 85,  # the most that are within a byte
        "a" * 256,
        "".join(map(chr, range(70_000))),
        "äöü",  # no ASCII
    ],
    ids=lambda pool: f"{len(pool)}-{pool[:3]!a}",
)
def test_many_choices_are_those_made_one_by_one(engine: Engine, pool: str) -> None:
    """Drawn in one go they are the same, and so is the number drawn next."""
    for number in (0, 1, 2, 33, 200):
        plain = random.Random(7)
        expected = "".join(plain.choice(pool) for _ in range(number)), plain.random()
        with pinned(Pins(1, 7)):
            assert (mock_random.text_of(pool, number), mock_random.random()) == expected


def test_a_server_imports_no_test_runner() -> None:
    """What is installed for tests costs a server neither time nor memory."""
    code = "import sys, perdure.engine.pins; assert 'pytest' not in sys.modules; import pytest"
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
