"""Death at every step of a body's life: what was acknowledged is there in full."""

from __future__ import annotations

import errno
import hashlib
import itertools
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.faults import FAULTS, KEPT, FaultyFiles, Kept, PowerLoss
from tests.unit.persistence.plain_checkpoint import cut, files_below, graph
from tests.unit.persistence.plain_journal import ENGINE, leave
from tests.unit.persistence.test_record import CALL

from perdure.errors import DurabilityError, NoRoomError
from perdure.persistence import record as records
from perdure.persistence.blobs import Blob, BlobStore, file_of
from perdure.persistence.body import Body, whole
from perdure.persistence.check import check_directory
from perdure.persistence.checkpoint import Checkpointer
from perdure.persistence.directory import Directory, open_directory
from perdure.persistence.files import Files
from perdure.persistence.journal import Journal
from perdure.persistence.keys import Lsn
from perdure.persistence.lost import find_lost
from perdure.persistence.statefile import Graph
from perdure.persistence.sweeping import Sweeper
from perdure.persistence.tail import Tail, cut_from, read_tail

SEGMENT_BYTES = 8 << 10
COUNT = 5
SYNC_EACH = 2
CHECKPOINT_EACH = 3
KEPT_OBJECTS = 2
ERRORS = {"fail-once": [errno.EIO, errno.ENOSPC], "fail-on": [errno.EIO, errno.ENOSPC]}
# What a disk that fails and then loses its power leaves in all four ways, the journal's own
# tests see; here two of them do.
CASES = [
    (fault, code, kept)
    for fault in FAULTS
    for code in ERRORS.get(fault, [errno.ENOSPC])
    for kept in (KEPT if fault.startswith("stop") else KEPT[:2])
]


def data(number: int) -> bytes:
    """Different lengths, and one content that comes back."""
    return hashlib.sha256(b"%d" % (number % 5)).digest() * (40 + number % 5)


class Instance:
    """A state directory as a server opens it: checkpoint, tail, blobs."""

    def __init__(self, path: Path, files: Files) -> None:
        self.files = files
        self.directory: Directory = open_directory(path, files=files, version="test")
        try:
            self.store = BlobStore(path, files)
            self.live = Checkpointer(self.directory)
            self.tail = self._tail(path)
            self.directory.sweep(self.live.manifest, replayable=Lsn(self.tail.next_lsn - 1))
            self.store.clear_incoming()
        except BaseException:
            self.directory.close()
            raise

    def _tail(self, path: Path) -> Tail:
        manifest = self.live.manifest
        tail = read_tail(
            path,
            cut=manifest.cut,
            instance=self.directory.origin[0],
            segment=manifest.segment,
            known_durable=0 if manifest.segment is None else manifest.cut,
            files=self.files,
        )
        lost = find_lost(tail, self.store, self.live.blobs)
        return tail if lost is None else cut_from(tail, *lost, files=self.files)

    def bodies(self) -> Iterator[tuple[Lsn, Blob]]:
        """What records behind the checkpoint name, in order."""
        for record in self.tail.records():
            for blob in records.blobs_named(record.kind, record.payload, path=self.tail.path):
                yield record.lsn, blob

    def saved(self) -> set[str]:
        """What the checkpoint names."""
        return self.live.blobs()

    def journal(self) -> Journal:
        """What comes behind the tail."""
        self.store.pend(blob.name for _, blob in self.bodies())
        return Journal.open(
            self.directory.path,
            after=self.tail,
            fingerprint=ENGINE,
            sync="never",
            segment_bytes=SEGMENT_BYTES,
            files=self.files,
            start=False,
            before_sync=self.store.sync,
        )


class Run:
    """A server's life: objects put, some dropped, synced, checkpointed, swept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.acknowledged: dict[Lsn, Blob] = {}
        self.durable = Lsn(0)
        # At each cut: the objects there were.
        self.cuts: dict[Lsn, set[str]] = {}
        self.refused = 0

    def again(self) -> Run:
        """Another life in the same directory, with what the first one acknowledged."""
        run = Run(self.path)
        run.acknowledged, run.cuts = dict(self.acknowledged), dict(self.cuts)
        run.durable = self.durable
        return run

    def live(self, files: Files) -> bool:
        """Whether nothing went wrong."""
        journal: Journal | None = None
        instance: Instance | None = None
        try:
            instance = Instance(self.path, files)
            journal = instance.journal()
            self._live(instance, journal)
            journal.close()
        except (PowerLoss, DurabilityError):
            return False
        finally:
            if journal is not None:
                self.durable = journal.durable_lsn
                leave(journal)
            if instance is not None:
                instance.directory.close()
        return self.refused == 0

    def _live(self, instance: Instance, journal: Journal) -> None:
        objects: list[Body] = []
        sweeper = Sweeper(instance.store, instance.live)
        for number in range(1, COUNT + 1):
            try:
                objects.append(self._put(instance, journal, number))
            except NoRoomError:
                self.refused += 1
            del objects[:-KEPT_OBJECTS]
            if number % SYNC_EACH == 0:
                journal.sync_now()
            if number % CHECKPOINT_EACH == 0:
                self._checkpoint(instance, journal, objects, sweeper)

    def _put(self, instance: Instance, journal: Journal, number: int) -> Body:
        writer = instance.store.begin()
        content = data(number)
        for at in range(0, len(content), 700):
            writer.write(content[at : at + 700])
        body = Body(instance.store, [whole(writer.commit())])
        lsn = journal.append(records.CALL, records.encode_call(CALL._replace(body=body.blobs)))
        instance.store.recorded(body.names, lsn)
        self.acknowledged[lsn] = body.blobs[0]
        return body

    def _checkpoint(
        self, instance: Instance, journal: Journal, objects: list[Body], sweeper: Sweeper
    ) -> None:
        lsn = journal.append(records.MARK, ())
        blobs = {blob for body in objects for blob in body.blobs}
        names = sorted(blob.name for blob in blobs)
        found = Graph(graph(names).payload, (), blobs=tuple(sorted(blobs)))
        # Before it is published: its last step may fail, and it be on disk.
        self.cuts[lsn] = set(names)
        instance.store.sync()
        journal.sync_now()
        # The records behind the last cut are retired with it, also if no store changed.
        instance.live.publish(replace(cut(lsn, {"s3": found}), must_advance=True))
        journal.retire(lsn)
        sweeper.sweep(lsn)

    def check(self, disk: Path, kept: Kept) -> None:
        """Recover twice: every acknowledged body is there in full, and that is it."""
        report = check_directory(disk)
        assert report.findings == [], report.findings
        instance = Instance(disk, Files())
        try:
            self._check(instance, kept)
            once = files_below(disk)
        finally:
            instance.directory.close()
        assert not list(disk.glob("blobs/incoming/*.tmp"))
        with closing(Instance(disk, Files()).directory):
            assert files_below(disk) == once
        assert check_directory(disk).verdict == "clean"

    def _check(self, instance: Instance, kept: Kept) -> None:
        cut_ = instance.live.manifest.cut
        assert instance.saved() == self.cuts.get(cut_, set())
        found = dict(instance.bodies())
        least = max(self.acknowledged, default=0) if kept == "cache-kept" else self.durable
        for lsn, blob in self.acknowledged.items():
            if cut_ < lsn <= least:
                assert found.get(lsn) == blob
        for name in instance.saved():
            size = next(b.size for b in self.acknowledged.values() if b.name == name)
            instance.store.check(Blob(name, size), content=True)
        for blob in found.values():
            instance.store.check(blob, content=True)


@pytest.mark.parametrize(("fault", "code", "kept"), CASES)
def test_acknowledged_bodies_survive_a_fault_at_every_step(
    tmp_path: Path, fault: str, code: int, kept: Kept
) -> None:
    """Whatever step a body's life ends at, recovery finds every acknowledged one in full."""
    for step in itertools.count(1):
        run = Run(tmp_path / f"state{step}")
        run.path.mkdir()
        Instance(run.path, Files()).directory.close()
        files = FaultyFiles(at=step, fault=fault, code=code, root=run.path)
        is_whole = run.live(files)

        run.check(files.after_power_loss(tmp_path / f"after{step}", kept), kept)

        if not files.happened:
            assert is_whole
            assert step > 60, "the steps of blobs, journal and checkpoints are seen"
            assert {"blob.create", "blob.write", "blob.rename", "blob.fsync"} <= set(files.names)
            assert "blob.unlink" in files.names
            return


@pytest.mark.parametrize(
    ("fault", "kept"),
    [("stop", kept) for kept in KEPT]
    + [("stop-after", "data-lost"), ("stop-within", "reordered"), ("fail-once", "data-lost")],
)
def test_what_was_durable_stays_whole_while_it_is_put_again(
    tmp_path: Path, fault: str, kept: Kept
) -> None:
    """A blob of an earlier life is whole, whatever step a put of the same content ends at."""
    for step in itertools.count(1):
        first = Run(tmp_path / f"state{step}")
        first.path.mkdir()
        assert first.live(Files())
        run = first.again()
        files = FaultyFiles(at=step, fault=fault, code=errno.EIO, root=run.path)
        is_whole = run.live(files)

        run.check(files.after_power_loss(tmp_path / f"after{step}", kept), kept)

        if not files.happened:
            assert is_whole
            assert len(run.acknowledged) == 2 * COUNT
            return


@pytest.mark.parametrize("kept", KEPT)
def test_a_damaged_blob_is_replaced_at_once_or_not_at_all(tmp_path: Path, kept: Kept) -> None:
    """Wherever a put over a damaged file ends, the file is as it was or whole."""
    content = data(1)
    name = hashlib.sha256(content).hexdigest()
    for step in itertools.count(1):
        path = tmp_path / f"state{step}"
        damaged = path / file_of(name)
        damaged.parent.mkdir(parents=True)
        damaged.write_bytes(bytes(len(content)))
        files = FaultyFiles(at=step, root=path)
        with suppress(PowerLoss):
            writer = BlobStore(path, files).begin()
            writer.write(content)
            writer.commit()
        after = files.after_power_loss(tmp_path / f"after{step}", kept)
        assert (after / file_of(name)).read_bytes() in (bytes(len(content)), content)
        if not files.happened:
            assert files.names[-3:] == ["blob.open", "blob.fsync", "blob.rename"]
            return


@pytest.mark.parametrize("only", ["blob.create", "blob.write", "blob.rename", "blob.mkdir"])
def test_a_full_disk_refuses_a_body_and_the_others_go_on(tmp_path: Path, only: str) -> None:
    """One body that finds the disk full is refused, and nothing else; nothing is left of it."""
    run = Run(tmp_path / "state")
    run.path.mkdir()
    Instance(run.path, Files()).directory.close()
    files = FaultyFiles(at=2, fault="fail-once", code=errno.ENOSPC, only=only, root=run.path)
    run.live(files)

    assert files.happened
    assert run.refused == 1
    assert len(run.acknowledged) == COUNT - 1
    run.check(files.after_power_loss(tmp_path / "after", "cache-lost"), "cache-lost")
