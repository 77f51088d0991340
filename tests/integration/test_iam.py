"""IAM and STS across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)


def policy(action):
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@resumed
def test_roles_and_their_policies(aws):
    """A role keeps its id, trust, inline and attached policies, and can be changed."""
    iam = aws.client("iam")
    made = iam.create_role(
        RoleName="worker", AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "a", "Value": "b"}]
    )["Role"]
    iam.put_role_policy(RoleName="worker", PolicyName="in", PolicyDocument=policy("s3:*"))
    shared = iam.create_policy(PolicyName="shared", PolicyDocument=policy("sns:*"))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="worker", PolicyArn=shared)
    yield
    role = iam.get_role(RoleName="worker")["Role"]
    for name in ("RoleId", "Arn", "CreateDate", "AssumeRolePolicyDocument"):
        assert role[name] == made[name]
    assert role["Tags"] == [{"Key": "a", "Value": "b"}]
    inline = iam.get_role_policy(RoleName="worker", PolicyName="in")["PolicyDocument"]
    assert inline == json.loads(policy("s3:*"))
    attached = iam.list_attached_role_policies(RoleName="worker")["AttachedPolicies"]
    assert [a["PolicyArn"] for a in attached] == [shared]
    with pytest.raises(ClientError, match="EntityAlreadyExists"):
        iam.create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    with pytest.raises(ClientError, match="DeleteConflict"):
        iam.delete_role(RoleName="worker")
    iam.detach_role_policy(RoleName="worker", PolicyArn=shared)
    iam.delete_role_policy(RoleName="worker", PolicyName="in")
    iam.delete_role(RoleName="worker")


@resumed
def test_managed_policy_knows_its_holders(aws):
    """A managed policy, its versions and who it is attached to are one after a restart."""
    iam = aws.client("iam")
    arn = iam.create_policy(PolicyName="own", PolicyDocument=policy("s3:*"))["Policy"]["Arn"]
    iam.create_role(RoleName="holder", AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName="holder", PolicyArn=arn)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy("sqs:*"), SetAsDefault=False)
    yield
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v2"
    old = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]
    assert old == json.loads(policy("s3:*"))
    holders = iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]
    assert [h["RoleName"] for h in holders] == ["holder"]
    iam.detach_role_policy(RoleName="holder", PolicyArn=arn)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 0


@resumed
def test_users_and_groups(aws):
    """Users stay in their groups, and both in their policies."""
    iam = aws.client("iam")
    iam.create_user(UserName="ann", Path="/staff/")
    iam.create_group(GroupName="devs")
    iam.add_user_to_group(UserName="ann", GroupName="devs")
    iam.put_group_policy(GroupName="devs", PolicyName="p", PolicyDocument=policy("s3:*"))
    iam.create_login_profile(UserName="ann", Password="secret")
    yield
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName="ann")["Groups"]] == ["devs"]
    assert [u["UserName"] for u in iam.get_group(GroupName="devs")["Users"]] == ["ann"]
    assert iam.list_users(PathPrefix="/staff/")["Users"][0]["UserName"] == "ann"
    with pytest.raises(ClientError, match="EntityAlreadyExists"):
        iam.create_login_profile(UserName="ann", Password="secret")
    iam.remove_user_from_group(UserName="ann", GroupName="devs")
    assert iam.get_group(GroupName="devs")["Users"] == []


@resumed
def test_access_key_resolves_its_account(aws):
    """An access key issued before a restart acts in its own account after it."""
    iam = aws.client("iam")
    iam.create_user(UserName="keyed")
    key = iam.create_access_key(UserName="keyed")["AccessKey"]
    aws.client("sqs").create_queue(QueueName="of-the-account")
    yield
    as_user = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    who = aws.client("sts", **as_user).get_caller_identity()
    assert who["Account"] == aws.id
    assert who["Arn"].endswith("user/keyed")
    url = aws.client("sqs", **as_user).get_queue_url(QueueName="of-the-account")["QueueUrl"]
    assert f"/{aws.id}/" in url
    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert used["UserName"] == "keyed"
    assert used["AccessKeyLastUsed"]["ServiceName"] == "sqs"
    iam.update_access_key(UserName="keyed", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    listed = iam.list_access_keys(UserName="keyed")["AccessKeyMetadata"]
    assert [k["Status"] for k in listed] == ["Inactive"]


@resumed
def test_instance_profiles(aws):
    """An instance profile holds the very role it held: a change of one shows in the other."""
    iam = aws.client("iam")
    iam.create_role(RoleName="machine", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="machine")
    yield
    iam.update_role(RoleName="machine", Description="changed", MaxSessionDuration=7200)
    iam.tag_role(RoleName="machine", Tags=[{"Key": "new", "Value": "tag"}])
    profiles = iam.list_instance_profiles_for_role(RoleName="machine")["InstanceProfiles"]
    assert [p["InstanceProfileName"] for p in profiles] == ["profile"]
    held = iam.get_instance_profile(InstanceProfileName="profile")["InstanceProfile"]["Roles"][0]
    assert held["Description"] == "changed"
    iam.remove_role_from_instance_profile(InstanceProfileName="profile", RoleName="machine")
    iam.delete_role(RoleName="machine")


@resumed
def test_aliases_and_providers(aws):
    """Account alias, password policy and identity providers survive."""
    iam = aws.client("iam")
    iam.create_account_alias(AccountAlias="the-account")
    iam.update_account_password_policy(MinimumPasswordLength=14)
    provider = iam.create_open_id_connect_provider(
        Url="https://example.org", ClientIDList=["c"], ThumbprintList=["a" * 40]
    )["OpenIDConnectProviderArn"]
    yield
    assert iam.list_account_aliases()["AccountAliases"] == ["the-account"]
    assert iam.get_account_password_policy()["PasswordPolicy"]["MinimumPasswordLength"] == 14
    iam.update_open_id_connect_provider_thumbprint(
        OpenIDConnectProviderArn=provider, ThumbprintList=["b" * 40]
    )
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider)
    assert found["ClientIDList"] == ["c"]
    assert found["ThumbprintList"] == ["b" * 40]
