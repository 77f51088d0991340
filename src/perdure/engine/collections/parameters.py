"""SSM: the parameters of a region, as rows with their JSON.

moto keeps ``ParameterDict[name]``, a list of versions, which is what a row has:

    [{"name": "/app/url", "parameter_type": "String", …, "version": 1, "value": "http://…"}]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from perdure.engine.collections.forms import Forms
from perdure.engine.collections.named import Named, OfDefaultDict
from perdure.engine.collections.tracked import Rest, Tracked
from perdure.persistence.entries import Collection
from perdure.persistence.keys import StoreKey
from perdure.persistence.source import Source

PARAMETERS = "_parameters"
KIND = "ssm.parameters"
# In the order in which ``Parameter.__init__`` sets them; ... = each has its own.
_USUAL: dict[str, Any] = {
    "account_id": ...,
    "name": ...,
    "parameter_type": ...,
    "description": None,
    "allowed_pattern": None,
    "keyid": None,
    "last_modified_date": ...,
    "version": ...,
    "data_type": "text",
    "labels": [],
    "source_result": None,
    "tier": None,
    "policies": None,
    "value": ...,
}
FORMS = Forms(
    "moto.ssm.models:Parameter",
    _USUAL,
)
# What a collection notes of itself; all else is moto's.
_OWN = frozenset({*Tracked.__annotations__, *Named.__annotations__})


@cache
def parameters_class() -> type:
    """The class of such collections; imports moto's SSM."""
    from moto.ssm.models import ParameterDict

    base: Any = object if TYPE_CHECKING else ParameterDict

    class Parameters(Named, base, OfDefaultDict):  # type: ignore[misc]
        """All parameters of a region, by name."""

        kind = KIND
        forms = FORMS
        moto_class = ParameterDict

        def bind(self, collection: Collection, home: StoreKey, source: Source | None) -> None:
            super().bind(collection, home, source)
            self.default_factory = list
            # moto may have given it more since.
            fresh = ParameterDict(self.account_id, self.region_name)
            for name, held in fresh.__dict__.items():
                self.__dict__.setdefault(name, held)

        @property
        def name(self) -> str:
            return "parameters"

        def in_graph(self, rest: Rest) -> tuple[dict[str, Any], Iterator[Any]]:
            return self.attributes(), iter(rest.items())

        def attributes(self) -> dict[str, Any]:
            """What moto has noted in it."""
            return {n: held for n, held in self.__dict__.items() if n not in _OWN}

        def bare(self) -> Any:
            made = ParameterDict.__new__(ParameterDict)
            defaultdict.__init__(made, list)
            made.__dict__ |= self.attributes()
            return made

    return Parameters


def adopt(attributes: dict[str, Any]) -> None:
    """Let a store's parameters be a collection, if they are what moto makes."""
    cls: Any = parameters_class()
    held = attributes.get(PARAMETERS)
    if type(held) is cls.moto_class:
        made = cls.__new__(cls)
        defaultdict.__init__(made, list)
        made.__dict__ |= held.__dict__
        made.adopt(held)
        attributes[PARAMETERS] = made
