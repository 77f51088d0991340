"""A string that a model's pattern accepts, the same one every time.

AWS writes its patterns for Java: unanchored ones mean the whole string, and some
cannot be compiled here.  Those are left to the caller's own candidates.
"""

from __future__ import annotations

import re
from functools import cache
from re import _constants as kind  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

# Beyond it a text is filled up by its caller; nested repeats would grow with its square.
LENGTH_MAX = 300
_JAVA = ((r"\p{L}", "a-zA-Z"), (r"\p{N}", "0-9"), (r"\p{Z}", " "), (r"\p{P}", "-"), (r"\p{S}", "+"))
_CATEGORIES = {
    kind.CATEGORY_DIGIT: "1",
    kind.CATEGORY_WORD: "a",
    kind.CATEGORY_SPACE: " ",
    kind.CATEGORY_NOT_DIGIT: "a",
    kind.CATEGORY_NOT_SPACE: "a",
    kind.CATEGORY_NOT_WORD: "-",
}


@cache
def compiled(pattern: str) -> re.Pattern[str] | None:
    """The pattern for this language, or None where it cannot be."""
    for java, ours in _JAVA:
        pattern = pattern.replace(f"[{java}]", f"[{ours}]").replace(java, ours)
    try:
        return re.compile(pattern.replace(r"\z", r"\Z"))
    except re.error:
        return None


def accepts(pattern: str | None, text: str) -> bool:
    """Whether the whole text fits; a pattern that cannot be read accepts everything."""
    found = None if pattern is None else compiled(pattern)
    return found is None or found.fullmatch(text) is not None


@cache
def matching(pattern: str, length_min: int = 0) -> str | None:
    """A string the pattern accepts, at least so long if that can be; else None."""
    found = compiled(pattern)
    if found is None:
        return None
    parsed = _parser.parse(found.pattern)
    for repeats in (1, min(length_min, LENGTH_MAX)):
        try:
            text = _Writer(repeats).write(parsed)
        except (LookupError, ValueError):
            return None
        if found.fullmatch(text) and len(text) >= length_min:
            return text
    return None


class _Writer:
    """Walks a parsed pattern and takes the first way everywhere."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self.groups: dict[int, str] = {}

    def write(self, parsed: Any) -> str:
        return "".join(self.one(op, argument) for op, argument in parsed)

    def one(self, op: Any, argument: Any) -> str:
        if op is kind.LITERAL:
            return chr(argument)
        if op is kind.NOT_LITERAL:
            return "b" if argument == ord("a") else "a"
        if op is kind.ANY:
            return "a"
        if op is kind.IN:
            return _member(argument)
        if op in (kind.MAX_REPEAT, kind.MIN_REPEAT, kind.POSSESSIVE_REPEAT):
            low, high, inner = argument
            times = min(max(low, self.repeats), high)
            return "".join(self.write(inner) for _ in range(times))
        if op is kind.SUBPATTERN:
            group, *_, inner = argument
            text = self.groups[group] = self.write(inner)
            return text
        if op is kind.BRANCH:
            return self.write(argument[1][0])
        if op is kind.GROUPREF:
            return self.groups[argument]
        if op in (kind.AT, kind.ASSERT, kind.ASSERT_NOT):
            return ""
        raise LookupError(op)


def _member(choices: Any) -> str:
    """A member of a class: a letter or digit if it has one."""
    if choices[0][0] is kind.NEGATE:
        for character in "a1-_A ":
            if not any(_is_in(character, choice) for choice in choices[1:]):
                return character
        raise LookupError(choices)
    for character in "asw1A-_":
        if any(_is_in(character, choice) for choice in choices):
            return character
    op, argument = choices[0]
    return chr(argument[0] if op is kind.RANGE else argument)


def _is_in(character: str, choice: Any) -> bool:
    op, argument = choice
    if op is kind.LITERAL:
        return bool(argument == ord(character))
    if op is kind.RANGE:
        return bool(argument[0] <= ord(character) <= argument[1])
    return op is kind.CATEGORY and _of_category(character, argument)


def _of_category(character: str, category: Any) -> bool:
    name = {"1": kind.CATEGORY_DIGIT, " ": kind.CATEGORY_SPACE}.get(character)
    if category in (kind.CATEGORY_NOT_DIGIT, kind.CATEGORY_NOT_SPACE):
        return category is not {
            kind.CATEGORY_DIGIT: kind.CATEGORY_NOT_DIGIT,
            kind.CATEGORY_SPACE: kind.CATEGORY_NOT_SPACE,
        }.get(name)
    is_word = character.isalnum() or character == "_"
    if category is kind.CATEGORY_WORD:
        return is_word
    if category is kind.CATEGORY_NOT_WORD:
        return not is_word
    return category is name
