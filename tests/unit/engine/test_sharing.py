"""Objects of two services: one object before a save, one object after a load."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from tests.unit.engine.conftest import ACCOUNT, REGION, Disk, is_living, key

from perdure.engine.sharing import SHARING, Sharing
from perdure.persistence.keys import ExportId, StoreKey

TEMPLATE = """
Resources:
  Bucket: {Type: "AWS::S3::Bucket", Properties: {BucketName: stack-bucket}}
  Queue: {Type: "AWS::SQS::Queue", Properties: {QueueName: stack-queue}}
  Role:
    Type: "AWS::IAM::Role"
    Properties: {RoleName: stack-role, AssumeRolePolicyDocument: {}}
"""


def make_stack(moto: Any) -> Any:
    moto.store("s3", "aws"), moto.store("sqs"), moto.store("iam", "aws")
    return moto.store("cloudformation").create_stack(
        name="stack", template=TEMPLATE, parameters={}, tags={}, role_arn=None
    )


def resources_of(moto: Any) -> dict[str, Any]:
    stack = next(iter(moto.store("cloudformation").stacks.values()))
    return dict(stack.resource_map._parsed_resources)


def make_group(moto: Any) -> Any:
    ec2 = moto.store("ec2")
    image = next(iter(ec2.amis))
    moto.store("autoscaling").create_launch_configuration(
        name="conf",
        image_id=image,
        key_name=None,
        kernel_id=None,
        ramdisk_id=None,
        security_groups=[],
        user_data="",
        instance_type="t2.micro",
        instance_monitoring=False,
        instance_profile_name=None,
        spot_price=None,
        ebs_optimized=False,
        associate_public_ip_address=False,
        block_device_mappings=[],
        metadata_options=None,
        classic_link_vpc_id=None,
        classic_link_vpc_security_groups=[],
    )
    group: dict[str, Any] = dict.fromkeys(
        moto.store("autoscaling").create_auto_scaling_group.__code__.co_varnames[
            1 : moto.store("autoscaling").create_auto_scaling_group.__code__.co_argcount
        ]
    )
    group |= {
        "name": "group",
        "availability_zones": [REGION + "a"],
        "desired_capacity": 2,
        "max_size": 3,
        "min_size": 1,
        "launch_config_name": "conf",
        "vpc_zone_identifier": None,
        "default_cooldown": 60,
        "health_check_period": 60,
        "health_check_type": "EC2",
        "load_balancers": [],
        "target_group_arns": [],
        "termination_policies": [],
        "tags": [],
        "instance_id": None,
        "new_instances_protected_from_scale_in": False,
    }
    return moto.store("autoscaling").create_auto_scaling_group(**group)


def test_an_auto_scaling_group_and_ec2_share_their_instances(disk: Disk, moto: Any) -> None:
    """An instance of a group is EC2's instance after a load, seen from both sides."""
    make_group(moto)
    disk.save()
    disk.restart()

    group = moto.store("autoscaling").autoscaling_groups["group"]
    in_ec2 = {i.id: i for r in moto.store("ec2").reservations.values() for i in r.instances}
    assert len(group.instance_states) == 2
    for state in group.instance_states:
        assert in_ec2[state.instance.id] is state.instance
    state.instance.instance_type = "t2.changed"
    assert in_ec2[state.instance.id].instance_type == "t2.changed"
    assert moto.store("autoscaling").ec2_backend is moto.store("ec2")


def test_a_load_balancer_and_ec2_share_their_subnets(disk: Disk, moto: Any) -> None:
    """A load balancer's subnets are EC2's after a load."""
    ec2 = moto.store("ec2")
    subnets = [s for by_zone in ec2.subnets.values() for s in by_zone.values()][:2]
    moto.store("elbv2").create_load_balancer(
        name="lb", security_groups=[], subnet_ids=[s.id for s in subnets], subnet_mappings=[]
    )
    disk.save()
    disk.restart()

    balancer = next(iter(moto.store("elbv2").load_balancers.values()))
    found = [s for by_zone in moto.store("ec2").subnets.values() for s in by_zone.values()]
    assert len(balancer.subnets) == 2
    for subnet in balancer.subnets:
        assert any(subnet is other for other in found)


def test_a_stack_and_its_services_share_its_resources(disk: Disk, moto: Any) -> None:
    """A stack's bucket, queue and role are the services' own after a load, and can be deleted."""
    make_stack(moto)
    disk.save()
    disk.restart()

    found = resources_of(moto)
    assert found["Bucket"] is moto.store("s3", "aws").buckets["stack-bucket"]
    assert found["Queue"] is moto.store("sqs").queues["stack-queue"]
    assert any(found["Role"] is role for role in moto.store("iam", "aws").roles.values())
    moto.store("cloudformation").delete_stack("stack")
    assert moto.store("s3", "aws").buckets == {}
    assert moto.store("sqs").queues == {}


def test_what_its_owner_dropped_stays_with_its_referrer(disk: Disk, moto: Any) -> None:
    """A bucket deleted behind its stack's back is gone from S3 and kept by the stack."""
    make_stack(moto)
    disk.save()
    moto.store("s3", "aws").delete_bucket("stack-bucket")
    disk.save()
    disk.restart()

    assert moto.store("s3", "aws").buckets == {}
    assert resources_of(moto)["Bucket"].name == "stack-bucket"


def test_the_owner_drops_it_while_its_referrer_is_not_loaded(disk: Disk, moto: Any) -> None:
    """An object that only an unloaded store still refers to is there when that one is loaded."""
    make_stack(moto)
    disk.save()
    disk.restart()
    moto.store("s3", "aws").delete_bucket("stack-bucket")
    assert not is_living(key("cloudformation"))
    gc.collect()
    disk.save()
    disk.restart()

    assert resources_of(moto)["Bucket"].name == "stack-bucket"
    assert moto.store("s3", "aws").buckets == {}
    assert disk.reports == {}


def test_a_new_referrer_of_an_owner_that_did_not_change(disk: Disk, moto: Any) -> None:
    """Gaining a referrer saves the owner again, else nothing would carry the object."""
    ec2 = moto.store("ec2")
    subnets = [s for by_zone in ec2.subnets.values() for s in by_zone.values()][:2]
    disk.save()
    moto.store("elbv2").create_load_balancer(
        name="lb", security_groups=[], subnet_ids=[s.id for s in subnets], subnet_mappings=[]
    )
    for dirty in disk.engine.changed() - {key("elbv2")}:
        from perdure.engine.stores import STORES

        STORES.dirty.discard(dirty)
        STORES.touched.discard(dirty)
    written = disk.save()
    disk.restart()

    assert key("ec2") in written
    balancer = next(iter(moto.store("elbv2").load_balancers.values()))
    assert balancer.subnets[0] is moto.store("ec2").get_subnet(balancer.subnets[0].id)


def test_an_assumed_role_and_iam_share_the_key(disk: Disk, moto: Any) -> None:
    """The key that AssumeRole handed out is one object of STS and IAM after a load."""
    iam = moto.store("iam", "aws")
    role = iam.create_role("r", "{}", "/", None, "", {}, 3600)
    moto.store("sts", "aws").assume_role(
        region_name=REGION,
        role_session_name="s",
        role_arn=role.arn,
        policy="",
        duration=900,
        external_id="",
    )
    disk.save()
    disk.restart()

    assumed = moto.store("sts", "aws").assumed_roles[0]
    keys = moto.store("iam", "aws").access_keys
    assert assumed.access_key_id in keys
    shared = [v for v in vars(assumed).values() if any(v is k for k in keys.values())]
    assert shared == [keys[assumed.access_key_id]] or "access_key" not in vars(assumed)


def test_a_queue_and_lambda_share_the_event_source_mapping(disk: Disk, moto: Any) -> None:
    """A mapping from a queue to a function is one object of SQS and Lambda after a load."""
    queue = moto.store("sqs").create_queue("q", {})
    role = moto.store("iam", "aws").create_role("r", "{}", "/", None, "", {}, 3600)
    aws_lambda = moto.store("awslambda")
    aws_lambda.create_function(
        {
            "FunctionName": "f",
            "Runtime": "python3.11",
            "Role": role.arn,
            "Handler": "h.h",
            "Code": {"ZipFile": _empty_zip()},
        }
    )
    aws_lambda.create_event_source_mapping({"FunctionName": "f", "EventSourceArn": queue.queue_arn})
    disk.save()
    disk.restart()

    in_queue = moto.store("sqs").queues["q"].lambda_event_source_mappings
    in_lambda = moto.store("awslambda")._event_source_mappings
    assert len(in_queue) == len(in_lambda) == 1
    assert next(iter(in_queue.values())) is next(iter(in_lambda.values()))


def _empty_zip() -> str:
    import base64
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("h.py", "def h(e, c): return e\n")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("first", ["cloudformation", "s3", "sqs"])
def test_whichever_store_is_asked_first(disk: Disk, moto: Any, first: str) -> None:
    """The order in which stores are loaded does not decide what is shared."""
    make_stack(moto)
    disk.save()
    disk.restart()

    moto.store(first, "aws" if first == "s3" else REGION)

    assert resources_of(moto)["Bucket"] is moto.store("s3", "aws").buckets["stack-bucket"]
    assert disk.reports == {}


def test_saving_twice_settles(disk: Disk, moto: Any) -> None:
    """A second save of an unchanged state gives every store the digest it had."""
    make_stack(moto)
    make_group(moto)
    disk.save(everything=True)
    digests = _digests(disk)
    disk.save(everything=True)

    assert _digests(disk) == digests


def _digests(disk: Disk) -> dict[StoreKey, str]:
    from pathlib import Path

    from perdure.persistence.statefile import decode

    return {k: decode(f, path=Path("x")).graph.digest for k, f in disk.files.items()}


def test_ids_stay_across_restarts(disk: Disk, moto: Any) -> None:
    """A loaded object keeps its export id; a new one never gets a used one."""
    make_stack(moto)
    disk.save()
    last = disk.engine.last_id
    names = ("Bucket", "Queue", "Role")
    exported = {n for s in disk.shares.values() for n in s.exports}
    disk.restart()
    resources_of(moto)

    assert {SHARING.id_of(resources_of(moto)[name]) for name in names} <= exported
    assert disk.engine.last_id == last


def test_reloading_one_service_keeps_what_it_shares_one(disk: Disk, moto: Any) -> None:
    """Loading a service again takes the stores it shares objects with along."""
    make_stack(moto)
    disk.save()
    moto.store("s3", "aws").buckets["stack-bucket"].unsaved = "gone after"

    gc.collect()  # what is old is not collected between here and the load
    wanted = disk.engine.reload("s3")
    for k in sorted(wanted):
        if k in disk.engine.unloaded():
            disk.engine.load(k)

    assert disk.reports == {}
    assert key("cloudformation") in wanted
    bucket = moto.store("s3", "aws").buckets["stack-bucket"]
    assert resources_of(moto)["Bucket"] is bucket
    assert not hasattr(bucket, "unsaved")


def test_a_referrer_of_a_damaged_owner_is_set_aside(disk: Disk, moto: Any) -> None:
    """A store that shares an object with a damaged one is not loaded with a hole in it."""
    make_stack(moto)
    disk.save()
    del disk.files[key("s3", "aws")]
    disk.restart()
    from perdure.engine.stores import QuarantinedError

    with pytest.raises(QuarantinedError):
        moto.store("cloudformation")
    with pytest.raises(QuarantinedError):
        moto.store("s3", "aws")
    assert list(moto.store("sqs").queues) == ["stack-queue"]
    assert key("s3", "aws") in disk.reports


# ------------------------------------------------------------- the registry


class Thing:
    """Something to share."""


def test_an_object_has_one_id_for_its_life() -> None:
    """An id is given once, found again, and not given to another object."""
    sharing = Sharing()
    one, two = Thing(), Thing()

    assert sharing.id_of(one) is None
    assert sharing.share(one) == sharing.share(one) == 1
    assert sharing.share(two) == 2
    assert sharing.find(ExportId(1)) is one
    del one
    gc.collect()
    assert sharing.find(ExportId(1)) is None
    assert sharing.share(Thing()) == 3


def test_an_address_used_again_is_another_object() -> None:
    """An object that takes a dead one's place in memory does not take its id."""
    sharing = Sharing()
    seen = set()
    for _ in range(50):
        thing = Thing()
        assert sharing.id_of(thing) is None
        seen.add(sharing.share(thing))
        del thing

    assert len(seen) == 50


def test_what_unloaded_stores_need_is_held() -> None:
    """A kept object lives until it is released."""
    sharing = Sharing()
    number = sharing.share(Thing())
    assert sharing.find(number) is None
    held = Thing()
    number = sharing.share(held)
    sharing.keep(number)
    del held
    assert sharing.find(number) is not None
    sharing.release(frozenset({number}))
    assert sharing.find(number) is not None
    sharing.release(frozenset())
    assert sharing.find(number) is None


def test_homes_are_decided_and_undone() -> None:
    """A home is set, listed, and forgotten with None."""
    sharing = Sharing()
    home = StoreKey("s3", ACCOUNT, "aws")
    sharing.set_home(ExportId(1), home)
    assert sharing.home(ExportId(1)) == home
    assert sharing.homes() == [(1, home)]
    sharing.set_home(ExportId(1), None)
    assert sharing.homes() == []


def test_a_save_leaves_unloaded_stores_and_what_they_share_alone(moto: Any, disk: Disk) -> None:
    """Saving one store neither loads nor rewrites others that share objects among themselves."""
    make_stack(moto)
    disk.save()
    before = dict(disk.files)
    disk.restart()

    moto.store("ssm")
    written = disk.save()

    assert written == {key("ssm")}
    assert not is_living(key("cloudformation"))
    assert {k: v for k, v in disk.files.items() if k in before} == before
