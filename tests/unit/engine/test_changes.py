"""What changed is saved: whoever changed it, whenever a save comes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.unit.engine.conftest import ACCOUNT, Disk, key

from perdure.engine.core import Engine
from perdure.engine.lock import ENGINE_LOCK, running, waiting
from perdure.engine.process import ACCOUNTS_BY_KEY, VISITS
from perdure.engine.quirks.identity import write_visits
from perdure.engine.stores import STORES
from perdure.errors import CaptureError
from perdure.persistence.writer import Writer


def test_a_store_changed_after_a_wait_is_saved(disk: Disk, moto: Any) -> None:
    """A save that comes while a call waits does not end the call's claim on its stores."""
    with running():
        queue = moto.store("sqs").create_queue("q", {})
        with waiting():
            disk.save()
        queue.tags["after"] = "the wait"

    assert disk.save() == {key("sqs")}
    disk.restart()
    assert moto.store("sqs").queues["q"].tags == {"after": "the wait"}


def test_a_call_in_between_does_not_hide_what_another_touched(disk: Disk, moto: Any) -> None:
    """While one call waits another runs; both calls' stores count as changed."""
    with running():
        moto.store("sqs").create_queue("q", {})
        with running():
            moto.store("sns").create_topic("t")

    assert disk.save() >= {key("sqs"), key("sns")}


def test_a_thread_of_moto_changes_the_stores_of_its_call(disk: Disk, moto: Any) -> None:
    """A thread that moto starts in a call claims the stores that call had in hand."""
    held = ENGINE_LOCK._release_save()
    try:
        with running():
            queue = moto.store("sqs").create_queue("q", {})

            def work() -> None:
                queue.tags["by"] = "a thread"

            work.__module__ = "moto.test"
            thread = threading.Thread(target=work)
            thread.start()
            disk.save()
        thread.join(5)
    finally:
        ENGINE_LOCK._acquire_restore(held)

    assert key("sqs") in disk.save()


def test_visits_of_a_quarantined_iam_keep_no_save_from_happening(disk: Disk, moto: Any) -> None:
    """Last-used dates of keys that cannot be seen are dropped, and the others saved."""
    ACCOUNTS_BY_KEY["AKIA"] = ACCOUNT
    moto.store("sqs").create_queue("q", {})
    moto.store("iam", "aws")
    disk.save()
    disk.restart()
    disk.files[key("iam", "aws")] = b"damaged"
    disk.engine.load(key("iam", "aws"))
    VISITS["AKIA"] = (None, "sqs", "us-east-1")

    write_visits()
    moto.store("sqs").queues["q"].tags["a"] = "b"

    assert VISITS == {}
    assert disk.save() == {key("sqs")}


def test_one_store_that_cannot_be_written_keeps_no_other_from_it(
    engine: Engine, moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever writing one store raises, the others are captured."""
    moto.store("sqs")
    moto.store("sns")
    dump = Writer.dump

    def failing(writer: Writer, attributes: dict[str, Any]) -> Any:
        if writer.key == key("sqs"):
            raise KeyError("unheard of")
        return dump(writer, attributes)

    monkeypatch.setattr(Writer, "dump", failing)
    captured = engine.capture()

    assert key("sns") in captured.graphs
    assert isinstance(captured.failed[key("sqs")], CaptureError)


def test_a_store_that_half_came_is_none(
    disk: Disk, moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If giving objects their class fails, the store is quarantined, never served empty."""
    moto.store("sqs").create_queue("q", {})
    disk.save()
    disk.restart()
    monkeypatch.setattr("perdure.engine.loading.lay_over", lambda *_: 1 / 0)

    disk.engine.load(key("sqs"))

    assert "cannot be rebuilt" in STORES.quarantined[key("sqs")]
    assert STORES.find(key("sqs")) is None


def test_resetting_s3_frees_its_bucket_names(disk: Disk, moto: Any) -> None:
    """A reset of a damaged S3 leaves no trace of buckets in what belongs to no store."""
    moto.store("s3", "aws").create_bucket("bucket", "us-east-1")
    disk.save()
    disk.restart()
    disk.files[key("s3", "aws")] = b"damaged"
    disk.engine.load(key("s3", "aws"))

    for dropped in disk.engine.reset("s3"):
        del disk.shares[dropped]

    assert moto.store("s3", "aws").create_bucket("bucket", "us-east-1").name == "bucket"


def test_resetting_a_service_others_refer_to_loads_it_first(disk: Disk, moto: Any) -> None:
    """A stack whose bucket's service is reset unloaded still loads afterwards."""
    moto.store("s3", "aws")
    moto.store("cloudformation").create_stack(
        name="stack",
        template='{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}',
        parameters={},
        tags={},
        role_arn=None,
    )
    disk.save()
    disk.restart()

    assert disk.engine.reset("s3") == set()
    disk.save()
    disk.restart()

    assert len(moto.store("cloudformation").stacks) == 1
    assert moto.store("s3", "aws").buckets == {}
