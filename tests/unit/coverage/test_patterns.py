"""A string for a pattern: one that matches, or none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.coverage.patterns import accepts, matching

PATTERNS = [
    r"^arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}(-gov)?-[a-z]+-\d{1}:\d{12}:function:[\w-]+$",
    r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    r"^[^\s]+$",
    r"(?!aws:)[\p{L}\p{N}_.-]*",
    r"[\S\s]*",
    r"\d{4}-\d{2}-\d{2}",
    r"(a|b){2,3}?c",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"^(\w)\1$",
    r"[^a]b\W\D\S",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_made_matches(pattern: str) -> None:
    """Patterns as AWS writes them get a string they accept."""
    made = matching(pattern)

    assert made is not None
    assert accepts(pattern, made)


def test_a_minimum_length_is_kept_where_repeats_allow() -> None:
    """A pattern with an open end is filled up to the length that is asked for."""
    made = matching(r"[a-z][a-z0-9]*", 20)

    assert made is not None
    assert len(made) >= 20


@pytest.mark.parametrize("pattern", [r"(?<!a)a(", r"a(?=b)", r"$^a"])
def test_what_cannot_be_made_is_none(pattern: str) -> None:
    """A pattern that does not compile, or asks for the impossible, gives nothing, not nonsense."""
    assert matching(pattern) is None


def test_a_pattern_nobody_can_read_accepts_everything() -> None:
    """What cannot be checked does not keep a value from being used."""
    assert accepts("(", "x")
    assert accepts(None, "x")
    assert not accepts("[0-9]+", "x")


@given(some.lists(some.sampled_from(["[a-z]", r"\d", "x", "(ab|c)", "[^0-9]"]), min_size=1))
def test_any_chain_of_parts_matches(parts: list[str]) -> None:
    """Whatever simple parts a pattern is made of, the string fits, the same each time."""
    pattern = "".join(f"{part}{{1,3}}" for part in parts)
    made = matching(pattern)

    assert made is not None
    assert re.fullmatch(pattern, made)
    assert matching(pattern) == made
