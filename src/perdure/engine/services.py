"""Which moto module answers which AWS service.

``services.json`` is generated from botocore's models and moto's index of hosts
(``python -m perdure.engine.services``; a test keeps it fresh), so that a start
neither imports the models nor matches hosts.  What the two do not say stands in
``SPECIAL``, with its reason.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE_PATH = Path(__file__).with_name("services.json")


@dataclass(frozen=True, slots=True)
class Service:
    """One AWS service as its SDKs know it.

    Attributes:
        name: botocore's name, such as ``stepfunctions``.
        module: moto's package that answers it.
        signing: The service name in a SigV4 scope.
        target: Prefix of ``X-Amz-Target``, or None.
        protocol: json, query, ec2, rest-json, rest-xml or smithy-rpc-v2-cbor.
        version: The API version, such as ``2012-11-05``.
    """

    name: str
    module: str
    signing: str
    target: str | None
    protocol: str
    version: str


# botocore's name -> moto's module, where moto's index of hosts does not lead there.
SPECIAL = {
    "elbv2": "elbv2",  # shares the host of elb; moto tells them apart by API version
    "s3control": "s3control",  # the account stands in the host
    "s3vectors": "s3vectors",  # host ends in api.aws
    "dsql": "dsql",  # host ends in api.aws
    "devops-agent": "devopsagent",  # host ends in api.aws
    "sesv2": "sesv2",  # shares the host of ses
    "kinesis-video-archived-media": "kinesisvideoarchivedmedia",  # host is handed out per stream
    "apigatewayv2": "apigateway",  # moto routes both APIs in one module
    "iot-data": "iotdata",
}
# Names botocore maps to a host that moto answers for another service.
NOT_MOTO = {
    "connectscheduling",
    "connectcampaignsv2",
    "greengrassv2",
    "kinesis-video-media",
    "kinesis-video-signaling",
    "kinesis-video-webrtc-storage",
    "kinesisanalytics",
    "lambda-core",
    "lambda-microvms",
    "lambda-web",
    "pinpoint-email",
    "resiliencehubv2",
    "s3files",
    "s3outposts",
    "simpledbv2",
    "cloudhsm",
}
# Services whose SDKs have moved on from query, while older ones still speak it.
ONCE_QUERY = {"sqs", "cloudwatch"}
# Signing names in use that no model has, as clients send them.
ALIASES = {"eventbridge": "events", "timestream-write": "timestream", "elb": "elasticloadbalancing"}


@cache
def all_services() -> tuple[Service, ...]:
    """Every service moto answers."""
    return tuple(Service(**row) for row in json.loads(TABLE_PATH.read_text()))


@cache
def by_signing() -> dict[str, tuple[Service, ...]]:
    """Services by the name in a SigV4 scope; several may share one."""
    found: dict[str, list[Service]] = defaultdict(list)
    for service in all_services():
        found[service.signing.lower()].append(service)
    for alias, name in ALIASES.items():
        found.setdefault(alias, found[name])
    return {name: tuple(rows) for name, rows in found.items()}


@cache
def by_target() -> dict[str, tuple[Service, ...]]:
    """Services by the prefix of ``X-Amz-Target``."""
    found: dict[str, list[Service]] = defaultdict(list)
    for service in all_services():
        if service.target:
            found[service.target].append(service)
    return {name: tuple(rows) for name, rows in found.items()}


@cache
def by_version() -> dict[str, tuple[Service, ...]]:
    """Query services by API version, which unsigned form posts carry."""
    found: dict[str, list[Service]] = defaultdict(list)
    for service in all_services():
        if service.protocol in ("query", "ec2") or service.name in ONCE_QUERY:
            found[service.version].append(service)
    return {name: tuple(rows) for name, rows in found.items()}


@cache
def by_name() -> dict[str, Service]:
    """Services by botocore's name and by moto's module."""
    found = {service.module: service for service in reversed(all_services())}
    return found | {service.name: service for service in all_services()}


def module_names() -> tuple[str, ...]:
    """Every moto module that answers a service, once."""
    return tuple(sorted({service.module for service in all_services()}))


def has_operation(service: Service, operation: str) -> bool:
    """Whether the service's model knows an operation of that name."""
    from moto.core.utils import get_service_model

    return operation in get_service_model(service.name).operation_names


def generate() -> list[dict[str, Any]]:
    """The table, from the installed botocore and moto."""
    import botocore.session
    from moto.backend_index import backend_url_patterns

    session = botocore.session.get_session()
    loader = session.get_component("data_loader")
    rows = []
    for name in session.get_available_services():
        metadata = loader.load_service_model(name, "service-2")["metadata"]
        hosts = [f"https://{metadata['endpointPrefix']}.us-east-1.amazonaws.com"]
        client = session.create_client(
            name,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",  # noqa: S106 - nothing is sent
        )
        hosts.insert(0, client.meta.endpoint_url)
        module = SPECIAL.get(name) or next(
            (m for host in hosts for m, p in backend_url_patterns if p.match(host)), None
        )
        if module is None or name in NOT_MOTO:
            continue
        rows.append(
            Service(
                name,
                module,
                metadata.get("signingName", metadata["endpointPrefix"]),
                metadata.get("targetPrefix"),
                metadata["protocol"],
                metadata["apiVersion"],
            )
        )
    return [asdict(row) for row in sorted(rows, key=lambda row: row.name)]


def main() -> None:
    """Write the table."""
    TABLE_PATH.write_text(json.dumps(generate(), indent=1) + "\n")


if __name__ == "__main__":
    main()
