"""Errors say what to type next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perdure.errors import ForeignTailError


@pytest.mark.parametrize(
    ("found", "running", "typed"),
    [
        ({"any_region": "false"}, {"any_region": "true"}, "ALLOW_NONSTANDARD_REGIONS=0"),
        ({"any_region": "true"}, {"any_region": "false"}, "ALLOW_NONSTANDARD_REGIONS=1"),
        ({"settings": {"MOTO_A": "x y"}}, {"settings": ""}, "MOTO_A='x y'"),
        ({"settings": ""}, {"settings": {"MOTO_A": "1"}}, "MOTO_A unset"),
        (
            {"settings": {"MOTO_A": "1", "MOTO_C": "3"}},
            {"settings": {"MOTO_A": "2", "MOTO_B": "2", "MOTO_C": "3"}},
            "MOTO_A=1, MOTO_B unset",
        ),
        ({"settings": "no text of ours"}, {}, "the MOTO_ variables no text of ours"),
        ({"moto": "5.0.0"}, {"moto": "5.1.0"}, "moto 5.0.0"),
        ({}, {"moto": "5.1.0"}, "moto unknown"),
    ],
)
def test_the_way_back_to_another_engine_can_be_typed(
    found: dict[str, object], running: dict[str, object], typed: str
) -> None:
    """Who started with other settings reads the variables that bring the old ones back."""
    theirs, ours = (
        {k: json.dumps(v) if isinstance(v, dict) else str(v) for k, v in given.items()}
        for given in (found, running)
    )
    error = ForeignTailError(Path("journal/1.wal"), found=theirs, running=ours)

    assert error.hint.startswith(f"start with {typed} and stop cleanly")
