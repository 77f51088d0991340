"""Power loss while rows of collections are written: the checkpoint before or this one is whole."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.faults import KEPT, FaultyFiles, Kept, PowerLoss
from tests.unit.persistence.plain_checkpoint import cut, files_below, key, opened
from tests.unit.persistence.plain_rows import NUMBER, graph_of, row, rows_of
from tests.unit.persistence.test_compaction import prepared

from perdure.errors import DurabilityError
from perdure.persistence import compaction
from perdure.persistence.check import check_directory
from perdure.persistence.checkpoint import Checkpointer, Cut
from perdure.persistence.entries import Row, gone

FIRST = rows_of({f"key-{n}": "first " * 40 for n in range(40)})
CHANGES = [
    row("key-3", "second", place=3),
    gone(*FIRST[5][:3]),
    row("key-99", "new", place=99),
]
BY_KEY = {each.key: each for each in (*FIRST, *CHANGES)}
SECOND = [each for each in BY_KEY.values() if each.value is not None]
Way = Callable[[Checkpointer, Cut], Cut]
# How the second checkpoint writes its rows.
WAYS: dict[str, tuple[str, int, Way]] = {
    "a base": ("dynamodb", 1 << 20, lambda _, whole: whole),
    "a document": ("kinesis", 1 << 20, lambda _, whole: whole),
    "a delta": ("dynamodb", 0, lambda _, whole: whole),
    "a base at a stop": ("dynamodb", 0, lambda _, whole: replace(whole, at_stop=True)),
    "by a child": ("dynamodb", 1 << 20, prepared),
}


def publish_first(path: Path, module: str) -> Checkpointer:
    live = opened(path)
    live.publish(cut(1, {module: graph_of(FIRST, FIRST), "s3": 1}))
    return live


def publish_second(live: Checkpointer, files: FaultyFiles, module: str, way: Way) -> bool:
    """Publish with a fault; whether it was acknowledged."""
    live.directory.files = files
    second = cut(2, {module: graph_of(SECOND, CHANGES)})
    try:
        live.publish(way(live, second))
    except (PowerLoss, DurabilityError):
        return False
    finally:
        live.directory.close()
    return True


def recover(path: Path, module: str) -> list[Row]:
    """Start on what is left, twice: the second start changes nothing."""
    opened(path).directory.close()
    once = files_below(path)
    live = opened(path)
    source = live.source(key(module))
    assert source is not None
    with closing(source):
        found = source.of_collection(NUMBER)
    live.directory.close()
    assert files_below(path) == once
    report = check_directory(path)
    assert (report.verdict, report.entries) == ("clean", len(found))
    return found


@pytest.mark.parametrize("fault", ["stop", "stop-after", "fail-once", "fail-on", "short-write"])
@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("name", WAYS)
def test_one_of_two_checkpoints_has_all_its_rows_at_every_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    kept: Kept,
    name: str,
) -> None:
    """After a fault at any step, recovery finds all rows of the first or all of the second."""
    module, small, way = WAYS[name]
    monkeypatch.setattr(compaction, "SMALL_BYTES", small)
    for step in itertools.count(1):
        path = tmp_path / f"state{step}"
        live = publish_first(path, module)
        files = FaultyFiles(at=step, fault=fault, code=errno.ENOSPC, root=path)
        acknowledged = publish_second(live, files, module, way)

        disk = files.after_power_loss(tmp_path / f"after{step}", kept)
        found = recover(disk, module)

        assert found in (FIRST, SECOND), files.steps
        assert found == SECOND or not acknowledged, files.steps
        if not files.happened:
            assert any(name.startswith("entries.") for name in files.names)
            assert step > 12, "the steps of a checkpoint are seen"
            return


@pytest.mark.parametrize("small", [1 << 20, 0], ids=["a base", "a delta"])
def test_the_next_attempt_has_what_a_failed_one_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    """A checkpoint that failed at any step leaves nothing in the way of the one after it."""
    monkeypatch.setattr(compaction, "SMALL_BYTES", small)
    for step in itertools.count(1):
        path = tmp_path / f"state{step}"
        live = publish_first(path, "dynamodb")
        files = live.directory.files = FaultyFiles(at=step, fault="fail-once", code=errno.ENOSPC)
        second = cut(2, {"dynamodb": graph_of(SECOND, CHANGES)})
        try:
            live.publish(second)
        except DurabilityError:
            live.publish(replace(second, cut=live.next_cut))
        live.directory.close()

        assert recover(path, "dynamodb") == SECOND
        if not files.happened:
            return
