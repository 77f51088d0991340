"""What a read would note though nobody asks for the note is not noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.coverage.seen_effects import digest

from perdure.engine.quirks.reads import name_in, token_of

KEYS = ["a", "b/c", "é", "d e"]


def parameter(store: Any) -> Callable[[], Any]:
    """SSM: a parameter without tags."""
    store.put_parameter(
        name="p",
        description="",
        value="v",
        parameter_type="String",
        allowed_pattern="",
        keyid=None,
        overwrite=False,
        tags=[],
        data_type="text",
        tier=None,
        policies=None,
    )
    return lambda: store.list_tags_for_resource("Parameter", "p")


def log_stream(store: Any) -> Callable[[], Any]:
    """Logs: a stream with an event."""
    store.create_log_group("g", {})
    stream = store.create_log_stream("g", "s") or store.groups["g"].streams["s"]
    stream.put_log_events([{"timestamp": 1000, "message": "m"}])
    return stream.to_describe_dict


def page(store: Any) -> Callable[[], Any]:
    """S3: a list that does not fit on its page, of objects nobody has asked for."""
    bucket = store.create_bucket("bbb", "us-east-1")
    for key in KEYS:
        store.put_object("bbb", key, b"x")
    return lambda: [
        *store.list_objects_v2(
            bucket, "", None, continuation_token=None, start_after=None, max_keys=1
        ),
        *[key.etag for key in bucket.keys.values()],
        store.get_object("bbb", "a"),
    ]


@pytest.mark.parametrize(
    ("module", "region", "prepare"),
    [
        ("ssm", "us-east-1", parameter),
        ("logs", "us-east-1", log_stream),
        ("s3", "aws", page),
    ],
    ids=["ssm", "logs", "s3"],
)
def test_a_read_leaves_the_state_as_it_was(
    moto: Any, module: str, region: str, prepare: Callable[[Any], Callable[[], Any]]
) -> None:
    """The digest of the store is the same before and after."""
    read = prepare(moto.store(module, region))
    key = moto.key(module, region)
    before = digest(key)
    assert read() is not None
    assert digest(key) == before != ""


def test_tags_are_told_as_before(moto: Any) -> None:
    """A parameter's tags are found, and one without has none."""
    store = moto.store("ssm")
    tags = parameter(store)
    assert tags() == {}
    store.add_tags_to_resource("Parameter", "p", {"k": "v"})
    assert tags() == {"k": "v"}


def test_a_list_of_keys_goes_on_behind_its_token(moto: Any) -> None:
    """Page by page every key comes once, whatever is in its name."""
    store = moto.store("s3", "aws")
    bucket = store.create_bucket("bbb", "us-east-1")
    for key in KEYS:
        store.put_object("bbb", key, b"x")
    found, token = [], None
    while True:
        page, more, token = store.list_objects_v2(
            bucket, "", None, continuation_token=token, start_after=None, max_keys=1
        )
        found += [key.name for key in page]
        if not more:
            break
    assert found == sorted(KEYS)


def test_a_token_from_an_older_state_still_holds(moto: Any) -> None:
    """A list that was begun when tokens were kept goes on behind them."""
    store = moto.store("s3", "aws")
    bucket = store.create_bucket("bbb", "us-east-1")
    for key in KEYS:
        store.put_object("bbb", key, b"x")
    store._pagination_tokens["old"] = "b/c"
    page, _, _ = store.list_objects_v2(
        bucket, "", None, continuation_token="old", start_after=None, max_keys=9
    )
    assert [key.name for key in page] == ["d e", "é"]


@pytest.mark.parametrize("name", [*KEYS, "", "x" * 1024])
def test_a_token_names_its_key(name: str) -> None:
    """What was put in comes out."""
    assert name_in(token_of(name)) == name


@pytest.mark.parametrize("text", ["", "a", "k" * 40, "0" * 32, "not/a token", token_of("k")[:-1]])
def test_a_key_is_no_token(text: str) -> None:
    """A marker that names a key is taken as it is."""
    assert name_in(text) is None
