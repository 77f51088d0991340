"""All settings: one table, read from the environment, shown by ``perdure config``.

Names are those LocalStack's users already have in their compose files; see
docs/configuration.md, which is generated from ``SETTINGS``.  A value that is not
understood stops the start (exit code 2): a silent fallback is how state is lost.
Every variable may carry the prefix ``LOCALSTACK_``; the plain name wins.
An empty or blank variable counts as not set.  What LocalStack knows and Perdure does not
use stands in ``ignored.py``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "LOCALSTACK_"
INTERVAL_SECONDS_MIN, INTERVAL_SECONDS_MAX = 0.1, 86400
PORT_MAX = 65535
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
VOLUME_IN_CONTAINER = Path("/var/lib/localstack")
VOLUME_ON_HOST = Path("./volume")


class SaveStrategy(str, Enum):
    """When state is written."""

    JOURNAL = "JOURNAL"
    ON_REQUEST = "ON_REQUEST"
    SCHEDULED = "SCHEDULED"
    ON_SHUTDOWN = "ON_SHUTDOWN"
    MANUAL = "MANUAL"


class LoadStrategy(str, Enum):
    """When state is read."""

    ON_STARTUP = "ON_STARTUP"
    ON_REQUEST = "ON_REQUEST"
    MANUAL = "MANUAL"


class InitOn(str, Enum):
    """On which starts the scripts of ready.d run."""

    EVERY_START = "every-start"
    FIRST_BOOT = "first-boot"


class Address(NamedTuple):
    """Where the gateway listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Sync(str, Enum):
    """When the journal is forced to disk."""

    ALWAYS = "always"
    INTERVAL = "interval"
    NEVER = "never"


class RecoveryPolicy(str, Enum):
    """What a call that replays otherwise does to the start."""

    TOLERANT = "tolerant"
    STRICT = "strict"


class HostPort(NamedTuple):
    """A host as URLs name it, with a port or without."""

    host: str
    port: int | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting with its value, parsed.  Field names are the variables' in lower case."""

    data_dir: Path | None
    persistence: bool
    snapshot_save_strategy: SaveStrategy
    snapshot_load_strategy: LoadStrategy
    snapshot_flush_interval: float
    journal_sync: Sync
    journal_sync_interval: float
    checkpoint_interval: float
    recovery: RecoveryPolicy
    gateway_listen: tuple[Address, ...]
    services: frozenset[str] | None
    eager_service_loading: bool
    allow_nonstandard_regions: bool
    default_region: str
    debug: bool
    ls_log: str
    perdure_init_dir: Path | None
    perdure_init_on: InitOn
    localstack_host: HostPort | None
    custom_ssl_cert_path: Path | None
    extra_cors_allowed_origins: frozenset[str] | None
    localstack_volume_dir: Path | None
    host_tmp_folder: str
    tmpdir: Path | None
    edge_port: int | None
    edge_bind_host: str
    sources: Mapping[str, str]

    @property
    def state_dir(self) -> Path | None:
        """The state directory, or None when persistence is off.

        ``DATA_DIR`` names it; ``PERSISTENCE=1`` alone puts it into the volume.
        """
        if self.data_dir is not None:
            return self.data_dir
        if not self.persistence:
            return None
        if VOLUME_IN_CONTAINER.is_dir():
            return VOLUME_IN_CONTAINER / "state"
        # In a container the variable holds a path of the host, which is not to be seen there.
        named = None if in_container() else self.localstack_volume_dir
        return (named or VOLUME_ON_HOST) / "state"

    @property
    def public_host(self) -> str | None:
        """``host:port`` of the URLs handed out; None = the host each request came to."""
        if self.localstack_host is None:
            return None
        port = self.localstack_host.port
        return str(Address(self.localstack_host.host, port or self.gateway_listen[0].port))

    @property
    def log_level(self) -> str:
        """A name of the ``logging`` module, lower case."""
        return "debug" if self.debug else self.ls_log


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: the variable, its default as text, how to read it, what it means."""

    name: str
    default: str
    parse: Callable[[str], Any]
    allowed: str
    meaning: str
    # The name of older versions; the newer one wins.
    older: str | None = None


def reachable(address: Address) -> Address:
    """The address by which this machine reaches a server that listens there.

    "All interfaces" is an address to listen on, not one to connect to.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    return Address(host, address.port)


def in_container() -> bool:
    """Whether this process runs in a Docker or Podman container."""
    return any(mark.exists() for mark in CONTAINER_MARKS)


def _flag(text: str) -> bool:
    values = {"1": True, "true": True, "0": False, "false": False, "": False}
    return values[text.strip().lower()]


def _path(text: str) -> Path | None:
    try:
        return Path(text).expanduser() if text else None
    except RuntimeError as error:  # "~name" of a user that does not exist
        raise ValueError(text) from error


def _seconds(text: str) -> float:
    seconds = float(text)
    if not INTERVAL_SECONDS_MIN <= seconds <= INTERVAL_SECONDS_MAX:
        raise ValueError(text)
    return seconds


def _address(text: str) -> Address:
    host, _, port = text.strip().rpartition(":")
    host = host.strip("[]")
    number = int(port)
    if not host or not 0 <= number <= PORT_MAX:
        raise ValueError(text)
    return Address(host, number)


def _addresses(text: str) -> tuple[Address, ...]:
    return tuple(_address(part) for part in text.split(","))


def _names(text: str) -> frozenset[str] | None:
    names = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    return names or None


def _level(text: str) -> str:
    level = {"": "info", "warn": "warning", "trace": "debug", "trace-internal": "debug"}.get(
        text.strip().lower(), text.strip().lower()
    )
    if level not in ("debug", "info", "warning", "error", "critical"):
        raise ValueError(text)
    return level


def _one_of(kind: type[Enum]) -> Callable[[str], Enum]:
    return lambda text: kind(text.strip().upper())


def _lower(kind: type[Enum]) -> Callable[[str], Enum]:
    return lambda text: kind(text.strip().lower())


def _init_on(text: str) -> InitOn:
    return InitOn(text.strip().lower().replace("_", "-"))


def _region(text: str) -> str:
    if not text or not all(c.isalnum() or c == "-" for c in text):
        raise ValueError(text)
    return text


HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE)
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+", re.IGNORECASE)


def _port(text: str) -> int | None:
    port = int(text) if text else None
    if port is not None and not 0 <= port <= PORT_MAX:
        raise ValueError(text)
    return port


def _host(text: str) -> str:
    """A name or an address, without a port; empty as it is."""
    if text and not HOST.fullmatch(text):
        ipaddress.ip_address(text.strip("[]"))
    return text


def _host_port(text: str) -> HostPort | None:
    if not text:
        return None
    if text.endswith("]") or ":" not in text:
        found = HostPort(text.strip("[]"), None)
    else:
        found = HostPort(*_address(text))
    _host(found.host)
    return found


def _origins(text: str) -> frozenset[str] | None:
    origins = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(text)
    return origins or None


def _folder(text: str) -> Path | None:
    folder = _path(text)
    if folder is not None and not folder.is_dir():
        raise ValueError(text)
    return folder


FLAG = "0 1 true false"

SETTINGS = (
    Setting(
        "DATA_DIR",
        "",
        _path,
        "a path; empty = persistence off",
        "The state directory, created with its parents. Setting it switches persistence on.",
    ),
    Setting(
        "PERSISTENCE",
        "0",
        _flag,
        FLAG,
        "Switches persistence on without DATA_DIR; the state directory is then "
        "`/var/lib/localstack/state` where that volume exists, else `./volume/state`.",
    ),
    Setting(
        "SNAPSHOT_SAVE_STRATEGY",
        "JOURNAL",
        _one_of(SaveStrategy),
        " ".join(SaveStrategy.__members__),
        "When state is written. JOURNAL: each call is appended to a log before its answer, and "
        "stores are checkpointed in the background. Without a log: before each answer, "
        "periodically and at a stop, only at a stop, or only when asked.",
    ),
    Setting(
        "SNAPSHOT_LOAD_STRATEGY",
        "ON_REQUEST",
        _one_of(LoadStrategy),
        " ".join(LoadStrategy.__members__),
        "When state is read: all at start, each store on its first use, or only when asked.",
    ),
    Setting(
        "SNAPSHOT_FLUSH_INTERVAL",
        "15",
        _seconds,
        "seconds, 0.1 to 86400",
        "The period of SNAPSHOT_SAVE_STRATEGY=SCHEDULED.",
    ),
    Setting(
        "JOURNAL_SYNC",
        "interval",
        _lower(Sync),
        " ".join(each.value for each in Sync),
        "When the journal is forced to disk. `interval`: every JOURNAL_SYNC_INTERVAL; an answered "
        "call survives the death of the process at any instant, a power cut may take the last "
        "interval. `always`: before the answer. `never`: when the system does, and at a "
        "checkpoint.",
    ),
    Setting(
        "JOURNAL_SYNC_INTERVAL",
        "1",
        _seconds,
        "seconds, 0.1 to 86400",
        "The period of JOURNAL_SYNC=interval.",
    ),
    Setting(
        "CHECKPOINT_INTERVAL",
        "60",
        _seconds,
        "seconds, 0.1 to 86400",
        "With JOURNAL: how old a change may be before a checkpoint holds it. A longer journal, "
        "or one that would take long to replay, is checkpointed earlier.",
    ),
    Setting(
        "RECOVERY",
        "tolerant",
        _lower(RecoveryPolicy),
        " ".join(each.value for each in RecoveryPolicy),
        "What happens if a call of the journal is answered otherwise when it is replayed. "
        "`tolerant`: it is reported, and what it came from is kept aside. `strict`: the start is "
        "refused.",
    ),
    Setting(
        "GATEWAY_LISTEN",
        "127.0.0.1:4566",
        _addresses,
        "host:port, separated by commas; port 0 = any free one",
        "Where the server listens. In a container the default is 0.0.0.0:4566.",
    ),
    Setting(
        "SERVICES",
        "",
        _names,
        "service names, separated by commas; empty = all",
        "Which services answer; calls to others are refused with a clear message.",
    ),
    Setting(
        "EAGER_SERVICE_LOADING",
        "0",
        _flag,
        FLAG,
        "Imports the services named in SERVICES (or all) at start instead of at their first call.",
    ),
    Setting(
        "ALLOW_NONSTANDARD_REGIONS",
        "0",
        _flag,
        FLAG,
        "Accepts region names AWS does not have.",
    ),
    Setting(
        "DEFAULT_REGION",
        "us-east-1",
        _region,
        "a region name",
        "The region of requests that name none.",
    ),
    Setting("DEBUG", "0", _flag, FLAG, "Logs at level debug, calls included."),
    Setting(
        "LS_LOG",
        "",
        _level,
        "trace debug info warning error critical; empty = info",
        "The log level, unless DEBUG is set.",
    ),
    Setting(
        "PERDURE_INIT_DIR",
        "/etc/localstack/init",
        _path,
        "a path",
        "Where init hooks are: folders boot.d, start.d, first-boot.d, ready.d and shutdown.d with "
        "scripts (.sh, .py). See docs/localstack.md.",
    ),
    Setting(
        "PERDURE_INIT_ON",
        "every-start",
        _init_on,
        " ".join(kind.value for kind in InitOn),
        "Whether the scripts of ready.d run on every start, or only where no state was restored, "
        "as those of first-boot.d do.",
    ),
    Setting(
        "LOCALSTACK_HOST",
        "",
        _host_port,
        "host or host:port; empty = what each request came to",
        "The host of URLs that are handed out, such as a queue's. Without a port it is the first "
        "of GATEWAY_LISTEN. Not set, it is the request's own `Host`, so that whoever asked can "
        "use the answer. `HOSTNAME_EXTERNAL` is its older name.",
        older="HOSTNAME_EXTERNAL",
    ),
    Setting(
        "CUSTOM_SSL_CERT_PATH",
        "",
        _path,
        "path of a PEM file with private key and certificate; empty = one made here",
        "What TLS answers with. Empty: a certificate made once and kept as `tls.pem` in the "
        "state directory (without persistence in `~/.cache/perdure`); clients may trust "
        "`tls.crt` beside it.",
    ),
    Setting(
        "EXTRA_CORS_ALLOWED_ORIGINS",
        "",
        _origins,
        "origins such as https://app.example, separated by commas; `*` = any",
        "Pages that may read answers, save, load and reset, besides those of this machine.",
    ),
    Setting(
        "LOCALSTACK_VOLUME_DIR",
        "",
        _path,
        "a path",
        "The volume of PERSISTENCE=1, instead of `./volume`. In a container it is the host's "
        "side of the mount and not used.",
    ),
    Setting(
        "HOST_TMP_FOLDER",
        "",
        str,
        "a path",
        "The host's side of a mounted temporary folder. Shown, not used: nothing here asks the "
        "host to mount it.",
    ),
    Setting(
        "TMPDIR",
        "",
        _folder,
        "a folder that exists; empty = the system's",
        "Where temporary files and run files go.",
    ),
    Setting(
        "EDGE_PORT",
        "",
        _port,
        "0 to 65535; empty = 4566",
        "The port of older versions' compose files, where GATEWAY_LISTEN is not set.",
    ),
    Setting(
        "EDGE_BIND_HOST",
        "",
        _host,
        "a host or an address",
        "The address of older versions' compose files, where GATEWAY_LISTEN is not set.",
    ),
)


def names_of(setting: Setting) -> list[str]:
    """The variables a setting is read from, in order.

    LOCALSTACK_HOST is a name of its own and not HOST with the prefix, so what would begin
    like it has none; TMPDIR is the system's.
    """
    names = [setting.name]
    if not setting.name.startswith((PREFIX, "HOST", "TMPDIR")):
        names.append(PREFIX + setting.name)
    return [*names, setting.older] if setting.older else names


def _raw(setting: Setting, environ: Mapping[str, str]) -> tuple[str, str]:
    """The text of one setting and where it came from."""
    for name in names_of(setting):
        # Compose files pass unset variables on as empty or blank ones: `DEBUG=${DEBUG- }`.
        if text := environ.get(name, "").strip():
            return text, f"environment ({name})"
    if setting.name == "GATEWAY_LISTEN":
        return _listen_default(setting.default, environ)
    return setting.default, "default"


def _listen_default(default: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Where to listen if GATEWAY_LISTEN does not say: EDGE_BIND_HOST and EDGE_PORT."""
    host, _, port = default.rpartition(":")
    source = "default"
    if in_container():
        host, source = "0.0.0.0", "default (container)"  # noqa: S104 - its ports are published
    by_name = {setting.name: setting for setting in SETTINGS}
    for name in ("EDGE_BIND_HOST", "EDGE_PORT"):
        text, found = _raw(by_name[name], environ)
        if text and _is_valid(by_name[name], text):  # else its own row is what is complained about
            source = found
            host, port = (text, port) if name == "EDGE_BIND_HOST" else (host, text)
    return f"{host}:{port}", source


def _is_valid(setting: Setting, text: str) -> bool:
    try:
        setting.parse(text)
    except ValueError:
        return False
    return True


def load(
    environ: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None
) -> Config:
    """Read every setting.

    Args:
        environ: Variables; the process' environment when None.
        overrides: Values given as flags, by variable name; they win.

    Raises:
        ConfigError: A value is not understood.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        text, source = _raw(setting, environ)
        if overrides and setting.name in overrides:
            text, source = overrides[setting.name], "flag"
        try:
            values[setting.name.lower()] = setting.parse(text)
        except (ValueError, KeyError) as error:
            raise ConfigError(setting.name, text, setting.allowed) from error
        sources[setting.name] = source
    return Config(**values, sources=sources)


def shown(config: Config) -> list[dict[str, str]]:
    """Every setting as text for people and scripts: name, value, source, meaning."""
    rows = []
    for setting in SETTINGS:
        value = getattr(config, setting.name.lower())
        rows.append(
            {
                "name": setting.name,
                "value": "" if value is None else _text(value),
                "source": config.sources[setting.name],
                "meaning": setting.meaning,
            }
        )
    return rows


def _text(value: object) -> str:
    """A value as it could be typed."""
    match value:
        case Enum():
            return str(value.value)
        case bool():
            return "1" if value else "0"
        case float():
            return f"{value:g}"
        case frozenset():
            return ",".join(sorted(value))
        case tuple() if not isinstance(value, Address):
            return ",".join(map(str, value))  # in order: the first is the one clients use
        case _:
            return str(value)


assert {s.name.lower() for s in SETTINGS} == {f.name for f in fields(Config)} - {"sources"}
