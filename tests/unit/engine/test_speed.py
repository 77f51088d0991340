"""What is remembered from call to call is what moto would find each time."""

from __future__ import annotations

import random
import string
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from moto.core import serialize
from moto.core.responses import BaseResponse
from moto.core.utils import camelcase_to_underscores, get_service_model
from moto.moto_api._internal import mock_random
from tests.unit.calls import a_call

from perdure.engine.core import Engine
from perdure.engine.dispatch import _Request, environ_for, routes_of
from perdure.engine.lock import running
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
        serializer = serialize.SERIALIZERS[protocol](
            model.operation_model(operation), value_picker=serialize.XFormedAttributePicker()
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
    original = speed.REPLACED.original["get_value"]
    seen = set()
    for path in (["CreateRoleResponse", "Role"], ["Role"], [], ["x", "y"], ["xx.y"]):
        serializer.path = path
        for name, shape in members(model.output_shape, set()):
            for value in ({name: "v"}, {}, {name: None}):
                expected = original(serializer, value, name, shape)
                assert serializer.get_value(value, name, shape) == expected
                seen.add(expected[0] if isinstance(expected, tuple) else "")
    assert {"document", "any document", "name", "path", "another path", "arn", ""} >= seen
    assert len(seen) > 4


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


def response(body: Any) -> Any:
    found = BaseResponse("ssm")
    found.querystring, found.body, found.uri_match = {"q": ["of the query"]}, body, {"p": "path"}
    return found


@pytest.mark.parametrize(
    "body", ['{"a": [1, {"b": 2}], "n": 3, "q": 0, "p": 1, "none": null}', "[1]", "no", "", None]
)
def test_a_parameter_is_what_moto_finds(engine: Engine, body: str | None) -> None:
    """In query, body and path, in this order; a body that is no object has none."""
    asked, expected = response(body), response(body)
    for name in ("a", "n", "q", "p", "none", "absent"):
        for _ in range(2):
            assert asked._get_param(name, 7) == speed.param_of(expected, name, 7)


def test_a_parameter_that_was_changed_is_asked_for_unchanged(engine: Engine) -> None:
    """Handlers change lists they were given, and moto parses the body anew for the next."""
    asked = response('{"a": [1], "n": 3}')
    asked._get_param("n")
    asked._get_param("a").append(2)
    assert asked._get_param("a") == [1]
    asked.body = '{"a": [5], "n": 4}'
    assert (asked._get_param("a"), asked._get_param("n")) == ([5], 4)


def test_a_route_is_found_once_and_its_parameters_are_each_askers_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As moto finds it; who changes the path's parameters changes nobody else's."""
    routes_of("awslambda")
    path = "/2015-03-31/functions/f/aliases/a"
    request = _Request(environ_for(a_call("lambda", "GET /", method="GET", path=path)))
    found, again, plain = (BaseResponse("lambda") for _ in range(3))

    name = found._get_action_from_method_and_request_uri(request)
    found.uri_match["FunctionName"] = "changed"
    monkeypatch.setattr(speed, "_matched", None)

    assert again._get_action_from_method_and_request_uri(request) == name == "GetAlias"
    assert speed.action_of(plain, request) == name
    assert again.uri_match == plain.uri_match == {"FunctionName": "f", "Name": "a"}


def test_a_path_of_no_operation_has_none(engine: Engine) -> None:
    """It leaves the parameters of the path as they were, as moto does."""
    request = _Request(environ_for(a_call("lambda", "GET /", method="GET", path="/nowhere")))
    found = BaseResponse("lambda")
    found.uri_match = {"kept": "1"}
    assert found._get_action_from_method_and_request_uri(request) is None
    assert found.uri_match == {"kept": "1"}


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


def test_headers_are_those_of_the_environment(engine: Engine) -> None:
    """Each pass over them gives what the first gave; a look-up ignores case."""
    headers = [("x-amz-meta-my_key", "1"), ("content-type", "text/plain")]
    environ = environ_for(a_call("s3", "PUT /b/k", method="PUT", path="/b/k", headers=headers))
    found = _Request(environ).headers
    assert list(found) == list(found) == list(type(found).__mro__[1](environ))
    assert ("x-amz-meta-my_key", "1") in list(found)
    assert found["Content-Type"] == "text/plain"
