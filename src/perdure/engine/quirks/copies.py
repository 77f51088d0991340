"""KMS: a key and its replicas in other regions share what moto lets them share.

moto makes a replica with a shallow copy, so both keys hold the very same dicts: the
list of replicas, for one.  A plain dict has no identity that a state file could
carry from one store to another.  As objects of a class of their own they have.
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

    # State names its classes by module; a look-up there finds this one.
    Shared.__module__, Shared.__qualname__ = module.__name__, "Shared"
    module.Shared = Shared

    def copy_key(value: Any) -> Any:
        if isinstance(value, module.Key):
            attributes = value.__dict__
            for name, held in list(attributes.items()):
                if type(held) is dict:
                    attributes[name] = Shared(held)
        return copy.copy(value)

    module.copy = copy_key
