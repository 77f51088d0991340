"""Parameters for an operation, from nothing but its model and what was answered so far.

Where a value comes from, first match first: the table of given parameters; a fresh
name where the operation makes something; an enum; an id that was answered; a value
well known by its member's name (a CIDR, a policy); the pattern; the plain type.

Variants differ in the optional members: 0 has none, 1 all that are simple, 2 and 3
each a half of these, for operations that refuse members in company.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.coverage import patterns
from tests.coverage.feed import Feed
from tests.coverage.words import GENERIC, Phase, kin, phase_of, plain, verb_and_noun

VARIANTS = 4
# How often a structure may stand inside itself.
INSIDE_ITSELF_MAX = 1
OPTIONAL_MAX = 14
INNER_MAX = 5
# A port nobody listens on: what goes out is refused at once.
NOWHERE = "http://127.0.0.1:9/sweep"
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
    }
)
TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
# Optional members that change what a call is, or make it wait.
NEVER_OPTIONAL = re.compile(
    r"dryrun|.*token|.*marker|max(result|item|record|key|upload)|limit|pagesize|filter|"
    r"expectedbucketowner|.*(md5|checksum.*|crc.*|sha1|sha256)|if(none)?match|if(un)?modifiedsince|"
    r"contentlength|ssecustomer.*|copysourcessecustomer.*|waittimesecond|requestpayer|mfa|range|"
    r"tagspecification|bypass.*|.*sourcedb.*|source(region|account)|destinationregion|presignedurl|sourceip"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: what names can say about it."""

    service: str
    account: str
    region: str
    member: str
    nouns: tuple[str, ...]
    turn: int


def archive(_: Place | None = None) -> bytes:
    """A function's code, the same bytes every time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            zipfile.ZipInfo("index.py", (2024, 1, 1, 0, 0, 0)), "def handler(event, context): 0\n"
        )
    return content.getvalue()


def _arn(place: Place) -> str:
    noun = re.sub("arns?$", "", plain(place.member)) or place.nouns[0]
    prefix = f"arn:aws:{place.service}:{place.region}:{place.account}:"
    return f"{prefix}{noun}/sweep-{place.turn}"


# Plain names and what stands there; the first that matches the whole name counts.
KNOWN: tuple[tuple[str, Any], ...] = (
    (r"(aws|owner|target|member|admin|administrator|source)?account(id)?|.*accountid", "account"),
    (r"registryid|catalogid|owner(id)?|.*ownerid", "account"),
    (r".*principal(arn)?", lambda p: f"arn:aws:iam::{p.account}:root"),
    (r"rolesessionname", "sweep"),
    (r".*role(arn)?", lambda p: f"arn:aws:iam::{p.account}:role/sweep-role"),
    (r".*(policydocument|policytext|policyjson)|(resource|access|queue|key)?policy", POLICY),
    (r"templatebody", TEMPLATE),
    (r"eventpattern", json.dumps({"source": ["sweep"]})),
    (r".*arn", _arn),
    (r"(source|target|destination|home)?region(name)?", "region"),
    (r"availabilityzone(name)?", lambda p: p.region + "a"),
    (r".*ipv6cidr.*", "2001:db8::/64"),
    (r".*cidr.*", lambda p: f"10.0.{p.turn}.0/24"),
    (r"(.*ip(v4)?)?address|.*ip", lambda p: f"10.0.0.{10 + p.turn}"),
    (r".*email(address)?|source$|fromaddress", lambda p: f"sweep{p.turn}@example.com"),
    (r"phonenumber|.*phone", "+12065550100"),
    (r".*(password|passphrase)", "Sweep-Passw0rd!"),
    (r".*(ur[li]|endpoint)", NOWHERE),
    (r"hostedzonename|(custom|fullyqualified|base)?domain(name)?|hostname|fqdn", "domain"),
    (r"zipfile", archive),
    (r"(s3)?bucket(name)?|s3bucket.*", lambda p: f"sweep-{p.account}-{p.turn}"),
    (r"(s3|object)?key|s3.*key|objectname", "sweep"),
    (r"tagkey", "stage"),
    (r"tagvalue", "sweep"),
    (r"protocol", "tcp"),
    (r"handler", "index.handler"),
    (r"engine", "mysql"),
    (r"engineversion", "8.0.36"),
    (r".*port", 8080),
    (r"(db|cache)?(instance|node)(class|type)", lambda p: INSTANCE_TYPES.get(p.service)),
    (r"masteruser(name)?", "sweeper"),
    (r"(allocated|volume)?(storage|size)(ingib|ingb)?", 20),
    (r"(retention)?(period|day)?(inday|ind)?|.*retentionperiod", 7),
    (r"principalid|sid|statementid", lambda p: f"sweep{p.turn}"),
    (r"(schedule)?expression", "rate(5 minutes)"),
)
INSTANCE_TYPES = {
    "rds": "db.t3.micro",
    "docdb": "db.t3.medium",
    "neptune": "db.t3.medium",
    "elasticache": "cache.t3.micro",
    "redshift": "ra3.large",
    "memorydb": "db.t4g.small",
    "ec2": "t3.micro",
    "autoscaling": "t3.micro",
}


def known(place: Place) -> Any:
    """What is well known to stand under a member of that name, or None."""
    name = plain(place.member)
    for pattern, value in KNOWN:
        if re.fullmatch(pattern, name):
            if callable(value):
                return value(place)
            words = {
                "account": place.account,
                "region": place.region,
                "domain": f"sweep{place.turn}.example.com",
            }
            return words.get(value, value) if isinstance(value, str) else value
    return None


@dataclass(slots=True)
class Synthesis:
    """Makes parameters for the operations of one service in one account.

    Attributes:
        given: Parameters by operation that nothing could guess.
        provide: Asked for a plain name nothing was fed under; may feed it.
    """

    service: str
    account: str
    region: str
    feed: Feed
    now: dt.datetime
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provide: Callable[[tuple[str, ...]], bool] = lambda _: False

    def parameters(self, operation: Any, *, variant: int = 0, turn: int = 0) -> dict[str, Any]:
        """Parameters that the model accepts; members given by hand replace those."""
        if operation.input_shape is None:
            return {}
        work = _Call(self, operation.name, variant, turn)
        made = work.structure(operation.input_shape, (work.noun,), depth=0)
        given = self.given.get(operation.name, {})
        made |= filled(dict(given), self.account, turn)
        return {name: value for name, value in made.items() if value is not None}


def names_it(member: str, noun: str) -> bool:
    """Whether a member names what the operation is about: ``Name``, or ``RoleName`` of a role."""
    own = plain(member)
    if own.endswith("arn"):
        return False
    stems = {own, *(own.removesuffix(end) for end in ("identifier", "name", "id"))}
    return own in GENERIC or any(len(stem) > 3 and noun.endswith(stem) for stem in stems)


def filled(value: Any, account: str, turn: int) -> Any:
    """Given parameters with ``{account}`` and ``{turn}`` replaced, however deep."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return type(value)(**filled(parts, account, turn))
    if isinstance(value, str):
        return value.replace("{account}", account).replace("{turn}", str(turn))
    if isinstance(value, dict):
        return {filled(k, account, turn): filled(v, account, turn) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(part, account, turn) for part in value]
    return value


class _Call:
    """One operation's parameters while they are made."""

    def __init__(self, synthesis: Synthesis, operation: str, variant: int, turn: int) -> None:
        self.of, self.variant, self.turn = synthesis, variant, turn
        self.phase = phase_of(operation)
        self.around: list[str] = []
        _, self.noun = verb_and_noun(operation)

    # ------------------------------------------------------------ containers

    def structure(self, shape: Any, nouns: tuple[str, ...], depth: int) -> dict[str, Any]:
        members = dict(shape.members)
        if getattr(shape, "is_tagged_union", False):
            chosen = list(members)[self.turn % len(members)]
            return {chosen: self.value(members[chosen], chosen, nouns, depth + 1)}
        wanted = [*shape.required_members, *self.optional(shape, members, nouns, depth)]
        return {
            name: self.value(members[name], name, nouns, depth + 1)
            for name in dict.fromkeys(wanted)
            if name in members
        }

    def optional(
        self, shape: Any, members: dict[str, Any], nouns: tuple[str, ...], depth: int
    ) -> list[str]:
        """Optional members that this variant has."""
        names = [
            name
            for name in members
            if name not in shape.required_members and self._may_be_optional(members[name], name)
        ]
        if depth > 0:
            # A structure with nothing in it is refused more often than one with something.
            bound = INNER_MAX if not shape.required_members else 2 * (self.variant > 0)
            return [n for n in names if _is_simple(members[n])][:bound]
        if self.variant == 0:
            return []
        if self.phase in (Phase.READ, Phase.END):
            names = [n for n in names if self._fed(members[n], n, nouns) is not None]
        chosen = names[:OPTIONAL_MAX]
        return chosen if self.variant == 1 else chosen[self.variant - 2 :: 2]

    def _may_be_optional(self, shape: Any, name: str) -> bool:
        if NEVER_OPTIONAL.fullmatch(plain(name)) or shape.metadata.get("idempotencyToken"):
            return False
        return _is_simple(shape) or (shape.type_name == "structure" and len(shape.members) < 8)

    def value(self, shape: Any, name: str, nouns: tuple[str, ...], depth: int) -> Any:
        kind = shape.type_name
        if getattr(shape, "is_document_type", False):
            return {"sweep": "sweep"}
        if kind == "structure":
            if self.around.count(shape.name) > INSIDE_ITSELF_MAX:
                return {}
            self.around.append(shape.name)
            made = self.structure(shape, _inside(name, nouns), depth)
            self.around.pop()
            return made
        if kind == "list":
            return self.list(shape, name, nouns, depth)
        if kind == "map":
            key = self.scalar(shape.key, "tagkey" if "tag" in plain(name) else name, nouns)
            return {str(key): self.value(shape.value, name, nouns, depth + 1)}
        return self.scalar(shape, name, nouns)

    def list(self, shape: Any, name: str, nouns: tuple[str, ...], depth: int) -> Any:
        """One member, or as many as the model asks for; subnets come from two zones."""
        count = max(1, min(shape.metadata.get("min", 1), 3), 2 * ("subnet" in plain(name)))
        count = min(count, shape.metadata.get("max", count))
        turn, made = self.turn, []
        for self.turn in range(turn, turn + count):
            made.append(self.value(shape.member, name, nouns, depth + 1))
        self.turn = turn
        if shape.member.type_name in ("string", "integer", "long"):
            made = [*dict.fromkeys(made)]
            made += made[:1] * (shape.metadata.get("min", 1) - len(made))
        return made

    # --------------------------------------------------------------- scalars

    def scalar(self, shape: Any, name: str, nouns: tuple[str, ...]) -> Any:
        kind = shape.type_name
        if kind == "boolean":
            return not re.fullmatch(r"dryrun|(no|not|skip|disable).*", plain(name))
        if kind == "timestamp":
            return self.of.now + dt.timedelta(hours=_hours(plain(name)))
        if kind in ("integer", "long", "float", "double"):
            return self.number(shape, name, nouns)
        if kind == "blob":
            found = known(self._place(name, nouns))
            return found if isinstance(found, bytes) else b"sweep"
        return self.text(shape, name, nouns)

    def number(self, shape: Any, name: str, nouns: tuple[str, ...]) -> Any:
        found = self._fed(shape, name, nouns) if plain(name).endswith(("id", "version")) else None
        if found is None:
            found = known(self._place(name, nouns))
        if not isinstance(found, int):
            found = 1 + self.turn if plain(name) == "priority" else 1
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        found = found if low is None else max(found, low)
        found = found if high is None else min(found, high)
        return float(found) if shape.type_name in ("float", "double") else int(found)

    def text(self, shape: Any, name: str, nouns: tuple[str, ...]) -> str:
        if getattr(shape, "enum", None):
            return str(shape.enum[self.turn % len(shape.enum)])
        if nouns[0] == "tag" and plain(name) in ("key", "value"):
            return {"key": "stage", "value": "sweep"}[plain(name)]
        if self._is_new(name, nouns):
            return self.fresh(shape, name, nouns)
        found = self._fed(shape, name, nouns)
        if found is None and self.of.provide(kin(name, nouns)):
            found = self._fed(shape, name, nouns)
        if found is None:
            found = known(self._place(name, nouns))
        if isinstance(found, str):
            return found
        return self.fresh(shape, name, nouns)

    def fresh(self, shape: Any, name: str, nouns: tuple[str, ...]) -> str:
        """A text of our own: a readable one if the model accepts it."""
        limits = shape.metadata
        pattern, low = limits.get("pattern"), limits.get("min", 0)
        high = limits.get("max", 1 << 20)
        found = known(self._place(name, nouns))
        candidates = [found] if isinstance(found, str) else []
        stem = self.noun if self._is_new(name, nouns) else _stem(name, nouns)
        candidates += _candidates(stem, self.turn)
        for text in (candidate.ljust(low, "0")[:high] for candidate in candidates):
            if patterns.accepts(pattern, text):
                return text
        made = patterns.matching(pattern, low) if pattern else None
        return made if made is not None else candidates[0].ljust(low, "0")[:high]

    def _is_new(self, name: str, nouns: tuple[str, ...]) -> bool:
        """Whether the member names the very thing the operation makes."""
        return self.phase is Phase.MAKE and len(nouns) == 1 and names_it(name, self.noun)

    def _fed(self, shape: Any, name: str, nouns: tuple[str, ...]) -> Any:
        if shape.type_name == "list":
            shape = shape.member
        if shape.type_name not in ("string", "integer", "long") or getattr(shape, "enum", None):
            return None
        wanted = str if shape.type_name == "string" else int
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 1 << 30)
        pattern = shape.metadata.get("pattern")

        def has_size(value: Any) -> bool:
            size = len(value) if isinstance(value, str) else value
            return isinstance(value, wanted) and low <= size <= high

        def fits(value: Any) -> bool:
            return has_size(value) and (wanted is int or patterns.accepts(pattern, value))

        feed = self.of.feed
        found = feed.find(name, nouns, fits, turn=self.turn)
        # moto's own ids do not always fit AWS' patterns.
        return found if found is not None else feed.find(name, nouns, has_size, turn=self.turn)

    def _place(self, name: str, nouns: tuple[str, ...]) -> Place:
        of = self.of
        return Place(of.service, of.account, of.region, name, nouns, self.turn)


def _inside(name: str, nouns: tuple[str, ...]) -> tuple[str, ...]:
    """What surrounds the members of a structure: it, then the operation's noun."""
    return (plain(name), nouns[-1])


def _is_simple(shape: Any) -> bool:
    if shape.type_name == "list":
        return bool(shape.member.type_name not in ("list", "map")) and (
            shape.member.type_name != "structure" or len(shape.member.members) <= 3
        )
    if shape.type_name == "map":
        return bool(shape.value.type_name == "string")
    return bool(shape.type_name not in ("structure", "blob"))


def _hours(name: str) -> int:
    if "start" in name or "begin" in name or "from" in name:
        return -1
    return 1 if re.search("end|until|expir|to$", name) else 0


def _stem(name: str, nouns: tuple[str, ...]) -> str:
    """What a member's own name says it names; if nothing, what it stands in."""
    own = plain(name)
    if own in GENERIC:
        return nouns[0]
    ending = next((end for end in ("identifier", "name", "id") if own.endswith(end)), "")
    return own.removesuffix(ending) or nouns[0]


def _candidates(stem: str, turn: int) -> list[str]:
    stem = stem[:16]
    return [
        f"sweep-{stem}-{turn}",
        f"sweep{turn}",
        f"Sweep{turn}",
        f"sweep_{turn}",
        f"SWEEP{turn}",
        f"/sweep/{turn}",
        f"{turn + 1}",
        f"00000000-0000-4000-8000-{turn:012d}",
        f"{turn:012x}",
        "123456789012",
        NOWHERE,
        f"sweep{turn}@example.com",
        f"sweep{turn}.example.com",
        "10.0.0.0/24",
        "s3://sweep/sweep",
        "2024-01-01",
        "2024-01-01T00:00:00Z",
    ]
