"""Stand-ins for classes that moto dropped together with the attributes that held them.

Their objects must become something while a file is read; a row of ``migrations``
then takes them out of the state.
"""

from __future__ import annotations

from typing import Any


class GoneDict(dict[Any, Any]):
    """An object of a class that derived from dict."""


class GoneList(list[Any]):
    """An object of a class that derived from list."""
