"""Real clients from their registries, each set once into ``.cache/clients``.

A set is a folder of ``tests/clients`` with a package list, or the requirements file beside
this one.  What is installed is named by the digest of that list, so that a changed list is
installed anew and an old one does no harm.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "clients"
INSTALL_SECONDS = 100  # below the time limit of one test


@cache
def node_packages(name: str) -> Path:
    """The folder with ``node_modules`` of ``tests/clients/<name>``; skips where none can be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no node and npm on this machine")
    source = HERE / name
    lists = [source / "package.json", source / "package-lock.json"]
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    return _installed(name, lists, command)


@cache
def python_packages() -> Path:
    """A folder for ``PYTHONPATH`` with what ``requirements.txt`` names."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", "."]
    return _installed("python", [HERE / "requirements.txt"], [*command, "-r", "requirements.txt"])


def _installed(name: str, lists: list[Path], command: list[str]) -> Path:
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in lists)).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"{name}-{digest}"
    # Two runs of the tests may want it at once.
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder, lists, command)
    return folder


def _install(folder: Path, lists: list[Path], command: list[str]) -> None:
    """Run the registry's client in a new folder and give it its name when it is whole."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for path in lists:
        shutil.copy(path, part)
    try:
        done = subprocess.run(
            command, cwd=part, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{folder.name} was not installed within {INSTALL_SECONDS} s")
    if done.returncode != 0:
        pytest.skip(f"{folder.name} cannot be had: {(done.stderr or done.stdout).strip()[-300:]}")
    part.rename(folder)
