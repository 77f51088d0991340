"""Ids that come out differently at a replay, and old ids in later requests.

A record says what was answered then; the replayed call says what is answered now.
Both are taken apart into leaves, and where a leaf differs its ids are paired: the old
upload id and the new one, the old receipt handle and the new one.  Later requests are
rewritten by these pairs, word for word, wherever the old id stands.

What is paired is narrow on purpose, since requests hold users' own words as well: only
words of 8 or more characters that look drawn at random, none of a time, a message or a
request id.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

WORD = re.compile(r"[A-Za-z0-9_-]+")
WORD_BYTES = re.compile(rb"[A-Za-z0-9_-]+")
WORD_LENGTH_MIN = 8
# Letters alone are a word of somebody's language unless they are this many.
LETTERS_MIN = 32
TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]|$)|[A-Z][a-z]{2}, \d\d ")
# Fields with users' own words or with what is new at every call.
NOT_IDS = frozenset(
    {
        *("RequestId", "requestId", "HostId", "ResponseMetadata", "Body", "MD5OfBody", "Data"),
        *("MD5OfMessageBody", "MD5OfMessageAttributes", "Payload", "Item", "Items"),
        *("Attributes", "MessageAttribute", "Attribute", "SecretString", "SecretBinary"),
    }
)
Path = tuple[str, ...]


class Identifiers:
    """The pairs found so far."""

    def __init__(self) -> None:
        self._words: dict[bytes, bytes] = {}
        # Ids of more than one word, such as base64: replaced as a whole, in both spellings.
        self._phrases: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._words) + len(self._phrases)

    def learn(self, then: bytes | None, now: bytes) -> None:
        """Pair the ids of two answers to the same call."""
        if not then or not now or then == now:
            return
        before, after = leaves(then), leaves(now)
        for path, old in before.items():
            new = after.get(path)
            if new is not None and new != old and NOT_IDS.isdisjoint(path):
                self._pair(old, new)

    def _pair(self, old: str, new: str) -> None:
        if TIME.match(old) or len(old) < WORD_LENGTH_MIN:
            return
        olds, news = WORD.findall(old), WORD.findall(new)
        if len(olds) == len(news):
            for a, b in zip(olds, news, strict=True):
                if a != b and is_id(a):
                    self._words[a.encode()] = b.encode()
        elif is_id("".join(olds)) and " " not in old:
            self._phrases[old.encode()] = new.encode()
            self._phrases[quote(old, safe="").encode()] = quote(new, safe="").encode()

    def rewrite(self, data: bytes) -> bytes:
        """The same with every old id replaced by its new one."""
        for old, new in self._phrases.items():
            if old in data:
                data = data.replace(old, new)
        if not self._words:
            return data
        return WORD_BYTES.sub(lambda found: self._words.get(found[0], found[0]), data)

    def rewrite_text(self, text: str) -> str:
        """``rewrite`` for a path or a header."""
        return self.rewrite(text.encode()).decode()


def is_id(word: str) -> bool:
    """Whether a word looks as if a program had drawn it at random."""
    if len(word) < WORD_LENGTH_MIN or word.isdigit():
        return False
    return any(c.isdigit() for c in word) or len(word) >= LETTERS_MIN


def leaves(answer: bytes) -> dict[Path, str]:
    """Every text of a JSON or XML document by its path; none of anything else."""
    return dict(_walk(_parse(answer), ()))


def _parse(answer: bytes) -> Any:
    head = answer.lstrip()[:1]
    try:
        if head in (b"{", b"["):
            return json.loads(answer)
        # The standard parser expands entities, which an answer of AWS has none of.
        if head == b"<" and b"<!DOCTYPE" not in answer and b"<!ENTITY" not in answer:
            return _element(ET.fromstring(answer))  # noqa: S314 - without entities
    except (ValueError, RecursionError, ET.ParseError):
        pass
    return None


def _element(node: ET.Element) -> Any:
    """An element as JSON would have it: children by name, each a list."""
    if not len(node):
        return node.text or ""
    found: dict[str, list[Any]] = {}
    for child in node:
        found.setdefault(child.tag.rpartition("}")[2], []).append(_element(child))
    return found


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(sorted(value, key=_by_content)):
            yield from _walk(inner, (*path, str(number)))
    elif isinstance(value, str):
        yield path, value


def _by_content(value: Any) -> str:
    """Messages of a queue come in any order: the same content is the same message."""
    content = value.get("MD5OfBody", "") if isinstance(value, dict) else ""
    return str(content)
