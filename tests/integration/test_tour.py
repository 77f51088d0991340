"""The README's tour does what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import environment, free_port

README = Path(__file__).parents[2] / "README.md"
SHOWN_PORT = "4566"
TOUR = re.compile(
    r"^## A minute's tour$.*?^```console\n(?P<block>.*?)^```$", re.MULTILINE | re.DOTALL
)


def steps(text):
    """The commands of the tour, each with the lines shown below it."""
    found = TOUR.search(text)
    assert found is not None, "no console block under the heading"
    commands: list[tuple[str, list[str]]] = []
    for line in found["block"].splitlines():
        if line.startswith("$ "):
            commands.append((line.removeprefix("$ "), []))
        elif line:
            commands[-1][1].append(line)
    return commands


def tools(folder):
    """A folder with the commands of the tour, from wherever this Python has them."""
    folder.mkdir()
    perdure = folder / "perdure"
    perdure.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m perdure "$@"\n')
    perdure.chmod(0o755)
    # PERDURE_TEST_AWSCLI may name the bin folder of an environment with awscli and awslocal.
    beside = os.environ.get("PERDURE_TEST_AWSCLI", "")
    path = os.pathsep.join(
        filter(None, [str(folder), str(Path(sys.executable).parent), beside, os.environ["PATH"]])
    )
    for name, package in (("awslocal", "awscli-local"), ("aws", "awscli")):
        if shutil.which(name, path=path) is None:
            pytest.skip(f"{name} is not installed: pip install {package}")
    return path


def matches(shown, printed):
    """Whether the output has the lines shown, in order; ``...`` stands for anything."""
    pattern = r"\n".join(re.escape(line).replace(r"\.\.\.", "(?s:.*)") for line in shown)
    return re.fullmatch(pattern, printed.strip()) is not None


def test_the_tour(tmp_path):
    """Every command of the tour succeeds and prints what the README shows."""
    path = tools(tmp_path / "bin")
    port = str(free_port())
    env = environment(
        tmp_path,
        PATH=path,
        GATEWAY_LISTEN=f"127.0.0.1:{port}",
        AWS_ENDPOINT_URL=f"http://localhost:{port}",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_PAGER="",
    )
    commands = [
        (command.replace(SHOWN_PORT, port), [line.replace(SHOWN_PORT, port) for line in shown])
        for command, shown in steps(README.read_text())
    ]
    assert any("perdure stop" in command for command, _ in commands)
    # One shell for all, so that what one command exports the next one sees.
    marks = [f"--- end of step {number}" for number in range(len(commands))]
    script = "\n".join(
        f"{command} || exit 1\necho '{mark}'"
        for (command, _), mark in zip(commands, marks, strict=True)
    )
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    finally:
        subprocess.run(["perdure", "stop"], env=env, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    rest = done.stdout
    for (command, shown), mark in zip(commands, marks, strict=True):
        printed, _, rest = rest.partition(mark + "\n")
        assert matches(shown, printed), f"{command}\n{printed}\nis not\n{shown}"


def test_steps_are_read_from_the_readme():
    """The tour has commands that create, stop, start and use."""
    commands = " ; ".join(command for command, _ in steps(README.read_text()))
    assert re.search(r"perdure start.*awslocal.*perdure stop.*perdure start.*awslocal", commands)
