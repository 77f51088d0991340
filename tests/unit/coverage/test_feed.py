"""Ids from answers find their way into later calls."""

from __future__ import annotations

from typing import Any

from tests.coverage.feed import VALUES_MAX, Feed


def anything(_: Any) -> bool:
    return True


def fed(document: Any, *nouns: str, made: bool = True) -> Feed:
    feed = Feed()
    feed.remember(document, nouns or ("thing",), made=made)
    return feed


def test_a_url_of_a_queue_is_found() -> None:
    """A member is found under its own name, in the singular."""
    feed = fed({"QueueUrl": "http://q"}, "queue")

    assert feed.find("QueueUrl", ("message",), anything) == "http://q"
    assert feed.find("QueueUrls", ("message",), anything) == "http://q"


def test_an_id_inside_is_named_after_what_it_stands_in() -> None:
    """``Id`` in ``RestApi`` answers ``restApiId``; in a list of users, ``UserId``."""
    feed = fed({"RestApi": {"id": "api"}, "Users": [{"Id": "u1"}, {"Id": "u2"}]})

    assert feed.find("restApiId", ("stage",), anything) == "api"
    assert feed.find("UserId", ("x",), anything, turn=1) == "u2"


def test_a_bare_name_is_that_of_the_operations_noun() -> None:
    """``CreateRepository(name)`` feeds ``repositoryName``, and ``GetRepository(name)``."""
    feed = fed({"name": "mine"}, "repository")

    assert feed.find("repositoryName", ("image",), anything) == "mine"
    assert feed.find("name", ("repository",), anything) == "mine"
    assert feed.find("name", ("pipeline",), anything) is None


def test_what_was_made_comes_before_what_was_seen() -> None:
    """A list full of AWS' own resources does not hide ours."""
    feed = fed({"PolicyArn": "arn:aws:iam::aws:policy/x"}, made=False)
    feed.remember({"PolicyArn": "arn:aws:iam::1:policy/mine"}, ("policy",), made=True)

    assert feed.find("PolicyArn", ("x",), anything) == "arn:aws:iam::1:policy/mine"


def test_only_what_fits_is_taken() -> None:
    """The model's own limits choose among values of the same name."""
    feed = fed({"VersionId": ["abc", "abcdef"]})

    assert feed.find("VersionId", ("x",), lambda value: len(value) > 3) == "abcdef"


def test_any_arn_will_do_for_a_resource() -> None:
    """Tagging asks for a ``ResourceArn`` that no answer calls so."""
    feed = fed({"Cluster": {"arn": "arn:aws:ecs:::c"}})

    assert feed.find("resourceArn", ("tag",), anything) == "arn:aws:ecs:::c"


def test_page_tokens_are_not_kept() -> None:
    """A token used twice is an error; words about state are no ids."""
    feed = fed({"NextToken": "t", "Flag": True, "Long": "x" * 5000, "Empty": ""})

    for member in ("NextToken", "Flag", "Long", "Empty"):
        assert feed.find(member, ("x",), anything) is None


def test_it_does_not_grow_without_bound() -> None:
    """Of a name only so many values are kept."""
    feed = fed({"Id": [str(number) for number in range(1000)]}, "thing")
    found = {feed.find("Id", ("thing",), anything, turn=turn) for turn in range(1000)}

    assert len(found) == VALUES_MAX
