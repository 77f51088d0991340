"""Any damage to a journal yields a prefix of it or an error by name; never another record."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.crash.faults import FaultyFiles, _some_sectors
from tests.unit.persistence.plain_journal import (
    expected,
    files_below,
    flip,
    frames,
    leave,
    opened,
    payloads,
    tail,
    write,
    written,
)

from perdure.errors import CorruptionError
from perdure.persistence.files import Files
from perdure.persistence.tail import Tail

COUNT = 60
SEGMENT_BYTES = 8 << 10
# Records that are durable when the process is gone: none but by the opening, some, all.
SYNC_EACH = (0, 7, 1)


@cache
def journal(sync_each: int) -> tuple[dict[str, bytes], list[tuple[str, int, int]]]:
    """The files of a journal; segment, start and end of each record."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        written(path, count=COUNT, sync_each=sync_each, segment_bytes=SEGMENT_BYTES)
        files = {n: d for n, d in files_below(path).items() if n.endswith(".wal")}
        places = [(file.name, record.offset) for file, record in frames(path)]
        ends = [*(at for _, at in places[1:]), 0]
        spans = [
            (name, at, end if end > at else len(files[f"journal/{name}"].rstrip(b"\0")))
            for (name, at), end in zip(places, ends, strict=True)
        ]
        return files, spans


@contextmanager
def copied(sync_each: int) -> Iterator[Path]:
    files, _ = journal(sync_each)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "journal").mkdir()
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        yield Path(folder)


def judged(path: Path) -> Tail | None:
    """The verdict, the same with and without repair; None = an error by name."""
    try:
        seen = tail(path)
    except CorruptionError as error:
        with pytest.raises(type(error), match=str(path)):
            tail(path, files=Files())
        return None
    found = tail(path, files=Files())
    assert (seen.verdict, seen.next_lsn) == (found.verdict, found.next_lsn)
    assert payloads(found) == expected(range(1, found.next_lsn))
    again = tail(path, files=Files())
    assert (again.verdict, again.next_lsn) == ("clean", found.next_lsn)
    return found


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SYNC_EACH), st.data())
def test_any_truncation_yields_a_prefix(sync_each: int, data: st.DataObject) -> None:
    """A journal that ends anywhere ends in a prefix, or in an error if more was durable."""
    files, _ = journal(sync_each)
    name = data.draw(st.sampled_from(sorted(files)))
    size = data.draw(st.integers(0, len(files[name])))
    with copied(sync_each) as path:
        (path / name).write_bytes(files[name][:size])
        found = judged(path)
        if found is None:
            assert sync_each, "nothing was durable, so nothing can have been lost"
        elif name != max(files) and size < len(files[name].rstrip(b"\0")):
            assert found.next_lsn <= COUNT


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SYNC_EACH), st.booleans(), st.data())
def test_any_flipped_bit_is_noticed(sync_each: int, anywhere: bool, data: st.DataObject) -> None:
    """A strict prefix with the verdict torn, or an error by name; in the zeros torn as well."""
    files, spans = journal(sync_each)
    if anywhere:
        file = data.draw(st.sampled_from(sorted(files)))
        place = data.draw(st.integers(0, len(files[file]) - 1))
    else:
        name, start, end = data.draw(st.sampled_from(spans))
        file, place = f"journal/{name}", data.draw(st.integers(start, end - 1))
    with copied(sync_each) as path:
        flip(path / file, place, data.draw(st.integers(0, 7)))
        found = judged(path)
        if found is not None:
            assert found.verdict == "torn"
            assert anywhere or found.next_lsn <= COUNT


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["append", "append", "sync", "look"]), max_size=60), st.integers())
def test_lost_or_reordered_sectors_yield_all_that_was_durable(ops: list[str], seed: int) -> None:
    """After a power cut that kept any unsynced sectors, every durable record is there."""
    with tempfile.TemporaryDirectory() as folder:
        path, after = Path(folder, "disk"), Path(folder, "after")
        path.mkdir()
        files = FaultyFiles(root=path)
        live = opened(path, files=files, segment_bytes=SEGMENT_BYTES)
        actions = {
            "append": lambda: write(live, 3),
            "sync": live.sync_now,
            "look": live._look,
        }
        for op in ops:
            actions[op]()
        durable, appended = live.durable_lsn, live.appended_lsn
        leave(live)
        disk = files._disk
        assert disk is not None
        disk.rebuild(after, "reordered", Random(seed))

        found = judged(after)

        assert found is not None, "a power cut is no corruption"
        assert durable <= found.next_lsn - 1 <= appended


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_zeroed_sectors_behind_what_was_durable_are_torn(data: st.DataObject) -> None:
    """Any sectors zeroed behind the durable records cut there, and never before."""
    files, spans = journal(7)
    durable = COUNT - COUNT % 7
    name, start, _ = spans[durable]
    whole = files[f"journal/{name}"]
    with copied(7) as path:
        zeroed = whole[:start].ljust(len(whole), b"\0")
        mixed = _some_sectors(zeroed, whole, Random(data.draw(st.integers())))
        (path / "journal" / name).write_bytes(mixed)
        found = judged(path)
        assert found is not None
        assert durable <= found.next_lsn - 1 <= COUNT
