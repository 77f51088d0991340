"""Which service, operation, account and region a request means.

The signature's scope names service and region.  Where several services share a
signing name, ``X-Amz-Target``, path, API version or the model's routes tell them
apart.  Without a signature: target, host, form fields, path; what is left is S3,
whose objects anybody may ask for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_plus

from perdure.engine import services
from perdure.engine.calls import Call, Headers
from perdure.engine.core import DEFAULT_ACCOUNT
from perdure.engine.dispatch import operation_name
from perdure.engine.quirks.identity import known_account
from perdure.engine.requests import FORM
from perdure.engine.services import Service
from perdure.errors import RequestError
from perdure.persistence.body import Body

ACCOUNT = re.compile(r"\d{12}")
REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+|global|aws-global")
# A region becomes part of a file's name.
ANY_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
# A name or an address, with a port or without.  Service names of compose files may have "_".
HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
QUEUE_PATH = re.compile(r"/queue/(?P<region>[a-z0-9-]+)(?P<rest>/\d{12}/[^/]+)/?")
# A service's host without a region is no region called "localhost": see PLAIN_HOST.
SQS_HOST = re.compile(
    r"(?:(?P<region>[a-z0-9-]+)\.queue|"
    r"sqs\.(?!localhost\.localstack\.|amazonaws\.)(?P<region2>[a-z0-9-]+))\."
)
S3_HOST = re.compile(
    r"^(?P<bucket>[a-zA-Z0-9][a-zA-Z0-9._-]{1,254})\.s3(?:[.-](?:dualstack\.)?"
    r"(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+))?\."
)
EXECUTE_API_HOST = re.compile(r"^(?P<api>[a-z0-9]+)\.execute-api\.(?:(?P<region>[a-z0-9-]+)\.)?")
# The account is part of an access point's name in its host.
ACCESS_POINT_HOST = re.compile(r"^(?P<name>[a-z0-9-]+-\d{12})\.s3-accesspoint\.")
SERVICE_HOST = re.compile(
    r"(?:^|\.)(?P<name>[a-z0-9-]+)\.(?:(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+)\.)"
)
# Without a region, or with one that is none of AWS'.
PLAIN_HOST = re.compile(
    r"^(?P<name>[a-z0-9-]+)\.(?:(?P<region>[a-z0-9-]+)\.)?"
    r"(?:amazonaws\.com|localhost\.localstack\.cloud)(?::|$)"
)
# Hosts of a service that are not called as its requests are signed.
HOST_NAMES = {"appsync-api": "appsync"}
# Links in a notification: followed by whoever reads it, so unsigned.
PEM_PATH = re.compile(
    r"(?:/(?P<region>[a-z0-9-]+))?(?P<rest>/SimpleNotificationService-[^/]+\.pem)"
)
SUBSCRIPTION_ARN = re.compile(r"arn:[a-z-]+:sns:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):")
LINK_ACTIONS = frozenset({"Unsubscribe", "ConfirmSubscription"})
# Hosts that moto reads, so they stay whatever LOCALSTACK_HOST says.
READ_HOST = re.compile(r"\.(?:s3-control|s3-accesspoint|execute-api)\.")
LAMBDA_PATH = re.compile(r"/\d{4}-\d{2}-\d{2}/(?:functions|event-source-mappings|layers)(?:/|$)")
CBOR_PATH = re.compile(r"/service/[^/]+/operation/(?P<operation>[^/]+)$")
FIELDS = ("Action", "Version", "AWSAccessKeyId", "SubscriptionArn")
FIELD = re.compile(rf"(?:^|&)({'|'.join(FIELDS)})=([^&]*)")
QUOTED_NAME = re.compile(r"(?:^|&)[^=&%]*%[^=&]*=")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature says: key, region, service's signing name."""

    access_key: str
    region: str | None
    signing: str | None


@dataclass(slots=True)
class RawRequest:
    """A request off the wire; header names in lower case, body whole or in blobs."""

    method: str
    scheme: str
    host: str
    path: str
    query: str
    headers: Headers
    first: dict[str, str]
    body: bytes | Body


class Classifier:
    """Turns requests into calls, for one configuration."""

    def __init__(
        self,
        *,
        default_region: str,
        any_region: bool,
        only: frozenset[str] | None,
        public_host: str | None = None,
    ) -> None:
        """Keep what requests are measured by.

        Args:
            default_region: The region of requests that name none.
            any_region: Whether regions AWS lacks are accepted.
            only: Names of the services that answer; None = all.
            public_host: ``host:port`` of links handed out; None = the request's own.
        """
        self.public_host = public_host
        self.default_region = default_region
        self.any_region = any_region
        self.only = only

    def classify(self, request: RawRequest) -> Call:
        """The call a request means.

        Raises:
            RequestError: The service is unknown or switched off, the region is none
                of AWS', or the host cannot be one.
        """
        if not is_host(request.host):
            raise RequestError(
                "InvalidHost",
                f"{request.host[:64]!r} cannot be a host: a name or an address, and a port",
                status=400,
            )
        scope = scope_of(request)
        queue_region = self._undo_virtual_host(request, scope)
        form = _form(request)
        found, region = self._service(request, scope, form)
        # Clients of SimpleDB still sign as version 2 says: with fields of the form.
        access_key = scope.access_key or form.get("AWSAccessKeyId", "")
        linked = None if access_key else SUBSCRIPTION_ARN.match(form.get("SubscriptionArn", ""))
        call = Call(
            service=found[0],
            operation=_operation(request, form),
            account=linked["account"] if linked else account_of(access_key),
            region=self._region(scope.region or region or queue_region, found[0]),
            access_key=access_key,
            method=request.method,
            scheme=request.scheme,
            host=self._host(request),
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            form="Action" in form,
        )
        if scope.signing is None and call.service.module == "s3":
            _sign(call)
        if len(found) > 1:
            call.service = _tell_apart(call, found, form)
        if self.only is not None and not {call.service.name, call.service.module} & self.only:
            raise RequestError(
                "ServiceUnavailable",
                f"service {call.service.name} is switched off; SERVICES allows "
                f"{', '.join(sorted(self.only))}",
                status=501,
            )
        return call

    def _host(self, request: RawRequest) -> str:
        """The host of links handed out, which moto takes from the request's."""
        if self.public_host is None or READ_HOST.search(request.host):
            return request.host
        return self.public_host

    def _region(self, region: str | None, service: Service) -> str:
        region = region or self.default_region
        if not ANY_REGION.fullmatch(region):
            raise RequestError(
                "InvalidRegion",
                f"{region!r} cannot be a region: lower-case letters, digits and hyphens, up to 63",
                status=400,
            )
        if not self.any_region and not REGION.fullmatch(region):
            raise RequestError(
                "InvalidRegion",
                f"{region!r} is no AWS region ({service.name}); "
                "ALLOW_NONSTANDARD_REGIONS=1 accepts it",
                status=400,
            )
        return "us-east-1" if region in ("global", "aws-global") else region

    def _service(
        self, request: RawRequest, scope: Scope, form: dict[str, str]
    ) -> tuple[tuple[Service, ...], str | None]:
        target = request.first.get("x-amz-target", "").rpartition(".")[0]
        if target in services.by_target():
            named = _named(request.host.lower())
            return services.by_target()[target], None if named is None else named["region"]
        if target and scope.signing is None:
            raise RequestError(
                "UnknownService",
                f"no service has the target {target!r} that Perdure can run",
                status=501,
            )
        if scope.signing is not None:
            if scope.signing == "execute-api":
                return (services.by_name()["apigatewaymanagementapi"],), None
            found = services.by_signing().get(scope.signing)
            if found is not None:
                return found, None
            raise RequestError(
                "UnknownService",
                f"no service is signed as {scope.signing!r} that Perdure can run; "
                "/health lists those it runs",
                status=501,
            )
        return _unsigned(request, form)

    def _undo_virtual_host(self, request: RawRequest, scope: Scope) -> str | None:
        """``bucket.s3.host/key`` becomes ``host/bucket/key``.

        A path of a queue or a certificate loses its region, which is returned.
        """
        host = request.host.lower()
        matched = S3_HOST.match(host)
        if matched is not None and scope.signing in (None, "s3"):
            request.path = f"/{matched['bucket']}{request.path}"
            rest = host[matched.end() :]
            # So that links which are handed out lead where this request came to.
            request.host = _own(host) if "amazonaws.com" in rest else rest
        elif scope.signing == "s3" and host.startswith("s3."):
            request.host = _own(host)
        elif (point := ACCESS_POINT_HOST.match(host)) is not None:
            # The host stays: by it moto knows that the name is no bucket's.
            request.path = f"/{point['name']}{request.path}"
        named = QUEUE_PATH.fullmatch(request.path) or (
            PEM_PATH.fullmatch(request.path) if scope.signing is None else None
        )
        if named is None:
            return None
        request.path = named["rest"]
        return named["region"]


@lru_cache(maxsize=256)
def is_host(text: str) -> bool:
    """Whether a Host header holds a host; it becomes a part of URLs that are handed out."""
    return HOST.fullmatch(text) is not None


def _own(host: str) -> str:
    """The plain host with the port the request came by."""
    _, _, port = host.rpartition(":")
    return f"localhost:{port}" if port.isdigit() else "localhost"


def scope_of(request: RawRequest) -> Scope:
    """What the signature says, in header or query; a placeholder key without one."""
    header = request.first.get("authorization", "")
    credential = _between(header, "Credential=", ",") or _between(header, "Credential=", " ")
    query = ""
    if not credential and "X-Amz-Credential=" in request.query:
        query = dict(parse_qsl(request.query)).get("X-Amz-Credential", "")
    parts = (credential or query).split("/")
    if len(parts) >= 5:  # noqa: PLR2004 - key, date, region, service, terminator
        return Scope(parts[0], parts[-3] or None, parts[-2].lower())
    if "AWSAccessKeyId=" in request.query:
        return Scope(dict(parse_qsl(request.query)).get("AWSAccessKeyId", ""), None, "s3")
    if header.startswith("AWS "):
        return Scope(header[4:].partition(":")[0], None, "s3")
    return Scope("", None, None)


def account_of(access_key: str) -> str:
    """A key of 12 digits is the account; an issued key knows its own."""
    if ACCOUNT.fullmatch(access_key):
        return access_key
    return known_account(access_key) or DEFAULT_ACCOUNT


def _between(text: str, start: str, end: str) -> str:
    at = text.find(start)
    if at < 0:
        return ""
    at += len(start)
    stop = text.find(end, at)
    return text[at:] if stop < 0 else text[at:stop]


def _form(request: RawRequest) -> dict[str, str]:
    """Form fields of query services, from body or query string."""
    if request.first.get("content-type", "").startswith(FORM) and isinstance(request.body, bytes):
        # Only the fields that classify; bodies can be large.
        head = request.body[: 1 << 16].decode("utf-8", "replace")
        if QUOTED_NAME.search(head):
            return {k: v for k, v in parse_qsl(head) if k in FIELDS}
        # By their names alone: to take a form apart is a tenth of a call.
        return {k: unquote_plus(v) for k, v in FIELD.findall(head) if v}
    if "Action=" in request.query:
        return {k: v for k, v in parse_qsl(request.query) if k in FIELDS}
    return {}


def _operation(request: RawRequest, form: dict[str, str]) -> str:
    target = request.first.get("x-amz-target")
    if target:
        return target.rpartition(".")[2]
    if "Action" in form:
        return form["Action"]
    cbor = CBOR_PATH.fullmatch(request.path)
    return cbor["operation"] if cbor else f"{request.method} {request.path}"


def _named(host: str) -> re.Match[str] | None:
    """A host that names a service, and mostly a region."""
    return SERVICE_HOST.search(host) or PLAIN_HOST.match(host)


def _unsigned(request: RawRequest, form: dict[str, str]) -> tuple[tuple[Service, ...], str | None]:
    by_name = services.by_name()
    host = request.host.lower()
    sqs = SQS_HOST.search(host)
    if sqs is not None:
        return (by_name["sqs"],), sqs["region"] or sqs["region2"]
    if S3_HOST.match(host) or host.startswith("s3.") or ACCESS_POINT_HOST.match(host):
        return (by_name["s3"],), None
    api = EXECUTE_API_HOST.match(host)
    if api is not None:
        return (by_name["apigatewaymanagementapi"],), api["region"]
    named = _named(host)
    if named is not None:
        found = services.by_signing().get(HOST_NAMES.get(named["name"], named["name"]))
        if found is not None:
            return found, named["region"]
    return _by_content(request, form)


def _by_content(
    request: RawRequest, form: dict[str, str]
) -> tuple[tuple[Service, ...], str | None]:
    by_name = services.by_name()
    if form.get("Version") in services.by_version():
        return services.by_version()[form["Version"]], None
    if form.get("Action") in LINK_ACTIONS:
        arn = SUBSCRIPTION_ARN.match(form.get("SubscriptionArn", ""))
        return (by_name["sns"],), None if arn is None else arn["region"]
    if PEM_PATH.fullmatch(request.path):
        return (by_name["sns"],), None
    if "Action" in form:
        return (by_name["sqs" if re.fullmatch(r"/\d{12}/[^/]+", request.path) else "sts"],), None
    if LAMBDA_PATH.match(request.path):
        return (by_name["lambda"],), None
    if "/.well-known/" in request.path:
        pool = request.path.strip("/").split("/")[0]
        return (by_name["cognito-idp"],), pool.partition("_")[0] if "_" in pool else None
    return (by_name["s3"],), None


def _sign(call: Call) -> None:
    """Let anybody read and write objects, as LocalStack does.

    moto answers an unsigned read of a private object with 403.
    """
    if "Signature=" not in call.query:
        scope = f"Credential=anonymous/20000101/{call.region}/s3/aws4_request"
        call.headers.append(("authorization", f"AWS4-HMAC-SHA256 {scope}, Signature=none"))


def _tell_apart(call: Call, found: tuple[Service, ...], form: dict[str, str]) -> Service:
    """The one of several services with the same signing name, target or version."""
    remaining = [s for s in found if _fits(call, s, form)] or list(found)
    if len(remaining) == 1 or len({s.module for s in remaining}) == 1:
        return remaining[0]
    if not call.operation.startswith(call.method + " "):
        return next((s for s in remaining if services.has_operation(s, call.operation)), found[0])
    for service in remaining:
        call.service = service
        if not operation_name(call).startswith(call.method + " "):
            return service
    return found[0]


def _fits(call: Call, service: Service, form: dict[str, str]) -> bool:
    """Whether target, version or path speak for a service."""
    if service.module == "s3control":
        return call.path.startswith("/v20180820/") or ".s3-control." in call.host
    if service.module == "s3":
        return not call.path.startswith("/v20180820/")
    if service.module == "apigateway":
        return call.path.startswith("/v2/") == (service.name == "apigatewayv2")
    if service.module == "sesv2":
        return call.path.startswith("/v2/")
    has_target = any(name == "x-amz-target" for name, _ in call.headers)
    if "Version" in form:
        return service.version == form["Version"]
    if has_target:
        return service.target is not None
    return not (service.protocol == "json" and service.target is not None)
