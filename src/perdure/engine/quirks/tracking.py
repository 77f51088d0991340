"""moto keeps every model object ever made in a list per class, for its dashboard.

Deleted ones too, until a reset: memory without bound.  Perdure has no dashboard.
"""

from __future__ import annotations

from typing import Any

from moto.core.common_models import BaseModel


def install() -> None:
    """Make objects without noting them."""
    BaseModel.__new__ = _new


def _new(cls: type, *_: Any, **__: Any) -> Any:
    return super(BaseModel, cls).__new__(cls)
