"""A store that cannot be written, or was set aside, keeps a file that can be loaded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.engine.conftest import Disk, key

from perdure.engine.capture import KEPT
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES, QuarantinedError
from perdure.errors import HostileStateError
from perdure.persistence.reader import Reader
from perdure.persistence.statefile import Shares

SQS, SNS, ACM = key("sqs"), key("sns"), key("acm")


def held_by(disk: Disk, moto: Any, *modules: str) -> None:
    """A queue that stores of other services hold, too; saved."""
    queue = moto.store("sqs").create_queue("shared", {})
    queue.tags["held"] = "yes"
    for module in modules:
        moto.store(module).held = queue
    disk.save()


def damage(disk: Disk, module: str) -> None:
    """The next load of that service finds its file damaged, until ``mend``."""
    found = {k: disk.files.pop(k) for k in list(disk.files) if k.module == module}
    disk.__dict__.setdefault("damaged", {}).update(found)


def mend(disk: Disk) -> None:
    """Put the damaged files back."""
    disk.files.update(disk.__dict__["damaged"])


def save_what_can_be(disk: Disk) -> set[Any]:
    """Save; which stores could not be."""
    captured = disk.engine.capture()
    disk.write(captured.graphs)
    return set(captured.failed)


def test_the_old_file_of_a_store_that_cannot_be_written_finds_its_object(
    disk: Disk, moto: Any
) -> None:
    """Its home goes on carrying what the old file refers to, though it has dropped it."""
    held_by(disk, moto, "sns")
    moto.store("sns").create_topic("important")
    disk.save()
    moto.store("sns").cannot = lambda: 0
    moto.store("sqs").create_queue("new", {})
    del moto.store("sqs").queues["shared"]

    assert save_what_can_be(disk) == {SNS}
    disk.restart()

    assert list(moto.store("sns").topics) == ["arn:aws:sns:us-east-1:000000000000:important"]
    assert moto.store("sns").held.tags == {"held": "yes"}
    assert list(moto.store("sqs").queues) == ["new"]
    assert not hasattr(moto.store("sqs"), KEPT)
    assert disk.reports == {}


def test_a_store_that_was_set_aside_can_be_repaired(disk: Disk, moto: Any) -> None:
    """What its file refers to is kept while it is set aside, over saves and restarts."""
    held_by(disk, moto, "sns")
    disk.restart()
    damage(disk, "sns")
    for name in ("one", "two"):
        with pytest.raises(QuarantinedError):
            moto.store("sns")
        moto.store("sqs").queues.pop("shared", None)
        moto.store("sqs").create_queue(name, {})
        disk.save()
        disk.restart()
    mend(disk)
    disk.restart()

    assert moto.store("sns").held.tags == {"held": "yes"}
    assert list(moto.store("sqs").queues) == ["one", "two"]


def test_a_store_set_aside_takes_nothing_over(disk: Disk, moto: Any) -> None:
    """An object its home has dropped moves to a store that can be written."""
    held_by(disk, moto, "acm", "sns")
    disk.restart()
    damage(disk, "acm")
    with pytest.raises(QuarantinedError):
        moto.store("acm")
    assert moto.store("sns").held is moto.store("sqs").queues["shared"]
    del moto.store("sqs").queues["shared"]

    assert save_what_can_be(disk) == set()
    disk.restart()

    assert moto.store("sns").held.tags == {"held": "yes"}


def test_a_reload_takes_along_what_only_the_disk_ties(disk: Disk, moto: Any) -> None:
    """What memory no longer shares, files still do: both are loaded again, as one."""
    held_by(disk, moto, "sns")
    del moto.store("sqs").queues["shared"]

    for each in sorted(disk.engine.reload("sqs")):
        if each in disk.engine.unloaded():
            disk.engine.load(each)

    assert disk.reports == {}
    assert moto.store("sns").held is moto.store("sqs").queues["shared"]


def test_what_a_load_within_a_save_changes_is_saved_by_the_next(
    disk: Disk, moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store changed after its turn in a capture still counts as changed."""
    held_by(disk, moto, "sns")
    disk.restart()
    topics = moto.store("acm")  # is captured before sns is loaded
    topics.mark = 1
    del moto.store("sqs").queues["shared"]
    loader = STORES.loader
    assert loader is not None

    def load(wanted: Any) -> None:
        loader(wanted)
        moto.store("acm").mark = 2

    monkeypatch.setattr(STORES, "loader", load)
    assert SNS in STORES.unloaded
    disk.save()
    monkeypatch.setattr(STORES, "loader", loader)

    assert ACM in STORES.dirty
    disk.save()
    disk.restart()
    assert moto.store("acm").mark == 2


def test_a_revival_meets_a_store_that_is_set_aside(disk: Disk, moto: Any) -> None:
    """It sets its own store aside too, by name; nothing escapes the load."""
    from moto.cloudformation.custom_model import CustomModel

    stack = moto.store("cloudformation").create_stack(
        "s", json.dumps({"Resources": {}}), {}, [], {}
    )
    stack.add_custom_resource(CustomModel("us-east-1", "r", "C", "c"))
    stack.status = "CREATE_IN_PROGRESS"
    disk.save()
    disk.restart()

    def fails(*_: Any, **__: Any) -> None:
        raise QuarantinedError(SNS, "damaged")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(stack), "_add_stack_event", fails)
        disk.engine.load_all()

    assert "damaged" in disk.reports[key("cloudformation")]


def test_an_object_the_header_does_not_name_is_refused(disk: Disk, moto: Any) -> None:
    """Who carries and who refers is decided by headers: a payload may not say otherwise."""
    held_by(disk, moto, "sns")
    state, path = disk.fetch(SNS)
    object.__setattr__(state.graph, "shares", Shares())
    from perdure.engine.policy import POLICY

    reader = Reader(POLICY, SHARING)
    try:
        with pytest.raises(HostileStateError, match="not in its header"):
            reader.load(state, path=path)
    finally:
        reader.abandon()


def test_homes_that_never_settle_fail_their_stores_alone(
    disk: Disk, moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keeps a capture from settling, the other stores are saved."""
    held_by(disk, moto, "sns")
    moto.store("acm").mark = 1
    monkeypatch.setattr("perdure.engine.capture.Capture._claims", lambda _: {SQS}, raising=True)
    STORES.dirty |= {SQS, SNS}

    assert save_what_can_be(disk) == {SQS}
    disk.restart()
    assert moto.store("acm").mark == 1


def test_a_lost_home_is_named(disk: Disk, moto: Any) -> None:
    """A store whose shared objects were reset says so, instead of asking for repair."""
    held_by(disk, moto, "sns")
    disk.shares[SQS] = Shares()
    disk.engine.saved_again()
    disk.restart()

    with pytest.raises(QuarantinedError):
        moto.store("sns")
    assert "its store was reset" in disk.reports[SNS]
