"""Cognito user pools across a restart."""

from __future__ import annotations

import json
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError
from joserfc import jwt
from joserfc.jwk import KeySet
from resume import resumed

PASSWORD = "Passw0rd!longer"


def make_pool(aws, name="pool", **more):
    """A pool with a client and a user with a password: the ids of pool and client."""
    cognito = aws.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName=name, **more)["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName="c",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]["ClientId"]
    make_user(cognito, pool, "ann")
    return pool, client


def make_user(cognito, pool, name):
    cognito.admin_create_user(
        UserPoolId=pool,
        Username=name,
        UserAttributes=[{"Name": "email", "Value": f"{name}@example.com"}],
    )
    cognito.admin_set_user_password(
        UserPoolId=pool, Username=name, Password=PASSWORD, Permanent=True
    )


def log_in(cognito, client, name="ann", password=PASSWORD):
    return cognito.initiate_auth(
        ClientId=client,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": name, "PASSWORD": password},
    )["AuthenticationResult"]


def claims(aws, pool, token):
    """What a token says, verified with the keys the pool publishes."""
    with urlopen(f"{aws.server.url}/{pool}/.well-known/jwks.json", timeout=10) as answer:
        keys = KeySet.import_key_set(json.loads(answer.read()))
    return jwt.decode(token, keys, algorithms=["RS256"]).claims


@resumed
def test_tokens_verify(aws):
    """A token issued before a restart verifies after it, and so does a new one."""
    cognito = aws.client("cognito-idp")
    pool, client = make_pool(aws)
    old = log_in(cognito, client)
    before = claims(aws, pool, old["IdToken"])
    yield
    assert claims(aws, pool, old["IdToken"]) == before
    new = claims(aws, pool, log_in(cognito, client)["IdToken"])
    for name in ("sub", "iss", "aud"):
        assert new[name] == before[name]
    # The holder of an access token needs no other credentials, and names no account.
    me = cognito.get_user(AccessToken=old["AccessToken"])
    assert me["Username"] == "ann"
    cognito.update_user_attributes(
        AccessToken=old["AccessToken"], UserAttributes=[{"Name": "email", "Value": "new@b.c"}]
    )
    user = cognito.admin_get_user(UserPoolId=pool, Username="ann")
    assert {a["Name"]: a["Value"] for a in user["UserAttributes"]}["email"] == "new@b.c"


@resumed
def test_refresh_and_sign_out(aws):
    """A refresh token from before a restart gives new tokens, until its user signs out."""
    cognito = aws.client("cognito-idp")
    pool, client = make_pool(aws)
    tokens = log_in(cognito, client)
    yield
    how = {
        "ClientId": client,
        "AuthFlow": "REFRESH_TOKEN_AUTH",
        "AuthParameters": {"REFRESH_TOKEN": tokens["RefreshToken"]},
    }
    fresh = cognito.initiate_auth(**how)["AuthenticationResult"]
    assert claims(aws, pool, fresh["IdToken"])["cognito:username"] == "ann"
    cognito.admin_user_global_sign_out(UserPoolId=pool, Username="ann")
    with pytest.raises(ClientError, match="NotAuthorized"):
        cognito.initiate_auth(**how)


@resumed
def test_passwords(aws):
    """A password set before a restart is asked for after it, and can be changed."""
    cognito = aws.client("cognito-idp")
    pool, client = make_pool(aws)
    yield
    with pytest.raises(ClientError, match="NotAuthorized"):
        log_in(cognito, client, password="wrong")
    token = log_in(cognito, client)["AccessToken"]
    cognito.change_password(
        AccessToken=token, PreviousPassword=PASSWORD, ProposedPassword=PASSWORD + "2"
    )
    log_in(cognito, client, password=PASSWORD + "2")
    make_user(cognito, pool, "bob")
    log_in(cognito, client, "bob")
    with pytest.raises(ClientError, match="UsernameExists"):
        cognito.admin_create_user(UserPoolId=pool, Username="ann")
    cognito.admin_disable_user(UserPoolId=pool, Username="ann")
    with pytest.raises(ClientError, match="NotAuthorized"):
        log_in(cognito, client, password=PASSWORD + "2")


@resumed
def test_groups(aws):
    """A user is in the same groups after a restart, which a new token names."""
    cognito = aws.client("cognito-idp")
    pool, client = make_pool(aws)
    cognito.create_group(UserPoolId=pool, GroupName="staff", Precedence=1)
    cognito.admin_add_user_to_group(UserPoolId=pool, Username="ann", GroupName="staff")
    yield
    token = log_in(cognito, client)["AccessToken"]
    assert claims(aws, pool, token)["cognito:groups"] == ["staff"]
    users = cognito.list_users_in_group(UserPoolId=pool, GroupName="staff")["Users"]
    assert [u["Username"] for u in users] == ["ann"]
    cognito.delete_group(UserPoolId=pool, GroupName="staff")
    groups = cognito.admin_list_groups_for_user(UserPoolId=pool, Username="ann")["Groups"]
    assert groups == []


@resumed
def test_settings_of_a_pool(aws):
    """Domain, schema, policies, resource servers and clients survive and can be changed."""
    cognito = aws.client("cognito-idp")
    pool, client = make_pool(
        aws,
        Schema=[{"Name": "team", "AttributeDataType": "String", "Mutable": True}],
        Policies={"PasswordPolicy": {"MinimumLength": 12}},
        AutoVerifiedAttributes=["email"],
    )
    cognito.create_user_pool_domain(Domain="sign-in", UserPoolId=pool)
    cognito.create_resource_server(
        UserPoolId=pool,
        Identifier="api",
        Name="api",
        Scopes=[{"ScopeName": "read", "ScopeDescription": "d"}],
    )
    before = cognito.describe_user_pool(UserPoolId=pool)["UserPool"]
    yield
    after = cognito.describe_user_pool(UserPoolId=pool)["UserPool"]
    for name in ("Arn", "CreationDate", "Policies", "SchemaAttributes"):
        assert after[name] == before[name]
    assert (
        cognito.describe_user_pool_domain(Domain="sign-in")["DomainDescription"]["UserPoolId"]
        == pool
    )
    servers = cognito.list_resource_servers(UserPoolId=pool, MaxResults=5)["ResourceServers"]
    assert [s["Identifier"] for s in servers] == ["api"]
    with pytest.raises(ClientError, match="InvalidPassword"):
        cognito.admin_set_user_password(UserPoolId=pool, Username="ann", Password="Sh0rt!")
    cognito.update_user_pool_client(UserPoolId=pool, ClientId=client, ClientName="renamed")
    clients = cognito.list_user_pool_clients(UserPoolId=pool, MaxResults=5)["UserPoolClients"]
    assert [c["ClientName"] for c in clients] == ["renamed"]
    cognito.delete_user_pool_domain(Domain="sign-in", UserPoolId=pool)
    cognito.delete_user_pool(UserPoolId=pool)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cognito.describe_user_pool(UserPoolId=pool)


@resumed
def test_identity_pool_of_a_user_pool(aws):
    """An identity pool keeps its user pool, and gives credentials under the old identity."""
    cognito = aws.client("cognito-idp")
    # Some calls of identity pools are not signed, and so name no account.
    identities = aws.client("cognito-identity", key="000000000000")
    pool, client = make_pool(aws)
    provider = f"cognito-idp.us-east-1.amazonaws.com/{pool}"
    made = identities.create_identity_pool(
        IdentityPoolName="i",
        AllowUnauthenticatedIdentities=False,
        CognitoIdentityProviders=[{"ProviderName": provider, "ClientId": client}],
    )["IdentityPoolId"]
    token = log_in(cognito, client)["IdToken"]
    identity = identities.get_id(AccountId=aws.id, IdentityPoolId=made, Logins={provider: token})[
        "IdentityId"
    ]
    yield
    (found,) = identities.describe_identity_pool(IdentityPoolId=made)["CognitoIdentityProviders"]
    assert found == {"ProviderName": provider, "ClientId": client}
    cognito.describe_user_pool_client(UserPoolId=pool, ClientId=found["ClientId"])
    given = identities.get_credentials_for_identity(IdentityId=identity, Logins={provider: token})
    assert given["IdentityId"] == identity
    assert [
        i["IdentityId"]
        for i in identities.list_identities(IdentityPoolId=made, MaxResults=5)["Identities"]
    ] == [identity]
