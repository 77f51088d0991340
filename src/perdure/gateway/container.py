"""Tells when state is kept where a container's end takes it away.

A path in a container that no mount covers lies in the container's own layer, and an
anonymous volume is one nobody named: both are gone with the container.  Users notice when
it is too late, so the start says it.  What covers a path stands in the kernel's list of
mounts, ``/proc/self/mountinfo``:

    36 35 98:0 /volumes/x/_data /var/lib/localstack rw,noatime master:1 - ext4 /dev/sda rw
    id parent device  root       mount point        options     tags    - type source options
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

MOUNTS = Path("/proc/self/mountinfo")
# Docker and Podman give a volume without a name 64 hexadecimal digits.
_ANONYMOUS = re.compile(r"/volumes/[0-9a-f]{64}(/_data)?(/|$)")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_IN_MEMORY = ("tmpfs", "ramfs")


class Mount(NamedTuple):
    """What covers a path: where, which folder of the file system, which kind."""

    point: Path
    root: str
    kind: str


def warning(state_dir: Path, *, mounts: Path = MOUNTS) -> str | None:
    """What is wrong with keeping state in this folder of a container.

    Args:
        state_dir: The state directory; it need not exist yet.
        mounts: The kernel's list of mounts.

    Returns:
        A sentence for the log with what to do, or None: the folder outlives the container, or
        there is no list of mounts to tell (not Linux).
    """
    try:
        covering = mount_of(state_dir.resolve(), mounts.read_text(errors="surrogateescape"))
    except FileNotFoundError:
        return None
    if covering is None or covering.point == Path("/"):
        where = "in the container's own layer"
    elif covering.kind in _IN_MEMORY:
        where = f"in memory ({covering.kind} on {covering.point})"
    elif _ANONYMOUS.search(covering.root):
        where = f"in a volume without a name (on {covering.point})"
    else:
        return None
    return (
        f"the state directory {state_dir} is {where}: it is lost with the container. "
        f"Mount a folder or a named volume, for instance `--volume perdure:{state_dir.absolute()}`"
    )


def mount_of(path: Path, text: str) -> Mount | None:
    """The mount that covers an absolute path; None if the list names none."""
    covering = [mount for mount in _parsed(text) if path.is_relative_to(mount.point)]
    # Of two on the same point the later one hides the earlier.
    return max(reversed(covering), key=lambda mount: len(mount.point.parts), default=None)


def _parsed(text: str) -> list[Mount]:
    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if separator and len(fields) > 4 and after:  # noqa: PLR2004 - the mount point is the fifth
            kind = after.split(" ")[0]
            mounts.append(Mount(Path(_unescaped(fields[4])), _unescaped(fields[3]), kind))
    return mounts


def _unescaped(field: str) -> str:
    r"""Spaces and the like stand as ``\040``."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)
