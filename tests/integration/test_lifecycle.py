"""When state is saved and loaded, and what the internal routes say."""

from __future__ import annotations

import json
import shutil
import signal
from datetime import datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

STORES = {
    "sqs": "000000000000/sqs/us-east-1",
    "secretsmanager": "000000000000/secretsmanager/us-east-1",
}


def put(server, value, name="name"):
    """Leave a value in SQS, in the tag of a queue."""
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"value": value})


def get(server, name="name"):
    """What ``put`` left; None if there is no such queue."""
    sqs = server.client("sqs")
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        return None
    return sqs.list_queue_tags(QueueUrl=url)["Tags"]["value"]


def put_other(server, name="other"):
    """Leave something in a second service."""
    server.client("secretsmanager").create_secret(Name=name, SecretString="s")


def others(server):
    listed = server.client("secretsmanager").list_secrets()["SecretList"]
    return sorted(secret["Name"] for secret in listed)


def live(state):
    """The live file of each store, by store."""
    manifest = json.loads((state / "manifest.json").read_text())["manifest"]
    return {"/".join((e["store"][1], e["store"][0], e["store"][2])): e for e in manifest["stores"]}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux")
def test_an_idle_server_holds_what_it_needs(start, tmp_path):
    """No library that a start alone uses, or a protocol nobody has spoken."""
    for _ in ("the first start", "the second"):
        server = start(tmp_path / "state")
        held = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert not [name for name in ("pydantic", "cryptography") if name in held]
        server.stop()


# ------------------------------------------------------------------ saving


def test_on_request_keeps_what_was_answered(start, tmp_path):
    """With ON_REQUEST a call that was answered survives a kill right after its answer."""
    server = start(tmp_path / "state", SNAPSHOT_SAVE_STRATEGY="ON_REQUEST")
    for round_ in range(3):
        put(server, str(round_))
        server.kill()
        server.start()
        assert get(server) == str(round_)


def test_on_request_reads_write_nothing(start, tmp_path):
    """With ON_REQUEST a call that changed nothing leaves the files as they are."""
    state = tmp_path / "state"
    server = start(state, SNAPSHOT_SAVE_STRATEGY="ON_REQUEST")
    put(server, "x")
    before = live(state)
    for _ in range(3):
        assert get(server) == "x"
    assert live(state) == before


def test_scheduled_saves_by_itself(start, tmp_path):
    """With SCHEDULED what is older than the interval survives a kill."""
    server = start(
        tmp_path / "state", SNAPSHOT_SAVE_STRATEGY="SCHEDULED", SNAPSHOT_FLUSH_INTERVAL="0.2"
    )
    put(server, "x")
    server.wait_until(lambda: server.stores()[STORES["sqs"]]["status"] == "saved", "saved")
    server.kill()
    assert get(server.start()) == "x"


def test_scheduled_saves_at_a_stop(start, tmp_path):
    """With SCHEDULED, the default, a stop saves what the interval had not reached."""
    server = start(tmp_path / "state", SNAPSHOT_FLUSH_INTERVAL="86400")
    put(server, "x")
    assert server.stop() == 0
    assert get(server.start()) == "x"


def test_on_shutdown_saves_at_a_stop_only(start, tmp_path):
    """With ON_SHUTDOWN a stop saves and a kill does not."""
    server = start(
        tmp_path / "state", SNAPSHOT_SAVE_STRATEGY="ON_SHUTDOWN", SNAPSHOT_FLUSH_INTERVAL="0.1"
    )
    put(server, "stopped")
    assert server.stop() == 0
    assert get(server.start()) == "stopped"
    put(server, "killed")
    server.kill()
    assert get(server.start()) == "stopped"


def test_manual_saves_when_asked_only(start, tmp_path):
    """With MANUAL only a request saves; a stop does not."""
    server = start(
        tmp_path / "state", SNAPSHOT_SAVE_STRATEGY="MANUAL", SNAPSHOT_FLUSH_INTERVAL="0.1"
    )
    put(server, "asked")
    server.save()
    put(server, "not asked")
    assert server.stop() == 0
    assert get(server.start()) == "asked"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_signals_stop_with_zero(start, tmp_path, number):
    """SIGTERM and SIGINT save and end the process with 0; a second signal changes nothing."""
    server = start(tmp_path / "state", SNAPSHOT_FLUSH_INTERVAL="86400")
    put(server, "x")
    process = server.process
    process.send_signal(number)
    process.send_signal(number)
    assert process.wait(15) == 0, server.log
    assert get(server.start()) == "x"


def test_only_changed_stores_get_a_new_file(start, tmp_path):
    """A save writes a new file, at a new cut, for the stores that changed and no others."""
    state = tmp_path / "state"
    server = start(state, SNAPSHOT_FLUSH_INTERVAL="86400")
    put(server, "1")
    put_other(server)
    server.save()
    first = live(state)
    put(server, "2")
    assert others(server) == ["other"]
    server.save()
    second = live(state)
    assert second[STORES["secretsmanager"]] == first[STORES["secretsmanager"]]
    assert second[STORES["sqs"]]["cut"] > first[STORES["sqs"]]["cut"]
    assert second[STORES["sqs"]]["file"] != first[STORES["sqs"]]["file"]
    files = {p.relative_to(state).as_posix() for p in (state / "api_states").rglob("*.state")}
    named = {entry["file"] for entry in second.values()}
    assert named < files
    assert len(files) == len(named) + 1  # the process store
    assert server.stop() == 0
    server.start()
    assert get(server) == "2"
    server.save()
    assert live(state) == second


# ----------------------------------------------------------------- loading


@pytest.mark.parametrize("strategy", ["ON_REQUEST", "ON_STARTUP"])
def test_loading_happens_when_the_strategy_says(start, tmp_path, strategy):
    """ON_REQUEST loads a store at its first use, ON_STARTUP all before the first call."""
    server = start(tmp_path / "state")
    put(server, "x")
    assert server.stop() == 0
    server.start(SNAPSHOT_LOAD_STRATEGY=strategy)
    at_start = server.stores()[STORES["sqs"]]["status"]
    assert at_start == ("unloaded" if strategy == "ON_REQUEST" else "saved")
    assert get(server) == "x"
    assert server.stores()[STORES["sqs"]]["status"] in ("saved", "changed")


def test_manual_loading_waits_for_a_request(start, tmp_path):
    """With MANUAL a server starts empty and has the state once it is asked to load it."""
    server = start(tmp_path / "state")
    put(server, "x")
    assert server.stop() == 0
    server.start(SNAPSHOT_LOAD_STRATEGY="MANUAL", SNAPSHOT_SAVE_STRATEGY="MANUAL")
    assert get(server) is None
    status, body = server.ask("/_localstack/state/load", method="POST")
    assert (status, json.loads(body.splitlines()[0])["status"]) == (200, "ok")
    assert get(server) == "x"


def test_manual_loading_loses_no_files(start, tmp_path):
    """Nothing replaces state that was never loaded by itself; when asked, the old is set aside."""
    state = tmp_path / "state"
    server = start(state)
    put(server, "old")
    assert server.stop() == 0
    old = (state / live(state)[STORES["sqs"]]["file"]).read_bytes()
    server.start(SNAPSHOT_LOAD_STRATEGY="MANUAL")
    put(server, "new")
    assert server.stop() == 0
    assert (state / live(state)[STORES["sqs"]]["file"]).read_bytes() == old
    server.start(SNAPSHOT_LOAD_STRATEGY="MANUAL")
    put(server, "new")
    assert server.ask("/_localstack/state/save", method="POST")[0] == 200
    assert server.stop() == 0
    assert old in [p.read_bytes() for p in (state / "quarantine").iterdir()]
    assert get(server.start(SNAPSHOT_LOAD_STRATEGY="ON_REQUEST")) == "new"


# ------------------------------------------------------------ the directory


def test_data_dir_is_created_with_its_parents(start, tmp_path):
    """DATA_DIR may name a path of which nothing exists yet."""
    state = tmp_path / "not" / "there" / "yet"
    server = start(state)
    put(server, "x")
    assert server.restart().stop() == 0
    assert (state / "manifest.json").is_file()


def test_persistence_1_uses_the_volume(start):
    """PERSISTENCE=1 without DATA_DIR keeps state in ./volume/state of the server's folder."""
    server = start(PERSISTENCE="1")
    where = server.health()["persistence"]["state_dir"]
    if where == "/var/lib/localstack/state":
        pytest.skip("this machine has LocalStack's volume, which PERSISTENCE=1 prefers")
    assert where == str(server.home / "volume" / "state")
    put(server, "x")
    assert get(server.restart()) == "x"


def test_without_a_directory_nothing_is_kept(start):
    """With persistence off a start is empty, the log says so, and health says disabled."""
    server = start()
    assert server.health()["features"]["persistence"] == "disabled"
    assert "persistence is off" in server.log
    put(server, "x")
    assert get(server.restart()) is None


def test_directory_can_move(start, tmp_path):
    """A state directory moved or copied elsewhere, to another port, is the same state."""
    server = start(tmp_path / "here")
    put(server, "x")
    assert server.stop() == 0
    shutil.copytree(tmp_path / "here", tmp_path / "copy")
    (tmp_path / "here").rename(tmp_path / "moved")
    for name in ("moved", "copy"):
        other = start(tmp_path / name)
        assert get(other) == "x"
        put(other, name)
        assert get(other.restart()) == name


# ------------------------------------------------------------------- routes


def test_state_routes_save_load_and_reset(start, tmp_path):
    """The routes of LocalStack save, load and reset everything, a line for each service."""
    server = start(tmp_path / "state", SNAPSHOT_SAVE_STRATEGY="MANUAL")
    put(server, "saved")
    put_other(server)
    assert {line["service"]: line["status"] for line in server.save()} == {
        "secretsmanager": "ok",
        "sqs": "ok",
    }
    put(server, "later")
    status, body = server.ask("/_localstack/state/load", method="POST")
    assert status == 200
    assert {json.loads(line)["service"] for line in body.splitlines()} == {"secretsmanager", "sqs"}
    assert get(server) == "saved"
    assert server.ask("/_localstack/state/reset", method="POST")[0] == 200
    assert get(server) is None
    assert others(server) == []


def test_state_routes_of_one_service(start, tmp_path):
    """Loading or resetting one service leaves the others alone; saving one saves a whole cut."""
    state = tmp_path / "state"
    server = start(state, SNAPSHOT_SAVE_STRATEGY="MANUAL")
    put(server, "saved")
    put_other(server)
    assert server.ask("/_localstack/state/sqs/save", method="POST") == (200, b"")
    assert set(live(state)) >= {STORES["sqs"], STORES["secretsmanager"]}
    put(server, "later")
    put_other(server, "another")
    assert server.ask("/_localstack/state/sqs/load", method="POST") == (200, b"")
    assert get(server) == "saved"
    assert others(server) == ["another", "other"]
    assert server.ask("/_localstack/state/secretsmanager/reset", method="POST") == (200, b"")
    assert others(server) == []
    assert get(server) == "saved"


def test_reset_lasts(start, tmp_path):
    """What was reset is gone after a restart as well."""
    server = start(tmp_path / "state", SNAPSHOT_FLUSH_INTERVAL="86400")
    put(server, "x")
    put_other(server)
    server.restart()
    assert server.ask("/_localstack/state/sqs/reset", method="POST")[0] == 200
    server.restart()
    assert get(server) is None
    assert others(server) == ["other"]


@pytest.mark.parametrize("verb", ["save", "load", "reset"])
def test_state_routes_know_services(start, tmp_path, verb):
    """A service nobody knows is a 404 that names it."""
    server = start(tmp_path / "state")
    status, body = server.ask(f"/_localstack/state/nonesuch/{verb}", method="POST")
    assert status == 404
    assert "nonesuch" in json.loads(body)["message"]


def test_state_routes_without_persistence(start):
    """With persistence off, save and load are refused with what to set; reset works."""
    server = start()
    put(server, "x")
    for path in ("save", "load", "sqs/save", "sqs/load"):
        status, body = server.ask(f"/_localstack/state/{path}", method="POST")
        assert status == 409
        assert "DATA_DIR" in json.loads(body)["message"]
    assert server.ask("/_localstack/state/sqs/reset", method="POST")[0] == 200
    assert get(server) is None


def test_health_document(start, tmp_path):
    """Health names services, features, edition, version, and each store's save and cut."""
    server = start(tmp_path / "state", SNAPSHOT_FLUSH_INTERVAL="86400")
    put(server, "x")
    server.save()
    put(server, "y")
    document = server.health()
    assert document["features"] == {"persistence": "initialized", "initScripts": "initialized"}
    assert (document["edition"], document["version"][0].isdigit()) == ("community", True)
    assert document["services"]["sqs"] == "running"
    assert document["services"]["secretsmanager"] == "available"
    assert len(document["services"]) >= 100
    persistence = document["persistence"]
    assert persistence["state_dir"] == str(tmp_path / "state")
    assert persistence["reason"] is None
    store = persistence["stores"][STORES["sqs"]]
    assert store["status"] == "changed"
    assert 0 < store["cut"] <= persistence["cut"]
    assert datetime.fromisoformat(store["saved_at"]).tzinfo is not None
    covered = persistence["coverage"]["sqs"]
    assert covered.keys() == {"tried", "changed", "reads", "identical", "killed"}
    assert covered["tried"] >= covered["changed"] > 0
    for path in ("/health", "/_localstack/health"):
        assert json.loads(server.ask(path)[1]).keys() == document.keys()
        assert server.ask(path, method="HEAD") == (200, b"")


def test_health_takes_notes(start):
    """A PUT to health merges its JSON into the document, as init scripts do."""
    server = start()
    note = {"features:initScripts": "mine", "extra": {"a": 1}}
    status, body = server.ask("/_localstack/health", note, method="PUT")
    assert (status, json.loads(body)) == (200, {"status": "OK"})
    document = server.health()
    assert document["features"] == {"persistence": "disabled", "initScripts": "mine"}
    assert document["extra"] == {"a": 1}


def test_services_can_be_switched_off(start):
    """SERVICES leaves the others disabled, and their calls refused with the reason."""
    server = start(SERVICES="sqs,s3")
    put(server, "x")
    services = server.health()["services"]
    assert (services["sqs"], services["secretsmanager"]) == ("running", "disabled")
    with pytest.raises(ClientError, match="SERVICES"):
        put_other(server)


def test_info_document(start):
    """Info has the fields LocalStack's clients read."""
    server = start()
    status, body = server.ask("/_localstack/info")
    assert status == 200
    document = json.loads(body)
    wanted = {
        "version",
        "edition",
        "is_license_activated",
        "session_id",
        "machine_id",
        "system",
        "is_docker",
        "server_time_utc",
        "uptime",
    }
    assert wanted <= document.keys()
    assert document["uptime"] >= 0


def test_log_says_ready_and_where(start, tmp_path):
    """The log names the state directory and then says ``Ready.``, as wait scripts expect."""
    server = start(tmp_path / "state")
    server.wait_until(lambda: "Ready." in server.log, "Ready. in the log")
    assert str(tmp_path / "state") in server.log.partition("Ready.")[0]


def test_restart_by_request_keeps_state(start, tmp_path):
    """A POST of restart saves, starts again on the same port, and the state is there."""
    server = start(tmp_path / "state", SNAPSHOT_FLUSH_INTERVAL="86400")
    put(server, "x")
    session = json.loads(server.ask("/_localstack/info")[1])["session_id"]
    assert server.ask("/_localstack/health", {"action": "restart"})[0] == 200

    def is_new():
        try:
            return json.loads(server.ask("/_localstack/info")[1])["session_id"] != session
        except OSError:
            return False

    server.wait_until(is_new, "restarted")
    assert get(server) == "x"
    assert server.ask("/_localstack/health", {"action": "kill"})[0] == 200
    assert server.process.wait(15) == 0
