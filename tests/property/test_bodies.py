"""Any body, however it arrives: what is read of it is what was sent."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perdure.engine.bodies import INLINE_BYTES
from perdure.gateway import uploads
from perdure.persistence.blobs import BlobStore
from perdure.persistence.body import Body, BodyFile, parts_in, parts_out

PIECE = uploads.PIECE_BYTES
BYTES = bytes(range(251)) * 6000
# Around what decides: the size an object keeps in itself, a piece, two of them.
SIZES = st.sampled_from([0, INLINE_BYTES, PIECE, 2 * PIECE]).flatmap(
    lambda size: st.integers(max(0, size - 3), size + 3)
)
CUTS = st.lists(st.integers(1, PIECE + 5), min_size=1, max_size=5)


def arriving(data: bytes, cuts: list[int]) -> list[dict[str, Any]]:
    """The body in pieces of these sizes, over and over."""
    messages, at, turn = [], 0, 0
    while at < len(data) or not messages:
        # A body in pieces of a few bytes takes long, and says no more.
        size = cuts[turn % len(cuts)] + len(data) // 100
        messages.append({"type": "http.request", "body": data[at : at + size], "more_body": True})
        at, turn = at + size, turn + 1
    messages[-1]["more_body"] = False
    return messages


def chunks_of(data: bytes, size: int) -> bytes:
    """The body in chunks of AWS' own."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@given(
    size=SIZES,
    cuts=CUTS,
    chunk=st.none() | st.integers(5_000, 2 * PIECE),
    spans=st.lists(st.tuples(st.integers(-5, 3 * PIECE), st.integers(-5, 3 * PIECE)), max_size=4),
)
def test_what_is_read_is_what_was_sent(
    size: int, cuts: list[int], chunk: int | None, spans: list[tuple[int, int]]
) -> None:
    """Put, get and any range agree with the bytes, in one body and in one of several parts."""
    data = BYTES[:size]
    sent = data if chunk is None else chunks_of(data, chunk)
    headers = {} if chunk is None else {"content-encoding": "aws-chunked"}
    with tempfile.TemporaryDirectory() as folder:
        store = BlobStore(Path(folder))
        waiting = iter(arriving(sent, cuts))

        async def receive() -> dict[str, Any]:
            return next(waiting)

        found, _ = asyncio.run(uploads.receive_object(receive, headers, store))
        assert isinstance(found, bytes) == (size <= INLINE_BYTES)
        body = found if isinstance(found, Body) else Body(store, [found] if found else [])
        assert body.read_all() == data
        double = Body(store, [*body.parts, b"between", *body.parts])
        for start, stop in spans:
            for whole, expected in ((body, data), (double, data + b"between" + data)):
                part = whole[start:stop]
                again = Body(store, parts_in(parts_out(BodyFile(part))[0]) or ())
                assert again.read_all() == expected[start:stop]
                assert len(again) == len(expected[start:stop])
