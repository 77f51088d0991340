"""What moto keeps of everything there ever was, for nobody who asks by the API.

Every model object ever made, deleted ones too, in a list per class, for its dashboard:
Perdure has none.  And with a topic of SNS every message it ever got, which moto's own
tests look into; the last ones are kept for them.  Both are memory without bound, and the
second is saved with the topic, too.
"""

from __future__ import annotations

from typing import Any

from moto.core.common_models import BaseModel

from perdure.engine.imports import after_import

NOTIFICATIONS_MAX = 1000


def install() -> None:
    """Make objects without noting them, and forget old messages."""
    BaseModel.__new__ = _new
    after_import("moto.sns.models", _sns)


def _new(cls: type, *_: Any, **__: Any) -> Any:
    return super(BaseModel, cls).__new__(cls)


def _sns(module: Any) -> None:
    publish = module.Topic.publish

    def published(topic: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return publish(topic, *arguments, **named)
        finally:
            del topic.sent_notifications[:-NOTIFICATIONS_MAX]

    module.Topic.publish = published
