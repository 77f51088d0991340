"""Members of answers are found and written as moto does."""

from __future__ import annotations

import datetime as dt
import gc
import random
import weakref
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Any, ClassVar

import pytest
from moto.core import serialize
from moto.core.exceptions import ServiceException
from moto.core.utils import get_service_model

from perdure.engine.core import Engine
from perdure.engine.quirks import members

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


def all_members(shape: Any, seen: set[str]) -> Iterator[tuple[str, Any]]:
    """All members of a shape and of those below it."""
    if shape is None or shape.name in seen:
        return
    seen.add(shape.name)
    if shape.type_name == "list":
        yield from all_members(shape.member, seen)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            member.parent = shape
            yield name, member
            yield from all_members(member, seen)


@pytest.mark.parametrize("service", SERVICES)
def test_a_member_is_found_where_moto_finds_it(engine: Engine, service: str) -> None:
    """Under whichever of its names a dict has it, and whatever else the dict has."""
    model = get_service_model(service)
    choose = random.Random(service)
    protocol = str(model.protocol)
    original = members.REPLACED.original["get_value"]
    for operation in list(model.operation_names)[:60]:
        serializer = serialize.SERIALIZERS[protocol](
            model.operation_model(operation), value_picker=serialize.XFormedAttributePicker()
        )
        for name, shape in all_members(serializer.operation_model.output_shape, set()):
            names = members._names_of(serializer, {}, name, shape)
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


TRANSFORMERS: dict[str, Callable[[Any], Any]] = {
    "Role.AssumeRolePolicyDocument": lambda found: ("document", found),
    "PolicyDocument": lambda found: ("any document", found),
    "RoleName": lambda found: ("name", found),
    "CreateRoleResponse.Role.Path": lambda found: ("path", found),
    "Path": lambda found: ("another path", found),
    "x.y.Arn": lambda found: ("arn", found),
}


def test_a_member_is_transformed_as_moto_transforms_it(engine: Engine) -> None:
    """By the first transformer whose path the member's own ends with, and by no other."""
    model = get_service_model("iam").operation_model("CreateRole")
    picker = serialize.XFormedAttributePicker(response_transformers=TRANSFORMERS)
    serializer = serialize.SERIALIZERS["query"](model, value_picker=picker)
    original = members.REPLACED.original["get_value"]
    seen = set()
    for path in (["CreateRoleResponse", "Role"], ["Role"], [], ["x", "y"], ["xx.y"]):
        serializer.path = path
        for name, shape in all_members(model.output_shape, set()):
            for value in ({name: "v"}, {}, {name: None}):
                expected = original(serializer, value, name, shape)
                assert serializer.get_value(value, name, shape) == expected
                seen.add(expected[0] if isinstance(expected, tuple) else "")
    assert {"document", "any document", "name", "path", "another path", "arn", ""} >= seen
    assert len(seen) > 4


class Text(str):
    """A text that writes itself otherwise."""

    __slots__ = ()

    def __str__(self) -> str:
        return "written"


class Choice(Enum):
    """As moto keeps some texts."""

    FIRST = "first"


WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=dt.UTC)
LEAVES: dict[str, tuple[Any, ...]] = {
    "string": ("text", "", Text("t"), Choice.FIRST, 7, None, False, [], {}),
    "boolean": (True, False, "true", "no", None),
    "integer": (3, "3", True, None),
    "long": (10**12, "7", False, None),
    "float": (1.5, 2, "2.5", None),
    "double": (0.1, 1, None),
    "timestamp": (WHEN, 1_700_000_000, None),
    "blob": (b"bytes", "text", None),
}


def some_value(shape: Any, choose: random.Random, depth: int = 0) -> Any:
    """What a handler may return for a shape; half of a structure's members are there."""
    if shape.type_name in LEAVES:
        return choose.choice(LEAVES[shape.type_name])
    if depth > 4 or choose.random() < 0.05:
        return None
    several = range(choose.randrange(3))
    if shape.type_name == "list":
        return [some_value(shape.member, choose, depth + 1) for _ in several]
    if shape.type_name == "map":
        return {f"key{n}": some_value(shape.value, choose, depth + 1) for n in several}
    found = {
        name: some_value(member, choose, depth + 1)
        for name, member in shape.members.items()
        if choose.random() < 0.5
    }
    kind = choose.choice([dict, dict, *KINDS])
    if kind is dict:
        return found
    made = kind()
    vars(made).update(found)
    return made


def written(serializer: Callable[[], Any], value: Any) -> Any:
    """An answer, or the complaint about its value."""
    try:
        return serializer().serialize(value)
    except Exception as error:  # noqa: BLE001 - whatever moto runs into
        return f"{type(error).__name__}: {error}"


PROTOCOLS = [
    *((service, None) for service in [*SERVICES, "logs", "kinesis", "s3", "apigateway"]),
    *((service, protocol) for service in ("sqs", "iam") for protocol in ("query", "query-json")),
]


@pytest.mark.parametrize(("service", "protocol"), PROTOCOLS)
def test_an_answer_is_what_moto_writes(engine: Engine, service: str, protocol: str | None) -> None:
    """To the byte, and with the same complaint, for values of every kind and for errors."""
    # A model of its own: what moto leaves in shapes would be there for ours.
    models = [get_service_model.__wrapped__(service) for _ in range(2)]
    kind = serialize.get_serializer_class(service, protocol or str(models[0].protocol))
    answered = 0
    for operation in list(models[0].operation_names)[:80]:
        of_both = [model.operation_model(operation) for model in models]
        if of_both[0].output_shape is None or of_both[0].has_event_stream_output:
            continue
        for transformers in (None, None, TRANSFORMERS, "error"):

            def serializer(of: Any, found: Any = transformers) -> Any:
                found = None if found == "error" else found
                picker = serialize.XFormedAttributePicker(response_transformers=found)
                return kind(of, value_picker=picker)

            value: Any = ServiceException("wrong")
            if transformers != "error":
                value = some_value(of_both[0].output_shape, random.Random(f"{operation}{answered}"))
            ours = written(partial(serializer, of_both[0]), value)
            with members.REPLACED.undone():
                expected = written(partial(serializer, of_both[1]), value)
            assert ours == expected, operation
            answered += isinstance(expected, dict)
    assert answered > 10


def test_the_loop_is_taken(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """By answers in JSON and in XML."""
    monkeypatch.setitem(members.REPLACED.original, "_serialize_type_structure", None)
    for service, operation in (("dynamodb", "GetItem"), ("iam", "GetRole")):
        model = get_service_model(service)
        kind = serialize.get_serializer_class(service, str(model.protocol))
        picker = serialize.XFormedAttributePicker()
        of = kind(model.operation_model(operation), value_picker=picker)
        assert of.serialize({"Item": {"a": {"S": "b"}}, "Role": {"RoleName": "r"}})["body"]


def test_a_class_that_is_made_for_one_answer_is_let_go(engine: Engine) -> None:
    """Moto makes some; each would else be kept for ever, with what is known of it."""
    model = get_service_model("iam").operation_model("GetRole")
    kind = serialize.get_serializer_class("iam", "query")

    class Role:
        role_name = "r"

    picker = serialize.XFormedAttributePicker()
    answer = kind(model, value_picker=picker).serialize({"Role": Role()})
    assert "<RoleName>r</RoleName>" in answer["body"]
    gone = weakref.ref(Role)
    del Role
    gc.collect()
    assert gone() is None
