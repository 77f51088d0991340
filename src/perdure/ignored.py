"""Variables that LocalStack knows and Perdure does not use, and why.

A variable that is set and has no effect is how users lose an afternoon; so
``perdure config`` and the log of a start name each one.  A row's name may end in ``*``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from perdure.config import PREFIX, SETTINGS, names_of

SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD")
LAMBDA = "functions run with moto's own settings, and only with Docker"
DOCKER = "Perdure starts no containers of its own"
PAID = "there is no licence here: all features are on"
CORS = "a page that is allowed gets the headers it asks for; see EXTRA_CORS_ALLOWED_ORIGINS"
EMULATORS = "moto answers the service itself, there is no emulator to set up"
FAULTS = "no faults are injected"
DNS = "there is no DNS server; localhost.localstack.cloud is a public name of 127.0.0.1"
CERTIFICATE = "no certificate is downloaded: one is made here, see CUSTOM_SSL_CERT_PATH"
UNKNOWN = "no setting of Perdure, and none of LocalStack's that is known here"

IGNORED: tuple[tuple[str, str], ...] = (
    ("PERSIST_ALL", "everything is kept, code of functions included"),
    (
        "AUTO_LOAD_POD",
        "pods are not loaded at a start (LocalStack ignores it too when PERSISTENCE=1)",
    ),
    ("LOCALSTACK_HOSTNAME", "the name of functions' environments in older versions"),
    ("LOCALSTACK_AUTH_TOKEN", PAID),
    ("LOCALSTACK_API_KEY", PAID),
    ("ACTIVATE_PRO", PAID),
    ("USE_SSL", "each port answers with and without TLS; URLs handed out have the request's"),
    ("USE_SINGLE_REGION", "every region works; see DEFAULT_REGION"),
    ("SKIP_SSL_CERT_DOWNLOAD", CERTIFICATE),
    ("REMOVE_SSL_CERT", CERTIFICATE),
    ("EDGE_PORT_HTTP", "plain HTTP and TLS share the port"),
    ("EDGE_FORWARD_URL", "nothing is forwarded"),
    ("PORT_WEB_UI", "there is no web page"),
    ("START_WEB", "there is no web page"),
    ("FORCE_NONINTERACTIVE", "nothing asks"),
    ("MAIN_CONTAINER_NAME", DOCKER),
    ("MAIN_DOCKER_NETWORK", DOCKER),
    ("DOCKER_FLAGS", DOCKER),
    ("DOCKER_CMD", DOCKER),
    ("DOCKER_BRIDGE_IP", DOCKER),
    ("DOCKER_SDK_*", DOCKER),
    ("DOCKER_GLOBAL_IMAGE_PREFIX", DOCKER),
    ("LAMBDA_*", LAMBDA),
    ("HOSTNAME_FROM_LAMBDA", LAMBDA),
    ("BUCKET_MARKER_LOCAL", LAMBDA),
    ("DYNAMODB_*", EMULATORS),
    ("KINESIS_*", EMULATORS),
    ("KMS_PROVIDER", EMULATORS),
    ("OPENSEARCH_*", EMULATORS),
    ("ES_CUSTOM_BACKEND", EMULATORS),
    ("ES_ENDPOINT_STRATEGY", EMULATORS),
    ("ES_MULTI_CLUSTER", EMULATORS),
    ("ELASTICSEARCH_*", EMULATORS),
    ("STEPFUNCTIONS_*", EMULATORS),
    (
        "SQS_ENDPOINT_STRATEGY",
        "queue URLs handed out are http://<host>/<account>/<name>; every shape is accepted",
    ),
    ("SQS_*", EMULATORS),
    ("SNS_*", EMULATORS),
    ("S3_DIR", "objects are kept in the state directory"),
    ("S3_SKIP_SIGNATURE_VALIDATION", "signatures are not checked"),
    ("S3_SKIP_KMS_KEY_VALIDATION", EMULATORS),
    ("SFN_*", EMULATORS),
    ("CFN_*", EMULATORS),
    ("PROVIDER_OVERRIDE_*", EMULATORS),
    ("ERROR_PROBABILITY", FAULTS),
    ("DISABLE_CORS_*", CORS),
    ("EXTRA_CORS_*", CORS),
    ("DISABLE_CUSTOM_CORS_*", CORS),
    ("DISABLE_EVENTS", "nothing is reported to anybody"),
    ("SKIP_INFRA_DOWNLOADS", "nothing is downloaded"),
    ("OUTBOUND_HTTP_PROXY", "HTTP_PROXY and HTTPS_PROXY are what Python's clients read"),
    ("OUTBOUND_HTTPS_PROXY", "HTTP_PROXY and HTTPS_PROXY are what Python's clients read"),
    ("DNS_ADDRESS", DNS),
    ("DNS_PORT", DNS),
    ("DNS_SERVER", DNS),
    ("DNS_RESOLVE_IP", DNS),
    ("DNS_*_PATTERNS*", DNS),
    ("DEVELOP", "there is no debugger to attach"),
    ("DEVELOP_PORT", "there is no debugger to attach"),
    ("WAIT_FOR_DEBUGGER", "there is no debugger to attach"),
    ("LEGACY_*", "there is one implementation of each"),
    ("ENABLE_CONFIG_UPDATES", "settings are read at the start only"),
    ("CONFIG_PROFILE", "there are no configuration files"),
    ("SNAPSHOT_*", UNKNOWN),
)


class Ignored(NamedTuple):
    """A variable that is set and not used; secrets are not shown."""

    name: str
    value: str
    why: str


def found(environ: Mapping[str, str] | None = None) -> list[Ignored]:
    """The variables that are set, known to LocalStack and not used, by name."""
    environ = os.environ if environ is None else environ
    used = {name for setting in SETTINGS for name in names_of(setting)}
    rows = []
    for name in sorted(environ.keys() - used):
        why = _why(name)
        if why is not None and environ[name].strip():
            hidden = any(part in name for part in SECRETS)
            rows.append(Ignored(name, "(not shown)" if hidden else environ[name], why))
    return rows


def _why(name: str) -> str | None:
    for pattern, why in IGNORED:
        if fnmatchcase(name, pattern) or fnmatchcase(name, PREFIX + pattern):
            return why
    return UNKNOWN if name.startswith(PREFIX) else None
