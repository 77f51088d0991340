"""Every failure of a call becomes an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.calls import a_call

from perdure.engine.calls import Call
from perdure.gateway.pipeline import Pipeline


class Failing:
    """An engine whose calls raise what they are told to."""

    last_touched: frozenset[Any] = frozenset()

    def __init__(self, failure: BaseException) -> None:
        self.failure = failure

    def execute(self, call: Call, *, may_park: bool) -> Any:
        raise self.failure

    def would_load(self, call: Call) -> bool:
        return False

    def may_go_out(self, call: Call) -> bool:
        return False


@pytest.mark.timeout(10)
@pytest.mark.parametrize("failure", [KeyError("x"), StopIteration(), RuntimeError()], ids=repr)
def test_what_moto_raises_is_answered(failure: Exception) -> None:
    """Nobody waits for ever: a future cannot carry a StopIteration, and moto raises some."""
    pipeline = Pipeline(Failing(failure), None)  # type: ignore[arg-type]
    try:
        answer = asyncio.run(
            asyncio.wait_for(pipeline.run(a_call("ec2", "ReplaceNetworkAclAssociation")), 5)
        )
    finally:
        pipeline.close(seconds=1)

    assert answer.status == 500
    assert b"failed inside the engine" in answer.body


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b"null", b"7", b'{"a":' * 100_000, b"[" * 100_000],
    ids=["cut off", "list", "null", "number", "deep objects", "deep lists"],
)
def test_a_body_that_is_no_json_object_is_the_clients_error(body: bytes) -> None:
    """However deep it is: a call that fails then is answered with 400."""
    pipeline = Pipeline(Failing(RecursionError()), None)  # type: ignore[arg-type]
    try:
        answer = asyncio.run(
            asyncio.wait_for(pipeline.run(a_call("dynamodb", "PutItem", body=body)), 5)
        )
    finally:
        pipeline.close(seconds=1)

    assert answer.status == 400
    assert b"SerializationException" in answer.body
