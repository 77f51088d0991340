"""A body: bytes that lie in blobs, in parts, and are never in memory as a whole.

An object of one put is one blob; one of several parts is the list of theirs; a copy is
the same list, and a range of it a list of parts of blobs.  So nothing is written twice.
A body does not change, and holds its blobs for as long as it lives.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

from perdure.persistence.blobs import AHEAD_BYTES, CHUNK, NAME, Blob, BlobStore, advise
from perdure.persistence.fields import INTEGER_MAX


class Span(NamedTuple):
    """Bytes ``at`` to ``at + length`` of a blob; ``length`` is at least 1."""

    name: str
    size: int
    at: int
    length: int

    @property
    def blob(self) -> Blob:
        """Which."""
        return Blob(self.name, self.size)


Part = Span | bytes


def whole(blob: Blob) -> Span:
    """All of a blob."""
    return Span(blob.name, blob.size, 0, blob.size)


class Body:
    """Bytes in blobs.  ``len``, slices and truth are those of the bytes."""

    __slots__ = ("__weakref__", "names", "parts", "size", "store")

    def __init__(self, store: BlobStore, parts: Iterable[Part]) -> None:
        """Hold the blobs of ``parts``; small ones may stand there as they are."""
        self.store = store
        self.parts = tuple(parts)
        self.size = sum(map(_length, self.parts))
        self.names = frozenset(part.name for part in self.parts if isinstance(part, Span))
        store.hold(self)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The blobs it is made of, each once."""
        found = {part.blob: None for part in self.parts if isinstance(part, Span)}
        return tuple(found)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: slice) -> Body:
        """A range, without reading it; the step must be 1."""
        start, stop, step = key.indices(self.size)
        assert step == 1, "a body has no other steps"
        if (start, stop) == (0, self.size):
            return self
        return Body(self.store, self._cut(start, stop))

    def _cut(self, start: int, stop: int) -> Iterator[Part]:
        at = 0
        for part in self.parts:
            length = _length(part)
            first, last = max(start - at, 0), min(stop - at, length)
            if first < last:
                if isinstance(part, bytes):
                    yield part[first:last]
                else:
                    yield Span(part.name, part.size, part.at + first, last - first)
            at += length

    def __deepcopy__(self, _: Any) -> Body:
        return self

    def check(self) -> None:
        """See that every blob is there, and as long as it should be; ``CorruptionError``."""
        for blob in self.blobs:
            self.store.check(blob)

    def chunks(self, chunk_bytes: int = CHUNK) -> Generator[bytes, None, None]:
        """The bytes in order, at most ``chunk_bytes`` at a time.

        Raises:
            CorruptionError: A blob is missing, or not as long as it should be.
        """
        for part, following in zip(self.parts, (*self.parts, b"")[1:], strict=True):
            if isinstance(following, Span):
                self.store.expect(following.blob, following.at, following.length)
            if isinstance(part, bytes):
                yield part
            else:
                yield from self._read(part, chunk_bytes)

    def _read(self, span: Span, chunk_bytes: int) -> Iterator[bytes]:
        descriptor = self.store.open(span.blob)
        try:
            at, end = span.at, span.at + span.length
            expected = at
            while at < end:
                # Half a window ahead, so that a disk works while what it brought is sent.
                if at + AHEAD_BYTES // 2 >= expected:
                    ahead = min(AHEAD_BYTES, end - expected)
                    advise(descriptor, expected, ahead)
                    expected += ahead
                data = os.pread(descriptor, min(chunk_bytes, end - at), at)
                if not data:
                    # It was as long as it should be when it was opened.
                    raise self.store.damaged(span.blob, f"{at} bytes")
                at += len(data)
                yield data
        finally:
            os.close(descriptor)

    def read_all(self) -> bytes:
        """All of it, in memory."""
        return b"".join(self.chunks())

    def md5(self) -> str:
        """Its MD5, hex."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Span):
            span = self.parts[0]
            known = self.store.md5_of(span.name) if span.length == span.size else None
            if known is not None:
                return known
        seen = hashlib.md5(usedforsecurity=False)
        for data in self.chunks():
            seen.update(data)
        return seen.hexdigest()


class BodyFile:
    """A body as an open file: what an object of the state holds in a file's place."""

    def __init__(self, body: Body | None) -> None:
        """Open ``body``; None = as a closed one."""
        self._body = body

    @property
    def closed(self) -> bool:
        """Whether its object was deleted."""
        return self._body is None

    @property
    def body(self) -> Body:
        """What it holds; ``ValueError`` if it is closed, as of a file."""
        if self._body is None:
            raise ValueError("I/O operation on closed file.")
        return self._body

    def close(self) -> None:
        """Let go of the blobs."""
        self._body = None


def parts_out(file: BodyFile) -> tuple[Any, ...]:
    """A body in a state file: its parts, each bytes or [name, size, at, length]."""
    if file.closed:
        return (None,)
    return ([part if isinstance(part, bytes) else list(part) for part in file.body.parts],)


def parts_in(rows: Any) -> list[Part] | None:
    """What ``parts_out`` made, of a file that may be a stranger's; ``TypeError``."""
    if rows is None:
        return None
    if type(rows) is not list:
        raise TypeError(f"{type(rows).__name__} where a list of parts is expected")
    parts = [row if type(row) is bytes else _span_in(row) for row in rows]
    if sum(map(_length, parts)) > INTEGER_MAX:
        raise TypeError("a body of more bytes than can be counted")
    return parts


def _span_in(row: Any) -> Span:
    if type(row) is list and [type(value) for value in row] == [str, int, int, int]:
        span = Span(*row)
        # A name becomes part of a path, and nothing else may.
        is_within = 0 <= span.at < span.at + span.length <= span.size <= INTEGER_MAX
        if NAME.fullmatch(span.name) and is_within:
            return span
    raise TypeError("a part that is neither bytes nor [name, size, at, length] of a blob")


def _length(part: Part) -> int:
    return part.length if isinstance(part, Span) else len(part)
