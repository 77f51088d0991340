"""Who wrote a file, against who reads it.

Newer readers know what older writers did; nobody knows what a newer one will do.
So a file of a newer Perdure, or of a newer engine, is refused and left as it is:
read by an older one, its attributes would be dropped or misunderstood, and the next
save would make that final.  A newer patch release counts too, since engines rename
attributes in those.  Python is not compared: nothing in a file depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from packaging.version import Version

from perdure.errors import CorruptionError, NewerVersionError

COMPARED = ("perdure", "moto")


def refuse_newer(path: Path, written_by: Mapping[str, str], running: Mapping[str, str]) -> None:
    """Raise if a newer program than the running one wrote a file.

    Args:
        path: Named in the error.
        written_by: Versions by name, as the file says.  One that it does not say is
            not compared: every writer says both.
        running: Versions by name.

    Raises:
        NewerVersionError: One of ``COMPARED`` is newer.
        CorruptionError: What the file says is no version.
    """
    for name in COMPARED:
        if name not in written_by or name not in running:
            continue
        if _parsed(path, written_by[name]) > Version(running[name]):
            raise NewerVersionError(path, found=said(written_by), running=said(running))


def said(versions: Mapping[str, str]) -> str:
    """Versions in words: ``Perdure 0.1.0, moto 5.2.5``."""
    known = [(name, versions[name]) for name in COMPARED if name in versions]
    return ", ".join(f"{name.replace('perdure', 'Perdure')} {at}" for name, at in known)


def _parsed(path: Path, text: str) -> Version:
    try:
        return Version(text)
    except ValueError as error:  # InvalidVersion, or digits without end
        raise CorruptionError(
            path, "written_by", expected="a version", found=repr(text)[:100]
        ) from error
