"""Bodies of routes that are not AWS': small, whole, and maybe no JSON."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

BODY_BYTES_MAX = 1 << 20


def parsed(body: bytes) -> Any:
    """The JSON in a body; None if it is none, or nested too deep to be read."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


async def small_body(request: Request) -> bytes:
    """A body of these routes, whole.

    Raises:
        HTTPException: It is larger than any of them takes, or the client went away.
    """
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise HTTPException(413, f"a body here has at most {BODY_BYTES_MAX} bytes")
    except ClientDisconnect as error:
        raise HTTPException(400, "the body is not whole") from error
    return body
