"""Init hooks: which scripts run when, in which order, with what around them."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from tests.unit.gateway.asgi import ask as ask_app

from perdure import config
from perdure.config import Address
from perdure.errors import ConfigError
from perdure.gateway import init_hooks
from perdure.gateway.init_hooks import InitHooks, Stage, State, script_environment

NAMES = {stage.name for stage in Stage} - {"FIRST_BOOT"}


def script(root: Path, name: str, text: str = "", *, mode: int = 0o755) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if name.endswith(".py") else f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def states(hooks: InitHooks, stage: Stage) -> list[tuple[str, str]]:
    return [(script.path.name, script.state.name) for script in hooks.scripts[stage]]


def ask(hooks: InitHooks, path: str = "") -> tuple[int, bytes]:
    app = Starlette(routes=hooks.routes())
    status, _, body = ask_app(app, "GET", "/_localstack/init" + path)
    return status, body


def test_files_run_before_folders_each_by_name(tmp_path: Path) -> None:
    """The order is LocalStack's: files of a folder by name, then its sub-folders by name."""
    log = tmp_path / "log"
    for name in ("b.sh", "a/z.sh", "a/b/c.sh", "10.sh", "2.sh", "B/x.sh", "c.sh"):
        script(tmp_path, f"ready.d/{name}", f"echo {name} >> {log}")

    InitHooks(tmp_path).run(Stage.READY)

    order = ["10.sh", "2.sh", "b.sh", "c.sh", "B/x.sh", "a/z.sh", "a/b/c.sh"]
    assert log.read_text().split() == order


def test_what_is_no_script_is_left_alone(tmp_path: Path) -> None:
    """Other files, other folders and the folders Kubernetes keeps beside its links do not count."""
    script(tmp_path, "ready.d/..2026/a.sh", "exit 0")
    script(tmp_path, "ready.d/notes.txt")
    script(tmp_path, "later.d/a.sh")
    (tmp_path / "ready.d/a.sh").symlink_to(tmp_path / "ready.d/..2026/a.sh")

    hooks = InitHooks(tmp_path)

    assert [[s.path.name for s in scripts] for scripts in hooks.scripts.values() if scripts] == [
        ["a.sh"]
    ]


def test_a_failure_stops_nothing_and_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each way to fail is an ERROR with its reason and the next step; the next script runs."""
    script(tmp_path, "ready.d/1.sh", "exit 3")
    script(tmp_path, "ready.d/2.sh", mode=0o644)
    script(tmp_path, "ready.d/3.py", "raise ValueError('told you')")
    (tmp_path / "ready.d/4.sh").write_bytes(b"\x00\x01")
    (tmp_path / "ready.d/4.sh").chmod(0o755)
    script(tmp_path, "ready.d/5.sh", "echo fine")
    hooks = InitHooks(tmp_path)

    with caplog.at_level(logging.INFO):
        hooks.run(Stage.READY)

    assert states(hooks, Stage.READY) == [
        *((name, "ERROR") for name in ("1.sh", "2.sh", "3.py", "4.sh")),
        ("5.sh", "SUCCESSFUL"),
    ]
    said = caplog.text
    assert "ready.d/1.sh failed: exit code 3" in said
    assert f"ready.d/2.sh failed: it is not executable: `chmod +x {tmp_path}" in said
    assert "ready.d/3.py: ValueError: told you" in said
    assert "#!/bin/sh" in said
    assert "ready.d/5.sh: fine" in said


def test_scripts_see_where_the_server_is(tmp_path: Path) -> None:
    """Endpoint, credentials, region and a path to awslocal, without any setting of the user."""
    out = tmp_path / "out"
    script(
        tmp_path,
        "ready.d/a.py",
        f"import json, os; open({str(out)!r}, 'w').write(json.dumps(dict(os.environ)))",
    )
    hooks = InitHooks(tmp_path, script_environment({"PATH": "/usr/bin:/bin"}, "eu-west-1"))
    hooks.set_address(Address("0.0.0.0", 4599))

    hooks.run(Stage.READY)

    seen = json.loads(out.read_text())
    assert seen["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4599"
    assert seen["LOCALSTACK_HOST"] == "localhost:4599"
    assert (seen["AWS_ACCESS_KEY_ID"], seen["AWS_SECRET_ACCESS_KEY"]) == ("test", "test")
    assert seen["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert any((Path(p) / "python").exists() for p in seen["PATH"].split(os.pathsep)[2:])


def test_what_the_user_set_stays(tmp_path: Path) -> None:
    """Credentials, region and LOCALSTACK_HOST of the surroundings win; the endpoint is ours."""
    given = {
        "AWS_ACCESS_KEY_ID": "111111111111",
        "AWS_REGION": "sa-east-1",
        "LOCALSTACK_HOST": "localstack:4566",
        "AWS_ENDPOINT_URL": "http://elsewhere",
    }
    hooks = InitHooks(tmp_path, script_environment(given, "eu-west-1"))
    hooks.set_address(Address("127.0.0.1", 4566))

    assert hooks.environment["AWS_ACCESS_KEY_ID"] == "111111111111"
    assert "AWS_DEFAULT_REGION" not in hooks.environment
    assert hooks.environment["LOCALSTACK_HOST"] == "localstack:4566"
    assert hooks.environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("only", [True, False])
def test_first_boot(tmp_path: Path, first: bool, only: bool) -> None:
    """first-boot.d, and ready.d if so set, run only where no state was restored."""
    script(tmp_path, "first-boot.d/a.sh")
    script(tmp_path, "ready.d/a.sh")
    hooks = InitHooks(tmp_path, first_boot_only=only, is_first_boot=first)

    hooks.run(Stage.FIRST_BOOT)
    hooks.run(Stage.READY)

    ran = {True: "SUCCESSFUL", False: "UNKNOWN"}
    assert states(hooks, Stage.FIRST_BOOT) == [("a.sh", ran[first])]
    assert states(hooks, Stage.READY) == [("a.sh", ran[first or not only])]
    assert hooks.phase == "initialized"


def test_a_stage_runs_once(tmp_path: Path) -> None:
    """Asked again, a stage does nothing."""
    log = tmp_path / "log"
    script(tmp_path, "start.d/a.sh", f"echo ran >> {log}")
    hooks = InitHooks(tmp_path)

    hooks.run(Stage.START)
    hooks.run(Stage.START)

    assert log.read_text() == "ran\n"


def test_a_stop_ends_what_runs(tmp_path: Path) -> None:
    """At a stop the script that runs is ended with its children; those behind it do not start."""
    log = tmp_path / "log"
    script(tmp_path, "ready.d/1.sh", f"echo begun >> {log}; sleep 60; echo late >> {log}")
    script(tmp_path, "ready.d/2.sh", f"echo second >> {log}")
    hooks = InitHooks(tmp_path)
    running = threading.Thread(target=hooks.run, args=(Stage.READY,))
    running.start()
    while not log.exists():
        time.sleep(0.01)

    hooks.halt()
    running.join(5)

    assert not running.is_alive()
    assert states(hooks, Stage.READY) == [("1.sh", "ERROR"), ("2.sh", "UNKNOWN")]
    assert log.read_text() == "begun\n"


def test_shutdown_scripts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script of shutdown.d that does not end cannot hold up the save, nor can the next one."""
    monkeypatch.setattr(init_hooks, "SHUTDOWN_SECONDS", 0.3)
    script(tmp_path, "shutdown.d/1.sh", "sleep 60")
    script(tmp_path, "shutdown.d/2.sh")
    hooks = InitHooks(tmp_path)
    hooks.halt()
    started = time.monotonic()

    hooks.run(Stage.SHUTDOWN)

    assert time.monotonic() - started < 3
    assert states(hooks, Stage.SHUTDOWN) == [("1.sh", "ERROR"), ("2.sh", "ERROR")]


def test_a_background_process_does_not_hold_up_the_next_script(tmp_path: Path) -> None:
    """A script has ended when its process has, whatever it left running with its output."""
    script(tmp_path, "ready.d/1.sh", "sleep 20 & echo $! > " + str(tmp_path / "pid"))
    script(tmp_path, "ready.d/2.sh")
    hooks = InitHooks(tmp_path)
    started = time.monotonic()

    hooks.run(Stage.READY)

    assert time.monotonic() - started < 10
    assert states(hooks, Stage.READY)[1] == ("2.sh", "SUCCESSFUL")
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_status_without_hooks_is_localstacks() -> None:
    """Four stages, no scripts, and 404 without a body for a stage there is not."""
    hooks = InitHooks()
    for stage in (Stage.BOOT, Stage.START, Stage.FIRST_BOOT, Stage.READY):
        hooks.run(stage)

    status, body = ask(hooks)

    assert status == 200
    done = {"BOOT": True, "START": True, "READY": True, "SHUTDOWN": False}
    assert json.loads(body) == {"completed": done, "scripts": []}
    assert json.loads(ask(hooks, "/shutdown")[1]) == {"completed": False, "scripts": []}
    assert ask(hooks, "/nonesuch") == (404, b"")


def test_status_of_scripts(tmp_path: Path) -> None:
    """Every script with stage, name without folder, and state; Perdure's own stage if used."""
    script(tmp_path, "ready.d/sub/a.sh")
    script(tmp_path, "first-boot.d/b.py")
    hooks = InitHooks(tmp_path)
    hooks.run(Stage.FIRST_BOOT)

    document = json.loads(ask(hooks)[1])

    assert document["scripts"] == [
        {"stage": "FIRST_BOOT", "name": "b.py", "state": "SUCCESSFUL"},
        {"stage": "READY", "name": "a.sh", "state": "UNKNOWN"},
    ]
    assert document["completed"].keys() == NAMES | {"FIRST_BOOT"}
    assert json.loads(ask(hooks, "/first-boot")[1])["completed"] is True
    assert hooks.scripts[Stage.READY][0].state is State.UNKNOWN


def test_a_folder_the_user_named_must_be_there(tmp_path: Path) -> None:
    """A misspelt folder is refused; the default one need not exist."""
    with pytest.raises(ConfigError, match="PERDURE_INIT_DIR"):
        InitHooks.from_config(config.load({"PERDURE_INIT_DIR": str(tmp_path / "nonesuch")}))

    hooks = InitHooks.from_config(config.load({"GATEWAY_LISTEN": "127.0.0.1:0"}), {})
    assert "AWS_ENDPOINT_URL" not in hooks.environment
