"""SWF: timers of a workflow go on after a restart.

moto starts a thread per timer.  When it began and how long it runs stands in the
workflow's history, so the thread is not state: it is started again for what is left.
"""

from __future__ import annotations

from typing import Any


def recorded(timer: Any) -> dict[str, Any]:
    """A timer without its thread."""
    return {k: v for k, v in timer.__dict__.items() if k != "background_timer"}


def wind_up(workflow: Any) -> None:
    """Start the timers of a loaded workflow again; those that are overdue fire now."""
    from moto.core.utils import unix_time
    from moto.swf.models.workflow_execution import ThreadingTimer

    started = {event.event_id: event for event in workflow._events}
    for timer_id, timer in list(workflow._timers.items()):
        event = started[timer.started_event_id]
        due = event.event_timestamp + float(event.event_attributes.get("startToFireTimeout", 0))
        left = due - unix_time()
        if left <= 0:
            workflow._fire_timer(timer.started_event_id, timer_id)
            continue
        timer.background_timer = ThreadingTimer(
            left, workflow._fire_timer, args=(timer.started_event_id, timer_id)
        )
        timer.start()


def halt(workflow: Any) -> None:
    """Stop the timers of a workflow."""
    for timer in workflow._timers.values():
        timer.cancel()
