"""Codec and files, for all inputs: what was written comes back, all else is refused by name."""

from __future__ import annotations

import gc
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.persistence import zoo
from tests.unit.persistence.zoo import KEY, ZooExports, ZooPolicy, state_of

from perdure.errors import StateError
from perdure.persistence import manifest, statefile, wire
from perdure.persistence.keys import ExportId, Lsn, StoreKey
from perdure.persistence.manifest import Manifest
from perdure.persistence.policy import INERT
from perdure.persistence.reader import Reader
from perdure.persistence.statefile import ClassRow, Graph, Shares, StateFile, decode, encode
from perdure.persistence.writer import Writer

PATH = Path("x.state")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.sampled_from(list(zoo.Colour))
    | st.text().map(zoo.Name)
    | st.text().map(zoo.ById)
)
KEYS = st.text() | st.integers() | st.text().map(zoo.ById) | st.tuples(st.text(), st.integers())
GRAPHS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.lists(inner, max_size=4).map(zoo.Row)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4).map(zoo.Ordered)
        | st.dictionaries(KEYS, inner, max_size=4).map(lambda d: zoo.Default(list, d))
        | st.sets(KEYS, max_size=4)
        | st.sets(KEYS, max_size=4).map(zoo.Group)
        | st.dictionaries(st.text(min_size=1), inner, max_size=4).map(lambda d: zoo.Plain(**d))
    ),
    max_leaves=30,
)


def dump(value: Any) -> Graph:
    return Writer(ZooPolicy(), ZooExports(), KEY).dump({"value": value})


def load(graph: Graph) -> dict[str, Any]:
    reader = Reader(ZooPolicy(), ZooExports())
    try:
        found = reader.load(state_of(graph), path=PATH)
    except BaseException:
        reader.abandon()
        raise
    reader.settle()
    return found


def shown(value: Any) -> Any:
    """A graph as nested plain tuples, types included."""
    kind = type(value).__name__
    if isinstance(value, dict):
        items = [(shown(k), shown(v)) for k, v in value.items()]
        return kind, items, shown(getattr(value, "__dict__", None))
    if isinstance(value, list | tuple):
        return kind, [shown(v) for v in value]
    if isinstance(value, set):
        return kind, sorted(map(repr, value))
    if type(value) is zoo.Plain:
        return kind, shown(value.__dict__)
    return kind, repr(value)


@given(GRAPHS)
@settings(deadline=None)
def test_any_graph_comes_back(value: Any) -> None:
    """Any graph of plain values, containers and objects is the same behind a round trip."""
    assert shown(load(dump(value))["value"]) == shown(value)


@given(GRAPHS)
@settings(deadline=None, max_examples=50)
def test_equal_graphs_have_equal_digests_across_a_load(value: Any) -> None:
    """A graph that was loaded and not changed is written with the bytes it was read from."""
    graph = dump(value)

    if "set" not in repr(shown(value)):  # a set that was loaded may iterate in another order
        assert len(dump(load(graph)["value"]).payload) == len(graph.payload)


STATE = StateFile(
    StoreKey("s3", "000000000000", "aws"),
    Lsn(7),
    {"moto": "5.2.5"},
    Graph(
        b"".join(b"item %d;" % n for n in range(300)),
        (ClassRow("moto.s3.models", "FakeBucket", ("name",)),),
        Shares(frozenset({KEY}), frozenset({ExportId(3)}), frozenset({ExportId(4)})),
    ),
)
FILE = encode(STATE)


@given(st.integers(0, len(FILE) - 1))
def test_any_cut_of_a_state_file_is_refused(at: int) -> None:
    """A state file that lacks any number of its last bytes is a StateError."""
    with pytest.raises(StateError):
        decode(FILE[:at], path=PATH)


@given(st.integers(0, len(FILE) * 8 - 1))
@settings(max_examples=1000)
def test_any_flipped_bit_of_a_state_file_is_refused(bit: int) -> None:
    """A state file with any one bit flipped is a StateError."""
    damaged = bytearray(FILE)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StateError):
        decode(bytes(damaged), path=PATH)


@given(st.binary(max_size=200))
def test_any_bytes_are_no_state_file(data: bytes) -> None:
    """Bytes that no writer made, behind the right magic too, are a StateError."""
    for guess in (data, statefile.MAGIC + data):
        with pytest.raises(StateError):
            decode(guess, path=PATH)


NOW = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Manifest]:
    """A directory with a manifest, its bytes and what they say."""
    from perdure.persistence.files import Files

    path = tmp_path_factory.mktemp("manifest")
    entry = manifest.Entry(
        KEY, manifest.file_for(KEY, Lsn(3)), 9, "ab", "é", Lsn(3), NOW, STATE.graph.shares
    )
    key = StoreKey("process", "all", "all")
    process = replace(entry, key=key, file=manifest.file_for(key, Lsn(3)))
    whole = Manifest(Lsn(3), NOW, 9, {"moto": "5"}, {KEY: entry}, process)
    manifest.publish(Files(), path, whole)
    return path, (path / manifest.NAME).read_bytes(), whole


def read_manifest(path: Path, data: bytes) -> Manifest | None:
    (path / manifest.NAME).write_bytes(data)
    try:
        return manifest.read(path)
    except StateError:
        return None


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_any_flipped_bit_of_a_manifest_is_refused_or_says_the_same(
    published: tuple[Path, bytes, Manifest], data: st.DataObject
) -> None:
    """A manifest with one bit flipped is a StateError, or reads as the very same manifest."""
    path, whole, expected = published
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8

    assert read_manifest(path, bytes(damaged)) in (None, expected)


@given(data=st.data())
@settings(deadline=None)
def test_any_cut_of_a_manifest_is_refused_or_says_the_same(
    published: tuple[Path, bytes, Manifest], data: st.DataObject
) -> None:
    """A manifest that was cut is a StateError; only its last newline may be missing."""
    path, whole, expected = published
    at = data.draw(st.integers(0, len(whole) - 1))

    assert read_manifest(path, whole[:at]) == (expected if at == len(whole) - 1 else None)


# ------------------------------------------------------- programs of a stranger

CLASSES = tuple(
    (zoo.__name__, name)
    for name in (
        "Witness",
        "WitnessDict",
        "WitnessList",
        "WitnessDeque",
        "WitnessSet",
        "WitnessKey",
        "Plain",
        "Colour",
        "OwnedDict",
        "OwnedList",
        "Point",
        "Default",
        "Lower",
    )
)
NAMES = [(wire.__name__, f.__name__) for f in wire.NAMES]
FORBIDDEN = [
    ("os", "system"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    (zoo.__name__, "Witness"),
    (zoo.__name__, "CALLED"),
    (wire.__name__, "_only_named"),
]


def text(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def glob(name: tuple[str, str]) -> bytes:
    return b"c" + f"{name[0]}\n{name[1]}\n".encode()


ATTRIBUTES = ["__setstate__", "append", "extend", "add", "__dict__", "__class__", "prop", "a"]
ARGUMENTS = st.one_of(
    st.integers(0, len(CLASSES)).map(lambda n: b"K" + bytes([n])),
    st.sampled_from(
        [*ATTRIBUTES, "RED", "lock", "weakref", "list", "special", "store", "table", "none"]
    ).map(text),
)
OPCODES = st.one_of(
    st.sampled_from(
        [
            bytes([c])
            for c in b"(.)0123NZ]}aebdlpqrtsuiR\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"
        ]
        + [b"h\0", b"h\1", b"h\2", b"q\0", b"q\1", b"\x82\x01", b"\x97", b"Pid\n", b"Q"]
    ),
    ARGUMENTS,
    st.sampled_from(NAMES).map(glob),
    st.sampled_from(FORBIDDEN).map(glob),
    # What a writer makes, so that programs get somewhere.
    st.integers(0, len(CLASSES) - 1).map(
        lambda n: glob((wire.__name__, "perdure_new")) + b"K" + bytes([n]) + b"\x85R"
    ),
    st.integers(0, len(CLASSES) - 1).map(
        lambda n: glob((wire.__name__, "perdure_filled")) + b"K" + bytes([n]) + b"\x85R"
    ),
    st.sampled_from([b"store", b"table"]).map(
        lambda n: glob((wire.__name__, "perdure_pointer")) + text(n.decode()) + b"\x85R"
    ),
    st.just(glob((wire.__name__, "perdure_member")) + b"K\x06" + text("RED") + b"\x86R"),
    st.sampled_from(list(INERT)).map(
        lambda n: glob((wire.__name__, "perdure_inert")) + text(n) + b"]\x86R"
    ),
    st.tuples(st.sampled_from(ATTRIBUTES), ARGUMENTS).map(
        lambda pair: b"}" + text(pair[0]) + pair[1] + b"sb"
    ),
    st.tuples(st.sampled_from(ATTRIBUTES), ARGUMENTS).map(
        lambda pair: b"N}" + text(pair[0]) + pair[1] + b"s\x86b"
    ),
)


@given(st.lists(OPCODES, max_size=25).map(b"".join))
@settings(max_examples=1500, deadline=None)
def test_no_program_of_opcodes_runs_anything(program: bytes) -> None:
    """Whatever opcodes a payload holds: a StateError or plain data, and no method ran."""
    zoo.CALLED.clear()
    store, table = dict(zoo.STORE.__dict__), dict(zoo.TABLE)
    member = dict(zoo.Colour.RED.__dict__)
    found: Any = None
    for payload in (b"\x80\x05}" + program + b".", b"\x80\x05}" + program + b"0."):
        reader = Reader(ZooPolicy(), ZooExports())
        try:
            found = reader.load(state_of(Graph(payload, CLASSES)), path=PATH)
        except StateError:
            found = None
        finally:
            reader.abandon()
        assert found is None or type(found) is dict
    del found

    assert zoo.CALLED == []
    assert (type(zoo.STORE), type(zoo.TABLE)) == (zoo.Store, zoo.Table)
    assert (zoo.STORE.__dict__, dict(zoo.TABLE)) == (store, table)
    assert zoo.Colour.RED.__dict__ == member
    assert gc.isenabled()


@given(st.binary(max_size=120))
@settings(max_examples=500, deadline=None)
def test_no_bytes_run_anything(data: bytes) -> None:
    """Bytes of any kind as a payload are a StateError or plain data."""
    zoo.CALLED.clear()
    try:
        load(Graph(b"\x80\x05" + data, CLASSES))
    except StateError:
        pass

    assert zoo.CALLED == []


def test_the_forbidden_names_are_forbidden() -> None:
    """The list the programs draw from holds names that must not resolve."""
    for name in FORBIDDEN:
        with pytest.raises(StateError):
            load(Graph(b"\x80\x05}" + glob(name) + b"0.", CLASSES))
    assert pickle.loads(b"\x80\x05}.") == {}
