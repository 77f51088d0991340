"""LocalStack's Python SDK saves, loads and resets state."""

from __future__ import annotations

import json
import os
import sys

import pytest
from installing import python_packages

SCRIPT = """
import json, sys
from localstack.sdk.state import StateClient

state, (action, *service) = StateClient(host=sys.argv[1]), sys.argv[2:]
if action == "reset":
    state.reset_state()
elif service:
    getattr(state._client, f"localstack_state_service_{action}_post")(service=service[0])
else:
    # The client has no reader for the lines it asks for (application/x-ndjson).
    call = getattr(state._client, f"localstack_state_{action}_post_without_preload_content")
    print(call().data.decode())
"""


@pytest.fixture
def state(client):
    """One action of the SDK in a process of its own; the lines it was answered."""
    folder = python_packages()

    def act(action, *service):
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        printed = client.run(
            *(sys.executable, "-W", "error::UserWarning", "-c", SCRIPT),
            *(client.server.url, action, *service),
            PYTHONPATH=path,
        )
        return [json.loads(line) for line in printed.splitlines() if line]

    return act


def names(server):
    return server.client("sqs").list_queues().get("QueueUrls", [])


def test_save_load_and_reset(server, state):
    """What was saved is back after a kill and by a load; what was reset stays away."""
    server.restart(SNAPSHOT_SAVE_STRATEGY="MANUAL")
    server.client("sqs").create_queue(QueueName="kept")
    assert {"service": "sqs", "status": "ok"} in state("save")
    server.client("sqs").create_queue(QueueName="not-kept")
    assert {"service": "sqs", "status": "ok"} in state("load")
    assert len(names(server)) == 1
    server.restart("stop")
    assert len(names(server)) == 1
    state("reset")
    assert names(server) == []
    server.kill()
    server.start()
    assert names(server) == []


def test_one_service(server, state):
    """One service is saved, loaded and reset by its name."""
    server.client("sqs").create_queue(QueueName="kept")
    state("save", "sqs")
    server.client("sqs").create_queue(QueueName="more")
    server.restart("stop", SNAPSHOT_SAVE_STRATEGY="MANUAL")
    state("load", "sqs")
    assert len(names(server)) == 2
