"""A mutated engine: classes renamed, attributes added, dropped, retyped; files of before.

Each test saves a store, changes moto's classes as a newer moto would, and loads.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import moto as moto_package
import pytest
from moto.sqs.models import Message, Queue
from tests.unit.engine.conftest import Disk, key

from perdure.engine import migrations
from perdure.engine.constructors import defaults_of
from perdure.engine.core import Engine
from perdure.engine.migrations import Added, Dropped, Moved, Renamed, Retyped, Rewritten, Row
from perdure.engine.stores import STORES, QuarantinedError
from perdure.engine.translation import translation_of
from perdure.persistence.keys import Lsn
from perdure.persistence.statefile import ClassRow, StateFile, decode, encode

NOW = moto_package.__version__
OLD = {"perdure": "0.1.0", "moto": "5.2.3"}
QUEUE = "sqs.models:Queue"
SQS = key("sqs")
original = Queue.__init__


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    """Constructors are read once a process; here they change."""
    defaults_of.cache_clear()
    yield
    defaults_of.cache_clear()


@pytest.fixture
def saved(disk: Disk, moto: Any) -> Disk:
    """A queue with a message, in a file an older moto wrote."""
    disk.written_by = OLD
    queue = moto.store("sqs").create_queue("q", {})
    queue.visibility_timeout = 7
    received = Message("m", "body", {})
    # So it stands in the graph.
    received.receipt_handle = "handle"
    queue._messages.append(received)
    disk.save()
    disk.restart()
    return disk


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces the table by rows of its own."""

    def put(*rows: Row) -> None:
        monkeypatch.setattr(migrations, "TABLE", rows)

    put()
    return put


def load() -> Any:
    """The queue, loaded."""
    from moto.sqs.models import sqs_backends

    return sqs_backends["000000000000"]["us-east-1"].queues["q"]


def test_the_header_says_what_each_class_had(saved: Disk) -> None:
    """A state file names the attributes its objects have, class by class."""
    rows = {row.name: row.attributes for row in saved.fetch(SQS)[0].graph.classes}

    assert {"_name", "visibility_timeout", "_messages"} <= set(rows["Queue"])
    assert "body" in rows["Message"]
    assert list(rows["Queue"]) == sorted(rows["Queue"])


def test_a_renamed_class_is_found_by_its_row(
    saved: Disk, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects of a class that goes by another name are of that one."""
    table(Moved(NOW, "sqs.models:Letter", "test", "sqs.models:Message"))
    own = {k: v for k, v in vars(Message).items() if k not in ("__dict__", "__weakref__")}
    letter = type("Letter", Message.__bases__, own)
    monkeypatch.setattr("moto.sqs.models.Letter", letter, raising=False)
    monkeypatch.delattr("moto.sqs.models.Message")

    assert [type(m) for m in load()._messages] == [letter]
    assert saved.reports == {}


def test_a_class_that_was_renamed_twice_is_found(saved: Disk, table: Any) -> None:
    """Rows are applied in the order of their versions, wherever they stand."""
    table(
        Moved(NOW, "sqs.models:Message", "test", "sqs.models:Second"),
        Moved("5.2.4", "sqs.models:Second", "test", "sqs.models:First"),
    )
    rewrite(saved, classes={"Message": "First"})

    assert [type(m) for m in load()._messages] == [Message]


def test_an_added_attribute_gets_the_default_its_constructor_spells_out(
    saved: Disk, table: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No row is needed for a literal; nothing is reported."""

    def init(self: Any, name: str, region: str, account_id: str, **more: Any) -> None:
        original(self, name, region, account_id, **more)
        self.policies = {"a": 1}
        self.owner = more.get("owner", "nobody")

    monkeypatch.setattr(Queue, "__init__", init)

    queue = load()
    assert (queue.policies, queue.owner) == ({"a": 1}, "nobody")
    assert queue.visibility_timeout == 7
    assert STORES.incomplete == {}
    assert caplog.records == []


def test_an_added_attribute_without_a_default_is_reported(
    saved: Disk, table: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The store works; log and health name the attribute, also after the next save."""

    def init(self: Any, name: str, region: str, account_id: str, **more: Any) -> None:
        original(self, name, region, account_id, **more)
        self.made_at = time.time()

    monkeypatch.setattr(Queue, "__init__", init)
    with caplog.at_level(logging.WARNING):
        queue = load()

    assert "Queue.made_at" in caplog.text
    assert not hasattr(queue, "made_at")
    assert Engine.incomplete() == {SQS: ["Queue.made_at"]}

    saved.written_by = {"perdure": "0.1.0", "moto": NOW}
    queue._messages.clear()
    STORES.dirty.add(SQS)
    saved.save()
    saved.restart()
    assert Engine.incomplete() == {}
    queue = load()
    assert Engine.incomplete() == {SQS: ["Queue.made_at"]}

    queue.made_at = 1.0
    STORES.dirty.add(SQS)
    saved.save()
    saved.restart()
    load()
    assert Engine.incomplete() == {}


def test_a_reset_ends_what_is_incomplete(saved: Disk) -> None:
    """What was emptied lacks nothing."""
    load()
    STORES.incomplete[SQS] = ("Queue.made_at",)
    saved.engine.reset("sqs")

    assert Engine.incomplete() == {}


def test_a_row_says_what_a_constructor_does_not(
    saved: Disk, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default that comes from the object, or from its store's key, needs a row."""

    def init(self: Any, name: str, region: str, account_id: str, **more: Any) -> None:
        original(self, name, region, account_id, **more)
        self.label = f"{name}!"
        self.where = region

    monkeypatch.setattr(Queue, "__init__", init)
    table(
        Added(NOW, QUEUE, "test", "label", lambda queue, _: f"{queue.name}!"),
        Added(NOW, QUEUE, "test", "where", lambda _, at: at.region),
    )

    assert (load().label, load().where) == ("q!", "us-east-1")
    assert STORES.incomplete == {}


def test_attributes_are_renamed_dropped_retyped_and_rewritten(saved: Disk, table: Any) -> None:
    """Each kind of row does what it says, in order, for subclasses' objects too."""

    def split(attributes: dict[str, Any]) -> None:
        attributes["low"], attributes["high"] = attributes["seconds"], 100

    table(
        Rewritten(NOW, QUEUE, "test", split),
        Retyped("5.2.4", QUEUE, "test", "seconds", str),
        Renamed("5.2.4", QUEUE, "test", "seconds_before", "seconds"),
        Renamed("5.2.4", QUEUE, "test", "visibility_timeout", "seconds_before"),
        Dropped("5.2.4", "core.common_models:BaseModel", "test", "deleted_messages"),
    )
    table(*reversed(migrations.TABLE))  # rows of one version keep their order

    queue = load()
    assert (queue.seconds, queue.low, queue.high) == ("7", "7", 100)
    assert "visibility_timeout" not in queue.__dict__
    assert "deleted_messages" not in queue.__dict__


def test_a_property_takes_over_the_value_of_its_attribute(
    saved: Disk, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attribute that became a property over ``_name`` keeps its value."""
    monkeypatch.setattr(
        Queue, "visibility_timeout", property(lambda q: q._visibility_timeout), raising=False
    )

    assert load().visibility_timeout == 7


def test_rows_of_other_versions_are_not_applied(saved: Disk, table: Any) -> None:
    """Only rows later than the file's moto and not later than the running one count."""
    table(
        Dropped("5.2.3", QUEUE, "test", "visibility_timeout"),
        Dropped("99.0", QUEUE, "test", "permissions"),
    )
    queue = load()

    assert "visibility_timeout" in queue.__dict__
    assert "permissions" in queue.__dict__


def test_a_file_of_this_moto_is_left_alone(disk: Disk, moto: Any, table: Any) -> None:
    """Between equal versions nothing is looked at."""
    disk.written_by = {"perdure": "0.0.1", "moto": NOW}
    moto.store("sqs").create_queue("q", {})
    disk.save()
    state, _ = disk.fetch(SQS)

    assert translation_of(state) is None
    assert translation_of(replace(state, written_by={})) is None
    assert translation_of(replace(state, written_by=OLD)) is not None


def test_a_class_that_is_gone_sets_its_store_aside(
    saved: Disk, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason names the class and both versions."""
    monkeypatch.delattr("moto.sqs.models.Message")
    with pytest.raises(QuarantinedError):
        load()

    for text in ("moto.sqs.models.Message", "moto 5.2.3", f"moto {NOW}"):
        assert text in saved.reports[SQS]


def test_a_class_with_another_base_sets_its_store_aside(
    saved: Disk, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that was no container does not become one."""

    class Letters(list[Any]):
        pass

    Letters.__module__, Letters.__qualname__ = "moto.sqs.models", "Message"
    monkeypatch.setattr("moto.sqs.models.Message", Letters)
    with pytest.raises(QuarantinedError):
        load()

    assert "moto 5.2.3" in saved.reports[SQS]


def test_a_value_the_table_cannot_take_sets_its_store_aside(saved: Disk, table: Any) -> None:
    """A function of the table that fails is a reason that names the row, not a half store."""
    table(Retyped(NOW, QUEUE, "test", "_name", int))
    with pytest.raises(QuarantinedError):
        load()

    assert "sqs.models:Queue._name" in saved.reports[SQS]


@pytest.mark.parametrize("written", ["", "five", "5.2.3.x!", "9" * 5000])
def test_a_version_that_is_none_sets_the_store_aside(saved: Disk, written: str) -> None:
    """What is no version of moto cannot be migrated from."""
    rewrite(saved, written_by={"moto": written})
    with pytest.raises(QuarantinedError):
        load()

    assert "no version of moto" in saved.reports[SQS]


def test_a_stores_own_attributes_are_brought_up_to_date(saved: Disk, table: Any) -> None:
    """Rows hold for stores as for any object."""
    table(Renamed(NOW, "sqs.models:SQSBackend", "test", "queues_before", "queues"))
    rewrite(saved, attributes={"queues": "queues_before"})

    assert load().visibility_timeout == 7
    assert STORES.incomplete == {}


def test_what_a_store_has_no_place_for_is_reported(saved: Disk, table: Any) -> None:
    """Attributes of a store nobody will look at again are named, not forgotten."""
    rewrite(saved, attributes={"queues": "queues_before"})
    with pytest.raises(KeyError):
        load()

    assert Engine.incomplete() == {SQS: ["SQSBackend.queues_before"]}


def test_members_of_enumerations_are_renamed(disk: Disk, moto: Any, table: Any) -> None:
    """A member that goes by another name is that one."""
    from moto.kms.utils import KeySpec

    member = next(iter(KeySpec))
    disk.written_by = OLD
    moto.store("kms").spec = member
    disk.save()
    disk.files[key("kms")] = rebuilt(
        disk.files[key("kms")], lambda data: data.replace(short(member.name), short("BEFORE"))
    )
    disk.restart()
    table(Renamed(NOW, "kms.utils:KeySpec", "test", "BEFORE", member.name))

    assert moto.store("kms").spec is member


def test_a_shared_object_is_as_old_as_the_file_that_carries_it(
    disk: Disk, moto: Any, table: Any
) -> None:
    """A referrer that was saved since does not hide that the object is of before."""
    moto.store("sqs").held = next(iter(moto.store("ec2").vpcs.values()))
    disk.save()
    disk.files[key("ec2")] = rebuilt(disk.files[key("ec2")], written_by=OLD)
    table(Added(NOW, "ec2.models.vpcs:VPC", "test", "added", lambda *_: "yes"))
    disk.restart()

    assert moto.store("sqs").held.added == "yes"
    assert disk.reports == {}


# ----------------------------------------------------------------- file surgery


def short(text: str) -> bytes:
    """Text as a payload has it."""
    return b"\x8c" + bytes([len(text)]) + text.encode()


def rebuilt(data: bytes, payload: Any = None, **changes: Any) -> bytes:
    """A file with another payload or header, its checksums right."""
    state = decode(data, path=None)  # type: ignore[arg-type]
    graph = state.graph
    if payload is not None:
        # Frames count bytes; a reader needs none of them.
        body = graph.payload
        if body[2:3] == b"\x95":
            body = body[:2] + body[11:]
        graph = replace(graph, payload=payload(body))
    return encode(replace(state, graph=graph, **changes))


def rewrite(
    disk: Disk,
    classes: dict[str, str] | None = None,
    attributes: dict[str, str] | None = None,
    **changes: Any,
) -> None:
    """Make the file of SQS one of another moto."""
    state, _ = disk.fetch(SQS)
    rows = tuple(
        ClassRow(row.module, (classes or {}).get(row.name, row.name), row.attributes)
        for row in state.graph.classes
    )

    def renamed(payload: bytes) -> bytes:
        for old, new in (attributes or {}).items():
            assert payload.count(short(old)) == 1
            payload = payload.replace(short(old), short(new))
        return payload

    disk.files[SQS] = rebuilt(disk.files[SQS], renamed, **changes)
    state = decode(disk.files[SQS], path=None)  # type: ignore[arg-type]
    graph = replace(state.graph, classes=rows)
    disk.files[SQS] = encode(StateFile(SQS, Lsn(1), state.written_by, graph))
    assert json.dumps(state.written_by)
    disk.restart()
