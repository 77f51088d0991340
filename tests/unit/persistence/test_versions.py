"""Files of a newer program are refused, by name, and left as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.persistence.plain_checkpoint import cut, files_below, key, opened

from perdure.errors import CorruptionError, NewerVersionError
from perdure.persistence.check import check_directory
from perdure.persistence.checkpoint import Checkpointer, Cut
from perdure.persistence.manifest import read
from perdure.persistence.versions import refuse_newer, said

PATH = Path("x.state")
RUNNING = {"perdure": "0.3.0", "moto": "5.2.5", "python": "3.11.7"}


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"perdure": "0.3.0", "moto": "5.2.5"},
        {"perdure": "0.2.9", "moto": "5.1.0"},
        {"perdure": "0.3.0.dev1", "moto": "5.2.5rc1"},
        {"perdure": "0.3.0", "moto": "5.2.5", "python": "3.99"},
        {"other": "99"},
    ],
)
def test_older_and_equal_ones_are_read(written: dict[str, str]) -> None:
    """What the running versions can know is not refused; Python is not compared."""
    refuse_newer(PATH, written, RUNNING)


@pytest.mark.parametrize(
    "written",
    [
        {"perdure": "0.3.1", "moto": "5.2.5"},
        {"perdure": "0.3.0", "moto": "5.2.6"},
        {"perdure": "0.3.0", "moto": "5.10.0"},
        {"perdure": "0.3.0", "moto": "6"},
        {"perdure": "1.0", "moto": "5.0"},
        {"perdure": "0.3.0", "moto": "5.2.5.post1"},
    ],
)
def test_newer_ones_are_refused_with_both_versions(written: dict[str, str]) -> None:
    """A newer Perdure or moto, be it by a patch, is named beside the running one."""
    with pytest.raises(NewerVersionError) as error:
        refuse_newer(PATH, written, RUNNING)

    for number in (written["perdure"], written["moto"], "0.3.0", "5.2.5", str(PATH)):
        assert number in str(error.value)
    assert said(written) in error.value.hint


@pytest.mark.parametrize("text", ["", "new", "5.2.x.y!", "9" * 10_000, "5.2.5; rm"])
def test_what_is_no_version_is_damage(text: str) -> None:
    """A version that cannot be put in order is a CorruptionError."""
    with pytest.raises(CorruptionError):
        refuse_newer(PATH, {"perdure": "0.1.0", "moto": text}, RUNNING)


def written_by(found: Cut, **versions: str) -> Cut:
    return Cut(found.cut, found.graphs, found.process, found.last_id, versions)


def test_a_newer_checkpoint_is_refused_and_left(tmp_path: Path) -> None:
    """A directory a newer program wrote is not opened; not a byte of it changes."""
    live = opened(tmp_path)
    live.publish(written_by(cut(1, {"s3": 1}), perdure="0.3.0", moto="5.3.0"))
    before = files_below(tmp_path)

    with pytest.raises(NewerVersionError, match=r"manifest\.json.*5\.3\.0.*5\.2\.5"):
        Checkpointer(live.directory, RUNNING)
    with pytest.raises(NewerVersionError):
        check_directory(tmp_path, RUNNING)
    live.directory.close()
    assert files_below(tmp_path) == before
    assert check_directory(tmp_path).verdict == "clean"


def test_a_newer_file_in_an_older_checkpoint_is_refused_alone(tmp_path: Path) -> None:
    """One store's file of a newer program is refused; the others are read."""
    live = opened(tmp_path)
    live.publish(written_by(cut(1, {"sqs": 1}), perdure="0.3.0", moto="5.3.0"))
    live.publish(written_by(cut(2, {"s3": 1}), perdure="0.3.0", moto="5.2.5"))
    again = Checkpointer(live.directory, RUNNING)

    assert again.read(key("s3"))[0].written_by["moto"] == "5.2.5"
    with pytest.raises(NewerVersionError):
        again.read(key("sqs"))
    report = check_directory(tmp_path, RUNNING)
    live.directory.close()
    newer = {read(tmp_path).stores[key("sqs")].file, read(tmp_path).process.file}  # type: ignore[union-attr]
    assert {f.path for f in report.findings} == newer
    assert {f.verdict for f in report.findings} == {"newer"}
