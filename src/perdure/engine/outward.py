"""Which calls may leave the process, and so wait for others.

A call that waits for a container or an HTTP server must not run on the event
loop's thread: the one it waits for may call Perdure.  Almost every service can end
in a Lambda or, through SNS, in a web hook; but only once one was created.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.engine.imports import after_import
from perdure.engine.stores import STORES, table_of

# These wait for containers, HTTP or other calls by nature.
OUTWARD = frozenset(
    {"apigateway", "apigatewayv2", "apigatewaymanagementapi", "batch", "cloudformation"}
    | {"events", "firehose", "lambda", "stepfunctions"}
)
LAMBDA = "awslambda"
WEB_HOOKS = ("http", "https")


class _Hooks:
    """Whether any web hook was ever subscribed in this process."""

    def __init__(self) -> None:
        self.seen = False


HOOKS = _Hooks()


def install() -> None:
    """Notice web hooks as they are subscribed."""
    after_import("moto.sns.models", _watch)


def _watch(module: Any) -> None:
    create = module.Subscription.__init__

    def init(subscription: Any, *arguments: Any, **named: Any) -> None:
        create(subscription, *arguments, **named)
        notice(subscription)

    module.Subscription.__init__ = init


def notices(cls: type) -> Callable[[Any], None] | None:
    """What to do with each object of a class that is loaded; None = nothing."""
    return notice if cls.__name__ == "Subscription" else None


def notice(subscription: Any) -> None:
    """Look at a subscription that was created or loaded."""
    if getattr(subscription, "protocol", None) in WEB_HOOKS:
        HOOKS.seen = True


def is_possible(module: str) -> bool:
    """Whether a call of this service may meet a function or a web hook.  Needs no lock."""
    table = table_of(LAMBDA)
    if HOOKS.seen or (table is not None and dict.__len__(table) > 0):
        return True
    unseen = {LAMBDA, "sns"} if module in ("s3", "sns") else {LAMBDA}
    return any(key.module in unseen for key in tuple(STORES.unloaded))
