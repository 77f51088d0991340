"""What shapes answers besides the call: a journal is replayed by its own kind of engine.

Versions alone do not tell: a change of ours to moto's behaviour, or a setting of moto's
in the environment, answers differently under the same version.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path

import moto

from perdure import __version__

# Where moto's threads send their calls: answers do not show it.
NOT_SHOWN = frozenset({"MOTO_PORT", "MOTO_ALLOW_NONEXISTENT_REGION"})

# Those that come from the environment: another shell has others than the server will.
ENVIRONMENT = frozenset({"any_region", "settings"})


def fingerprint(*, any_region: bool) -> dict[str, str]:
    """Name and value of everything that does; texts that can be compared and shown."""
    settings = {k: v for k, v in os.environ.items() if k.startswith("MOTO_") and k not in NOT_SHOWN}
    return {
        "perdure": __version__,
        "moto": moto.__version__,
        # Whose data and whose parsing of requests stand in answers.
        "botocore": metadata.version("botocore"),
        "werkzeug": metadata.version("werkzeug"),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "engine": _sources(),
        "any_region": str(any_region).lower(),
        "settings": json.dumps(settings, sort_keys=True) if settings else "",
    }


@cache
def _sources() -> str:
    """A digest of the engine's own source."""
    seen = blake2b(digest_size=8)
    folder = Path(__file__).parent
    for file in sorted(folder.rglob("*.py")):
        seen.update(file.relative_to(folder).as_posix().encode())
        seen.update(file.read_bytes())
    return seen.hexdigest()
