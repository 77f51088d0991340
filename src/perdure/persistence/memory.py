"""A bound on the memory that reading a stranger's bytes may take.

A payload of ten bytes can ask the unpickler for a table of two thousand million
entries, and a list costs one byte to write and sixty to hold.  No check of the bytes
that is fast enough finds the first; so the system is asked to refuse: while opcodes
run, the address space may grow by a multiple of the payload and no more.  What goes
beyond that is a ``MemoryError`` in here, not the end of the process.

Only where the system can say how large the process is (Linux); elsewhere nothing is
bounded.  The limit holds for the whole process for as long as one payload is read, so
it leaves room for the others: ``ROOM_BYTES``.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM_BYTES = 512 << 20
# Measured on the stores moto fills: 3.5 to 7 times the payload.
GROWTH_MAX = 64
_STATM = Path("/proc/self/statm")


@contextmanager
def bounded(payload_bytes: int) -> Iterator[None]:
    """Let the process grow by ``ROOM_BYTES`` and ``GROWTH_MAX`` times the payload."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        pages = int(_STATM.read_text().split()[0])
    except OSError:
        yield
        return
    limit = pages * resource.getpagesize() + ROOM_BYTES + GROWTH_MAX * payload_bytes
    set_already = [each for each in before if each != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([limit, *set_already]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
