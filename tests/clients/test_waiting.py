"""Code that waits for LocalStack lets go when Perdure is ready, and not before."""

from __future__ import annotations

import os
import re
import sys

from installing import python_packages

# What pytest-localstack asks before it lets tests run; one call or connection a service.
ASK = """
import sys
from pytest_localstack import constants
from pytest_localstack.session import RunningSession

ports = dict.fromkeys(constants.SERVICE_PORTS, int(sys.argv[1]))
session = RunningSession("127.0.0.1", services=ports, region_name="us-east-1")
session.start(timeout=60)
print(session.boto3.client("s3").list_buckets()["Buckets"][0]["Name"])
"""


def services_up(server):
    """As wait scripts do: every service asked for is ``available`` or ``running``."""
    services = server.health()["services"]
    return {
        name for name in ("s3", "sqs", "dynamodb") if services[name] in ("available", "running")
    }


def test_log_and_health(server):
    """``Ready.`` ends a line of the log at each start, and the services are up then."""
    for starts in (1, 2):
        server.wait_until(
            lambda n=starts: len(re.findall(r"Ready\.$", server.log, re.MULTILINE)) == n, "ready"
        )
        assert services_up(server) == {"s3", "sqs", "dynamodb"}
        assert server.health()["features"]["persistence"] == "initialized"
        if starts == 1:
            server.restart("kill")


def test_pytest_localstack(server, client):
    """pytest-localstack's own checks pass for all its services, after a restart too."""
    path = os.pathsep.join(filter(None, [str(python_packages()), os.environ.get("PYTHONPATH")]))
    server.client("s3").create_bucket(Bucket="kept")
    server.restart()
    printed = client.run(sys.executable, "-c", ASK, str(server.port), PYTHONPATH=path)
    assert printed.strip() == "kept"
