"""Check: says what a directory holds, file by file, and changes nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.persistence import plain_journal
from tests.unit.persistence.plain_checkpoint import cut, files_below, graph, key, opened
from tests.unit.persistence.test_record import CALL

from perdure.errors import (
    CorruptionError,
    ForeignDirectoryError,
    StateError,
    UnusableDirectoryError,
)
from perdure.persistence import blobs
from perdure.persistence import manifest as manifests
from perdure.persistence import record as records
from perdure.persistence.blobs import BlobStore
from perdure.persistence.check import check_directory
from perdure.persistence.directory import read_identity
from perdure.persistence.files import Files
from perdure.persistence.keys import ExportId, Lsn
from perdure.persistence.statefile import Graph, Shares
from perdure.persistence.tail import read_tail, segments_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory with one checkpoint of two stores that share an object."""
    live = opened(tmp_path)
    exports = Shares(exports=frozenset({ExportId(1)}))
    imports = Shares(frozenset({key("s3")}), frozenset({ExportId(1)}))
    live.publish(cut(1, {"s3": graph(1, exports), "cloudformation": graph(2, imports)}))
    live.directory.close()
    return tmp_path


def file_of(path: Path, module: str) -> Path:
    return path / manifests.read(path).stores[key(module)].file


def test_a_whole_directory_is_clean(path: Path) -> None:
    """A checkpoint that is as it was written is clean, with its cut and number of stores."""
    report = check_directory(path)

    assert (report.verdict, report.cut, report.stores) == ("clean", 1, 2)
    assert json.loads(json.dumps(report.to_json()))["verdict"] == "clean"


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda p: p.unlink(), "missing"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "corrupt"),
    "flipped": (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"#"), "corrupt"),
    "empty": (lambda p: p.write_bytes(b""), "corrupt"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "corrupt"),
    "a FIFO": (lambda p: (p.unlink(), os.mkfifo(p)), "corrupt"),
    "newer": (lambda p: p.write_bytes(_newer(p.read_bytes())), "unreadable"),
}


def _newer(data: bytes) -> bytes:
    import zlib

    prefix = data[:8] + b"\x09\0\0\0" + data[12:20]
    return prefix + zlib.crc32(prefix).to_bytes(4, "little") + data[24:]


@pytest.mark.parametrize(("damage", "verdict"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found_and_left(
    path: Path, damage: Callable[[Path], object], verdict: str
) -> None:
    """Each damaged file is one finding with path, reason and hint; the others are checked too."""
    file = file_of(path, "cloudformation")
    damage(file)
    before = files_below(path)

    report = check_directory(path)

    assert [(f.verdict, f.path) for f in report.findings] == [
        (verdict, str(file.relative_to(path)))
    ]
    assert report.findings[0].reason
    assert report.findings[0].hint
    assert report.verdict == "damaged"
    assert files_below(path) == before


def test_a_reference_to_nothing_is_found(path: Path) -> None:
    """A shared object that no file carries is a finding of the store that refers to it."""
    live = manifests.read(path)
    stores = {k: e for k, e in live.stores.items() if k.module != "s3"}
    manifests.publish(Files(), path, dataclasses.replace(live, stores=stores))

    found = check_directory(path).findings

    assert [f.verdict for f in found] == ["dangling"]
    assert "object 1" in found[0].reason


def test_what_is_no_state_directory_is_no_verdict(tmp_path: Path) -> None:
    """A folder of something else, an empty or a missing one are errors, not clean."""
    with pytest.raises(ForeignDirectoryError):
        check_directory(tmp_path)
    with pytest.raises(UnusableDirectoryError):
        check_directory(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError):
        check_directory(tmp_path / "file")


def test_an_unreadable_manifest_is_no_verdict(path: Path) -> None:
    """If nothing says which files are live, that is the error."""
    (path / manifests.NAME).write_text("{")

    with pytest.raises(CorruptionError):
        check_directory(path)


def test_a_link_is_no_verdict(path: Path) -> None:
    """A directory that a start refuses for a link is not called clean."""
    states = path / "api_states"
    states.rename(path.parent / "elsewhere")
    states.symlink_to(path.parent / "elsewhere")

    with pytest.raises(UnusableDirectoryError, match="api_states is a symbolic link"):
        check_directory(path)


def test_no_service_is_reset_for_what_belongs_to_none(path: Path) -> None:
    """A damaged store can be reset; without the process file no server runs to do it."""
    process = manifests.read(path).process
    assert process is not None
    hints = {}
    for damage in ("gone", "flipped"):
        for file in (path / process.file, file_of(path, "s3")):
            before = file.read_bytes()
            DAMAGE[damage][0](file)
            (found,) = check_directory(path).findings
            hints[damage, file.name.partition(".")[0]] = found.hint
            file.write_bytes(before)

    assert {name: "state reset" in hint for name, hint in hints.items()} == {
        ("gone", "all"): False,
        ("gone", "us-east-1"): True,
        ("flipped", "all"): False,
        ("flipped", "us-east-1"): True,
    }
    assert all("backup" in hint for hint in hints.values())


def with_journal(path: Path, count: int = 20) -> Path:
    """A journal of a killed process behind the checkpoint, which names its segment."""
    live = manifests.read(path)
    manifests.publish(Files(), path, dataclasses.replace(live, segment=Lsn(live.cut + 1)))
    instance = read_identity(path)["instance"]
    after = read_tail(path, cut=live.cut, instance=instance)
    journal = plain_journal.opened(path, after=after)
    plain_journal.write(journal, count)
    plain_journal.leave(journal)
    return segments_of(path)[0]


def test_a_whole_journal_is_clean(path: Path) -> None:
    """The records that a start would replay are counted, and nothing is changed."""
    with_journal(path)
    before = files_below(path)
    report = check_directory(path, fingerprint=plain_journal.ENGINE)

    assert (report.verdict, report.records) == ("clean", 20)
    assert files_below(path) == before


def test_a_torn_tail_is_a_note(path: Path) -> None:
    """It is no damage, is called torn until a start has cut it, and clean from then on."""
    segment = with_journal(path)
    offset = len(segment.read_bytes().rstrip(b"\0"))
    plain_journal.patch(segment, offset + 40, b"torn")
    before = files_below(path)
    report = check_directory(path)

    assert (report.verdict, report.findings, report.records) == ("torn", [], 20)
    assert [(n.verdict, n.path) for n in report.notes] == [("torn", f"journal/{segment.name}")]
    assert "start" in report.notes[0].hint
    assert files_below(path) == before
    read_tail(path, cut=Lsn(1), instance=read_identity(path)["instance"], files=Files())
    assert check_directory(path).verdict == "clean"


JOURNAL_DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda p: p.unlink(), "missing"),
    "header": (lambda p: plain_journal.flip(p, 20), "corrupt"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "corrupt"),
    "another directory's": (lambda p: plain_journal.forge_header(p, instance=bytes(16)), "foreign"),
    "newer": (lambda p: plain_journal.forge_header(p, version=9), "newer"),
    "another engine's": (Path.stat, "foreign engine"),
}


@pytest.mark.parametrize(("damage", "verdict"), JOURNAL_DAMAGE.values(), ids=JOURNAL_DAMAGE.keys())
def test_damage_of_a_journal_is_found_and_left(
    path: Path, damage: Callable[[Path], object], verdict: str
) -> None:
    """Each kind of damage is one finding with path, reason and hint."""
    segment = with_journal(path)
    damage(segment)
    before = files_below(path)

    report = check_directory(path, fingerprint={"moto": "6"})

    assert [(f.verdict, f.path) for f in report.findings] == [(verdict, f"journal/{segment.name}")]
    assert report.findings[0].hint
    assert report.verdict == "damaged"
    assert files_below(path) == before


def test_a_journal_from_before_the_checkpoint_is_not_missed(path: Path) -> None:
    """A manifest that names no segment asks for no journal, and takes none for lost."""
    segment = with_journal(path)
    live = manifests.read(path)
    manifests.publish(Files(), path, dataclasses.replace(live, cut=Lsn(40), segment=None))
    assert check_directory(path).verdict == "clean"
    segment.unlink()
    assert check_directory(path).verdict == "clean"


@pytest.mark.parametrize(("differing", "verdict"), [({"any_region"}, "clean"), (set(), "damaged")])
def test_another_setting_of_this_shell_is_a_note(
    path: Path, differing: set[str], verdict: str
) -> None:
    """Only a server has the server's environment: what differs in that alone is no damage."""
    with_journal(path)
    running = {**plain_journal.ENGINE, "any_region": "true"}

    report = check_directory(path, fingerprint=running, environment=differing)

    assert report.verdict == verdict
    assert [note.verdict for note in report.notes] == ["settings"] * bool(differing)


BLOB_DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda p: p.unlink(), "missing"),
    "cut": (lambda p: p.write_bytes(b"bod"), "corrupt"),
    "flipped": (lambda p: p.write_bytes(b"bodY"), "corrupt"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "corrupt"),
}


@pytest.mark.parametrize(("damage", "verdict"), BLOB_DAMAGE.values(), ids=BLOB_DAMAGE.keys())
@pytest.mark.parametrize("place", ["state file", "record"])
def test_a_damaged_body_is_found(
    tmp_path: Path, place: str, damage: Callable[[Path], object], verdict: str
) -> None:
    """A body that a live file or a record of the tail names is read, and compared by its hash."""
    live = opened(tmp_path)
    store = BlobStore(tmp_path)
    writer = store.begin()
    writer.write(b"body")
    blob = writer.commit()
    named = Graph(graph(1).payload, (), blobs=(blob,)) if place == "state file" else graph(1)
    live.publish(cut(1, {"s3": named}))
    instance = live.directory.origin[0]
    live.directory.close()
    if place == "record":
        journal = plain_journal.opened(
            tmp_path,
            cut=Lsn(1),
            after=read_tail(tmp_path, cut=Lsn(1), instance=instance),
        )
        journal.append(records.CALL, records.encode_call(CALL._replace(body=(blob,))))
        journal.sync_now()
        # It says that the one before was durable.
        journal.append(records.MARK, ())
        journal.close()
    report = check_directory(tmp_path)
    assert (report.verdict, report.blobs) == ("clean", 1)

    damage(tmp_path / blobs.file_of(blob.name))
    report = check_directory(tmp_path)
    assert report.verdict == "damaged"
    assert [(f.path, f.verdict) for f in report.findings] == [(blobs.file_of(blob.name), verdict)]
    assert "backup" in report.findings[0].hint


@pytest.mark.parametrize("damage", [d for d, _ in BLOB_DAMAGE.values()], ids=BLOB_DAMAGE.keys())
def test_a_body_that_never_was_durable_is_a_torn_tail(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """What a power cut takes of a body before it was synced is no damage: its record is cut."""
    live = opened(tmp_path)
    store = BlobStore(tmp_path)
    instance = live.directory.origin[0]
    live.directory.close()
    tail = read_tail(tmp_path, cut=Lsn(0), instance=instance)
    journal = plain_journal.opened(tmp_path, after=tail)
    named = []
    for content in (b"one", b"two", b"three"):
        writer = store.begin()
        writer.write(content)
        named.append(writer.commit())
        call = records.encode_call(CALL._replace(body=(named[-1],)))
        journal.append(records.CALL, call)
        if content == b"one":
            journal.sync_now()
    plain_journal.leave(journal)
    damage(tmp_path / blobs.file_of(named[1].name))
    report = check_directory(tmp_path)

    assert (report.verdict, report.records, report.blobs) == ("torn", 1, 1)
    assert [note.verdict for note in report.notes] == ["torn"]
    assert named[1].name in report.notes[0].reason
