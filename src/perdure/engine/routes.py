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
        needs: Query arguments it must have.
        values: Of these, those the model gives a value.
        headers: Headers it must have, in lower case.
        takes: Query arguments it may have; None for any.
        weight: The more a route demands, the better it fits what has all that.
    """

    operation: str
    needs: frozenset[str]
    values: tuple[tuple[str, str], ...]
    headers: frozenset[str]
    takes: frozenset[str] | None
    weight: int

    def fits(self, arguments: dict[str, str], call: Call) -> bool:
        """Whether all is there that the route demands."""
        return (
            self.needs <= arguments.keys()
            and all(arguments[name] == value for name, value in self.values)
            and (not self.headers or self.headers <= {name for name, _ in call.headers})
        )

    def takes_all(self, arguments: dict[str, str]) -> bool:
        """Whether nothing is there that the operation does not have."""
        return self.takes is None or all(
            name in self.takes or name in OF_ANY or name.lower().startswith(SIGNING)
            for name in arguments
        )


@dataclass(frozen=True, slots=True)
class Template:
    """The operations of one path, those first that demand most."""

    path: re.Pattern[str]
    routes: tuple[Route, ...]
    # Those that need nothing of the query: a request without one asks no others.
    bare: tuple[Route, ...]


def route_of(call: Call) -> str | None:
    """The operation a REST request names beyond doubt, or None."""
    found = [each for each in _by_length(call) if each.path.fullmatch(call.path)]
    if len(found) != 1:
        return None
    if call.query:
        arguments, routes = dict(parse_qsl(call.query, keep_blank_values=True)), found[0].routes
    else:
        arguments, routes = {}, found[0].bare
    fitting = [route for route in routes if route.fits(arguments, call)]
    if not fitting or not fitting[0].takes_all(arguments):
        return None
    # Nothing in a GET tells two such apart: moto takes the first, as it does of S3's two
    # lists of buckets.
    is_tie = len(fitting) > 1 and fitting[0].weight == fitting[1].weight
    return None if is_tie and call.method not in ("GET", "HEAD") else fitting[0].operation


def methods_of(service: str, operations: frozenset[str]) -> frozenset[str]:
    """The HTTP methods by which a REST service's operations may come."""
    return frozenset(
        method
        for (method, _), templates in _templates(service).items()
        for template in templates
        for route in template.routes
        if route.operation in operations
    )


def _by_length(call: Call) -> list[Template]:
    """Paths with as many segments; a slash at the end may be one too many."""
    templates = _templates(call.service.name)
    count = call.path.count("/")
    found = [
        *templates.get((call.method, count), ()),
        *templates.get((call.method, ANY_NUMBER), ()),
    ]
    if call.path.endswith("/"):
        found += templates.get((call.method, count - 1), ())
    return found


@cache
def _templates(service: str) -> dict[tuple[str, int], list[Template]]:
    """A service's paths by method and number of segments, from its model."""
    from moto.core.utils import get_service_model

    model = get_service_model(service)
    routes: dict[tuple[str, str], list[Route]] = defaultdict(list)
    for name in model.operation_names:
        operation = model.operation_model(name)
        template, _, query = operation.http["requestUri"].partition("?")
        routes[operation.http["method"], template].append(_route(operation, query))
    found: dict[tuple[str, int], list[Template]] = defaultdict(list)
    for (method, template), of_path in routes.items():
        count = ANY_NUMBER if "+}" in template else template.count("/")
        of_path.sort(key=lambda route: -route.weight)
        bare = tuple(route for route in of_path if not route.needs)
        found[method, count].append(Template(_path(template), tuple(of_path), bare))
    return dict(found)


def _route(operation: Any, query: str) -> Route:
    given = dict(parse_qsl(query, keep_blank_values=True))
    needs, takes, headers = set(given), set(given), set()
    takes_any = False
    members = operation.input_shape.members if operation.input_shape else {}
    required = operation.input_shape.required_members if operation.input_shape else ()
    for name, shape in members.items():
        where = shape.serialization.get("location")
        key = shape.serialization.get("name", name)
        if where == "querystring":
            takes_any |= shape.type_name == "map"
            takes.add(key)
            if name in required:
                needs.add(key)
        elif where == "header" and name in required:
            headers.add(key.lower())
    return Route(
        operation.name,
        frozenset(needs),
        tuple((name, value) for name, value in given.items() if value),
        frozenset(headers),
        None if takes_any else frozenset(takes),
        # As moto weighs them: of two alike the one that is not deprecated goes first.
        2 * (len(needs) + len(headers)) - bool(operation.deprecated),
    )


def _path(template: str) -> re.Pattern[str]:
    parts = LABEL.split(template.rstrip("/"))
    pattern = "".join(
        (".+" if part.endswith("+") else "[^/]+") if index % 2 else re.escape(part)
        for index, part in enumerate(parts)
    )
    # A key that ends in a slash is another key; a label that takes one segment has none.
    return re.compile(pattern if template.endswith("+}") else f"{pattern}/?")
