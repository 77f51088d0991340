"""The end of a connection at a stop."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.server import ServerState

FAREWELL_SECONDS = 0.2


def forget_soon(state: ServerState, connection: Any) -> None:
    """Let a stop wait no longer for a connection that has said all it will say.

    Its end takes the client: TLS and HTTP/2 end with a word from each side.  An idle client
    does not read, and would keep the stop waiting until the time for calls in flight is over.
    """
    loop = asyncio.get_running_loop()
    loop.call_later(FAREWELL_SECONDS, state.connections.discard, connection)
