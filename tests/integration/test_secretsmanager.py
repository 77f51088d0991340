"""Secrets Manager across a restart."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from resume import resumed


@resumed
def test_versions_and_stages(aws):
    """Old versions read back by id and stage, and updates move the stages on."""
    secrets = aws.client("secretsmanager")
    first = secrets.create_secret(Name="db", SecretString="one")
    second = secrets.put_secret_value(SecretId="db", SecretString="two")
    yield

    def value(**which):
        return secrets.get_secret_value(SecretId="db", **which)["SecretString"]

    assert value() == "two"
    assert value(VersionId=first["VersionId"]) == "one"
    assert value(VersionStage="AWSPREVIOUS") == "one"
    third = secrets.update_secret(SecretId=first["ARN"], SecretString="three")
    assert value() == "three"
    assert value(VersionStage="AWSPREVIOUS") == "two"
    stages = secrets.describe_secret(SecretId="db")["VersionIdsToStages"]
    assert stages[third["VersionId"]] == ["AWSCURRENT"]
    assert stages[second["VersionId"]] == ["AWSPREVIOUS"]


@resumed
def test_stage_moves_back(aws):
    """A stage can be moved to a version written before a restart."""
    secrets = aws.client("secretsmanager")
    old = secrets.create_secret(Name="staged", SecretString="old")["VersionId"]
    new = secrets.put_secret_value(SecretId="staged", SecretString="new")["VersionId"]
    yield
    secrets.update_secret_version_stage(
        SecretId="staged", VersionStage="AWSCURRENT", MoveToVersionId=old, RemoveFromVersionId=new
    )
    found = secrets.get_secret_value(SecretId="staged", VersionStage="AWSCURRENT")
    assert found["SecretString"] == "old"


@resumed
def test_binary_tags_and_policy(aws):
    """Binary values, tags, descriptions and resource policies survive."""
    secrets = aws.client("secretsmanager")
    made = secrets.create_secret(
        Name="full",
        SecretBinary=b"\x00\xff",
        Description="d",
        Tags=[{"Key": "a", "Value": "b"}],
    )
    secrets.put_resource_policy(SecretId="full", ResourcePolicy='{"Version": "2012-10-17"}')
    yield
    assert secrets.get_secret_value(SecretId="full")["SecretBinary"] == b"\x00\xff"
    described = secrets.describe_secret(SecretId="full")
    assert (described["ARN"], described["Description"]) == (made["ARN"], "d")
    assert described["Tags"] == [{"Key": "a", "Value": "b"}]
    found = secrets.get_resource_policy(SecretId="full")["ResourcePolicy"]
    assert found == '{"Version": "2012-10-17"}'


@resumed
def test_deleted_secret_can_be_restored(aws):
    """A secret that waits for its deletion is refused, and restored with its value."""
    secrets = aws.client("secretsmanager")
    secrets.create_secret(Name="doomed", SecretString="saved")
    secrets.delete_secret(SecretId="doomed", RecoveryWindowInDays=7)
    yield
    with pytest.raises(ClientError, match="InvalidRequest"):
        secrets.get_secret_value(SecretId="doomed")
    secrets.restore_secret(SecretId="doomed")
    assert secrets.get_secret_value(SecretId="doomed")["SecretString"] == "saved"


@resumed
def test_parameter_store_reads_a_secret(aws):
    """Parameter Store reads a secret by its reference, before and after it changes."""
    secrets, ssm = aws.client("secretsmanager"), aws.client("ssm")
    secrets.create_secret(Name="referred", SecretString="one")
    yield

    def read():
        name = "/aws/reference/secretsmanager/referred"
        return ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]

    assert read() == "one"
    secrets.put_secret_value(SecretId="referred", SecretString="two")
    assert read() == "two"


@resumed
def test_replicas_in_other_regions(aws):
    """A new value reaches the replica in another region, until that is promoted."""
    ours, theirs = aws.client("secretsmanager"), aws.client("secretsmanager", region="eu-west-1")
    made = ours.create_secret(
        Name="replicated", SecretString="one", AddReplicaRegions=[{"Region": "eu-west-1"}]
    )
    yield
    ours.put_secret_value(SecretId="replicated", SecretString="two")
    assert theirs.get_secret_value(SecretId="replicated")["SecretString"] == "two"
    assert theirs.describe_secret(SecretId="replicated")["PrimaryRegion"] == "us-east-1"
    ours.remove_regions_from_replication(SecretId=made["ARN"], RemoveReplicaRegions=["eu-west-1"])
    with pytest.raises(ClientError, match="ResourceNotFound"):
        theirs.describe_secret(SecretId="replicated")
