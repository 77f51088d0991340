"""The end of a connection at a stop."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.server import ServerState

FAREWELL_SECONDS = 0.2


def close_soon(transport: asyncio.Transport, state: ServerState, connection: Any) -> None:
    """Close, and soon stop waiting for the client.

    TLS ends with a word from each side.  An idle client does not read, so it would keep
    the stop waiting until the time for calls in flight is over.
    """
    transport.close()
    loop = asyncio.get_running_loop()
    loop.call_later(FAREWELL_SECONDS, state.connections.discard, connection)
