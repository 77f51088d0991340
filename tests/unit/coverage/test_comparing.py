"""What counts as the same answer, and what a service's sweep comes to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.coverage.caller import Seen, digest_of, is_alike
from tests.coverage.feed import Feed
from tests.coverage.one_service import Ending, OneService, Read
from tests.coverage.synthesis import Synthesis
from tests.unit.coverage.test_synthesis import ACCOUNT, NOW, model

NOT = "NotImplemented: SomeAction has not been implemented"


def test_what_names_the_request_does_not_count() -> None:
    """Request ids, dates of the transport and the sweep's own header are no difference."""
    one = {"date": "today", "x-amzn-requestid": "1", "etag": "a", "x-sweep-changed": "s3"}
    other = {"date": "then", "x-amzn-requestid": "2", "etag": "a"}
    assert digest_of(200, one, b"<RequestId>1</RequestId><A>x</A>") == digest_of(
        200, other, b"<RequestId>2</RequestId><A>x</A>"
    )
    assert digest_of(200, {}, b'{"RequestId": "1"}') == digest_of(200, {}, b'{"RequestId": "2"}')


@pytest.mark.parametrize(
    "other",
    [(404, {"etag": "a"}, b"x"), (200, {"etag": "b"}, b"x"), (200, {"etag": "a"}, b"y")],
    ids=["status", "header", "body"],
)
def test_everything_else_does(other: Any) -> None:
    """Status, headers and body each make another answer."""
    assert digest_of(200, {"etag": "a"}, b"x") != digest_of(*other)


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        ({"C": NOW.replace(year=1999), "A": [{"B": 3}]}, True),
        ({"A": [], "D": "more"}, True),
        ({"A": [{"B": "1"}]}, False),
        ({"A": {}}, False),
        ({"C": "now"}, False),
    ],
)
def test_answers_are_alike_in_their_types(other: Any, alike: bool) -> None:
    """Values, and what one leaves out, do not matter; a type that differs does."""
    assert is_alike({"A": [{"B": 1}, {"B": 2}], "C": NOW}, other) is alike


def seen(
    status: int = 200, body: bytes = b"x", parsed: Any = None, changed: tuple[str, ...] = ()
) -> Seen:
    parsed = parsed or {}
    digest = digest_of(status, {}, body)
    return Seen(status, digest, body, parsed, frozenset(changed))


class Answers:
    """A caller that answers from a list, then the last one for ever."""

    def __init__(self, **answers: list[Seen]) -> None:
        self.answers = {name: iter(found) for name, found in answers.items()}
        self.last: dict[str, Seen] = {}
        self.asked: list[tuple[str, Any]] = []
        self.model, self.slow = model("sqs"), {}

    def operations(self) -> list[Any]:
        return [self.model.operation_model(name) for name in self.answers]

    def call(self, operation: str, parameters: Any, **_: Any) -> Seen:
        self.asked.append((operation, parameters))
        answers: Iterator[Seen] = self.answers[operation]
        self.last[operation] = next(answers, self.last.get(operation, seen()))
        return self.last[operation]

    def close(self) -> None:
        pass


def service(**answers: list[Seen]) -> OneService:
    caller = Answers(**answers)
    synthesis = Synthesis("sqs", ACCOUNT, "us-east-1", Feed(), NOW)
    return OneService("sqs", synthesis, lambda _: caller)


def across(one: OneService, ending: Ending = Ending.RESTARTED) -> dict[str, Any]:
    """Read before, again and after the server's end; the result."""
    one.plan()
    one.read("before")
    one.read("again")
    one.find_volatile("before", "again")
    volatile = frozenset(read.operation for read in one.reads if read.volatile)
    one.read("after")
    one.compare("again", "after", ending)
    return one.result(volatile)


def test_the_same_before_and_after_is_identical() -> None:
    """A read that never changes counts, and nothing is named."""
    found = across(service(ListQueues=[seen()]))
    assert (found["reads"], found["identical"], found["different"]) == (1, 1, [])


def test_a_change_by_the_restart_is_named() -> None:
    """Twice the same and then another answer is a difference."""
    one = service(ListQueues=[seen(), seen(), seen(body=b"y")])
    found = across(one)
    assert (found["reads"], found["identical"], found["different"]) == (1, 0, ["ListQueues"])
    assert one.differences[0].before.endswith(b"x")
    assert one.differences[0].after.endswith(b"y")


def test_a_change_by_a_kill_is_counted_apart() -> None:
    """What a clean stop keeps and a kill does not is no difference after a restart."""
    found = across(service(ListQueues=[seen(), seen(), seen(body=b"y")]), Ending.KILLED)
    assert (found["identical"], found["killed"], found["different"]) == (1, 0, ["ListQueues"])


def test_a_volatile_read_is_compared_in_its_types() -> None:
    """What changes by itself is counted apart, as long as its types stay."""
    clock = [seen(body=bytes([n]), parsed={"Now": n}) for n in range(3)]
    found = across(service(ListQueues=clock))
    assert (found["reads"], found["volatile"]) == (0, ["ListQueues"])

    clock[2] = seen(body=b"z", parsed={"Now": "gone"})
    found = across(service(ListQueues=clock))
    assert (found["reads"], found["identical"], found["different"]) == (1, 0, ["ListQueues"])


def test_a_read_that_goes_in_circles_is_volatile() -> None:
    """Called twice in a row it shows, though it comes out the same after a round."""
    circle = [seen(body=b"a"), seen(body=b"b"), seen(body=b"a")]
    one = service(ListQueues=circle)
    one.plan()
    one.read("before")
    one.read("again", twice=True)

    assert one.find_volatile("before", "again")


def test_a_read_that_fails_is_tried_but_not_compared() -> None:
    """An error before and after proves nothing of state; an error only after is a difference."""
    found = across(service(ListQueues=[seen(404)]))
    assert (found["tried"], found["reads"], found["succeeded"]) == (1, 0, 0)

    found = across(service(ListQueues=[seen(), seen(), seen(500)]))
    assert found["different"] == ["ListQueues"]


def test_what_moto_does_not_know_is_not_tried() -> None:
    """A 501 that says so of the operation counts apart, and is called once only."""
    one = service(CreateQueue=[seen(501, NOT.encode())])
    one.make()
    found = one.result(frozenset())
    assert (found["tried"], found["not_implemented"]) == (0, 1)
    assert len(one.caller.asked) == 1


def test_a_501_about_a_parameter_is_tried() -> None:
    """Moto knows the operation, and not what it was given."""
    one = service(CreateQueue=[seen(501, b"FifoQueue=maybe is not supported")])
    one.make()
    assert one.result(frozenset())["tried"] == 1


def test_a_change_counts_if_the_call_did_what_was_asked() -> None:
    """A store that differs after a refused call is none of its doing, by our count."""
    one = service(CreateQueue=[seen(changed=("sqs",))], SendMessage=[seen(400, changed=("sqs",))])
    one.make()
    assert one.result(frozenset())["changed"] == 1


def test_ids_are_fed_from_call_to_call() -> None:
    """The message goes to the queue that was just made."""
    answer = seen(parsed={"QueueUrl": "http://made"})
    one = service(CreateQueue=[answer], SendMessage=[seen()], GetQueueAttributes=[seen()])
    one.make()
    one.plan()

    sent = [given for name, given in one.caller.asked if name == "SendMessage"]
    assert sent[0]["QueueUrl"] == "http://made"
    assert Read("GetQueueAttributes", {"QueueUrl": "http://made"}) in one.reads
