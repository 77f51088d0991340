"""Writes a golden state directory: what this Perdure saves over a given moto.

    python tests/golden/make_states.py PYTHON

``PYTHON`` is the interpreter of an environment that holds the moto to write with and
Perdure's other dependencies; Perdure itself is taken from this clone.  This
interpreter needs boto3.  The folder is named after both versions, and nothing in it
is ever changed again:

    states/<perdure>-moto-<moto>/
      state/          the state directory, as a stop left it
      expected.json   per scene: what was kept, and the answers of its reads

An older moto lacks three names Perdure's dispatcher imports, and an attribute of its
responses; ``SHIM`` stands in for them.  They only decide how a request is passed on,
not what it leaves behind.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import urlopen

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.golden import scenes_apps, scenes_more  # noqa: E402
from tests.golden.scenes import SCENES, Read  # noqa: E402

assert scenes_apps
assert scenes_more  # importing them makes their scenes known

STATES = HERE / "states"
ADDRESS = "http://this.server"
SHIM = """
import sys, types
try:
    import moto.core.request as request
except ImportError:
    from werkzeug.wrappers import Request
    request = sys.modules["moto.core.request"] = types.ModuleType("moto.core.request")
    request.Request = Request
if not hasattr(request, "environ_key_for_header"):
    def key(name):
        name = name.upper().replace("-", "_")
        return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + name
    request.environ_key_for_header = key
    request.should_preserve_original_header_name = lambda name: False
    request.PRESERVED_HEADER_NAMES_ENVIRON_KEY = "moto.names"

    from moto.core.responses import BaseResponse
    original = BaseResponse.setup_class
    def setup_class(response, request, *arguments, **named):
        response.normalized_request = request
        return original(response, request, *arguments, **named)
    BaseResponse.setup_class = setup_class
from perdure.cli.main import main
main()
"""


@cache
def session() -> Any:
    """One for all clients: it reads a service's model once, which takes long."""
    import boto3

    return boto3.session.Session()


class Client:
    """Calls a server as ``scenes`` want it: plain data in, plain data out.

    The server's own address goes by ``ADDRESS`` in what is kept and compared.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: dict[Any, Any] = {}

    def __call__(
        self, service: str, operation: str, /, key: Any = ("test", "test"), **parameters: Any
    ) -> Any:
        wanted = (service, tuple(key))
        if wanted not in self.made:
            from botocore.config import Config

            self.made[wanted] = session().client(
                service,
                region_name="us-east-1",
                endpoint_url=self.url,
                aws_access_key_id=key[0],
                aws_secret_access_key=key[1],
                config=Config(
                    retries={"total_max_attempts": 1},
                    s3={"addressing_style": "path"},
                    inject_host_prefix=False,
                ),
            )
        parameters = replaced(parameters, ADDRESS, self.url)
        answer = getattr(self.made[wanted], operation)(**parameters)
        answer.pop("ResponseMetadata", None)
        return replaced(plain(answer), self.url, ADDRESS)


def replaced(value: Any, old: str, new: str) -> Any:
    """The same data with one text for another in all its texts."""
    if isinstance(value, dict):
        return {k: replaced(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [replaced(v, old, new) for v in value]
    return value.replace(old, new) if isinstance(value, str) else value


def plain(value: Any) -> Any:
    """An answer as JSON has it: times as text, bytes and bodies as hex."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else value


@contextmanager
def serving(python: list[str], data_dir: Path, **env: str) -> Iterator[str]:
    """A server over a state directory; stopped, and so saved, at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHON"))}
    home = tempfile.mkdtemp()
    settings = {"DATA_DIR": str(data_dir), "SNAPSHOT_FLUSH_INTERVAL": "86400", "TMPDIR": home}
    process = subprocess.Popen(
        [*python, "start", "--listen", f"127.0.0.1:{port}"],
        env={**kept, "PYTHONPATH": str(ROOT / "src"), **settings, **env},
    )
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        code = process.wait(60)
        shutil.rmtree(home, ignore_errors=True)
    assert code == 0, code


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{url}/_localstack/health", timeout=5) as answer:
                health = json.load(answer)
            if health["features"]["persistence"] in ("initialized", "error"):
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"no server at {url}")


def record(aws: Client) -> dict[str, Any]:
    """Create everything; what was kept and is answered then."""
    expected: dict[str, Any] = {}
    for name, scene in SCENES.items():
        try:
            expected[name] = {"kept": plain(scene.create(aws))}
        except Exception as error:  # noqa: BLE001 - an old moto may lack what a scene needs
            expected[name] = {"refused": str(error)}
            print(f"{name}: {error}")  # noqa: T201
    for name, scene in SCENES.items():
        if "refused" in expected[name]:
            continue
        kept = expected[name]["kept"]
        expected[name]["answers"] = [answer_of(aws, read) for read in scene.reads(kept)]
    return expected


def answer_of(aws: Client, read: Read) -> Any:
    """The answer of one read; an error by its code."""
    service, operation, parameters = read
    try:
        return aws(service, operation, **parameters)
    except Exception as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        if code is None:
            raise
        return {"error": code}


def main() -> None:
    """Write one directory."""
    python = sys.argv[1]
    said = "import moto; print(moto.__version__)"
    moto = subprocess.run([python, "-c", said], capture_output=True, text=True, check=True)
    said = "import perdure; print(perdure.__version__)"
    own = subprocess.run(
        [python, "-c", said],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    target = STATES / f"{own.stdout.strip()}-moto-{moto.stdout.strip()}"
    if target.exists():
        sys.exit(f"{target} is there, and golden directories are never changed")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        with serving([python, "-c", SHIM], state) as url:
            expected = record(Client(url))
        (state / "LOCK").unlink()
        target.mkdir(parents=True)
        shutil.copytree(state, target / "state")
    rows = [f"{json.dumps(name)}: {json.dumps(said)}" for name, said in expected.items()]
    (target / "expected.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target.name}: {size / 1024:.0f} KB")  # noqa: T201


if __name__ == "__main__":
    main()
