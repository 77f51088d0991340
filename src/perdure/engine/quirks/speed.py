"""Work moto repeats in every call though its result never changes.

Measured with ``bench/run.py``: listing a response class' methods by inspection
costs a fifth of a call.  The answer depends on the class alone.
"""

from __future__ import annotations

from functools import cache

import moto.core.responses
import moto.core.utils


def install() -> None:
    """Remember what depends on a class or a name alone."""
    moto.core.responses.method_names_from_class = cache(moto.core.utils.method_names_from_class)
    moto.core.responses.camelcase_to_underscores = cache(moto.core.utils.camelcase_to_underscores)
