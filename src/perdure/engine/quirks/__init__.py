"""What has to be different from moto: one small module a concern, each with its reason.

identity    region, account and key come from the gateway's classification
names       links that are handed out lead here, not to AWS
tracking    moto keeps every model object ever made, for a dashboard
polling     a poll that would wait is parked by the gateway instead
paging      page tokens hold in the next process, too
threads     moto's threads run under the engine lock
executions  Step Functions' state machines really run
jobs        a Batch job that fails says why
timers      SWF timers go on after a restart
copies      a KMS key and its replicas share what moto lets them share
order       sets whose order reaches an answer keep it
bodies      large bodies of S3's objects lie in blobs
beside      what moto keeps beside its model becomes part of it
mails       a sent mail keeps its time, and text and HTML apart
queues      each pass over a queue's messages reads the clock once
reads       what a read notes though nobody asks for it is not noted
stacks      CloudFormation by change sets, and resource types moto leaves out
speed       work moto repeats in every call though it never changes
"""

from __future__ import annotations

from perdure.engine import doors, imports, outward, pins
from perdure.engine.quirks import (
    beside,
    bodies,
    copies,
    executions,
    identity,
    jobs,
    mails,
    names,
    order,
    paging,
    polling,
    queues,
    reads,
    speed,
    stacks,
    threads,
    tracking,
)


def install() -> None:
    """Put all of them in place.  Once per process, before any call."""
    pins.install()
    imports.watch()
    doors.install()
    for quirk in (
        *(identity, names, tracking, paging, polling, queues, threads),
        *(executions, jobs, beside, copies, mails, order, reads, stacks, speed),
        bodies,
    ):
        quirk.install()
    outward.install()
