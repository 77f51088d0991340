"""Every failure of a call becomes an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.engine.calls import Call
from perdure.engine.services import by_name
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


def a_call() -> Call:
    return Call(
        service=by_name()["ec2"],
        operation="ReplaceNetworkAclAssociation",
        account="000000000000",
        region="us-east-1",
        access_key="test",
        method="POST",
        scheme="http",
        host="localhost:4566",
        path="/",
        query="",
        headers=[],
        body=b"",
    )


@pytest.mark.timeout(10)
@pytest.mark.parametrize("failure", [KeyError("x"), StopIteration(), RuntimeError()], ids=repr)
def test_what_moto_raises_is_answered(failure: Exception) -> None:
    """Nobody waits for ever: a future cannot carry a StopIteration, and moto raises some."""
    pipeline = Pipeline(Failing(failure), None)  # type: ignore[arg-type]
    try:
        answer = asyncio.run(asyncio.wait_for(pipeline.run(a_call()), 5))
    finally:
        pipeline.close(seconds=1)

    assert answer.status == 500
    assert b"failed inside the engine" in answer.body
