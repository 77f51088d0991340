"""Hosts in links that are handed out: one the client can reach, where moto writes AWS'.

A queue's URL carries the host moto was asked at.  The rest names amazonaws.com: the
``Ref`` of a queue in a template, a completed upload's ``Location``, the certificate and the
unsubscribe link in a notification.  Whoever follows such a link asks AWS, not us.

The host is the call's: ``LOCALSTACK_HOST`` where it is set, for the gateway has put it
there, else what the request came to.  A client that came by AWS' own name (through a
proxy or a DNS entry) gets AWS' names, as moto has them.  Threads that moto starts belong to
no call and use the host the server was started with.
"""

from __future__ import annotations

import re
import threading
from typing import Any

from perdure.engine.calls import Call
from perdure.engine.imports import after_import
from perdure.engine.process import ACCOUNTS_BY_KEY

AWS = re.compile(r"(^|\.)amazonaws\.com(\.cn)?(:\d+)?$")
OBJECT_URL = re.compile(r"http://(?P<bucket>[^/]+)\.s3\.amazonaws\.com/(?P<key>.*)", re.DOTALL)
KEY_LENGTH = 20


class _Current(threading.local):
    base: str | None = None
    aws = False


_current = _Current()
# None before a server says where it is: moto in a test's own process keeps AWS' names.
_default: list[str | None] = [None]


def install() -> None:
    """Replace the hosts, and give temporary credentials a key of their own."""
    after_import("moto.sqs.models", _sqs)
    after_import("moto.s3.responses", _s3)
    after_import("moto.sns.models", _sns)
    after_import("moto.sts.responses", _sts)


def set_default(base: str) -> None:
    """Where the server is reached, as ``http://host:port``, for what belongs to no call."""
    _default[0] = base


def enter(call: Call) -> None:
    """Note the host of the call this thread now runs."""
    _current.base = f"{call.scheme}://{call.host}"
    _current.aws = AWS.search(call.host) is not None


def base() -> str | None:
    """``scheme://host:port`` for links; None where AWS' names are to be kept."""
    return None if _current.aws else _current.base or _default[0]


def _sqs(module: Any) -> None:
    original = module.Queue.physical_resource_id.fget

    def physical_resource_id(queue: Any) -> str:
        here = base()
        return f"{here}/{queue.account_id}/{queue.name}" if here else str(original(queue))

    module.Queue.physical_resource_id = property(physical_resource_id)


def _s3(module: Any) -> None:
    original = module.S3Response.serialized

    def serialized(response: Any, result: Any) -> Any:
        content, here = result.result, base()
        if here and isinstance(content, dict) and "ETag" in content:
            found = OBJECT_URL.fullmatch(str(content.get("Location", "")))
            if found is not None:
                content["Location"] = f"{here}/{found['bucket']}/{found['key']}"
        return original(response, result)

    module.S3Response.serialized = serialized


def _sns(module: Any) -> None:
    original = module.Subscription.get_post_data

    def get_post_data(subscription: Any, *arguments: Any, **named: Any) -> Any:
        data, here = original(subscription, *arguments, **named), base()
        if here:
            name = data["SigningCertURL"].rpartition("/")[2]
            region = subscription.topic.sns_backend.region_name
            data["SigningCertURL"] = f"{here}/{region}/{name}"
            # moto's link names a subscription that does not exist.
            link = f"{here}/?Action=Unsubscribe&SubscriptionArn={subscription.arn}"
            data["UnsubscribeURL"] = link
        return data

    module.Subscription.get_post_data = get_post_data


def _sts(module: Any) -> None:
    """Here moto gives everyone the same key, which belongs to no account."""
    from moto.iam.utils import generate_access_key_id_from_account_id

    def with_key(original: Any) -> Any:
        def issue(response: Any) -> Any:
            result = original(response)
            account = response.current_account
            key = generate_access_key_id_from_account_id(
                account_id=account, prefix="ASIA", total_length=KEY_LENGTH
            )
            ACCOUNTS_BY_KEY[key] = account
            result.result["Credentials"]["AccessKeyId"] = key
            return result

        return issue

    kind = module.TokenResponse
    kind.get_session_token = with_key(kind.get_session_token)
    kind.get_federation_token = with_key(kind.get_federation_token)
