"""How the servers of these tests keep what they acknowledge."""

from __future__ import annotations

import os

from perdure.config import SaveStrategy

# Where every acknowledged call survives a kill.  ``None``: as the server does by itself.
STRATEGIES = [None, SaveStrategy.ON_REQUEST.value]
# What each variable of this process sets for the server.
VARIABLES = {
    "SOAK_SAVE_STRATEGY": "SNAPSHOT_SAVE_STRATEGY",
    "SOAK_JOURNAL_SYNC": "JOURNAL_SYNC",
    "SOAK_CHECKPOINT_INTERVAL": "CHECKPOINT_INTERVAL",
}


def settings(strategy: str | None = STRATEGIES[0], **more: str) -> dict[str, str]:
    """The server's environment; ``SOAK_...`` of this process counts more than ``strategy``."""
    chosen = {"SNAPSHOT_SAVE_STRATEGY": strategy} if strategy else {}
    asked = {to: os.environ[name] for name, to in VARIABLES.items() if os.environ.get(name)}
    return {**chosen, **more, **asked}
