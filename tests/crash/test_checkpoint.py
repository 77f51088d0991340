"""Power loss at every step of a checkpoint: the one before or this one is whole."""

from __future__ import annotations

import dataclasses
import errno
import itertools
from pathlib import Path

import pytest
from tests.crash.faults import KEPT, FaultyFiles, Kept, PowerLoss
from tests.unit.persistence.plain_checkpoint import cut, files_below, opened, values

from perdure.errors import DurabilityError
from perdure.persistence.check import check_directory
from perdure.persistence.checkpoint import Checkpointer, Cut

FIRST = {"s3": "first " * 500, "sqs": "first", "ec2": "unchanged", "process": "first"}
SECOND = {"s3": "second " * 500, "sqs": "second", "iam": "new", "process": "second"}
AFTER = FIRST | SECOND
CODES = {"stop": [0], "stop-after": [0], "short-write": [errno.ENOSPC]}


def stores(state: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in state.items() if name != "process"}


def publish_first(path: Path) -> Checkpointer:
    live = opened(path)
    live.publish(cut(1, stores(FIRST), process=FIRST["process"]))
    return live


def publish_second(live: Checkpointer, files: FaultyFiles, *, apart: bool = False) -> bool:
    """Publish with a fault; whether it was acknowledged.

    ``apart``: some stores are written beforehand, as by a child.
    """
    live.directory.files = files
    second = cut(2, stores(SECOND), process=SECOND["process"])
    try:
        live.publish(prepared(live, second) if apart else second)
    except (PowerLoss, DurabilityError):
        return False
    finally:
        live.directory.close()
    return True


def prepared(live: Checkpointer, whole: Cut) -> Cut:
    """The cut with its first and its last store written under temporary names."""
    ends = (min(whole.graphs), max(whole.graphs))
    written = {
        k: live.prepare(k, whole.graphs[k], cut=whole.cut, written_by=whole.written_by)
        for k in ends
    }
    return dataclasses.replace(
        whole,
        graphs={k: graph for k, graph in whole.graphs.items() if k not in ends},
        prepared={k: entry for k, entry in written.items() if entry is not None},
    )


def recover(path: Path) -> dict[str, str]:
    """Start on what is left, twice: the second start changes nothing."""
    opened(path).directory.close()
    once = files_below(path)
    live = opened(path)
    found = values(live)
    live.directory.close()
    assert files_below(path) == once
    assert check_directory(path).verdict == "clean"
    return found


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (fault, code)
        for fault in ("stop", "stop-after", "fail-once", "fail-on", "short-write")
        for code in CODES.get(fault, [errno.EIO, errno.ENOSPC])
    ],
)
@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("apart", [False, True], ids=["at-once", "apart"])
def test_one_of_two_checkpoints_is_whole_at_every_step(
    tmp_path: Path, fault: str, code: int, kept: Kept, *, apart: bool
) -> None:
    """After a fault at any step, recovery finds all of the first or all of the second."""
    for step in itertools.count(1):
        path = tmp_path / f"state{step}"
        live = publish_first(path)
        files = FaultyFiles(at=step, fault=fault, code=code, root=path)
        acknowledged = publish_second(live, files, apart=apart)

        disk = files.after_power_loss(tmp_path / f"after{step}", kept)
        found = recover(disk)

        assert found in (FIRST, AFTER), files.steps
        assert found == AFTER or not acknowledged, files.steps
        if not files.happened:
            assert step > 20, "the steps of a checkpoint are seen"
            return


@pytest.mark.parametrize("kept", KEPT)
def test_the_first_checkpoint_is_whole_or_absent_at_every_step(tmp_path: Path, kept: Kept) -> None:
    """A start on a new directory that dies at any step leaves nothing or the whole."""
    for step in itertools.count(1):
        path = tmp_path / f"state{step}"
        path.mkdir()
        files = FaultyFiles(at=step, root=path)
        try:
            live = opened(path, files)
            try:
                live.publish(cut(1, stores(FIRST), process=FIRST["process"]))
            finally:
                live.directory.close()
        except PowerLoss:
            acknowledged = False
        else:
            acknowledged = True

        found = recover(files.after_power_loss(tmp_path / f"after{step}", kept))

        assert found in ({}, FIRST), files.steps
        assert found == FIRST or not acknowledged
        if not files.happened:
            return


@pytest.mark.parametrize("kept", KEPT)
def test_recovery_itself_may_lose_power(tmp_path: Path, kept: Kept) -> None:
    """A crash while leftovers are swept loses nothing that is live."""
    for step in itertools.count(1):
        path = tmp_path / f"state{step}"
        publish_second(publish_first(path), FaultyFiles(at=1, only="manifest.create"))
        files = FaultyFiles(at=step, root=path)
        try:
            opened(path, files).directory.close()
        except PowerLoss:
            pass

        found = recover(files.after_power_loss(tmp_path / f"after{step}", kept))

        assert found == FIRST
        if not files.happened:
            return


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("failing", ["state.fsync-folder", "manifest.fsync-folder"])
def test_a_failure_then_a_crash_in_the_next_attempt(
    tmp_path: Path, kept: Kept, failing: str
) -> None:
    """A checkpoint that failed at its last step is never spoiled by the next attempt."""
    for step in itertools.count(1):
        path = tmp_path / f"state{step}"
        live = publish_first(path)
        first = FaultyFiles(at=1, fault="fail-once", only=failing, root=path)
        live.directory.files = first
        with pytest.raises(DurabilityError):
            live.publish(cut(2, stores(SECOND), process="second"))
        files = FaultyFiles(at=step).continuing(first)
        live.directory.files = files
        third = {"s3": "third " * 500, "sqs": "second", "iam": "new"}
        try:
            live.publish(cut(int(live.next_cut), third, process="third"))
        except PowerLoss:
            acknowledged = False
        else:
            acknowledged = True
        live.directory.close()

        found = recover(files.after_power_loss(tmp_path / f"after{step}", kept))

        last = FIRST | third | {"process": "third"}
        assert found in (FIRST, AFTER, last), files.steps
        assert found == last or not acknowledged
        if not files.happened:
            return
