"""Objects that two stores of one service hold: other regions, other accounts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.engine.conftest import ACCOUNT, Disk, key

OTHER = "111111111111"
HERE, THERE = "us-east-1", "eu-central-1"


def peer(moto: Any, account: str) -> str:
    """A VPC in each place and a peering between them; its id."""
    mine = moto.store("ec2", HERE)
    theirs = moto.store("ec2", THERE, account)
    vpc = mine.create_vpc("10.0.0.0/16")
    other = theirs.create_vpc("10.1.0.0/16")
    return mine.create_vpc_peering_connection(vpc, other).id


@pytest.mark.parametrize("account", [ACCOUNT, OTHER])
@pytest.mark.parametrize("first", [HERE, THERE])
def test_a_peering_is_one_object_in_both_places(
    disk: Disk, moto: Any, account: str, first: str
) -> None:
    """Accepted on one side after a restart, it is active on the other, whichever loads first."""
    number = peer(moto, account)
    disk.save()

    disk.restart()
    places = {HERE: ("ec2", HERE), THERE: ("ec2", THERE, account)}
    stores = {place: moto.store(*places[place]) for place in (first, *places)}
    stores[THERE].accept_vpc_peering_connection(number)

    assert stores[HERE].vpc_pcxs[number] is stores[THERE].vpc_pcxs[number]
    assert stores[HERE].vpc_pcxs[number]._status.code == "active"
    assert stores[HERE].vpc_pcxs[number].peer_vpc is next(
        vpc for vpc in stores[THERE].vpcs.values() if vpc.cidr_block == "10.1.0.0/16"
    )


def test_a_peering_that_one_side_dropped_stays_with_the_other(disk: Disk, moto: Any) -> None:
    """The side that carried it lets go of it; the other side's survives the restart."""
    number = peer(moto, OTHER)
    disk.save()
    carrying = [k for k in disk.shares if disk.shares[k].exports]
    dropped = moto.store("ec2", carrying[0].region, carrying[0].account)
    dropped.vpc_pcxs.pop(number)
    disk.save()

    disk.restart()

    holders = [
        store
        for store in (moto.store("ec2", HERE), moto.store("ec2", THERE, OTHER))
        if number in store.vpc_pcxs
    ]
    assert len(holders) == 1
    assert holders[0].vpc_pcxs[number].vpc.cidr_block == "10.0.0.0/16"


def test_a_replica_follows_its_secret_after_a_restart(disk: Disk, moto: Any) -> None:
    """A secret and its replica in another region are tied by the object, not by a copy."""
    here = moto.store("secretsmanager", HERE)
    here.create_secret(
        name="name",
        secret_string="first",
        secret_binary=None,
        description="",
        tags=[],
        kms_key_id=None,
        client_request_token=None,
        replica_regions=[{"Region": THERE}],
        force_overwrite=False,
    )
    disk.save()

    disk.restart()
    there = moto.store("secretsmanager", THERE)
    here = moto.store("secretsmanager", HERE)

    assert there.secrets["name"].source is here.secrets["name"]


def test_a_key_and_its_replicas_know_of_new_ones_after_a_restart(disk: Disk, moto: Any) -> None:
    """A replica made after the restart is listed by the primary and by the older replicas."""
    made = moto.store("kms", HERE).create_key("", "", "", "", None, multi_region=True)
    moto.store("kms", HERE).replicate_key(made.id, THERE)
    disk.save()

    disk.restart()
    moto.store("kms", HERE).replicate_key(made.id, "eu-west-1")

    for region in (HERE, THERE, "eu-west-1"):
        known = moto.store("kms", region).keys[made.id].multi_region_configuration
        assert {row["Region"] for row in known["ReplicaKeys"]} == {THERE, "eu-west-1"}


def test_a_key_and_its_replica_rotate_together_after_a_restart(disk: Disk, moto: Any) -> None:
    """Moto lets both hold one list of rotations; it stays one list."""
    made = moto.store("kms", HERE).create_key("", "", "", "", None, multi_region=True)
    moto.store("kms", HERE).replicate_key(made.id, THERE)
    moto.store("kms", HERE).rotate_key_on_demand(made.id)
    disk.save()

    disk.restart()
    moto.store("kms", HERE).rotate_key_on_demand(made.id)

    here, there = (moto.store("kms", region).keys[made.id].rotations for region in (HERE, THERE))
    assert here is there
    assert len(there) == 2


def test_stores_that_share_nothing_are_left_as_they_are(disk: Disk, moto: Any) -> None:
    """Two regions of a service have no ids to carry if they hold nothing in common."""
    moto.store("sqs", HERE).create_queue("one", {})
    moto.store("sqs", THERE).create_queue("one", {})

    disk.save()

    assert not disk.shares[key("sqs", HERE)].exports | disk.shares[key("sqs", THERE)].exports
