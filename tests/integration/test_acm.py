"""Certificate Manager across a restart."""

from __future__ import annotations

import datetime as dt

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from resume import resumed


def make_pair(name="own.example.com", days=30):
    """A certificate that signs itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


def records(certificate):
    """What DNS is asked to hold; moto lists it in any order."""
    options = certificate["DomainValidationOptions"]
    return {o["DomainName"]: o["ResourceRecord"] for o in options}


@resumed
def test_requested_certificate(aws):
    """A requested certificate keeps its names and validation, and is not made twice."""
    acm = aws.client("acm")
    how = {
        "DomainName": "example.com",
        "SubjectAlternativeNames": ["www.example.com"],
        "ValidationMethod": "DNS",
        "IdempotencyToken": "t",
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    arn = acm.request_certificate(**how)["CertificateArn"]
    before = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    yield
    after = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    for name in ("SubjectAlternativeNames", "CreatedAt", "KeyAlgorithm", "NotAfter"):
        assert after.get(name) == before.get(name)
    assert records(after) == records(before)
    assert acm.request_certificate(**how)["CertificateArn"] == arn
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    tags = acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]
    assert {t["Key"]: t["Value"] for t in tags} == {"a": "b", "c": "d"}
    acm.delete_certificate(CertificateArn=arn)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        acm.describe_certificate(CertificateArn=arn)


@resumed
def test_imported_certificate_is_exported(aws):
    """An imported certificate is imported again, and a private authority's one is exported."""
    acm, authorities = aws.client("acm"), aws.client("acm-pca")
    certificate, key = make_pair()
    arn = acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]
    authority = authorities.create_certificate_authority(
        CertificateAuthorityConfiguration={
            "KeyAlgorithm": "RSA_2048",
            "SigningAlgorithm": "SHA256WITHRSA",
            "Subject": {"CommonName": "example.com"},
        },
        CertificateAuthorityType="ROOT",
    )["CertificateAuthorityArn"]
    issued = acm.request_certificate(
        DomainName="issued.example.com", CertificateAuthorityArn=authority
    )["CertificateArn"]
    text = acm.get_certificate(CertificateArn=issued)["Certificate"]
    yield
    assert acm.get_certificate(CertificateArn=arn)["Certificate"].encode() == certificate
    assert acm.get_certificate(CertificateArn=issued)["Certificate"] == text
    found = acm.export_certificate(CertificateArn=issued, Passphrase=b"pass")
    private = load_pem_private_key(found["PrivateKey"].encode(), b"pass")
    loaded = x509.load_pem_x509_certificate(found["Certificate"].encode())
    assert private.public_key() == loaded.public_key()
    newer, newer_key = make_pair()
    acm.import_certificate(CertificateArn=arn, Certificate=newer, PrivateKey=newer_key)
    assert acm.get_certificate(CertificateArn=arn)["Certificate"].encode() == newer
