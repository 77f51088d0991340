"""Keys: three names that are safe in a path, or an error."""

from __future__ import annotations

import pytest

from perdure.errors import StateError
from perdure.persistence.keys import StoreKey


@pytest.mark.parametrize(
    "parts",
    [
        ["s3", "000000000000", "aws"],
        ("ec2", "123456789012", "us-gov-west-1"),
        ["bedrockruntime", "0" * 12, "aws-iso-b"],
        ["process", "all", "all"],
    ],
)
def test_a_key_reads_back_what_it_wrote(parts: list[str]) -> None:
    """A key parses from the list it becomes in a file."""
    key = StoreKey.parse(parts)

    assert list(key) == list(parts)
    assert StoreKey.parse(list(key)) == key
    assert str(key) == f"{parts[1]}/{parts[0]}/{parts[2]}"


@pytest.mark.parametrize(
    "parts",
    [
        None,
        "s3",
        [],
        ["s3", "0"],
        ["s3", "0", "a", "b"],
        ["s3", "0", 5],
        ["s3", "0", None],
        ["s3", "0", ""],
        ["s3", "0", ".."],
        ["s3", "0", "a..b"],
        ["s3", "0", ".hidden"],
        ["../../etc", "0", "a"],
        ["s3", "a/b", "a"],
        ["s3", "a\\b", "a"],
        ["s3", "0", "a\n"],
        ["s3", "0", "a\0"],
        ["S3", "0", "a"],
        ["s3", "0", "é"],
        ["s3", "0", "a" * 64],
        {"module": "s3"},
    ],
)
def test_what_is_no_key_is_refused(parts: object) -> None:
    """Anything but three short, lower-case names without separators is a StateError."""
    with pytest.raises(StateError, match="not a store key"):
        StoreKey.parse(parts)
