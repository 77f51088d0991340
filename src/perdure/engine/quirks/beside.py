"""What moto keeps beside its model, where no save would find it.

Positions in a listing, caches by object, references to every store: each lives as
long as the process.  Here each becomes a value of the model, or is worked out from it.

    tagging          a token stands for a half-read generator
    subnets          the next address is the position of an iterator in a cache
    peerings         the other side is looked for among the stores in memory
    EKS              a default that all node groups share is changed in place
    API Gateway      a deployment is registered with a library that mocks HTTP
    ELB rules        an ARN ends in the address of the object
    endpoints        the ids of EC2's own services are drawn by whoever asks first
    SNS              the key that signs messages is made by whoever publishes first
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from perdure.engine.imports import after_import
from perdure.engine.pins import pinned_by_name

# Where a subnet keeps how many of its addresses were handed out in turn.
HANDED_OUT = "_perdure_handed_out"


def install() -> None:
    """Replace each as its module is imported."""
    after_import("moto.resourcegroupstaggingapi.models", _pages_of_lists)
    after_import("moto.ec2.models.subnets", _addresses_in_turn)
    after_import("moto.ec2.models.vpc_peering_connections", _known_peers)
    after_import("moto.ec2.models.transit_gateway_attachments", _known_gateways)
    after_import("moto.eks.models", _own_scaling)
    after_import("moto.apigateway.models", _no_mocks)
    after_import("moto.elbv2.models", _drawn_rule_arns)
    after_import("moto.ec2.models.vpcs", _own_endpoint_ids)
    after_import("moto.sns.models", _kept_key)


def _pages_of_lists(module: Any) -> None:
    store = module.ResourceGroupsTaggingAPIBackend
    for name in ("resources", "tag_keys", "tag_values"):
        method = f"_get_{name}_generator"
        setattr(store, method, _as_list(getattr(store, method)))


def _as_list(generate: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def listed(*arguments: Any, **named: Any) -> Iterator[Any]:
        # An iterator of a list can be saved in the middle; a generator cannot.
        return iter(list(generate(*arguments, **named)))

    return listed


def _addresses_in_turn(module: Any) -> None:
    module.Subnet._base_avail_ip_iterator = addresses


def addresses(subnet: Any) -> Any:
    """The addresses of a subnet that were not handed out in turn yet, as moto orders them."""
    cidr = subnet.cidr
    if cidr.prefixlen >= cidr.max_prefixlen - 1:
        return cidr.hosts()  # a list, of which moto never moves on
    return _next_addresses(subnet, cidr)


def _next_addresses(
    subnet: Any, cidr: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    # The first is the network's own; the last one of IPv4 is for broadcasts.
    hosts = cidr.num_addresses - (2 if cidr.version == 4 else 1)  # noqa: PLR2004 - IPv4
    while (handed_out := subnet.__dict__.get(HANDED_OUT, 0)) < hosts:
        subnet.__dict__[HANDED_OUT] = handed_out + 1
        yield cidr[handed_out + 1]


def _known_peers(module: Any) -> None:
    module.VPCPeeringConnectionBackend.get_vpc_pcx_refs = classmethod(_every_ec2_store)


def _known_gateways(module: Any) -> None:
    module.TransitGatewayAttachmentBackend._get_peering_attachment_backend_refs = classmethod(
        _every_ec2_store
    )


def _every_ec2_store(_: type) -> Iterator[Any]:
    """moto notes each store in a set when it is made: dropped ones too, unloaded ones not."""  # noqa: D403 - its name
    from moto.ec2.models import ec2_backends

    for account in list(ec2_backends):
        yield from list(ec2_backends[account].values())


def _own_scaling(module: Any) -> None:
    create = module.Nodegroup.__init__

    def init(group: Any, *arguments: Any, **named: Any) -> None:
        create(group, *arguments, **named)
        group.scaling_config = dict(group.scaling_config)

    module.Nodegroup.__init__ = init


def _no_mocks(module: Any) -> None:
    """The library is not in use in a server; what is registered would only be kept."""
    module.RestAPI.update_integration_mocks = lambda *_: None


def _drawn_rule_arns(module: Any) -> None:
    """An address says nothing, and comes again once its object is gone."""
    from moto.moto_api._internal import mock_random

    create = module.FakeRule.__init__

    def init(rule: Any, listener_arn: str, *arguments: Any, **named: Any) -> None:
        create(rule, listener_arn, *arguments, **named)
        head, _, _ = rule.arn.rpartition("/")
        rule.arn = f"{head}/{mock_random.get_random_hex(16)}"

    module.FakeRule.__init__ = init


def _own_endpoint_ids(module: Any) -> None:
    store = module.VPCBackend
    collect = store._collect_default_endpoint_services

    def collect_alike(account_id: str, region: str) -> Any:
        # A listing fills it, which is in no journal; what replays must find the same ids.
        with pinned_by_name("endpoint services", region):
            return collect(account_id, region)

    store._collect_default_endpoint_services = staticmethod(collect_alike)


def _kept_key(module: Any) -> None:
    """Per subscription and process moto makes one; AWS signs all with its own."""
    from cryptography.hazmat.primitives import serialization as form

    keys: dict[str, bytes] = {}
    whole = (form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())

    def private_key(_: Any) -> Any:
        if "DER" not in keys:
            key = module.rsa.generate_private_key(public_exponent=65537, key_size=2048)
            keys["DER"] = key.private_bytes(*whole)
        return form.load_der_private_key(keys["DER"], password=None)

    private_key.keys = keys  # type: ignore[attr-defined]  # ``process`` saves it
    module.Subscription.private_key = private_key
