"""Checkpoints: only what changed is written, and nothing live is lost on the way."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.faults import FaultyFiles
from tests.unit.persistence.plain_checkpoint import cut, files_below, graph, key, opened, values

from perdure.errors import CorruptionError, DurabilityError, StateError
from perdure.persistence import manifest as manifests
from perdure.persistence.checkpoint import Checkpointer, Cut
from perdure.persistence.keys import Lsn, StoreKey


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Checkpointer]:
    """An opened, empty directory."""
    checkpointer = opened(tmp_path / "state")
    yield checkpointer
    checkpointer.directory.close()


def names(live: Checkpointer) -> set[str]:
    return {p.name for p in live.directory.path.rglob("*.state") if "quarantine" not in p.parts}


def test_a_cut_reads_back(live: Checkpointer) -> None:
    """What was published is what the next start finds, whole and at that cut."""
    assert live.read_process() is None
    written = live.publish(cut(1, {"s3": 1, "sqs": "x"}, process={"ids": 5}))

    assert set(written) == {key("s3"), key("sqs")}
    again = Checkpointer(live.directory)
    assert again.manifest == live.manifest
    assert values(again) == {"s3": 1, "sqs": "x", "process": {"ids": 5}}
    assert (again.manifest.cut, again.manifest.last_id) == (1, 1)


def test_only_what_changed_is_written(live: Checkpointer) -> None:
    """A store whose digest is the same keeps its file and its cut."""
    live.publish(cut(1, {"s3": 1, "sqs": 1}))

    assert live.publish(cut(2, {"s3": 1, "sqs": 2})) == [key("sqs")]
    assert live.manifest.stores[key("s3")].cut == 1
    assert live.manifest.stores[key("sqs")].cut == 2
    assert names(live) == {"us-east-1.1.state", "us-east-1.2.state", "all.1.state"}


def test_nothing_changed_writes_nothing(live: Checkpointer) -> None:
    """Publishing an unchanged cut leaves the disk as it is."""
    live.publish(cut(1, {"s3": 1}))
    before = files_below(live.directory.path)

    assert live.publish(cut(2, {"s3": 1})) == []
    assert files_below(live.directory.path) == before


def test_stores_not_in_the_cut_stay(live: Checkpointer) -> None:
    """A cut names the stores that may have changed; the others stay live."""
    live.publish(cut(1, {"s3": 1, "sqs": 1}))
    live.publish(cut(2, {"s3": 2}))

    assert values(live) == {"s3": 2, "sqs": 1, "process": None}


def test_a_changed_process_alone_is_published(live: Checkpointer) -> None:
    """What belongs to no store is published even if no store changed."""
    live.publish(cut(1, {"s3": 1}, process=1))

    assert live.publish(cut(2, {}, process=2)) == []
    assert values(Checkpointer(live.directory)) == {"s3": 1, "process": 2}


def test_superseded_files_are_removed(live: Checkpointer) -> None:
    """A file the new manifest does not name is gone, and no other."""
    for number in (1, 2, 3):
        live.publish(cut(number, {"s3": number, "sqs": 0}, process=number))

    assert {str(e.file) for e in live.manifest.entries} == {
        "api_states/000000000000/s3/us-east-1.3.state",
        "api_states/000000000000/sqs/us-east-1.1.state",
    }
    assert len(names(live)) == 3
    assert live.directory.sweep(live.manifest) == []


def test_a_superseded_file_that_cannot_be_removed_is_told_and_swept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed removal is a warning; the checkpoint holds, the next start sweeps."""
    live = opened(tmp_path)
    live.publish(cut(1, {"s3": 1}))
    live.directory.files = FaultyFiles(at=1, fault="fail-once", only="state.unlink")
    with caplog.at_level(logging.WARNING):
        live.publish(cut(2, {"s3": 2}))
    live.directory.close()

    assert "superseded file stays" in caplog.text
    again = opened(tmp_path)
    assert values(again)["s3"] == 2
    assert len(list(tmp_path.rglob("*.state"))) == 2
    again.directory.close()


def test_replacing_sets_what_was_live_aside(live: Checkpointer) -> None:
    """A cut that holds all there is leaves the files it replaces in quarantine."""
    live.publish(cut(1, {"s3": "old", "sqs": "old"}, process="old"))
    before = set(files_below(live.directory.path).values())

    live.publish(cut(2, {"s3": "new"}), replace=True)

    assert values(Checkpointer(live.directory)) == {"s3": "new", "process": None}
    aside = list((live.directory.path / "quarantine").iterdir())
    assert len(aside) == 4  # two stores, what belongs to none, and the manifest
    assert {p.read_bytes() for p in aside} < before


def test_replacing_by_nothing_is_a_checkpoint_too(live: Checkpointer) -> None:
    """An empty cut that replaces all leaves no store live."""
    live.publish(cut(1, {"s3": 1}))
    live.publish(cut(2, {}), replace=True)

    assert values(live) == {"process": None}


def test_dropped_stores_are_set_aside(live: Checkpointer) -> None:
    """A cut that drops stores publishes a manifest without them; their files are kept aside."""
    live.publish(cut(1, {"s3": 1, "sqs": 1}))
    live.publish(replace(cut(2, {}), dropped=frozenset({key("s3"), key("ec2")})))

    assert values(Checkpointer(live.directory)) == {"sqs": 1, "process": None}
    aside = {p.name.partition("-")[2] for p in (live.directory.path / "quarantine").iterdir()}
    assert aside == {"api_states_000000000000_s3_us-east-1.1.state", "manifest.json"}
    live.publish(replace(cut(3, {}), dropped=frozenset({key("ec2")})))
    assert len(list((live.directory.path / "quarantine").iterdir())) == 2


@pytest.mark.parametrize("fault", ["fail-once", "fail-on"])
def test_a_failure_at_any_step_leaves_the_old_checkpoint_readable(
    tmp_path: Path, fault: str
) -> None:
    """After a failed publish the living process still reads the checkpoint it knows."""
    for step in itertools.count(1):
        path = tmp_path / str(step)
        live = opened(path)
        live.publish(cut(1, {"s3": 1, "sqs": 1}))
        files = FaultyFiles(at=step, fault=fault)
        live.directory.files = files
        try:
            live.publish(cut(2, {"s3": 2}, process=2))
        except DurabilityError:
            assert values(live) == {"s3": 1, "sqs": 1, "process": None}
            live.directory.files = FaultyFiles()
            live.publish(cut(3, {"s3": 3}, process=3))
            assert values(live) == {"s3": 3, "sqs": 1, "process": 3}
        else:
            assert values(live) == {"s3": 2, "sqs": 1, "process": 2}
        live.directory.close()
        if not files.happened:
            return


def test_a_store_that_could_not_be_read_back_is_never_published(live: Checkpointer) -> None:
    """A key that is unsafe in a path would make the whole manifest unreadable."""
    live.publish(cut(1, {"s3": 1}))
    for region in ("..", "US-EAST", "a/b", "", "mars\n"):
        bad = StoreKey("s3", "000000000000", region)
        odd = cut(2, {})
        object.__setattr__(odd, "graphs", {bad: graph(2)})
        with pytest.raises(StateError, match="not a store key"):
            live.publish(odd)

    assert values(Checkpointer(live.directory)) == {"s3": 1, "process": None}


def prepared(live: Checkpointer, number: int, value: object) -> Cut:
    """A cut of which S3 is written already, under a temporary name."""
    whole = cut(number, {"s3": value, "sqs": value})
    s3 = key("s3")
    entry = live.prepare(s3, whole.graphs[s3], cut=whole.cut, written_by=whole.written_by)
    rest = {k: graph for k, graph in whole.graphs.items() if k != s3}
    return replace(whole, graphs=rest, prepared={} if entry is None else {s3: entry})


def test_what_is_prepared_is_published_with_the_rest(live: Checkpointer) -> None:
    """A store written beforehand is live with its cut, and not a moment earlier."""
    live.publish(cut(1, {"s3": 1, "sqs": 1}))
    ready = prepared(live, 2, 2)
    assert values(Checkpointer(live.directory)) == {"s3": 1, "sqs": 1, "process": None}

    assert live.publish(ready) == [key("s3"), key("sqs")]
    assert values(Checkpointer(live.directory)) == {"s3": 2, "sqs": 2, "process": None}
    assert list(live.directory.path.rglob("*.tmp")) == []


def test_preparing_what_did_not_change_writes_nothing(live: Checkpointer) -> None:
    """A store that is live already is not written again; one that replaces all is."""
    live.publish(cut(1, {"s3": 1, "sqs": 1}))
    before = files_below(live.directory.path)
    assert prepared(live, 2, 1).prepared == {}
    assert files_below(live.directory.path) == before

    again = live.prepare(key("s3"), graph(1), cut=Lsn(2), written_by={}, replace=True)
    assert again is not None


def test_what_is_prepared_can_be_discarded(live: Checkpointer) -> None:
    """What was written for a cut that never came to be is gone, and no live file."""
    live.publish(cut(1, {"s3": 1, "sqs": 1}))
    before = files_below(live.directory.path)
    prepared(live, 2, 2)
    live.discard(Lsn(3))
    assert files_below(live.directory.path) != before
    live.discard(Lsn(2))

    assert files_below(live.directory.path) == before


def test_a_failed_publish_gives_back_what_was_prepared(live: Checkpointer) -> None:
    """On a full disk the temporary files of a cut are removed, whoever wrote them."""
    live.publish(cut(1, {"s3": 1, "sqs": 1}))
    before = files_below(live.directory.path)
    ready = prepared(live, 2, 2)
    live.directory.files = FaultyFiles(at=1, fault="fail-once", only="state.write")
    with pytest.raises(DurabilityError):
        live.publish(ready)

    assert files_below(live.directory.path) == before


def test_a_prepared_store_belongs_to_its_cut(live: Checkpointer) -> None:
    """A file of another cut, or a store captured twice, is our own mistake."""
    ready = prepared(live, 2, 2)
    with pytest.raises(AssertionError, match="of another cut"):
        live.publish(replace(ready, cut=Lsn(3)))
    with pytest.raises(AssertionError, match="captured twice"):
        live.publish(replace(ready, graphs={key("s3"): graph(2)}))


def test_no_cut_is_used_twice(live: Checkpointer) -> None:
    """A cut that was tried, even in vain, is behind; trying it again is our own mistake."""
    assert live.next_cut == 1
    live.publish(cut(1, {"s3": 1}))
    live.directory.files = FaultyFiles(at=1, fault="fail-once")
    with pytest.raises(DurabilityError):
        live.publish(cut(5, {"s3": 2}))

    assert live.next_cut == 6
    with pytest.raises(AssertionError, match="cut 5 was used"):
        live.publish(cut(5, {"s3": 2}))


def test_a_missing_or_exchanged_file_is_corruption(live: Checkpointer) -> None:
    """A file that is gone, another one, or an older one is named, not loaded."""
    live.publish(cut(1, {"s3": 1, "sqs": 1}))
    old = live.directory.path / live.manifest.stores[key("s3")].file
    old_bytes = old.read_bytes()
    live.publish(cut(2, {"s3": 2, "sqs": 2}))
    s3, sqs = (live.directory.path / live.manifest.stores[key(m)].file for m in ("s3", "sqs"))

    s3.write_bytes(old_bytes)
    with pytest.raises(CorruptionError, match="file checksum"):
        live.read(key("s3"))
    s3.write_bytes(sqs.read_bytes())
    with pytest.raises(CorruptionError, match="file checksum"):
        live.read(key("s3"))
    s3.unlink()
    with pytest.raises(CorruptionError, match="a readable file"):
        live.read(key("s3"))
    os.mkdir(s3)
    with pytest.raises(CorruptionError, match="a regular file, found a folder"):
        live.read(key("s3"))


def test_the_journals_segment_is_in_the_manifest(tmp_path: Path) -> None:
    """Which segment was live at the cut is published with it, also if it only drops stores."""
    live = opened(tmp_path)
    live.publish(replace(cut(4, {"s3": 1, "sqs": 1}), segment=Lsn(2)))
    live.publish(replace(cut(5, {}), segment=Lsn(3), dropped=frozenset({key("s3")})))
    live.directory.close()

    assert manifests.read(tmp_path).segment == 3
