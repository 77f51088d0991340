"""STS across a restart."""

from __future__ import annotations

import json

from resume import resumed

OTHER = "222222222222"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)


def issued(credentials):
    return {
        "key": credentials["AccessKeyId"],
        "secret": credentials["SecretAccessKey"],
        "token": credentials["SessionToken"],
    }


@resumed
def test_assumed_role_acts_in_its_account(aws):
    """Credentials of a role in another account act there after a restart."""
    role = aws.client("iam", key=OTHER).create_role(
        RoleName="visitor", AssumeRolePolicyDocument=TRUST
    )["Role"]
    assumed = aws.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="visit")
    credentials = issued(assumed["Credentials"])
    aws.client("sqs", **credentials).create_queue(QueueName="before")
    yield
    who = aws.client("sts", **credentials).get_caller_identity()
    assert who["Account"] == OTHER
    assert who["Arn"] == assumed["AssumedRoleUser"]["Arn"]
    sqs = aws.client("sqs", **credentials)
    sqs.create_queue(QueueName="after")
    listed = aws.client("sqs", key=OTHER).list_queues()["QueueUrls"]
    assert sorted(url.rpartition("/")[2] for url in listed) == ["after", "before"]
    assert "QueueUrls" not in aws.client("sqs").list_queues()


@resumed
def test_role_is_assumed_after(aws):
    """A role made before a restart can be assumed after it, and used at once."""
    role = aws.client("iam").create_role(RoleName="later", AssumeRolePolicyDocument=TRUST)["Role"]
    yield
    sts = aws.client("sts", key="333333333333")
    assumed = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")
    who = aws.client("sts", **issued(assumed["Credentials"])).get_caller_identity()
    assert who["Account"] == aws.id


@resumed
def test_session_token(aws):
    """A session token's credentials keep their account across a restart."""
    credentials = issued(aws.client("sts").get_session_token()["Credentials"])
    federated = aws.client("sts").get_federation_token(Name="bob", Policy="{}")
    yield
    assert aws.client("sts").get_caller_identity()["Account"] == aws.id
    assert federated["FederatedUser"]["FederatedUserId"].startswith(aws.id)
    for key in (credentials, issued(federated["Credentials"])):
        assert aws.client("sts", **key).get_caller_identity()["Account"] == aws.id
