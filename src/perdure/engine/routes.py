"""Which operation a REST request names, at the cost of a dictionary and a pattern.

REST services say in method, path and query what they want.  moto's router knows, and
takes 30 to 200 us for it.  Here the model's routes are compiled once per service, by
method and number of path segments, and whatever is not plain is left to nobody:

    one path template and no other matches the path, label by label
    one operation of that template has all its required query arguments and headers
    no query argument is there that the operation does not have

What is not plain has no name here; the caller takes it for a write.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from perdure.engine.calls import Call

LABEL = re.compile(r"\{([^}]+)\}")
# What signs a request or names it for logs, in any service's query.
OF_ANY = frozenset({"x-id", "AWSAccessKeyId", "Signature", "Expires"})
SIGNING = "x-amz-"
# A greedy label takes any number of segments.
ANY_NUMBER = -1


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of a REST service.

    Attributes:
        operation: Its name.
        template: The path of the model.
        path: What the path must look like, as it came, percent-encoded.
        needs: Query arguments it must have; with a value where the model gives one.
        needs_headers: Names in lower case.
        takes: Query arguments it may have; None for any.
    """

    operation: str
    template: str
    path: re.Pattern[str]
    needs: tuple[tuple[str, str | None], ...]
    needs_headers: tuple[str, ...]
    takes: frozenset[str] | None

    @property
    def weight(self) -> int:
        """The more a route demands, the better it fits what has all that."""
        return len(self.needs) + len(self.needs_headers)

    def fits(self, arguments: dict[str, str], headers: set[str]) -> bool:
        """Whether all is there that the route demands."""
        return all(
            name in arguments and value in (None, arguments[name]) for name, value in self.needs
        ) and all(name in headers for name in self.needs_headers)

    def takes_all(self, arguments: dict[str, str]) -> bool:
        """Whether nothing is there that the operation does not have."""
        return self.takes is None or all(
            name in self.takes or name in OF_ANY or name.lower().startswith(SIGNING)
            for name in arguments
        )


def route_of(call: Call) -> str | None:
    """The operation a REST request names beyond doubt, or None."""
    candidates = [route for route in _by_length(call) if route.path.fullmatch(call.path)]
    if len({route.template for route in candidates}) != 1:
        return None
    arguments = dict(parse_qsl(call.query, keep_blank_values=True)) if call.query else {}
    headers = {name for name, _ in call.headers}
    fitting = [route for route in candidates if route.fits(arguments, headers)]
    best = max((route.weight for route in fitting), default=0)
    found = [route for route in fitting if route.weight == best]
    return found[0].operation if len(found) == 1 and found[0].takes_all(arguments) else None


def _by_length(call: Call) -> list[Route]:
    """Routes whose paths have as many segments; a slash at the end may be one too many."""
    routes = _routes(call.service.name)
    count = call.path.count("/")
    found = [*routes.get((call.method, count), ()), *routes.get((call.method, ANY_NUMBER), ())]
    if call.path.endswith("/"):
        found += routes.get((call.method, count - 1), ())
    return found


@cache
def _routes(service: str) -> dict[tuple[str, int], tuple[Route, ...]]:
    """A service's routes by method and number of segments, from its model."""
    from moto.core.utils import get_service_model

    model = get_service_model(service)
    found: dict[tuple[str, int], list[Route]] = defaultdict(list)
    for name in model.operation_names:
        operation = model.operation_model(name)
        route = _route(operation)
        count = ANY_NUMBER if "+}" in route.template else route.template.count("/")
        found[operation.http["method"], count].append(route)
    return {key: tuple(routes) for key, routes in found.items()}


def _route(operation: Any) -> Route:
    template, _, query = operation.http["requestUri"].partition("?")
    needs: dict[str, str | None] = {
        name: value or None for name, value in parse_qsl(query, keep_blank_values=True)
    }
    takes: set[str] | None = set(needs)
    headers = []
    members = operation.input_shape.members if operation.input_shape else {}
    required = operation.input_shape.required_members if operation.input_shape else ()
    for name, shape in members.items():
        where = shape.serialization.get("location")
        key = shape.serialization.get("name", name)
        if where == "querystring" and shape.type_name == "map":
            takes = None
        elif where == "querystring":
            takes = None if takes is None else takes | {key}
            if name in required:
                needs.setdefault(key, None)
        elif where == "header" and name in required:
            headers.append(key.lower())
    return Route(
        operation.name,
        template,
        _path(template),
        tuple(needs.items()),
        tuple(headers),
        None if takes is None else frozenset(takes),
    )


def _path(template: str) -> re.Pattern[str]:
    parts = LABEL.split(template.rstrip("/") or "")
    pattern = "".join(
        (".+" if part.endswith("+") else "[^/]+") if index % 2 else re.escape(part)
        for index, part in enumerate(parts)
    )
    # A key that ends in a slash is another key; a label that takes one segment has none.
    return re.compile(pattern if template.endswith("+}") else f"{pattern}/?")
