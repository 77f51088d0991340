"""The digest of a state: by what is held, not by how it happens to lie in memory."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections import OrderedDict, defaultdict
from typing import Any

import pytest
from moto.moto_api._internal.managed_state_model import ManagedState
from tests.coverage.state_digest import digest_of

from perdure.persistence.keys import StoreKey

KEY = StoreKey("sqs", "000000000000", "us-east-1")


def model(**attributes: Any) -> ManagedState:
    made = ManagedState.__new__(ManagedState)
    made.__dict__.update(attributes)
    return made


def digest(value: Any) -> str:
    return digest_of(value, KEY)


THING = model(name="a", tags={"x": 1})
DIFFERENT = [
    None, True, 1, 1.0, "1", b"1", "", [], (), {}, set(), frozenset({1}), [1], (1,), {1: 1}, {1},
    [1, 2], [2, 1], {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a", "b"}, {"a", "c"}, [[1], 2], [1, [2]],
    model(name="a"), model(name="b"), model(other="a"), THING, [THING, THING],
    [THING, copy.deepcopy(THING)], OrderedDict(a=1), defaultdict(list, a=1), "dict 0", "None",
]  # fmt: skip


def test_different_states_have_different_digests() -> None:
    """Kind, value, order, attribute and identity of what can change all count."""
    seen = [digest(value) for value in DIFFERENT]
    doubles = {str(DIFFERENT[n]) for n, each in enumerate(seen) if seen.count(each) > 1}
    assert doubles == set()


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda v: type(v).__name__)
def test_equal_states_have_equal_digests(value: Any) -> None:
    """A copy holds the same."""
    assert digest(copy.deepcopy(value)) == digest(value)


def test_identity_of_texts_does_not_count() -> None:
    """Whether two equal texts are one object is nobody's business."""
    text = "a text" * 3
    other = "".join(["a text"] * 3)
    assert other is not text
    assert digest([text, text]) == digest([text, other])


def test_order_of_sets_does_not_count() -> None:
    """A process with another hash seed gives the same."""
    value = "{'a': {str(n) for n in range(50)}, 'b': frozenset({('x', n) for n in 'abcdef'})}"
    code = (
        "from tests.coverage.state_digest import digest_of;"
        "from perdure.persistence.keys import StoreKey;"
        f"print(digest_of({value}, StoreKey('sqs', '0' * 12, 'us-east-1')))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(seen) == 1


def test_a_ring_ends() -> None:
    """What holds itself has a digest too."""
    ring = model(name="a")
    ring.__dict__["next"] = ring
    other = model(name="a")
    other.__dict__["next"] = model(name="a", next=other)
    assert digest(ring) != digest(other)
