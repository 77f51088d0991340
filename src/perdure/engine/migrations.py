"""What changed between versions of moto, as far as saved state is concerned.

The one table.  A state file says which moto wrote it; the rows of later versions
are applied to its objects, in order, when it is loaded under a newer one.  Rows are
needed for what cannot be seen: a class or attribute that goes by another name, a
value that is of another type, a default that the constructor does not spell out.
An attribute whose default it does spell out needs no row (``constructors``), and a
store's own attributes none either: a fresh store has them (``policy.lay_over``).

A row names its class as the running moto does, as ``module:Class`` without
``moto.``, and holds for subclasses too; a store's class is one like any other.
``since`` is a version of moto by which it is so.  It may be later than the first
one, so a row leaves alone what is up to date already.

The functions may meet a stranger's values: they raise, and the store is set aside.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from typing import Any

from perdure.engine.stores import STORES
from perdure.persistence.keys import StoreKey

REMNANTS = "perdure.engine.remnants"


@dataclass(frozen=True, slots=True)
class Row:
    """One change of one class."""

    since: str
    cls: str
    reason: str


@dataclass(frozen=True, slots=True)
class Moved(Row):
    """The class was called ``was``."""

    was: str


@dataclass(frozen=True, slots=True)
class Renamed(Row):
    """The attribute (or member of an enumeration) ``name`` was called ``was``."""

    was: str
    name: str


@dataclass(frozen=True, slots=True)
class Dropped(Row):
    """The attribute ``name`` means nothing any more, or another thing."""

    name: str


@dataclass(frozen=True, slots=True)
class Added(Row):
    """The attribute ``name`` is new; its value comes from the object and its store's key."""

    name: str
    make: Callable[[Any, StoreKey], Any]


@dataclass(frozen=True, slots=True)
class Retyped(Row):
    """The value of ``name`` is of another type; ``convert`` takes either."""

    name: str
    convert: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Rewritten(Row):
    """Several attributes changed together; ``change`` works on all of them, in place."""

    change: Callable[[dict[str, Any]], None]


# ------------------------------------------------------------------- functions


def _flag(value: Any) -> Any:
    """``"true"`` and ``"false"`` as what they say."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _naive(value: Any) -> Any:
    """A time as moto keeps it since 5.2: UTC, without saying so."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = dt.datetime.fromtimestamp(value / 1000, dt.UTC)
    elif isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return value


def _naive_of_seconds(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return _naive(value * 1000 if is_number else value)


def _zone(value: Any) -> Any:
    """The zone's name, where moto kept the whole placement of an instance."""
    return getattr(value, "zone", value)


def _capitalised(value: Any) -> Any:
    return {name[:1].upper() + name[1:]: each for name, each in value.items()}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) else value


def _with_additional(attributes: Any) -> Any:
    return {"additional_attributes": [], **attributes}


def _never_none(default: Any) -> Callable[[Any], Any]:
    return lambda value: copy.deepcopy(default) if value is None else value


def _or_none(value: Any) -> Any:
    return value or None


def _of_store(_: Any, key: StoreKey) -> Any:
    store = STORES.find(key)
    if store is None:
        raise LookupError(f"no store {key}")
    return store


def _account(_: Any, key: StoreKey) -> str:
    return key.account


def _same_as(name: str) -> Callable[[Any, StoreKey], Any]:
    """The value of another attribute of the object, which may be one of an attribute of it."""

    def value(found: Any, _: StoreKey) -> Any:
        for part in name.split("."):
            found = getattr(found, part)
        return found

    return value


def _always(value: Any) -> Callable[[Any, StoreKey], Any]:
    return lambda _, __: copy.deepcopy(value)


def _made(module: str, name: str) -> Callable[[Any, StoreKey], Any]:
    """A fresh object of one of moto's classes that needs nothing to be made."""
    return lambda _, __: getattr(import_module(f"moto.{module}"), name)()


def _alternative_names(bundle: Any, _: StoreKey) -> list[str]:
    from cryptography import x509

    try:
        found = bundle._cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found.value]


def _issuer(bundle: Any, _: StoreKey) -> str:
    from cryptography.x509 import NameOID

    found = bundle._cert.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value if found else "")


def _warm(table: Any, _: StoreKey) -> dict[str, Any]:
    """What DynamoDB says a table or index can take at once; on demand has fixed figures."""
    read = table.throughput.get("ReadCapacityUnits") or 12000
    write = table.throughput.get("WriteCapacityUnits") or 4000
    return {"ReadUnitsPerSecond": read, "WriteUnitsPerSecond": write, "Status": "ACTIVE"}


def _single_rules(rules: Any) -> Any:
    """One rule for each range, group and prefix list, as AWS counts them."""
    single: list[Any] = []
    for rule in rules:
        if "ip_ranges" not in rule.__dict__:
            single.append(rule)
            continue
        parts = [
            *({"ip_range": each} for each in rule.ip_ranges),
            *({"source_group": each} for each in rule.source_groups),
            *({"prefix_list_id": each} for each in rule.prefix_list_ids),
        ]
        single += [_single_rule(rule, part, n) for n, part in enumerate(parts or [{}])]
    return single


def _single_rule(rule: Any, part: dict[str, Any], number: int) -> Any:
    made = type(rule)(
        rule.ec2_backend,
        rule.ip_protocol,
        rule.group_id,
        rule.from_port,
        rule.to_port,
        **{"ip_range": None, **part},
        is_egress=rule.is_egress,
    )
    if number == 0:
        made.id = rule.id
    return made


def _queued(execution: dict[str, Any]) -> None:
    """A finished query of a time when none was ever under way."""
    if "status" in execution:
        execution["_status"] = execution.pop("status")
        execution["_transitions"] = [("QUEUED", "RUNNING"), ("RUNNING", "SUCCEEDED")]
        execution["model_name"] = "athena::execution"
        execution.setdefault("_tick", 0)
        execution.setdefault("_time_progressed", dt.datetime.fromtimestamp(0))  # noqa: DTZ006 - moto's
        execution.setdefault("end_time", execution["start_time"])


def _tracking(policy: Any, _: StoreKey) -> Any:
    from moto.autoscaling.models import TargetTrackingConfiguration

    given = getattr(policy, "target_tracking_config", None)
    tracks = policy.policy_type == "TargetTrackingScaling"
    return TargetTrackingConfiguration(given) if tracks else None


def _hash_of_name(cluster: Any, key: StoreKey) -> str:
    """The same at every load; a drawn one would change until the next save."""
    return blake2b(f"{key}/{cluster.cluster_identifier}".encode(), digest_size=6).hexdigest()


def _no_logging(cluster: Any, _: StoreKey) -> dict[str, Any]:
    texts = dict.fromkeys(("BucketName", "S3KeyPrefix", "LastFailureMessage"), "")
    times = dict.fromkeys(("LastSuccessfulDeliveryTime", "LastFailureTime"), cluster.create_time)
    return {"LoggingEnabled": "false", "LogDestinationType": "", "LogExports": [], **texts, **times}


def _aliases(store: dict[str, Any]) -> None:
    """Aliases stand with the key they name, no longer in a table of the store."""
    from moto.kms.models import Alias

    for number, names in store.pop("key_to_aliases", {}).items():
        key = store["keys"][number]
        for name in names:
            key.aliases[name] = Alias(key.account_id, key.region, name, key)


def _identities(store: dict[str, Any]) -> None:
    """Addresses and domains that were verified are identities since."""
    from moto.ses.models import EmailIdentity

    found = store.setdefault("email_identities", {})
    lists = (store.pop(name, []) for name in ("addresses", "email_addresses", "domains"))
    for name in [name for names in lists for name in names]:
        found.setdefault(name, EmailIdentity(name, None, None, None))


def _typed_values(message: dict[str, Any]) -> None:
    """SQS calls the parts of an attribute as AWS does."""
    names = {"data_type": "DataType", "string_value": "StringValue", "binary_value": "BinaryValue"}
    message["message_attributes"] = {
        name: {names.get(part, part): each for part, each in value.items()}
        for name, value in message["message_attributes"].items()
    }


def _resource_type(resource: dict[str, Any]) -> None:
    """What CloudFormation notes on the objects it made."""
    kind = resource.get("type")
    if "logical_resource_id" in resource and isinstance(kind, str) and kind.startswith("AWS::"):
        resource.setdefault("cf_resource_type", resource.pop("type"))


def _as_attributes(action: dict[str, Any]) -> None:
    """An action's data are its attributes too."""
    for name, value in action["data"].items():
        action.setdefault(name, value)


def _mapping_arn(mapping: Any, _: StoreKey) -> str:
    *start, _function = mapping.function_arn.split(":")[:6]
    return ":".join([*start, "event-source-mapping", mapping.uuid])


def _part_of_arn(name: str, part: int) -> Callable[[Any, StoreKey], str]:
    return lambda value, _: str(getattr(value, name).split(":")[part])


# ----------------------------------------------------------------------- table

MODEL = "named as in AWS's model since"
BOTO = "moto gave up its copy of the old boto library"
BOOL = "'true' and 'false' as text became booleans"
TIME = "text or milliseconds became datetimes"
UNKNOWN = "older versions did not note it"

INSTANCE = "ec2.models.instances:Instance"
GROUP = "ec2.models.security_groups:SecurityGroup"
GROUPS = "ec2.models.security_groups:SecurityGroupBackend"
VPC = "ec2.models.vpcs:VPC"
SUBNET = "ec2.models.subnets:Subnet"
KEY_PAIR = "ec2.models.key_pairs:KeyPair"
ASG = "autoscaling.models:FakeAutoScalingGroup"
LAUNCH = "autoscaling.models:FakeLaunchConfiguration"
POLICY = "autoscaling.models:FakeScalingPolicy"
MEMBER = "autoscaling.models:InstanceState"
TARGETS = "elbv2.models:FakeTargetGroup"
MAPPING = "awslambda.models:EventSourceMapping"
EMR_GROUP = "emr.models:InstanceGroup"
SNAPSHOT = "redshift.models:Snapshot"

TO_5_2: tuple[Row, ...] = (
    # acm .. cloudwatch
    Rewritten("5.2.0", "athena.models:Execution", "queries go through states", _queued),
    Renamed("5.2.0", ASG, MODEL, "service_linked_role", "service_linked_role_arn"),
    Renamed("5.2.0", ASG, MODEL, "health_check_period", "health_check_grace_period"),
    Renamed("5.2.0", ASG, MODEL, "load_balancers", "load_balancer_names"),
    Renamed("5.2.0", ASG, MODEL, "launch_template", "ec2_launch_template"),
    Renamed("5.2.0", ASG, MODEL, "launch_config_name", "launch_configuration_name"),
    Renamed("5.2.0", LAUNCH, MODEL, "instance_monitoring", "instance_monitoring_enabled"),
    Renamed("5.2.0", LAUNCH, MODEL, "instance_profile_name", "iam_instance_profile"),
    Added(
        "5.2.0",
        LAUNCH,
        "what older versions answered for all",
        "created_time",
        _always(dt.datetime(2013, 1, 21, 23, 4, 42, 200000)),  # noqa: DTZ001 - moto's are naive
    ),
    Renamed("5.2.0", POLICY, MODEL, "as_name", "auto_scaling_group_name"),
    Added("5.2.0", POLICY, "for target tracking", "target_tracking_configuration", _tracking),
    Dropped("5.2.0", POLICY, "kept as an object", "target_tracking_config"),
    Added("5.2.0", POLICY, MODEL, "policy_name", _same_as("name")),
    Added("5.2.0", MEMBER, MODEL, "auto_scaling_group", _same_as("instance.autoscaling_group")),
    Added("5.2.0", MEMBER, MODEL, "auto_scaling_group_name", _same_as("auto_scaling_group.name")),
    Added("5.2.0", MEMBER, MODEL, "availability_zone", _same_as("instance._placement.zone")),
    Added("5.2.0", MEMBER, MODEL, "instance_id", _same_as("instance.id")),
    Added("5.2.0", MEMBER, MODEL, "instance_type", _same_as("instance.instance_type")),
    Added("5.2.0", MAPPING, "of the function", "region", _part_of_arn("function_arn", 3)),
    Added("5.2.0", MAPPING, "of the function", "account_id", _part_of_arn("function_arn", 4)),
    Added("5.2.0", MAPPING, MODEL, "arn", _mapping_arn),
    *(
        Moved("5.1.11", f"cloudformation.models:{name}", MODEL, f"cloudformation.models:Fake{name}")
        for name in (
            *("Change", "ChangeSet", "Event", "Stack"),
            *("StackInstance", "StackInstances", "StackSet"),
        )
    ),
    Renamed("5.2.0", "cloudformation.models:Stack", MODEL, "timeout_in_mins", "timeout_in_minutes"),
    Renamed(
        "5.2.0", "cloudformation.models:StackSet", MODEL, "admin_role", "administration_role_arn"
    ),
    Renamed(
        "5.2.0", "cloudformation.models:StackSet", MODEL, "execution_role", "execution_role_name"
    ),
    Moved("5.1.11", "cloudwatch.models:Alarm", MODEL, "cloudwatch.models:FakeAlarm"),
    Retyped("5.2.0", "cloudwatch.models:Alarm", TIME, "configuration_updated_timestamp", _naive),
    Retyped("5.2.0", "cloudwatch.models:Alarm", TIME, "state_updated_timestamp", _naive),
    # core .. ecr
    Rewritten(
        "5.2.0", "core.common_models:CloudFormationModel", "the name was taken", _resource_type
    ),
    Added("5.2.0", "dynamodb.models.table:Table", "new in AWS", "warm_throughput", _warm),
    Added(
        "5.2.0",
        "dynamodb.models.table:GlobalSecondaryIndex",
        "new in AWS",
        "warm_throughput",
        _warm,
    ),
    Renamed("5.2.0", "ec2.models.key_pairs:KeyPairBackend", MODEL, "keypairs", "key_pairs"),
    Renamed("5.2.0", KEY_PAIR, MODEL, "name", "key_name"),
    Renamed("5.2.0", KEY_PAIR, MODEL, "fingerprint", "key_fingerprint"),
    Added("5.2.0", KEY_PAIR, "all were", "key_type", _always("rsa")),
    *(
        Retyped("5.2.0", VPC, BOOL, name, _flag)
        for name in (
            *("is_default", "enable_dns_support", "enable_dns_hostnames"),
            *("classic_link_enabled", "classic_link_dns_supported"),
            "enable_network_address_usage_metrics",
        )
    ),
    Retyped("5.2.0", SUBNET, BOOL, "default_for_az", _flag),
    Retyped("5.2.0", SUBNET, BOOL, "map_public_ip_on_launch", _flag),
    Dropped("5.2.0", SUBNET, "derived from the block since", "_subnet_ip_generator"),
    Renamed("5.2.0", SUBNET, "AWS's own, beside users'", "reserved_ips", "aws_reserved_ips"),
    Retyped("5.2.0", SUBNET, "a set", "aws_reserved_ips", set),
    Retyped("5.2.0", "ec2.models.network_acls:NetworkAcl", BOOL, "default", _flag),
    Moved(
        "5.1.11",
        "ec2.models.security_groups:SecurityGroupRule",
        "one for each range, group and prefix list",
        "ec2.models.security_groups:SecurityRule",
    ),
    Added(
        "5.1.11",
        "ec2.models.security_groups:SecurityGroupRule",
        "bound by policy.finish",
        "filters",
        _always({"group-id": "filter_group_id", "security-group-rule-id": "filter_id"}),
    ),
    Added(
        "5.1.11",
        "ec2.models.security_groups:SecurityGroupRule",
        "on rules that are taken apart",
        "ip_range",
        _always({}),
    ),
    Dropped("5.1.11", GROUPS, "was between two calls", "sg_old_ingress_ruls"),
    Dropped("5.1.11", GROUPS, "was between two calls", "sg_old_egress_ruls"),
    Retyped("5.1.11", GROUP, "one rule for each range", "ingress_rules", _single_rules),
    Retyped("5.1.11", GROUP, "one rule for each range", "egress_rules", _single_rules),
    *(
        Retyped("5.2.0", cls, "answers said so for all", name, _never_none(default))
        for cls, name, default in (
            (INSTANCE, "hypervisor", "xen"),
            (INSTANCE, "root_device_type", "ebs"),
            ("ec2.models.instances:InstancePlacement", "group_name", ""),
            ("ec2.models.instances:InstancePlacement", "tenancy", "default"),
        )
    ),
    Renamed("5.2.0", INSTANCE, MODEL, "_state_reason", "state_reason"),
    Retyped("5.2.0", INSTANCE, BOOL, "source_dest_check", _flag),
    Retyped("5.2.0", INSTANCE, TIME, "launch_time", _naive),
    Added("5.2.0", INSTANCE, "of the image, mostly none", "kernel_id", _always("None")),
    Added(
        "5.2.0",
        INSTANCE,
        "defaults",
        "metadata_options",
        _made("ec2.models.instances", "MetadataOptions"),
    ),
    Renamed("5.2.0", "ecr.models:Image", MODEL, "repository", "repository_name"),
    Renamed(
        "5.2.0",
        "ecr.models:Image",
        MODEL,
        "image_manifest_mediatype",
        "image_manifest_media_type",
    ),
    # eks .. events
    Renamed("5.2.0", "eks.models:Cluster", MODEL, "certificateAuthority", "certificate_authority"),
    Renamed("5.2.0", "eks.models:Cluster", MODEL, "creation_date", "created_at"),
    Retyped("5.2.0", "eks.models:Cluster", TIME, "created_at", _naive),
    Moved("5.1.11", "eks.models:Nodegroup", MODEL, "eks.models:ManagedNodegroup"),
    Renamed("5.2.0", "eks.models:Nodegroup", MODEL, "creation_date", "created_at"),
    Renamed("5.2.0", "eks.models:Nodegroup", MODEL, "modified_date", "modified_at"),
    Retyped("5.2.0", "eks.models:Nodegroup", TIME, "created_at", _naive),
    Retyped("5.2.0", "eks.models:Nodegroup", TIME, "modified_at", _naive),
    Moved("5.1.11", "elb.models:LoadBalancer", MODEL, "elb.models:FakeLoadBalancer"),
    Renamed("5.2.0", "elb.models:LoadBalancer", MODEL, "zones", "availability_zones"),
    Added("5.2.0", "elb.models:LoadBalancer", "the store's", "account_id", _account),
    Retyped("5.2.0", "elb.models:LoadBalancer", "one more", "attributes", _with_additional),
    Rewritten("5.2.0", "elbv2.models:FakeAction", "its data are attributes", _as_attributes),
    *(
        Renamed("5.2.0", TARGETS, MODEL, f"healthcheck_{name}", f"health_check_{name}")
        for name in ("protocol", "port", "path", "interval_seconds", "timeout_seconds", "enabled")
    ),
    Retyped("5.2.0", TARGETS, "numbers", "health_check_interval_seconds", _number),
    Retyped("5.2.0", TARGETS, "numbers", "health_check_timeout_seconds", _number),
    Renamed("5.2.0", "elbv2.models:FakeLoadBalancer", MODEL, "loadbalancer_type", "type"),
    Renamed("5.2.0", "elbv2.models:FakeLoadBalancer", MODEL, "stack", "ip_address_type"),
    *(
        Moved("5.1.11", f"emr.models:{name}", MODEL, f"emr.models:Fake{name}")
        for name in (
            *("Application", "BootstrapAction", "Cluster", "Instance", "InstanceGroup"),
            *("SecurityConfiguration", "Step"),
        )
    ),
    *(
        Retyped("5.2.0", "emr.models:Cluster", TIME, f"{name}_datetime", _naive)
        for name in ("creation", "start", "ready", "end")
    ),
    *(
        Renamed("5.2.0", EMR_GROUP, MODEL, f"{name}_datetime", f"{name}_date_time")
        for name in ("creation", "start", "ready", "end")
    ),
    *(
        Retyped("5.2.0", EMR_GROUP, TIME, f"{name}_date_time", _naive)
        for name in ("creation", "start", "ready", "end")
    ),
    Added("5.2.0", EMR_GROUP, MODEL, "instance_group_type", _same_as("role")),
    Added("5.2.0", "events.models:EventBus", UNKNOWN, "creation_time", _always(0.0)),
    Added("5.2.0", "events.models:EventBus", UNKNOWN, "last_modified_time", _always(0.0)),
    # glue .. stepfunctions
    Retyped("5.2.0", "glue.models:FakeJob", "never None", "default_arguments", _never_none({})),
    Renamed("5.1.11", "iam.models:Role", MODEL, "permissions_boundary", "permissions_boundary_arn"),
    Rewritten("5.2.0", "kms.models:KmsBackend", "aliases stand with their keys", _aliases),
    Added("5.2.0", "rds.models:DBCluster", "new in moto", "domain_memberships", _always([])),
    Added("5.2.0", "rds.models:DBInstance", "new in moto", "domain_memberships", _always([])),
    Renamed(
        "5.2.0",
        "rds.models:DBInstance",
        MODEL,
        "source_db_identifier",
        "source_db_instance_identifier",
    ),
    Retyped("5.2.0", "redshift.models:Cluster", TIME, "create_time", _naive),
    Added(
        "5.2.0", "redshift.models:Cluster", "not kept before", "unique_cluster_id", _hash_of_name
    ),
    Added("5.2.0", "redshift.models:Cluster", "off, as it was", "logging_details", _no_logging),
    Renamed(
        "5.2.0", "redshift.models:ParameterGroup", MODEL, "cluster_parameter_group_name", "name"
    ),
    Renamed("5.2.0", "redshift.models:ParameterGroup", MODEL, "group_family", "family"),
    Retyped("5.2.0", SNAPSHOT, TIME, "create_time", _naive),
    *(
        Added("5.2.0", SNAPSHOT, "no copy of the cluster", name, _same_as(f"cluster.{name}"))
        for name in (
            *("cluster_identifier", "port", "availability_zone", "master_username"),
            *("master_user_password", "cluster_version", "node_type", "number_of_nodes"),
            *("db_name", "enhanced_vpc_routing", "encrypted"),
        )
    ),
    Renamed("5.2.0", "route53.models:FakeZone", MODEL, "id", "resource_id"),
    Renamed("5.2.0", "route53.models:RecordSet", MODEL, "type_", "type"),
    Renamed("5.2.0", "route53.models:RecordSet", MODEL, "health_check", "health_check_id"),
    Renamed("5.2.0", "route53.models:RecordSet", MODEL, "multi_value", "multi_value_answer"),
    *(
        Retyped("5.2.0", "route53.models:RecordSet", "None if there is none", name, _or_none)
        for name in ("alias_target", "failover", "geo_location", "weight")
    ),
    Rewritten("5.2.0", "ses.models:SESBackend", "identities, with more to say", _identities),
    Retyped("5.2.0", "sns.models:Topic", BOOL, "fifo_topic", _flag),
    Retyped("5.2.0", "sns.models:Topic", BOOL, "content_based_deduplication", _flag),
    Added("5.2.0", "sns.models:Subscription", "who subscribed", "owner", _same_as("account_id")),
    Renamed("5.2.0", "sqs.models:Message", "no longer escaped", "_body", "body"),
    Rewritten("5.2.0", "sqs.models:Message", MODEL, _typed_values),
    Added("5.2.0", "stepfunctions.models:StateMachine", "its store", "backend", _of_store),
)

TO_5_2_5: tuple[Row, ...] = (
    Added("5.2.2", "acm.models:CertBundle", "of the certificate", "sans", _alternative_names),
    Added("5.2.2", "acm.models:CertBundle", "of it", "issuer_common_name", _issuer),
    *(
        Moved("5.2.4", f"ec2.models.{here}", BOTO, f"packages.boto.ec2.{there}")
        for here, there in (
            ("instances:InstancePlacement", "instance:InstancePlacement"),
            ("instances:Reservation", "instance:Reservation"),
            ("block_device:BlockDeviceMapping", "blockdevicemapping:BlockDeviceMapping"),
            ("block_device:BlockDeviceType", "blockdevicemapping:BlockDeviceType"),
        )
    ),
    Moved("5.2.4", f"{REMNANTS}:GoneDict", BOTO, "packages.boto.ec2.tag:TagSet"),
    Moved("5.2.4", f"{REMNANTS}:GoneList", BOTO, "packages.boto.ec2.image:ProductCodes"),
    Retyped("5.2.4", MEMBER, "its name", "availability_zone", _zone),
    Dropped("5.2.4", INSTANCE, "never filled; the store has the tags", "tags"),
    Retyped("5.2.4", INSTANCE, "a plain list", "product_codes", list),
    Added("5.2.4", "servicediscovery.models:Service", "the store's", "account_id", _account),
    *(
        Retyped("5.2.5", cls, TIME, name, _naive)
        for cls, name in (
            ("appsync.models:EventsAPI", "created"),
            ("codedeploy.models:Application", "create_time"),
            ("codedeploy.models:DeploymentInfo", "create_time"),
            ("logs.models:Destination", "creation_time"),
            ("logs.models:LogGroup", "creation_time"),
            ("logs.models:LogQuery", "create_time"),
            ("logs.models:LogResourcePolicy", "last_updated_time"),
            ("logs.models:LogStream", "creation_time"),
            ("logs.models:LogStream", "last_ingestion_time"),
            ("logs.models:SubscriptionFilter", "creation_time"),
            ("networkmanager.models:CoreNetwork", "created_at"),
            ("networkmanager.models:Device", "created_at"),
            ("networkmanager.models:GlobalNetwork", "created_at"),
            ("networkmanager.models:Link", "created_at"),
            ("networkmanager.models:Site", "created_at"),
        )
    ),
    *(
        Retyped("5.2.5", cls, TIME, name, _naive_of_seconds)
        for cls, name in (
            ("ds.models:Directory", "launch_time"),
            ("ds.models:Directory", "stage_last_updated_date_time"),
            ("ds.models:LdapsSettingInfo", "last_updated_date_time"),
            ("ds.models:LogSubscription", "created_date_time"),
            ("ds.models:Trust", "created_date_time"),
            ("ebs.models:EBSSnapshot", "start_time"),
        )
    ),
    Retyped("5.2.5", "mq.models:Broker", MODEL, "encryption_options", _capitalised),
    Retyped("5.2.5", "mq.models:Broker", MODEL, "maintenance_window_start_time", _capitalised),
)

TABLE: tuple[Row, ...] = (*TO_5_2, *TO_5_2_5)
