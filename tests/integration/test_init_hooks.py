"""Init hooks of a real server: when they run, what they change, what a restart does to them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

AWSLOCAL = Path(sys.executable).parent / "awslocal"
CLIENT = """
import os, urllib.request
def call(action, **fields):
    fields = {"Action": action, "Version": "2012-11-05", **fields}
    body = "&".join(f"{name}={value}" for name, value in fields.items())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(os.environ["AWS_ENDPOINT_URL"], body.encode(), timeout=30) as answer:
        return answer.read().decode()
"""


@pytest.fixture
def hooks(tmp_path):
    """A folder of hooks in which every stage notes that it ran."""
    root = tmp_path / "init"
    for stage in ("boot", "start", "first-boot", "ready", "shutdown"):
        add(root, f"{stage}.d/note.sh", f"echo {stage} >> {tmp_path}/ran")
    return root


def add(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if name.endswith(".py") else f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def wait_until_greeted(server, times=1):
    server.wait_until(lambda: server.log.count("Ready.") == times, f"greeted {times} times")


def status(server, stage=""):
    code, body = server.ask("/_localstack/init" + stage)
    assert code == 200
    return json.loads(body)


def test_every_stage_has_its_time(start, tmp_path, hooks):
    """The stages run in order; what first-boot and shutdown made is there after a restart."""
    add(hooks, "first-boot.d/queue.py", CLIENT + "call('CreateQueue', QueueName='first')")
    add(hooks, "ready.d/look.py", CLIENT + "print(call('ListQueues'))")
    add(hooks, "shutdown.d/queue.py", CLIENT + "call('CreateQueue', QueueName='last')")
    server = start(tmp_path / "state", PERDURE_INIT_DIR=str(hooks))
    wait_until_greeted(server)

    found = status(server)
    assert found["completed"] == {
        **dict.fromkeys(("BOOT", "START", "FIRST_BOOT", "READY"), True),
        "SHUTDOWN": False,
    }
    assert {s["state"] for s in found["scripts"] if s["stage"] != "SHUTDOWN"} == {"SUCCESSFUL"}
    assert server.health()["features"]["initScripts"] == "initialized"
    # Its output is in the log under its name, before the line wait scripts look for.
    assert "/first</QueueUrl>" in server.log.partition("Ready.")[0]

    assert server.stop() == 0
    assert (tmp_path / "ran").read_text().split() == [
        *("boot", "start", "first-boot", "ready", "shutdown")
    ]

    server.start()
    wait_until_greeted(server, 2)
    urls = server.client("sqs").list_queues()["QueueUrls"]
    assert {url.rpartition("/")[2] for url in urls} == {"first", "last"}
    assert (tmp_path / "ran").read_text().split()[5:] == ["boot", "start", "ready"]
    assert "first-boot.d is not run: state was restored" in server.log
    assert status(server, "/first-boot")["scripts"][0]["state"] == "UNKNOWN"


def test_ready_scripts_only_where_nothing_was_restored(start, tmp_path, hooks):
    """PERDURE_INIT_ON=first-boot ends creating what is there already; a reset begins anew."""
    add(hooks, "ready.d/queue.py", CLIENT + "call('CreateQueue', QueueName='mine')")
    given = {"PERDURE_INIT_DIR": str(hooks), "PERDURE_INIT_ON": "first-boot"}
    server = start(tmp_path / "state", **given)
    wait_until_greeted(server)
    server.restart()
    wait_until_greeted(server, 2)
    assert (tmp_path / "ran").read_text().split().count("ready") == 1
    assert status(server, "/ready")["completed"] is True

    assert server.ask("/_localstack/state/reset", method="POST")[0] == 200
    server.restart()
    wait_until_greeted(server, 3)
    assert (tmp_path / "ran").read_text().split().count("ready") == 2


def test_hooks_without_persistence(start, tmp_path, hooks):
    """Where no state is kept every start is the first; a failing script is told, not fatal."""
    add(hooks, "ready.d/broken.sh", "exit 7")
    server = start(PERDURE_INIT_DIR=str(hooks))
    wait_until_greeted(server)
    assert {"stage": "READY", "name": "broken.sh", "state": "ERROR"} in status(server)["scripts"]
    assert "ready.d/broken.sh failed: exit code 7" in server.log
    server.restart()
    wait_until_greeted(server, 2)
    assert (tmp_path / "ran").read_text().split().count("first-boot") == 2


def test_a_stop_does_not_wait_for_a_script(start, tmp_path, hooks):
    """While a script of ready.d hangs calls are answered; a stop ends it and saves."""
    add(hooks, "ready.d/a-hang.sh", "sleep 600")
    server = start(tmp_path / "state", PERDURE_INIT_DIR=str(hooks))
    server.client("sqs").create_queue(QueueName="q")
    server.wait_until(lambda: "running ready.d/a-hang.sh" in server.log, "in the script")
    assert server.health()["features"]["initScripts"] == "initializing"
    assert "Ready." not in server.log

    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 8
    server.start(PERDURE_INIT_DIR="")
    assert len(server.client("sqs").list_queues()["QueueUrls"]) == 1


@pytest.mark.skipif(not AWSLOCAL.exists(), reason="awscli-local is not installed")
def test_awslocal_works_in_scripts(start, tmp_path, hooks):
    """The line every LocalStack user has in ready.d does what it says, unchanged."""
    add(hooks, "ready.d/bucket.sh", "awslocal s3 mb s3://from-a-hook")
    server = start(PERDURE_INIT_DIR=str(hooks))
    wait_until_greeted(server)
    assert "ready.d/bucket.sh: make_bucket: from-a-hook" in server.log
    assert server.client("s3").list_buckets()["Buckets"][0]["Name"] == "from-a-hook"


def test_a_misspelt_folder_is_refused(start, tmp_path):
    """--init-dir that is no folder stops the start: hooks that never run are not noticed."""
    server = start(ready=False)
    code, log = server.refuse(PERDURE_INIT_DIR=str(tmp_path / "nonesuch"))
    assert code == 2
    assert "PERDURE_INIT_DIR" in log
    code, log = server.refuse(PERDURE_INIT_DIR="", PERDURE_INIT_ON="sometimes")
    assert code == 2
    assert "every-start first-boot" in log
