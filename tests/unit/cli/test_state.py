"""state save, load, reset and inspect."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from perdure import runfile
from perdure.errors import StateError

OK = [{"service": "sqs", "status": "ok"}, {"service": "s3", "status": "ok"}]
BROKEN = {"service": "ec2", "status": "error", "message": "a lock in [x]"}
VERBS = ("save", "load")


def ndjson(lines):
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.mark.parametrize("verb", VERBS)
def test_all_services_at_once(perdure, server, verb):
    """Without a service all are asked for, and every outcome is reported."""
    server.answer(f"/_localstack/state/{verb}", 200, ndjson(OK))

    found = perdure("state", verb)

    assert found.code == 0
    assert found.out.endswith("ed: s3, sqs\n")
    assert server.asked == [f"POST /_localstack/state/{verb}"]


@pytest.mark.parametrize("verb", [*VERBS, "reset"])
def test_one_service(perdure, server, verb):
    """A named service is the only one asked for; an empty 200 means it is done."""
    server.answer(f"/_localstack/state/s3/{verb}", 200)

    found = perdure("state", verb, "s3", "--json")

    assert (found.code, found.data) == (0, {"results": [{"service": "s3", "status": "ok"}]})


def test_reset_of_everything(perdure, server):
    """`state reset` alone resets all services, whatever the answer's body."""
    server.answer("/_localstack/state/reset", 200, {"status": "OK"})

    found = perdure("state", "reset")

    assert (found.code, found.out) == (0, "reset: everything\n")


@pytest.mark.parametrize("verb", VERBS)
def test_one_failing_service_is_named_and_the_others_are_done(perdure, server, verb):
    """A part that failed makes the command fail, and says which part and why."""
    server.answer(f"/_localstack/state/{verb}", 200, ndjson([*OK, BROKEN]))

    found = perdure("state", verb)

    assert found.code == 17
    assert "ec2: not" in found.out
    assert "a lock in [x]" in found.out
    assert "s3, sqs" in found.out
    assert "1 of 3 services" in found.err


def test_failure_as_json_has_every_outcome(perdure, server):
    """`--json` prints the server's own lines, failures too, and the exit code tells."""
    server.answer("/_localstack/state/save", 200, ndjson([*OK, BROKEN]))

    found = perdure("state", "save", "--json")

    assert (found.code, found.data) == (17, {"results": [*OK, BROKEN]})


def test_failure_of_the_named_service(perdure, server):
    """A 500 for one service is that service's outcome, with its reason."""
    server.answer("/_localstack/state/ec2/save", 500, BROKEN)

    found = perdure("state", "save", "ec2", "--json")

    assert (found.code, found.data) == (17, {"results": [BROKEN]})


@pytest.mark.usefixtures("server")
def test_unknown_service(perdure):
    """A service the server does not know is an error that names it."""
    found = perdure("state", "reset", "s4")

    assert (found.code, found.out) == (17, "")
    assert "'s4'" in found.err


def test_service_name_cannot_leave_its_path(perdure, server):
    """What is typed as a service stays one part of the address asked."""
    perdure("state", "reset", "../reset?x")

    assert server.asked == ["POST /_localstack/state/..%2Freset%3Fx/reset"]


@pytest.mark.parametrize("service", [(), ("s3",)])
@pytest.mark.parametrize("verb", VERBS)
def test_persistence_off_is_said_with_the_way_out(perdure, server, verb, service):
    """Saving without a state directory is refused, and the hint names the variable."""
    part = "/s3" if service else ""
    server.answer(f"/_localstack/state{part}/{verb}", 409, {"message": "persistence is off"})

    found = perdure("state", verb, *service)

    assert found.code == 17
    assert "error: persistence is off\n" in found.err
    assert "DATA_DIR" in found.err


@pytest.mark.parametrize("body", ["<html>", "[]\n", '{"status": "ok"}\n'])
def test_answer_not_understood_is_an_error(perdure, server, body):
    """What does not speak the interface is never taken for a success."""
    server.answer("/_localstack/state/save", 200, body)

    found = perdure("state", "save")

    assert (found.code, found.out) == (17, "")


def test_other_failures_of_the_server(perdure, server):
    """Any other status is an error that shows it."""
    server.answer("/_localstack/state/save", 503, {"message": "busy"})

    found = perdure("state", "save")

    assert found.code == 17
    assert "503: busy" in found.err


@pytest.mark.parametrize("verb", [*VERBS, "reset"])
def test_no_server(perdure, nothing_listens, verb):
    """Without a server nothing can be saved, loaded or reset."""
    found = perdure("state", verb)

    assert found.code == 12
    assert str(nothing_listens) in found.err


@pytest.fixture
def manifest(monkeypatch):
    """Replaces the manifest's reader; yields the paths it was asked for."""
    asked = []
    rows = SimpleNamespace(file="s3/0_aws.7.db", bytes=1000)
    entry = SimpleNamespace(
        key="0/s3/aws",
        file="api_states/0/s3/aws.7.state",
        bytes=234,
        cut=7,
        saved_at="then",
        entries=(rows,),
    )

    def read(path):
        asked.append(path)
        return SimpleNamespace(cut=9, saved_at="now", entries=[entry])

    module = SimpleNamespace(read=read)
    monkeypatch.setitem(sys.modules, "perdure.persistence.manifest", module)
    return SimpleNamespace(asked=asked, module=module)


@pytest.mark.usefixtures("nothing_listens")
def test_inspect_lists_what_is_kept(perdure, manifest):
    """Every store is listed with size, cut and file, without a server."""
    found = perdure("state", "inspect", "--dir", "/data", "--json")

    assert manifest.asked == [Path("/data")]
    assert found.data == {
        "state_dir": "/data",
        "cut": 9,
        "saved_at": "now",
        "stores": [
            {
                "store": "0/s3/aws",
                "file": "api_states/0/s3/aws.7.state",
                "bytes": 1234,
                "entries": ["s3/0_aws.7.db"],
                "cut": 7,
                "saved_at": "then",
            }
        ],
    }
    table = perdure("state", "inspect", "--dir", "/data").out
    for word in ("/data: cut 9, saved now", "stores: 1, bytes: 1,234", "0/s3/aws", "aws.7.state"):
        assert word in table


def test_inspect_takes_the_configured_directory(perdure, manifest, monkeypatch):
    """DATA_DIR is meant when no directory is given, and --dir wins over it."""
    monkeypatch.setenv("DATA_DIR", "/configured")

    perdure("state", "inspect")
    perdure("state", "inspect", "--dir", "/given")

    assert manifest.asked == [Path("/configured"), Path("/given")]


def test_inspect_takes_the_running_servers_directory(perdure, manifest, recorded, nothing_listens):
    """A server that was told by flag is found through its run file."""
    recorded(nothing_listens)

    perdure("state", "inspect")

    assert manifest.asked == [Path("/state")]


def test_inspect_of_nothing_says_what_to_set(perdure, manifest, recorded, nothing_listens):
    """Without any directory the error names DATA_DIR; a server without one does not help."""
    runfile.write(replace(recorded(nothing_listens), state_dir=None, pid=os.getpid()))

    found = perdure("state", "inspect")

    assert (found.code, manifest.asked) == (2, [])
    assert "DATA_DIR" in found.err


def test_inspect_of_an_unreadable_directory(perdure, manifest):
    """The reader's error is shown with its exit code."""

    def refuse(path):
        raise StateError(f"{path}: no manifest")

    manifest.module.read = refuse
    found = perdure("state", "inspect", "--dir", "/data")

    assert found.code == 20
    assert "/data: no manifest" in found.err
