"""Actors of SQS, standard and FIFO, and of SNS, which sends to a queue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

from tests.soak.model import GONE, UNKNOWN, Actor, Values

LONG = 30000  # seconds a received message stays hidden: longer than any run, below the limit
MESSAGES_MAX = 8  # one receive shows them all


class Sqs(Actor):
    """A queue: ``visible`` bodies in order, how many are ``held``, which handles work.

    Bodies begin with a number that grows, so the order of sending is that of sorting.
    """

    service = "sqs"
    attributes: ClassVar[dict[str, str]] = {"VisibilityTimeout": str(LONG)}
    suffix = ""

    def moves(self) -> list[Callable[[], None]]:
        if "queue" not in self.expected:
            return [self.create]
        if self.expected["held"] > len(self.expected["handles"]):
            return [self.drop]  # a receive was in flight, and its handle is lost
        visible, held = self.expected["visible"], self.expected["handles"]
        moves: list[Callable[[], None]] = [self.drop] if self.rng.random() < 0.02 else []
        if len(visible) + len(held) < MESSAGES_MAX - 1:
            moves += [self.send, self.send, self.send_batch]
        if visible:
            moves += [self.receive]
        if held:
            moves += [self.delete, self.delete, self.release]
        return moves or [self.drop]

    def _now(self, visible: list[str], handles: list[str]) -> Values:
        """The queue's values: what is not held, and what is held."""
        return {
            "visible": sorted(visible),
            "waiting": len(visible),
            "held": len(handles),
            "handles": sorted(handles),
        }

    def create(self) -> None:
        name = f"{self.name}-{self.word()}{self.suffix}"
        self.kept.clear()
        self.kept["name"] = name
        self.call(
            "create_queue",
            lambda a: {"queue": a["QueueUrl"], **self._now([], [])},
            QueueName=name,
            Attributes=self.attributes,
        )

    def drop(self) -> None:
        gone = dict.fromkeys(self.expected, GONE)
        self.call("delete_queue", lambda _: gone, QueueUrl=self.expected["queue"])

    def _entry(self, body: str) -> dict[str, Any]:
        return {"MessageBody": body}

    def send(self) -> None:
        body = self.word()
        visible, handles = [*self.expected["visible"], body], self.expected["handles"]
        done = self.call(
            "send_message",
            lambda _: self._now(visible, handles),
            QueueUrl=self.expected["queue"],
            **self._entry(body),
        )
        assert done["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()

    def send_batch(self) -> None:
        bodies = [self.word(), self.word()]
        visible, handles = [*self.expected["visible"], *bodies], self.expected["handles"]
        self.call(
            "send_message_batch",
            lambda _: self._now(visible, handles),
            QueueUrl=self.expected["queue"],
            Entries=[{"Id": body, **self._entry(body)} for body in bodies],
        )

    def receive(self) -> None:
        first, *rest = self.expected["visible"]
        handles = self.expected["handles"]
        # While it is in flight the handle is not known: held, and no handle works.
        lost = {**self._now(rest, [*handles, first]), "handles": handles}
        done = self.call(
            "receive_message",
            lambda a: lost if a is UNKNOWN else self._now(rest, [*handles, first]),
            QueueUrl=self.expected["queue"],
            MaxNumberOfMessages=1,
            VisibilityTimeout=LONG,
        )
        [message] = done["Messages"]
        assert message["Body"] == first, (message["Body"], self.expected)
        self.kept[first] = message["ReceiptHandle"]

    def _without(self, body: str) -> tuple[list[str], list[str]]:
        handles = [name for name in self.expected["handles"] if name != body]
        return self.expected["visible"], handles

    def delete(self) -> None:
        body = self.rng.choice(self.expected["handles"])
        visible, handles = self._without(body)
        self.call(
            "delete_message",
            lambda _: self._now(visible, handles),
            QueueUrl=self.expected["queue"],
            ReceiptHandle=self.kept[body],
        )
        del self.kept[body]

    def release(self) -> None:
        body = self.rng.choice(self.expected["handles"])
        visible, handles = self._without(body)
        self.call(
            "change_message_visibility",
            lambda _: self._now([*visible, body], handles),
            QueueUrl=self.expected["queue"],
            ReceiptHandle=self.kept[body],
            VisibilityTimeout=0,
        )
        del self.kept[body]

    def read(self) -> Values:
        name = self.kept.get("name")
        missing = "AWS.SimpleQueueService.NonExistentQueue"
        url = name and self.found_or(None, missing, "get_queue_url", QueueName=name)
        if not url:
            return {}
        queue = {"QueueUrl": url["QueueUrl"]}
        # A timeout of 0 leaves all of them as visible as they were.
        shown = self.ask(
            "receive_message", **queue, MaxNumberOfMessages=10, VisibilityTimeout=0
        ).get("Messages", [])
        visible = [message["Body"] for message in shown]
        # moto hides a visible message by an old handle, so those are not tried.
        kept = [body for body in self.kept if body != "name" and body not in visible]
        handles = sorted(body for body in kept if self._works(queue, body))
        self.kept = {body: self.kept[body] for body in ["name", *handles]}
        numbers = self.ask("get_queue_attributes", **queue, AttributeNames=["All"])["Attributes"]
        return {
            "queue": url["QueueUrl"],
            "visible": visible,
            "waiting": int(numbers["ApproximateNumberOfMessages"]),
            "held": int(numbers["ApproximateNumberOfMessagesNotVisible"]),
            "handles": handles,
        }

    def _works(self, queue: Values, body: str) -> bool:
        where = {**queue, "ReceiptHandle": self.kept[body], "VisibilityTimeout": LONG}
        refused = "ReceiptHandleIsInvalid"
        return self.found_or(None, refused, "change_message_visibility", **where) is not None


class Fifo(Sqs):
    """A FIFO queue in which every message is a group of its own.

    In one group a held message hides the others, and after a receive with a timeout of 0,
    which is how a queue is read here, moto hands out a group's last message first.
    """

    attributes: ClassVar[dict[str, str]] = {**Sqs.attributes, "FifoQueue": "true"}
    suffix = ".fifo"

    def moves(self) -> list[Callable[[], None]]:
        again = [self.again] if self.expected.get("visible") else []
        return [*super().moves(), *again]

    def _entry(self, body: str) -> dict[str, Any]:
        return {"MessageBody": body, "MessageGroupId": body, "MessageDeduplicationId": body}

    def again(self) -> None:
        """Send a message a second time: it is there once."""
        self.call(
            "send_message",
            lambda _: {},
            QueueUrl=self.expected["queue"],
            **self._entry(self.expected["visible"][-1]),
        )


class Sns(Actor):
    """A topic with a queue that is subscribed to it, or is not; what was published."""

    service = "sns"

    def moves(self) -> list[Callable[[], None]]:
        if "queue" not in self.expected:
            return [self.create_queue]
        if "topic" not in self.expected:
            return [self.create]
        if "subscription" not in self.expected:
            return [self.subscribe]
        if len(self.expected["messages"]) >= MESSAGES_MAX:
            return [self.take]
        return [*[self.publish] * 5, self.take, self.rename, self.unsubscribe]

    def create_queue(self) -> None:
        self.call(
            "create_queue",
            lambda a: {"queue": a["QueueUrl"], "messages": []},
            service="sqs",
            QueueName=self.name,
        )

    def create(self) -> None:
        self.call("create_topic", lambda a: {"topic": [a["TopicArn"], ""]}, Name=self.name)

    def subscribe(self) -> None:
        topic = self.expected["topic"][0]
        self.call(
            "subscribe",
            lambda a: {"subscription": a["SubscriptionArn"]},
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=topic.replace(":sns:", ":sqs:"),
            Attributes={"RawMessageDelivery": "true"},
            ReturnSubscriptionArn=True,
        )

    def unsubscribe(self) -> None:
        arn = self.expected["subscription"]
        self.call("unsubscribe", lambda _: {"subscription": GONE}, SubscriptionArn=arn)

    def rename(self) -> None:
        arn, word = self.expected["topic"][0], self.word()
        self.call(
            "set_topic_attributes",
            lambda _: {"topic": [arn, word]},
            TopicArn=arn,
            AttributeName="DisplayName",
            AttributeValue=word,
        )

    def publish(self) -> None:
        word, old = self.word(), self.expected["messages"]
        self.call(
            "publish",
            lambda _: {"messages": [*old, word]},
            TopicArn=self.expected["topic"][0],
            Message=word,
        )

    def take(self) -> None:
        """Receive all, which leaves them visible, and delete the first."""
        if not self.expected["messages"]:
            return self.publish()
        first, *rest = self.expected["messages"]
        messages = self._messages(self.expected["queue"])
        handle = next(m["ReceiptHandle"] for m in messages if m["Body"] == first)
        return self.call(
            "delete_message",
            lambda _: {"messages": rest},
            service="sqs",
            QueueUrl=self.expected["queue"],
            ReceiptHandle=handle,
        )

    def _messages(self, url: str) -> list[dict[str, Any]]:
        where = {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0}
        return self.ask("receive_message", service="sqs", **where).get("Messages", [])

    def read(self) -> Values:
        found: Values = {}
        queues = self.ask("list_queues", service="sqs", QueueNamePrefix=self.name)
        mine = [u for u in queues.get("QueueUrls", []) if u.rpartition("/")[2] == self.name]
        if mine:
            found["queue"] = mine[0]
            found["messages"] = [message["Body"] for message in self._messages(mine[0])]
        # The actor of another client has the same account and region, so this is its ARN.
        topic = f"arn:aws:sns:us-east-1:000000000000:{self.name}"
        told = self.found_or(None, "NotFound", "get_topic_attributes", TopicArn=topic)
        if told is not None:
            found["topic"] = [topic, told["Attributes"]["DisplayName"]]
            listed = self.ask("list_subscriptions_by_topic", TopicArn=topic)["Subscriptions"]
            assert len(listed) <= 1, listed
            if listed:
                found["subscription"] = listed[0]["SubscriptionArn"]
        return found
