"""The journal of a real server: killed, switched, damaged, foreign, on a full disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

QUEUES = "000000000000/sqs/us-east-1"
# No checkpoint but at a stop, so that a kill leaves a tail.
LATE = {"CHECKPOINT_INTERVAL": "86400"}


def begin(start, state, **env):
    """A server whose first checkpoint is made: it only says that there is a journal."""
    server = start(state, **env)
    server.wait_until(
        lambda: server.health()["persistence"]["journal"]["checkpoint_lsn"] > 0, "named"
    )
    return server


def send(server, *bodies, name="queue"):
    """Put messages into a queue, made where it is missing."""
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)


def messages(server, name="queue"):
    """The bodies of all messages, in order; they stay visible."""
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    found, handles = [], []
    while answer := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in answer]
        handles += [message["ReceiptHandle"] for message in answer]
    for handle in handles:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    return found


def recovery(server):
    return server.health()["persistence"]["recovery"]


def segments(state: Path) -> list[Path]:
    return sorted((state / "journal").glob("*.wal"))


def exists(server, name):
    sqs = server.client("sqs")
    try:
        sqs.get_queue_url(QueueName=name)
    except sqs.exceptions.QueueDoesNotExist:
        return False
    return True


# ------------------------------------------------------------------- kills


@pytest.mark.parametrize("sync", ["interval", "always", "never"])
def test_every_answered_call_survives_a_kill(start, tmp_path, sync):
    """Whatever JOURNAL_SYNC says, the death of the process loses nothing."""
    server = begin(start, tmp_path / "state", JOURNAL_SYNC=sync, **LATE)
    for number in range(3):
        send(server, str(number))
        server.kill()
        server.start()
        assert messages(server) == [str(n) for n in range(number + 1)]
        assert recovery(server)["verdict"] == "clean"


def test_with_always_an_answer_waits_for_its_sync(start, tmp_path):
    """An answered call, a read too, is durable: many share one sync."""
    server = start(tmp_path / "state", JOURNAL_SYNC="always")
    sqs = server.client("sqs", max_pool_connections=16)
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: sqs.send_message(QueueUrl=url, MessageBody=str(n)), range(200)))
    sqs.list_queues()

    journal = server.health()["persistence"]["journal"]

    assert journal["durable_lsn"] == journal["appended_lsn"] >= 201


def test_a_clean_stop_leaves_no_tail(start, tmp_path):
    """After a stop all is in the checkpoint: nothing is replayed."""
    server = begin(start, tmp_path / "state", **LATE)
    send(server, "a")
    assert server.stop() == 0
    server.start()

    assert recovery(server)["replayed"] == 0
    assert messages(server) == ["a"]


def test_a_checkpoint_comes_by_itself_and_retires_the_journal(start, tmp_path):
    """What a checkpoint in the background holds is not replayed."""
    server = start(tmp_path / "state", CHECKPOINT_INTERVAL="0.2")
    send(server, *map(str, range(20)))
    server.wait_until(
        lambda: (
            server.health()["persistence"]["journal"]["checkpoint_lsn"]
            == server.health()["persistence"]["journal"]["appended_lsn"]
        ),
        "checkpointed",
    )
    server.kill()
    server.start()

    assert recovery(server)["replayed"] == 0
    assert len(messages(server)) == 20


def test_a_second_recovery_finds_what_the_first_found(start, tmp_path):
    """Recovery is no change: killed right after it, the next start finds the same."""
    server = begin(start, tmp_path / "state", **LATE)
    send(server, "a", "b")
    for _ in range(3):
        server.kill()
        server.start()
        assert recovery(server)["replayed"] >= 3
    assert messages(server) == ["a", "b"]


def test_the_clock_never_goes_back(start, tmp_path):
    """A call after a restart has a later time than any before it."""
    server = begin(start, tmp_path / "state", **LATE)
    secrets = server.client("secretsmanager")
    first = secrets.create_secret(Name="one", SecretString="s")
    server.kill()
    server.start()
    secrets.create_secret(Name="two", SecretString="s")

    one, two = (secrets.describe_secret(SecretId=name)["CreatedDate"] for name in ("one", "two"))

    assert one <= two
    assert first["ARN"] == secrets.describe_secret(SecretId="one")["ARN"]


# -------------------------------------------------------------- strategies


@pytest.mark.parametrize("strategy", ["ON_REQUEST", "SCHEDULED", "ON_SHUTDOWN", "MANUAL"])
def test_another_strategy_takes_over_a_tail(start, tmp_path, strategy):
    """A start without a journal replays what one left, and keeps it without one."""
    server = begin(start, tmp_path / "state", **LATE)
    send(server, "a")
    server.kill()
    server.start(SNAPSHOT_SAVE_STRATEGY=strategy)
    assert server.health()["persistence"]["journal"] is None
    server.kill()
    server.start(SNAPSHOT_SAVE_STRATEGY=strategy)
    assert recovery(server)["replayed"] == 0
    server.kill()
    server.start(SNAPSHOT_SAVE_STRATEGY="JOURNAL")
    send(server, "b")
    server.kill()
    server.start()

    assert messages(server) == ["a", "b"]


def test_manual_loading_leaves_a_tail_until_it_is_asked_for(start, tmp_path):
    """With MANUAL loading nothing is replayed, nor written down, until a load."""
    server = begin(start, tmp_path / "state", **LATE)
    send(server, "a")
    server.kill()
    server.start(SNAPSHOT_LOAD_STRATEGY="MANUAL")
    assert not exists(server, "queue")
    server.kill()
    server.start()
    assert server.ask("/_localstack/state/load", method="POST")[0] == 200
    assert messages(server) == ["a"]
    send(server, "b")
    server.kill()
    server.start(SNAPSHOT_LOAD_STRATEGY="ON_REQUEST")

    assert messages(server) == ["a", "b"]


def test_manual_loading_and_a_save_set_what_was_there_aside(start, tmp_path):
    """A save before a load begins anew; the old state, its journal too, is kept aside."""
    state = tmp_path / "state"
    server = begin(start, state, **LATE)
    send(server, "a")
    server.kill()
    server.start(SNAPSHOT_LOAD_STRATEGY="MANUAL")
    send(server, "new", name="other")
    server.save()
    send(server, "newer", name="other")
    server.kill()
    server.start(SNAPSHOT_LOAD_STRATEGY="ON_REQUEST")

    assert not exists(server, "queue")
    assert messages(server, "other") == ["new", "newer"]
    assert [p for p in (state / "quarantine").rglob("*") if p.name.endswith(".wal")]


def test_a_load_keeps_what_the_journal_holds(start, tmp_path):
    """What was answered is state on disk, so loading what is on disk loses nothing."""
    server = begin(start, tmp_path / "state", **LATE)
    send(server, "a")
    assert server.ask("/_localstack/state/load", method="POST")[0] == 200
    send(server, "b")
    server.kill()
    server.start()

    assert messages(server) == ["a", "b"]


@pytest.mark.parametrize("path", ["/_localstack/state/reset", "/_localstack/state/sqs/reset"])
def test_a_reset_is_not_undone_by_replay(start, tmp_path, path):
    """What was reset stays so after a kill, and what came after it is there."""
    server = begin(start, tmp_path / "state", **LATE)
    send(server, "a")
    assert server.ask(path, method="POST")[0] == 200
    assert not exists(server, "queue")
    send(server, "b", name="other")
    server.kill()
    server.start()

    assert not exists(server, "queue")
    assert messages(server, "other") == ["b"]


# ----------------------------------------------------------------- verdicts


def test_a_torn_tail_is_cut_kept_and_told(start, tmp_path):
    """Bytes of a record that never became whole are kept aside, and all before it is there."""
    state = tmp_path / "state"
    server = begin(start, state, **LATE)
    send(server, "a", "b")
    server.kill()
    spoil(state, b"b")
    assert check(state)["verdict"] == "torn"
    server.start()

    assert messages(server) == ["a"]
    assert recovery(server)["verdict"] == "torn"
    assert "kept in quarantine/" in recovery(server)["details"][0]
    server.stop()
    assert check(state)["verdict"] == "clean"


def spoil(state: Path, body: bytes) -> None:
    """Flip a bit of the last record, which holds a message of that body."""
    segment = segments(state)[-1]
    data = bytearray(segment.read_bytes())
    at = data.rfind(b'"MessageBody": "' + body + b'"')
    assert at > 0
    data[at] ^= 1
    segment.write_bytes(data)


def check(state: Path) -> dict:
    """The verdict of ``perdure check``."""
    done = subprocess.run(
        [sys.executable, "-m", "perdure", "check", "--json", str(state)],
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


def test_a_damaged_record_that_was_durable_refuses_the_start(start, tmp_path):
    """A record that a later one proves durable is never skipped."""
    state = tmp_path / "state"
    server = begin(start, state, JOURNAL_SYNC="always", **LATE)
    send(server, "a", "b")
    server.kill()
    spoil(state, b"a")

    code, log = server.refuse()

    assert code == 38
    assert "restore" in log
    assert check(state)["verdict"] == "damaged"


def test_a_journal_that_is_gone_refuses_the_start(start, tmp_path):
    """Records that were there are never taken for none."""
    state = tmp_path / "state"
    server = start(state, CHECKPOINT_INTERVAL="0.2")
    send(server, "a")
    server.wait_until(
        lambda: server.health()["persistence"]["journal"]["checkpoint_lsn"] > 0, "checkpointed"
    )
    server.kill()
    shutil.rmtree(state / "journal")

    code, log = server.refuse()

    assert code == 39
    assert "journal" in log


def test_a_tail_of_another_engine_is_not_replayed_by_guess(start, tmp_path):
    """A setting that shapes answers differs: the start says which, and changes nothing."""
    state = tmp_path / "state"
    server = begin(start, state, **LATE)
    send(server, "a")
    server.kill()
    before = [p.read_bytes() for p in segments(state)]

    code, log = server.refuse(ALLOW_NONSTANDARD_REGIONS="1")

    assert code == 40
    assert "any_region" in log
    assert [p.read_bytes() for p in segments(state)] == before
    server.start(ALLOW_NONSTANDARD_REGIONS="0")
    assert messages(server) == ["a"]


def diverge(state: Path) -> None:
    """Make the first call of the tail answer otherwise than it is recorded, checksums right."""
    from perdure.persistence.directory import read_identity
    from perdure.persistence.files import Files
    from perdure.persistence.journal import Journal
    from perdure.persistence.manifest import read
    from perdure.persistence.record import CALL
    from perdure.persistence.tail import Tail, read_tail

    manifest, instance = read(state), read_identity(state)["instance"]
    tail = read_tail(state, cut=manifest.cut, instance=instance, segment=manifest.segment)
    found = list(tail.records())
    fingerprint = tail.fingerprints()[0][1]
    for path in segments(state):
        path.unlink()
    empty = Tail(state, instance, manifest.cut)
    journal = Journal.open(state, after=empty, fingerprint=fingerprint, files=Files())
    for record in found:
        payload = record.payload
        if record.kind == CALL:
            at = payload.index(b'"answer":"') + len(b'"answer":"')
            payload = payload[:at] + b"0" * 32 + payload[at + 32 :]
        journal.append(record.kind, [payload])
    journal.close()


def test_a_divergence_is_told_and_what_it_came_from_is_kept(start, tmp_path):
    """The start goes on, names call and stores, and keeps checkpoint and tail aside."""
    state = tmp_path / "state"
    server = begin(start, state, **LATE)
    send(server, "a")
    server.kill()
    diverge(state)

    code, log = server.refuse(RECOVERY="strict")
    assert code == 45
    assert "RECOVERY=tolerant" in log

    server.start(RECOVERY="tolerant")
    found = recovery(server)
    assert found["verdict"] == "diverged"
    assert found["diverged"][0]["call"] == "sqs CreateQueue"
    assert server.stores()[QUEUES]["status"] == "diverged"
    (kept,) = (state / "quarantine").glob("*-diverged")
    assert (kept / "manifest.json").exists()
    assert list((kept / "journal").glob("*.wal"))
    assert json.loads((kept / "report.json").read_text())["verdict"] == "diverged"
    assert messages(server) == ["a"]


def test_a_tail_is_not_replayed_into_a_store_that_is_set_aside(start, tmp_path):
    """A damaged store stays set aside: calls to it diverge, the others are replayed."""
    state = tmp_path / "state"
    server = begin(start, state, **LATE)
    send(server, "a")
    assert server.stop() == 0
    server.start()
    send(server, "b")
    server.client("sns").create_topic(Name="topic")
    server.kill()
    (file,) = (state / "api_states/000000000000/sqs").glob("*.state")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    server.start()

    with pytest.raises(ClientError) as refused:
        exists(server, "queue")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert len(server.client("sns").list_topics()["Topics"]) == 1
    assert server.stores()[QUEUES]["status"] == "quarantined"
    assert recovery(server)["verdict"] == "diverged"


def test_the_copy_of_what_diverged_is_a_way_back(start, tmp_path):
    """With identity and restored file beside it, the copy replays what a later start went past."""
    state, before = tmp_path / "state", tmp_path / "before"
    server = begin(start, state, **LATE)
    send(server, "a")
    assert server.stop() == 0
    server.start()
    send(server, "b")
    server.kill()
    (file,) = (state / "api_states/000000000000/sqs").glob("*.state")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")
    code, _ = server.refuse(RECOVERY="strict")
    assert code == 45
    server.start(RECOVERY="tolerant")
    assert server.stop() == 0

    (kept,) = (state / "quarantine").glob("*-diverged")
    shutil.copytree(kept, before)
    shutil.copy(state / "perdure.json", before)
    (before / file.relative_to(state)).write_bytes(whole)

    restored = start(before, RECOVERY="strict", **LATE)
    assert recovery(restored)["verdict"] == "clean"
    assert messages(restored) == ["a", "b"]


# --------------------------------------------------------------------- disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 96 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_writes_and_goes_on_when_there_is_room(start, small_disk):
    """Writes get a 503 before one fails, reads are answered, and it ends with the shortage."""
    server = start(small_disk / "state", **LATE)
    send(server, "a")
    filler = small_disk / "filler"
    size = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize
    filler.write_bytes(b"x" * (size - (1 << 20)))
    server.wait_until(
        lambda: server.health()["persistence"]["journal"]["shortage"] is not None, "short"
    )

    with pytest.raises(ClientError) as refused:
        send(server, "b")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert exists(server, "queue")
    filler.unlink()
    server.wait_until(
        lambda: server.health()["persistence"]["journal"]["shortage"] is None, "room again"
    )
    send(server, "c")
    server.kill()
    server.start()

    assert messages(server) == ["a", "c"]


def test_a_deleted_directory_stops_the_server(start, tmp_path):
    """Nothing more is acknowledged once the journal is gone."""
    state = tmp_path / "state"
    server = begin(start, state, **LATE)
    send(server, "a")
    shutil.rmtree(state)

    def is_over():
        try:
            send(server, "b")
        except (ClientError, BotoCoreError):
            pass
        return server.process.poll() is not None

    server.wait_until(is_over, "stopped")
    assert server.process.returncode == 32
    server.process = None
    assert "the process stops" in server.log
