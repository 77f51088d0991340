"""Every golden state directory, loaded by this Perdure over this moto, and used.

``states/`` holds what releases wrote, over the moto of their time; ``make_states``
says how.  A directory there is never changed and never removed: what it holds must
load for ever.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import moto
import pytest
from tests.golden.make_states import STATES, Client, answer_of, serving
from tests.golden.scenes import SCENES

from perdure import __version__
from perdure.persistence.check import check_directory

PYTHON = [sys.executable, "-m", "perdure"]
FOLDERS = sorted(path for path in STATES.iterdir() if path.is_dir())
# What answers say of the moment they are given.
NOW = ("LatestRestorableTime", "WorkGroup.CreationTime", "SizeInBytes.Timestamp")
OWN = f"{__version__}-moto-{moto.__version__}"


def differences(recorded: Any, found: Any, path: str = "") -> Iterator[str]:
    """What was answered then and is not now; what is answered besides is no difference."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name, value in recorded.items():
            if f"{path}.{name}".endswith(NOW):
                continue
            if name in found:
                yield from differences(value, found[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}: {value!r} is not answered"
    elif isinstance(recorded, list) and isinstance(found, list):
        if len(recorded) != len(found):
            yield f"{path}: {len(recorded)} entries, now {len(found)}"
        for number, (one, two) in enumerate(zip(recorded, found, strict=False)):
            yield from differences(one, two, f"{path}[{number}]")
    elif recorded != found:
        yield f"{path}: {recorded!r}, now {found!r}"


def stores(url: str) -> dict[str, Any]:
    with urlopen(f"{url}/_localstack/health", timeout=10) as answer:
        return json.load(answer)["persistence"]["stores"]


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One directory: what was recorded, what is answered, how it went; used and loaded again."""
    folder: Path = request.param
    state = tmp_path_factory.mktemp("golden") / "state"
    shutil.copytree(folder / "state", state)
    expected = json.loads((folder / "expected.json").read_text())
    found: dict[str, Any] = {"folder": folder, "expected": expected, "state": state}
    known = {name: said for name, said in expected.items() if "kept" in said}
    with serving(PYTHON, state) as url:
        aws = Client(url)
        found["answers"] = {
            name: [answer_of(aws, read) for read in SCENES[name].reads(said["kept"])]
            for name, said in known.items()
        }
        found["loaded"] = stores(url)
        found["failures"] = {}
        for name, said in known.items():
            try:
                SCENES[name].use(aws, said["kept"])
            except Exception as error:  # noqa: BLE001 - all of them are shown
                found["failures"][name] = repr(error)
        found["used"] = stores(url)
    found["report"] = check_directory(state)
    with serving(PYTHON, state, SNAPSHOT_LOAD_STRATEGY="ON_STARTUP") as url:
        found["again"] = stores(url)
    return found


def test_it_answers_as_before(loaded: Any) -> None:
    """What was read when the directory was written is answered the same after a load."""
    known = {name: said["answers"] for name, said in loaded["expected"].items() if "kept" in said}
    assert list(differences(known, loaded["answers"])) == []


def test_what_it_holds_can_be_used(loaded: Any) -> None:
    """Changes of every kind of object succeed, not only reads."""
    assert loaded["failures"] == {}


@pytest.mark.parametrize("when", ["loaded", "used", "again"])
def test_no_store_is_set_aside(loaded: Any, when: str) -> None:
    """All stores load whole, at once and after they were used and saved again."""
    wrong = {
        name: (store["status"], store["reason"], store["incomplete"])
        for name, store in loaded[when].items()
        if store["status"] in ("quarantined", "failed") or store["incomplete"]
    }
    assert wrong == {}


def test_its_files_are_whole(loaded: Any) -> None:
    """What was saved over it passes ``perdure check``."""
    assert loaded["report"].findings == []


def test_this_release_has_one() -> None:
    """There is a directory of this Perdure over this moto, and it refused no scene."""
    expected = json.loads((STATES / OWN / "expected.json").read_text())

    assert expected.keys() == SCENES.keys()
    assert all("refused" not in said for said in expected.values())
