"""The command line as a whole."""

import subprocess
import sys

import pytest

from perdure.cli import offline
from perdure.errors import PerdureError

COMMANDS = (
    *("start", "stop", "status", "wait", "logs"),
    *("state", "check", "coverage", "config", "version"),
)


def test_no_arguments_show_the_help_and_succeed(perdure):
    """Asking what there is, is no error; every command is listed."""
    found = perdure()

    assert found.code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in found.out


def test_bare_state_shows_its_commands_and_succeeds(perdure):
    """The group answers like the whole."""
    found = perdure("state")

    assert found.code == 0
    for command in ("save", "load", "reset", "inspect"):
        assert f"\n  {command} " in found.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(perdure, command):
    """`--help` of every command succeeds and says how to use it."""
    found = perdure(command, "--help")

    assert found.code == 0
    assert f"Usage: perdure {command}" in found.out


@pytest.mark.parametrize("arguments", [("nope",), ("status", "--nope"), ("check",)])
def test_command_line_not_understood_exits_with_2(perdure, arguments):
    """A wrong word is an error on stderr, with the usage."""
    found = perdure(*arguments)

    assert (found.code, found.out) == (2, "")
    assert "Usage:" in found.err


def test_expected_error_is_two_lines_and_its_exit_code(perdure, monkeypatch):
    """A PerdureError is printed as error and hint, without a traceback."""

    class OddError(PerdureError):
        exit_code = 77
        hint = "do this"

    def fail():
        raise OddError("it is odd")

    monkeypatch.setattr(offline.metadata, "version", lambda _: fail())
    found = perdure("version")

    assert (found.code, found.out) == (77, "")
    assert found.err == "error: it is odd\nhint: do this\n"


def test_our_own_mistake_is_not_hidden(perdure, monkeypatch):
    """What is no PerdureError keeps its traceback: it is a fault to report."""
    monkeypatch.setattr(offline.metadata, "version", lambda _: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        perdure("version")


def test_wrong_setting_is_refused_by_every_command_that_reads_it(perdure, monkeypatch):
    """No command goes on with a setting it does not understand."""
    monkeypatch.setenv("SNAPSHOT_SAVE_STRATEGY", "sometimes")

    for command in ("start", "stop", "status", "wait", "logs", "config"):
        found = perdure(command)
        assert found.code == 2, command
        assert "SNAPSHOT_SAVE_STRATEGY='sometimes'" in found.err


def test_start_imports_no_more_than_it_needs():
    """Neither rich nor the HTTP client nor the engine is loaded before a command asks."""
    program = (
        "import sys, perdure.cli.main\n"
        "print([name for name in sys.modules if name.partition('.')[0] in"
        " ('rich', 'moto', 'urllib3', 'uvicorn') or name in ('urllib.request', 'http.client')])"
    )

    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout == "[]\n"


def test_module_runs_as_the_command():
    """`python -m perdure` is the command line."""
    found = subprocess.run(
        [sys.executable, "-m", "perdure", "--version"], capture_output=True, text=True, check=True
    )

    assert found.stdout.startswith("perdure ")
