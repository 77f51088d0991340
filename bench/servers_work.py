"""The work one call of ``servers_app.py`` does; a module of its own, free of servers."""

from __future__ import annotations

import json
import time

DOCUMENT = {f"key-{n}": {"S": "value" * 4, "n": [n, n + 1]} for n in range(8)}
SAMPLE = 2000


def work(repeat: int) -> None:
    """Encode and decode a small document ``repeat`` times."""
    for _ in range(repeat):
        json.loads(json.dumps(DOCUMENT))


def calibrated(target_us: float) -> tuple[int, float]:
    """How often to repeat the work to spend ``target_us``, and what that really takes."""
    work(SAMPLE)
    start = time.process_time()
    work(SAMPLE)
    each_us = (time.process_time() - start) / SAMPLE * 1e6
    repeat = max(1, round(target_us / each_us))
    return repeat, repeat * each_us
