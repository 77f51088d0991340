"""One recorded call as JSON, and back."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

from perdure.engine.calls import Answer, Call
from perdure.engine.doors import CallNotes, Passage
from perdure.engine.pins import Pins
from perdure.engine.services import by_name

SHOWN = 1500


@dataclass(slots=True)
class Recorded:
    """What a call ran with."""

    call: Call
    pins: Pins
    may_park: bool
    config: dict[str, Any]
    environment: dict[str, str]
    url: str


def describe(recorded: Recorded, notes: CallNotes, seen: str) -> dict[str, Any]:
    """All that a replay needs, as JSON."""
    call = {f.name: getattr(recorded.call, f.name) for f in fields(Call)}
    call["service"] = recorded.call.service.name
    call["body"] = _out(recorded.call.body)
    return {
        "call": call,
        "pins": [recorded.pins.clock_us, recorded.pins.seed],
        "may_park": recorded.may_park,
        "config": recorded.config,
        "environment": recorded.environment,
        "url": recorded.url,
        "doors": [[name, _out(value)] for name, value in notes.doors],
        "impure": notes.impure,
        "seen": seen,
    }


def restore(row: dict[str, Any]) -> tuple[Recorded, list[Passage]]:
    """The other direction; and what came through its doors."""
    call = dict(row["call"])
    call["service"] = by_name()[call["service"]]
    call["body"] = base64.b64decode(call["body"])
    call["headers"] = [tuple(header) for header in call["headers"]]
    recorded = Recorded(
        Call(**call),
        Pins(*row["pins"]),
        row["may_park"],
        row["config"],
        row["environment"],
        row["url"],
    )
    return recorded, [(name, base64.b64decode(value)) for name, value in row["doors"]]


def seen_of(outcome: Answer | BaseException) -> str:
    """An answer (or an error) as a digest of all, and a beginning to look at."""
    if isinstance(outcome, Answer):
        text = f"{outcome.status} {json.dumps(outcome.headers)} {outcome.body!r}"
    else:
        text = f"{type(outcome).__name__}: {outcome}"
    digest = blake2b(text.encode(), digest_size=12).hexdigest()
    return f"{digest} {text[:SHOWN]}"


def _out(data: bytes) -> str:
    return base64.b64encode(data).decode()
