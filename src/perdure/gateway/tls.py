"""The certificate the port answers TLS with: made once and kept, or the user's own.

    <folder>/tls.pem    private key and certificate, mode 0600
    <folder>/tls.crt    the certificate alone, for clients to trust

The folder is the state directory; without persistence ``~/.cache/perdure``.  The
certificate is its own authority: a client that is given ``tls.crt`` trusts this server and
no other.  It is made anew when it is about to expire, when a name is missing in it, or when
it cannot be read; the state itself never depends on it.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from perdure.config import Config
from perdure.errors import ConfigError, CorruptionError, DurabilityError
from perdure.gateway.switch import ALPN
from perdure.persistence.files import Files, read_file

log = logging.getLogger(__name__)

COMBINED, PUBLIC = "tls.pem", "tls.crt"
COMBINED_BYTES_MAX = 64 << 10
NAMES = (
    "localhost",
    "localhost.localstack.cloud",
    "*.localhost.localstack.cloud",
    "*.s3.localhost.localstack.cloud",
    "127.0.0.1",
    "::1",
)
# Apple's systems accept no more than 825; a clock may be a day off in either direction.
VALID_DAYS = 800
RENEWED_DAYS_BEFORE = 30


def context(config: Config) -> ssl.SSLContext:
    """What connections are encrypted with.

    Raises:
        ConfigError: The user's own certificate cannot be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(ALPN)
    own = config.custom_ssl_cert_path
    if own is not None:
        try:
            # No pass phrase: OpenSSL would ask the terminal for one, and wait.
            made.load_cert_chain(own, password=lambda: "")
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                "CUSTOM_SSL_CERT_PATH",
                str(own),
                f"a PEM file with private key and certificate ({error.strerror or error})",
            ) from error
        return made
    names = NAMES if config.localstack_host is None else (*NAMES, config.localstack_host.host)
    _load(made, certificate(config.state_dir or _cache(), names))
    return made


def certificate(folder: Path, names: Iterable[str]) -> bytes:
    """Private key and certificate for ``names``, PEM: what the folder holds, or made anew.

    A folder that cannot be written to is no reason not to serve: the certificate then
    lasts as long as the process, which a warning says.
    """
    names = list(dict.fromkeys(names))
    path = folder / COMBINED
    kept = _kept(path, names)
    if kept is not None:
        return kept
    combined, public = create(names)
    try:
        files = Files()
        files.publish(path, combined, what="tls")
        files.publish(folder / PUBLIC, public, what="tls")
    except DurabilityError as error:
        log.warning("the TLS certificate is kept for this run only: %s", error)
    else:
        log.info("made a TLS certificate: clients may trust %s", folder / PUBLIC)
    return combined


def _load(made: ssl.SSLContext, combined: bytes) -> None:
    """``ssl`` reads keys from files only."""
    with tempfile.NamedTemporaryFile(prefix="perdure-tls-", suffix=".pem") as file:
        file.write(combined)
        file.flush()
        made.load_cert_chain(file.name)


def create(names: Iterable[str], *, now: datetime | None = None) -> tuple[bytes, bytes]:
    """A new key with its certificate, and the certificate alone, both PEM.

    Args:
        names: Host names and addresses it is for.
        now: When it begins to be valid, a day less.
    """
    now = now or datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Perdure")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )
    public = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + public, public


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _kept(path: Path, names: list[str]) -> bytes | None:
    """What the file holds, if that is valid for a while and for all names."""
    try:
        data = read_file(path, what="TLS certificate", bytes_max=COMBINED_BYTES_MAX)
        key = serialization.load_pem_private_key(data, None)
        found = x509.load_pem_x509_certificate(data)
        present = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except FileNotFoundError:
        return None
    except (CorruptionError, ValueError, TypeError, x509.ExtensionNotFound) as error:
        log.warning("%s is made anew: %s", path, error)
        return None
    until = found.not_valid_after_utc - timedelta(days=RENEWED_DAYS_BEFORE)
    named = all(_general(name) in present for name in names)
    if datetime.now(UTC) > until or not named or key.public_key() != found.public_key():
        log.info("%s is made anew: too old, or not for all of %s", path, ", ".join(names))
        return None
    return data


def _cache() -> Path:
    """Where a user's programs keep what they can make again (XDG Base Directory)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "perdure"
