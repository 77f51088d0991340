"""KMS: a key and its replicas in other regions share what moto lets them share.

moto makes a replica with a shallow copy, so both keys hold the very same dicts and
lists: replicas and rotations, for two.  A plain dict or list has no identity that a
state file could carry from one store to another.  As objects of a class of their own
they have.
"""

from __future__ import annotations

import copy
from typing import Any

from perdure.engine.imports import after_import


def install() -> None:
    """Let keys that are replicated share objects instead of plain dicts."""
    after_import("moto.kms.models", _kms)


def _kms(module: Any) -> None:
    class Shared(dict[Any, Any]):
        """A dict that two keys hold."""

    class SharedList(list[Any]):
        """A list that two keys hold."""

    for cls in (Shared, SharedList):
        # State names its classes by module; a look-up there finds these.
        cls.__module__, cls.__qualname__ = module.__name__, cls.__name__
        setattr(module, cls.__name__, cls)
    kinds: dict[Any, Any] = {dict: Shared, list: SharedList}

    def copy_key(value: Any) -> Any:
        if isinstance(value, module.Key):
            attributes = value.__dict__
            for name, held in list(attributes.items()):
                if type(held) in kinds:
                    attributes[name] = kinds[type(held)](held)
        return copy.copy(value)

    module.copy = copy_key
