"""The certificate: what it is for, when it is made anew, what a client must do to trust it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from perdure import config
from perdure.errors import CertificateError, ConfigError
from perdure.gateway import tls
from perdure.gateway.certificate import create
from perdure.gateway.tls import COMBINED, NAMES, PUBLIC, certificate

EXAMPLES = ("localhost", "sqs.localhost.localstack.cloud", "a.s3.localhost.localstack.cloud")


def handshake(combined: bytes, public: bytes, folder: Path, name: str) -> str | None:
    """Both sides in memory, the client as strict as Python can be; the protocol agreed on."""
    path = folder / "both.pem"
    path.write_bytes(combined)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    server.set_alpn_protocols(tls.ALPN)
    client = ssl.create_default_context(cadata=public.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    client.set_alpn_protocols(["h2", "http/1.1"])
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(down, up, server_hostname=name)
    answering = server.wrap_bio(up, down, server_side=True)
    waiting = [asking, answering]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return asking.selected_alpn_protocol()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_client_trusts_it_for_every_name(tmp_path: Path, name: str) -> None:
    """A client with the public half as its only authority accepts each name, strictly."""
    combined, public = create(NAMES)

    assert handshake(combined, public, tmp_path, name) == "h2"
    assert b"PRIVATE" not in public


def test_a_client_refuses_it_for_other_names(tmp_path: Path) -> None:
    """It is no certificate for somebody else's name, and no authority for others'."""
    combined, public = create(NAMES)

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(combined, public, tmp_path, "example.com")
    found = x509.load_pem_x509_certificate(public)
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert found.not_valid_after_utc - found.not_valid_before_utc <= timedelta(days=825)


def test_it_is_made_once(tmp_path: Path) -> None:
    """The second start finds what the first one made, readable by its user only."""
    first = certificate(tmp_path, NAMES)()

    assert certificate(tmp_path, NAMES)() == first == (tmp_path / COMBINED).read_bytes()
    assert (tmp_path / COMBINED).stat().st_mode & 0o077 == 0
    assert first.endswith((tmp_path / PUBLIC).read_bytes())


def test_it_is_made_anew_for_a_new_name(tmp_path: Path) -> None:
    """A name that is missing in it, such as a new LOCALSTACK_HOST, makes a new one."""
    first = certificate(tmp_path, NAMES)()
    second = certificate(tmp_path, (*NAMES, "perdure.internal"))()

    assert second != first
    assert certificate(tmp_path, NAMES)() == second  # it serves all of these, too


@pytest.mark.parametrize(
    "damage", ["old", "cut", "text", "empty", "key-of-another", "link", "folder"]
)
def test_it_is_made_anew_if_it_cannot_be_used(tmp_path: Path, damage: str) -> None:
    """An old, damaged or foreign file is replaced, never served and never followed."""
    path = tmp_path / COMBINED
    made, _ = create(NAMES, now=datetime.now(UTC) - timedelta(days=780 if damage == "old" else 0))
    other, _ = create(NAMES)
    key, _, rest = made.partition(b"-----BEGIN CERTIFICATE")
    match damage:
        case "link":
            (tmp_path / "elsewhere").write_bytes(made)
            path.symlink_to(tmp_path / "elsewhere")
        case "folder":
            path.mkdir()
        case _:
            content = {
                "old": made,
                "cut": made[:-200],
                "text": b"no certificate",
                "empty": b"",
                "key-of-another": other.partition(b"-----BEGIN CERTIFICATE")[0]
                + b"-----BEGIN CERTIFICATE"
                + rest,
            }
            path.write_bytes(content[damage])

    found = certificate(tmp_path, NAMES)()

    assert handshake(found, found[found.index(b"-----BEGIN CERT") :], tmp_path, "localhost") == "h2"
    assert found != made
    assert key not in found


def test_a_folder_that_cannot_be_written_to_is_no_reason_not_to_serve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a place to keep it the certificate lasts for this run, and a warning says so."""
    (tmp_path / "file").write_bytes(b"")

    found = certificate(tmp_path / "file" / "folder", NAMES)()

    assert b"PRIVATE KEY" in found
    assert "for this run only" in caplog.text


def test_context_serves_the_host_that_is_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOCALSTACK_HOST is in the certificate; without persistence it is kept in the cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tls.begin(config.load({"LOCALSTACK_HOST": "perdure.internal:443"}))()

    public = (tmp_path / "perdure" / PUBLIC).read_bytes()
    names = x509.load_pem_x509_certificate(public).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "perdure.internal" in names.value.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize("content", [None, b"", b"no PEM", create(NAMES)[1]])
def test_own_certificate_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    """A file that is not there or not whole stops the start and names the variable."""
    path = tmp_path / "own.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match="CUSTOM_SSL_CERT_PATH"):
        tls.begin(config.load({"CUSTOM_SSL_CERT_PATH": str(path)}))


def test_what_makes_certificates_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever, and what it said is told."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(CertificateError, match="no TLS certificate could be made"):
        certificate(tmp_path, NAMES)()

    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(slow))
    monkeypatch.setattr(tls, "MADE_WITHIN_SECONDS", 0.1)
    with pytest.raises(CertificateError, match=r"more than 0\.1 s"):
        certificate(tmp_path, NAMES)()
    assert not (tmp_path / COMBINED).exists()
