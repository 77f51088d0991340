"""What is remembered from call to call is what moto would find each time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from moto.core.serialize import SERIALIZERS, XFormedAttributePicker
from moto.core.utils import get_service_model

from perdure.engine.core import Engine
from perdure.engine.pins import Pins, pinned
from perdure.engine.quirks import speed

SERVICES = ["sqs", "dynamodb", "sns", "ssm", "iam", "rds", "ec2", "lambda"]


class Thing:
    """An object with attributes."""


class Queue:
    """One whose name begins the names of many members."""


class Aliased:
    """One that says itself under what names it has some."""

    class Meta:
        """As moto reads it."""

        serialization_aliases: ClassVar = {"DBInstanceStatus": "status", "Name": "other"}


class Listed(dict[str, Any]):
    """One that has items, and attributes too."""


KINDS = [dict, Thing, Queue, Aliased, Listed]
PINS = Pins(1_790_000_000_000_000, 7)


def members(shape: Any, seen: set[str]) -> Iterator[tuple[str, Any]]:
    """All members of a shape and of those below it."""
    if shape is None or shape.name in seen:
        return
    seen.add(shape.name)
    if shape.type_name == "list":
        yield from members(shape.member, seen)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            member.parent = shape
            yield name, member
            yield from members(member, seen)


@pytest.mark.parametrize("service", SERVICES)
def test_a_member_is_found_where_moto_finds_it(engine: Engine, service: str) -> None:
    """Under whichever of its names a dict has it, and whatever else the dict has."""
    model = get_service_model(service)
    choose = random.Random(service)
    protocol = str(model.protocol)
    original = speed.REPLACED.original["get_value"]
    for operation in list(model.operation_names)[:60]:
        serializer = SERIALIZERS[protocol](
            model.operation_model(operation), value_picker=XFormedAttributePicker()
        )
        for name, shape in members(serializer.operation_model.output_shape, set()):
            names = speed._names_of(serializer, {}, name, shape)
            assert names is not None
            assert name in names
            for _ in range(2):
                had = choose.sample(names, choose.randrange(len(names) + 1))
                value: Any = dict.fromkeys([*had, "other"], None) | {n: n for n in had[1:]}
                for kind in KINDS:
                    found = value if kind is dict else kind()
                    if kind is not dict:
                        vars(found).update(value)
                    expected = original(serializer, found, name, shape)
                    assert serializer.get_value(found, name, shape) == expected
                for found in ([], None, "text", 7):
                    expected = original(serializer, found, name, shape)
                    assert serializer.get_value(found, name, shape) == expected


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
