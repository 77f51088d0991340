"""EC2 across a restart."""

from __future__ import annotations

import ipaddress

import pytest
from botocore.exceptions import ClientError
from resume import resumed

OTHER = "444444444444"
IMAGE = "ami-12c6146b"  # one that moto brings; to list them all takes a second


def make_vpc(ec2, cidr="10.0.0.0/16"):
    return ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]


def make_subnet(ec2, vpc, cidr, zone="us-east-1a"):
    made = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)
    return made["Subnet"]["SubnetId"]


def run(ec2, **more):
    made = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, **more)
    return made["Instances"][0]


def describe(ec2, instance):
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]


@resumed
def test_network_is_routed_and_torn_down(aws):
    """A network keeps its routes and addresses, gives none twice, and is torn down in order."""
    ec2 = aws.client("ec2")
    vpc = make_vpc(ec2)
    subnet = make_subnet(ec2, vpc, "10.0.1.0/24")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    tied = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    first = run(ec2, SubnetId=subnet)
    yield
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert routes[-1]["GatewayId"] == gateway
    second = run(ec2, SubnetId=subnet)
    addresses = {first["PrivateIpAddress"], second["PrivateIpAddress"]}
    assert len(addresses) == 2
    assert all(ipaddress.ip_address(a) in ipaddress.ip_network("10.0.1.0/24") for a in addresses)
    with pytest.raises(ClientError, match="InvalidSubnet.Conflict"):
        make_subnet(ec2, vpc, "10.0.1.0/24")
    ec2.terminate_instances(InstanceIds=[first["InstanceId"], second["InstanceId"]])
    ec2.disassociate_route_table(AssociationId=tied)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_vpc(VpcId=vpc)
    with pytest.raises(ClientError, match="InvalidVpcID.NotFound"):
        ec2.describe_vpcs(VpcIds=[vpc])


@resumed
def test_security_groups_refer_to_each_other(aws):
    """Rules between groups hold and are revoked, and an interface changes its group."""
    ec2 = aws.client("ec2")
    vpc = make_vpc(ec2)

    def group(name):
        return ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]

    web, data = group("web"), group("data")
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 5432,
        "ToPort": 5432,
        "UserIdGroupPairs": [{"GroupId": web}],
    }
    ec2.authorize_security_group_ingress(GroupId=data, IpPermissions=[rule])
    interface = ec2.create_network_interface(
        SubnetId=make_subnet(ec2, vpc, "10.0.2.0/24"), Groups=[data]
    )["NetworkInterface"]["NetworkInterfaceId"]
    yield
    by_rule = ec2.describe_security_groups(
        Filters=[{"Name": "ip-permission.group-id", "Values": [web]}]
    )["SecurityGroups"]
    assert [g["GroupId"] for g in by_rule] == [data]
    with pytest.raises(ClientError, match="Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=data, IpPermissions=[rule])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[web])
    found = ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [web]}])
    assert [i["NetworkInterfaceId"] for i in found["NetworkInterfaces"]] == [interface]
    ec2.revoke_security_group_ingress(GroupId=data, IpPermissions=[rule])
    found = ec2.describe_security_groups(GroupIds=[data])["SecurityGroups"][0]
    assert found["IpPermissions"] == []
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    ec2.delete_security_group(GroupId=data)


@resumed
def test_instance_keeps_what_is_attached(aws):
    """An instance stops, starts and gives up its volume and address; its data stays as it was."""
    ec2 = aws.client("ec2")
    instance = run(ec2, InstanceType="t2.micro", UserData="#!/bin/true")["InstanceId"]
    ec2.create_tags(Resources=[instance], Tags=[{"Key": "Name", "Value": "box"}])
    volume = ec2.create_volume(Size=8, AvailabilityZone="us-east-1a")["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdh")
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(InstanceId=instance, AllocationId=address["AllocationId"])
    snapshot = ec2.create_snapshot(VolumeId=volume, Description="before")["SnapshotId"]
    yield
    named = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["box"]}])
    assert named["Reservations"][0]["Instances"][0]["InstanceId"] == instance
    assert describe(ec2, instance)["PublicIpAddress"] == address["PublicIp"]
    ec2.stop_instances(InstanceIds=[instance])
    assert describe(ec2, instance)["State"]["Name"] == "stopped"
    ec2.start_instances(InstanceIds=[instance])
    ec2.detach_volume(VolumeId=volume, InstanceId=instance)
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"
    ec2.delete_volume(VolumeId=volume)
    again = ec2.create_volume(SnapshotId=snapshot, AvailabilityZone="us-east-1a")
    assert again["Size"] == 8
    ec2.terminate_instances(InstanceIds=[instance])
    assert describe(ec2, instance)["State"]["Name"] == "terminated"
    ec2.release_address(AllocationId=address["AllocationId"])


@resumed
def test_instance_profile_of_iam(aws):
    """IAM's profile on an instance is replaced after a restart by another one of IAM."""
    ec2, iam = aws.client("ec2"), aws.client("iam")
    arns = [
        iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
        for name in ("old", "new")
    ]
    instance = run(ec2)["InstanceId"]
    ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "old"})
    yield
    assert describe(ec2, instance)["IamInstanceProfile"]["Arn"] == arns[0]
    found = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance]}]
    )["IamInstanceProfileAssociations"]
    which = {"AssociationId": found[0]["AssociationId"]}
    replaced = ec2.replace_iam_instance_profile_association(
        **which, IamInstanceProfile={"Name": "new"}
    )["IamInstanceProfileAssociation"]
    assert replaced["IamInstanceProfile"]["Arn"] == arns[1]
    ec2.disassociate_iam_instance_profile(**which)
    assert "IamInstanceProfile" not in describe(ec2, instance)
    iam.delete_instance_profile(InstanceProfileName="old")


@resumed
def test_encrypted_volume_has_a_key_of_kms(aws):
    """An encrypted volume's default key is one of KMS, and the next volume takes the same."""
    ec2, kms = aws.client("ec2"), aws.client("kms")
    made = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a", Encrypted=True)
    yield
    key = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
    assert made["KmsKeyId"] == key["Arn"]
    again = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a", Encrypted=True)
    assert again["KmsKeyId"] == key["Arn"]
    assert len(kms.list_keys()["Keys"]) == 1


@resumed
def test_flow_logs_need_their_bucket(aws):
    """Flow logs to a bucket of S3 stay, and are refused for one that S3 has deleted since."""
    ec2, s3 = aws.client("ec2"), aws.client("s3")
    for bucket in ("flow-kept", "flow-more", "flow-gone"):
        s3.create_bucket(Bucket=bucket)
    vpc = make_vpc(ec2)

    def flow(bucket):
        return ec2.create_flow_logs(
            ResourceIds=[vpc],
            ResourceType="VPC",
            TrafficType="ALL",
            LogDestinationType="s3",
            LogDestination=f"arn:aws:s3:::{bucket}",
        )

    made = flow("flow-kept")["FlowLogIds"]
    yield
    # It is EC2 that has to find what S3 holds.
    assert flow("flow-more")["Unsuccessful"] == []
    s3.delete_bucket(Bucket="flow-gone")
    assert flow("flow-gone")["Unsuccessful"]
    assert made[0] in {f["FlowLogId"] for f in ec2.describe_flow_logs()["FlowLogs"]}
    ec2.delete_flow_logs(FlowLogIds=made)
    assert made[0] not in {f["FlowLogId"] for f in ec2.describe_flow_logs()["FlowLogs"]}


@resumed
def test_command_of_ssm_finds_an_instance(aws):
    """A command of SSM after a restart is sent to the instance that carries a tag."""
    ssm, ec2 = aws.client("ssm"), aws.client("ec2")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "x"}]}]
    instance = run(ec2, TagSpecifications=tags)["InstanceId"]
    how = {
        "DocumentName": "AWS-RunShellScript",
        "Parameters": {"commands": ["true"]},
        "Targets": [{"Key": "tag:team", "Values": ["x"]}],
    }
    first = ssm.send_command(**how)["Command"]
    yield
    assert ssm.list_commands(CommandId=first["CommandId"])["Commands"][0]["TargetCount"] == 1
    second = ssm.send_command(**how)["Command"]
    assert second["TargetCount"] == 1
    for command in (first, second):
        found = ssm.get_command_invocation(CommandId=command["CommandId"], InstanceId=instance)
        assert found["Status"] == "Success"


def peer(ours, theirs, **where):
    one, two = make_vpc(ours, "10.1.0.0/16"), make_vpc(theirs, "10.2.0.0/16")
    made = ours.create_vpc_peering_connection(VpcId=one, PeerVpcId=two, **where)
    return made["VpcPeeringConnection"]["VpcPeeringConnectionId"]


def status(ec2, peering):
    found = ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering])
    return found["VpcPeeringConnections"][0]["Status"]["Code"]


def accept_and_delete(ours, theirs, peering):
    assert status(ours, peering) == "pending-acceptance"
    theirs.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    assert (status(ours, peering), status(theirs, peering)) == ("active", "active")
    ours.delete_vpc_peering_connection(VpcPeeringConnectionId=peering)
    assert (status(ours, peering), status(theirs, peering)) == ("deleted", "deleted")


@resumed
def test_peering_within_a_region(aws):
    """A peering asked for before a restart is accepted and deleted after it."""
    ec2 = aws.client("ec2")
    peering = peer(ec2, ec2)
    yield
    accept_and_delete(ec2, ec2, peering)


@resumed
def test_peering_across_regions(aws):
    """Both regions of a peering see its acceptance and its end after a restart."""
    ours, theirs = aws.client("ec2"), aws.client("ec2", region="eu-west-1")
    peering = peer(ours, theirs, PeerRegion="eu-west-1")
    yield
    accept_and_delete(ours, theirs, peering)


@resumed
def test_peering_across_accounts(aws):
    """Both accounts of a peering see its acceptance and its end after a restart."""
    ours, theirs = aws.client("ec2"), aws.client("ec2", key=OTHER)
    peering = peer(ours, theirs, PeerOwnerId=OTHER)
    yield
    accept_and_delete(ours, theirs, peering)
