"""Whole files of a stranger, made from real ones: a named error or plain data, in bounds.

Checksums are right in all of them, as a stranger's would be; what is wrong is the
header or the opcodes.  Nothing may run, and a small file may not take much memory.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import tracemalloc
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.coverage.peak import begin_peak, peak_mb

from perdure.engine.policy import POLICY
from perdure.engine.sharing import Sharing
from perdure.errors import CorruptionError, LoadError, PerdureError, StateError
from perdure.persistence import directory, manifest, memory, statefile
from perdure.persistence.reader import Reader
from perdure.persistence.statefile import decode
from perdure.persistence.versions import refuse_newer

GOLDEN = Path(__file__).parents[1] / "golden" / "states"
PATH = Path("stranger.state")
CANARY = "PERDURE_CANARY"
# What headers and JSON documents may take; opcodes have the bound of ``memory.py``.
BYTES_MAX = 48 << 20
RUNNING = {"perdure": "0.1.0", "moto": "5.2.5"}


def real_files() -> list[bytes]:
    """Small stores of several services, as releases wrote them."""
    wanted = ("sqs", "kms", "s3", "iam", "ssm", "process")
    found = [path for path in sorted(GOLDEN.glob("*/state/**/*.state")) if path.parts[-2] in wanted]
    assert len(found) > len(wanted)
    return [path.read_bytes() for path in found]


FILES = real_files()
HEADERS = [
    json.loads(data[statefile.HEADER_AT :][: statefile.PREFIX.unpack_from(data)[2]])
    for data in FILES
]
PAYLOADS = [decode(data, path=PATH).graph.payload for data in FILES]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["moto.server", "os", "system", "..", "/", "99.0.0", "5.1.0", "zstd", 4 << 40, -1, "\0"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


def framed(header: Any, stored: bytes) -> bytes:
    """A file with right checksums around any header."""
    text = json.dumps(header).encode()
    prefix = statefile.PREFIX.pack(statefile.MAGIC, statefile.FORMAT, len(text), zlib.crc32(text))
    return prefix + zlib.crc32(prefix).to_bytes(4, "little") + text + stored


def with_payload(header: dict[str, Any], payload: bytes) -> bytes:
    """A real header around another payload."""
    packed = {
        "packing": "none",
        "stored": len(payload),
        "raw": len(payload),
        "blake2b": blake2b(payload, digest_size=16).hexdigest(),
    }
    return framed(header | {"payload": packed}, payload)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON document."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in entries:
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, name))
        else:
            yield (*path, name)


def changed(document: Any, data: st.DataObject) -> Any:
    """The document with a few values replaced, doubled or taken away."""
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(document))
        if not found:
            break
        *way, last = data.draw(st.sampled_from(found))
        holder = document
        for step in way:
            holder = holder[step]
        if data.draw(st.integers(0, 3)) == 0:
            del holder[last]
        else:
            holder[last] = data.draw(VALUES)
    return document


def read(data: bytes) -> None:
    """Read a file as a start does, to the end: a named error, or plain data."""
    reader = Reader(POLICY, Sharing())
    try:
        state = decode(data, path=PATH)
        refuse_newer(PATH, state.written_by, RUNNING)
        found = reader.load(state, path=PATH)
        assert type(found) is dict
        reader.settle()
    except PerdureError:
        pass
    finally:
        reader.abandon()


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Code that runs would leave this behind; the limit on memory is taken back."""
    monkeypatch.delenv(CANARY, raising=False)
    before = resource.getrlimit(resource.RLIMIT_AS)
    yield
    assert CANARY not in os.environ
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def in_bounds(work: Any, bytes_max: int = BYTES_MAX) -> None:
    """Run, and see that it took no more at its highest."""
    tracemalloc.start()
    try:
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < bytes_max


def test_the_real_ones_are_read() -> None:
    """Files the strangers' ones are made of are whole: what fails below is the change."""
    loaded = 0
    for data in FILES:
        reader = Reader(POLICY, Sharing())
        try:
            reader.load(decode(data, path=PATH), path=PATH)
            loaded += 1
        except LoadError as error:
            # A store that points to itself: it does not live here.
            assert "no store" in str(error)  # noqa: PT017
        finally:
            reader.abandon()
    assert loaded > 5


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_header_ends_in_a_named_error_or_data(data: st.DataObject) -> None:
    """Whatever a header says, with right checksums: a PerdureError or plain data."""
    number = data.draw(st.integers(0, len(FILES) - 1))
    header = changed(HEADERS[number], data)
    start = statefile.HEADER_AT + statefile.PREFIX.unpack_from(FILES[number])[2]

    in_bounds(lambda: read(framed(header, FILES[number][start:])))


COMMAND = f"__import__('os').environ.__setitem__({CANARY!r}, '1')".encode()
PLANTED = st.sampled_from(
    [
        b"cos\nsystem\n(X\x04\0\0\0truetR",
        b"cbuiltins\neval\n(X" + len(COMMAND).to_bytes(4, "little") + COMMAND + b"tR",
        b"r\xff\xff\xff\x7f",
        b"r\0\0\0\x10",
        b"p999999999\n",
        b"\x8d" + (4 << 40).to_bytes(8, "little"),
        b"\x95" + (4 << 40).to_bytes(8, "little"),
        b"\x8b\xff\xff\xff\x7f",
        b"(]" * 50,
        b"2" * 200,
        b"}b",
        b"N}b",
        b"R",
        b"\x81",
        b"\x93",
        b"0",
        b"a",
        b"s",
        b"u",
        b"e",
        b"\x90",
        b"\x94" * 50,
    ]
)


@given(data=st.data())
@settings(max_examples=1500, deadline=None)
def test_any_change_of_opcodes_ends_in_a_named_error_or_data(data: st.DataObject) -> None:
    """Bytes changed, cut out, doubled or planted in a real payload: the same, and none run."""
    number = data.draw(st.integers(0, len(FILES) - 1))
    payload = bytearray(PAYLOADS[number])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(2, max(2, len(payload) - 1)))
        kind = data.draw(st.integers(0, 3))
        if kind == 0 and at < len(payload):
            payload[at] = data.draw(st.integers(0, 255))
        elif kind == 1:
            del payload[at : at + data.draw(st.integers(1, 40))]
        elif kind == 2:
            payload[at:at] = payload[at : at + data.draw(st.integers(1, 200))]
        else:
            payload[at:at] = data.draw(PLANTED)

    in_bounds(
        lambda: read(with_payload(HEADERS[number], bytes(payload))),
        memory.ROOM_BYTES + memory.GROWTH_MAX * len(payload),
    )


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_payloads_of_one_store_under_the_header_of_another(data: st.DataObject) -> None:
    """A payload whose class table is another one's is a PerdureError or plain data."""
    header = data.draw(st.sampled_from(HEADERS))
    payload = data.draw(st.sampled_from(PAYLOADS))
    written = {"perdure": "0.1.0", "moto": data.draw(st.sampled_from(["5.1.0", "5.2.5"]))}

    in_bounds(
        lambda: read(with_payload(header | {"written_by": written}, payload)),
        memory.ROOM_BYTES + memory.GROWTH_MAX * len(payload),
    )


@pytest.mark.parametrize("index", [0x0400_0000, 0x1000_0000, 0x7FFF_FFFF])
@pytest.mark.parametrize("opcode", ["binary", "text"])
def test_a_few_bytes_take_no_memory(index: int, opcode: str) -> None:
    """A payload of ten bytes that asks for gigabytes of memo is refused without them."""
    put = b"r" + index.to_bytes(4, "little") if opcode == "binary" else b"p%d\n" % index
    begin_peak()
    before = peak_mb()
    reader = Reader(POLICY, Sharing())
    state = decode(with_payload(HEADERS[0], b"\x80\x05}" + put + b"."), path=PATH)
    try:
        with pytest.raises(CorruptionError, match="more memory"):
            reader.load(state, path=PATH)
    finally:
        reader.abandon()

    assert peak_mb() - before < 256


# ------------------------------------------------------------ the two JSON files

MANIFESTS = [json.loads(path.read_bytes()) for path in GOLDEN.glob("*/state/manifest.json")]
IDENTITIES = [json.loads(path.read_bytes()) for path in GOLDEN.glob("*/state/perdure.json")]


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_manifest_ends_in_a_named_error_or_is_one(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in it: a StateError, or only files below api_states."""
    inner = changed(data.draw(st.sampled_from(MANIFESTS))["manifest"], data)
    try:
        checksum = manifest._checksum(inner)
    except (TypeError, ValueError):
        checksum = ""
    path = shared_folder(tmp_path_factory)
    (path / manifest.NAME).write_text(json.dumps({"manifest": inner, "blake2b": checksum}))

    def work() -> None:
        try:
            found = manifest.read(path)
            refuse_newer(path, found.written_by, RUNNING)
        except StateError:
            return
        assert all(file.startswith("api_states/") and ".." not in file for file in found.files())

    in_bounds(work)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_identity_ends_in_a_named_error_or_is_one(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in perdure.json: a StateError, or what a directory needs."""
    identity = changed(data.draw(st.sampled_from(IDENTITIES)), data)
    path = shared_folder(tmp_path_factory)
    (path / directory.IDENTITY).write_text(json.dumps(identity))
    try:
        found = directory.read_identity(path)
    except StateError:
        return
    assert {"format", "instance", "created"} <= found.keys()


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_no_json_file(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes of any kind for manifest or identity are a StateError."""
    path, drawn = shared_folder(tmp_path_factory), data.draw(st.binary(max_size=300))
    for name, work in (
        (manifest.NAME, manifest.read),
        (directory.IDENTITY, directory.read_identity),
    ):
        (path / name).write_bytes(drawn)
        with pytest.raises(StateError):
            work(path)


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples."""
    path = tmp_path_factory.getbasetemp() / "strangers"
    path.mkdir(exist_ok=True)
    return path
