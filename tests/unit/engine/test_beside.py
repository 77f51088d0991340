"""What moto keeps beside its model survives as if it were a part of it."""

from __future__ import annotations

import ipaddress
import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.engine.conftest import Disk, is_living, key

from perdure.engine import process
from perdure.engine.pins import Pins, pinned
from perdure.engine.quirks.beside import addresses


@pytest.mark.parametrize(
    "cidr",
    ["10.0.0.0/24", "10.0.0.8/29", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.0/32", "fd00::/124"],
)
def test_addresses_come_in_motos_order(cidr: str) -> None:
    """Without a restart a subnet hands out the addresses moto would, and no more."""
    network = ipaddress.ip_network(cidr)
    subnet: Any = SimpleNamespace(cidr=network)

    assert list(addresses(subnet)) == list(network.hosts())


def test_addresses_go_on_after_a_restart(disk: Disk, moto: Any) -> None:
    """The next address after a restart is the one behind the last, given back ones aside."""

    def subnet() -> Any:
        return next(iter(moto.store("ec2").subnets["us-east-1a"].values()))

    handed_out = [subnet().get_available_subnet_ip(None) for _ in range(3)]
    disk.save()
    disk.restart()
    handed_out += [subnet().get_available_subnet_ip(None) for _ in range(2)]

    first = int(ipaddress.ip_address(handed_out[0]))
    assert handed_out == [str(ipaddress.ip_address(first + n)) for n in range(5)]


def test_the_other_side_of_a_peering_is_found_though_it_is_not_loaded(
    disk: Disk, moto: Any
) -> None:
    """A peering across regions shows in both, wherever the other store is."""
    there = moto.store("ec2", "eu-west-1").create_vpc("10.1.0.0/16").id
    here = moto.store("ec2").create_vpc("10.2.0.0/16").id
    disk.save()
    disk.restart()
    local = moto.store("ec2")
    assert not is_living(key("ec2", "eu-west-1"))

    from moto.ec2.models.vpc_peering_connections import VPCPeeringConnectionBackend

    found = {store.region_name for store in type(local).get_vpc_pcx_refs()}

    assert found == {"us-east-1", "eu-west-1"}
    assert VPCPeeringConnectionBackend.get_vpc_pcx_refs.__func__ is not None
    peering = local.create_vpc_peering_connection(
        local.get_vpc(here), moto.store("ec2", "eu-west-1").get_vpc(there)
    )
    assert peering.id in moto.store("ec2", "eu-west-1").vpc_pcxs


def test_peers_are_stores_that_live(disk: Disk, moto: Any) -> None:
    """A store that was dropped is nobody's peer, though something may still hold it."""
    old = moto.store("ec2")
    disk.engine.forget_all()
    new = moto.store("ec2")

    assert list(type(new)._get_peering_attachment_backend_refs()) == [new]
    assert old is not new


def test_services_of_endpoints_keep_their_ids(disk: Disk, moto: Any) -> None:
    """What DescribeVpcEndpointServices drew once is the same after a restart."""
    from moto.ec2.models import vpcs

    moto.store("ec2")
    vpcs.DEFAULT_VPC_ENDPOINT_SERVICES["us-east-1"] = [{"ServiceId": "vpce-svc-1"}]
    disk.save()
    vpcs.DEFAULT_VPC_ENDPOINT_SERVICES["us-east-1"] = [{"ServiceId": "vpce-svc-2"}]
    disk.restart()

    assert vpcs.DEFAULT_VPC_ENDPOINT_SERVICES["us-east-1"] == [{"ServiceId": "vpce-svc-1"}]
    disk.engine.forget_all()
    assert vpcs.DEFAULT_VPC_ENDPOINT_SERVICES == {}


def test_a_token_of_tagging_is_good_after_a_restart(disk: Disk, moto: Any) -> None:
    """The second page of tagged resources can be asked for after a restart."""
    sqs = moto.store("sqs")
    for number in range(4):
        sqs.create_queue(f"q{number}", {"tag": "x"})
        sqs.tag_queue(f"q{number}", {"a": str(number)})
    tagging = moto.store("resourcegroupstaggingapi")
    token, first = tagging.get_resources(resources_per_page=2, tags_per_page=100)
    disk.save()
    disk.restart()

    tagging = moto.store("resourcegroupstaggingapi")
    _, second = tagging.get_resources(
        pagination_token=token, resources_per_page=2, tags_per_page=100
    )

    names = [resource.arn.rpartition(":")[2] for resource in (*first, *second)]
    assert sorted(names) == ["q0", "q1", "q2", "q3"]


def test_node_groups_share_no_scaling(disk: Disk, moto: Any) -> None:
    """Changing one node group's scaling changes no other's, and not the default."""
    del disk
    from moto.eks.models import DEFAULT_SCALING_CONFIG, Nodegroup

    moto.store("eks")
    groups = [
        Nodegroup("c", "arn", name, ["s"], "000000000000", "us-east-1", "aws")
        for name in ("a", "b")
    ]
    groups[0].scaling_config.update({"minSize": 9})

    assert groups[1].scaling_config["minSize"] == DEFAULT_SCALING_CONFIG["minSize"] == 2


def test_deployments_leave_nothing_behind(disk: Disk, moto: Any) -> None:
    """A deployed API is registered nowhere outside its store."""
    del disk
    from moto.apigateway.models import responses_mock

    store = moto.store("apigateway")
    api = store.create_rest_api("a", "d")
    root = next(iter(api.resources))
    store.put_method(api.id, root, "GET", "NONE")
    store.put_integration(
        api.id, root, "GET", "HTTP", "http://127.0.0.1:1/", integration_method="GET"
    )
    store.put_integration_response(api.id, root, "GET", "200", "", None, None)
    store.create_deployment(api.id, "prod")

    assert responses_mock.registered() == []


def test_the_arn_of_a_rule_is_no_address(moto: Any) -> None:
    """The same pins give the same ARN, and two rules have two."""
    from moto.elbv2.models import FakeRule

    def arns() -> list[str]:
        with pinned(Pins(1_700_000_000_000_000, 5)):
            rules = [FakeRule("arn:aws:x:listener/app/a/1/2", [], n, [], False) for n in (1, 2)]
        return [rule.arn for rule in rules]

    moto.store("elbv2")
    first = arns()
    assert first == arns()
    assert len(set(first)) == 2
    assert all(arn.startswith("arn:aws:x:listener-rule/app/a/1/2/") for arn in first)


def test_ids_of_endpoint_services_do_not_depend_on_who_asks(moto: Any, engine: Any) -> None:
    """Whoever asks first, and with what pins, they are the same, and draw nothing from a call."""
    from moto.moto_api._internal import mock_random

    def ask(seed: int) -> Any:
        with pinned(Pins(1_700_000_000_000_000, seed)):
            store = moto.store("ec2")
            found = store._collect_default_endpoint_services(store.account_id, "us-east-1")
            return json.dumps(found), mock_random.random()

    first, drawn = ask(1)
    engine.forget_all()
    again, other = ask(2)
    assert first == again
    assert drawn != other
    with pinned(Pins(0, 1)):
        assert mock_random.random() == drawn


def test_the_key_of_sns_is_one_and_outlives_the_process(disk: Disk, moto: Any) -> None:
    """All subscriptions sign with one key, which a restart keeps and a reset does not."""
    from moto.sns.models import Subscription

    def number() -> int:
        key = Subscription.private_key(object())
        return int(key.private_numbers().p)

    moto.store("sns")
    first = number()
    assert number() == first
    disk.save()
    disk.restart()
    assert number() == first
    process.reset("sns")
    assert number() != first
