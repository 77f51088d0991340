"""A disk of which one step takes until a test tells it to go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perdure.errors import DurabilityError
from perdure.persistence.files import Files

# How long a thread is waited for that is there.
SECONDS_MAX = 10


class SlowFiles(Files):
    """Each step called ``slow`` says that it has begun, waits, and then fails if it is to."""

    def __init__(self, slow: str, *, fails: bool = False) -> None:
        self.slow, self.fails = slow, fails
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.names: list[str] = []

    def step(self, name: str, path: Path, action: Callable[[], Any]) -> Any:
        """As the real one."""
        if name == self.slow:
            self.begun.set()
            assert self.go_on.wait(SECONDS_MAX)
            if self.fails:
                raise DurabilityError(path, name, "broken")
        self.names.append(name)
        return super().step(name, path, action)
