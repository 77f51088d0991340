"""The journal's tail becomes state: replay, its progress, and what did not come out alike.

    load      the newest checkpoint's stores, each when it is first needed
    replay    every record behind its cut, in the order of the LSNs
    finish    what ran when the log ends is ended, or goes on

A call that answers in another way than it did then has *diverged*: the tail and the
checkpoint it started from are kept aside before anything else is written, its stores
are marked in ``/health``, and the start goes on; with RECOVERY=strict it is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perdure.engine.replaying import Divergence, Replayer
from perdure.errors import CorruptionError, RecoveryStoppedError, ReplayError
from perdure.persistence.heap import no_collections
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.record import CALL, IMAGES, MARK, decode_call, decode_images
from perdure.persistence.segment import FOLDER, Record
from perdure.persistence.tail import Tail

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0
# A journal can hold so many that keeping each would fill the memory.
DIVERGENCES_MAX = 100


@dataclass(slots=True)
class Recovery:
    """How a start went, for ``/health`` and the log.

    Attributes:
        verdict: What the journal was found to be: clean, torn, diverged.
        replayed: Records done so far.
        seconds: How long the replay took.
        diverged: By store, the first record of it that came out otherwise.
        lost: By store, what could not be written down when it happened.
        details: What the scan of the journal found, for people.
        divergences: The first ``DIVERGENCES_MAX`` calls that came out otherwise.
        divergence_count: How many did, in all.
    """

    verdict: str = "clean"
    replayed: int = 0
    last_lsn: int = 0
    seconds: float = 0.0
    diverged: dict[StoreKey, str] = field(default_factory=dict)
    lost: dict[StoreKey, str] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)
    divergences: list[tuple[Lsn, Divergence]] = field(default_factory=list)
    divergence_count: int = 0

    def to_json(self) -> dict[str, Any]:
        """For ``/health``."""
        return {
            "verdict": self.verdict,
            "replayed": self.replayed,
            "last_lsn": self.last_lsn,
            "seconds": round(self.seconds, 3),
            "diverged": [
                {
                    "lsn": lsn,
                    "call": plain(each.call),
                    "expected": plain(each.expected),
                    "found": plain(each.found),
                    "stores": sorted(map(str, each.stores)),
                }
                for lsn, each in self.divergences
            ],
            "divergence_count": self.divergence_count,
            "lost": {str(key): reason for key, reason in self.lost.items()},
            "details": self.details,
        }


# Nothing dies in a replay: each walk over the growing heap would find no garbage.
@no_collections(is_state=True)
def replay(
    tail: Tail,
    replayer: Replayer,
    recovery: Recovery,
    *,
    strict: bool,
    stop: Callable[[], bool],
) -> set[StoreKey]:
    """Replay all records of a tail.  Needs the engine lock.

    Returns:
        Stores changed by what was finished at the end: to be written down anew.

    Raises:
        ReplayError: A call diverged, and ``strict`` refuses that.
        CorruptionError: A record is whole, and what it says is not of its format.
        RecoveryStoppedError: ``stop`` said so; nothing on disk was changed.
    """
    started = said = time.monotonic()
    for record in tail.records():
        if stop():
            # Said here: whoever stops the server waits for no outcome of its start.
            log.info(
                "stopped after %d records were replayed; nothing on disk was changed, and the "
                "next start begins where this one began",
                recovery.replayed,
            )
            raise RecoveryStoppedError(recovery.replayed)
        _replay_one(record, replayer, recovery, path=tail.path / FOLDER, strict=strict)
        recovery.replayed += 1
        recovery.last_lsn = record.lsn
        recovery.seconds = time.monotonic() - started
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            log.info("replayed %d records, up to LSN %d", recovery.replayed, record.lsn)
    changed = replayer.finish()
    recovery.lost |= replayer.troubles
    return changed


def _replay_one(
    record: Record, replayer: Replayer, recovery: Recovery, *, path: Path, strict: bool
) -> None:
    if record.kind == MARK:
        return
    if record.kind == IMAGES:
        images = decode_images(record.payload, path=path)
        replayer.images(images, path=path)
        recovery.lost |= {key: plain(reason) for key, reason in images.lost}
        return
    if record.kind != CALL:
        raise CorruptionError(path, f"LSN {record.lsn}", expected="a known kind", found=record.kind)
    divergence = replayer.call(decode_call(record.payload, path=path))
    if divergence is None:
        return
    if strict:
        raise ReplayError(
            record.lsn, divergence.call, expected=divergence.expected, found=divergence.found
        )
    _diverged(record.lsn, divergence, recovery)


def _diverged(lsn: Lsn, divergence: Divergence, recovery: Recovery) -> None:
    recovery.verdict = "diverged"
    recovery.divergence_count += 1
    if recovery.divergence_count <= DIVERGENCES_MAX:
        recovery.divergences.append((lsn, divergence))
    call = plain(divergence.call)
    text = f"LSN {lsn}, {call}: answered otherwise than before the restart"
    for key in divergence.stores:
        recovery.diverged.setdefault(key, text)
    log.error(
        "%s: expected %s, found %s", text, plain(divergence.expected), plain(divergence.found)
    )


def plain(text: str) -> str:
    """A text of a record as any answer and any log can carry it: no lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()
