"""State files: every field is checked before a byte of the payload is looked at."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import zstandard

from perdure.errors import CorruptionError, FormatVersionError
from perdure.persistence import statefile
from perdure.persistence.blobs import Blob
from perdure.persistence.keys import ExportId, Lsn, StoreKey
from perdure.persistence.statefile import (
    ClassRow,
    Graph,
    Shares,
    StateFile,
    blobs_of,
    decode,
    encode,
)

PATH = Path("x.state")
KEY = StoreKey("s3", "000000000000", "aws")
SHARES = Shares(frozenset({StoreKey("ec2", "0", "a")}), frozenset({ExportId(4)}), frozenset())


def state(payload: bytes = b"\x80\x05}." * 400) -> StateFile:
    graph = Graph(payload, (ClassRow("moto.s3.models", "FakeBucket", ("name",)),), SHARES)
    return StateFile(KEY, Lsn(7), {"perdure": "1", "moto": "5.2.5"}, graph)


def file_of(header: dict[str, Any] | bytes, stored: bytes, *, version: int = 1) -> bytes:
    """A file whose frame is right, whatever its header says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    prefix = statefile.PREFIX.pack(statefile.MAGIC, version, len(text), zlib.crc32(text))
    return prefix + zlib.crc32(prefix).to_bytes(4, "little") + text + stored


def header_of(stored: bytes, **changes: Any) -> dict[str, Any]:
    payload = {
        "packing": "none",
        "stored": len(stored),
        "raw": len(stored),
        "blake2b": blake2b(stored, digest_size=16).hexdigest(),
    }
    return {
        "store": list(KEY),
        "cut": 7,
        "written_by": {},
        "classes": [],
        "incomplete": [],
        "shares": {"stores": [], "imports": [], "exports": []},
        "payload": payload,
    } | changes


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x80\x05}.", bytes(range(256)) * 10, b"a" * 100_000, b"\0" * 5_000_000],
    ids=["empty", "small", "mixed", "compressible", "very-compressible"],
)
def test_decode_undoes_encode(payload: bytes) -> None:
    """A state file reads back key, cut, writer, classes, shares and payload."""
    assert decode(encode(state(payload)), path=PATH) == state(payload)


def test_large_payloads_are_compressed_within_the_ratio() -> None:
    """A payload is compressed unless that would shrink it more than a reader accepts."""
    mixed = b"".join(b"key %d value %d;" % (n, n * n) for n in range(5_000))

    assert len(encode(state(mixed))) < len(mixed) / 2
    assert len(encode(state(b"\0" * 5_000_000))) > 5_000_000


def test_the_digest_tells_graphs_apart() -> None:
    """Payload, classes and shares each change the digest; equal graphs have equal ones."""
    graphs = [
        Graph(b"a", (), Shares()),
        Graph(b"b", (), Shares()),
        Graph(b"a", (ClassRow("m", "C"),), Shares()),
        Graph(b"a", (), SHARES),
    ]

    assert len({g.digest for g in graphs}) == len(graphs)
    assert Graph(b"a", (), Shares()).digest == graphs[0].digest


def test_a_newer_format_is_told_apart_from_damage() -> None:
    """A whole file of a newer format names both formats."""
    with pytest.raises(FormatVersionError) as error:
        decode(file_of(header_of(b""), b"", version=3), path=PATH)

    assert (error.value.found, error.value.supported, error.value.path) == (3, 2, PATH)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "magic": lambda d: b"PRDSTATF" + d[8:],
    "another file": lambda _: b"SQLite format 3\0" + bytes(100),
    "version": lambda d: d[:8] + b"\x03" + d[9:],
    "header length": lambda d: d[:12] + b"\xff\xff\xff\xff" + d[16:],
    "header CRC": lambda d: d[:16] + bytes(4) + d[20:],
    "prefix CRC": lambda d: d[:20] + bytes(4) + d[24:],
    "header": lambda d: d[:30] + b"#" + d[31:],
    "payload": lambda d: d[:-1] + bytes([d[-1] ^ 1]),
    "cut short by one": lambda d: d[:-1],
    "cut in the header": lambda d: d[:100],
    "cut in the prefix": lambda d: d[:23],
    "something behind": lambda d: d + b"\0",
    "twice": lambda d: d + d,
    "zeros": lambda d: bytes(len(d)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named(damage: Callable[[bytes], bytes]) -> None:
    """A damaged file is a CorruptionError that carries path, expected and found."""
    with pytest.raises(CorruptionError) as error:
        decode(damage(encode(state())), path=PATH)

    assert error.value.path == PATH
    assert error.value.expected != error.value.found


HEADERS: dict[str, Any] = {
    "a list": [],
    "a number": 5,
    "no payload": {"payload": None},
    "payload a list": {"payload": []},
    "store of two": {"store": ["s3", "0"]},
    "store climbing": {"store": ["s3", "..", "aws"]},
    "store absent": {"store": None},
    "cut a word": {"cut": "seven"},
    "cut infinite": {"cut": float("inf")},
    "cut not a number": {"cut": float("nan")},
    "cut null": {"cut": None},
    "cut negative": {"cut": -1},
    "cut beyond 64 bits": {"cut": 10**30},
    "cut a bool": {"cut": True},
    "writer of numbers": {"written_by": {"moto": 5}},
    "writer a list": {"written_by": []},
    "classes a number": {"classes": 5},
    "classes of one": {"classes": [["moto"]]},
    "classes of two": {"classes": [["moto.s3.models", "FakeBucket"]]},
    "classes of numbers": {"classes": [[1, 2, []]]},
    "attributes of numbers": {"classes": [["moto.s3.models", "FakeBucket", [1]]]},
    "attributes a number": {"classes": [["moto.s3.models", "FakeBucket", 1]]},
    "incomplete of numbers": {"incomplete": [1]},
    "incomplete absent": {"incomplete": None},
    "shares absent": {"shares": {}},
    "shares a word": {"shares": "none"},
    "import infinite": {
        "shares": {"stores": [], "imports": [float("inf")], "exports": []},
    },
    "import a word": {"shares": {"stores": [], "imports": ["x"], "exports": []}},
    "share of a climbing store": {
        "shares": {"stores": [["..", "a", "b"]], "imports": [], "exports": []}
    },
}


@pytest.mark.parametrize("changes", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_with_right_checksums_and_wrong_fields_is_refused(changes: Any) -> None:
    """A stranger can make checksums too: a field that is no such field is a CorruptionError."""
    header = header_of(b"") | changes if isinstance(changes, dict) else changes

    with pytest.raises(CorruptionError):
        decode(file_of(json.dumps(header).encode(), b""), path=PATH)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b"1" * 10_000, b'"\\ud800"'],
    ids=["empty", "open", "no text", "deep", "long number", "surrogate"],
)
def test_a_header_that_is_no_json_object_is_refused(text: bytes) -> None:
    """Whatever stands for the header, the answer is a CorruptionError."""
    with pytest.raises(CorruptionError):
        decode(file_of(text, b""), path=PATH)


def packed(raw: Any, stored: bytes, packing: Any = "zstd") -> bytes:
    payload = header_of(stored)["payload"] | {"packing": packing, "raw": raw}
    return file_of(header_of(stored, payload=payload), stored)


def test_promises_of_terabytes_are_refused_in_bounded_memory() -> None:
    """A small file that promises 4 TB is refused before memory is asked for it."""
    bomb = zstandard.ZstdCompressor(level=19).compress(b"\0" * (64 << 20))
    tracemalloc.start()
    try:
        for raw in (4 << 40, 1 << 62, (1 << 62) + 0.5, 64 << 20):
            with pytest.raises(CorruptionError):
                decode(packed(raw, bomb), path=PATH)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 16 << 20


@pytest.mark.parametrize("raw", [0, 99, 101, -1, "100", None, 1.5, [], True])
def test_a_payload_is_as_long_as_promised(raw: Any) -> None:
    """A payload shorter or longer than its header says is a CorruptionError."""
    stored = zstandard.ZstdCompressor().compress(bytes(range(100)))
    with pytest.raises(CorruptionError):
        decode(packed(raw, stored), path=PATH)


@pytest.mark.parametrize(
    ("packing", "stored"),
    [("zstd", b"no zstd frame"), ("gzip", b"x"), ("none", b"xx"), (None, b"x"), ([], b"x")],
)
def test_an_unknown_packing_is_refused(packing: Any, stored: bytes) -> None:
    """Only zstd frames and plain payloads of the stated length are read."""
    with pytest.raises(CorruptionError):
        decode(packed(1, stored, packing), path=PATH)


def test_a_frame_without_its_end_is_refused() -> None:
    """A zstd frame that was cut, with checksums made to fit, is a CorruptionError."""
    whole = zstandard.ZstdCompressor().compress(bytes(range(256)) * 100)
    with pytest.raises(CorruptionError):
        decode(packed(25_600, whole[:-20]), path=PATH)


def test_blobs_are_named_in_the_header(tmp_path: Path) -> None:
    """A file names the blobs of its bodies, which are read without its payload."""
    blobs = (Blob("ab" * 32, 300_000), Blob("cd" * 32, 1))
    key = StoreKey("s3", "000000000000", "aws")
    path = tmp_path / "x.state"
    data = encode(StateFile(key, Lsn(3), {}, Graph(b"x" * 100, (), blobs=blobs)))
    path.write_bytes(data)

    assert decode(data, path=path).graph.blobs == blobs
    assert blobs_of(path) == blobs
    path.write_bytes(data[:-100])
    assert blobs_of(path) == blobs, "the payload is not looked at"
    plain = encode(StateFile(key, Lsn(3), {}, Graph(b"x" * 100, ())))
    assert b"blobs" not in plain
    path.write_bytes(plain)
    assert blobs_of(path) == ()
    path.write_bytes(data[:50])
    with pytest.raises(CorruptionError):
        blobs_of(path)


def test_blobs_of_a_long_header_are_all_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header longer than one read is read to its end."""
    monkeypatch.setattr("perdure.persistence.files.CHUNK", 64)
    blobs = tuple(Blob(f"{number:064x}", number) for number in range(1000))
    key = StoreKey("s3", "000000000000", "aws")
    (tmp_path / "x").write_bytes(encode(StateFile(key, Lsn(3), {}, Graph(b"", (), blobs=blobs))))

    assert blobs_of(tmp_path / "x") == blobs
