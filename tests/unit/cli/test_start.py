"""start, in the foreground and detached, with a small server in place of the real one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from perdure import runfile
from perdure.cli import options
from perdure.config import SETTINGS, Address, LoadStrategy, SaveStrategy
from perdure.errors import ListenError

SOURCES = Path(__file__).parents[3] / "src"

# Python imports a module of this name at start-up; it puts our server in place.
FAKE = """
import http.server, json, os, signal, sys, time, types
from perdure import runfile
from perdure.errors import LockedError

def serve(config, tls_context):
    how = os.environ["FAKE"]
    print("a line of the log", flush=True)
    if how == "refuse":
        time.sleep(0.3)  # long enough to be mistaken for what else listens there
        raise LockedError("/state", "process 1")
    if how == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    answers = {"slow": ["initializing"] * 3 + ["initialized"], "stuck": ["initializing"],
               "ready": ["initialized"], "ill": ["error"]}[how]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            persistence = answers.pop(0) if len(answers) > 1 else answers[0]
            body = json.dumps({"features": {"persistence": persistence}, "version": "9.9",
                               "persistence": {"reason": "disk is gone"}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            print("asked", flush=True)

    def end(*_):
        runfile.remove(httpd.server_port)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    httpd = http.server.HTTPServer(("127.0.0.1", config.gateway_listen[0].port), Handler)
    runfile.write(runfile.RunRecord.current(
        f"127.0.0.1:{httpd.server_port}", state_dir=config.state_dir))
    httpd.serve_forever()

sys.modules["perdure.gateway.server"] = types.SimpleNamespace(serve=serve)
sys.modules["perdure.gateway.tls"] = types.SimpleNamespace(begin=lambda config: None)
"""


@pytest.fixture
def served(monkeypatch):
    """Replaces the server; yields the settings it was started with."""
    configs = []
    module = SimpleNamespace(serve=lambda config, _: configs.append(config))
    monkeypatch.setitem(sys.modules, "perdure.gateway.server", module)
    monkeypatch.setattr("perdure.gateway.tls.begin", lambda _: None)
    return SimpleNamespace(configs=configs, module=module)


@pytest.fixture
def detach(tmp_path):
    """Runs ``start --detach`` as a process; what it leaves running is ended afterwards."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "sitecustomize.py").write_text(FAKE)

    def run(how, *arguments, listen="127.0.0.1:0"):
        environ = {
            **os.environ,
            "FAKE": how,
            "PYTHONPATH": f"{tmp_path / 'fake'}{os.pathsep}{SOURCES}",
        }
        return subprocess.run(
            [sys.executable, "-m", "perdure", "start", "--detach", "--listen", listen, *arguments],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    yield run
    for path in runfile.directory().glob("*.json"):
        record = runfile.read(int(path.stem))
        if record is not None:
            os.kill(record.pid, signal.SIGKILL)


def test_foreground_says_where_state_goes_and_hands_over(perdure, served, tmp_path):
    """One line names the state directory, absolute; then the server has the process."""
    found = perdure("start", "--data-dir", str(tmp_path / "state"), "--listen", "127.0.0.1:9")

    assert found.code == 0
    assert found.out.count("\n") == 1
    assert f"state is kept in {tmp_path / 'state'}\n" in found.out
    assert served.configs[0].gateway_listen == (Address("127.0.0.1", 9),)


def test_foreground_without_persistence_says_how_to_switch_it_on(perdure, served):
    """Persistence that is off is said in one line, with the variable to set."""
    found = perdure("start", "--listen", "127.0.0.1:9")

    assert found.out.count("\n") == 1
    assert "persistence is off" in found.out
    assert "DATA_DIR" in found.out
    assert served.configs[0].state_dir is None


def test_every_flag_reaches_its_setting(perdure, served, monkeypatch):
    """Each flag wins over the environment for the setting it stands for."""
    for setting in SETTINGS:
        if setting.name in options.FLAGS:
            monkeypatch.setenv(setting.name, "not a value")

    found = perdure(
        *("start", "--data-dir", "/d", "--listen", "127.0.0.1:9", "--debug"),
        *("--save-strategy", "manual", "--load-strategy", "on_startup"),
        *("--flush-interval", "3", "--services", "s3"),
        *("--init-dir", "/i"),
    )

    assert found.code == 0, found.err
    config = served.configs[0]
    assert config.data_dir == Path("/d")
    assert config.gateway_listen == (Address("127.0.0.1", 9),)
    assert config.snapshot_save_strategy is SaveStrategy.MANUAL
    assert config.snapshot_load_strategy is LoadStrategy.ON_STARTUP
    assert config.snapshot_flush_interval == 3
    assert config.services == {"s3"}
    assert config.perdure_init_dir == Path("/i")
    assert config.debug
    flags = {name for name, source in config.sources.items() if source == "flag"}
    assert flags == set(options.FLAGS)


def test_flags_are_passed_on_as_they_were_given():
    """A detached server is started with the same flags, and no others."""
    given = {"DATA_DIR": "-x y", "DEBUG": "1"}

    assert options.as_arguments(given) == ["--data-dir", "-x y", "--debug"]
    assert options.as_arguments({}) == []
    assert set(options.FLAGS) <= {setting.name for setting in SETTINGS}


def test_servers_refusal_is_shown_with_its_exit_code(perdure, served):
    """An error of the server in the foreground is an error of the command."""

    def refuse(*_):
        raise ListenError("127.0.0.1:9", "in use")

    served.module.serve = refuse
    found = perdure("start", "--listen", "127.0.0.1:9")

    assert found.code == 11
    assert "error: cannot listen on 127.0.0.1:9: in use\n" in found.err


@pytest.mark.parametrize("detached", [(), ("--detach",)])
def test_second_server_on_a_port_is_refused(perdure, served, recorded, detached):
    """Where a server runs already, the error names its process and nothing is started."""
    recorded(Address("127.0.0.1", 9), pid=os.getppid())

    found = perdure("start", "--listen", "127.0.0.1:8,127.0.0.1:9", *detached)

    assert (found.code, found.out, served.configs) == (14, "", [])
    assert f"process {os.getppid()}" in found.err


def test_server_that_starts_itself_again_is_no_second_one(perdure, served, recorded):
    """A process that finds its own run file, as after a restart, goes on."""
    recorded(Address("127.0.0.1", 9), pid=os.getpid())

    found = perdure("start", "--listen", "127.0.0.1:9")

    assert (found.code, len(served.configs)) == (0, 1)


def test_detached_server_is_ready_when_the_command_returns(detach, perdure, tmp_path):
    """`start --detach` returns after recovery; status, logs and stop then find the server."""
    found = detach("slow", "--json", "--data-dir", "state")

    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert data["state_dir"] == str(tmp_path / "state")
    status = perdure("status", "--json", "--listen", data["listen"]).data
    assert (status["pid"], status["ready"]) == (data["pid"], True)
    assert os.getsid(data["pid"]) == data["pid"]
    assert Path(status["log"]).stat().st_mode & 0o777 == 0o600
    logs = perdure("logs", "--listen", data["listen"]).out
    assert "state is kept in" in logs
    assert "a line of the log\n" in logs
    assert perdure("stop", "--listen", data["listen"]).code == 0
    assert perdure("status", "--listen", data["listen"]).code == 12


def test_detached_server_is_announced_to_people(detach):
    """Without --json the lines say where state goes, where it listens and logs."""
    found = detach("ready")

    assert found.returncode == 0
    assert "persistence is off" in found.stdout
    assert "listening on 127.0.0.1:" in found.stdout
    assert ".log\n" in found.stdout


def test_detached_server_that_keeps_no_state_is_warned_about(detach):
    """Persistence that failed is said on stderr, though the server answers."""
    found = detach("ill")

    assert found.returncode == 0
    assert found.stderr == "warning: persistence is not in order: disk is gone\n"


def test_detached_server_that_refuses_is_quoted(detach, server):
    """The server's own message, hint and exit code come back, with the end of its log.

    Another program answers on that port meanwhile; it is not taken for the server.
    """
    found = detach("refuse", listen=str(server.address))

    assert found.returncode == 21
    assert found.stdout == ""
    assert "  | a line of the log\n" in found.stderr
    error, hint = found.stderr.splitlines()[-2:]
    assert error.startswith("error: the server ended before it was ready (exit code 21)")
    assert error.endswith("/state: in use by process 1")
    assert hint.startswith("hint: stop that process")


def test_detached_server_that_is_killed_is_reported(detach):
    """A server ended by a signal is a failure that names the signal and the log."""
    found = detach("crash")

    assert found.returncode == 1
    assert "(signal 9)" in found.stderr
    assert ".log" in found.stderr.splitlines()[-1]


def test_detached_server_that_is_not_ready_in_time_goes_on(detach):
    """A long recovery is not cut short: the command gives up, the server is left running."""
    found = detach("stuck", "--timeout", "1")

    assert found.returncode == 13
    (path,) = runfile.directory().glob("*.json")
    record = runfile.read(int(path.stem))
    assert str(record.pid) in found.stderr
    assert record.log in found.stderr


def test_log_of_the_start_before_is_kept(detach, server):
    """A second start has a log of its own, and the first one's is beside it."""
    detach("refuse", listen=str(server.address))
    log = runfile.log_path(server.address.port)
    log.write_text("the first\n")

    detach("crash", listen=str(server.address))

    assert log.with_suffix(".log.1").read_text() == "the first\n"
    assert "the first" not in log.read_text()


def test_modules_of_the_working_directory_are_not_imported(detach, tmp_path):
    """A user's file named like a module of Python does not break a detached server."""
    (tmp_path / "typer.py").write_text("raise SystemExit('imported by mistake')")
    program = (
        "import sys; sys.path.remove(''); from perdure.cli.main import main; "
        "main(['start', '--detach', '--listen', '127.0.0.1:0'])"
    )
    environ = {
        **os.environ,
        "FAKE": "ready",
        "PYTHONPATH": f"{tmp_path / 'fake'}{os.pathsep}{SOURCES}",
    }
    assert detach is not None  # ends the server

    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert found.returncode == 0, found.stderr
