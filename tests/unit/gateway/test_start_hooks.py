"""What a script of start.d can do to the start of a server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from perdure import config
from perdure.gateway import server
from perdure.gateway.init_hooks import InitHooks, Stage


def test_a_start_script_that_waits_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A script of start.d that does not end keeps calls out for a while, not for ever."""
    monkeypatch.setattr(server, "START_SECONDS", 0.2)
    script = tmp_path / "start.d" / "a.sh"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nsleep 60\n")
    script.chmod(0o755)
    starting = server.Server.__new__(server.Server)
    starting.config = config.load({})
    starting.hooks = InitHooks(tmp_path)
    starting.lifecycle = SimpleNamespace(restore=lambda: None, enabled=False)
    starting.app = SimpleNamespace(ready=asyncio.Event())

    async def start() -> None:
        await starting._work()
        starting.hooks.halt()

    asyncio.run(start())

    assert starting.app.ready.is_set()
    assert "start.d still runs" in caplog.text
    assert Stage.START in starting.hooks.completed
