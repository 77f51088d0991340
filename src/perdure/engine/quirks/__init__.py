"""What has to be different from moto: one small module a concern, each with its reason.

identity    region, account and key come from the gateway's classification
tracking    moto keeps every model object ever made, for a dashboard
polling     a poll that would wait is parked by the gateway instead
paging      page tokens hold in the next process, too
threads     moto's threads run under the engine lock
executions  Step Functions' state machines really run
jobs        a Batch job that fails says why
timers      SWF timers go on after a restart
copies      a KMS key and its replicas share what moto lets them share
order       sets whose order reaches an answer keep it
beside      what moto keeps beside its model becomes part of it
queues      each pass over a queue's messages reads the clock once
stacks      CloudFormation by change sets, and resource types moto leaves out
speed       work moto repeats in every call though it never changes
"""

from __future__ import annotations

from perdure.engine import outward
from perdure.engine.quirks import (
    beside,
    copies,
    executions,
    identity,
    jobs,
    order,
    paging,
    polling,
    queues,
    speed,
    stacks,
    threads,
    tracking,
)


def install() -> None:
    """Put all of them in place.  Once per process, before any call."""
    for quirk in (
        *(identity, tracking, paging, polling, queues, threads),
        *(executions, jobs, beside, copies, order, stacks, speed),
    ):
        quirk.install()
    outward.install()
