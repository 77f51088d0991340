"""Death at every step of the journal: what was acknowledged is there, and one more at most."""

from __future__ import annotations

import errno
import itertools
from contextlib import suppress
from pathlib import Path

import pytest
from tests.crash.faults import FAULTS, KEPT, FaultyFiles, Kept, PowerLoss
from tests.unit.persistence.plain_journal import (
    expected,
    files_below,
    frames,
    leave,
    opened,
    patch,
    payloads,
    tail,
    write,
    written,
)

from perdure.errors import DurabilityError
from perdure.persistence.files import Files
from perdure.persistence.journal import Journal
from perdure.persistence.keys import Lsn
from perdure.persistence.tail import Tail

# Small segments, so that few records rotate often; and one that is larger than a segment.
SEGMENT_BYTES = 8 << 10
COUNT = 40
SYNC_EACH = 7
CHECKPOINT_EACH = 17
ERRORS = {"fail-once": [errno.EIO, errno.ENOSPC], "fail-on": [errno.EIO, errno.ENOSPC]}
CASES = [(fault, code) for fault in FAULTS for code in ERRORS.get(fault, [errno.ENOSPC])]


class Run:
    """A server's life with a journal, up to the fault."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.appended = self.durable = 0
        self.cut, self.segment = Lsn(0), None

    def live(self, files: FaultyFiles, count: int = COUNT) -> bool:
        """Append, sync, checkpoint and retire; whether nothing went wrong."""
        journal: Journal | None = None
        try:
            journal = opened(self.path, files=files, segment_bytes=SEGMENT_BYTES, cut=self.cut)
            self._live(journal, count)
        except (PowerLoss, DurabilityError):
            return False
        finally:
            if journal is not None:
                self.durable = journal.durable_lsn
                leave(journal)
        return True

    def _live(self, journal: Journal, count: int) -> None:
        for number in range(1, count + 1):
            write(journal, 1)
            self.appended = journal.appended_lsn
            if number % SYNC_EACH == 0:
                journal.sync_now()
            if number % (SYNC_EACH // 2) == 0:
                journal._look()
            if number % CHECKPOINT_EACH == 0:
                self._checkpoint(journal)
        journal.close()

    def _checkpoint(self, journal: Journal) -> None:
        cut, segment = journal.appended_lsn, journal.active_first
        journal.sync_now()
        # Here a manifest is published that says both.
        self.cut, self.segment = cut, segment
        journal.retire(cut)

    def judge(self, disk: Path, files: Files | None = None) -> Tail:
        return tail(disk, cut=self.cut, segment=self.segment, known_durable=self.cut, files=files)

    def check(self, disk: Path, kept: Kept) -> None:
        """Recover twice: all acknowledged records are there, at most one more, and that is it."""
        found = self.judge(disk, Files())
        once = files_below(disk)
        last = found.cut + len(payloads(found))

        assert payloads(found) == expected(range(self.cut + 1, last + 1))
        least = self.appended if kept == "cache-kept" else self.durable
        assert max(least, self.cut) <= last <= self.appended + 1
        again = self.judge(disk, Files())
        assert again.verdict == "clean"
        assert payloads(again) == payloads(found)
        assert files_below(disk) == once
        self._go_on(disk, last)

    def _go_on(self, disk: Path, last: int) -> None:
        journal = opened(disk, segment_bytes=SEGMENT_BYTES, cut=self.cut)
        assert journal.next_lsn == last + 1
        write(journal, 5)
        journal.close()
        assert payloads(self.judge(disk)) == expected(range(self.cut + 1, last + 6))


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize(("fault", "code"), CASES)
def test_acknowledged_records_survive_a_fault_at_every_step(
    tmp_path: Path, fault: str, code: int, kept: Kept
) -> None:
    """Whatever step a journal ends at, recovery finds every acknowledged record."""
    for step in itertools.count(1):
        run = Run(tmp_path / f"state{step}")
        run.path.mkdir()
        files = FaultyFiles(at=step, fault=fault, code=code, root=run.path)
        is_whole = run.live(files)

        run.check(files.after_power_loss(tmp_path / f"after{step}", kept), kept)

        if not files.happened:
            assert is_whole
            assert step > 80, "the steps of a journal are seen"
            return


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("fault", ["stop", "stop-within", "stop-after"])
def test_a_second_run_may_end_at_every_step(tmp_path: Path, fault: str, kept: Kept) -> None:
    """A start on what a killed process left loses nothing either, wherever it ends."""
    for step in itertools.count(1):
        run = Run(tmp_path / f"state{step}")
        run.path.mkdir()
        first = FaultyFiles(at=70, root=run.path)
        run.live(first)
        # The process died, the machine did not: what was appended is still in its cache.
        files = FaultyFiles(at=step, fault=fault).continuing(first)
        durable = run.durable
        run.live(files, count=12)
        run.durable = max(durable, run.durable if files.happened else run.appended)

        run.check(files.after_power_loss(tmp_path / f"after{step}", kept), kept)

        if not files.happened:
            return


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("fault", ["stop", "stop-within", "stop-after"])
def test_a_large_first_record_may_end_at_every_step(tmp_path: Path, fault: str, kept: Kept) -> None:
    """A segment that takes the place of an empty one, which a SEAL names, is whole or not there."""
    large = b"large " * SEGMENT_BYTES
    for step in itertools.count(1):
        path = written(tmp_path / f"state{step}", count=3, segment_bytes=SEGMENT_BYTES)
        journal = opened(path, segment_bytes=SEGMENT_BYTES)
        files = FaultyFiles(at=step, fault=fault, root=path)
        journal._files = journal._spare._files = journal._active._files = files
        with suppress(PowerLoss):
            journal.append(1, [large])
            journal.append(1, [large])
            journal.sync_now()
        leave(journal)
        disk = files.after_power_loss(tmp_path / f"after{step}", kept)

        found = [record.payload for record in tail(disk, files=Files()).records()]
        least = int(journal.appended_lsn if kept == "cache-kept" else journal.durable_lsn)
        assert found == [*expected(range(1, 4)), large, large][: len(found)]
        assert least <= len(found) <= journal.appended_lsn + 1
        if not files.happened:
            assert step > 10
            return


def torn(path: Path) -> Path:
    """A journal with a hole in its first segment, whose later segments are part of the tail."""
    written(path, count=60, segment_bytes=SEGMENT_BYTES)
    file, record = frames(path)[6]
    patch(file, record.offset, bytes(32))
    return path


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize(("fault", "code"), CASES)
def test_the_repair_itself_may_fail_at_every_step(
    tmp_path: Path, fault: str, code: int, kept: Kept
) -> None:
    """A crash while a torn tail is cut leaves it torn or cut, and every byte of it kept."""
    for step in itertools.count(1):
        path = torn(tmp_path / f"state{step}")
        lost = [data for data in files_below(path).values() if b"record 60 " in data]
        assert len(lost) == 1
        files = FaultyFiles(at=step, fault=fault, code=code, root=path)
        with suppress(PowerLoss, DurabilityError):
            tail(path, files=files)
        disk = files.after_power_loss(tmp_path / f"after{step}", kept)

        found = tail(disk, files=Files())
        once = files_below(disk)
        assert payloads(found) == expected(range(1, 7))
        assert tail(disk, files=Files()).verdict == "clean"
        assert files_below(disk) == once
        aside = [data for name, data in once.items() if name.startswith("quarantine/")]
        assert lost[0] in aside
        assert any(b"record 8 " in data for data in aside)
        if not files.happened:
            assert step > 10
            return
