"""Objects and parameters that come and go between memory and disk are those that never did."""

from __future__ import annotations

import json
import pickle
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.coverage.memory_disk import Disk
from tests.unit.engine import test_buckets, test_lookups
from tests.unit.engine.both_ways import Script, compare
from tests.unit.engine.conftest import key
from tests.unit.engine.restarts import Restarts, check_rows, restart

from perdure.engine.bodies import BLOBS
from perdure.engine.collections import objects, parameters
from perdure.engine.collections.forms import FILE_BYTES_MAX, Forms
from perdure.engine.collections.named import Named
from perdure.engine.collections.tracked import STANDS, Unfit, reading
from perdure.engine.core import Engine
from perdure.engine.sharing import SHARING
from perdure.errors import LoadError
from perdure.persistence import delta
from perdure.persistence.blobs import BlobStore
from perdure.persistence.body import Body, whole
from perdure.persistence.entries import row_of
from perdure.persistence.keys import Lsn

S3, SSM = key("s3", "aws"), key("ssm")


class Restarted(test_buckets.Chaos):
    """Random calls with restarts between them."""

    def __init__(self, script: Script, moto: Any, steps: int, restarts: Restarts) -> None:
        super().__init__(script, moto, steps)
        self.restarts, self.holds_bucket = restarts, False

    def do(self, action: Any) -> Any:
        if not self.holds_bucket:
            self.restarts.happen()
        # What is there after a restart are others than those that were made.
        self.store, self.made = self.moto.store("s3", "aws"), []
        return super().do(action)

    def list_1(self, bucket: str) -> None:
        self.holds_bucket = True
        super().list_1(bucket)
        self.holds_bucket = False

    def list_2(self, bucket: str) -> None:
        self.holds_bucket = True
        super().list_2(bucket)
        self.holds_bucket = False

    def meddle(self, bucket: str) -> None:
        """As there, but for what is in memory only by chance."""
        keys = self.store.buckets[bucket].keys
        kind = self.pick.randrange(3)
        name = next(iter(keys), None)
        versions = keys.getlist(name, [])
        if kind == 0 and name is not None and all(hasattr(v, "dispose") for v in versions):
            keys.pop(name)
        elif kind == 1 and name is not None:
            del keys[name]
        elif "a" in keys:
            keys.setlist("a", list(keys.getlist("a")))

    def settle(self) -> None:
        """Note all that is there."""
        for bucket in self.moto.store("s3", "aws").buckets.values():
            assert len(bucket.keys) == len(list(dict.__iter__(bucket.keys.plain())))
            for name, versions in bucket.keys.iterlists():
                self.script.note([name, *(seen(version) for version in versions)])


def seen(version: Any) -> Any:
    """What is to be compared of a version."""
    attributes = dict(vars(version))
    if "_value_buffer" in attributes:
        attributes["_value_buffer"] = version.value
        attributes["lock"] = None
        attributes["_metadata"] = dict(version.metadata)
        attributes["acl"] = pickle.dumps(version.acl)
    else:
        attributes["key"] = seen(version.key)
    return repr(list(attributes.items()))


@pytest.mark.parametrize("seed", range(12))
def test_restarts_change_no_bucket(engine: Engine, disk: Disk, moto: Any, seed: int) -> None:
    """Answers, order and state are those of a server that never stopped."""
    restarts = Restarts(disk, seed)

    def script(running: Script) -> None:
        disk.clear()
        restarted = Restarted(running, moto, 100, restarts)
        restarted.run()
        restarted.settle()

    compare(engine, restarts.off, script, [], seed=seed)
    assert restarts.done >= {"restart", "fail", "save"}
    check_rows(disk)


class Parameters(test_lookups.Parameters):
    """Random calls of SSM with restarts between them."""

    def __init__(self, script: Script, moto: Any, restarts: Restarts) -> None:
        super().__init__(script, moto)
        self.restarts = restarts

    def call(self, operation: str, **parameters: Any) -> Any:
        self.restarts.happen()
        return super().call(operation, **parameters)

    def run(self) -> None:
        steps = [self.put] * 5 + [self.delete] * 2 + [self.below, self.get, self.get]
        steps += [self.secret, self.label, self.history, self.all]
        for _ in range(100):
            self.pick.choice(steps)(self.pick.choice(self.NAMES))

    def secret(self, name: str) -> None:
        given = {"Name": name, "Type": "SecureString", "Value": "s", "Description": "d"}
        self.call("PutParameter", **given, Overwrite=True)

    def label(self, name: str) -> None:
        self.call("LabelParameterVersion", Name=name, Labels=["one"])

    def history(self, name: str) -> None:
        self.call("GetParameterHistory", Name=name, WithDecryption=True)

    def all(self, _: str) -> None:
        self.call("DescribeParameters")


@pytest.mark.parametrize("seed", range(12))
def test_restarts_change_no_parameter(engine: Engine, disk: Disk, moto: Any, seed: int) -> None:
    """In the order in which they are described as well."""
    restarts = Restarts(disk, seed)

    def script(running: Script) -> None:
        disk.clear()
        Parameters(running, moto, restarts).run()
        for name, versions in moto.store("ssm")._parameters.items():
            running.note([name, *(list(vars(version).items()) for version in versions)])

    compare(engine, restarts.off, script, [], seed=seed)
    assert restarts.done >= {"restart", "fail", "save"}
    check_rows(disk)


class Bench:
    """A bucket, and what a checkpoint would write of it."""

    def __init__(self, disk: Disk, moto: Any) -> None:
        self.disk, self.moto = disk, moto
        self.store.create_bucket("bucket", "us-east-1")

    @property
    def store(self) -> Any:
        return self.moto.store("s3", "aws")

    @property
    def held(self) -> Any:
        held = self.store.buckets["bucket"].keys
        assert type(held) is objects.objects_class()
        return held

    def put(self, *names: str, body: bytes = b"x") -> None:
        for name in names:
            self.store.put_object("bucket", name, body)

    def restart(self) -> None:
        restart(self.disk)

    def written(self) -> list[str]:
        """The names of the objects that a checkpoint would write."""
        return [row.key for row in self.held.written(S3)[1]]

    def in_memory(self) -> list[str]:
        return list(dict.__iter__(self.held))

    def values(self) -> dict[str, Any]:
        """What stands in the rows on disk."""
        return {row.key: json.loads(row.value or b"") for row in self.disk.rows[S3].values()}


@pytest.fixture
def bench(disk: Disk, moto: Any) -> Bench:
    """An empty bucket."""
    return Bench(disk, moto)


NAMES = [f"{folder}/{n}" for folder in "abc" for n in range(5)]


def test_an_object_is_brought_when_it_is_asked_for(bench: Bench) -> None:
    """And no other; how many there are is known without."""
    bench.put(*NAMES)
    bench.restart()

    assert bench.store.get_object("bucket", "b/3").value == b"x"
    assert bench.store.get_object("bucket", "none") is None
    assert bench.in_memory() == ["b/3"]
    assert len(bench.held) == 15
    assert "a/0" in bench.held


def test_a_list_brings_its_page(bench: Bench) -> None:
    """Names alone are looked at besides."""
    bench.put(*NAMES)
    bench.restart()
    bucket = bench.store.buckets["bucket"]

    found, *_ = bench.store.list_objects_v2(
        bucket, "b/", None, continuation_token=None, start_after=None, max_keys=2
    )

    assert [key.name for key in found] == ["b/0", "b/1"]
    assert sorted(bench.in_memory()) == ["b/0", "b/1", "b/2"]


def test_a_checkpoint_writes_what_changed(bench: Bench) -> None:
    """Put, deleted, or handed out by a call that may have changed it, and differs."""
    bench.put(*NAMES)
    bench.restart()
    bench.put("new")
    bench.store.delete_object("bucket", "a/0")
    bench.store.put_object_tagging  # noqa: B018 - tags stand elsewhere
    bench.store.get_object("bucket", "a/1")
    bench.store.get_object("bucket", "a/2").set_storage_class("GLACIER")
    with reading():
        bench.store.get_object("bucket", "a/3")

    assert ("a/3", "") not in bench.held.suspects
    assert sorted(bench.written()) == ["a/0", "a/2", "new"]
    bench.disk.save()
    assert bench.written() == []


def test_what_is_put_again_is_last(bench: Bench) -> None:
    """As in a dict, whether a checkpoint lies between or not."""
    bench.put("a", "b", "c")
    bench.restart()
    bench.store.delete_object("bucket", "a")
    bench.put("a")
    assert list(dict.__iter__(bench.held.plain())) == ["b", "c", "a"]
    bench.restart()
    assert list(dict.__iter__(bench.held.plain())) == ["b", "c", "a"]


def test_people_read_what_is_special(bench: Bench) -> None:
    """A body as text, if it is, else as base64."""
    bench.put("t", body="h\u00e4llo".encode())
    bench.put("b", body=b"\xff\x00")
    bench.restart()

    found = bench.values()
    assert found["t"][0]["_value_buffer"]["text"] == "h\u00e4llo"
    assert found["b"][0]["_value_buffer"]["base64"] == "/wA="
    assert not found["t"][0].keys() & {"acl", "lock", "_metadata", "_storage_class", "_tick"}
    assert bench.store.get_object("bucket", "b").value == b"\xff\x00"


def test_a_row_makes_the_very_object(bench: Bench) -> None:
    """With all its attributes, in moto's order, whatever is unusual about it."""
    from moto.s3.models import get_canned_acl

    bench.put("a", "b")
    unusual = bench.store.get_object("bucket", "a")
    unusual.set_metadata({"x-amz-meta-a": "1"}, replace=True)
    unusual.set_acl(get_canned_acl("public-read"))
    unusual.restore(3)
    unusual.bucket_key_enabled, unusual.more = True, (1, None, [2.5])
    bare = bench.store.get_object("bucket", "b")
    del bare.checksum_parts
    before = [seen(unusual), seen(bare)]
    bench.restart()

    assert [seen(bench.store.get_object("bucket", name)) for name in "ab"] == before
    assert bench.values()["b"][0]["!"] == "all"


def test_usual_attributes_are_motos() -> None:
    """A moto that makes an object otherwise is seen: rows would be longer."""
    from moto.s3.models import FakeKey
    from moto.ssm.models import Parameter

    made = FakeKey("k", b"", "1", "us-east-1", bucket_name="b")
    assert list(vars(made)) == list(objects._USUAL)
    (found,) = json.loads(objects.FORMS.encode([made]))
    assert found.keys() <= {name for name, form in objects._USUAL.items() if form is ...}
    parameter = Parameter("1", "n", "v", "String", None, None, None, datetime.now(), 1, "text")  # noqa: DTZ005 - as moto has it
    assert list(vars(parameter)) == list(parameters._USUAL)


@pytest.fixture
def blobs(tmp_path: Any) -> Any:
    """A folder of blobs, for bodies that lie in them."""
    BLOBS.store = BlobStore(tmp_path)
    yield BLOBS.store
    BLOBS.store = None


def a_body(blobs: Any, data: bytes) -> Body:
    """A body that lies in a blob."""
    writer = blobs.begin()
    writer.write(data)
    return Body(blobs, [whole(writer.commit())])


def test_what_no_row_can_say_stands_in_the_graph(bench: Bench, blobs: Any) -> None:
    """In its place among the others; it has a row that says no more."""
    bench.put("a", "b", "c", "d")
    bench.store.put_object("bucket", "b", a_body(blobs, b"y" * (1 << 20)))
    vars(bench.store.get_object("bucket", "c"))["colour"] = "half \ud800"
    bench.restart()

    rows = {row.key: row.value for row in bench.disk.rows[S3].values()}
    assert [name for name, value in rows.items() if value == STANDS] == ["b", "c"]
    state, _ = bench.disk.fetch(S3)
    assert len(state.graph.blobs) == 1
    assert sorted(bench.in_memory()) == ["b", "c"]
    assert bench.written() == []
    assert list(dict.__iter__(bench.held.plain())) == ["a", "b", "c", "d"]
    # Now it has a row, in the same place.
    bench.put("b")
    assert bench.written() == ["b"]
    bench.restart()
    assert list(dict.__iter__(bench.held.plain())) == ["a", "b", "c", "d"]
    assert bench.in_memory() == ["c"] or len(bench.in_memory()) == 4


def test_what_stands_in_the_graph_is_written_once(bench: Bench, blobs: Any) -> None:
    """It keeps its place as long as it is not put again."""
    bench.put("a", "b")
    bench.store.put_object("bucket", "b", a_body(blobs, b"y" * (1 << 20)))
    bench.disk.save()
    before = dict(bench.disk.rows[S3])
    for _ in range(3):
        bench.put("c")
        bench.store.get_object("bucket", "b")
        assert bench.written() == ["c"]
        bench.disk.save()
        bench.store.delete_object("bucket", "c")
        bench.disk.save()
    assert {at: row for at, row in bench.disk.rows[S3].items() if row.value} == before


def test_a_bucket_of_another_class_is_one(bench: Bench) -> None:
    """S3 Tables derives one from moto's; its objects have rows, and a record has them whole."""
    from moto.s3.models import FakeTableStorageBucket
    from tests.coverage.seen_effects import digest

    bench.store.buckets["tables"] = FakeTableStorageBucket("tables", "1", "us-east-1")
    bench.store.put_object("tables", "a", b"x")
    assert digest(S3) not in ("", "cannot be captured")
    bench.restart()
    assert bench.store.get_object("tables", "a").value == b"x"
    assert len(bench.disk.rows[S3]) == 1


def test_versions_may_share_what_nobody_changes(bench: Bench) -> None:
    """As they do with each other and with their bucket."""
    bench.store.put_bucket_versioning("bucket", "Enabled")
    bench.put("a", "a", "a")
    for version in bench.held.getlist("a"):
        version.set_acl(bench.store.buckets["bucket"].acl)
    bench.restart()
    first, *_ = bench.held.getlist("a")
    first.set_storage_class("GLACIER")
    assert bench.written() == ["a"]
    bench.restart()
    assert bench.values()["a"][0]["_storage_class"] == "GLACIER"


def test_versions_and_delete_markers_come_back(bench: Bench) -> None:
    """A marker holds the version before it, and so stands in the graph with it."""
    bench.store.put_bucket_versioning("bucket", "Enabled")
    bench.put("a", "a", "b")
    bench.store.delete_object("bucket", "a")
    bench.restart()

    first, second, marker = bench.held.getlist("a")
    assert marker.key is second is not first
    assert [name for name, _ in bench.held.iterlists()] == ["a", "b"]


UNFIT: dict[str, Any] = {
    "half a character": "\ud800",
    "a number no JSON has": float("nan"),
    "a number JSON has another for": 1 << 60,
    "a key that is no text": {1: 2},
    "a word of ours": {"!": "lock"},
    "a class we do not know": object(),
    "a time of a zone": datetime.now().astimezone(),
}


@pytest.mark.parametrize("value", UNFIT.values(), ids=UNFIT.keys())
def test_such_a_value_is_unfit(value: Any) -> None:
    """No row says what it does not mean."""
    from moto.s3.models import FakeKey

    made = FakeKey("k", b"", "1", "us-east-1")
    made.more = value
    with pytest.raises(Unfit):
        objects.FORMS.encode([made])


def test_what_somebody_else_holds_is_unfit() -> None:
    """The same twice in an entry, or an object that another store knows by a number."""
    from moto.s3.models import FakeKey

    made, twice = FakeKey("k", b"", "1", "us-east-1"), ["x"]
    made.one, made.two = twice, twice
    for entry in ([made], [FakeKey("k", b"x" * (FILE_BYTES_MAX + 1), "1", "us-east-1")], made):
        with pytest.raises(Unfit):
            objects.FORMS.encode(entry)
    shared = FakeKey("k", b"", "1", "us-east-1")
    assert objects.FORMS.encode([shared])
    with pytest.raises(Unfit):
        objects.FORMS.encode([shared, shared])
    SHARING.share(shared)
    with pytest.raises(Unfit):
        objects.FORMS.encode([shared])


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.binary()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text(min_size=1), PLAIN, max_size=3), max_size=3))
def test_whatever_is_written_is_read(attributes: list[dict[str, Any]]) -> None:
    """With its types and the order of its names; or it is unfit."""
    forms = Forms("tests.unit.engine.test_named:Thing", {"a": [0]})
    entry = []
    for given_ones in attributes:
        thing = Thing()
        thing.__dict__ |= {"a": [0]} | given_ones
        entry.append(thing)
    try:
        row = forms.encode(entry)
    except Unfit:
        assert "!" in repr(attributes) or "fold=1" in repr(attributes)
        return
    again = forms.decode(row)
    assert [repr(list(vars(t).items())) for t in again] == [
        repr(list(vars(t).items())) for t in entry
    ]


def test_a_row_of_what_stands_in_the_graph_goes_through_a_delta(
    bench: Bench, blobs: Any, tmp_path: Path
) -> None:
    """There ``null`` says that an entry is gone."""
    bench.put("a", "b")
    bench.store.put_object("bucket", "b", a_body(blobs, b"y" * (1 << 20)))
    bench.disk.save()
    rows = list(bench.disk.rows[S3].values())
    assert STANDS in {row.value for row in rows}
    path = tmp_path / "1.delta.jsonl"
    path.write_bytes(delta.encode(S3, Lsn(1), rows))

    assert delta.read(path, S3) == rows


class Thing:
    """Something with attributes."""


DAMAGED = {
    "no list": b"{}",
    "no object": b"[1]",
    "what is missing": b"[{}]",
    "a word nobody knows": b'[{"!": "FakeBucket"}]',
    "a value with such a word": b'[{"!": "all", "of": {"a": {"!": "os.system"}}}]',
    "a file that is none": b'[{"!": "all", "of": {"a": {"!": "file", "text": "", "max": "x"}}}]',
    "base64 that is none": b'[{"!": "all", "of": {"a": {"!": "bytes", "base64": "%"}}}]',
    "no graph behind it": STANDS,
}


@pytest.mark.parametrize("value", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_row_of_a_stranger_is_refused(bench: Bench, value: bytes) -> None:
    """With the store, the entry and why."""
    bench.put("a")
    bench.disk.save()
    (at,) = bench.disk.rows[S3]
    row = bench.disk.rows[S3][at]
    bench.disk.rows[S3][at] = row_of(row.collection, row.key, row.sub, 0, 0, value)
    bench.disk.restart()

    with pytest.raises(LoadError, match="entry a"):
        bench.store.get_object("bucket", "a")


def test_what_a_call_may_do_to_a_dict(bench: Bench) -> None:
    """All its methods see what is on disk, and a checkpoint what they did."""
    cls = parameters.parameters_class()
    store = bench.moto.store("ssm")
    for name in "abcdefgh":
        store.put_parameter(name, "", "v", "String", None, None, False, [], "text", None, None)

    def held() -> Any:
        found = bench.moto.store("ssm")._parameters
        assert type(found) is cls
        assert isinstance(found, Named)
        return found

    def restarted() -> Any:
        bench.restart()
        return held()

    bench.restart()
    assert held()["missing"] == []
    assert list(restarted()) == [*"abcdefgh", "missing"]
    assert list(reversed(restarted()))[:2] == ["missing", "h"]
    assert restarted().pop("missing") == []
    assert restarted().pop("missing", None) is None
    assert len(restarted()) == 8
    assert restarted().setdefault("a")[0].name == "a"
    assert restarted().popitem()[0] == "h"
    del restarted()["g"]
    with pytest.raises(KeyError):
        del held()["g"]
    found = restarted()
    found |= {"i": found["a"][:0]}
    assert list(restarted().keys()) == [*"abcdef", "i"]
    assert [versions[0].name for versions in list(restarted().values())[:6]] == [*"abcdef"]
    assert dict(restarted().items()).keys() == {*"abcdef", "i"}
    assert restarted().copy() == held()
    assert restarted().get("z", 7) == 7
    assert restarted().get("b")[0].name == "b"
    restarted().clear()
    assert (len(restarted()), bool(held()), list(held())) == (0, False, [])
    assert held().default_factory is list
    assert held().account_id == store.account_id
