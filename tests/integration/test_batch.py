"""Batch: jobs end, with a reason, and stay as they ended."""

from __future__ import annotations

import time

from resume import resumed

ENDING_SECONDS = 25
TRUST = "{}"


def prepare(aws):
    """A queue and a job definition."""
    batch = aws.client("batch")
    role = aws.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument=TRUST)
    environment = batch.create_compute_environment(
        computeEnvironmentName="env", type="UNMANAGED", serviceRole=role["Role"]["Arn"]
    )["computeEnvironmentArn"]
    batch.create_job_queue(
        jobQueueName="queue",
        priority=1,
        state="ENABLED",
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
    )
    batch.register_job_definition(
        jobDefinitionName="job",
        type="container",
        containerProperties={
            "image": "perdure.invalid/no-image",
            "vcpus": 1,
            "memory": 16,
            "command": ["true"],
        },
    )
    return batch


def submit(batch, **more):
    return batch.submit_job(jobName="job", jobQueue="queue", jobDefinition="job", **more)["jobId"]


def describe(batch, job):
    return batch.describe_jobs(jobs=[job])["jobs"][0]


def ended(batch, job):
    deadline = time.monotonic() + ENDING_SECONDS
    while (found := describe(batch, job))["status"] not in ("SUCCEEDED", "FAILED"):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


@resumed
def test_a_job_that_cannot_run_fails_with_its_reason(aws):
    """Without a container a job, an array of them and those behind them end in FAILED."""
    batch = prepare(aws)
    first = submit(batch)
    behind = submit(batch, dependsOn=[{"jobId": first}])
    array = submit(batch, arrayProperties={"size": 2})
    found = ended(batch, first)
    assert found["status"] == "FAILED"
    assert found["statusReason"].startswith("CannotStartContainerError: ")
    assert ended(batch, behind)["statusReason"] == "Dependent Job failed"
    assert ended(batch, array)["statusReason"] == "Array Child Job failed"
    before = [describe(batch, job) for job in (first, behind, array)]
    yield
    assert [describe(batch, job) for job in (first, behind, array)] == before
    assert ended(batch, submit(batch))["status"] == "FAILED"


@resumed
def test_a_job_that_was_on_its_way_has_lost_its_host(aws):
    """A job that waited when the server ended is FAILED after it, not waiting for ever."""
    batch = prepare(aws)
    # It waits for a job that is never heard of.
    waiting = submit(batch, dependsOn=[{"jobId": "00000000-0000-4000-8000-000000000000"}])
    time.sleep(1)
    assert describe(batch, waiting)["status"] not in ("SUCCEEDED", "FAILED")
    yield
    found = describe(batch, waiting)
    assert (found["status"], found["attempts"]) == ("FAILED", [])
    assert "restarted" in found["statusReason"]
    assert found["stoppedAt"] >= found["createdAt"]
    queued = batch.list_jobs(jobQueue="queue", jobStatus="FAILED")["jobSummaryList"]
    assert [job["jobId"] for job in queued] == [waiting]
