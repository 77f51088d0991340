"""Parameters made from botocore's models."""

from __future__ import annotations

import datetime as dt
import json
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.model import DenormalizedStructureBuilder, OperationModel, ServiceModel
from botocore.validate import ParamValidator
from tests.coverage.feed import Feed
from tests.coverage.given import GIVEN, LEANS_ON
from tests.coverage.synthesis import VARIANTS, Synthesis, filled
from tests.coverage.words import Phase, phase_of

from perdure.engine.services import all_services

ACCOUNT = "123456789012"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@cache
def model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def make(service: str = "sqs", feed: Feed | None = None, **more: Any) -> Synthesis:
    return Synthesis(service, ACCOUNT, "us-east-1", feed or Feed(), NOW, **more)


def parameters(service: str, operation: str, feed: Feed | None = None, **how: Any) -> Any:
    return make(service, feed).parameters(model(service).operation_model(operation), **how)


def operation(name: str, members: dict[str, Any], required: list[str]) -> Any:
    """An operation that is not in any model."""
    shape = DenormalizedStructureBuilder().with_members(members).build_model()
    shape.metadata["required"] = required
    shape.__dict__["required_members"] = required

    class Made:
        input_shape = shape

    Made.name = name
    return Made


SAMPLE = ("sqs", "s3", "dynamodb", "iam", "ec2", "lambda", "cloudfront", "ssm", "glue", "wafv2")


@pytest.mark.parametrize("service", SAMPLE)
def test_every_operation_gets_parameters_its_model_accepts(service: str) -> None:
    """Botocore's own validation has nothing against any variant."""
    validator = ParamValidator()
    synthesis = make(service, given=GIVEN.get(service, {}))
    for name in model(service).operation_names:
        found: OperationModel = model(service).operation_model(name)
        if found.input_shape is None:
            continue
        for variant in range(VARIANTS):
            made = synthesis.parameters(found, variant=variant, turn=variant)
            required = set(found.input_shape.required_members)
            report = validator.validate(made, found.input_shape)
            assert not report.has_errors(), f"{name}: {report.generate_report()}"
            assert required - set(GIVEN.get(service, {}).get(name, {})) <= set(made)


def test_a_call_uses_what_was_answered() -> None:
    """The url of a queue that was made is sent along with a message."""
    feed = Feed()
    feed.remember({"QueueUrl": "http://q/1"}, ("queue",), made=True)

    assert parameters("sqs", "SendMessage", feed)["QueueUrl"] == "http://q/1"


def test_what_is_made_gets_a_fresh_name_each_turn() -> None:
    """A second queue has another name, even if a first one's is known."""
    feed = Feed()
    feed.remember({"QueueName": "sweep-queue-0"}, ("queue",), made=True)
    names = {parameters("sqs", "CreateQueue", feed, turn=turn)["QueueName"] for turn in range(3)}

    assert len(names) == 3


def test_optional_members_come_with_the_variants() -> None:
    """The first variant is bare, the second has all that is simple, the others halves of it."""
    made = [set(parameters("sqs", "SendMessage", variant=v)) for v in range(VARIANTS)]
    assert made[0] == {"QueueUrl", "MessageBody"}
    assert made[1] > made[0]
    assert made[2] | made[3] == made[1]
    assert made[2] != made[3]


def test_a_read_is_asked_for_what_exists_only() -> None:
    """Optional members of a read are ids that were answered, never invented ones."""
    assert parameters("ec2", "DescribeVpcs", variant=1) == {}
    feed = Feed()
    feed.remember({"Vpc": {"VpcId": "vpc-1"}}, ("vpc",), made=True)
    assert parameters("ec2", "DescribeVpcs", feed, variant=1)["VpcIds"] == ["vpc-1"]


def test_enums_rotate() -> None:
    """Each turn takes the next value of an enum, and starts again."""
    made = operation("PutIt", {"Mode": {"type": "string", "enum": ["a", "b"]}}, ["Mode"])
    assert [make().parameters(made, turn=turn)["Mode"] for turn in range(3)] == ["a", "b", "a"]


def test_ranges_and_lengths_are_kept() -> None:
    """Minimum and maximum hold for numbers and texts."""
    members = {
        "Weight": {"type": "integer", "min": 10, "max": 20},
        "Label": {"type": "string", "min": 40, "max": 50},
        "Tiny": {"type": "string", "min": 1, "max": 3},
    }
    made = make().parameters(operation("PutIt", members, list(members)))

    assert 10 <= made["Weight"] <= 20
    assert 40 <= len(made["Label"]) <= 50
    assert 1 <= len(made["Tiny"]) <= 3


def test_names_say_what_is_well_known() -> None:
    """A policy is JSON, a CIDR a network, an account twelve digits, an end after its start."""
    members = {
        "PolicyDocument": {"type": "string"},
        "CidrBlock": {"type": "string"},
        "OwnerAccountId": {"type": "string"},
        "RoleArn": {"type": "string"},
        "StartTime": {"type": "timestamp"},
        "EndTime": {"type": "timestamp"},
    }
    made = make().parameters(operation("PutIt", members, list(members)))

    assert json.loads(made["PolicyDocument"])["Statement"]
    assert made["CidrBlock"].endswith("/24")
    assert made["OwnerAccountId"] == ACCOUNT
    assert made["RoleArn"].startswith(f"arn:aws:iam::{ACCOUNT}:role/")
    assert made["StartTime"] < NOW < made["EndTime"]


def test_given_parameters_replace_and_leave_out() -> None:
    """A row of the table wins; None takes a member away; places are filled in."""
    given = {"SendMessage": {"MessageBody": "{account}/{turn}", "QueueUrl": None}}
    synthesis = make("sqs", given=given)

    made = synthesis.parameters(model("sqs").operation_model("SendMessage"), turn=4)
    assert made == {"MessageBody": f"{ACCOUNT}/4"}


def test_what_is_leant_on_is_asked_for_once_needed() -> None:
    """A subnet nobody answered yet is asked of another service, then used."""
    feed = Feed()
    asked: list[str] = []

    def provide(names: tuple[str, ...]) -> bool:
        asked.extend(names)
        if "subnetid" not in names:
            return False
        feed.remember({"SubnetId": "subnet-0123456789abcdef0"}, ("subnet",), made=False)
        return True

    synthesis = make("efs", feed, provide=provide)
    made = synthesis.parameters(model("efs").operation_model("CreateMountTarget"))

    assert made["SubnetId"] == "subnet-0123456789abcdef0"
    assert "subnetid" in asked


def test_the_table_of_given_parameters_names_what_exists() -> None:
    """Every row is of a service, an operation and members that the models have."""
    names = {service.name for service in all_services()}
    for service, rows in GIVEN.items():
        assert service in names
        for name, row in rows.items():
            assert set(row) <= set(model(service).operation_model(name).input_shape.members)
    for lean in LEANS_ON.values():
        shape = model(lean.service).operation_model(lean.operation).input_shape
        made = filled(lean, ACCOUNT, 0).parameters
        assert not ParamValidator().validate(made, shape).has_errors(), lean


def test_phases_hold_every_operation() -> None:
    """Each operation of a model is in one phase, and all phases but none are used."""
    phases = {phase_of(name) for name in model("ec2").operation_names}
    assert phases == set(Phase)
