"""Journal: appended is in the file, durable is synced, room is known before it is gone."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.crash.faults import FaultyFiles
from tests.unit.persistence.plain_journal import (
    ENGINE,
    SEGMENT_BYTES,
    expected,
    leave,
    opened,
    payloads,
    tail,
    write,
    written,
)

from perdure.errors import DurabilityError
from perdure.persistence.files import Files
from perdure.persistence.journal import LOOK_S, Journal
from perdure.persistence.keys import Lsn
from perdure.persistence.tail import segments_of


class Clock:
    """Time that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def names(path: Path) -> list[str]:
    return sorted(p.name for p in (path / "journal").iterdir())


def test_an_append_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header, payload and padding reach the file in one system call, and no sync is waited for."""
    journal = opened(tmp_path)
    calls: list[int] = []
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda d, data, at: calls.append(at) or pwrite(d, data, at))
    monkeypatch.setattr(os, "fdatasync", lambda _: pytest.fail("an append waits for no disk"))

    assert journal.append(1, [b"in ", b"", b"parts"]) == 1
    assert journal.append(7, []) == 2

    assert len(calls) == 2
    assert (journal.appended_lsn, journal.durable_lsn, journal.next_lsn) == (2, 0, 3)
    found = [(r.lsn, r.kind, r.payload) for r in tail(tmp_path).records()]
    assert found == [(1, 1, b"in parts"), (2, 7, b"")]
    leave(journal)


@pytest.mark.parametrize("kind", [0, 0xFFFFFFFF, -1])
def test_reserved_kinds_are_not_appended(tmp_path: Path, kind: int) -> None:
    """Zero is the end and SEAL the journal's own."""
    journal = opened(tmp_path)
    with pytest.raises(AssertionError):
        journal.append(kind, [])
    leave(journal)


def test_a_sync_makes_all_durable(tmp_path: Path) -> None:
    """What was appended is durable after a sync, once for all of it, and not twice."""
    files = FaultyFiles()
    journal = opened(tmp_path, files=files)
    write(journal, 5)
    del files.steps[:]

    assert journal.sync_now() == 5
    assert journal.durable_lsn == 5
    journal.sync_now()

    assert files.names == ["journal.fsync"]
    leave(journal)


def test_the_order_of_a_rotation(tmp_path: Path) -> None:
    """Header, rename, records; both segments and the folder are synced before the SEAL."""
    files = FaultyFiles()
    journal = opened(tmp_path, files=files)
    del files.steps[:]
    while len(segments_of(tmp_path)) < 2:
        write(journal, 1)
    steps = [name for name in files.names if name != "journal.append.write"]
    assert steps == ["journal.header.write", "journal.rename"]
    del files.steps[:]

    journal.sync_now()

    first, second = segments_of(tmp_path)
    assert [(s.name, s.path) for s in files.steps] == [
        ("journal.fsync", first),
        ("journal.fsync", second),
        ("journal.fsync-folder", tmp_path / "journal"),
        ("journal.seal", first),
        ("journal.fsync", first),
    ]
    journal.close()
    assert names(tmp_path) == [first.name, second.name]


def test_every_opening_starts_a_segment(tmp_path: Path) -> None:
    """A new segment follows the last one, which is sealed; one without records is replaced."""
    written(tmp_path, count=3)
    written(tmp_path, count=0)
    written(tmp_path, count=0, fingerprint={"moto": "6"})
    written(tmp_path, count=2)

    assert [int(p.stem) for p in segments_of(tmp_path)] == [1, 4]
    found = tail(tmp_path)
    assert payloads(found) == expected(range(1, 6))
    assert found.segments[0].end.is_sealed
    assert found.segments[1].header.fingerprint == ENGINE


def test_a_journal_goes_on_behind_the_cut(tmp_path: Path) -> None:
    """Where the checkpoint is newer than the journal, the next record follows the checkpoint."""
    written(tmp_path, count=3)
    journal = opened(tmp_path, cut=Lsn(10))
    write(journal, 2)
    journal.close()

    assert [int(p.stem) for p in segments_of(tmp_path)] == [1, 11]
    assert payloads(tail(tmp_path, cut=Lsn(10))) == expected([11, 12])
    assert journal.active_first == 11


@pytest.mark.parametrize("before", [0, 3])
def test_a_large_record_gets_its_own_segment(tmp_path: Path, before: int) -> None:
    """A record larger than a segment is written whole, first in a segment or not."""
    journal = opened(tmp_path)
    write(journal, before)
    large = os.urandom(3 * SEGMENT_BYTES)
    assert journal.room_for(len(large))
    journal.append(1, [large])
    write(journal, 2)
    journal.close()

    found = list(tail(tmp_path).records())
    assert found[before].payload == large
    assert len(found) == before + 3


def test_closing_makes_all_durable_and_ends(tmp_path: Path) -> None:
    """After close all is durable, the spare is gone, nothing is appended, twice is once."""
    journal = opened(tmp_path)
    write(journal, 2)
    journal.close()
    journal.close()

    assert journal.durable_lsn == 2
    assert names(tmp_path) == [f"{1:020d}.wal"]
    with pytest.raises(DurabilityError, match="it is closed"):
        journal.append(1, [b"x"])


def test_callbacks_come_once_durable(tmp_path: Path) -> None:
    """A callback runs at once if its record is durable, else after the sync, in order."""
    journal = opened(tmp_path)
    write(journal, 3)
    called: list[int] = []
    for lsn in (3, 1, 2):
        journal.when_durable(Lsn(lsn), lambda lsn=lsn: called.append(lsn))
    assert called == []
    journal.sync_now()
    assert called == [1, 2, 3]
    journal.when_durable(Lsn(2), lambda: called.append(20))
    assert called[-1] == 20
    assert journal.wait_durable(Lsn(3))
    assert not journal.wait_durable(Lsn(4), timeout=0.0)
    leave(journal)


def test_interval_syncs_what_is_new_at_most_each_interval(tmp_path: Path) -> None:
    """A round syncs if the interval is over and there is something new."""
    clock, files = Clock(), FaultyFiles()
    journal = opened(tmp_path, files=files, sync="interval", interval=5.0, clock=clock)

    def syncs() -> int:
        journal.tend()
        count = files.names.count("journal.fsync")
        del files.steps[:]
        return count

    assert syncs() == 0
    write(journal, 1)
    assert syncs() == 0
    clock.now += 5
    assert syncs() == 1
    assert journal.durable_lsn == 1
    write(journal, 1)
    assert syncs() == 0
    clock.now += 5
    assert syncs() == 1
    clock.now += 50
    assert syncs() == 0
    leave(journal)


def test_always_syncs_for_who_waits(tmp_path: Path) -> None:
    """A round syncs at once if somebody waits, once for all; else as interval does."""
    clock, files = Clock(), FaultyFiles()
    journal = opened(tmp_path, files=files, sync="always", interval=5.0, clock=clock)
    write(journal, 3)
    journal.tend()
    assert journal.durable_lsn == 0
    called: list[int] = []
    for lsn in (1, 2, 3):
        journal.when_durable(Lsn(lsn), lambda lsn=lsn: called.append(lsn))
    del files.steps[:]
    journal.tend()
    assert called == [1, 2, 3]
    assert files.names == ["journal.fsync"]
    write(journal, 1)
    clock.now += 5
    journal.tend()
    assert journal.durable_lsn == 4
    leave(journal)


def test_never_syncs_only_when_told(tmp_path: Path) -> None:
    """No round syncs."""
    clock = Clock()
    journal = opened(tmp_path, sync="never", clock=clock)
    write(journal, 1)
    clock.now += 1000
    journal.tend()
    assert journal.durable_lsn == 0
    assert journal.sync_now() == 1
    leave(journal)


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_the_thread_makes_records_durable(tmp_path: Path, sync: str) -> None:
    """With its thread, records of many rotations become durable while others are appended."""
    journal = opened(tmp_path, sync=sync, interval=0.01, start=True)
    done = threading.Event()
    for _ in range(300):
        write(journal, 1)
        journal.when_durable(journal.appended_lsn, lambda: None)
    journal.when_durable(journal.appended_lsn, done.set)

    assert done.wait(30)
    assert journal.wait_durable(Lsn(300), timeout=30)
    write(journal, 1)
    assert journal.wait_durable(Lsn(301), timeout=30)
    journal.close()
    found = tail(tmp_path)
    assert payloads(found) == expected(range(1, 302))
    assert all(live.end.is_sealed for live in found.segments[:-1])


@pytest.mark.parametrize("sync", ["always", "interval", "never"])
def test_the_thread_ends_with_the_journal(tmp_path: Path, sync: str) -> None:
    """Close wakes the thread wherever it waits, ends it, and makes all durable."""
    before = threading.active_count()
    journal = opened(tmp_path, sync=sync, interval=1000.0, start=True)
    assert threading.active_count() == before + 1
    write(journal, 1)
    journal.close()
    assert threading.active_count() == before
    assert journal.durable_lsn == 1
    journal._active.close()


def failing(path: Path, only: str, **arguments: Any) -> tuple[Journal, list[DurabilityError]]:
    """A journal whose disk fails once at the next step of a name."""
    failures: list[DurabilityError] = []
    files = FaultyFiles(fault="fail-once", only=only)
    journal = opened(path, files=files, on_failure=failures.append, **arguments)
    files.at = files.counted + 1
    return journal, failures


def test_a_failed_append_ends_the_journal(tmp_path: Path) -> None:
    """It is reported once; every later append, sync and wait raises."""
    journal, failures = failing(tmp_path, "append")
    for _ in range(3):
        with pytest.raises(DurabilityError, match="journal.append.write"):
            journal.append(1, [b"x"])
    for refused in (
        journal.sync_now,
        lambda: journal.wait_durable(Lsn(1)),
        lambda: journal.when_durable(Lsn(1), lambda: None),
        journal.close,
    ):
        with pytest.raises(DurabilityError):
            refused()
    assert [f.step for f in failures] == ["journal.append.write"]
    assert journal.failure is failures[0]
    assert journal.appended_lsn == 0


def test_a_failed_sync_ends_the_journal(tmp_path: Path) -> None:
    """A failed fsync is not tried again, and who waited is not called."""
    journal, failures = failing(tmp_path, "journal.fsync")
    write(journal, 1)
    called: list[int] = []
    journal.when_durable(Lsn(1), lambda: called.append(1))
    with pytest.raises(DurabilityError):
        journal.sync_now()
    with pytest.raises(DurabilityError):
        write(journal, 1)
    with pytest.raises(DurabilityError):
        journal.sync_now()

    assert (called, len(failures), journal.durable_lsn) == ([], 1, 0)
    leave(journal)


def test_a_failure_in_the_thread_is_told(tmp_path: Path) -> None:
    """The thread's failure reaches on_failure and whoever waits."""
    told = threading.Event()
    journal, failures = failing(tmp_path, "journal.fsync", sync="always")
    journal._on_failure = lambda error: (failures.append(error), told.set())
    journal._thread = threading.Thread(target=journal._run)
    write(journal, 1)
    journal._thread.start()
    with pytest.raises(DurabilityError):
        journal.wait_durable(Lsn(1), timeout=30)
    assert told.wait(30)
    assert len(failures) == 1
    with pytest.raises(DurabilityError):
        journal.close()


def test_a_callback_that_raises_ends_the_journal(tmp_path: Path) -> None:
    """The thread never dies unheard."""
    told = threading.Event()
    failures: list[DurabilityError] = []
    journal = opened(
        tmp_path,
        sync="always",
        start=True,
        on_failure=lambda error: (failures.append(error), told.set()),
    )
    write(journal, 1)
    journal.when_durable(Lsn(1), lambda: 1 // 0)
    assert told.wait(30)
    assert "ZeroDivisionError" in failures[0].reason
    with pytest.raises(DurabilityError):
        journal.close()


def test_a_directory_that_is_gone_ends_the_journal(tmp_path: Path) -> None:
    """Deleted under the server, it is noticed within a second, by name."""
    clock = Clock()
    failures: list[DurabilityError] = []
    journal = opened(tmp_path, clock=clock, on_failure=failures.append)
    (tmp_path / "journal").rename(tmp_path / "gone")
    clock.now += LOOK_S
    with pytest.raises(DurabilityError, match="journal.statvfs"):
        journal.tend()
    assert len(failures) == 1
    (tmp_path / "gone").rename(tmp_path / "journal")
    leave(journal)


class FullFiles(Files):
    """A disk on which nothing can be allocated while it is full."""

    full = False

    def step(self, name: str, path: Path, action: Any) -> Any:
        if self.full and name == "journal.allocate":
            reason = os.strerror(errno.ENOSPC)
            raise DurabilityError(path, name, reason) from OSError(errno.ENOSPC, reason)
        return super().step(name, path, action)


def test_a_full_disk_is_met_before_an_append_fails(tmp_path: Path) -> None:
    """Once no spare can be made there is no room; what is appended even so fits; it ends."""
    clock, files = Clock(), FullFiles()
    journal = opened(tmp_path, files=files, clock=clock)
    assert journal.room_for(100)
    files.full = True
    while len(segments_of(tmp_path)) < 2:
        assert journal.room_for(1000)
        write(journal, 1)
    journal.tend()

    assert not journal.room_for(1)
    assert "No space left" in str(journal.shortage)
    write(journal, 3)
    clock.now += LOOK_S
    journal.tend()
    assert not journal.room_for(1)
    files.full = False
    clock.now += LOOK_S
    journal.tend()
    assert journal.room_for(1)
    assert journal.shortage is None
    journal.close()
    assert tail(tmp_path).count == journal.appended_lsn


def test_the_head_room_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With less free than a checkpoint takes there is no room, until there is again."""
    free = 1 << 30
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1))
    clock = Clock()
    journal = opened(tmp_path, clock=clock, headroom_bytes=1 << 20)
    assert journal.room_for(1)
    assert not journal.room_for(1 << 30), "neither by a large body"
    journal.headroom_bytes = (1 << 30) + 1
    assert journal.headroom_bytes == (1 << 30) + 1
    assert journal.room_for(1), "looked at by the thread, not for each call"
    clock.now += LOOK_S
    journal.tend()
    assert not journal.room_for(1)
    free = 2 << 30
    clock.now += LOOK_S
    journal.tend()
    assert journal.room_for(1)
    leave(journal)


def test_a_body_too_large_for_the_disk_makes_no_shortage(tmp_path: Path) -> None:
    """It is refused, and smaller ones are not."""
    files = FullFiles()
    journal = opened(tmp_path, files=files)
    files.full = True
    assert not journal.room_for(10 * SEGMENT_BYTES)
    assert not journal.room_for(1 << 33)
    assert journal.room_for(1)
    files.full = False
    journal.tend()
    assert "spare.tmp" in names(tmp_path)
    assert journal.room_for(10 * SEGMENT_BYTES)
    leave(journal)


@pytest.mark.parametrize("call", ["room_for", "append", "tend"])
def test_another_failure_of_a_spare_ends_the_journal(tmp_path: Path, call: str) -> None:
    """A disk that is broken, not full, is not asked again."""
    journal, failures = failing(tmp_path, "journal.allocate")
    with pytest.raises(DurabilityError, match="journal.allocate"):
        if call == "room_for":
            journal.room_for(10 * SEGMENT_BYTES)
        elif call == "append":
            journal.append(1, [bytes(10 * SEGMENT_BYTES)])
        else:
            while len(segments_of(tmp_path)) < 2:
                write(journal, 1)
            journal.tend()
    assert len(failures) == 1
    leave(journal)


def test_without_a_spare_a_rotation_on_a_full_disk_fails(tmp_path: Path) -> None:
    """Who appends without asking for room ends the journal, by name."""
    files = FullFiles()
    journal = opened(tmp_path, files=files)
    files.full = True
    with pytest.raises(DurabilityError, match="journal.allocate"):
        write(journal, 1000)
    leave(journal)


def test_retiring_keeps_what_a_recovery_needs(tmp_path: Path) -> None:
    """Segments up to the cut are unlinked, those behind it and the active one never."""
    journal = opened(tmp_path)
    write(journal, 200)
    firsts = [int(p.stem) for p in segments_of(tmp_path)]
    journal.retire(Lsn(200))
    assert len(segments_of(tmp_path)) == len(firsts), "not before they are synced and sealed"
    journal.sync_now()
    journal.retire(Lsn(firsts[2] - 2))
    assert [int(p.stem) for p in segments_of(tmp_path)] == firsts[1:]
    journal.retire(Lsn(firsts[2] - 1))
    assert [int(p.stem) for p in segments_of(tmp_path)] == firsts[2:]
    assert payloads(tail(tmp_path, cut=Lsn(firsts[2]))) == expected(range(firsts[2] + 1, 201))
    journal.retire(Lsn(200))
    assert [int(p.stem) for p in segments_of(tmp_path)] == firsts[-1:]
    journal.close()


def test_segments_of_earlier_runs_are_retired(tmp_path: Path) -> None:
    """What an earlier process left is unlinked too."""
    written(tmp_path, count=200)
    journal = opened(tmp_path, cut=Lsn(200))
    journal.retire(Lsn(200))
    assert [int(p.stem) for p in segments_of(tmp_path)] == [201]
    leave(journal)


def test_a_segment_that_cannot_be_removed_stays(tmp_path: Path) -> None:
    """It is warned of and tried again the next time; the journal goes on."""
    written(tmp_path, count=200)
    journal, failures = failing(tmp_path, "journal.unlink", cut=Lsn(200))
    count = len(segments_of(tmp_path))
    journal.retire(Lsn(200))
    assert len(segments_of(tmp_path)) == count
    journal.retire(Lsn(200))
    assert len(segments_of(tmp_path)) == 1
    assert failures == []
    leave(journal)


def test_how_much_a_recovery_would_replay(tmp_path: Path) -> None:
    """Records since a cut are exact, bytes about right, and both fall when retired."""
    journal = opened(tmp_path)
    for _ in range(200):
        journal.append(1, [bytes(100)])
    assert journal.records_since(Lsn(50)) == 150
    assert journal.records_since_retired == 200
    assert 200 * 160 <= journal.bytes_since_retired <= 200 * 160 + 5 * 4096
    assert journal.bytes_since(Lsn(200)) == 0
    half = journal.bytes_since(Lsn(100))
    assert 100 * 160 <= half <= 100 * 160 + 3 * 4096
    journal.retire(Lsn(100))
    assert journal.bytes_since_retired == half
    assert journal.records_since_retired == 100
    leave(journal)
    again = opened(tmp_path)
    assert again.bytes_since(Lsn(100)) == pytest.approx(half, rel=0.1)
    leave(again)


@pytest.mark.parametrize(
    "only",
    ["journal.create", "journal.allocate", "journal.header", "journal.rename", "journal.seal"],
)
def test_an_opening_that_fails_leaves_the_tail(tmp_path: Path, only: str) -> None:
    """The records are as they were, no file is left open, and the next opening works."""
    written(tmp_path, count=3)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DurabilityError, match=only):
        opened(tmp_path, files=FaultyFiles(at=1, fault="fail-on", only=only))
    assert len(os.listdir("/proc/self/fd")) == before
    assert payloads(tail(tmp_path)) == expected(range(1, 4))
    written(tmp_path, count=1)
    assert payloads(tail(tmp_path)) == expected(range(1, 5))


def test_no_file_is_left_open(tmp_path: Path) -> None:
    """Rotations, large records and tails close what they opened."""
    before = len(os.listdir("/proc/self/fd"))
    journal = opened(tmp_path)
    journal.append(1, [bytes(2 * SEGMENT_BYTES)])
    write(journal, 200)
    journal.sync_now()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    journal.close()
    assert payloads(tail(tmp_path, cut=Lsn(1))) == expected(range(2, 202))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_spare_that_cannot_be_removed_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The space stays taken until the next start, which makes the spare anew; close has worked."""
    journal, failures = failing(tmp_path, "journal.unlink")
    write(journal, 1)
    journal.close()
    assert "spare stays" in caplog.text
    assert (journal.durable_lsn, failures) == (1, [])
    written(tmp_path, count=1)
    assert payloads(tail(tmp_path)) == expected([1, 2])


def test_durable_while_it_is_asked(tmp_path: Path) -> None:
    """A record that becomes durable between the two looks is called back at once."""
    journal = opened(tmp_path)
    write(journal, 1)
    called: list[int] = []
    check = journal._durable.check

    def meanwhile() -> None:
        journal._durable.lsn = Lsn(1)
        check()

    journal._durable.check = meanwhile  # type: ignore[method-assign]
    journal.when_durable(Lsn(1), lambda: called.append(1))
    assert called == [1]
    leave(journal)


def test_a_record_of_a_killed_process_is_synced_by_the_next(tmp_path: Path) -> None:
    """What counts as durable from the start on is made so, before a SEAL says it."""
    written(tmp_path, count=30)
    files = FaultyFiles()
    journal = opened(tmp_path, files=files)
    old = segments_of(tmp_path)[:-1]
    steps = [(s.name, s.path) for s in files.steps]
    for segment in old:
        assert ("journal.fsync", segment) in steps[: steps.index(("journal.seal", old[-1]))]
    assert journal.durable_lsn == 30
    leave(journal)


def test_many_threads_share_a_journal(tmp_path: Path) -> None:
    """One appends, others wait, sync and retire; nothing is lost and nothing hangs."""
    journal = opened(tmp_path, sync="always", start=True)
    stop = threading.Event()
    errors: list[BaseException] = []

    def loop(action: Any) -> None:
        try:
            while not stop.is_set():
                action()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    def retire() -> None:
        cut = journal.sync_now()
        retired.append(cut)
        journal.retire(cut)

    retired = [Lsn(0)]
    actions = [retire, lambda: journal.wait_durable(journal.appended_lsn), journal._look]
    threads = [threading.Thread(target=loop, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for number in range(200):
        assert journal.room_for(1000)
        journal.append(1, [bytes(3 * SEGMENT_BYTES)]) if number % 50 == 0 else write(journal, 1)
    stop.set()
    for thread in threads:
        thread.join()
    journal.close()
    assert errors == []
    cut = max(retired)
    assert tail(tmp_path, cut=cut).count == 200 - cut


def test_no_spare_is_made_while_one_becomes_a_segment(tmp_path: Path) -> None:
    """A look between taking the spare and its rename waits: it would empty the new segment."""
    looking: list[threading.Thread] = []

    class Between(Files):
        def step(self, name: str, path: Path, action: Any) -> Any:
            if name == "journal.rename" and path.stem != f"{1:020d}":
                looking.append(threading.Thread(target=journal._look))
                looking[-1].start()
                looking[-1].join(0.1)
            return super().step(name, path, action)

    journal = opened(tmp_path, files=Between())
    write(journal, 100)
    for thread in looking:
        thread.join()
    journal.close()
    assert looking
    assert payloads(tail(tmp_path)) == expected(range(1, 101))


def test_what_records_name_is_durable_before_them(tmp_path: Path) -> None:
    """Whatever syncs the journal first calls what makes blobs durable, with all appended."""
    files = FaultyFiles()
    seen: list[int] = []
    journal = opened(
        tmp_path,
        files=files,
        before_sync=lambda: seen.append(len(files.steps)),
    )
    assert seen, "a start makes durable what the process before left in the page cache"
    seen.clear()
    write(journal, 3)
    journal.sync_now()
    first = next(i for i, s in enumerate(files.steps) if s.name == "journal.fsync" and i >= seen[0])
    assert len(seen) == 1
    assert first >= seen[0]
    journal.sync_now()
    assert len(seen) == 1, "nothing was appended"
    write(journal, 1)
    journal.close()
    assert len(seen) == 2


def test_a_blob_that_cannot_be_synced_ends_the_journal(tmp_path: Path) -> None:
    """A record never becomes durable without what it names."""

    def refuse() -> None:
        if journal_is_open:
            raise DurabilityError(tmp_path, "blob.fsync", "broken")

    journal_is_open = False
    failures: list[DurabilityError] = []
    journal = opened(tmp_path, before_sync=refuse, on_failure=failures.append)
    journal_is_open = True
    write(journal, 1)
    with pytest.raises(DurabilityError, match="broken"):
        journal.sync_now()
    assert len(failures) == 1
    assert journal.durable_lsn == 0
    leave(journal)
