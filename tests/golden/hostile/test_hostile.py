"""Files of a stranger: each is refused by name, and none runs a line of code.

Every file is built here, byte by byte, when the test runs: none lies on disk where
somebody could load it.  ``payload`` holds the opcodes, ``state_file`` puts them into
a frame whose checksums are right, as a stranger would.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from perdure.engine.policy import POLICY
from perdure.engine.sharing import Sharing
from perdure.errors import CorruptionError, FormatVersionError, HostileStateError, LoadError
from perdure.persistence import manifest, statefile, wire
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.reader import Reader
from perdure.persistence.statefile import Graph, StateFile, decode, encode

KEY = StoreKey("sqs", "000000000000", "us-east-1")
CANARY = "PERDURE_CANARY"
QUEUE = ("moto.sqs.models", "Queue")
MESSAGE = ("moto.sqs.models", "Message")


def glob(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def wired(name: str, *arguments: bytes) -> bytes:
    return glob(wire.__name__, f"perdure_{name}") + b"(" + b"".join(arguments) + b"tR"


def number(value: int) -> bytes:
    return b"K" + bytes([value])


def whole_number(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 8) // 8, "little")
    return b"\x8a" + bytes([len(data)]) + data


def part(*numbers: int) -> bytes:
    """A part of a blob: its size, where it begins, how long it is."""
    return b"(" + text("ab" * 32) + b"".join(map(whole_number, numbers)) + b"l"


def body_of(*parts: bytes) -> bytes:
    return wired("special", text("body"), b"(" + b"".join(parts) + b"l")


def payload(*opcodes: bytes) -> bytes:
    """A dict of attributes, with something done on the way."""
    return b"\x80\x05}" + b"".join(opcodes) + b"0."


def state_file(
    body: bytes, classes: tuple[tuple[str, str], ...] = (QUEUE, MESSAGE)
) -> Callable[[Path], bytes]:
    return lambda _: encode(StateFile(KEY, Lsn(1), {}, Graph(body, classes)))


def calling(module: str, name: str, *arguments: bytes) -> Callable[[Path], bytes]:
    return state_file(payload(glob(module, name), b"(", *arguments, b"tR"))


def shell_command(canary: Path) -> bytes:
    command = text(f"touch {canary}")
    body = payload(glob("os", "system"), b"(", command, b"tR")
    return encode(StateFile(KEY, Lsn(1), {}, Graph(body, ())))


def framed(header: Any, stored: bytes = b"", version: int = 1, **prefix: int) -> Any:
    """A file of any header, its checksums right unless said otherwise."""

    def build(_: Path) -> bytes:
        data = header if isinstance(header, bytes) else json.dumps(header).encode()
        length, crc = prefix.get("length", len(data)), prefix.get("crc", zlib.crc32(data))
        start = statefile.PREFIX.pack(statefile.MAGIC, version, length, crc)
        return start + zlib.crc32(start).to_bytes(4, "little") + data + stored

    return build


def header(stored: bytes, /, **changes: Any) -> dict[str, Any]:
    packed = {
        "packing": changes.pop("packing", "none"),
        "stored": changes.pop("stored", len(stored)),
        "raw": changes.pop("raw", len(stored)),
        "blake2b": changes.pop("blake2b", blake2b(stored, digest_size=16).hexdigest()),
    }
    return {
        "store": list(KEY),
        "cut": 1,
        "written_by": {},
        "classes": [],
        "incomplete": [],
        "shares": {"stores": [], "imports": [], "exports": []},
        "payload": packed,
    } | changes


EVAL = text(f"__import__('os').environ.__setitem__({CANARY!r}, '1')")
# A payload in which nothing is wrong.
NOTHING = b"\x80\x05}."
NEW_QUEUE = wired("new", number(0))
HOSTILE: dict[str, tuple[Callable[[Path], bytes], type[Exception]]] = {
    "os.system": (shell_command, HostileStateError),
    "posix.system": (calling("posix", "system", text("true")), HostileStateError),
    "subprocess": (calling("subprocess", "run", text("true")), HostileStateError),
    "eval": (calling("builtins", "eval", EVAL), HostileStateError),
    "exec": (calling("builtins", "exec", EVAL), HostileStateError),
    "getattr": (calling("builtins", "getattr", NEW_QUEUE, text("x")), HostileStateError),
    "setattr": (calling("builtins", "setattr", NEW_QUEUE, text("x"), EVAL), HostileStateError),
    "open": (calling("builtins", "open", text("/etc/passwd")), HostileStateError),
    "import": (calling("builtins", "__import__", text("os")), HostileStateError),
    "importlib": (calling("importlib", "import_module", text("os")), HostileStateError),
    "partial": (calling("functools", "partial", text("x")), HostileStateError),
    "reduce of reduce": (
        state_file(payload(glob("builtins", "map"), b"(", glob("os", "system"), b"tR")),
        HostileStateError,
    ),
    "copyreg": (calling("copyreg", "_reconstructor", NEW_QUEUE), HostileStateError),
    "pickle.loads": (calling("pickle", "loads", text("x")), HostileStateError),
    "moto function": (calling("moto.core.utils", "utcnow"), HostileStateError),
    "moto class": (calling("moto.sqs.models", "Queue", text("x")), HostileStateError),
    "moto table": (calling("moto.sqs.models", "sqs_backends"), HostileStateError),
    "engine": (calling("perdure.engine.core", "Engine"), HostileStateError),
    "reader's own": (calling("perdure.persistence.reader", "Reader"), HostileStateError),
    "wire's own": (calling(wire.__name__, "_only_named"), HostileStateError),
    "wire's globals": (calling(wire.__name__, "perdure_new.__globals__"), HostileStateError),
    "a datetime's method": (calling("datetime", "datetime.fromtimestamp"), HostileStateError),
    "stack global": (
        state_file(payload(text("os"), text("system"), b"\x93")),
        HostileStateError,
    ),
    "inst": (state_file(payload(b"(" + text("true") + b"ios\nsystem\n")), HostileStateError),
    "obj": (state_file(payload(b"(" + glob("os", "system") + text("x") + b"o")), HostileStateError),
    "newobj": (state_file(payload(glob("os", "_Environ") + b")\x81")), HostileStateError),
    "newobj_ex": (state_file(payload(glob("os", "_Environ") + b")}\x92")), HostileStateError),
    "extension": (state_file(payload(b"\x82\x01")), CorruptionError),
    "persistent id": (state_file(payload(b"Px\n")), CorruptionError),
    "buffer": (state_file(payload(b"\x97")), CorruptionError),
    "calls a shell": (state_file(payload(NEW_QUEUE, b")R")), CorruptionError),
    "calls a string": (state_file(payload(text("x"), b")R")), CorruptionError),
    "sets on a wire name": (
        state_file(
            payload(glob(wire.__name__, "perdure_new"), b"}", text("_run"), text("x"), b"sb")
        ),
        CorruptionError,
    ),
    "sets on a type": (
        state_file(payload(glob("datetime", "datetime"), b"}", text("now"), text("x"), b"sb")),
        HostileStateError,
    ),
    "a factory": (state_file(payload(wired("factory", text("eval")))), HostileStateError),
    "a factory by path": (
        state_file(payload(wired("factory", text("os:system")))),
        HostileStateError,
    ),
    "a factory of moto": (
        state_file(payload(wired("factory", text("moto.core.utils:utcnow")))),
        HostileStateError,
    ),
    "a special": (state_file(payload(wired("special", text("system")))), LoadError),
    "a special's size": (
        state_file(payload(wired("special", text("bytearray"), b"J\xff\xff\xff\x7f"))),
        CorruptionError,
    ),
    "an inert type's argument": (
        state_file(payload(wired("inert", text("datetime.datetime"), text("x")))),
        CorruptionError,
    ),
    "no inert type": (
        state_file(payload(wired("inert", text("os.system"), text("true")))),
        HostileStateError,
    ),
    "a pointer": (
        state_file(payload(wired("pointer", text("store"), text("os"), text("0"), text("x")))),
        LoadError,
    ),
    "a pointer to a module": (
        state_file(payload(wired("pointer", text("table"), text("server")))),
        LoadError,
    ),
    "no dict": (state_file(b"\x80\x05]."), CorruptionError),
    "no text for keys": (state_file(b"\x80\x05}K\x01K\x02s."), CorruptionError),
    "no end": (state_file(b"\x80\x05}"), CorruptionError),
    "an empty payload": (state_file(b""), CorruptionError),
    "a newer pickle": (state_file(b"\x80\x09}."), CorruptionError),
    "a memo of gigabytes": (state_file(b"\x80\x05}r\xff\xff\xff\x7f."), CorruptionError),
    "a string of terabytes": (
        state_file(payload(b"\x8d" + (4 << 40).to_bytes(8, "little") + b"x")),
        CorruptionError,
    ),
    "a frame of terabytes": (
        state_file(b"\x80\x05\x95" + (4 << 40).to_bytes(8, "little") + b"}."),
        CorruptionError,
    ),
    "a class of os": (state_file(payload(), (("os", "_Environ"),)), LoadError),
    "a class of subprocess": (state_file(payload(), (("subprocess", "Popen"),)), LoadError),
    "a class of the server": (
        state_file(payload(), (("moto.server", "ThreadedMotoServer"),)),
        LoadError,
    ),
    "a function as a class": (
        state_file(payload(), (("moto.core.utils", "utcnow"),)),
        LoadError,
    ),
    "a module with a null": (state_file(payload(), (("moto.a\0b", "C"),)), LoadError),
    "a class that is gone": (state_file(payload(), (("moto.sqs.models", "Gone"),)), LoadError),
    "a newer format": (framed(header(b""), version=9), FormatVersionError),
    "a header beyond the file": (framed(header(b""), length=1 << 30), CorruptionError),
    "a header of another checksum": (framed(header(b""), crc=0), CorruptionError),
    "a nested header": (framed(b"[" * 100_000), CorruptionError),
    "a payload of another checksum": (framed(header(b"x", blake2b="00"), b"x"), CorruptionError),
    "a payload of another length": (framed(header(b"x", stored=9), b"x"), CorruptionError),
    "a payload of terabytes": (
        framed(header(b"x", packing="zstd", raw=4 << 40), b"x"),
        CorruptionError,
    ),
    "an unknown packing": (framed(header(b"x", packing="exec"), b"x"), CorruptionError),
    "an infinite cut": (framed(header(b"", cut=float("inf"))), CorruptionError),
    "a blob of more than a disk": (
        framed(header(NOTHING, blobs=[["ab" * 32, 1 << 63]]), NOTHING),
        CorruptionError,
    ),
    "a blob of less than nothing": (
        framed(header(NOTHING, blobs=[["ab" * 32, -1]]), NOTHING),
        CorruptionError,
    ),
    "a blob's endless size": (
        framed(header(NOTHING, blobs=[["ab" * 32, 10**4000]]), NOTHING),
        CorruptionError,
    ),
    "a climbing blob": (
        framed(header(NOTHING, blobs=[["../" + "a" * 61, 1]]), NOTHING),
        CorruptionError,
    ),
    "a part of more than a disk": (
        state_file(payload(body_of(part(1 << 63, 0, 1 << 63)))),
        CorruptionError,
    ),
    "a body of more than can be counted": (
        state_file(payload(body_of(*[part(1 << 62, 0, 1 << 62)] * 2))),
        CorruptionError,
    ),
    "a climbing store": (framed(header(b"", store=["..", "..", ".."])), CorruptionError),
    "another kind of file": (lambda _: b"SQLite format 3\0" + bytes(100), CorruptionError),
    "nothing": (lambda _: b"", CorruptionError),
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something that code would leave behind."""
    monkeypatch.delenv(CANARY, raising=False)
    return tmp_path / "canary"


@pytest.mark.parametrize(("build", "error"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_state_file_is_refused_by_name(
    build: Callable[[Path], bytes], error: type[Exception], canary: Path
) -> None:
    """Reading the file ends in exactly this error, and nothing it names has run."""
    path = Path("hostile.state")
    reader = Reader(POLICY, Sharing())
    try:
        with pytest.raises(error) as refused:
            reader.load(decode(build(canary), path=path), path=path)
    finally:
        reader.abandon()

    assert type(refused.value) is error
    assert not canary.exists()
    assert CANARY not in os.environ


ENTRY = {
    "store": list(KEY),
    "file": manifest.file_for(KEY, Lsn(1)),
    "bytes": 1,
    "checksum": "00",
    "digest": "00",
    "cut": 1,
    "saved_at": "2026-01-01T00:00:00+00:00",
    "stores": [],
    "imports": [],
    "exports": [],
}
PROCESS = StoreKey("process", "all", "all")
INNER = {
    "format": 1,
    "cut": 1,
    "saved_at": "2026-01-01T00:00:00+00:00",
    "last_id": 0,
    "written_by": {},
    "process": ENTRY | {"store": list(PROCESS), "file": manifest.file_for(PROCESS, Lsn(1))},
    "stores": [ENTRY],
}
MANIFESTS: dict[str, tuple[Any, type[Exception]]] = {
    "a climbing file": ({"stores": [ENTRY | {"file": "../../etc/x.state"}]}, CorruptionError),
    "an absolute file": ({"stores": [ENTRY | {"file": "/etc/passwd"}]}, CorruptionError),
    "a climbing process": ({"process": ENTRY | {"file": "../x.state"}}, CorruptionError),
    "a climbing store": ({"stores": [ENTRY | {"store": ["..", "..", "x"]}]}, CorruptionError),
    "a file of another store": (
        {"stores": [ENTRY | {"file": "api_states/0/iam/aws.1.state"}]},
        CorruptionError,
    ),
    "a null in a file": ({"stores": [ENTRY | {"file": "api_states/\0.state"}]}, CorruptionError),
    "an infinite cut": ({"cut": float("inf")}, CorruptionError),
    "an infinite format": ({"format": float("inf")}, CorruptionError),
    "a newer format": ({"format": 2}, FormatVersionError),
    "stores of numbers": ({"stores": [1, 2]}, CorruptionError),
    "no stores": ({"stores": None}, CorruptionError),
    "a process of text": ({"process": "x"}, CorruptionError),
    "no process after a cut": ({"process": None}, CorruptionError),
    "stores that are no list": ({"stores": {}}, CorruptionError),
    "a store twice": (
        {"cut": 2, "stores": [ENTRY, ENTRY | {"cut": 2, "file": manifest.file_for(KEY, Lsn(2))}]},
        CorruptionError,
    ),
    "a cut before its files'": ({"cut": 0}, CorruptionError),
    "a cut nobody counts to": ({"cut": 10**40}, CorruptionError),
}


@pytest.mark.parametrize(("changes", "error"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_hostile_manifest_is_refused_by_name(
    tmp_path: Path, changes: Any, error: type[Exception]
) -> None:
    """A manifest with right checksums and wrong content ends in exactly this error."""
    inner = INNER | changes
    document = {"manifest": inner, "blake2b": manifest._checksum(inner)}
    (tmp_path / manifest.NAME).write_text(json.dumps(document))

    with pytest.raises(error) as refused:
        manifest.read(tmp_path)

    assert type(refused.value) is error


def test_the_frame_is_not_what_is_refused(tmp_path: Path) -> None:
    """The same frames around honest content are read: the tests above test the content."""
    path = Path("honest.state")
    reader = Reader(POLICY, Sharing())
    body = b"\x80\x05}" + text("a") + wired("new", number(1)) + b"s."
    found = reader.load(decode(state_file(body)(path), path=path), path=path)
    reader.settle()

    document = {"manifest": INNER, "blake2b": manifest._checksum(INNER)}
    (tmp_path / manifest.NAME).write_text(json.dumps(document))

    assert manifest.read(tmp_path).stores.keys() == {KEY}
    assert type(found["a"]).__name__ == "Message"
    assert decode(framed(header(b"x"), b"x")(path), path=path).graph.payload == b"x"
