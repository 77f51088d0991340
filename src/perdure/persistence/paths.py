"""Where in a graph an object hangs, for messages about objects that cannot be saved."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

OBJECTS_MAX = 2_000_000
_LEAVES = (str, bytes, int, float, bool, type(None))


def find_path(root: Any, target: Any) -> str:
    """The shortest path from ``root`` to ``target``, such as ``.queues['a']._lock``.

    Breadth first and bounded; ``(unknown path)`` when it was not met within
    ``OBJECTS_MAX`` objects, for example behind a C type that hides its content.
    """
    queue: collections.deque[tuple[Any, str]] = collections.deque([(root, "")])
    seen = {id(root)}
    while queue and len(seen) < OBJECTS_MAX:
        value, path = queue.popleft()
        for step, child in _children(value):
            if child is target:
                return path + step
            if type(child) not in _LEAVES and id(child) not in seen:
                seen.add(id(child))
                queue.append((child, path + step))
    return "(unknown path)"


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in dict.items(value):
            yield f"[{str(key)[:40]!r}]", item
            yield f"<key {str(key)[:40]!r}>", key
    elif isinstance(value, list | tuple | collections.deque):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        for item in value:
            yield "{}", item
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        for name, item in attributes.items():
            yield f".{name}", item
