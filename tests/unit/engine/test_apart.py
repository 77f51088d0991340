"""A capture in two halves: the second may happen in a child, and then decides nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.engine.conftest import Disk, key

from perdure.engine.capture import Capture, Move
from perdure.engine.core import Engine
from perdure.engine.costs import COSTS, Costs
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES
from perdure.errors import CaptureError
from perdure.persistence.keys import ExportId, StoreKey
from perdure.persistence.writer import OutOfTimeError

SQS, SNS, SSM = key("sqs"), key("sns"), key("ssm")


@pytest.fixture(autouse=True)
def _no_costs_known() -> Iterator[None]:
    COSTS._seconds.clear()
    COSTS.here.clear()
    yield
    COSTS._seconds.clear()
    COSTS.here.clear()


def some_stores(moto: Any) -> None:
    moto.store("sqs").create_queue("q", {})
    moto.store("sns").create_topic("t")
    moto.store("ssm")


def begun(engine: Engine, budget_seconds: float) -> Capture:
    return engine.begin_capture(engine.changed(), budget_seconds=budget_seconds)


def test_both_halves_are_one_capture(disk: Disk, moto: Any) -> None:
    """What is left and finished later is, to the byte, what one capture would have been."""
    some_stores(moto)
    disk.save()
    whole = disk.engine.begin_capture(disk.engine.living(), budget_seconds=None).result
    halves = disk.engine.begin_capture(disk.engine.living(), budget_seconds=0)
    assert halves.left == disk.engine.living()
    assert halves.result.graphs == {}
    assert halves.finish_apart() is None

    assert halves.result.graphs == whole.graphs


def test_a_budget_leaves_what_is_known_to_be_large(disk: Disk, moto: Any) -> None:
    """Stores are captured at once while they fit, cheapest first; the others are left."""
    some_stores(moto)
    COSTS.note(SQS, 3.0)
    COSTS.note(SNS, 1.0)
    COSTS.note(SSM, 2.0)

    work = begun(disk.engine, 3.5)

    assert work.left == {SQS}
    assert work.result.graphs.keys() == {SNS, SSM}
    assert COSTS.seconds(SNS) < 1.0, "it was measured anew"


def test_a_store_nobody_knows_is_given_up_when_it_takes_too_long(disk: Disk, moto: Any) -> None:
    """A store that outgrew its estimate is left, costs little more, and is known from then on."""
    some_stores(moto)
    for number in range(20_000):
        moto.store("sqs").queues["q"].tags[f"tag{number}"] = {"value": [str(number)]}
    started = time.perf_counter()
    whole = disk.engine.begin_capture({SQS}, budget_seconds=None).result.graphs[SQS]
    took = time.perf_counter() - started
    COSTS._seconds.clear()
    STORES.dirty.add(SQS)

    work = disk.engine.begin_capture({SQS}, budget_seconds=0.001)

    assert work.left == {SQS}
    assert SQS not in work.result.graphs
    assert 0.001 < COSTS.seconds(SQS) < took
    assert COSTS.beyond({SQS}, 0.001, {}) == {SQS}
    assert work.finish_apart() is None
    assert work.result.graphs[SQS] == whole
    assert COSTS.seconds(SQS) > 0.001


def test_what_is_left_counts_as_captured(disk: Disk, moto: Any) -> None:
    """From the first half on only what changes afterwards is changed."""
    some_stores(moto)
    work = begun(disk.engine, 0)
    assert work.left >= {SQS, SNS}
    assert disk.engine.changed() == set()
    moto.store("sns").create_topic("later")

    assert disk.engine.changed() == {SNS}


def test_objects_shared_anew_are_a_decision(disk: Disk, moto: Any) -> None:
    """A child that gives an object its first id is told to be of no use."""
    some_stores(moto)
    moto.store("sns").held = moto.store("sqs").queues["q"]
    work = begun(disk.engine, 0)

    assert "shared" in str(work.finish_apart())


def test_objects_shared_before_are_none(disk: Disk, moto: Any) -> None:
    """An object that has its id and its home is captured apart as it was at once."""
    some_stores(moto)
    moto.store("sns").held = moto.store("sqs").queues["q"]
    disk.save()
    last = SHARING.last
    moto.store("sns").create_topic("more")
    moto.store("sqs").queues["q"].tags["a"] = "b"
    whole = disk.engine.begin_capture({SQS, SNS}, budget_seconds=None).result.graphs
    work = disk.engine.begin_capture({SQS, SNS}, budget_seconds=0)

    assert work.finish_apart() is None
    assert work.result.graphs == whole
    assert SHARING.last == last


def test_sharing_found_between_the_halves_is_settled(disk: Disk, moto: Any) -> None:
    """A small store's new share of a large one's object ends in one file, whoever finishes."""
    some_stores(moto)
    disk.save()
    moto.store("sns").held = moto.store("sqs").queues["q"]
    COSTS.note(SQS, 9.0)
    COSTS.note(SNS, 0.0)
    work = begun(disk.engine, 1.0)
    assert work.left == {SQS}
    number = SHARING.id_of(moto.store("sqs").queues["q"])
    assert work.result.graphs[SNS].shares.exports == {number}, "nobody else can have it yet"
    assert work.finish_apart() is None

    graphs = work.result.graphs
    assert graphs[SQS].shares.exports == graphs[SNS].shares.imports == {number}
    assert graphs[SNS].shares.exports == set()
    assert work.apart == {SQS, SNS}
    assert work.moves == [(number, None, SQS)]


def test_the_parent_decides_what_its_child_decided(disk: Disk, moto: Any) -> None:
    """Homes are taken over unless one has changed; stores captured apart are not here as well."""
    some_stores(moto)
    work = begun(disk.engine, 5)
    number = SHARING.share(moto.store("sqs").queues["q"])
    gone = ExportId(SHARING.last + 7)
    assert {SQS, SNS} <= work.result.graphs.keys()
    failure = CaptureError("a", "b", "c")

    assert not work.take_over({SQS}, [Move(number, SNS, SQS)], {SNS: failure})
    assert SHARING.home(number) is None
    assert {SQS, SNS} <= work.result.graphs.keys()
    assert work.take_over({SQS}, [Move(number, None, SQS), Move(gone, None, SQS)], {SNS: failure})
    assert SHARING.home(number) == SQS
    assert SHARING.home(gone) is None
    assert not work.result.graphs.keys() & {SQS, SNS}
    assert work.result.failed == {SNS: failure}
    assert SNS in disk.engine.changed()


def test_twins_are_found_across_the_halves(disk: Disk, moto: Any) -> None:
    """Two regions that hold one object share it, though one was small and the other large."""
    other = key("sqs", "eu-west-1")
    queue = moto.store("sqs").create_queue("q", {})
    moto.store("sqs", "eu-west-1").held = queue
    COSTS.note(SQS, 9.0)
    COSTS.note(other, 0.0)
    work = begun(disk.engine, 1.0)
    assert work.left == {SQS}
    reason = work.finish_apart()

    graphs = work.result.graphs
    assert len(graphs[SQS].shares.exports | graphs[other].shares.exports) == 1
    assert graphs[SQS].shares.imports | graphs[other].shares.imports
    assert reason is not None


def test_a_failure_the_state_explains_is_no_decision(disk: Disk, moto: Any) -> None:
    """A large store that cannot be saved is reported as such, not tried again in process."""
    some_stores(moto)
    moto.store("sqs").cannot = lambda: 0
    work = begun(disk.engine, 0)

    assert work.finish_apart() is None
    assert isinstance(work.result.failed[SQS], CaptureError)
    assert "cannot" in work.result.failed[SQS].path
    assert SNS in work.result.graphs


def test_a_failure_nothing_explains_is_one(disk: Disk, moto: Any) -> None:
    """What only a child cannot read is captured in process, from then on at once."""
    some_stores(moto)
    body = tempfile.SpooledTemporaryFile(max_size=1)  # noqa: SIM115 - the store holds it
    body.write(b"on disk")
    moto.store("sqs").body = body
    file = body._file
    body.__dict__["_file"] = Unreadable()
    work = begun(disk.engine, 0)
    assert f"store {SQS}: it holds bodies in files on disk" in str(work.finish_apart())
    assert work.unexpected == {SQS}
    body.__dict__["_file"] = file

    COSTS.here.update(work.unexpected)
    COSTS.note(SQS, 9.0)
    again = disk.engine.begin_capture({SQS, SNS}, budget_seconds=0)
    assert again.left == {SNS}
    assert SQS in again.result.graphs
    body.close()


class Unreadable:
    """A file whose descriptor is gone."""

    closed = False

    def tell(self) -> int:
        raise OSError(9, "Bad file descriptor")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("large", [{SQS}, {SNS}, {SQS, SNS}, set()], ids=len)
def test_an_old_file_finds_its_object_whoever_was_large(
    disk: Disk, moto: Any, large: set[StoreKey]
) -> None:
    """What a store that cannot be written refers to on disk is carried on, in any split."""
    some_stores(moto)
    moto.store("sns").held = moto.store("sqs").queues["q"]
    disk.save()
    moto.store("sns").cannot = lambda: 0
    del moto.store("sqs").queues["q"]
    for k in (SQS, SNS):
        COSTS.note(k, 9.0 if k in large else 0.0)
    work = begun(disk.engine, 5.0)
    assert work.left == large
    if large:
        assert work.finish_apart() is None
    disk.write(work.result.graphs)
    disk.restart()

    assert moto.store("sns").held.name == "q"
    assert moto.store("sqs").queues == {}
    assert disk.reports == {}


def test_loading_another_store_is_a_decision(disk: Disk, moto: Any) -> None:
    """A child in which a store was loaded is of no use: its parent has not loaded it."""
    some_stores(moto)
    disk.save()
    disk.restart()
    moto.store("ssm")
    work = disk.engine.begin_capture({SSM, SQS}, budget_seconds=0)

    assert work.finish_apart() is not None


# ------------------------------------------------------------------ the costs


def test_costs_are_remembered_per_store() -> None:
    """A store's cost is what it took last; one that was given up costs twice what was tried."""
    costs = Costs()
    assert costs.seconds(SQS) is None
    with costs.noted(SQS):
        sum(range(100_000))
    assert 0 < costs.seconds(SQS) < 1
    with pytest.raises(OutOfTimeError), costs.noted(SQS):
        time.sleep(0.02)
        raise OutOfTimeError
    assert 0.04 <= costs.seconds(SQS) < 1
    with pytest.raises(ValueError), costs.noted(SNS):
        raise ValueError
    assert costs.seconds(SNS) is None


def test_what_is_beyond_a_budget() -> None:
    """The cheapest that fit together stay; stores nobody knows are never beyond it."""
    costs = Costs()
    for k, seconds in ((SQS, 3.0), (SNS, 1.0), (SSM, 2.0)):
        costs.note(k, seconds)
    unknown = key("ec2")
    everything = {SQS, SNS, SSM, unknown}

    assert costs.beyond(everything, 10, {}) == set()
    assert costs.beyond(everything, 3.0, {}) == {SQS}
    assert costs.beyond(everything, 2.9, {}) == {SQS, SSM}
    assert costs.beyond(everything, 0, {}) == {SQS, SNS, SSM}
    # What is known of their suspects counts for more, also of one that never was captured.
    assert costs.beyond(everything, 2.9, {unknown: 9.0}) == {SQS, SSM, unknown}
    assert costs.beyond(everything, 3.0, {SSM: 4.0}) == {SQS, SSM}
    assert costs.order(everything) == [SNS, SSM, SQS, unknown]
    costs.here.add(SQS)
    assert costs.beyond(everything, 0, {}) == {SNS, SSM}
