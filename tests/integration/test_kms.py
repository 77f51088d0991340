"""KMS across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def make_key(kms, **more):
    return kms.create_key(**more)["KeyMetadata"]["KeyId"]


@resumed
def test_symmetric_key_decrypts(aws):
    """What a symmetric key encrypted before a restart it decrypts after it."""
    kms = aws.client("kms")
    key = make_key(kms)
    context = {"for": "test"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=context)
    yield
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
    assert opened["Plaintext"] == b"secret"
    assert opened["KeyId"].endswith(key)
    with pytest.raises(ClientError, match="InvalidCiphertext"):
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"for": "other"})
    data = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]


@resumed
def test_rsa_key_signs_and_verifies(aws):
    """An RSA key verifies its old signatures, and its public half is unchanged."""
    kms = aws.client("kms")
    key = make_key(kms, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    how = {"KeyId": key, "SigningAlgorithm": "RSASSA_PSS_SHA_256"}
    signature = kms.sign(**how, Message=b"text")["Signature"]
    public = kms.get_public_key(KeyId=key)["PublicKey"]
    yield
    assert kms.verify(**how, Message=b"text", Signature=signature)["SignatureValid"]
    assert not kms.verify(**how, Message=b"forged", Signature=signature)["SignatureValid"]
    assert kms.get_public_key(KeyId=key)["PublicKey"] == public
    again = kms.sign(**how, Message=b"more")["Signature"]
    assert kms.verify(**how, Message=b"more", Signature=again)["SignatureValid"]


@resumed
def test_rsa_key_decrypts(aws):
    """What an RSA key encrypted before a restart it decrypts after it."""
    kms = aws.client("kms")
    key = make_key(kms, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    how = {"KeyId": key, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    sealed = kms.encrypt(**how, Plaintext=b"secret")["CiphertextBlob"]
    yield
    assert kms.decrypt(**how, CiphertextBlob=sealed)["Plaintext"] == b"secret"


@resumed
def test_ecc_keys_verify(aws):
    """Elliptic keys of every curve verify their old signatures and make new ones."""
    kms = aws.client("kms")
    curves = {
        "ECC_NIST_P256": "ECDSA_SHA_256",
        "ECC_NIST_P384": "ECDSA_SHA_384",
        "ECC_NIST_P521": "ECDSA_SHA_512",
        "ECC_SECG_P256K1": "ECDSA_SHA_256",
    }
    made = {}
    for spec, algorithm in curves.items():
        key = make_key(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")
        signed = kms.sign(KeyId=key, Message=b"text", SigningAlgorithm=algorithm)
        made[key] = algorithm, signed["Signature"]
    yield
    for key, (algorithm, signature) in made.items():
        how = {"KeyId": key, "Message": b"text", "SigningAlgorithm": algorithm}
        assert kms.verify(**how, Signature=signature)["SignatureValid"]
        fresh = kms.sign(**how)["Signature"]
        assert kms.verify(**how, Signature=fresh)["SignatureValid"]


@resumed
def test_mac_key(aws):
    """A code made by an HMAC key before a restart is verified after it."""
    kms = aws.client("kms")
    key = make_key(kms, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    how = {"KeyId": key, "Message": b"text", "MacAlgorithm": "HMAC_SHA_256"}
    code = kms.generate_mac(**how)["Mac"]
    yield
    assert kms.verify_mac(**how, Mac=code)["MacValid"]
    assert kms.generate_mac(**how)["Mac"] == code


@resumed
def test_aliases_and_reencryption(aws):
    """An alias leads to its key, and old ciphertext is encrypted again under another."""
    kms = aws.client("kms")
    first, second = make_key(kms), make_key(kms)
    kms.create_alias(AliasName="alias/app", TargetKeyId=first)
    sealed = kms.encrypt(KeyId="alias/app", Plaintext=b"secret")["CiphertextBlob"]
    yield
    assert kms.describe_key(KeyId="alias/app")["KeyMetadata"]["KeyId"] == first
    again = kms.re_encrypt(CiphertextBlob=sealed, DestinationKeyId=second)
    assert again["SourceKeyId"].endswith(first)
    assert kms.decrypt(CiphertextBlob=again["CiphertextBlob"])["Plaintext"] == b"secret"
    kms.update_alias(AliasName="alias/app", TargetKeyId=second)
    assert kms.describe_key(KeyId="alias/app")["KeyMetadata"]["KeyId"] == second


@resumed
def test_grants_policies_and_rotation(aws):
    """Grants, policies, tags, rotation and the state of a key survive and can be changed."""
    kms = aws.client("kms")
    key = make_key(kms, Description="d", Tags=[{"TagKey": "a", "TagValue": "b"}])
    grant = kms.create_grant(
        KeyId=key,
        GranteePrincipal=f"arn:aws:iam::{aws.id}:role/r",
        Operations=["Decrypt"],
        Name="g",
    )
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy='{"Version": "2012-10-17"}')
    kms.enable_key_rotation(KeyId=key)
    kms.disable_key(KeyId=key)
    yield
    grants = kms.list_grants(KeyId=key)["Grants"]
    assert [(g["GrantId"], g["Name"]) for g in grants] == [(grant["GrantId"], "g")]
    kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    assert kms.list_grants(KeyId=key)["Grants"] == []
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    assert policy == '{"Version": "2012-10-17"}'
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key)
    assert kms.encrypt(KeyId=key, Plaintext=b"x")["KeyId"].endswith(key)


@resumed
def test_replicas_in_other_regions(aws):
    """A key replicated before and after a restart knows both replicas in every region."""
    ours, theirs = aws.client("kms"), aws.client("kms", region="eu-west-1")
    key = make_key(ours, MultiRegion=True)
    ours.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
    yield
    ours.replicate_key(KeyId=key, ReplicaRegion="eu-central-1")
    for kms in (ours, theirs):
        found = kms.describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]
        regions = sorted(r["Region"] for r in found["ReplicaKeys"])
        assert regions == ["eu-central-1", "eu-west-1"]


@resumed
def test_key_of_a_stack(aws):
    """A key that a stack made decrypts after a restart, and goes with the stack."""
    kms, stacks = aws.client("kms"), aws.client("cloudformation")
    made = {"Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {}}}}
    stacks.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": made}))
    key = kms.list_keys()["Keys"][0]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    yield
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"secret"
    stacks.delete_stack(StackName="s")
    with pytest.raises(ClientError, match="NotFound"):
        kms.encrypt(KeyId=key, Plaintext=b"x")
