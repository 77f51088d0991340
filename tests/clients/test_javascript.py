"""The AWS SDK for JavaScript, version 3, across a restart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from installing import node_packages

SCRIPT = Path(__file__).parent / "sdk" / "client.mjs"


@pytest.fixture
def node(client):
    """One step of ``client.mjs``; what it prints."""
    packages = node_packages("sdk")
    port = client.server.port

    def run(*arguments, **env):
        return client.run(
            *(shutil.which("node"), str(SCRIPT), *arguments),
            CLIENTS=str(packages),
            S3_ENDPOINT=f"http://s3.localhost.localstack.cloud:{port}",
            **env,
        ).strip()

    return run


def test_services(node, server):
    """An upload in parts, a receipt handle, an item and a shard iterator outlive a restart."""
    services = {"s3": {}, "sqs": {}, "dynamodb": {}, "kinesis": {"HTTP": "1.1"}}
    states = {name: node(name, "create", **env) for name, env in services.items()}
    server.restart("kill")
    for name, env in services.items():
        node(name, "use", states[name], **env)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_kinesis_over_http2(node, server, scheme):
    """The Kinesis client, which speaks HTTP/2 of its own, does so plain and over TLS."""
    env = {
        "AWS_ENDPOINT_URL": f"{scheme}://127.0.0.1:{server.port}",
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    }
    state = node("kinesis", "create", **env)
    server.restart()
    node("kinesis", "use", state, **env)
