"""SQS: each pass over a queue's messages reads the clock once, not twice a message.

``SendMessage`` asks moto for one attribute of the queue and gets all of them, three
of which count messages; ``ReceiveMessage`` lists the visible ones.  Every message
then reads the clock for itself: 29 ms a send with 1,000 messages waiting.  The
answers are moto's, for one instant a pass instead of one a message.
"""

from __future__ import annotations

from typing import Any

from perdure.engine.imports import after_import


def install() -> None:
    """Replace the three passes."""
    after_import("moto.sqs.models", _sqs)


def _sqs(module: Any) -> None:
    now_ms = module.unix_time_millis

    def messages(queue: Any) -> list[Any]:
        now = now_ms()
        return [m for m in queue._messages if now > m.visible_at and now >= m.delayed_until]

    def hidden(queue: Any) -> int:
        now = now_ms()
        return sum(now <= m.visible_at for m in queue._messages)

    def delayed(queue: Any) -> int:
        now = now_ms()
        return sum(now < m.delayed_until for m in queue._messages)

    module.Queue.messages = property(messages)
    module.Queue.approximate_number_of_messages_not_visible = property(hidden)
    module.Queue.approximate_number_of_messages_delayed = property(delayed)
