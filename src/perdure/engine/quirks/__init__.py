"""What has to be different from moto: one small module a concern, each with its reason.

identity    region, account and key come from the gateway's classification
names       links that are handed out lead here, not to AWS
tracking    moto keeps every model object ever made, and every message of a topic
polling     a poll that would wait is parked by the gateway instead
paging      page tokens hold in the next process, too
threads     moto's threads run under the engine lock
executions  Step Functions' state machines really run
jobs        a Batch job that fails says why
timers      SWF timers go on after a restart
copies      a KMS key and its replicas share what moto lets them share
order       sets whose order reaches an answer keep it
displays    the same, for sets that are written as displays; no answer tells of memory
adopting    what grows without bound becomes a collection when it is made
bodies      large bodies of S3's objects lie in blobs
beside      what moto keeps beside its model becomes part of it
mails       a sent mail keeps its time, and text and HTML apart
queues      SQS finds messages by an index (waiting), not by passing over all of them
lookups     Kinesis, Logs, SSM and IAM look up by key what moto looks for among all
tables      DynamoDB looks at the items that are asked for, not at all of them
transactions  a DynamoDB transaction keeps what it may have to undo, not each table
buckets     S3 lists a page by looking at its keys, not at all keys of the bucket
reads       what a read notes though nobody asks for it is not noted
stacks      CloudFormation by change sets, and resource types moto leaves out
direct      the way of a request through moto's response class, where it is short
members     the members of an answer are found and written by one loop
speed       work moto repeats in every call though it never changes
"""

from __future__ import annotations

from perdure.engine import doors, imports, outward, pins
from perdure.engine.quirks import (
    adopting,
    beside,
    bodies,
    buckets,
    copies,
    direct,
    displays,
    executions,
    identity,
    jobs,
    lookups,
    mails,
    members,
    names,
    order,
    paging,
    polling,
    queues,
    reads,
    speed,
    stacks,
    tables,
    threads,
    tracking,
    transactions,
)


def install() -> None:
    """Put all of them in place.  Once per process, before any call."""
    pins.install()
    imports.watch()
    doors.install()
    for quirk in (
        # Polling goes around what queues puts in place.
        *(identity, names, tracking, paging, queues, polling, threads),
        # As reads goes around buckets.
        *(executions, jobs, beside, copies, displays, mails, order, buckets, reads, stacks),
        *(speed, members, direct),
        *(tables, transactions, lookups, bodies, adopting),
    ):
        quirk.install()
    outward.install()
