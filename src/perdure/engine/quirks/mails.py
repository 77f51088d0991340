"""SES: a sent mail keeps when it was sent, and text and HTML apart.

moto keeps one body, the HTML where there is one, and no time; LocalStack's users read
both at ``/_aws/ses``.  They become attributes of moto's own objects, so that they are
saved with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from perdure.engine.imports import after_import

SENT_AT = "_perdure_sent_at"
PARTS = "_perdure_parts"
SENDERS = ("send_email", "send_templated_email", "send_bulk_templated_email", "send_raw_email")


def install() -> None:
    """Wrap what sends a mail."""
    after_import("moto.ses.models", _stamp)
    after_import("moto.ses.responses", _parts_of_form)
    after_import("moto.sesv2.responses", _parts_of_json)


def _stamp(module: Any) -> None:
    for name in SENDERS:
        setattr(module.SESBackend, name, _stamping(getattr(module.SESBackend, name)))


def _stamping(send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def sending(store: Any, *arguments: Any, **named: Any) -> Any:
        result = send(store, *arguments, **named)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        setattr(store.sent_messages[-1], SENT_AT, now)
        return result

    return sending


def _parts_of_form(module: Any) -> None:
    send = module.EmailResponse.send_email

    @wraps(send)
    def send_email(response: Any) -> Any:
        result = send(response)
        body = "Message.Body.{}.Data"
        parts = {
            "text_part": response._get_param(body.format("Text")),
            "html_part": response._get_param(body.format("Html")),
        }
        setattr(response.backend.sent_messages[-1], PARTS, parts)
        return result

    module.EmailResponse.send_email = send_email


def _parts_of_json(module: Any) -> None:
    send = module.SESV2Response.send_email

    @wraps(send)
    def send_email(response: Any) -> Any:
        result = send(response)
        content = json.loads(response.body).get("Content", {})
        if "Simple" in content:
            body = content["Simple"]["Body"]
            parts = {
                "text_part": body.get("Text", {}).get("Data"),
                "html_part": body.get("Html", {}).get("Data"),
            }
            setattr(response.sesv2_backend.core_backend.sent_messages[-1], PARTS, parts)
        return result

    module.SESV2Response.send_email = send_email
