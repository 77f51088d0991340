"""The manifest: what was published is what is read, or an error that says why not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.faults import FaultyFiles

from perdure.errors import CorruptionError, DurabilityError, FormatVersionError
from perdure.persistence import manifest
from perdure.persistence.files import Files
from perdure.persistence.keys import ExportId, Lsn, StoreKey
from perdure.persistence.manifest import Entry, Manifest
from perdure.persistence.statefile import Shares

KEY = StoreKey("s3", "000000000000", "aws")
SQS = StoreKey("sqs", "000000000000", "us-east-1")


def entry(key: StoreKey, cut: int = 3, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "key": key,
        "file": manifest.file_for(key, Lsn(cut)),
        "bytes": 10,
        "checksum": "ab",
        "digest": "cd",
        "cut": Lsn(cut),
        "saved_at": "2026-01-01T00:00:00+00:00",
        "shares": Shares(frozenset({SQS}), frozenset({ExportId(1)}), frozenset({ExportId(2)})),
    }
    return Entry(**(fields | changes))


WHOLE = Manifest(
    Lsn(3),
    "2026-01-01T00:00:00+00:00",
    7,
    {"moto": "5.2.5"},
    {KEY: entry(KEY), SQS: entry(SQS, 2)},
    entry(StoreKey("process", "all", "all")),
    Lsn(4),
)


def inner_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / manifest.NAME).read_text())["manifest"]
    return found


def write_inner(path: Path, inner: Any) -> None:
    """A manifest whose checksum is right, whatever it says."""
    document = {"manifest": inner, "blake2b": manifest._checksum(inner)}
    (path / manifest.NAME).write_text(json.dumps(document))


def test_a_manifest_reads_back(tmp_path: Path) -> None:
    """Every field of a manifest comes back, and reading changes nothing."""
    manifest.publish(Files(), tmp_path, WHOLE)

    assert manifest.read(tmp_path) == WHOLE
    assert manifest.read(tmp_path).files() == WHOLE.files()
    assert len(WHOLE.files()) == 3
    assert [e.key for e in WHOLE.entries] == [KEY, SQS]


def test_before_the_first_checkpoint_there_is_nothing(tmp_path: Path) -> None:
    """A directory without a manifest has an empty one, at cut 0."""
    assert manifest.read(tmp_path) == Manifest()
    assert Manifest().files() == set()


def test_a_failed_publish_leaves_the_old_one(tmp_path: Path) -> None:
    """When the manifest cannot be written, the one before is read."""
    manifest.publish(Files(), tmp_path, WHOLE)
    for step in ("manifest.create", "manifest.write", "manifest.fsync", "manifest.rename"):
        with pytest.raises(DurabilityError):
            files = FaultyFiles(at=1, fault="fail-once", only=step)
            manifest.publish(files, tmp_path, Manifest())

        assert manifest.read(tmp_path) == WHOLE


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda d: d[: len(d) // 2],
    "not json": lambda _: b"PRDSTATE",
    "not text": lambda _: b"\xff\xfe\xfd",
    "a list": lambda _: b"[]",
    "a number": lambda _: b"5",
    "null": lambda _: b"null",
    "nested": lambda _: b"[" * 100_000,
    "no checksum": lambda d: d.replace(b'"blake2b"', b'"blake2c"'),
    "another cut": lambda d: d.replace(b'"cut": 3', b'"cut": 4'),
    "another file": lambda d: d.replace(b"s3/aws.3", b"s3/aws.4"),
    "another checksum": lambda d: d.replace(b'"ab"', b'"ac"'),
    "zeros": lambda d: bytes(len(d)),
    "twice": lambda d: d + d,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A manifest that is not what was published is a CorruptionError with its path."""
    manifest.publish(Files(), tmp_path, WHOLE)
    file = tmp_path / manifest.NAME
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(CorruptionError) as error:
        manifest.read(tmp_path)

    assert error.value.path == file


def test_a_newer_format_is_told_apart_from_damage(tmp_path: Path) -> None:
    """A newer manifest names both formats, whatever else it says."""
    write_inner(tmp_path, {"format": 2, "unknown": "fields"})

    with pytest.raises(FormatVersionError) as error:
        manifest.read(tmp_path)

    assert (error.value.found, error.value.supported) == (2, 1)


def test_a_manifest_that_is_no_file_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in the manifest's place, or gigabytes of it, are a CorruptionError."""
    (tmp_path / manifest.NAME).mkdir()
    with pytest.raises(CorruptionError):
        manifest.read(tmp_path)
    (tmp_path / manifest.NAME).rmdir()
    manifest.publish(Files(), tmp_path, WHOLE)
    monkeypatch.setattr(manifest, "BYTES_MAX", 10)
    with pytest.raises(CorruptionError, match="length"):
        manifest.read(tmp_path)


@pytest.mark.parametrize(
    "file",
    [
        "/etc/passwd",
        "../outside.state",
        "api_states/../../outside.state",
        "api_states/a/../../../outside.state",
        "manifest.json",
        "perdure.json",
        "api_states",
        "api_states/a/b/c.db",
        "quarantine/x.state",
        "",
        "api_states/a\0b.state",
        "api_states/\ud800.state",
        "api_states/a\nb.state",
        "./api_states/x.state/../../y.state",
        5,
        None,
    ],
)
def test_a_file_outside_its_place_is_refused(tmp_path: Path, file: Any) -> None:
    """A manifest with right checksums cannot name a file outside of the states' folder."""
    manifest.publish(Files(), tmp_path, WHOLE)
    inner = inner_of(tmp_path)
    inner["stores"][0]["file"] = file
    write_inner(tmp_path, inner)

    with pytest.raises(CorruptionError):
        manifest.read(tmp_path)


WRONG: dict[str, Any] = {
    "format": [None, "x", "1", True, 0, -1, 1.0, [], float("inf"), float("nan"), {}],
    "cut": [None, "x", "3", -5, True, 3.0, 1e308, 10**40, [], float("inf"), float("nan")],
    "saved_at": [None, 5, "yesterday", "99999-01-01"],
    "last_id": [None, [], -1, "7", 10**30, float("inf")],
    "written_by": [None, [], 5, {"moto": 5}, {"moto": None}],
    "stores": [None, 5, [5], [[]], [{}], {}, {"a": 1}],
    "process": [5, [], {}, None, False],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs])
def test_a_field_that_is_none_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    """A wrong field under a right checksum is a CorruptionError."""
    manifest.publish(Files(), tmp_path, WHOLE)
    write_inner(tmp_path, inner_of(tmp_path) | {name: value})

    with pytest.raises(CorruptionError, match=rf"manifest\.{name}") as error:
        manifest.read(tmp_path)

    # No service can be reset while nothing starts.
    assert "state reset" not in error.value.hint
    assert "backup" in error.value.hint


ROW: dict[str, Any] = {
    "store": [None, "s3", ["s3"], ["s3", "..", "aws"], ["s3", "/", "aws"], [1, 2, 3]],
    "bytes": [None, "x", -1, 1.5, float("inf")],
    "checksum": [None, 5, []],
    "digest": [None, 5],
    "saved_at": [None, 5, "", "soon"],
    "cut": [None, [], -1, float("-inf")],
    "imports": [None, 5, ["x"], [-1], [True], [float("inf")]],
    "exports": [None, 5, [None]],
    "stores": [None, ["s3"], [["..", "a", "b"]]],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in ROW.items() for v in vs])
def test_a_field_of_an_entry_that_is_none_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    """A wrong field of an entry under a right checksum is a CorruptionError."""
    manifest.publish(Files(), tmp_path, WHOLE)
    inner = inner_of(tmp_path)
    inner["stores"][0][name] = value
    write_inner(tmp_path, inner)

    with pytest.raises(CorruptionError):
        manifest.read(tmp_path)


@pytest.mark.parametrize("name", ["store", "file", "checksum", "digest", "saved_at", "cut"])
def test_a_missing_field_is_refused(tmp_path: Path, name: str) -> None:
    """An entry that lacks a field is a CorruptionError."""
    manifest.publish(Files(), tmp_path, WHOLE)
    inner = inner_of(tmp_path)
    del inner["stores"][0][name]
    write_inner(tmp_path, inner)

    with pytest.raises(CorruptionError):
        manifest.read(tmp_path)


def test_a_link_or_a_fifo_is_no_manifest(tmp_path: Path) -> None:
    """What stands in the manifest's place is neither followed nor waited for."""
    manifest.publish(Files(), tmp_path, WHOLE)
    file = tmp_path / manifest.NAME
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptionError, match="a regular file, found a symbolic link"):
        manifest.read(tmp_path)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(CorruptionError, match="a regular file, found a FIFO"):
        manifest.read(tmp_path)


def test_each_store_is_named_once(tmp_path: Path) -> None:
    """Of two rows of one store, one would hide the other, whose file would count as nobody's."""
    manifest.publish(Files(), tmp_path, WHOLE)
    inner = inner_of(tmp_path)
    other = {"cut": 1, "file": manifest.file_for(KEY, Lsn(1))}
    inner["stores"].append(inner["stores"][0] | other)
    write_inner(tmp_path, inner)

    with pytest.raises(CorruptionError, match="each store once"):
        manifest.read(tmp_path)


def test_no_file_is_of_a_later_cut_than_the_manifest(tmp_path: Path) -> None:
    """A manifest of an earlier cut than its files would have the next saves write over them."""
    manifest.publish(Files(), tmp_path, WHOLE)
    write_inner(tmp_path, inner_of(tmp_path) | {"cut": 2})

    with pytest.raises(CorruptionError, match="at least 3"):
        manifest.read(tmp_path)


def test_the_first_manifest_has_no_process(tmp_path: Path) -> None:
    """What a new directory gets, which names nothing, is read back."""
    manifest.publish(Files(), tmp_path, Manifest())

    assert manifest.read(tmp_path) == Manifest()


def test_a_manifest_from_before_the_journal_reads(tmp_path: Path) -> None:
    """Without the field, or with null, there was no journal."""
    manifest.publish(Files(), tmp_path, WHOLE)
    inner = inner_of(tmp_path)
    assert inner["journal"] == {"segment": 4}
    for change in ({"journal": None}, {}):
        old = {key: value for key, value in inner.items() if key != "journal"} | change
        write_inner(tmp_path, old)
        assert manifest.read(tmp_path).segment is None


@pytest.mark.parametrize("journal", [{"segment": 5}, {"segment": 0}, {"segment": "1"}, {}, [], 1])
def test_a_segment_that_cannot_have_been_live_is_refused(tmp_path: Path, journal: object) -> None:
    """The segment of the cut starts at most behind it, and is a number."""
    manifest.publish(Files(), tmp_path, WHOLE)
    write_inner(tmp_path, inner_of(tmp_path) | {"journal": journal})
    with pytest.raises(CorruptionError, match="manifest.journal"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("clock_us", [253_370_764_800_000_000, 2**63 - 1, -1, "1"])
def test_a_clock_nobody_can_set_is_refused(tmp_path: Path, clock_us: object) -> None:
    """No clock is taken over that ``datetime`` could not go on from."""
    manifest.publish(Files(), tmp_path, WHOLE)
    write_inner(tmp_path, inner_of(tmp_path) | {"clock_us": clock_us})

    with pytest.raises(CorruptionError, match="manifest.clock_us"):
        manifest.read(tmp_path)
