"""Stub until merged."""

from perdure.engine.calls import Call


def is_read(call: Call) -> bool:
    return call.operation.startswith(
        ("Get", "List", "Describe", "Head", "Query", "Scan")
    ) or call.method in ("GET", "HEAD")
