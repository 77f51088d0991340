"""Batch: a job that fails says why, and one whose host is gone has failed.

moto runs a job in a container.  Without Docker, or with an image that cannot be had,
the job ends in FAILED and moto logs the reason, which AWS puts into ``statusReason``.
"""

from __future__ import annotations

import sys
from typing import Any

from perdure.engine.imports import after_import
from perdure.engine.quirks.threads import HALTED

NO_HOST = "Host EC2 terminated: the server was restarted."
NO_DEPENDENCY = "Dependent Job failed"
NO_CHILD = "Array Child Job failed"
EXITED = "Essential container in task exited"
SUCCEEDED = "SUCCEEDED"
# The year of moto's start of a job that has not started.
NEVER = 1970


def install() -> None:
    """Give every failure its reason."""
    after_import("moto.batch.models", _explain_failures)


def _explain_failures(module: Any) -> None:
    mark = module.Job._mark_stopped
    describe = module.Job.describe_short

    def mark_stopped(job: Any, success: bool = True) -> None:  # noqa: FBT001, FBT002 - moto's
        if job.job_stopped:
            return
        if not success and job.job_stopped_reason is None:
            # moto calls this while it handles what went wrong.
            job.job_stopped_reason = _reason(job, sys.exc_info()[1])
        mark(job, success)
        _end_parent(job)

    def describe_short(job: Any) -> dict[str, Any]:
        found: dict[str, Any] = describe(job)
        if job.job_started_at.year == NEVER:
            found.pop("startedAt", None)
        return found

    module.Job._mark_stopped = mark_stopped
    module.Job.describe_short = describe_short


def _reason(job: Any, error: BaseException | None) -> str:
    if error is not None:
        return f"CannotStartContainerError: {error}"
    if job.exit_code is not None:
        return EXITED
    return NO_DEPENDENCY


def _end_parent(child: Any) -> None:
    """An array job ends with the last of its children; moto leaves it open."""
    parent = child.all_jobs.get(child.job_id.rpartition(":")[0])
    if parent is None or not all(job.job_stopped for job in parent._child_jobs or [child]):
        return
    succeeded = all(job._status == SUCCEEDED for job in parent._child_jobs)
    if not succeeded:
        parent.job_stopped_reason = NO_CHILD
    parent._mark_stopped(success=succeeded)


def is_alive(job: Any) -> bool:
    """Whether a job is recorded as waiting or running; an array job follows its children."""
    return not job.job_stopped and not job._child_jobs


def lose_host(job: Any) -> None:
    """What AWS says of a job whose host went away; those behind it follow."""
    before = [job.all_jobs.get(each.get("jobId")) for each in job.depends_on or []]
    waits = any(each is not None and each._status != SUCCEEDED for each in before)
    job.job_stopped_reason = NO_DEPENDENCY if waits else NO_HOST
    if job.latest_attempt is not None:
        job.latest_attempt["statusReason"] = NO_HOST
        job.latest_attempt["container"]["reason"] = NO_HOST
    job._mark_stopped(success=False)


def halt(job: Any) -> None:
    """End its thread and its container."""
    job.stop = True
    HALTED.add(job)
