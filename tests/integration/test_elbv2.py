"""Elastic Load Balancing across a restart."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from resume import resumed

IMAGE = "ami-12c6146b"  # one that moto brings; to list them all takes a second


def make_balancer(aws, name, **more):
    """A load balancer in two subnets and a group of EC2; its ARN and what it stands in."""
    ec2 = aws.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:2]]
    made = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    balancer = aws.client("elbv2").create_load_balancer(
        Name=name, Subnets=subnets, SecurityGroups=[made], **more
    )["LoadBalancers"][0]
    return balancer["LoadBalancerArn"], vpc, subnets, made


def make_targets(aws, name, vpc, **more):
    made = aws.client("elbv2").create_target_group(
        Name=name, Protocol="HTTP", Port=80, VpcId=vpc, **more
    )
    return made["TargetGroups"][0]["TargetGroupArn"]


def run(ec2, count=1):
    made = ec2.run_instances(ImageId=IMAGE, MinCount=count, MaxCount=count)["Instances"]
    return [i["InstanceId"] for i in made]


def states(balancing, targets):
    health = balancing.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
    return {h["Target"]["Id"]: h["TargetHealth"]["State"] for h in health}


@resumed
def test_targets_are_instances_of_ec2(aws):
    """A target that EC2 stops or terminates after a restart is no healthy one any more."""
    ec2, balancing = aws.client("ec2"), aws.client("elbv2")
    arn, vpc, *_ = make_balancer(aws, "targets")
    targets = make_targets(aws, "targets", vpc)
    balancing.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
    )
    stays, stops, ends = run(ec2, 3)
    balancing.register_targets(
        TargetGroupArn=targets, Targets=[{"Id": i} for i in (stays, stops, ends)]
    )
    yield
    assert set(states(balancing, targets).values()) == {"healthy"}
    ec2.stop_instances(InstanceIds=[stops])
    ec2.terminate_instances(InstanceIds=[ends])
    found = states(balancing, targets)
    assert (found[stays], found[stops]) == ("healthy", "unused")
    assert found.get(ends, "draining") != "healthy"
    balancing.deregister_targets(TargetGroupArn=targets, Targets=[{"Id": stays}])
    assert states(balancing, targets).get(stays) != "healthy"


@resumed
def test_subnets_and_groups_are_those_of_ec2(aws):
    """A balancer moves to EC2's other subnets and groups; EC2 keeps or deletes what it left."""
    ec2, balancing = aws.client("ec2"), aws.client("elbv2")
    arn, vpc, subnets, group = make_balancer(aws, "placed")
    yield
    other = ec2.create_security_group(GroupName="o", Description="o", VpcId=vpc)["GroupId"]
    balancing.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[other])
    wanted = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][2:4]]
    balancing.set_subnets(LoadBalancerArn=arn, Subnets=wanted)
    found = balancing.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    assert found["SecurityGroups"] == [other]
    assert {z["SubnetId"] for z in found["AvailabilityZones"]} == set(wanted)
    ec2.delete_security_group(GroupId=group)
    with pytest.raises(ClientError, match="InvalidSecurityGroup|InvalidGroup|not found"):
        balancing.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[group])
    with pytest.raises(ClientError, match="SubnetNotFound|InvalidSubnet"):
        balancing.set_subnets(LoadBalancerArn=arn, Subnets=[*wanted[:1], "subnet-0"])
    assert set(subnets).isdisjoint(wanted)


@resumed
def test_rules_and_their_target_groups(aws):
    """Rules keep ARNs and priorities, are moved and deleted, and hold their target group."""
    balancing = aws.client("elbv2")
    arn, vpc, *_ = make_balancer(aws, "ruled")
    one, two = (make_targets(aws, name, vpc) for name in ("one", "two"))
    listener = balancing.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": one}],
    )["Listeners"][0]["ListenerArn"]

    def rule(priority, path):
        return balancing.create_rule(
            ListenerArn=listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [path]}],
            Actions=[{"Type": "forward", "TargetGroupArn": two}],
        )["Rules"][0]["RuleArn"]

    low, high = rule(10, "/a"), rule(20, "/b")
    yield
    with pytest.raises(ClientError, match="PriorityInUse"):
        rule(10, "/c")
    balancing.set_rule_priorities(RulePriorities=[{"RuleArn": high, "Priority": 5}])
    found = balancing.describe_rules(ListenerArn=listener)["Rules"]
    priorities = {r["RuleArn"]: r["Priority"] for r in found if not r["IsDefault"]}
    assert priorities == {high: "5", low: "10"}
    with pytest.raises(ClientError, match="ResourceInUse"):
        balancing.delete_target_group(TargetGroupArn=one)
    for made in (low, high):
        balancing.delete_rule(RuleArn=made)
    assert [r["IsDefault"] for r in balancing.describe_rules(ListenerArn=listener)["Rules"]] == [
        True
    ]
    balancing.delete_listener(ListenerArn=listener)
    balancing.delete_target_group(TargetGroupArn=two)


@resumed
def test_listener_has_certificates_of_acm(aws):
    """A listener keeps ACM's certificates, and takes only those that ACM knows."""
    acm, balancing = aws.client("acm"), aws.client("elbv2")
    first, second, gone = (
        acm.request_certificate(DomainName=f"{name}.example.com")["CertificateArn"]
        for name in ("a", "b", "c")
    )
    arn, vpc, *_ = make_balancer(aws, "secure")
    listener = balancing.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": first}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": make_targets(aws, "safe", vpc)}],
    )["Listeners"][0]["ListenerArn"]
    yield
    acm.delete_certificate(CertificateArn=gone)
    with pytest.raises(ClientError, match="CertificateNotFound|not found"):
        balancing.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": gone}])
    balancing.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": second}])
    found = balancing.describe_listeners(ListenerArns=[listener])["Listeners"][0]
    assert [c["CertificateArn"] for c in found["Certificates"]] == [second]
    used = acm.describe_certificate(CertificateArn=first)["Certificate"]["InUseBy"]
    assert used == [listener]


@resumed
def test_attributes_and_tags(aws):
    """Address, attributes and tags of a balancer survive, and it can be deleted."""
    balancing = aws.client("elbv2")
    arn, *_ = make_balancer(aws, "kept", Tags=[{"Key": "a", "Value": "b"}])
    protect = "deletion_protection.enabled"
    balancing.modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{"Key": protect, "Value": "true"}]
    )
    before = balancing.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    yield
    after = balancing.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    for name in ("DNSName", "CreatedTime", "CanonicalHostedZoneId", "VpcId"):
        assert after[name] == before[name]
    tags = balancing.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    found = balancing.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    assert {"Key": protect, "Value": "true"} in found
    balancing.delete_load_balancer(LoadBalancerArn=arn)
    assert balancing.describe_load_balancers()["LoadBalancers"] == []
