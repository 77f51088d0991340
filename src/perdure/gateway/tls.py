"""The certificate the port answers TLS with: made once and kept, or the user's own.

    <folder>/tls.pem    private key and certificate, mode 0600
    <folder>/tls.crt    the certificate alone, for clients to trust

The folder is the state directory; without persistence ``~/.cache/perdure``.  The
certificate is its own authority: a client that is given ``tls.crt`` trusts this server and
no other.  It is made anew when it is about to expire, when a name is missing in it, or when
it cannot be used; the state itself never depends on it.

Whether it can is found as a client would: by a handshake, in memory.  One is made
(``certificate``) by a process of its own, while this one does what else a start takes.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from perdure.config import Config
from perdure.errors import CertificateError, ConfigError, CorruptionError, DurabilityError
from perdure.persistence.files import Files, read_file

log = logging.getLogger(__name__)

# HTTP/2 where a client has it.
ALPN = ["h2", "http/1.1"]
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
RENEWED_DAYS_BEFORE = 30
MADE_WITHIN_SECONDS = 60
BEGIN = b"-----BEGIN CERTIFICATE-----"


def begin(config: Config) -> Callable[[], ssl.SSLContext]:
    """Find what connections are encrypted with, or begin to make it.

    Returns:
        What waits for it, and keeps it if it is new; called once, behind the state
        directory's lock.

    Raises:
        ConfigError: The user's own certificate cannot be used.
    """
    own = config.custom_ssl_cert_path
    if own is not None:
        made = _own(own)
        return lambda: made
    names = NAMES if config.localstack_host is None else (*NAMES, config.localstack_host.host)
    combined = certificate(config.state_dir or _cache(), names)
    return lambda: _loaded(combined())


def certificate(folder: Path, names: Iterable[str]) -> Callable[[], bytes]:
    """Private key and certificate for ``names``, PEM: what the folder holds, or made anew.

    A folder that cannot be written to is no reason not to serve: the certificate then
    lasts as long as the process, which a warning says.

    Returns:
        What waits for it, and says what had to be done; called once.  It raises
        ``CertificateError`` if none could be made.
    """
    names = list(dict.fromkeys(names))
    kept, reason = _kept(folder / COMBINED, names)
    if kept is not None:
        return lambda: kept
    making = subprocess.Popen(  # noqa: S603 - a module of ours
        [sys.executable, "-m", "perdure.gateway.certificate", *names],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def finish() -> bytes:
        if reason is not None:
            log.warning("%s is made anew: %s", folder / COMBINED, reason)
        combined = _finished(making)
        _keep(combined, folder)
        return combined

    return finish


def _finished(making: subprocess.Popen[bytes]) -> bytes:
    try:
        combined, errors = making.communicate(timeout=MADE_WITHIN_SECONDS)
    except subprocess.TimeoutExpired as error:
        making.kill()
        making.communicate()
        raise CertificateError(f"it took more than {MADE_WITHIN_SECONDS} s") from error
    if making.returncode != 0:
        raise CertificateError(errors.decode(errors="replace")[-400:].strip())
    return combined


def _keep(combined: bytes, folder: Path) -> None:
    public = combined[combined.index(BEGIN) :]
    try:
        files = Files()
        files.publish(folder / COMBINED, combined, what="tls")
        files.publish(folder / PUBLIC, public, what="tls")
    except DurabilityError as error:
        log.warning("the TLS certificate is kept for this run only: %s", error)
    else:
        log.info("made a TLS certificate: clients may trust %s", folder / PUBLIC)


def _own(path: Path) -> ssl.SSLContext:
    made = _server_side()
    try:
        # No pass phrase: OpenSSL would ask the terminal for one, and wait.
        made.load_cert_chain(path, password=lambda: "")
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            "CUSTOM_SSL_CERT_PATH",
            str(path),
            f"a PEM file with private key and certificate ({error.strerror or error})",
        ) from error
    return made


def _server_side() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(ALPN)
    return made


def _loaded(combined: bytes) -> ssl.SSLContext:
    """``ssl`` reads keys from files only."""
    made = _server_side()
    with tempfile.NamedTemporaryFile(prefix="perdure-tls-", suffix=".pem") as file:
        file.write(combined)
        file.flush()
        made.load_cert_chain(file.name, password=lambda: "")
    return made


def _kept(path: Path, names: list[str]) -> tuple[bytes | None, str | None]:
    """What the file holds, if that is valid for a while and for all names; else why not."""
    try:
        data = read_file(path, what="TLS certificate", bytes_max=COMBINED_BYTES_MAX)
        seen = _seen_by_a_client(data)
    except FileNotFoundError:
        return None, None
    except (CorruptionError, ValueError, ssl.SSLError) as error:
        return None, str(error)
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(seen["notAfter"])), UTC)
    present = {_name(str(name)) for _, name in seen.get("subjectAltName", ())}
    is_old = datetime.now(UTC) > until - timedelta(days=RENEWED_DAYS_BEFORE)
    if is_old or not all(_name(name) in present for name in names):
        return None, f"too old, or not for all of {', '.join(names)}"
    return data, None


def _seen_by_a_client(combined: bytes) -> dict[str, Any]:
    """What a client that trusts a certificate alone is told about it by OpenSSL.

    Raises:
        ssl.SSLError: It cannot be used: key and certificate differ, it has expired, it is none.
        ValueError: There is none.
    """
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.load_verify_locations(cadata=combined[combined.index(BEGIN) :].decode("ascii"))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = _loaded(combined).wrap_bio(there, back, server_side=True)
    client = trusting.wrap_bio(back, there)
    is_done = False
    while not is_done:
        is_done = True
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                is_done = False
    seen = client.getpeercert()
    assert seen is not None, "a client has verified it"
    return seen


def _name(name: str) -> str:
    """A name as it is compared: addresses may be written in several ways."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _cache() -> Path:
    """Where a user's programs keep what they can make again (XDG Base Directory)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "perdure"
