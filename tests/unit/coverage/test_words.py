"""Names say what belongs together."""

from __future__ import annotations

import pytest
from tests.coverage.words import Phase, is_ending, kin, phase_of, plain, verb_and_noun


@pytest.mark.parametrize(
    ("operation", "verb", "noun"),
    [
        ("CreateVpc", "Create", "vpc"),
        ("DescribeDBInstances", "Describe", "dbinstance"),
        ("BatchGetItem", "BatchGet", "item"),
        ("ListTagsForResource", "List", "tagsforresource"),
        ("AdminGetUser", "Admin_Get", "user"),
        ("Scan", "Scan", ""),
    ],
)
def test_an_operation_is_a_verb_and_a_noun(operation: str, verb: str, noun: str) -> None:
    """The verb says what happens, the noun (plain, singular) to what."""
    assert verb_and_noun(operation) == (verb, noun)


@pytest.mark.parametrize(
    ("operation", "phase"),
    [
        ("CreateQueue", Phase.MAKE),
        ("PutItem", Phase.ADD),
        ("UpdateItem", Phase.CHANGE),
        ("ReceiveMessage", Phase.CHANGE),
        ("GetItem", Phase.READ),
        ("AdminListDevices", Phase.READ),
        ("DeleteItem", Phase.END),
        ("BatchDisassociateThings", Phase.END),
    ],
)
def test_the_verb_says_when(operation: str, phase: Phase) -> None:
    """What makes comes before what changes, reads and ends; a receive is no read."""
    assert phase_of(operation) is phase


def test_what_lets_go_ends_before_what_deletes() -> None:
    """A volume is detached before it is deleted."""
    assert sorted(["DeleteVolume", "DetachVolume"], key=is_ending) == [
        "DetachVolume",
        "DeleteVolume",
    ]


@pytest.mark.parametrize(
    ("member", "nouns", "meant"),
    [
        ("QueueUrls", ("queue",), "queueurl"),
        ("PeerVpcId", ("vpcpeeringconnection",), "vpcid"),
        ("Name", ("parameterhistory",), "parametername"),
        ("DBInstanceIdentifier", ("x",), "dbinstancename"),
        ("cluster", ("service",), "clusterarn"),
        ("policies", (), "policyarn"),
    ],
)
def test_kin_are_names_for_the_same(member: str, nouns: tuple[str, ...], meant: str) -> None:
    """A member finds what was remembered under a shorter or otherwise ended name."""
    assert meant in kin(member, nouns)


def test_its_own_name_comes_first() -> None:
    """The nearest name is tried before any other."""
    assert kin("SourceVpcId", ("vpc",))[0] == "sourcevpcid"


def test_an_arn_is_no_kin_of_a_name() -> None:
    """Where an ARN is asked for, a name is no answer."""
    assert kin("ClusterArn", ()) == ("clusterarn",)


@pytest.mark.parametrize(
    ("word", "one"),
    [("Policies", "policy"), ("addresses", "address"), ("Status", "status"), ("class", "class")],
)
def test_names_are_compared_in_the_singular(word: str, one: str) -> None:
    """Only what is a plural loses its ending."""
    assert plain(word) == one
