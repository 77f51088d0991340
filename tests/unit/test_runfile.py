"""Run files: believed only while the process that wrote them lives."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from perdure import __version__, runfile
from perdure.errors import RunDirectoryError
from perdure.runfile import RunRecord

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"perdure-{os.getuid()}"


@pytest.fixture
def record(tmp_path):
    return RunRecord.current("127.0.0.1:4566", state_dir=tmp_path / "state")


@pytest.fixture
def ended():
    """A process id that has ended and was waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_is_written_is_read(record):
    """The living process' record comes back whole."""
    runfile.write(record)

    found = runfile.read(4566)

    assert found is not None
    assert replace(found, born=None) == record


def test_current_tells_process_version_and_log(record, monkeypatch, tmp_path):
    """A record made here names this process, this version and the log it was given."""
    assert (record.pid, record.version, record.log) == (os.getpid(), __version__, None)
    assert record.state_dir == str(tmp_path / "state")

    monkeypatch.setenv(runfile.LOG_FILE_VARIABLE, "/x/4566.log")
    found = RunRecord.current("127.0.0.1:4566", state_dir=None)
    assert (found.log, found.state_dir) == ("/x/4566.log", None)


def test_port_is_the_last_part_of_the_address(record):
    """An IPv6 address has colons of its own."""
    assert replace(record, listen="[::1]:443").port == 443


def test_no_file_no_record():
    """A port nobody wrote about has no record."""
    assert runfile.read(4566) is None


def test_record_of_an_ended_process_is_not_believed(record, ended):
    """A run file left behind by a killed server counts as none."""
    runfile.write(replace(record, pid=ended))

    assert runfile.read(4566) is None


@needs_proc
def test_record_of_a_zombie_is_not_believed(record):
    """A process that ended counts as gone before its parent has looked."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    runfile.write(replace(record, pid=process.pid))
    with process:
        process.stdout.read()  # ends when the process closes its output
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert runfile.read(4566) is None


@needs_proc
def test_record_of_another_process_with_the_same_id_is_not_believed(record):
    """A process id that was given away again does not pass for the server."""
    path = runfile.write(record)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "born": data["born"] - 1}))

    assert runfile.read(4566) is None


@needs_proc
def test_program_name_may_hold_parentheses_and_spaces(tmp_path, monkeypatch):
    """The start time is found behind any program name."""
    fields = ["S", *map(str, range(4, 60))]
    stat = tmp_path / "proc" / "7" / "stat"
    stat.parent.mkdir(parents=True)
    stat.write_text(f"7 (a) S 1 (b c) {' '.join(fields)}")
    monkeypatch.setattr(runfile, "PROC", tmp_path / "proc")

    assert runfile._born(7) == 22


def test_without_proc_a_living_process_is_believed(record, ended, tmp_path, monkeypatch):
    """Where start times are unknown, the process id alone decides."""
    monkeypatch.setattr(runfile, "PROC", tmp_path / "no-proc")
    runfile.write(record)
    assert runfile.read(4566) is not None

    runfile.write(replace(record, pid=ended))
    assert runfile.read(4566) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', "\0"])
def test_damaged_file_counts_as_none(record, text):
    """A run file that makes no sense is a missing hint, not an error."""
    runfile.write(record).write_text(text)

    assert runfile.read(4566) is None


@pytest.mark.parametrize("pid", [0, -1, "1", None])
def test_process_ids_that_mean_groups_are_not_believed(record, pid, tmp_path, monkeypatch):
    """No run file can make `perdure stop` signal a group of processes."""
    monkeypatch.setattr(runfile, "PROC", tmp_path / "no-proc")  # here kill(0, 0) would succeed
    path = runfile.write(record)
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": pid}))

    assert runfile.read(4566) is None


def test_ports_are_kept_apart_and_found_by_process(record):
    """Two servers have two files; the one that chose its port is found by its process."""
    runfile.write(replace(record, listen="127.0.0.1:1", pid=os.getppid()))
    runfile.write(replace(record, listen="127.0.0.1:2"))

    assert runfile.read(1).pid == os.getppid()
    assert runfile.find(os.getpid()).port == 2
    assert runfile.find(2**22 + 1) is None


def test_newer_record_replaces_the_older_and_leaves_no_draft(record, folder):
    """A second write shows the second record, and the folder holds nothing else."""
    runfile.write(record)
    runfile.write(replace(record, version="newer"))

    assert runfile.read(4566).version == "newer"
    assert [path.name for path in folder.iterdir()] == ["4566.json"]


def test_failed_write_leaves_the_older_record(record, monkeypatch):
    """A write that stops before the rename changes nothing a reader sees."""
    runfile.write(record)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(RunDirectoryError, match="No space left"):
        runfile.write(replace(record, version="newer"))

    assert runfile.read(4566).version == record.version


def test_removed_record_is_gone_and_removing_twice_is_fine(record):
    """``remove`` takes the file away, and nothing happens when it is gone."""
    path = runfile.write(record)

    runfile.remove(4566)
    runfile.remove(4566)

    assert not path.exists()


def test_folder_is_private(record, folder):
    """Others cannot write run files, not even into a folder that was open before."""
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)

    runfile.write(record)

    assert folder.stat().st_mode & 0o777 == 0o700


def test_folder_of_another_user_is_refused(record, monkeypatch):
    """A folder that somebody else made first is neither written nor believed."""
    runfile.write(record)
    here, stranger = runfile.directory(), os.getuid() + 1
    monkeypatch.setattr(runfile, "directory", lambda: here)
    monkeypatch.setattr(os, "getuid", lambda: stranger)

    with pytest.raises(RunDirectoryError, match="belongs to user"):
        runfile.write(record)
    with pytest.raises(RunDirectoryError, match="belongs to user"):
        runfile.read(4566)


def test_link_in_place_of_the_folder_is_refused(record, folder, tmp_path):
    """A link could lead anywhere, so it is not followed."""
    folder.symlink_to(tmp_path, target_is_directory=True)

    with pytest.raises(RunDirectoryError, match="not a folder"):
        runfile.write(record)


def test_unusable_temporary_folder_is_named(record, tmp_path, monkeypatch):
    """The error says which path, and the hint names the variable to set."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))

    with pytest.raises(RunDirectoryError) as caught:
        runfile.write(record)

    assert str(tmp_path / "file") in str(caught.value)
    assert "TMPDIR" in caught.value.hint
