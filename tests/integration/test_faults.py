"""Bad directories and damaged files: refused or set aside, named, and nothing lost."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import environment
from perdure.errors import (
    ConfigError,
    CorruptionError,
    ForeignDirectoryError,
    FormatVersionError,
    HostileStateError,
    LoadError,
    LockedError,
    LostManifestError,
    NewerVersionError,
    UnusableDirectoryError,
)
from perdure.persistence import manifest as manifests
from perdure.persistence import statefile, wire
from perdure.persistence.check import check_directory
from perdure.persistence.files import Files

SQS = "000000000000/sqs/us-east-1"
SECRETS = "000000000000/secretsmanager/us-east-1"


def listing(folder):
    """Every file below a folder with a hash, and every folder."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(folder.rglob("*"))
        if path.name != "LOCK"  # names its owner; holds no state
    }


@pytest.fixture(scope="module")
def saved(start_in_module, tmp_path_factory):
    """A state directory with a queue and a secret in it.  Tests work on copies."""
    state = tmp_path_factory.mktemp("saved") / "state"
    server = start_in_module(state)
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="kept")
    server.client("secretsmanager").create_secret(Name="secret", SecretString="kept")
    assert server.stop() == 0
    return state


@pytest.fixture
def state(saved, tmp_path):
    """A copy of ``saved``."""
    return shutil.copytree(saved, tmp_path / "state")


def file_of(state, store):
    """The live file of a store."""
    live = manifests.read(state)
    return next(state / entry.file for key, entry in live.stores.items() if str(key) == store)


def perdure(home, *arguments):
    """Run the command line to its end."""
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "perdure", *map(str, arguments)],
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_refused(server, error, *said):
    """It ends with the error's exit code, its message, a next step, and no traceback."""
    code, log = server.refuse()
    assert code == error.exit_code, log
    assert "error: " in log
    assert "hint: " in log
    assert "Traceback" not in log
    for text in said:
        assert str(text) in log


# ------------------------------------------------------- the directory itself


def test_file_as_directory(start, tmp_path):
    """A DATA_DIR that is a file, or lies under one, is refused and the file kept."""
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "below"):
        assert_refused(start(path, ready=False), UnusableDirectoryError, path)
    assert file.read_text() == "mine"


def test_unwritable_directory(start):
    """A DATA_DIR that nobody may write to is refused with the next step."""
    path = Path("/proc/perdure-cannot-be-here")
    assert_refused(start(path, ready=False), UnusableDirectoryError, path, "DATA_DIR")


@contextlib.contextmanager
def mounted(folder, *options):
    """A small file system of its own, or the test is skipped."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"may not mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_read_only_disk(start, tmp_path):
    """A DATA_DIR on a read-only disk is refused."""
    with mounted(tmp_path / "disk", "ro", "size=1m") as disk:
        assert_refused(start(disk / "state", ready=False), UnusableDirectoryError, disk)
        assert listing(disk) == {}


def fill(disk):
    """Leave no space on a disk; the file that takes it."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return ballast


def test_full_disk_at_the_first_start(start, tmp_path):
    """A new DATA_DIR on a full disk is refused, and nothing is left behind."""
    with mounted(tmp_path / "disk", "size=64k") as disk:
        fill(disk)
        before = listing(disk)
        assert_refused(start(disk / "a" / "b", ready=False), UnusableDirectoryError, disk, "space")
        assert listing(disk) == before


def test_full_disk_during_a_save(start, tmp_path):
    """A save that finds no space keeps the old checkpoint, says so, and is made up for."""
    with mounted(tmp_path / "disk", "size=1m") as disk:
        # A journal meets a full disk in its own way: test_journal.py.
        server = start(disk / "state", SNAPSHOT_SAVE_STRATEGY="ON_SHUTDOWN")
        try:
            sqs = server.client("sqs")
            url = sqs.create_queue(QueueName="q")["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody="old")
            server.save()
            before = listing(disk / "state")
            ballast = fill(disk)
            for _ in range(20):
                sqs.send_message(QueueUrl=url, MessageBody=os.urandom(4000).hex())
            status, body = server.ask("/_localstack/state/save", method="POST")
            assert status == 500
            assert "space" in json.loads(body)["message"]
            document = server.health()
            assert document["features"]["persistence"] == "error"
            assert "space" in document["persistence"]["reason"]
            assert document["persistence"]["stores"][SQS]["status"] == "changed"
            assert listing(disk / "state") == before
            # What is in memory still answers, and is saved once there is space.
            assert _count(sqs, url) == 21
            ballast.unlink()
            server.save()
            assert server.health()["features"]["persistence"] == "initialized"
            server.kill()
            server.start()
            assert _count(sqs, url) == 21
            # And with no space at all, a kill leaves the last checkpoint.
            fill(disk)
            sqs.send_message(QueueUrl=url, MessageBody=os.urandom(100_000).hex())
            assert server.ask("/_localstack/state/save", method="POST")[0] == 500
            server.kill()
            server.start()
            assert _count(sqs, url) == 21
        finally:
            server.kill()


def _count(sqs, url):
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(asked["ApproximateNumberOfMessages"])


def test_newer_directory(start, state):
    """A directory of a newer format is refused, naming both formats, and not touched."""
    identity = json.loads((state / "perdure.json").read_text())
    (state / "perdure.json").write_text(json.dumps({**identity, "format": 99}))
    before = listing(state)
    assert_refused(start(state, ready=False), FormatVersionError, "99", "up to 1")
    assert listing(state) == before


def test_newer_manifest(start, state):
    """A manifest of a newer format is refused and not touched."""
    document = json.loads((state / "manifest.json").read_text())
    document["manifest"]["format"] = 99
    (state / "manifest.json").write_text(json.dumps(document))
    before = listing(state)
    assert_refused(start(state, ready=False), FormatVersionError, "99")
    assert listing(state) == before


def test_locked_directory(start, tmp_path):
    """A directory another server uses is refused, naming that process."""
    first = start(tmp_path / "state", SNAPSHOT_SAVE_STRATEGY="ON_SHUTDOWN")
    before = listing(tmp_path / "state")
    second = start(tmp_path / "state", ready=False)
    assert_refused(second, LockedError, f"process {first.process.pid}")
    assert listing(tmp_path / "state") == before
    first.client("sqs").create_queue(QueueName="still-works")
    first.kill()
    # A lock ends with its process, so what a kill leaves behind is no lock.
    assert second.start().health()["features"]["persistence"] == "initialized"


@pytest.mark.parametrize(
    "files",
    [
        ["recorded_api_calls.json"],
        ["state/api_states/000000000000/sqs/us-east-1/backend_state", "cache/machine.json"],
        ["api_states/000000000000/sqs/us-east-1/backend_state"],
        ["thesis.tex"],
    ],
    ids=["localstack-0", "localstack-1", "localstack-pro", "something-else"],
)
def test_foreign_directory(start, tmp_path, files):
    """A directory that holds something else is refused, named, and not touched."""
    folder = tmp_path / "volume"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    before = listing(folder)
    word = "thesis.tex" if files == ["thesis.tex"] else "LocalStack"
    assert_refused(start(folder, ready=False), ForeignDirectoryError, word, folder)
    assert listing(folder) == before
    assert not (folder / "LOCK").exists()


# --------------------------------------------------------------- the manifest


def flip(path, at=None):
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0x04
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["manifest.json", "perdure.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_root_files(start, state, name, damage):
    """A damaged manifest or identity refuses to start, for what is live is not known."""
    path = state / name
    text = path.read_bytes()
    path.write_bytes({"cut": text[: len(text) // 2], "empty": b"", "text": b"[1, 2]"}[damage])
    before = listing(state)
    assert_refused(start(state, ready=False), CorruptionError, path, "perdure check")
    assert listing(state) == before


def test_changed_manifest(start, state):
    """A manifest whose content does not fit its checksum refuses to start."""
    path = state / "manifest.json"
    document = json.loads(path.read_text())
    document["manifest"]["cut"] += 1
    path.write_text(json.dumps(document))
    before = listing(state)
    assert_refused(start(state, ready=False), CorruptionError, path, "checksum")
    assert listing(state) == before


def test_newer_writer(start, state):
    """A directory that a newer moto wrote is refused, naming both, and not touched."""
    live = manifests.read(state)
    newer = {**live.written_by, "moto": "99.1.0"}
    manifests.publish(Files(), state, replace(live, written_by=newer))
    before = listing(state)
    running = live.written_by["moto"]
    assert_refused(start(state, ready=False), NewerVersionError, "moto 99.1.0", f"moto {running}")
    assert listing(state) == before
    assert perdure(state.parent / "home", "check", state).returncode == NewerVersionError.exit_code


def forged(state, **changes):
    """The manifest with other fields, under a right checksum."""
    path = state / "manifest.json"
    inner = json.loads(path.read_text())["manifest"] | changes
    path.write_text(json.dumps({"manifest": inner, "blake2b": manifests._checksum(inner)}))


def test_a_forged_manifest_deletes_nothing(start, state):
    """A manifest of wrong types is refused; an emptied one costs no state file."""
    before = listing(state)
    kept = {digest for file, digest in before.items() if file.endswith(".state")}
    whole = (state / "manifest.json").read_bytes()
    for name, value in (("stores", {}), ("process", None), ("format", "1"), ("cut", 10**40)):
        forged(state, **{name: value})
        assert_refused(start(state, ready=False), CorruptionError, f"manifest.{name}", "a backup")
        (state / "manifest.json").write_bytes(whole)
        assert listing(state) == before
    forged(state, stores=[])
    server = start(state)
    assert "WARNING" in server.log
    assert "set aside in quarantine/" in server.log
    assert server.stop() == 0
    assert kept <= set(listing(state).values())


def test_a_nested_identity(start, state, tmp_path):
    """Brackets without end in perdure.json are damage, to a start and to a check."""
    (state / "perdure.json").write_bytes(b"[" * 60_000)
    assert_refused(start(state, ready=False), CorruptionError, "perdure.json", "nesting")
    checked = perdure(tmp_path / "cli", "check", state)
    assert checked.returncode == CorruptionError.exit_code
    assert "Traceback" not in checked.stderr


# ------------------------------------------------- links, FIFOs and the like


def _outside(state, name):
    """Put what stands in the state directory outside of it, and a link in its place."""
    outside = state.parent / "outside"
    (state / name).rename(outside)
    (state / name).symlink_to(outside)


@pytest.mark.parametrize("name", ["LOCK", "api_states", "manifest.json", "api_states/000000000000"])
def test_a_link_inside_is_not_followed(start, state, tmp_path, name):
    """Whatever is a link, the start is refused, and nothing is written or deleted behind it."""
    (state / "LOCK").write_text("important")
    _outside(state, name)
    before = listing(tmp_path)
    refusal = start(state, ready=False)
    assert_refused(refusal, UnusableDirectoryError, f"{name} is a symbolic link")
    assert {**listing(tmp_path), **before} == listing(tmp_path)
    if name == "LOCK":
        assert (tmp_path / "outside").read_text() == "important"
    assert perdure(tmp_path / "cli", "check", state).returncode == UnusableDirectoryError.exit_code


@pytest.mark.parametrize("name", ["perdure.json", "manifest.json"])
def test_a_fifo_is_not_waited_for(start, state, name):
    """A FIFO in the place of a file that is always read refuses the start at once."""
    (state / name).unlink()
    os.mkfifo(state / name)
    assert_refused(start(state, ready=False), CorruptionError, "expected a regular file", "a FIFO")


def test_a_fifo_for_a_store(start, state):
    """A FIFO in the place of a state file sets its store aside; the others work."""
    path = file_of(state, SQS)
    path.unlink()
    os.mkfifo(path)
    assert [f.verdict for f in check_directory(state).findings] == ["corrupt"]
    assert_set_aside(start(state), reason="expected a regular file, found a FIFO")


# ------------------------------------------------------------ damaged stores


def rewritten(state, store, change):
    """One store's file and its entry, changed as who writes them would."""
    live = manifests.read(state)
    key = next(key for key in live.stores if str(key) == store)
    path = state / live.stores[key].file
    data = statefile.encode(change(statefile.decode(path.read_bytes(), path=path)))
    path.write_bytes(data)
    checksum = blake2b(data, digest_size=16).hexdigest()
    entry = replace(live.stores[key], bytes=len(data), checksum=checksum)
    manifests.publish(Files(), state, replace(live, stores={**live.stores, key: entry}))


def assert_set_aside(server, store=SQS, *, reason):
    """One store is quarantined and says why; its calls are 503; the other service works."""
    module = store.split("/")[1]
    server.wait_until(lambda: server.stores()[store]["status"] == "quarantined", "quarantined")
    document = server.health()
    assert reason in document["persistence"]["stores"][store]["reason"]
    assert document["features"]["persistence"] == "error"
    assert store in document["persistence"]["reason"]
    assert document["services"][module] == "error"
    assert f"store {store} is quarantined" in server.log
    with pytest.raises(ClientError, match="set aside") as refused:
        server.client("sqs").list_queues()
    metadata = refused.value.response["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], metadata["RetryAttempts"]) == (503, 0)
    assert "perdure state reset" in refused.value.response["Error"]["Message"]
    found = server.client("secretsmanager").get_secret_value(SecretId="secret")
    assert found["SecretString"] == "kept"
    # Other accounts' and regions' stores are stores of their own.
    server.client("sqs", region="eu-west-1").create_queue(QueueName="elsewhere")


def _flip_payload(path):
    flip(path, at=-5)


def _flip_header(path):
    flip(path, at=40)


def _flip_prefix(path):
    flip(path, at=13)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def _empty(path):
    path.write_bytes(b"")


def _append(path):
    path.write_bytes(path.read_bytes() + b"\0")


DAMAGES = [_flip_payload, _flip_header, _flip_prefix, _truncate, _empty, _append]


def test_every_damage_is_noticed(start, state, tmp_path):
    """Whatever is wrong with a state file, it is found before anything is built from it."""
    for damage in DAMAGES:
        copy = shutil.copytree(state, tmp_path / damage.__name__)
        path = file_of(copy, SQS)
        damage(path)
        found = [f.path for f in check_directory(copy).findings]
        assert found == [path.relative_to(copy).as_posix()], damage
    # As many stores of one directory, one damage each: the server sets all of them aside.
    server = start(state, SNAPSHOT_SAVE_STRATEGY="MANUAL")
    accounts = [f"{number:012d}" for number in range(1, len(DAMAGES) + 1)]
    for account in accounts:
        server.client("sqs", key=account).create_queue(QueueName="queue")
    server.save()
    assert server.stop() == 0
    for account, damage in zip(accounts, DAMAGES, strict=True):
        damage(file_of(state, f"{account}/sqs/us-east-1"))
    before = listing(state)
    server.start()
    for account in accounts:
        with pytest.raises(ClientError, match="set aside"):
            server.client("sqs", key=account).list_queues()
        assert server.stores()[f"{account}/sqs/us-east-1"]["status"] == "quarantined"
    assert len(server.client("sqs").list_queues()["QueueUrls"]) == 1
    assert listing(state) == before


@pytest.mark.parametrize("strategy", ["ON_REQUEST", "ON_STARTUP"])
def test_damaged_store_until_it_is_reset(start, state, tmp_path, strategy):
    """A damaged state file sets its store aside, keeps the bytes, and a reset recovers."""
    path = file_of(state, SQS)
    flip(path, at=-5)
    damaged = path.read_bytes()
    checked = perdure(tmp_path / "cli", "check", state)
    assert checked.returncode == CorruptionError.exit_code, checked.stderr
    assert path.name in checked.stdout
    server = start(state, SNAPSHOT_LOAD_STRATEGY=strategy)
    assert_set_aside(server, reason=path.name)
    assert path.read_bytes() == damaged
    # Neither a save nor a restart forgets it.
    server.restart()
    assert_set_aside(server, reason=path.name)
    done = perdure(server.home, "state", "reset", "sqs", "--listen", f"127.0.0.1:{server.port}")
    assert done.returncode == 0, done.stderr
    assert damaged in [p.read_bytes() for p in (state / "quarantine").iterdir()]
    assert server.health()["features"]["persistence"] == "initialized"
    server.client("sqs").create_queue(QueueName="fresh")
    server.restart()
    assert len(server.client("sqs").list_queues()["QueueUrls"]) == 1
    assert server.stop() == 0
    assert perdure(tmp_path / "cli", "check", state).returncode == 0


def test_missing_state_file(start, state):
    """A state file that is gone sets its store aside; it is never taken for empty."""
    file_of(state, SQS).unlink()
    assert [f.verdict for f in check_directory(state).findings] == ["missing"]
    server = start(state)
    assert_set_aside(server, reason="No such file")
    assert server.ask("/_localstack/state/sqs/reset", method="POST")[0] == 200
    assert "QueueUrls" not in server.client("sqs").list_queues()


def test_swapped_state_files(start, state):
    """Two whole files in each other's place set both stores aside: neither is what it says."""
    first, second = file_of(state, SQS), file_of(state, SECRETS)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert [f.verdict for f in check_directory(state).findings] == ["corrupt", "corrupt"]
    server = start(state)
    for store in (SQS, SECRETS):
        server.wait_until(
            lambda store=store: server.stores()[store]["status"] == "quarantined", "quarantined"
        )
    for call in (
        server.client("sqs").list_queues,
        server.client("secretsmanager").list_secrets,
    ):
        with pytest.raises(ClientError, match="set aside"):
            call()
    server.client("sns").create_topic(Name="works")


def test_damaged_process_file(start, state):
    """Damage to what belongs to no store refuses to start, and names the file."""
    process = manifests.read(state).process
    assert process is not None
    flip(state / process.file, at=-5)
    before = listing(state)
    refused = start(state, ready=False)
    assert_refused(refused, CorruptionError, Path(process.file).name, "restore the file")
    assert "state reset" not in refused.log
    assert listing(state) == before


@pytest.mark.parametrize(
    ("graph", "error"),
    [
        (statefile.Graph(pickle.dumps(print), ()), HostileStateError),
        (statefile.Graph(pickle.dumps({}), (("moto.s3.models", "Gone"),)), LoadError),
    ],
    ids=["hostile", "of another moto"],
)
def test_process_file_that_cannot_be_loaded(start, state, tmp_path, graph, error):
    """What belongs to no store cannot be reset: the start is refused, and says what to do."""
    live = manifests.read(state)
    path = state / live.process.file
    old = statefile.decode(path.read_bytes(), path=path)
    data = statefile.encode(replace(old, graph=graph))
    path.write_bytes(data)
    checksum = blake2b(data, digest_size=16).hexdigest()
    process = replace(live.process, bytes=len(data), checksum=checksum)
    manifests.publish(Files(), state, replace(live, process=process))
    before = listing(state)
    # The files are whole: that is all a check can know, and it says so.
    checked = perdure(tmp_path / "cli", "check", state)
    assert checked.returncode == 0
    assert "payloads are not loaded" in checked.stdout
    refused = start(state, ready=False)
    assert_refused(refused, error, "backup")
    assert "state reset" not in refused.log
    assert listing(state) == before


# ------------------------------------------------------------ hostile stores


FRAME_BYTES = 2 + 9  # PROTO and FRAME, which stand at the start of a pickle


class Call:
    """Pickled, a call of something: what a hostile file asks for."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def plain(value):
    return pickle.dumps(value, protocol=5)


def by_name(module, name, *arguments):
    """A call of a name that cannot be imported here, or not without harm."""
    code = b"\x80\x04c" + f"{module}\n{name}\n".encode() + b"("
    for argument in arguments:
        data = argument.encode()
        code += b"X" + struct.pack("<I", len(data)) + data
    return code + b"tR."


def build(start, state):
    """A dict that holds an object, with BUILD on it: sets attributes on whatever that is."""
    attributes = pickle.dumps(state, protocol=4)[FRAME_BYTES:-1]
    return b"\x80\x04}X\x01\x00\x00\x00a" + start + attributes + b"bs."


def wire_call(name, *arguments):
    """A call of one of the names of the wire format."""
    return pickle.dumps(Call(getattr(wire, f"perdure_{name}"), *arguments), protocol=4)[
        FRAME_BYTES:-1
    ]


def hostile(mark):
    """Payloads that would create the file ``mark``, or change something, if they ran."""
    touch = f"touch {mark}"
    nested = {"a": [{"b": (1, Call(os.system, touch))}]}
    return {
        "os.system": plain(Call(os.system, touch)),
        "posix.system": by_name("posix", "system", touch),
        "nested": plain(nested),
        "eval": plain(Call(builtins.eval, f"open({str(mark)!r}, 'w')")),
        "getattr": plain(Call(builtins.getattr, "text", "format")),
        "open": plain(Call(builtins.open, str(mark), "w")),
        "subprocess": by_name("subprocess", "getoutput", touch),
        "import": by_name("importlib", "import_module", "this"),
        "moto function": by_name("moto.core.utils", "get_equivalent_url_in_aws_domain", "x"),
        "moto class": by_name("moto.sqs.models", "Queue", "name", "region", "account"),
        "dotted": by_name("moto.sqs.models", "os.system", touch),
        "our own": by_name("perdure.persistence.files", "Files"),
        "wire module": by_name("perdure.persistence.wire", "Any"),
        "pickle in a string": plain(Call(pickle.loads, plain(Call(os.system, touch)))),
        "build on a module": build(b"cos\npath\n", {"system": "gone"}),
        "inert of code": plain({"a": Call(wire.perdure_inert, "system", touch)}),
        "build on a type": build(b"cdatetime\ndatetime\n", {"now": "gone"}),
        "build on a wire name": build(
            b"cperdure.persistence.wire\nperdure_new\n", {"_run": "gone"}
        ),
        "build on a table": build(wire_call("pointer", "table", "sqs"), {"backend": "gone"}),
        "build on an enum": build(wire_call("member", 0, "HMAC_256"), {"_value_": "gone"}),
        "special of code": plain({"a": Call(wire.perdure_special, "thread-of-mine", touch)}),
        "factory of code": plain({"a": Call(wire.perdure_factory, "os:system")}),
        "class of another package": plain({"a": Call(wire.perdure_new, 1)}),
        "class index": plain({"a": Call(wire.perdure_new, 10_000)}),
        "not a dict": plain([1, 2, 3]),
        "no pickle": b"perfectly harmless text",
    }


NAMES = list(hostile(Path("x")))


@pytest.fixture(scope="module")
def hostile_server(saved, start_in_module, tmp_path_factory):
    """One server with a hostile file per region of SQS, each valid by every checksum."""
    from botocore.session import get_session

    folder = tmp_path_factory.mktemp("hostile")
    state = shutil.copytree(saved, folder / "state")
    marks = folder / "marks"
    marks.mkdir()
    live = manifests.read(state)
    template = next(e for k, e in live.stores.items() if k.module == "sqs")
    good = statefile.decode((state / template.file).read_bytes(), path=state)
    regions = get_session().get_available_regions("sqs")
    cases = {}
    stores = dict(live.stores)
    for region, name in zip((r for r in regions if r != "us-east-1"), NAMES, strict=False):
        payload = hostile(marks / region)[name]
        classes = [("moto.dynamodb.models.table_export", "Nothing")]
        if name == "build on an enum":
            classes = [("moto.kms.utils", "KeySpec")]
        if name == "class of another package":
            classes = [("moto.sqs.models", "Queue"), ("subprocess", "Popen")]
        if not name.startswith(("class", "build on an enum")):
            classes = []
        key = template.key._replace(region=region)
        graph = statefile.Graph(payload, tuple(classes))
        data = statefile.encode(statefile.StateFile(key, good.cut, good.written_by, graph))
        file = manifests.file_for(key, good.cut)
        (state / file).write_bytes(data)
        stores[key] = replace(
            template,
            key=key,
            file=file,
            bytes=len(data),
            checksum=blake2b(data, digest_size=16).hexdigest(),
            digest=graph.digest,
            entries=(),
        )
        cases[name] = region
    assert cases.keys() == set(NAMES)
    manifests.publish(Files(), state, replace(live, stores=stores))
    return start_in_module(state, SNAPSHOT_SAVE_STRATEGY="MANUAL"), cases, marks


@pytest.mark.parametrize("name", NAMES)
def test_hostile_payload_runs_nothing(hostile_server, name):
    """A payload that asks for code is set aside with a reason, and nothing of it has run."""
    server, cases, marks = hostile_server
    region = cases[name]
    with pytest.raises(ClientError, match="set aside"):
        server.client("sqs", region=region).list_queues()
    store = server.stores()[f"000000000000/sqs/{region}"]
    assert store["status"] == "quarantined"
    assert store["reason"]
    assert list(marks.iterdir()) == []
    # What it tried to change is as it was: the server still makes and reads queues.
    sqs = server.client("sqs")
    assert [u.rpartition("/")[2] for u in sqs.list_queues()["QueueUrls"]] == ["queue"]


def test_hostile_neighbours_do_no_harm(hostile_server):
    """Beside hostile files the state of the others is whole and saved as before."""
    server, cases, marks = hostile_server
    for region in cases.values():
        with contextlib.suppress(ClientError):
            server.client("sqs", region=region).list_queues()
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName="queue")["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    assert [m["Body"] for m in found] == ["kept"]
    secret = server.client("secretsmanager").get_secret_value(SecretId="secret")
    assert secret["SecretString"] == "kept"
    key = server.client("kms").create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    assert key["KeyMetadata"]["KeySpec"] == "HMAC_256"  # the enumeration was not changed
    lines = server.ask("/_localstack/state/save", method="POST")[1].splitlines()
    assert {"service": "secretsmanager", "status": "ok"} in [json.loads(line) for line in lines]
    assert list(marks.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("SERVICES", "s3s"), ("DEFAULT_REGION", "mars")])
def test_a_name_only_the_engine_knows_is_refused(start, tmp_path, name, value):
    """A service or region that does not exist stops the start and is named."""
    server = start(tmp_path / "state", ready=False, **{name: value})
    assert_refused(server, ConfigError, name, value)


def test_a_lost_manifest_refuses_the_start(start, state):
    """Without the file that says which state files are live, nothing is served as empty."""
    (state / "manifest.json").unlink()
    before = listing(state)
    assert_refused(start(state, ready=False), LostManifestError, "manifest.json")
    assert listing(state) == before


def test_store_of_a_newer_moto(start, state):
    """One store's file that a newer moto wrote is set aside, naming both versions."""
    rewritten(state, SQS, lambda old: replace(old, written_by={**old.written_by, "moto": "99.1.0"}))
    assert_set_aside(start(state), reason="moto 99.1.0")


def test_store_of_an_older_moto(start, state):
    """One store's file that an older moto wrote is loaded; health says that nothing lacks."""

    def older(old):
        graph = replace(old.graph, incomplete=("Queue.something",))
        rows = [
            row._replace(attributes=tuple(n for n in row.attributes if n != "_name"))
            for row in graph.classes
        ]
        graph = replace(graph, classes=tuple(rows))
        return replace(old, graph=graph, written_by={**old.written_by, "moto": "5.2.4"})

    rewritten(state, SQS, older)
    server = start(state)
    assert server.client("sqs").list_queues()["QueueUrls"]
    assert server.stores()[SQS]["status"] != "quarantined"
    assert server.stores()[SQS]["incomplete"] == []
