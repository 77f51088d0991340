"""A poll that finds nothing and may wait is parked by the gateway.

moto waits inside the call, for up to 20 seconds, and with the engine lock held
nobody could send what it waits for.  So a poll runs without waiting; when it comes
back empty and its time is not up, ``ParkedError`` asks the gateway to try again
when something may have arrived.  The last attempt answers empty.
"""

from __future__ import annotations

import time
from typing import Any

from perdure.engine.imports import after_import
from perdure.engine.quirks import queues
from perdure.persistence.keys import StoreKey

SWF_WAIT_SECONDS = 1.0
RETRY_SECONDS = 1.0
# A message shows one tick behind the moment it is hidden until.
SHORTEST_SECONDS = 0.001


class ParkedError(BaseException):
    """The call should be tried again; not an ``Exception``, as moto catches those."""

    def __init__(self, *, wait_seconds: float, retry_seconds: float, changed: bool) -> None:
        super().__init__(f"would wait {wait_seconds:g} s")
        self.wait_seconds, self.retry_seconds = wait_seconds, retry_seconds
        # Whether the attempt may have changed its store, and so is a call of its own.
        self.changed = changed
        # The stores it looked at, filled in by who parks it.
        self.touched: frozenset[StoreKey] = frozenset()


class Patience:
    """Whether the call that runs now may be parked.  One call runs at a time."""

    def __init__(self) -> None:
        self.may_park = False


PATIENCE = Patience()


def install() -> None:
    """Take the waiting out of moto's polls."""
    after_import("moto.sqs.models", _sqs)
    after_import("moto.swf.models", _swf)


def _sqs(module: Any) -> None:
    receive = module.SQSBackend.receive_message

    def receive_message(
        backend: Any,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        *arguments: Any,
        **named: Any,
    ) -> Any:
        # Only messages that are visible are looked at: moved to the dead-letter queue,
        # held back for their group, or taken for lost.
        waits = wait_seconds_timeout and PATIENCE.may_park
        changed = waits and queues.is_any_visible(backend.get_queue(queue_name))
        found = receive(backend, queue_name, count, 0, *arguments, **named)
        if not found and wait_seconds_timeout and PATIENCE.may_park:
            raise ParkedError(
                wait_seconds=float(wait_seconds_timeout),
                retry_seconds=_next_visible_seconds(backend.get_queue(queue_name)),
                changed=bool(changed),
            )
        return found

    module.SQSBackend.receive_message = receive_message


def _next_visible_seconds(queue: Any) -> float:
    """When the first hidden or delayed message shows; a second if there is none.

    A message that is visible and was not found waits for its group (FIFO), which
    comes free by another call or when one of the hidden ones shows.
    """
    moment_ms = queues.next_moment_ms(queue)
    if moment_ms is None:
        return RETRY_SECONDS
    return max(moment_ms / 1000 - time.time(), SHORTEST_SECONDS)


def _swf(module: Any) -> None:
    def sleep(_: float) -> None:
        if PATIENCE.may_park:
            # It moves on what has timed out before it looks for a task.
            raise ParkedError(
                wait_seconds=SWF_WAIT_SECONDS, retry_seconds=SWF_WAIT_SECONDS, changed=True
            )

    module.sleep = sleep
