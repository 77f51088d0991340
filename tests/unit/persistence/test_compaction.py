"""How rows are written: what a checkpoint costs, and what is opened afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.persistence.plain_checkpoint import PROCESS, cut, graph, key, opened
from tests.unit.persistence.plain_rows import NUMBER, collection, graph_of, row

from perdure.errors import CorruptionError
from perdure.persistence import compaction, delta
from perdure.persistence.check import check_directory
from perdure.persistence.checkpoint import Checkpointer, Cut
from perdure.persistence.database import Database
from perdure.persistence.entries import DATABASE, DELTA, DOCUMENT, Row, gone
from perdure.persistence.keys import Lsn
from perdure.persistence.statefile import Graph

STORE = key("dynamodb")
TEXT = "x" * 200
QUARANTINE = "quarantine"


class Table:
    """Rows that change from one checkpoint to the next."""

    def __init__(self, live: Checkpointer) -> None:
        self.live = live
        self.rows: dict[str, Row] = {}
        self.changed: dict[str, Row] = {}

    def put(self, *names: str, value: Any = TEXT) -> None:
        for name in names:
            place = self.rows[name].place if name in self.rows else len(self.rows)
            self.rows[name] = self.changed[name] = row(name, value, place=place)

    def delete(self, name: str) -> None:
        self.changed[name] = gone(*self.rows.pop(name)[:3])

    def save(self, number: int, *, at_stop: bool = False, apart: bool = False) -> None:
        """Publish a cut of it."""
        found = graph_of(self.rows.values(), self.changed.values())
        whole = replace(cut(number, {"dynamodb": found}), at_stop=at_stop)
        self.live.publish(prepared(self.live, whole) if apart else whole)
        self.changed = {}

    def files(self) -> list[str]:
        """Those of the live checkpoint, without their folder."""
        stored = self.live.manifest.stores[STORE].entries
        assert {s.file for s in stored} == on_disk(self.live.directory.path)
        return [s.file.partition(".")[2] for s in stored]

    def check(self) -> None:
        """Whether all that was put is there."""
        source = self.live.source(STORE)
        assert source is not None
        with closing(source):
            assert source.of_collection(NUMBER) == sorted(
                self.rows.values(), key=lambda each: each.place
            )
        report = check_directory(self.live.directory.path)
        assert (report.verdict, report.entries) == ("clean", len(self.rows))


def prepared(live: Checkpointer, whole: Cut) -> Cut:
    """The cut whose stores a child has written."""
    written = {
        k: live.prepare(k, found, cut=whole.cut, written_by=whole.written_by)
        for k, found in whole.graphs.items()
    }
    entries = {k: entry for k, entry in written.items() if entry is not None}
    return replace(whole, graphs={}, prepared=entries)


def on_disk(path: Path) -> set[str]:
    kinds = (DATABASE, DOCUMENT, DELTA)
    found = [each for kind in kinds for each in path.glob(f"*/*{kind}")]
    found += path.rglob("*.tmp")
    return {str(each.relative_to(path)) for each in found if QUARANTINE not in each.parts}


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    """An empty one."""
    live = opened(tmp_path / "state")
    yield Table(live)
    live.directory.close()


@pytest.fixture
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store is small."""
    monkeypatch.setattr(compaction, "SMALL_BYTES", 0)


def test_a_small_store_is_one_file(table: Table) -> None:
    """So whoever opens the folder finds all in one place; nothing of the last one stays."""
    for number in range(1, 4):
        table.put(f"key-{number}")
        table.save(number)
        assert table.files() == [f"{number}.db"]
        table.check()


def test_a_child_says_what_changed(table: Table) -> None:
    """By a delta, which is there under its temporary name though it wrote a base as well."""
    table.put("a", "b")
    whole = cut(1, {"dynamodb": graph_of(table.rows.values(), table.changed.values())})
    found = prepared(table.live, whole)
    left = table.live.directory.path / "dynamodb/000000000000_us-east-1.1.delta.jsonl.tmp"
    assert delta.read(left, STORE) == list(table.changed.values())
    left.unlink()
    table.live.publish(found)

    assert table.files() == ["1.db"]
    table.check()


@pytest.mark.usefixtures("_large")
def test_a_checkpoint_costs_what_changed(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of many is one line of a file; a base follows when those add up."""
    monkeypatch.setattr(compaction, "DELTAS_BYTES", (2000, 1 << 20))
    table.put(*(f"key-{n}" for n in range(999)))
    table.save(1)
    for number in range(2, 6):
        table.put("key-7", value=number)
        table.delete(f"key-{100 + number}")
        table.save(number)
        assert table.files() == ["1.db", *(f"{n}.delta.jsonl" for n in range(2, number + 1))]
        stored = table.live.manifest.stores[STORE].entries[-1]
        assert stored.bytes < 400
        table.check()
    base = table.live.manifest.stores[STORE].entries[0].bytes

    table.put(*(f"key-{n}" for n in range(200, 200 + base // 16 // 200)), value="y" * 200)
    table.save(6)

    assert table.files() == ["6.db"]
    table.check()


@pytest.mark.usefixtures("_large")
def test_there_are_never_many_deltas(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is read whole when its store is loaded."""
    monkeypatch.setattr(compaction, "DELTAS_MAX", 3)
    table.put("a")
    table.save(1)
    seen = []
    for number in range(2, 7):
        table.put("a", value=number)
        table.save(number)
        seen.append(len(table.files()))
        table.check()

    assert seen == [2, 3, 4, 1, 2]


@pytest.mark.usefixtures("_large")
@pytest.mark.parametrize("is_changed", [True, False])
def test_a_stop_leaves_one_file(table: Table, is_changed: bool) -> None:
    """Also of a store in which nothing changed since the last checkpoint."""
    table.put("a", "b")
    table.save(1)
    table.put("b", value=2)
    table.save(2)
    assert len(table.files()) == 2
    if is_changed:
        table.put("c")
        table.save(3, at_stop=True)
    else:
        table.live.publish(replace(cut(3, {"s3": 1}), at_stop=True))

    assert table.files() == ["3.db"]
    table.check()


@pytest.mark.parametrize("at_stop", [True, False])
def test_a_base_has_nothing_of_what_is_gone(table: Table, at_stop: bool) -> None:
    """Whoever opens the file finds the tables there are, also if no other row changed."""
    table.put("a")
    table.save(1)
    other = collection([], number=9, name="others")
    found = Graph(b"another payload", (), collections=(other,))
    table.live.publish(replace(cut(2, {"dynamodb": found}), at_stop=at_stop))

    assert table.files() == ["2.db"]
    with closing(
        Database(table.live.directory.path / "dynamodb/000000000000_us-east-1.2.db")
    ) as base:
        assert base.numbers() == {9}
        assert list(base.of_collection(NUMBER)) == []


def test_a_stop_leaves_alone_what_is_damaged(
    table: Table, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that nobody loaded is not written anew from what cannot be read."""
    monkeypatch.setattr(compaction, "SMALL_BYTES", 0)
    table.put("a")
    table.save(1)
    entry = table.live.manifest.stores[STORE]
    path = table.live.directory.path / entry.file
    path.write_bytes(path.read_bytes()[:-1])
    table.live.publish(replace(cut(2, {"s3": 1}), at_stop=True))

    assert table.live.manifest.stores[STORE] == entry
    assert "stays as it is" in caplog.text


@pytest.mark.usefixtures("_large")
def test_a_large_store_is_not_rewritten_at_a_stop(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody waits for it."""
    monkeypatch.setattr(compaction, "SMALL_AT_STOP_BYTES", 0)
    table.put(*(f"key-{n}" for n in range(99)))
    table.save(1)
    table.put("key-1", value=2)
    table.save(2, at_stop=True)

    assert table.files() == ["1.delta.jsonl", "2.delta.jsonl"]
    table.check()


def test_a_state_that_changed_beside_its_rows_keeps_their_files(table: Table) -> None:
    """Nothing of them is written again."""
    table.put("a")
    table.save(1)
    found = graph_of(table.rows.values(), [])
    other = replace(found, payload=found.payload + b"#")
    table.live.publish(cut(2, {"dynamodb": other}))

    assert table.files() == ["1.db"]
    assert table.live.manifest.stores[STORE].cut == 2


def test_a_store_without_collections_has_no_rows(table: Table) -> None:
    """Its last table is gone, and so is the file."""
    table.put("a")
    table.save(1)
    table.live.publish(cut(2, {"dynamodb": graph("none")}))

    assert table.files() == []
    assert table.live.source(STORE) is None


def test_a_store_that_is_dropped_takes_its_rows_along(table: Table) -> None:
    """They are set aside with its state."""
    table.put("a")
    table.save(1)
    dropped = Cut(Lsn(2), {}, (PROCESS, graph(None)), 2, {}, dropped=frozenset({STORE}))
    table.live.publish(dropped)

    path = table.live.directory.path
    assert on_disk(path) == set()
    assert len(list((path / QUARANTINE).rglob(f"*{DATABASE}*"))) == 1


@pytest.mark.usefixtures("_large")
@pytest.mark.parametrize("which", [0, 1], ids=["base", "delta"])
def test_damage_is_not_carried_into_a_new_base(
    table: Table, caplog: pytest.LogCaptureFixture, which: int
) -> None:
    """What is in memory is written above it; the damage stays visible and is told."""
    table.put("a", "b")
    table.save(1)
    table.put("b", value=2)
    table.save(2)
    damaged = table.live.directory.path / table.live.manifest.stores[STORE].entries[which].file
    damaged.write_bytes(damaged.read_bytes()[:-1])
    table.put("c", value=3)
    with caplog.at_level(logging.ERROR):
        table.save(3, at_stop=True)

    assert len(table.live.manifest.stores[STORE].entries) == 3
    assert "are not merged" in caplog.text
    assert str(damaged) in caplog.text
    with pytest.raises(CorruptionError):
        table.live.read(STORE)
    report = check_directory(table.live.directory.path)
    assert [f.path for f in report.findings] == [
        damaged.relative_to(table.live.directory.path).as_posix()
    ]


def test_what_was_written_for_nothing_is_removed(table: Table) -> None:
    """Rows under temporary names go with the cut that is not to be."""
    table.put("a")
    found = graph_of(table.rows.values(), table.changed.values())
    table.live.prepare(STORE, found, cut=Lsn(1), written_by={})
    assert len(on_disk(table.live.directory.path)) == 3
    table.live.discard(Lsn(1))

    assert on_disk(table.live.directory.path) == set()


def test_leftovers_are_swept_and_what_lives_is_not(table: Table, tmp_path: Path) -> None:
    """A start takes rows away that no manifest names, whole or half, and no strange files."""
    table.put("a")
    table.save(1)
    path = table.live.directory.path
    folder = path / "dynamodb"
    for name in ("9.db", "9.delta.jsonl", "1.db.tmp", "1.delta.jsonl.tmp"):
        (folder / f"000000000000_us-east-1.{name}").write_bytes(b"left")
    (folder / "notes.txt").write_text("mine")
    table.live.directory.close()

    table.live = opened(path)

    assert table.files() == ["1.db"]
    assert (folder / "notes.txt").exists()
    table.check()
