"""The most memory a process has had, which is what the limits of the tests are about.

Not ``getrusage``: a process that ``exec`` made begins there with the highest mark of the one that
started it, so that a small child of a large run of tests looks large.
"""

from __future__ import annotations

import re
from pathlib import Path


def peak_mb(process: int | str = "self") -> int:
    """The highest mark of a process since it started, or since :func:`begin_peak`."""
    status = (Path("/proc") / str(process) / "status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found, status
    return int(found[1]) >> 10


def begin_peak() -> None:
    """From here on the kernel counts this process' highest mark anew."""
    Path("/proc/self/clear_refs").write_text("5")
