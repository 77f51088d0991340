"""RDS across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed

DATABASE = {
    "Engine": "postgres",
    "DBInstanceClass": "db.t3.micro",
    "AllocatedStorage": 20,
    "MasterUsername": "admin_user",
}


def make_database(rds, name, **more):
    how = {"MasterUserPassword": "secret-password"}
    if more.get("ManageMasterUserPassword"):
        how = {}
    return rds.create_db_instance(DBInstanceIdentifier=name, **DATABASE, **how, **more)[
        "DBInstance"
    ]


def describe(rds, name):
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


@resumed
def test_instance_is_changed_and_restored(aws):
    """A database keeps its endpoint, is changed, and comes back from its old snapshot."""
    rds = aws.client("rds")
    made = make_database(rds, "db", Tags=[{"Key": "a", "Value": "b"}])
    rds.create_db_snapshot(DBInstanceIdentifier="db", DBSnapshotIdentifier="snap")
    yield
    found = describe(rds, "db")
    for name in ("DBInstanceArn", "DbiResourceId", "InstanceCreateTime"):
        assert found[name] == made[name]
    rds.modify_db_instance(DBInstanceIdentifier="db", AllocatedStorage=40, ApplyImmediately=True)
    assert describe(rds, "db")["AllocatedStorage"] == 40
    rds.stop_db_instance(DBInstanceIdentifier="db")
    assert describe(rds, "db")["DBInstanceStatus"] == "stopped"
    rds.start_db_instance(DBInstanceIdentifier="db")
    rds.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="again", DBSnapshotIdentifier="snap"
    )
    assert describe(rds, "again")["AllocatedStorage"] == 20
    tags = rds.list_tags_for_resource(ResourceName=made["DBInstanceArn"])["TagList"]
    assert tags == [{"Key": "a", "Value": "b"}]
    rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
    with pytest.raises(ClientError, match="DBInstanceNotFound"):
        describe(rds, "db")


@resumed
def test_replica_knows_its_source(aws):
    """A replica made before a restart is promoted after it, and its source lets go of it."""
    rds = aws.client("rds")
    make_database(rds, "source")
    rds.create_db_instance_read_replica(
        DBInstanceIdentifier="replica", SourceDBInstanceIdentifier="source"
    )
    yield
    assert describe(rds, "source")["ReadReplicaDBInstanceIdentifiers"] == ["replica"]
    assert describe(rds, "replica")["ReadReplicaSourceDBInstanceIdentifier"] == "source"
    rds.delete_db_instance(DBInstanceIdentifier="replica", SkipFinalSnapshot=True)
    assert describe(rds, "source")["ReadReplicaDBInstanceIdentifiers"] == []


@resumed
def test_subnets_and_groups_of_ec2(aws):
    """A database stands in subnets and groups of EC2, and takes new ones."""
    rds, ec2 = aws.client("rds"), aws.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"]
    rds.create_db_subnet_group(
        DBSubnetGroupName="net",
        DBSubnetGroupDescription="d",
        SubnetIds=[s["SubnetId"] for s in subnets[:2]],
    )
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    make_database(rds, "placed", DBSubnetGroupName="net", VpcSecurityGroupIds=[group])
    yield
    found = describe(rds, "placed")
    assert found["DBSubnetGroup"]["VpcId"] == subnets[0]["VpcId"]
    assert [g["VpcSecurityGroupId"] for g in found["VpcSecurityGroups"]] == [group]
    held = found["DBSubnetGroup"]["Subnets"]
    assert {s["SubnetIdentifier"] for s in held} == {s["SubnetId"] for s in subnets[:2]}
    rds.create_db_subnet_group(
        DBSubnetGroupName="more",
        DBSubnetGroupDescription="d",
        SubnetIds=[subnets[2]["SubnetId"]],
    )
    other = ec2.create_security_group(GroupName="o", Description="d")["GroupId"]
    rds.modify_db_instance(DBInstanceIdentifier="placed", VpcSecurityGroupIds=[other])
    changed = describe(rds, "placed")["VpcSecurityGroups"]
    assert [g["VpcSecurityGroupId"] for g in changed] == [other]
    ec2.delete_security_group(GroupId=group)
    rds.delete_db_instance(DBInstanceIdentifier="placed", SkipFinalSnapshot=True)
    rds.delete_db_subnet_group(DBSubnetGroupName="net")


@resumed
def test_password_in_secrets_manager(aws):
    """A managed password is a secret under a key of KMS, and goes with its database."""
    rds, secrets, kms = (aws.client(s) for s in ("rds", "secretsmanager", "kms"))
    key = kms.create_key()["KeyMetadata"]
    made = make_database(
        rds, "managed", ManageMasterUserPassword=True, MasterUserSecretKmsKeyId=key["KeyId"]
    )["MasterUserSecret"]
    yield
    held = describe(rds, "managed")["MasterUserSecret"]
    assert held["SecretArn"] == made["SecretArn"]
    assert kms.describe_key(KeyId=held["KmsKeyId"])["KeyMetadata"]["Arn"] == key["Arn"]
    value = json.loads(secrets.get_secret_value(SecretId=held["SecretArn"])["SecretString"])
    assert value["password"]
    # What Secrets Manager changes, RDS sees.
    other = kms.create_key()["KeyMetadata"]["Arn"]
    secrets.update_secret(SecretId=held["SecretArn"], KmsKeyId=other)
    assert describe(rds, "managed")["MasterUserSecret"]["KmsKeyId"] == other
    rds.modify_db_instance(
        DBInstanceIdentifier="managed", RotateMasterUserPassword=True, ApplyImmediately=True
    )
    rds.delete_db_instance(DBInstanceIdentifier="managed", SkipFinalSnapshot=True)
    with pytest.raises(ClientError, match="ResourceNotFound|InvalidRequest"):
        secrets.get_secret_value(SecretId=held["SecretArn"])


@resumed
def test_cluster_and_its_members(aws):
    """A cluster keeps its members, is not deleted before them, and restores its snapshot."""
    rds = aws.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier="c",
        Engine="aurora-postgresql",
        MasterUsername="admin_user",
        MasterUserPassword="secret-password",
    )
    rds.create_db_instance(
        DBInstanceIdentifier="m",
        DBClusterIdentifier="c",
        Engine="aurora-postgresql",
        DBInstanceClass="db.r5.large",
    )
    rds.create_db_cluster_snapshot(DBClusterIdentifier="c", DBClusterSnapshotIdentifier="s")
    yield
    found = rds.describe_db_clusters(DBClusterIdentifier="c")["DBClusters"][0]
    assert [m["DBInstanceIdentifier"] for m in found["DBClusterMembers"]] == ["m"]
    with pytest.raises(ClientError, match="InvalidDBClusterState"):
        rds.delete_db_cluster(DBClusterIdentifier="c", SkipFinalSnapshot=True)
    rds.delete_db_instance(DBInstanceIdentifier="m", SkipFinalSnapshot=True)
    rds.delete_db_cluster(DBClusterIdentifier="c", SkipFinalSnapshot=True)
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="again", SnapshotIdentifier="s", Engine="aurora-postgresql"
    )
    assert [c["DBClusterIdentifier"] for c in rds.describe_db_clusters()["DBClusters"]] == ["again"]
