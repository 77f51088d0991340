"""What the state codec costs: capture and load of large stores.

Fills moto's stores directly, so no HTTP is measured.  Prints, per kind of content,
the time to capture (beside a plain pickle of the same store where that works, as
the floor), the size on disk, and the time to load.

Bias: the stores are regular; real ones hold more kinds of objects.  Seconds depend
on the machine, so compare the columns, not runs.

    python bench/codec.py [COUNT]
"""

from __future__ import annotations

import gc
import pickle
import sys
import time
from pathlib import Path
from typing import Any

from perdure.engine.capture import capture
from perdure.engine.core import Engine
from perdure.engine.policy import import_table
from perdure.engine.stores import STORES
from perdure.persistence import statefile
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.statefile import StateFile

ACCOUNT = "000000000000"


def fill_dynamodb(count: int) -> StoreKey:
    store: Any = import_table("dynamodb")[ACCOUNT]["us-east-1"]
    store.create_table(
        name="t",
        schema=[{"AttributeName": "k", "KeyType": "HASH"}],
        attr=[{"AttributeName": "k", "AttributeType": "S"}],
        throughput=None,
        billing_mode="PAY_PER_REQUEST",
        indexes=[],
        global_indexes=[],
        streams=None,
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
        warm_throughput=None,
    )
    for number in range(count):
        item = {"k": {"S": f"key-{number:08d}"}, "v": {"S": "x" * 50}, "n": {"N": str(number)}}
        store.get_table("t").put_item(item)
    return StoreKey("dynamodb", ACCOUNT, "us-east-1")


def fill_sqs(count: int) -> StoreKey:
    store: Any = import_table("sqs")[ACCOUNT]["us-east-1"]
    queue = store.create_queue("q", {})
    from moto.sqs.models import Message

    for number in range(count):
        queue._messages.append(Message(f"id-{number}", "body" * 10, {}))
    return StoreKey("sqs", ACCOUNT, "us-east-1")


def fill_s3(count: int) -> StoreKey:
    store: Any = import_table("s3")[ACCOUNT]["aws"]
    store.create_bucket("bucket", "us-east-1")
    for number in range(count):
        store.put_object("bucket", f"key-{number:08d}", b"x" * 1024)
    return StoreKey("s3", ACCOUNT, "aws")


def timed(work: Any) -> tuple[float, Any]:
    gc.collect()
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def measure(name: str, key: StoreKey) -> None:
    store = STORES.find(key)
    assert store is not None
    try:
        plain, _ = timed(lambda: pickle.dumps(store.__dict__, 5))
    except Exception as error:  # noqa: BLE001 - that plain pickle fails is the point
        plain = float("nan")
        print(f"  plain pickle fails: {error!r}"[:100])
    seconds, captured = timed(lambda: capture({key}, {}))
    if captured.failed:
        raise captured.failed[key]
    graph = captured.graphs[key]
    path = Path(f"{name}.state")
    packing, data = timed(lambda: statefile.encode(StateFile(key, Lsn(1), {}, graph)))
    engine_shares = {key: graph.shares}
    STORES.forget(key)
    ENGINE.know(
        engine_shares, lambda _: (statefile.decode(data, path=path), path), print, last_id=0
    )
    loading, _ = timed(lambda: ENGINE.load(key))
    print(
        f"{name:10} plain {plain:6.2f} s  capture {seconds:6.2f} s  pack {packing:5.2f} s  "
        f"load {loading:6.2f} s  raw {len(graph.payload) / 1e6:7.1f} MB  "
        f"on disk {len(data) / 1e6:6.1f} MB"
    )


ENGINE = Engine()

if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{wanted} entries each")
    measure("sqs", fill_sqs(wanted))
    measure("dynamodb", fill_dynamodb(wanted))
    measure("s3", fill_s3(min(wanted, 20_000)))
