"""Fields: a JSON document is of the types its format says, or a CorruptionError says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import CorruptionError
from perdure.persistence.fields import INTEGER_MAX, SHOWN_MAX, Fields, decode, shown
from perdure.persistence.keys import StoreKey

PATH = Path("document.json")
Ask = Callable[[Fields], Any]


def fields(value: Any) -> Fields:
    return Fields({"it": value}, PATH, "document")


RIGHT: list[tuple[Ask, Any, Any]] = [
    (lambda f: f.integer("it"), 0, 0),
    (lambda f: f.integer("it"), INTEGER_MAX, INTEGER_MAX),
    (lambda f: f.integers("it"), [1, 2], [1, 2]),
    (lambda f: f.text("it"), "é", "é"),
    (lambda f: f.texts("it"), {"a": "b"}, {"a": "b"}),
    (lambda f: f.moment("it"), "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"),
    (lambda f: f.items("it"), [1, "a"], [1, "a"]),
    (lambda f: f.inner("it").text("a"), {"a": "b"}, "b"),
    (lambda f: [row.text("a") for row in f.rows("it")], [{"a": "b"}], ["b"]),
    (lambda f: f.key("it"), ["s3", "0", "aws"], StoreKey("s3", "0", "aws")),
    (lambda f: f.keys("it"), [["s3", "0", "aws"]], [StoreKey("s3", "0", "aws")]),
]


@pytest.mark.parametrize(("ask", "value", "found"), RIGHT)
def test_a_field_of_the_right_type_is_what_was_written(ask: Ask, value: Any, found: Any) -> None:
    """Each type reads back as it stands in the document."""
    assert ask(fields(value)) == found


ODD: list[Any] = [None, True, 1.0, "1", -1, INTEGER_MAX + 1, 10**40, 1e308, float("nan"), {}, []]
DEEP: Any = []
for _ in range(5_000):
    DEEP = [DEEP]
WRONG: dict[str, tuple[Ask, list[Any]]] = {
    "integer": (lambda f: f.integer("it"), [*ODD, [1]]),
    "integers": (lambda f: f.integers("it"), [None, 1, {}, "12", *([value] for value in ODD)]),
    "text": (lambda f: f.text("it"), [None, 1, True, ["a"], {"a": "b"}]),
    "texts": (lambda f: f.texts("it"), [None, [], "a", {"a": 1}, {"a": None}]),
    "moment": (lambda f: f.moment("it"), [None, 5, "", "now", "99999-01-01"]),
    "items": (lambda f: f.items("it"), [None, {}, {"a": 1}, "ab"]),
    "inner": (lambda f: f.inner("it"), [None, [], "a", 1]),
    "rows": (lambda f: f.rows("it"), [None, {}, [1], [{}, []]]),
    "key": (lambda f: f.key("it"), [None, "abc", [], ["..", "a", "b"], [1, 2, 3], DEEP]),
    "keys": (lambda f: f.keys("it"), [None, {}, ["abc"], [["s3", "..", "a"]], DEEP]),
}


@pytest.mark.parametrize(("ask", "values"), WRONG.values(), ids=WRONG.keys())
def test_a_field_of_another_type_names_itself(ask: Ask, values: list[Any]) -> None:
    """Nothing is taken for another type; the error says which field, expected and found."""
    for value in values:
        with pytest.raises(
            CorruptionError, match=r"document\.it.*: expected .+, found .+"
        ) as error:
            ask(fields(value))
        assert error.value.path == PATH
        assert len(str(error.value)) < 300


def test_a_field_that_is_missing_is_told_from_a_null() -> None:
    """What is not there is found as nothing, a null as null."""
    with pytest.raises(CorruptionError, match="found nothing"):
        Fields({}, PATH, "document").text("it")
    with pytest.raises(CorruptionError, match="found null"):
        fields(None).text("it")


@pytest.mark.parametrize("value", ["x" * 9_999, 10**4_000, [["a" * 999]], {"a": "b" * 999}])
def test_what_was_found_is_shown_short(value: Any) -> None:
    """However large a value is, its place in a message is small."""
    assert len(shown(value)) <= SHOWN_MAX


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe\0", b"[" * 200_000, b'{"a":' * 200_000, b"1" * 10_000, b"[]", b"null"],
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """Whatever the bytes, nested without end too, the answer is a CorruptionError."""
    with pytest.raises(CorruptionError) as error:
        decode(data, PATH, "document", lambda document: document.values)

    assert error.value.path == PATH


def test_what_is_nested_too_deep_to_be_used_is_refused() -> None:
    """A document that can be parsed, but not walked, is a CorruptionError as well."""

    def walk(document: Fields) -> None:
        raise RecursionError

    with pytest.raises(CorruptionError, match="nesting"):
        decode(b"{}", PATH, "document", walk)
