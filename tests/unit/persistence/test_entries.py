"""Entries: a row is read as it was written, from a base and from what lies above it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.unit.persistence.plain_checkpoint import key
from tests.unit.persistence.plain_rows import NUMBER, collection, row, rows_of

from perdure.errors import (
    CorruptionError,
    DurabilityError,
    FormatVersionError,
    HostileStateError,
    StateError,
)
from perdure.persistence import base as bases
from perdure.persistence import database, delta, entries
from perdure.persistence.database import Database
from perdure.persistence.document import Document
from perdure.persistence.entries import DATABASE, DELTA, Collection, Row, Stored, gone, row_of
from perdure.persistence.fields import Fields
from perdure.persistence.files import temporary_of
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.source import Source, open_source

STORE, DOCUMENTS = key("dynamodb"), key("kinesis")
ODD = {
    "quotes": 'it\'s "so"',
    "a line\nbreak": "\n\r\u2028",
    "no character": "\0",
    "beyond the basic plane": "\U0001f600",
    "": "",
    "numbers": [1, -1, 2**63, 1.5, True, None],
    "nested": {"M": {"L": [[]]}},
}


def base(path: Path, rows: list[Row], store: StoreKey = STORE) -> Stored:
    """A base of those rows, in place."""
    file = entries.file_of(store, Lsn(1), entries.base_kind(store))
    (path / file).parent.mkdir(exist_ok=True)
    found = sorted({each.collection for each in rows} or {NUMBER})
    collections = tuple(collection([], number=each) for each in found)
    bases.merge(path / file, None, rows, collections, store)
    temporary_of(path / file).rename(path / file)
    return Stored(file, *entries.checksum_of(path / file))


def document(path: Path, rows: list[Row]) -> Stored:
    """The same, as JSON."""
    return base(path, rows, DOCUMENTS)


def above(path: Path, rows: list[Row], store: StoreKey = STORE, number: int = 2) -> Stored:
    """A delta of those rows, in place."""
    file = entries.file_of(store, Lsn(number), DELTA)
    (path / file).parent.mkdir(exist_ok=True)
    (path / file).write_bytes(delta.encode(store, Lsn(number), rows))
    return Stored(file, *entries.checksum_of(path / file))


Write = Callable[[Path, list[Row]], Stored]
WRITERS: dict[str, tuple[Write, StoreKey]] = {
    "database": (base, STORE),
    "document": (document, DOCUMENTS),
    "delta": (above, STORE),
}
FORMATS = pytest.mark.parametrize("store", [STORE, DOCUMENTS], ids=["database", "document"])


@pytest.mark.parametrize(("write", "store"), WRITERS.values(), ids=WRITERS.keys())
def test_rows_read_back(tmp_path: Path, write: Write, store: StoreKey) -> None:
    """Whatever stands in keys and values, from either kind of file."""
    rows = rows_of(ODD)
    source = open_source(tmp_path, store, (write(tmp_path, rows),))

    assert source.of_collection(NUMBER) == rows
    for each in rows:
        assert source.get(NUMBER, each.key) == each
        assert source.of_key(NUMBER, each.key) == [each]
    assert source.get(NUMBER, "nobody") is None
    assert source.of_key(NUMBER + 1, "quotes") == []
    source.close()


@FORMATS
def test_what_lies_above_wins(tmp_path: Path, store: StoreKey) -> None:
    """A row that a delta changed or took away is not the base's, and a later delta's wins."""
    files = (
        base(tmp_path, rows_of({"kept": 0, "changed": 0, "gone": 0, "back": 0}), store),
        above(
            tmp_path, [row("changed", 1, place=1), row("gone", None), row("back", None)], store, 2
        ),
        above(tmp_path, [row("back", 2, place=9), row("new", 2, place=8)], store, 3),
    )
    source = open_source(tmp_path, store, files)

    found = source.of_collection(NUMBER)
    assert [(r.key, json.loads(r.value or b"")["v"]) for r in found] == [
        ("kept", 0),
        ("changed", 1),
        ("new", 2),
        ("back", 2),
    ]
    assert source.get(NUMBER, "gone") is None
    assert source.of_key(NUMBER, "gone") == []
    assert source.get(NUMBER, "changed") == row("changed", 1, place=1)
    assert source.of_value(NUMBER, b'{"v":0}') == [row("kept", 0)]
    assert source.of_value(NUMBER, b'{"v":2}') == [row("new", 2, place=8), row("back", 2, place=9)]


@FORMATS
def test_rows_of_a_key_stand_in_order(tmp_path: Path, store: StoreKey) -> None:
    """By place, wherever each was read from; of one collection only."""
    rows = [row("k", n, sub=f"{9 - n}", place=n) for n in range(6)]
    other = row("k", "other", number=NUMBER + 1)
    files = (base(tmp_path, [*rows[::2], other], store), above(tmp_path, rows[1::2][::-1], store))
    source = open_source(tmp_path, store, files)

    assert source.of_key(NUMBER, "k") == rows
    assert source.of_key(NUMBER + 1, "k") == [other]


@FORMATS
def test_rows_behind_a_key_come_in_blocks(tmp_path: Path, store: StoreKey) -> None:
    """In order of their keys, wherever each was read from; what is gone takes no room."""
    rows = [row(f"{n:03d}", n, place=n) for n in range(20)]
    missing = [gone(*each[:3]) for each in rows[4:9]]
    files = (base(tmp_path, rows[:15], store), above(tmp_path, [*rows[15:][::-1], *missing], store))
    source = open_source(tmp_path, store, files)

    assert source.following(NUMBER, "", 3) == rows[:3]
    assert source.following(NUMBER, "002", 4) == [rows[3], *rows[9:12]]
    assert source.following(NUMBER, "013", 99) == rows[14:]
    assert source.following(NUMBER, "019", 1) == []
    assert source.following(NUMBER + 1, "", 1) == []


@FORMATS
def test_a_new_base_holds_what_was_there_and_what_changed(tmp_path: Path, store: StoreKey) -> None:
    """Of collections that live; the others' rows are not carried on."""
    old = base(tmp_path, [*rows_of({"a": 1, "b": 1, "c": 1}), row("x", 1, number=9)], store)
    changes = [row("b", 2, place=1), row("c", None), row("c", 3, place=7), row("a", None)]
    changed = tmp_path / entries.file_of(store, Lsn(3), entries.base_kind(store))
    bases.merge(changed, tmp_path / old.file, changes, (collection([]),), store)
    temporary_of(changed).rename(changed)

    with closing(bases.open_base(changed, store)) as found:
        rows = sorted(found.of_collection(NUMBER))
        assert rows == [row("b", 2, place=1), row("c", 3, place=7)]
        assert list(found.of_collection(9)) == []


def test_a_base_gives_space_back(tmp_path: Path) -> None:
    """One that lost most of its rows is written anew, and no larger than a fresh one."""
    rows = rows_of({f"key-{n}": "x" * 500 for n in range(2000)})
    old = base(tmp_path, rows)
    new = tmp_path / "new.db"

    missing = [gone(*each[:3]) for each in rows[10:]]
    database.merge(new, tmp_path / old.file, missing, [collection([])])

    assert new.stat().st_size < old.bytes / 20


def test_any_tool_reads_a_base(tmp_path: Path) -> None:
    """With what README says."""
    stored = base(tmp_path, rows_of({"S:user-1": 41}))

    with closing(sqlite3.connect(tmp_path / stored.file)) as connection:
        query = "SELECT key, sub, value FROM entries WHERE name = 'users'"
        assert connection.execute(query).fetchall() == [("S:user-1", "", '{"v":41}')]


@FORMATS
def test_a_base_can_stand_under_any_name(tmp_path: Path, store: StoreKey) -> None:
    """SQLite opens it by a URI, in which some characters mean something."""
    folder = tmp_path / "100% ? #1 'x' & ä"
    folder.mkdir()
    stored = base(folder, rows_of({"a": 1}), store)

    assert open_source(folder, store, (stored,)).of_collection(NUMBER) == rows_of({"a": 1})


@FORMATS
def test_a_base_reads_on_after_its_name_is_gone(tmp_path: Path, store: StoreKey) -> None:
    """A checkpoint removes what it replaced; a store may still read from there."""
    stored = base(tmp_path, rows_of({f"k{n}": "x" * 900 for n in range(999)}), store)
    source = open_source(tmp_path, store, (stored,))
    (tmp_path / stored.file).unlink()

    assert len(source.of_collection(NUMBER)) == 999


# ------------------------------------------------------------------------ damage


DAMAGE: dict[str, Callable[[Path], object]] = {
    "gone": lambda p: p.unlink(),
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "longer": lambda p: p.write_bytes(p.read_bytes() + b"\n"),
    "flipped": lambda p: p.write_bytes(p.read_bytes()[:-2] + b"#\n"),
    "a folder": lambda p: (p.unlink(), p.mkdir()),
    "a link": lambda p: (p.rename(p.with_name("there")), p.symlink_to("there")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize(("write", "store"), WRITERS.values(), ids=WRITERS.keys())
def test_a_damaged_file_is_refused_whole(
    tmp_path: Path, write: Write, store: StoreKey, damage: Callable[[Path], object]
) -> None:
    """By its checksum, before anything of it is read."""
    stored = write(tmp_path, rows_of({"a": 1}))
    damage(tmp_path / stored.file)

    with pytest.raises(CorruptionError) as caught:
        open_source(tmp_path, store, (stored,))
    assert caught.value.path == tmp_path / stored.file


@pytest.mark.parametrize("change", ["gone", "more", "other"])
def test_rows_that_are_not_a_collections_are_missed(change: str) -> None:
    """Files may each be what was written, and still not be those of this state file."""
    rows = rows_of({"a": 1, "b": 2})
    there = {"gone": rows[:1], "more": [*rows, row("c", 3)], "other": [rows[0], row("b", 3)]}

    with pytest.raises(CorruptionError, match="entries of users"):
        Source(None, there[change]).check(collection(rows), Path("state"))
    assert Source(None, rows).check(collection(rows), Path("state")) == 2


def doctored(tmp_path: Path, *statements: str) -> Path:
    """A base that a stranger changed; its checksum is theirs."""
    stored = base(tmp_path, rows_of({"a": 1, "b": 2}))
    with closing(sqlite3.connect(tmp_path / stored.file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return tmp_path / stored.file


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM collection; END",
        "CREATE VIEW another AS SELECT 1",
        "CREATE INDEX i ON entry (value)",
        "DROP VIEW entries",
        "DROP TABLE entry",
    ],
)
def test_no_schema_but_ours_is_opened_or_carried_on(tmp_path: Path, statement: str) -> None:
    """So nothing of a stranger's runs when rows are read or merged."""
    path = doctored(tmp_path, statement)

    with pytest.raises(HostileStateError, match="schema"):
        Database(path)
    with pytest.raises(HostileStateError, match="schema"):
        database.merge(tmp_path / "new.db", path, [], [collection([])])
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET value = '{\"v\":7}' WHERE key = 'a'",
        "UPDATE entry SET place = 5 WHERE key = 'a'",
        "UPDATE entry SET digest = digest + 1 WHERE key = 'a'",
        "UPDATE entry SET value = x'ff' WHERE key = 'a'",
        "UPDATE entry SET value = 7 WHERE key = 'a'",
        "UPDATE entry SET part = 'x' WHERE key = 'a'",
        "UPDATE entry SET digest = 'x' WHERE key = 'a'",
        "UPDATE entry SET value = CAST(x'ff' AS TEXT) WHERE key = 'a'",
        "UPDATE entry SET part = x'00' WHERE key = 'a'",
    ],
)
def test_a_row_that_is_not_what_its_digest_says_is_refused(tmp_path: Path, statement: str) -> None:
    """A value, a place or a type that was changed; the other rows are read."""
    with closing(Database(doctored(tmp_path, statement))) as found:
        with pytest.raises(CorruptionError):
            found.get(NUMBER, "a", "")
        assert found.get(NUMBER, "b", "") == row("b", 2, place=1)


@pytest.mark.parametrize("content", [b"", b"not a database, and longer than a header" * 9])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """However it got its checksum."""
    path = tmp_path / "x.db"
    path.write_bytes(content)

    with pytest.raises((CorruptionError, HostileStateError)):
        Database(path)


def test_a_base_of_a_newer_program_is_refused_as_that(tmp_path: Path) -> None:
    """Not as damage: it is whole."""
    path = doctored(tmp_path, "PRAGMA user_version = 2")

    with pytest.raises(FormatVersionError):
        Database(path)


def lines(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> Path:
    file = path / above(path, rows_of({"a": 1, "b": 2})).file
    file.write_bytes(b"\n".join(change(file.read_bytes().split(b"\n"))))
    return file


def head(**changes: Any) -> Callable[[list[bytes]], list[bytes]]:
    return lambda found: [json.dumps(json.loads(found[0]) | changes).encode(), *found[1:]]


def second(line: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda found: [found[0], line, *found[2:]]


HOSTILE = {
    "no head": lambda found: found[1:],
    "a row too few": lambda found: [*found[:-2], b""],
    "a row twice": lambda found: [*found[:-1], found[1], b""],
    "another store": head(store=list(key("sqs"))),
    "no store": head(store=7),
    "a format of text": head(format="1"),
    "no JSON": second(b"[7"),
    "an object": second(b"{}"),
    "five values": second(b'[7, "a", "", 0, 0]'),
    "a number for a key": second(b'[7, 1, "", 0, 0, {}]'),
    "a place of text": second(b'[7, "a", "", 0, "0", {}]'),
    "a place below 0": second(b'[7, "a", "", 0, -1, {}]'),
    "a place above all": second(b'[7, "a", "", 0, 9007199254740992, {}]'),
    "true for a number": second(b'[true, "a", "", 0, 0, {}]'),
    "nested beyond reading": second(b'[7, "a", "", 0, 0, ' + b"[" * 9999 + b"]" * 9999 + b"]"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_delta_of_a_stranger_is_refused(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    """With the file and what is wrong, whatever its checksum says."""
    file = lines(tmp_path, change)

    with pytest.raises(CorruptionError) as caught:
        delta.read(file, STORE)
    assert caught.value.path == file


@pytest.mark.parametrize("write", [above, document, base], ids=["delta", "document", "database"])
def test_no_row_is_written_that_reads_back_as_gone(tmp_path: Path, write: Any) -> None:
    """``null`` has one meaning."""
    with pytest.raises(AssertionError, match="may not say null"):
        write(tmp_path, [row_of(NUMBER, "a", "", 0, 1, b"null")])


def test_a_delta_of_a_newer_program_is_refused_as_that(tmp_path: Path) -> None:
    """Not as damage: it is whole."""
    with pytest.raises(FormatVersionError):
        delta.read(lines(tmp_path, head(format=2)), STORE)


def test_a_base_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """What stands in its way is named."""
    folder = tmp_path / "closed"
    with pytest.raises(OSError, match="No such file"):
        database.merge(folder / "x.db", None, rows_of({"a": 1}), [collection([])])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite says of the disk is said of the disk; nobody is sent to look for damage."""

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database, "_fill", full)
    with pytest.raises(DurabilityError, match="full"):
        database.merge(tmp_path / "x.db", None, [], [])
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------ documents


def test_a_document_is_read_by_people_and_tools(tmp_path: Path) -> None:
    """It is JSON, says what stands where, and has one row a line, in order."""
    rows = [row("b", 1, place=1), row("a", "\u00e4\n", place=2)]
    stored = document(tmp_path, [*rows[::-1], row("x", 2, number=9)])

    text = (tmp_path / stored.file).read_text()
    found = json.loads(text)
    assert (found["store"], found["format"]) == (list(DOCUMENTS), 1)
    assert [each["name"] for each in found["collections"]] == ["users", "users"]
    assert found["collections"][0]["rows"] == [
        [NUMBER, "b", "", 0, 1, {"v": 1}],
        [NUMBER, "a", "", 0, 2, {"v": "\u00e4\n"}],
    ]
    assert len(text.splitlines()) == 9


def test_a_collection_of_a_document_is_read_without_the_others(tmp_path: Path) -> None:
    """What nobody asks for is not looked into."""
    stored = document(tmp_path, [row("a", 1), row("b", 2, number=9)])
    path = tmp_path / stored.file
    path.write_bytes(path.read_bytes().replace(b'[9,"b"', b'[9?"b"'))

    with closing(Document(path, DOCUMENTS)) as found:
        assert found.get(NUMBER, "a", "") == row("a", 1)
        with pytest.raises(CorruptionError, match="a row"):
            found.get(9, "b", "")


def test_a_document_lets_go_of_its_file(tmp_path: Path) -> None:
    """When it is closed, when it cannot be opened, and with the last who knows it."""
    path = tmp_path / document(tmp_path, [row("a", 1)]).file
    before = len(os.listdir("/proc/self/fd"))
    found = Document(path, DOCUMENTS)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    found.close()
    found.close()
    with pytest.raises(CorruptionError):
        Document(path, STORE)
    Document(path, DOCUMENTS)

    assert len(os.listdir("/proc/self/fd")) == before


def exchanged(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


STRANGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "no lines": lambda data: data.replace(b"\n", b" "),
    "no head": lambda data: data.split(b"\n", 1)[1],
    "no end": lambda data: data[:-3],
    "more behind it": lambda data: data + b"]}\n",
    "another store": exchanged(b'"kinesis"', b'"sqs"'),
    "a format of text": exchanged(b'"format":1', b'"format":"1"'),
    "a number of text": exchanged(b'"number":7', b'"number":"7"'),
    "no length": exchanged(b'"bytes":', b'"words":'),
    "a length below 0": exchanged(b'"bytes":', b'"bytes":-'),
    "a length above all": exchanged(b'"bytes":', b'"bytes":99999999'),
    "a length too short": exchanged(b'"bytes":2', b'"bytes":1'),
    "a collection twice": exchanged(b'"number":9', b'"number":7'),
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE.keys())
def test_a_document_of_a_stranger_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """When it is opened, with the file and what is wrong, whatever its checksum says."""
    path = tmp_path / document(tmp_path, [row("a", 1), row("b", 2, number=9)]).file
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(CorruptionError) as caught:
        Document(path, DOCUMENTS)
    assert caught.value.path == path


STRANGE_ROWS: dict[str, Callable[[bytes], bytes]] = {
    "of another collection": exchanged(b'[7,"a"', b'[8,"a"'),
    "gone": exchanged(b'"a","",0,0,{"v":1}', b'"aaaa","",0,0,null'),
    "twice": exchanged(b'[7,"b"', b'[7,"a"'),
    "no comma between": exchanged(b"],\n[7", b"] \n[7"),
    "a number with a zero": exchanged(b"[7,", b"[07"),
}


@pytest.mark.parametrize("change", STRANGE_ROWS.values(), ids=STRANGE_ROWS.keys())
def test_rows_of_a_stranger_are_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    """When they are asked for."""
    path = tmp_path / document(tmp_path, [row("a", 1), row("b", 2, place=1)]).file
    path.write_bytes(change(path.read_bytes()))

    with closing(Document(path, DOCUMENTS)) as found, pytest.raises(CorruptionError) as caught:
        found.get(NUMBER, "a", "")
    assert caught.value.path == path


def test_a_document_of_a_newer_program_is_refused_as_that(tmp_path: Path) -> None:
    """Not as damage: it is whole."""
    path = tmp_path / document(tmp_path, [row("a", 1)]).file
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))

    with pytest.raises(FormatVersionError):
        Document(path, DOCUMENTS)


# ------------------------------------------------------------------------ names


def fields(**values: Any) -> Fields:
    return Fields(values, Path("x"), "header")


WHOLE = Collection(7, "test.rows", "users", 2, 5, 9)


def test_collections_read_back() -> None:
    """As headers have them; a header from before there were any has none."""
    written = entries.collections_out([WHOLE])

    assert entries.collections_in(fields(collections=json.loads(json.dumps(written)))) == (WHOLE,)
    assert entries.collections_in(fields()) == ()


WRONG_COLLECTIONS: dict[str, Any] = {
    "no list": {},
    "rows of no list": [7],
    "five values": [list(WHOLE)[:-1]],
    "text for a number": [["7", *list(WHOLE)[1:]]],
    "below 0": [list(WHOLE._replace(number=-1))],
    "a size above all": [list(WHOLE._replace(size=1 << 53))],
    "a total above all": [list(WHOLE._replace(total=1 << 64))],
    "a total below 0": [list(WHOLE._replace(total=-1))],
    "true for a size": [[7, "test.rows", "users", True, 5, 9]],
    "one twice": [list(WHOLE), list(WHOLE._replace(name="again"))],
}


@pytest.mark.parametrize("found", WRONG_COLLECTIONS.values(), ids=WRONG_COLLECTIONS.keys())
def test_other_collections_are_refused(found: Any) -> None:
    """By what they should be."""
    with pytest.raises(CorruptionError, match=r"header\.collections"):
        entries.collections_in(fields(collections=found))


BASE_1 = ["dynamodb/000000000000_us-east-1.1.db", 5, "ab"]
DELTA_2 = ["dynamodb/000000000000_us-east-1.2.delta.jsonl", 5, "ab"]


def test_files_of_entries_read_back() -> None:
    """As the manifest has them, in their order."""
    stored = (Stored(*BASE_1), Stored(*DELTA_2))
    written = json.loads(json.dumps(entries.stored_out(stored)))

    assert entries.stored_in(fields(entries=written), STORE, Lsn(2)) == stored
    assert entries.stored_in(fields(), STORE, Lsn(2)) == ()


WRONG_FILES: dict[str, Any] = {
    "no list": 7,
    "no files": [7],
    "two values": [BASE_1[:2]],
    "text for a size": [[BASE_1[0], "5", "ab"]],
    "outside": [["../x/000000000000_us-east-1.1.db", 5, "ab"]],
    "deeper": [["dynamodb/../dynamodb/000000000000_us-east-1.1.db", 5, "ab"]],
    "an absolute path": [["/etc/000000000000_us-east-1.1.db", 5, "ab"]],
    "another service": [["sqs/000000000000_us-east-1.1.db", 5, "ab"]],
    "another region": [["dynamodb/000000000000_eu-west-1.1.db", 5, "ab"]],
    "a cut with zeros": [["dynamodb/000000000000_us-east-1.01.db", 5, "ab"]],
    "another kind": [["dynamodb/000000000000_us-east-1.1.state", 5, "ab"]],
    "another service's kind": [["dynamodb/000000000000_us-east-1.1.json", 5, "ab"]],
    "a base above a delta": [DELTA_2, ["dynamodb/000000000000_us-east-1.3.db", 5, "ab"]],
    "two of a cut": [BASE_1, ["dynamodb/000000000000_us-east-1.1.delta.jsonl", 5, "ab"]],
    "in another order": [["dynamodb/000000000000_us-east-1.3.delta.jsonl", 5, "ab"], DELTA_2],
    "above the store's cut": [["dynamodb/000000000000_us-east-1.9.db", 5, "ab"]],
}


@pytest.mark.parametrize("found", WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_no_other_files_are_opened(found: Any) -> None:
    """A manifest of a stranger names nothing outside, and nothing of another store."""
    with pytest.raises(CorruptionError, match=r"header\.entries"):
        entries.stored_in(fields(entries=found), STORE, Lsn(5))


def test_a_digest_tells_rows_apart() -> None:
    """By each of what makes a row."""
    whole = (7, "a", "", 0, 0, b"1")
    others = [
        (*whole[:at], other, *whole[at + 1 :]) for at, other in enumerate((8, "b", "b", 1, 1, b"2"))
    ]
    assert len({row_of(*each).digest for each in (whole, *others)}) == 7
    assert gone(7, "a", "").digest == 0


def test_errors_are_of_the_state(tmp_path: Path) -> None:
    """Whoever loads a store catches one kind of error for all that can be wrong with it."""
    for path in (doctored(tmp_path, "DROP VIEW entries"), lines(tmp_path, head(format=2))):
        with pytest.raises(StateError):
            Database(path) if path.suffix == DATABASE else delta.read(path, STORE)
