"""What nobody asks for does not pile up."""

from __future__ import annotations

from typing import Any

from perdure.engine.quirks.tracking import NOTIFICATIONS_MAX


def test_a_topic_keeps_its_last_messages_only(moto: Any) -> None:
    """However many were published, the newest ones are there."""
    store = moto.store("sns")
    topic = store.create_topic("t")
    for number in range(NOTIFICATIONS_MAX + 5):
        store.publish(message=str(number), arn=topic.arn)
    assert len(topic.sent_notifications) == NOTIFICATIONS_MAX
    assert topic.sent_notifications[-1][1] == str(NOTIFICATIONS_MAX + 4)
