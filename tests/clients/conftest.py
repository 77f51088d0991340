"""A server as its users' clients see it: an address in the environment, and a restart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from tests.integration.conftest import NOT_INHERITED, Server  # noqa: E402

COMMAND_SECONDS = 110
# Each of these asks this machine's DNS for names below ``localhost.localstack.cloud``, which
# the world's DNS answers with 127.0.0.1.
RESOLVE = HERE / "resolve.cjs"


class Client:
    """Runs programs against one server, with the environment a LocalStack user has."""

    def __init__(self, server: Server, home: Path) -> None:
        self.server, self.home = server, home
        home.mkdir(exist_ok=True)

    def environment(self, **more: str) -> dict[str, str]:
        """This process' environment without any AWS of its user, aimed at the server."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(NOT_INHERITED)}
        return {
            **inherited,
            "HOME": str(self.home),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "NODE_OPTIONS": f"--require {RESOLVE} --no-warnings",
            **more,
        }

    def run(self, *command: str, without: tuple[str, ...] = (), **env: str) -> str:
        """What a program prints; it must succeed."""
        environment = self.environment(**env)
        for name in without:
            del environment[name]
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        said = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, (
            f"{command}: exit code {done.returncode}\n{said}\n{self.server.log}"
        )
        return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running server with a state directory."""
    server = Server(tmp_path / "server", DATA_DIR=str(tmp_path / "state"))
    yield server.start()
    server.close()


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Client:
    """Programs against that server."""
    return Client(server, tmp_path / "home")
