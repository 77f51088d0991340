"""stop, status, wait and logs, against a small server or none."""

import itertools
import os
import signal
import threading

import pytest

from perdure import runfile
from perdure.cli.server import tail

SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); " + SLEEPS


def test_stop_ends_the_recorded_process_and_waits_for_it(perdure, child, recorded, nothing_listens):
    """`stop` sends SIGTERM to the server's process and returns once it is gone."""
    process = child(SLEEPS)
    recorded(nothing_listens, pid=process.pid)

    found = perdure("stop", "--json")

    assert found.code == 0
    assert found.data == {"stopped": True, "pid": process.pid, "listen": str(nothing_listens)}
    assert process.wait(timeout=0.5) == -signal.SIGTERM


def test_stop_that_takes_too_long_says_so_and_does_not_kill(
    perdure, child, recorded, nothing_listens
):
    """A server that still saves is never killed: the command gives up, it goes on."""
    process = child(DEAF)
    recorded(nothing_listens, pid=process.pid)

    found = perdure("stop", "--timeout", "0.2")

    assert found.code == 13
    assert str(process.pid) in found.err
    assert process.poll() is None


@pytest.mark.parametrize("command", ["stop", "status"])
def test_nothing_runs(perdure, nothing_listens, command):
    """`stop` and `status` without a server exit with 12 and name the address."""
    found = perdure(command, "--json")

    assert (found.code, found.out) == (12, "")
    assert str(nothing_listens) in found.err


@pytest.mark.usefixtures("server")
def test_stop_of_a_server_started_elsewhere_says_so(perdure):
    """A server without a run file, as in a container, is not reported as absent."""
    found = perdure("stop")

    assert found.code == 12
    assert "something answers there" in found.err


def test_stop_does_not_touch_a_process_that_took_the_id(perdure, child, nothing_listens, recorded):
    """The id of a dead server, given away again, is left alone."""
    process = child(SLEEPS)
    recorded(nothing_listens, pid=process.pid)
    path = runfile.directory() / f"{nothing_listens.port}.json"
    path.write_text(path.read_text().replace('"born": ', '"born": 1'))

    found = perdure("stop")

    assert found.code == 12
    assert process.poll() is None


def test_status_joins_run_file_and_health(perdure, server, recorded):
    """One document holds process, persistence, services and stores."""
    recorded(server.address, log="/x.log")

    found = perdure("status", "--json")

    assert found.code == 0
    assert found.data == {
        "listen": str(server.address),
        "ready": True,
        "version": "9.9",
        "pid": os.getpid(),
        "started": "2026-01-01T00:00:00+00:00",
        "log": "/x.log",
        "persistence": "initialized",
        "reason": None,
        "state_dir": "/state",
        "cut": 7,
        "saved_at": "2026-01-01T00:00:00+00:00",
        "services": {"s3": "running", "sqs": "available"},
        "stores": {},
    }


def test_status_without_run_file_still_answers(perdure, server, make_health):
    """A server in a container is shown, with the process unknown."""
    server.health = make_health("initializing")

    found = perdure("status", "--json")

    assert (found.code, found.data["pid"], found.data["ready"]) == (0, None, False)


def test_status_shows_stores_that_are_not_in_order(perdure, server, make_health):
    """Quarantined and failed stores are listed with their reason; the others are counted."""
    server.health = make_health(
        stores={
            "0/s3/aws": {"cut": 5, "saved_at": None, "status": "quarantined", "reason": "CRC [a]"},
            "0/sqs/eu": {"cut": 6, "saved_at": "then", "status": "failed", "reason": "no place"},
            "0/sns/eu": {"cut": 7, "saved_at": "then", "status": "saved", "reason": None},
        }
    )

    out = perdure("status").out

    assert "1 failed, 1 quarantined, 1 saved" in out
    for word in ("0/s3/aws", "CRC [a]", "0/sqs/eu", "no place"):
        assert word in out
    assert "0/sns/eu" not in out


def test_status_of_a_server_that_hangs_names_its_process(perdure, recorded, nothing_listens):
    """A process that has the port and does not answer is named in the hint."""
    recorded(nothing_listens)

    found = perdure("status")

    assert found.code == 12
    assert f"process {os.getpid()}" in found.err


@pytest.mark.parametrize("answer", [b"<html>", {}, [], {"features": None}])
def test_another_program_on_the_port_is_not_taken_for_a_server(perdure, server, answer):
    """What does not answer with features is not a server of this kind."""
    server.health = answer

    assert perdure("status").code == 12


def test_status_of_another_port_by_flag(perdure, server, monkeypatch):
    """--listen wins over GATEWAY_LISTEN; "all interfaces" is reached at this machine."""
    monkeypatch.setenv("GATEWAY_LISTEN", "127.0.0.1:9")

    found = perdure("status", "--json", "--listen", f"0.0.0.0:{server.address.port}")

    assert found.data["listen"] == str(server.address)


def test_wait_returns_once_recovery_is_over(perdure, server, make_health):
    """`wait` asks again while persistence initializes or scripts of ready.d run."""
    scripts = make_health("initialized")
    scripts["features"]["initScripts"] = "initializing"
    asked = [make_health("initializing"), b"not yet", scripts, make_health("initialized")]
    server.health = iter(asked)

    found = perdure("wait")

    assert (found.code, len(server.asked)) == (0, 4)
    assert found.out == f"ready: {server.address}, persistence initialized\n"


def test_wait_gives_up_in_time(perdure, server, make_health):
    """A server that never gets ready ends the wait with exit code 13."""
    server.health = itertools.repeat(make_health("initializing"))

    found = perdure("wait", "--timeout", "0.2")

    assert (found.code, found.out) == (13, "")


@pytest.mark.usefixtures("nothing_listens")
def test_wait_for_nothing_gives_up_in_time(perdure):
    """A server that is never started ends the wait with exit code 13, not 12."""
    assert perdure("wait", "--timeout", "0.1").code == 13


def test_wait_says_when_persistence_is_not_in_order(perdure, server, make_health):
    """A server that is ready but does not keep state is never a silent success."""
    server.health = make_health("error", reason="disk is gone")

    found = perdure("wait")

    assert found.code == 0
    assert found.err == "warning: persistence is not in order: disk is gone\n"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "server.log"
    path.write_text("".join(f"line {n}\n" for n in range(100)))
    return path


def test_logs_show_the_last_lines(perdure, recorded, nothing_listens, log):
    """`logs -n` prints that many lines from the end of the recorded file."""
    recorded(nothing_listens, log=str(log))

    assert perdure("logs", "-n", "2").out == "line 98\nline 99\n"
    assert perdure("logs", "-n", "0").out == ""
    assert perdure("logs").out.startswith("line 50\n")


def test_logs_of_a_server_that_ended_are_still_shown(perdure, nothing_listens):
    """After a crash the log is what is left to read."""
    runfile.create_directory()
    runfile.log_path(nothing_listens.port).write_text("last words\n")

    found = perdure("logs", "-f")

    assert (found.code, found.out) == (0, "last words\n")


def test_logs_of_a_server_in_the_foreground_are_elsewhere(perdure, recorded, nothing_listens):
    """Without a log file the answer says where to look; an older server's file is not shown."""
    recorded(nothing_listens, log=None)
    runfile.log_path(nothing_listens.port).write_text("of another server\n")

    found = perdure("logs")

    assert (found.code, found.out) == (16, "")
    assert "terminal" in found.err


@pytest.mark.usefixtures("nothing_listens")
def test_logs_of_no_server_at_all(perdure):
    """A port that never had a server has no log."""
    assert perdure("logs").code == 16


def test_logs_follow_until_the_server_ends(perdure, child, recorded, nothing_listens, log):
    """`logs -f` prints what is appended, the last words included, and ends with the server."""
    process = child(SLEEPS)
    recorded(nothing_listens, log=str(log), pid=process.pid)

    def speak_and_end():
        with log.open("a") as file:
            file.write("last words\n")
        process.kill()

    timer = threading.Timer(0.2, speak_and_end)
    timer.start()
    found = perdure("logs", "-f", "-n", "1")
    timer.join()

    assert found.out == "line 99\nlast words\n"


@pytest.mark.parametrize("lines", [0, 1, 2, 3, 4, 100])
@pytest.mark.parametrize("text", [b"", b"a\n", b"a\nbb", b"a\nbb\n", b"\n\n\n", b"a\n\nccc\nd\n"])
def test_tail_is_the_end_of_the_file_for_any_block_size(tmp_path, monkeypatch, text, lines):
    """Reading from the end in blocks gives the same lines as reading it all."""
    path = tmp_path / "log"
    path.write_bytes(text)
    expected = b"".join(text.splitlines(keepends=True)[-lines:]) if lines else b""

    for size in (1, 2, 3, 65536):
        monkeypatch.setattr("perdure.cli.server.BLOCK_BYTES", size)
        assert tail(path, lines) == (expected, len(text))
