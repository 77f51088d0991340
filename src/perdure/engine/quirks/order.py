"""Sets whose order reaches an answer keep the order in which they were filled.

A set's order follows from hashes, which for many objects are their addresses: a
loaded set has another one, and a listing that is read in pages would skip what
moved.  In these modules ``set`` is a class that remembers.

A process has a hash seed of its own, and a call that is replayed in another one must
answer the same.  A set of constants is in its order by name then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from typing import Any

from perdure.engine.imports import after_import

PAGES, LISTS, ERRORS, REUSE = (
    "listed in pages",
    "listed as they are",
    "an error names one, or all in turn",
    "the first one is taken",
)
MODULES = {
    "moto.acm.models": "names stand in the certificate",
    "moto.apigateway.responses": ERRORS,
    "moto.autoscaling.models": "instances are removed, and zones filled, in turn",
    "moto.batch.models": LISTS,
    "moto.cloudformation.models": ERRORS,
    "moto.cloudwatch.models": ERRORS,
    "moto.cognitoidp.models": PAGES,
    "moto.config.models": ERRORS,
    "moto.dynamodb.models.dynamo_type": LISTS,
    "moto.dynamodb.parsing.executors": LISTS,
    "moto.dynamodb.parsing.key_condition_expression": ERRORS,
    "moto.dynamodb.responses": ERRORS,
    "moto.ec2.models.amis": LISTS,
    "moto.ec2.models.dhcp_options": ERRORS,
    "moto.ec2.models.elastic_block_store": LISTS,
    "moto.ec2.models.elastic_ip_addresses": ERRORS,
    "moto.ec2.models.elastic_network_interfaces": LISTS,
    "moto.ec2.models.instance_types": ERRORS,
    "moto.ec2.models.instances": ERRORS,
    "moto.ec2.models.key_pairs": ERRORS,
    "moto.ec2.models.network_acls": ERRORS,
    "moto.ec2.models.route_tables": LISTS,
    "moto.ec2.models.security_groups": ERRORS,
    "moto.ec2.models.subnets": REUSE,
    "moto.ec2.models.vpc_service_configuration": LISTS,
    "moto.ec2.models.vpcs": ERRORS,
    "moto.ec2.models.vpn_connections": ERRORS,
    "moto.ecr.models": ERRORS,
    "moto.ecr.policy_validation": ERRORS,
    "moto.efs.models": LISTS,
    "moto.elasticache.models": LISTS,
    "moto.elb.models": LISTS,
    "moto.elbv2.models": LISTS,
    "moto.elbv2.responses": LISTS,
    "moto.events.models": LISTS,
    "moto.firehose.models": ERRORS,
    "moto.glue.responses": LISTS,
    "moto.iam.config": LISTS,
    "moto.kinesis.models": LISTS,
    "moto.lakeformation.models": PAGES,
    "moto.rds.models": ERRORS,
    "moto.resourcegroups.models": ERRORS,
    "moto.route53resolver.models": ERRORS,
    "moto.s3.notifications": "told in turn",
    "moto.shield.models": ERRORS,
    "moto.sns.models": LISTS,
    "moto.sns.responses": ERRORS,
    "moto.sqs.responses": LISTS,
    "moto.ssm.models": LISTS,
}


# Their constants are such sets, which messages list.
CONSTANTS = ("moto.ecr.policy_validation", "moto.polly.resources")


def install() -> None:
    """Give each module its class."""
    for name in CONSTANTS:
        after_import(name, _sort_constants)
    for name in MODULES:
        after_import(name, _remember_order)


class OrderedSet(MutableSet[Any]):
    """A set that is iterated in the order in which it was filled."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self._members: dict[Any, None] = dict.fromkeys(members)

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        """As a set's: moto puts some into messages."""
        return f"{{{', '.join(map(repr, self._members))}}}" if self._members else "set()"

    def add(self, value: Any) -> None:
        """As a set's."""
        self._members[value] = None

    def discard(self, value: Any) -> None:
        """As a set's."""
        self._members.pop(value, None)

    def union(self, *others: Iterable[Any]) -> OrderedSet:
        """As a set's."""
        return type(self)([*self, *(member for other in others for member in other)])

    def update(self, *others: Iterable[Any]) -> None:
        """As a set's."""
        self._members.update((member, None) for other in others for member in other)

    def intersection(self, *others: Iterable[Any]) -> OrderedSet:
        """As a set's."""
        common = [frozenset(other) for other in others]
        return type(self)(m for m in self._members if all(m in other for other in common))

    def issubset(self, other: Iterable[Any]) -> bool:
        """As a set's."""
        return self._members.keys() <= frozenset(other)

    def issuperset(self, other: Iterable[Any]) -> bool:
        """As a set's."""
        return self._members.keys() >= frozenset(other)

    def difference(self, *others: Iterable[Any]) -> OrderedSet:
        """As a set's."""
        gone = {member for other in others for member in other}
        return type(self)(member for member in self if member not in gone)

    def symmetric_difference(self, other: Iterable[Any]) -> OrderedSet:
        """As a set's."""
        theirs = dict.fromkeys(other)
        return type(self)([*self.difference(theirs), *(m for m in theirs if m not in self)])

    def difference_update(self, *others: Iterable[Any]) -> None:
        """As a set's."""
        self._members = self.difference(*others)._members

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """As a set's."""
        self._members = self.intersection(*others)._members

    def symmetric_difference_update(self, other: Iterable[Any]) -> None:
        """As a set's."""
        self._members = self.symmetric_difference(other)._members

    def copy(self) -> OrderedSet:
        """As a set's."""
        return type(self)(self._members)


def _remember_order(module: Any) -> None:
    # State names its classes by module; a look-up there finds this one.
    names = {"__module__": module.__name__, "__qualname__": "Ordered"}
    module.Ordered = module.set = type("Ordered", (OrderedSet,), names)


def _sort_constants(module: Any) -> None:
    for name, value in list(vars(module).items()):
        if type(value) in (set, frozenset):
            setattr(module, name, OrderedSet(sorted(value)))
