"""S3 lists what moto would, page by page, without looking at the whole bucket."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.unit.engine.both_ways import Script, compare, seconds_of
from tests.unit.engine.conftest import key

from perdure.engine.core import Engine
from perdure.engine.quirks import buckets

NAMES = ["a", "a/", "a/b", "a/b/c", "a//d", "ab", "b", "b/x/y", "b/x/z", "é/1", "z", "\U0010ffff/k"]
NAMES += ["\ud7ff", "\ue001/q", "a0", "a-", "xaaa", "xaa"]


@contextmanager
def motos_way() -> Iterator[None]:
    """Let moto see all keys; what ``quirks.reads`` changes stays."""
    from moto.s3.models import _VersionedKeyStore

    real, ours = buckets._is_plain, _VersionedKeyStore.setlist
    buckets._is_plain = lambda *_: False  # type: ignore[assignment]
    _VersionedKeyStore.setlist = buckets.REPLACED.original["setlist"]
    try:
        yield
    finally:
        buckets._is_plain = real  # type: ignore[assignment]
        _VersionedKeyStore.setlist = ours


class Chaos:
    """Random calls of S3's store."""

    def __init__(self, script: Script, moto: Any, steps: int) -> None:
        self.script, self.moto, self.steps, self.pick = script, moto, steps, script.choose
        self.made: list[Any] = []

    def run(self) -> None:
        self.store = self.moto.store("s3", "aws")
        for name in ("plain", "versioned"):
            self.do(lambda name=name: self.store.create_bucket(name, "us-east-1"))
        self.do(lambda: self.store.put_bucket_versioning("versioned", "Enabled"))
        steps = [self.put] * 6 + [self.delete] * 3 + [self.list_1] * 2 + [self.list_2] * 3
        steps += [self.versions] * 3 + [self.meddle]
        for _ in range(self.steps):
            self.pick.choice(steps)(self.pick.choice(["plain", "versioned"]))

    def do(self, action: Any) -> Any:
        """Run it under pins; note what it gives."""
        given: list[Any] = []

        def run() -> None:
            try:
                given.append(action())
            except Exception as error:  # noqa: BLE001 - moto's failures must agree, too
                given.append(error)
            self.script.note((action.__qualname__, self.text(given[0])))
            # What is dropped is closed, and nothing else.
            held = [v._value_buffer.closed for v in self.made if hasattr(v, "_value_buffer")]
            self.script.note(held)

        self.script.inside(run)
        return given[0]

    def text(self, value: Any) -> Any:
        """What shows of an answer."""
        if isinstance(value, list | tuple):
            return [self.text(part) for part in value]
        if hasattr(value, "version_id"):
            return value.name, value.version_id, getattr(value, "is_latest", None)
        return repr(value) if isinstance(value, str | int | Exception | None) else ""

    def put(self, bucket: str) -> None:
        name = self.pick.choice(NAMES)
        self.made.append(self.do(lambda: self.store.put_object(bucket, name, b"x")))

    def delete(self, bucket: str) -> None:
        name, version = self.pick.choice(NAMES), None
        kept = self.store.buckets[bucket].keys.getlist(name, [])
        if kept and self.pick.random() < 0.5:
            version = self.pick.choice(kept).version_id
        self.do(lambda: self.store.delete_object(bucket, name, version))

    def asked(self) -> dict[str, Any]:
        return {
            "prefix": self.pick.choice([None, None, "", "a", "a/", "b/x", "none"]),
            "delimiter": self.pick.choice([None, "/", "/", "//", "aa", "\U0010ffff"]),
        }

    def list_1(self, bucket: str) -> None:
        asked = self.asked() | {"max_keys": self.pick.choice([0, 1, 2, 1000, None])}
        marker = self.pick.choice([None, "", "a/b", "nothing", "~"])
        found = self.store.buckets[bucket]
        for _ in range(4):
            page = self.do(lambda: self.store.list_objects(found, **asked, marker=marker))  # noqa: B023
            if not isinstance(page, tuple) or not page[3]:
                return
            marker = page[3]

    def list_2(self, bucket: str) -> None:
        asked = self.asked() | {"max_keys": self.pick.choice([0, 1, 2, 3, 1000, -1])}
        asked["start_after"] = self.pick.choice([None, None, "", "a/", "a/b", "xaa"])
        token = self.pick.choice([None, None, None, "unknown"])
        found = self.store.buckets[bucket]
        for _ in range(6):
            page = self.do(
                lambda: self.store.list_objects_v2(found, **asked, continuation_token=token)  # noqa: B023
            )
            if not isinstance(page, tuple) or not page[2]:
                return
            token = page[2]
            if self.pick.random() < 0.2:
                self.put(bucket)

    def versions(self, bucket: str) -> None:
        asked = self.asked() | {"max_keys": self.pick.choice([0, 1, 2, 3, 1000, None])}
        asked["prefix"] = asked["prefix"] or ""
        marker = self.pick.choice([None, None, "", "a/", "b", "é"])
        version = self.pick.choice([None, None, "unknown"])
        for _ in range(6):
            page = self.do(
                lambda: self.store.list_object_versions(
                    bucket,
                    **asked,
                    key_marker=marker,  # noqa: B023
                    version_id_marker=version,  # noqa: B023
                )
            )
            if not isinstance(page, tuple) or not page[3]:
                return
            marker, version = page[3], page[4]

    def meddle(self, bucket: str) -> None:
        """As a test of moto may do, past all methods."""
        keys = self.store.buckets[bucket].keys
        kind = self.pick.randrange(3)
        if kind == 0 and dict.__len__(keys):
            keys.pop(next(iter(dict.__iter__(keys))))
        elif kind == 1 and dict.__len__(keys):
            del keys[next(iter(dict.__iter__(keys)))]
        elif "a" in keys:
            keys.setlist("a", list(keys.getlist("a")))


@pytest.mark.parametrize("seed", range(12))
def test_all_is_as_moto_has_it(engine: Engine, moto: Any, seed: int) -> None:
    """Whatever is put, deleted and listed, with whatever prefix, delimiter and marker."""
    seen = compare(
        engine,
        motos_way,
        lambda script: Chaos(script, moto, 150).run(),
        [key("s3", "aws")],
        seed=seed,
    )
    assert len(seen) > 150


def filled(moto: Any, name: str, keys: int) -> Any:
    """A store with a bucket of so many keys, ten to a folder."""
    store = moto.store("s3", "aws")
    store.create_bucket(name, "us-east-1")
    for number in range(keys):
        store.put_object(name, f"{number // 10:05}/{number:06}", b"")
    return store


def calls(store: Any, name: str) -> None:
    """One of each that must not follow the bucket's size."""
    bucket = store.get_bucket(name)
    more: dict[str, Any] = {"continuation_token": None, "max_keys": 5}
    for asked in (
        {"prefix": "00003/", "delimiter": None, "start_after": None},
        {"prefix": None, "delimiter": "/", "start_after": "00003/000031"},
    ):
        page, is_truncated, _ = store.list_objects_v2(bucket, **asked, **more)
        assert (len(page), is_truncated) == (5, True)
    page = store.list_objects(bucket, None, None, marker="00004/", max_keys=5)
    assert [found.name for found in page[0]] == [f"00004/{n:06}" for n in range(40, 45)]
    page = store.list_object_versions(name, prefix="00002/", max_keys=5)
    assert len(page[0]) == 5
    store.put_object(name, "00000/x", b"")
    store.delete_object(name, "00000/x")


def test_its_cost_does_not_follow_the_size(moto: Any) -> None:
    """A hundred times as many keys cost by far not a hundred times as much."""

    def spent(keys: int) -> float:
        store = filled(moto, f"bucket{keys}", keys)
        calls(store, f"bucket{keys}")
        return seconds_of(lambda: calls(store, f"bucket{keys}"), 10)

    assert spent(10_000) < 8 * spent(100)


def test_a_put_does_not_follow_the_number_of_versions(moto: Any) -> None:
    """Ten times as many versions cost by far not a hundred times as much."""
    store = moto.store("s3", "aws")

    def spent(versions: int) -> float:
        name = f"versions{versions}"
        store.create_bucket(name, "us-east-1")
        store.put_bucket_versioning(name, "Enabled")
        for _ in range(versions):
            store.put_object(name, "k", b"")
        return seconds_of(lambda: store.put_object(name, "k", b""), 10)

    few = spent(200)
    assert spent(2_000) < 15 * few


def test_a_page_looks_at_few_keys(moto: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand keys moto is shown those of the page and one more."""
    store = filled(moto, "bbb", 1000)
    shown: list[int] = []
    real = buckets._Page.bucket
    monkeypatch.setattr(
        buckets._Page,
        "bucket",
        lambda page, names: (shown.append(len(names)), real(page, names))[1],
    )
    calls(store, "bbb")
    assert shown == [6, 7, 6, 6]


def test_an_order_ends_with_its_bucket(moto: Any) -> None:
    """A bucket that is gone leaves nothing behind."""
    store = filled(moto, "bbb", 2)
    before = len(buckets._ORDERS)
    store.list_objects(store.get_bucket("bbb"), None, None, marker=None, max_keys=5)
    assert len(buckets._ORDERS) == before + 1
    store.reset()
    store.buckets.clear()
    gc.collect()
    assert len(buckets._ORDERS) == before
