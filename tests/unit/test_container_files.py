"""Dockerfile, .dockerignore and compose.yaml fit each other and the project."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from perdure.config import SETTINGS, VOLUME_IN_CONTAINER

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def check():
    """The module behind ``make container-check``, which reads the Dockerfile."""
    spec = importlib.util.spec_from_file_location("container_check", ROOT / "container/check.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_what_is_copied_is_let_through(check):
    """Every source of a COPY exists, and .dockerignore keeps no one back."""
    sources = [
        name
        for instruction, rest in check.instructions()
        if instruction == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    ]
    assert "src" in sources
    for name in sources:
        assert (ROOT / name).exists(), name
        assert check.admitted(name), name
    assert not check.admitted("tests")
    assert not check.admitted(".git")


def test_the_image_leaves_root_and_tells_its_health(check):
    """Tini is process 1, the entrypoint ends in setpriv, and the health check waits for Ready."""
    found = dict(check.instructions())
    assert '"tini"' in found["ENTRYPOINT"]
    assert "perdure" in found["HEALTHCHECK"]
    assert found["VOLUME"].strip() == str(VOLUME_IN_CONTAINER)
    last = (ROOT / "container/entrypoint.sh").read_text().strip().splitlines()[-1]
    assert last.startswith("exec setpriv --reuid perdure")


def test_compose_mounts_what_it_keeps():
    """The compose file keeps state on a mount, listens locally, and knows its variables."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["perdure"]
    targets = [volume.rpartition(":")[2] for volume in service["volumes"]]
    assert str(VOLUME_IN_CONTAINER) in targets
    assert service["ports"] == ["127.0.0.1:4566:4566"]
    names = {line.partition("=")[0] for line in service["environment"]}
    known = {setting.name for setting in SETTINGS} | {"HOST_TMP_FOLDER"}
    assert names <= known
    seconds = int(re.fullmatch(r"(\d+)s", service["stop_grace_period"])[1])
    assert seconds > 10  # the engine's own, which is short for a save
