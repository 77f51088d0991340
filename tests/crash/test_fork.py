"""A checkpoint whose large stores are captured in a child: whatever happens to it, all is kept."""

from __future__ import annotations

import errno
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash.faults import FaultyFiles

from perdure import config
from perdure.engine import forked
from perdure.engine.core import Engine
from perdure.engine.costs import COSTS
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.sharing import SHARING
from perdure.engine.stores import STORES, import_table
from perdure.errors import DurabilityError
from perdure.gateway import cuts
from perdure.gateway.lifecycle import Lifecycle
from perdure.persistence.check import check_directory
from perdure.persistence.checkpoint import Checkpointer
from perdure.persistence.directory import open_directory
from perdure.persistence.files import Files
from perdure.persistence.keys import StoreKey

ACCOUNT, REGION = "000000000000", "us-east-1"
# SQS is large by decree, SNS is small.
SQS, SNS = (StoreKey(module, ACCOUNT, REGION) for module in ("sqs", "sns"))
HERE = os.getpid()


@pytest.fixture(scope="module")
def the_engine() -> Engine:
    return Engine()


@pytest.fixture
def engine(the_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An empty engine that leaves SQS to a child."""
    monkeypatch.setattr(cuts, "BUDGET_SECONDS", 5.0)
    _empty(the_engine)
    COSTS.here.clear()
    COSTS.note(SQS, 9.0)
    yield the_engine
    _empty(the_engine)
    COSTS.here.clear()
    COSTS._seconds.clear()


def _empty(engine: Engine) -> None:
    with ENGINE_LOCK:
        engine._loader = None
        STORES.loader = None
        engine.forget_all()


def store(module: str) -> Any:
    importlib.import_module(f"moto.{module}.models")
    return import_table(module)[ACCOUNT][REGION]


def put(value: str) -> None:
    """Leave a value in a large store and in a small one."""
    with ENGINE_LOCK:
        queues = store("sqs").queues
        if "q" not in queues:
            store("sqs").create_queue("q", {})
        queues["q"].tags["value"] = value
        store("sns").create_topic("t").display_name = value
        COSTS.note(SQS, 9.0)


def get() -> tuple[Any, Any]:
    with ENGINE_LOCK:
        queue, topics = store("sqs").queues.get("q"), list(store("sns").topics.values())
        return queue and queue.tags["value"], topics[0].display_name if topics else None


def opened(engine: Engine, path: Path, files: Files | None = None) -> Lifecycle:
    """A server's state, open, restored."""
    settings = {"DATA_DIR": str(path), "SNAPSHOT_SAVE_STRATEGY": "MANUAL"}
    lifecycle = Lifecycle(config.load(settings), engine, files)
    lifecycle.open()
    lifecycle.restore()
    return lifecycle


def recovered(engine: Engine, path: Path) -> tuple[Any, Any]:
    """What the next start finds."""
    assert check_directory(path).verdict == "clean"
    _empty(engine)
    lifecycle = opened(engine, path)
    found = get()
    lifecycle.close()
    assert leftovers(path) == []
    return found


def leftovers(path: Path) -> list[Path]:
    return list(path.rglob("*.tmp"))


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The children there were."""
    pids: list[int] = []

    def noted(work: Callable[[], bytes]) -> Any:
        child = forked.fork(work)
        assert child is not None
        pids.append(child.pid)
        return child

    monkeypatch.setattr(cuts, "fork", noted)
    return pids


def in_child(monkeypatch: pytest.MonkeyPatch, *, before: Any = None, after: Any = None) -> None:
    """Do something in the child, before or after it has written a store."""
    prepare = Checkpointer.prepare

    def wrapped(*arguments: Any, **named: Any) -> Any:
        assert os.getpid() != HERE, "only a child prepares"
        if before is not None:
            before()
        entry = prepare(*arguments, **named)
        if after is not None:
            after()
        return entry

    monkeypatch.setattr(Checkpointer, "prepare", wrapped)


def test_both_halves_come_back(
    engine: Engine, tmp_path: Path, forks: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """A checkpoint of a child's and the parent's stores is whole after a restart."""
    lifecycle = opened(engine, tmp_path)
    put("x")
    saved = lifecycle.save()
    lifecycle.close()

    assert set(saved.written) >= {SQS, SNS}
    assert len(forks) == 1
    assert caplog.records == []
    assert recovered(engine, tmp_path) == ("x", "x")


def test_what_changes_meanwhile_is_of_the_next_cut(
    engine: Engine, tmp_path: Path, forks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls go on while a child writes; what they change is not in its cut, nor forgotten."""
    lifecycle = opened(engine, tmp_path)
    put("before")
    go_on = tmp_path / "go-on"
    in_child(monkeypatch, before=lambda: wait_for(go_on.exists))
    saving = threading.Thread(target=lifecycle.save)
    saving.start()
    wait_for(lambda: bool(forks))
    put("after")
    assert lifecycle.health()["stores"][str(SQS)]["status"] == "changed"
    go_on.touch()
    saving.join()

    entry = lifecycle.checkpointer.manifest.stores[SQS]
    payload = lifecycle.checkpointer.read(SQS)[0].graph.payload
    assert b"before" in payload
    assert b"after" not in payload
    assert engine.changed() >= {SQS, SNS}
    lifecycle.save()
    assert lifecycle.checkpointer.manifest.stores[SQS].cut > entry.cut
    lifecycle.close()
    assert recovered(engine, tmp_path) == ("after", "after")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_unchanged_large_store_keeps_its_file(
    engine: Engine, tmp_path: Path, forks: list[int]
) -> None:
    """A child that finds nothing changed writes nothing."""
    lifecycle = opened(engine, tmp_path)
    put("x")
    lifecycle.save()
    before = lifecycle.checkpointer.manifest.stores[SQS]
    COSTS.note(SQS, 9.0)
    saved = lifecycle.save(everything=True)
    lifecycle.close()

    assert len(forks) == 2
    assert saved.written == []
    assert lifecycle.checkpointer.manifest.stores[SQS] == before


def test_a_store_that_cannot_be_saved_is_told(
    engine: Engine, tmp_path: Path, forks: list[int]
) -> None:
    """What a child cannot capture fails as it would in process; the others are saved."""
    lifecycle = opened(engine, tmp_path)
    put("old")
    lifecycle.save()
    put("new")
    with ENGINE_LOCK:
        store("sqs").cannot = lambda: 0
    saved = lifecycle.save()
    lifecycle.close()

    assert saved.failed.keys() == {SQS}
    assert "cannot" in str(saved.failed[SQS])
    assert SQS in engine.changed()
    assert len(forks) == 2
    assert recovered(engine, tmp_path) == ("old", "new")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(0)


def hang() -> None:
    time.sleep(600)


def raise_error() -> None:
    raise MemoryError


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fate", [die, leave, hang, raise_error], ids=lambda f: f.__name__)
def test_a_child_that_fails_is_done_without(
    *,
    engine: Engine,
    tmp_path: Path,
    forks: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fate: Callable[[], None],
    when: str,
) -> None:
    """Whatever becomes of the child, the checkpoint is taken in process, and it is said why."""
    monkeypatch.setattr(cuts, "CHILD_SECONDS", 0.5)
    lifecycle = opened(engine, tmp_path)
    put("x")
    in_child(monkeypatch, **{when: fate})
    saved = lifecycle.save()
    lifecycle.close()

    assert set(saved.written) >= {SQS, SNS}
    assert "a forked capture came to nothing" in caplog.text
    assert not Path(f"/proc/{forks[0]}").exists()
    assert leftovers(tmp_path) == []
    assert recovered(engine, tmp_path) == ("x", "x")


def change(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda report: report.update(fields)


def change_entry(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda report: report["entries"][0].update(fields)


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "moves-odd": change(moves=[1]),
    "moves-no-number": change(moves=[["1", None, None]]),
    "moves-nowhere": change(moves=[[1, None, ["..", "a", "b"]]]),
    "moves-known-otherwise": change(moves=[[1, list(SNS), list(SQS)]]),
    "no-entries": change(entries=[]),
    "no-list": change(entries=7),
    "too-much": lambda report: report["unchanged"].append(list(SQS)),
    "too-little": change(entries=[], unchanged=[list(SNS)]),
    "no-key": change(unchanged=["../.."]),
    "empty": lambda report: report.clear(),
    "another-file": change_entry(file="api_states/../../x.state"),
    "another-cut": lambda report: report["entries"][0].update(
        cut=77, file=report["entries"][0]["file"].replace(".1.state", ".77.state")
    ),
    "another-length": change_entry(bytes=3),
    "failed-and-written": change(failed=[{"store": list(SQS), "path": "x", "reason": "x"}]),
    "failed-odd": change(failed=[{"store": list(SQS)}]),
    "costs-odd": change(seconds=[{"store": list(SQS), "us": -1}]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_report_is_believed_only_if_it_fits(
    *,
    engine: Engine,
    tmp_path: Path,
    forks: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lie: str,
) -> None:
    """A report that is not what was asked for is thrown away whole."""
    honest = cuts._json

    def lying(**report: Any) -> bytes:
        document = json.loads(honest(**report))
        LIES[lie](document)
        return json.dumps(document).encode()

    monkeypatch.setattr(cuts, "_json", lying)
    _check_in_process(engine, tmp_path, caplog)
    assert len(forks) == 1


@pytest.mark.parametrize("said", [b"", b"garbage", b"[]", b"{", b"\xff" * 100, b"[" * 100_000])
def test_garbage_is_no_report(
    *,
    engine: Engine,
    tmp_path: Path,
    forks: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said: bytes,
) -> None:
    """Bytes that are no report end in a capture in process."""
    monkeypatch.setattr(cuts, "_json", lambda **_: said)
    _check_in_process(engine, tmp_path, caplog)


def _check_in_process(
    engine: Engine, path: Path, caplog: pytest.LogCaptureFixture, value: str = "x"
) -> None:
    caplog.set_level("INFO")
    lifecycle = opened(engine, path)
    put(value)
    saved = lifecycle.save()
    lifecycle.close()
    assert set(saved.written) >= {SQS, SNS}
    assert saved.failed == {}
    assert "a forked capture came to nothing" in caplog.text
    assert leftovers(path) == []
    assert recovered(engine, path) == (value, value)


def test_a_new_share_is_settled_in_process(
    engine: Engine, tmp_path: Path, forks: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """What only the child found to be shared is one object after a restart, all the same."""
    lifecycle = opened(engine, tmp_path)
    put("x")
    caplog.set_level("INFO")
    with ENGINE_LOCK:
        store("sns").held = store("sqs").queues["q"]
        COSTS.note(SNS, 9.0)
    lifecycle.save()
    lifecycle.close()

    # The object's id is given by a store that goes to the child, too.
    assert "objects are shared that were not before" in caplog.text
    assert recovered(engine, tmp_path) == ("x", "x")
    _empty(engine)
    lifecycle = opened(engine, tmp_path)
    assert store("sns").held is store("sqs").queues["q"]
    COSTS.note(SQS, 9.0)
    store("sqs").queues["q"].tags["value"] = "y"
    caplog.clear()
    lifecycle.save()
    lifecycle.close()
    assert caplog.records == [], "it is known from then on"
    assert len(forks) == 2


def test_a_small_stores_share_of_a_large_ones_object(
    engine: Engine, tmp_path: Path, forks: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """An owner left to a child gets its first referrer: no second capture, and one object."""
    lifecycle = opened(engine, tmp_path)
    put("x")
    lifecycle.save()
    with ENGINE_LOCK:
        store("sns").held = store("sqs").queues["q"]
        COSTS.note(SQS, 9.0)
    saved = lifecycle.save()
    assert set(saved.written) >= {SQS, SNS}
    assert len(forks) == 2
    assert caplog.records == []
    number = SHARING.id_of(store("sqs").queues["q"])
    assert number is not None
    assert SHARING.home(number) == SQS
    lifecycle.close()

    assert recovered(engine, tmp_path) == ("x", "x")
    lifecycle = opened(engine, tmp_path)
    assert store("sns").held is store("sqs").queues["q"]
    lifecycle.close()


def test_a_body_on_disk_is_captured_in_process(
    engine: Engine, tmp_path: Path, forks: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Content in an open file is not the child's to read: it may change under it."""
    import tempfile

    caplog.set_level("INFO")
    lifecycle = opened(engine, tmp_path)
    put("x")
    body = tempfile.SpooledTemporaryFile(max_size=1)  # noqa: SIM115 - the store holds it
    body.write(b"content")
    body.rollover()
    body.seek(2)
    store("sqs").body = body
    lifecycle.save()
    assert "bodies in files on disk" in caplog.text
    assert body.tell() == 2
    put("y")
    lifecycle.save()
    lifecycle.close()
    assert len(forks) == 1, "once is enough to know"
    body.close()

    assert recovered(engine, tmp_path) == ("y", "y")
    lifecycle = opened(engine, tmp_path)
    store("sqs").body.seek(0)
    assert store("sqs").body.read() == b"content"
    store("sqs").body.close()
    lifecycle.close()


# -------------------------------------------------------------------- the disk


@pytest.mark.parametrize("step", ["state.create", "state.write", "state.fsync", "state.mkdir"])
def test_a_full_disk_in_the_child_is_a_full_disk(
    engine: Engine, tmp_path: Path, forks: list[int], step: str
) -> None:
    """The error names the child's step and file; it is not tried again, and nothing is lost."""
    lifecycle = opened(engine, tmp_path / "state")
    put("old")
    if step != "state.mkdir":
        lifecycle.save()
        put("new")
    good = lifecycle.checkpointer.directory.files
    lifecycle.checkpointer.directory.files = FaultyFiles(
        at=1, fault="fail-on", code=errno.ENOSPC, only=step
    )
    before = len(forks)
    with pytest.raises(DurabilityError, match="No space left") as error:
        lifecycle.save()
    assert error.value.step == step
    assert "sqs" in str(error.value.path) or step == "state.mkdir"
    assert len(forks) == before + 1
    assert engine.changed() >= {SQS, SNS}
    assert leftovers(tmp_path) == []
    assert check_directory(tmp_path / "state").verdict == "clean"

    lifecycle.checkpointer.directory.files = good
    COSTS.note(SQS, 9.0)
    lifecycle.save()
    lifecycle.close()
    expected = "old" if step == "state.mkdir" else "new"
    assert recovered(engine, tmp_path / "state") == (expected, expected)


def test_what_a_child_wrote_in_vain_is_removed(
    engine: Engine, tmp_path: Path, forks: list[int]
) -> None:
    """Of two large stores the one that still fitted on the disk gives its space back."""
    lifecycle = opened(engine, tmp_path)
    put("x")
    COSTS.note(SNS, 9.0)
    lifecycle.checkpointer.directory.files = FaultyFiles(
        at=2, fault="fail-on", code=errno.ENOSPC, only="state.write"
    )
    with pytest.raises(DurabilityError, match="sqs"):
        lifecycle.save()
    assert len(forks) == 1
    assert leftovers(tmp_path) == []
    lifecycle.checkpointer.directory.files = Files()
    lifecycle.close()


def test_any_failed_step_leaves_a_whole_checkpoint(
    engine: Engine, tmp_path: Path, forks: list[int]
) -> None:
    """Whatever step fails, the child's or the parent's, the old cut or the new one is whole."""
    for step in itertools.count(1):
        path = tmp_path / str(step)
        _empty(engine)
        lifecycle = opened(engine, path)
        put("old")
        lifecycle.save()
        put("new")
        files = lifecycle.checkpointer.directory.files = FaultyFiles(at=step, fault="fail-once")
        failed = False
        try:
            lifecycle.save()
        except DurabilityError:
            failed = True
        lifecycle.close()

        found = recovered(engine, path)
        assert found == ("new", "new") or (failed and found == ("old", "old")), step
        if not failed and not files.happened:
            assert step > 8
            assert len(forks) == 2 * step
            return


# -------------------------------------------------------------- stops and kills


def test_a_stop_does_not_wait_long_for_a_child(
    engine: Engine, tmp_path: Path, forks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that hangs when the server stops is given up, and the state saved in process."""
    monkeypatch.setattr(cuts, "HURRIED_SECONDS", 0.2)
    lifecycle = opened(engine, tmp_path)
    put("x")
    in_child(monkeypatch, before=hang)
    saving = threading.Thread(target=lifecycle.save)
    saving.start()
    wait_for(lambda: bool(forks))
    lifecycle.finish_soon()
    saving.join(20)
    assert not saving.is_alive()
    put("y")
    lifecycle.save()
    lifecycle.close()

    assert len(forks) == 1
    assert recovered(engine, tmp_path) == ("y", "y")


SERVER = """
import os, sys, time
from pathlib import Path
from tests.crash import test_fork as scene
from perdure.engine.core import Engine
from perdure.persistence.checkpoint import Checkpointer

path, when = Path(sys.argv[1]), sys.argv[2]
lifecycle = scene.opened(Engine(), path)
scene.cuts.BUDGET_SECONDS = 5.0
scene.put("old")
lifecycle.save()
scene.put("new")
prepare, parent = Checkpointer.prepare, os.getpid()

def slow(*arguments, **named):
    entry = prepare(*arguments, **named) if when == "written" else None
    (path.parent / "child").write_text(str(os.getpid()))
    time.sleep(600)

Checkpointer.prepare = slow
lifecycle.save()
"""


@pytest.mark.parametrize("when", ["written", "writing"])
def test_a_killed_parent_takes_its_child_along(engine: Engine, tmp_path: Path, when: str) -> None:
    """After a SIGKILL the directory is free at once, the child gone, its files swept."""
    root = Path(__file__).parents[2]
    source = Path(forked.__file__).parents[2]
    state, marker = tmp_path / "state", tmp_path / "child"
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(state), when],
        env={**os.environ, "PYTHONPATH": f"{source}:{root}"},
        cwd=tmp_path,
    )
    try:
        wait_for(lambda: marker.exists() and bool(marker.read_text()))
        assert bool(leftovers(state)) == (when == "written")
    finally:
        server.kill()
        server.wait()
    # At once: the child let go of LOCK when it began.
    open_directory(state, files=Files(), version="test").close()
    assert recovered(engine, state) == ("old", "old")
    child = Path(f"/proc/{marker.read_text()}/stat")
    wait_for(lambda: not child.exists() or child.read_text().split()[2] == "Z")
