"""Every golden state directory, loaded by this Perdure over this moto, and used.

``states/`` holds what releases wrote, over the moto of their time; ``make_states``
says how.  A directory there is never changed and never removed: what it holds must
load for ever.

Beside ``expected.json`` there may be ``known.json``: what the running moto cannot say
or do any more with what that one wrote, with the reason.  It is held to as well.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
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
COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
OWN = f"{__version__}-moto-{moto.__version__}"


ABSENT: Any = object()


def differences(then: Any, now: Any, fresh: Any, path: str = "") -> Iterator[str]:
    """What was answered then and is not now, where that is no doing of the load.

    ``fresh`` is what the running moto answers of the same scene without a load: where
    it answers in another way by itself, so it does here.
    """
    if isinstance(then, dict) and isinstance(now, dict):
        then, now, fresh = _waiting(then), _waiting(now), _waiting(fresh)
        for name, value in then.items():
            of_fresh = fresh.get(name, ABSENT) if isinstance(fresh, dict) else ABSENT
            if name in now:
                yield from differences(value, now[name], of_fresh, f"{path}.{name}")
            elif of_fresh is not ABSENT:
                yield f"{path}.{name}: {value!r} is not answered"
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, two) in enumerate(zip(then, now, strict=True)):
            of_fresh = fresh[number] if isinstance(fresh, list) and number < len(fresh) else ABSENT
            yield from differences(one, two, of_fresh, f"{path}[{number}]")
    elif not (path.endswith(NOW) or now == fresh or _same(then, now)):
        yield f"{path}: {then!r}, now {now!r}"


def _waiting(attributes: Any) -> Any:
    """A queue's messages counted as one: a received one shows again within 12 hours."""
    if not isinstance(attributes, dict) or COUNTS[0] not in attributes:
        return attributes
    count = sum(int(attributes.get(name, 0)) for name in COUNTS)
    return {**{k: v for k, v in attributes.items() if k not in COUNTS}, COUNTS[0]: count}


def _same(then: Any, now: Any) -> bool:
    """Whether two values are equal, and times to the second: versions cut them differently."""
    try:
        one, two = (datetime.fromisoformat(value).replace(tzinfo=UTC) for value in (then, now))
    except (TypeError, ValueError):
        return bool(then == now)
    return abs((one - two).total_seconds()) <= 1


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
    found: dict[str, Any] = {"folder": folder, "expected": expected, "fresh": ABSENT}
    known = {name: said for name, said in expected.items() if "kept" in said}
    if folder.name != OWN:
        own = json.loads((STATES / OWN / "expected.json").read_text())
        found["fresh"] = {name: said["answers"] for name, said in own.items()}
    limits = folder / "known.json"
    nothing = '{"answers": {}, "uses": {}}'
    found["known"] = json.loads(limits.read_text() if limits.exists() else nothing)
    # Checkpoints come between: each builds on the files of the one before.
    with serving(PYTHON, state, CHECKPOINT_INTERVAL="1") as url:
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
    found = list(differences(known, loaded["answers"], loaded["fresh"]))
    unexpected = [
        text for text in found if text.partition(":")[0] not in loaded["known"]["answers"]
    ]
    assert unexpected == []
    assert len(found) == len(loaded["known"]["answers"]), "known.json names more than there is"


def test_nothing_it_answered_is_an_error_now(loaded: Any) -> None:
    """No read that succeeded then fails now; ``known.json`` excuses none."""
    failing = [
        (name, number, answer)
        for name, answers in loaded["answers"].items()
        for number, answer in enumerate(answers)
        if "error" in answer and "error" not in loaded["expected"][name]["answers"][number]
    ]
    assert failing == []


def test_what_it_holds_can_be_used(loaded: Any) -> None:
    """Changes of every kind of object succeed, not only reads."""
    assert loaded["failures"].keys() == loaded["known"]["uses"].keys(), loaded["failures"]


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
