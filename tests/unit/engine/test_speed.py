"""What is remembered from call to call is what moto would find each time."""

from __future__ import annotations

import random
import string
from collections import OrderedDict
from typing import Any

import pytest
from moto.core import serialize
from moto.core.utils import camelcase_to_underscores, get_service_model
from moto.moto_api._internal import mock_random

from perdure.engine.core import Engine
from perdure.engine.lock import running
from perdure.engine.pins import Pins, pinned
from perdure.engine.quirks import speed

PINS = Pins(1_790_000_000_000_000, 7)


NAMES = ("Role", "a", "Tags", "member", "@xmlns", "@a", "#text", "#comment", "a b", "x:y", "")
LEAVES: tuple[Any, ...] = (
    *("", "text", "<&>\"'", "\n\t\r", "\u00e4\U0001f600", "\ud800", "]]>"),
    *(None, True, False, 0, -7, 1.5, b"bytes", 10**20),
)


def some_xml(choose: random.Random, depth: int) -> Any:
    kind = choose.random()
    if depth > 3 or kind < 0.4:
        return choose.choice(LEAVES)
    if kind < 0.6:
        return [some_xml(choose, depth + 1) for _ in range(choose.randrange(4))]
    names = choose.choices(NAMES, weights=[9, 9, 9, 9, 2, 2, 2, 1, 1, 2, 1], k=choose.randrange(5))
    made = choose.choice([dict, dict, dict, OrderedDict])
    return made((name, some_xml(choose, depth + 1)) for name in names)


@pytest.mark.parametrize("seed", range(20))
def test_xml_is_what_the_library_writes(engine: Engine, seed: int) -> None:
    """To the byte, or the same complaint."""
    choose = random.Random(seed)
    model = get_service_model("iam").operation_model("CreateRole")
    serializer = serialize.SERIALIZERS["query"](model)
    original = speed.REPLACED.original["_serialize_body"]
    written = 0
    for _ in range(300):
        body = {choose.choice(NAMES): some_xml(choose, 0) for _ in range(choose.randrange(3))}
        expected = complaint(original, serializer, body)
        assert complaint(serialize.BaseXMLSerializer._serialize_body, serializer, body) == expected
        written += expected.startswith("<")
    assert written > 50


def complaint(write: Any, serializer: Any, body: Any) -> str:
    try:
        return str(write(serializer, body))
    except Exception as error:  # noqa: BLE001 - whatever the library runs into
        return f"{type(error).__name__}: {error}"


def test_a_receipt_handle_is_the_one_moto_draws(engine: Engine) -> None:
    """Under the same pins the same letters are drawn, and the next number is the same."""
    import moto.sqs.models

    ours = moto.sqs.models.generate_receipt_handle
    with pinned(PINS):
        expected = speed.REPLACED.original["generate_receipt_handle"](), random.random()
    with pinned(PINS):
        assert (ours(), random.random()) == expected


@pytest.mark.parametrize("name", ["Role", "a b", "<", "?x", "a/b", "", "a=b", 7, "'"])
def test_a_tag_is_refused_as_ever(engine: Engine, name: Any) -> None:
    """Each time, and with the same words."""
    import xmltodict

    original = speed.REPLACED.original["_validate_name"]
    for _ in range(2):
        assert said(xmltodict._validate_name, name) == said(original, name)


def said(check: Any, name: Any) -> str | None:
    try:
        check(name, "element")
    except ValueError as error:
        return str(error)
    return None


def test_ids_are_those_moto_draws(moto: Any, engine: Engine) -> None:
    """Letter by letter from the same numbers, and the next number is the same."""
    moto.store("sqs")
    moto.store("iam", region="aws")
    from moto.iam import utils
    from moto.sqs import models

    plain = random.Random(9)
    with running(), pinned(Pins(0, 9)):
        found = (
            models.generate_receipt_handle(),
            utils._random_uppercase_or_digit_sequence(16),
            mock_random.random(),
        )

    assert found == (
        "".join(plain.choice(string.ascii_lowercase) for _ in range(185)),
        "".join(plain.choice(utils.AWS_ROLE_ALPHABET) for _ in range(16)),
        plain.random(),
    )


def test_names_are_spelt_as_moto_spells_them(engine: Engine) -> None:
    """Those of AWS' operations, and whatever else a client sends."""
    for name in ("DescribeDBInstances", "ListTagsForResource", "x", "", "aB cD"):
        assert camelcase_to_underscores(name) == speed.underscores_of(name)


NAMES_OF_HEADERS = (
    *("X-Amz-Meta-A", "x-amz-meta-my_key", "x-amz-meta-ä", "x-amz-meta-", "x-amz-meta-a\n"),
    *("Content-Type", "cache-control", "Expires", "X-Amz-Storage-Class", "x-amz-meta-a\n\n", "", 7),
)


def test_the_headers_kept_with_an_object_are_those_moto_keeps(engine: Engine) -> None:
    """Under the names it keeps them by, also of lists."""
    import moto.s3.utils

    original = speed.REPLACED.original["metadata_from_headers"]
    for value in ("v", ["first", "second"]):
        headers = dict.fromkeys(NAMES_OF_HEADERS, value)
        expected = original(headers)
        for _ in range(2):
            found = moto.s3.utils.metadata_from_headers(headers)
            assert (type(found), dict(found.items())) == (type(expected), dict(expected.items()))
    assert len(expected) > 4
