"""Auto Scaling across a restart."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from resume import resumed

IMAGE = "ami-12c6146b"  # one that moto brings; to list them all takes a second


def make_group(aws, name, *, size=2, **more):
    """A group of instances in the account's first subnet, made from a launch template."""
    ec2 = aws.client("ec2")
    ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t2.micro"},
    )
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    aws.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
        MinSize=0,
        MaxSize=5,
        DesiredCapacity=size,
        VPCZoneIdentifier=subnet,
        **more,
    )


def group(aws, name):
    found = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return found["AutoScalingGroups"][0]


def members(aws, name):
    return {i["InstanceId"] for i in group(aws, name)["Instances"]}


def running(aws):
    """What EC2 says runs."""
    found = aws.client("ec2").describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
    )
    return {i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]}


@resumed
def test_terminated_by_ec2_is_replaced(aws):
    """An instance that EC2 terminates after a restart leaves its group, which starts another."""
    make_group(aws, "replaced")
    before = members(aws, "replaced")
    yield
    gone = min(before)
    aws.client("ec2").terminate_instances(InstanceIds=[gone])
    after = members(aws, "replaced")
    assert gone not in after
    assert len(after) == 2
    assert after == running(aws)


@resumed
def test_capacity_changes_instances_of_ec2(aws):
    """A group grown and shrunk after a restart starts and terminates EC2's instances."""
    make_group(aws, "sized")
    scaling = aws.client("autoscaling")
    yield
    scaling.set_desired_capacity(AutoScalingGroupName="sized", DesiredCapacity=3)
    assert len(members(aws, "sized")) == 3
    assert members(aws, "sized") == running(aws)
    scaling.set_desired_capacity(AutoScalingGroupName="sized", DesiredCapacity=1)
    assert len(members(aws, "sized")) == 1
    assert members(aws, "sized") == running(aws)
    scaling.delete_auto_scaling_group(AutoScalingGroupName="sized", ForceDelete=True)
    assert running(aws) == set()


@resumed
def test_template_of_ec2_has_a_new_version(aws):
    """A group starts what the newest version of its launch template says, also a later one."""
    make_group(aws, "templated", size=1)
    ec2, scaling = aws.client("ec2"), aws.client("autoscaling")
    old = members(aws, "templated")
    yield
    ec2.create_launch_template_version(
        LaunchTemplateName="templated",
        SourceVersion="1",
        LaunchTemplateData={"InstanceType": "t2.large"},
    )
    scaling.set_desired_capacity(AutoScalingGroupName="templated", DesiredCapacity=2)
    (new,) = members(aws, "templated") - old
    found = ec2.describe_instances(InstanceIds=[new])["Reservations"][0]["Instances"][0]
    assert found["InstanceType"] == "t2.large"
    ec2.modify_launch_template(LaunchTemplateName="templated", DefaultVersion="2")
    for instance in group(aws, "templated")["Instances"]:
        assert instance["LaunchTemplate"]["Version"] == "2"


@resumed
def test_group_registers_with_a_target_group(aws):
    """Instances a group starts after a restart are registered with its target group."""
    vpc = aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    balancing = aws.client("elbv2")
    target = balancing.create_target_group(Name="of-group", Protocol="HTTP", Port=80, VpcId=vpc)
    arn = target["TargetGroups"][0]["TargetGroupArn"]
    make_group(aws, "balanced", size=1, TargetGroupARNs=[arn])

    def registered():
        health = balancing.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {h["Target"]["Id"] for h in health}

    assert registered() == members(aws, "balanced")
    yield
    scaling = aws.client("autoscaling")
    scaling.set_desired_capacity(AutoScalingGroupName="balanced", DesiredCapacity=3)
    assert len(registered()) == 3
    assert registered() == members(aws, "balanced")
    scaling.detach_load_balancer_target_groups(
        AutoScalingGroupName="balanced", TargetGroupARNs=[arn]
    )
    assert registered() == set()


@resumed
def test_policies_hooks_and_processes(aws):
    """Policies, hooks, schedules, tags and suspended processes survive and can be changed."""
    make_group(aws, "managed", size=1, Tags=[tag("a", "b", spread=True)])
    scaling = aws.client("autoscaling")
    which = {"AutoScalingGroupName": "managed"}
    scaling.put_scaling_policy(
        **which, PolicyName="up", AdjustmentType="ChangeInCapacity", ScalingAdjustment=2
    )
    scaling.put_lifecycle_hook(
        **which, LifecycleHookName="wait", LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING"
    )
    scaling.put_scheduled_update_group_action(
        **which, ScheduledActionName="night", Recurrence="0 0 * * *", DesiredCapacity=0
    )
    scaling.suspend_processes(**which, ScalingProcesses=["Terminate"])
    yield
    found = scaling.describe_policies(**which)["ScalingPolicies"]
    assert [p["PolicyName"] for p in found] == ["up"]
    scaling.execute_policy(**which, PolicyName="up")
    assert len(members(aws, "managed")) == 3
    started = min(members(aws, "managed"))
    tags = aws.client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [started]}])
    assert ("a", "b") in {(t["Key"], t["Value"]) for t in tags["Tags"]}
    assert [p["ProcessName"] for p in group(aws, "managed")["SuspendedProcesses"]] == ["Terminate"]
    scaling.resume_processes(**which)
    assert group(aws, "managed")["SuspendedProcesses"] == []
    actions = scaling.describe_scheduled_actions(**which)["ScheduledUpdateGroupActions"]
    assert [a["ScheduledActionName"] for a in actions] == ["night"]
    hooks = scaling.describe_lifecycle_hooks(**which)["LifecycleHooks"]
    assert [h["LifecycleHookName"] for h in hooks] == ["wait"]
    scaling.delete_policy(**which, PolicyName="up")
    with pytest.raises(ClientError, match="up"):
        scaling.execute_policy(**which, PolicyName="up")


def tag(key, value, *, spread):
    return {
        "Key": key,
        "Value": value,
        "PropagateAtLaunch": spread,
        "ResourceId": "managed",
        "ResourceType": "auto-scaling-group",
    }


@resumed
def test_instances_leave_and_join(aws):
    """An instance detached from a group goes on in EC2, and can be attached again."""
    make_group(aws, "joined", size=1)
    scaling = aws.client("autoscaling")
    (one,) = members(aws, "joined")
    yield
    which = {"AutoScalingGroupName": "joined", "InstanceIds": [one]}
    scaling.detach_instances(**which, ShouldDecrementDesiredCapacity=True)
    assert members(aws, "joined") == set()
    assert running(aws) == {one}
    scaling.attach_instances(**which)
    assert members(aws, "joined") == {one}
    scaling.terminate_instance_in_auto_scaling_group(
        InstanceId=one, ShouldDecrementDesiredCapacity=True
    )
    assert running(aws) == set()
