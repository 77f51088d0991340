"""Calls as the gateway would classify them."""

from __future__ import annotations

from typing import Any

from perdure.engine.calls import Call
from perdure.engine.services import by_name


def a_call(service: str, operation: str, **changes: Any) -> Call:
    """A call of the default account in us-east-1, by the target header, with no body."""
    given: dict[str, Any] = {
        "service": by_name()[service],
        "operation": operation,
        "account": "000000000000",
        "region": "us-east-1",
        "access_key": "test",
        "method": "POST",
        "scheme": "http",
        "host": "localhost:4566",
        "path": "/",
        "query": "",
        "headers": [],
        "body": b"",
    }
    return Call(**(given | changes))
