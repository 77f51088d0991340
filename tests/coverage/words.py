"""What the names of operations and members say: verb, noun, kin.

``CreateVpc`` makes a ``Vpc`` that ``DescribeVpcs`` reads; ``PeerVpcId`` means the
``VpcId`` that ``CreateVpc`` answered.  Names are compared as lower-case words
without separators and in the singular.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import cache


def words(text: str) -> frozenset[str]:
    """A set of words."""
    return frozenset(text.split())


READ_VERBS = words(
    "Describe Get List Search BatchGet BatchDescribe Lookup Query Scan Select Head Count View "
    "Check Validate Estimate Preview Simulate Admin_Get Admin_List Filter Discover Verify"
)
END_VERBS = words(
    "Delete BatchDelete Terminate Deregister Unregister Detach Disassociate BatchDisassociate "
    "Cancel Stop Remove Untag Disable Unsubscribe Release Revoke Reset Abort Reject Purge Leave "
    "Unassign Decline Unlink Close Destroy Forget Unmonitor Unpeer Revert Undeprecate "
    "Withdraw Deprovision Deprecate Retire Empty Clear End Admin_Delete Admin_Disable"
)
MAKE_VERBS = words("Create Allocate Request Register Run Import Upload Provision")
ADD_VERBS = words("Put Add Start Publish Send Subscribe Batch Copy Restore Initiate")
# Names that say nothing without what they are of.
GENERIC = words(
    "name names id ids arn arns identifier url uri key keys alias version handle status "
    "type token value code identity resource"
)
_ENDINGS = ("identifier", "name", "id", "arn", "key")


class Phase(IntEnum):
    """When an operation is called."""

    MAKE = 0
    ADD = 1
    CHANGE = 2
    READ = 3
    END = 4


def split(name: str) -> list[str]:
    """``DBInstanceId`` -> ``[DB, Instance, Id]``; also ``snake_case`` and ``kebab-case``."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name) or [name]


@cache
def plain(name: str) -> str:
    """A name to compare by: lower case, no separators, singular."""
    return singular(re.sub(r"[^a-z0-9]", "", name.lower()))


def singular(word: str) -> str:
    """``policies`` -> ``policy``, ``addresses`` -> ``address``, ``queues`` -> ``queue``."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@cache
def verb_and_noun(operation: str) -> tuple[str, str]:
    """``BatchGetItem`` -> ``("BatchGet", "item")``; the noun is plain."""
    parts = split(operation)
    verb = parts[0]
    if verb in ("Batch", "Admin") and len(parts) > 1:
        joined = parts[0] + ("_" if verb == "Admin" else "") + parts[1]
        if joined in READ_VERBS | END_VERBS:
            return joined, plain("".join(parts[2:]))
    return verb, plain("".join(parts[1:]))


def phase_of(operation: str) -> Phase:
    """When to call the operation."""
    verb, _ = verb_and_noun(operation)
    if verb in READ_VERBS:
        return Phase.READ
    if verb in END_VERBS:
        return Phase.END
    if verb in MAKE_VERBS:
        return Phase.MAKE
    return Phase.ADD if verb in ADD_VERBS else Phase.CHANGE


def is_ending(operation: str) -> tuple[int, str]:
    """The order among ending operations: what lets go first, then what deletes."""
    verb, _ = verb_and_noun(operation)
    return (verb in ("Delete", "BatchDelete", "Terminate", "Destroy"), operation)


@cache
def kin(member: str, nouns: tuple[str, ...]) -> tuple[str, ...]:
    """Plain names a member's value may be remembered under, best first.

    Args:
        member: Such as ``PeerVpcId`` or ``Name``.
        nouns: What surrounds it: the structure it stands in, the operation's noun.
    """
    own = plain(member)
    found: list[str] = []
    if own in GENERIC:
        for noun in nouns:
            found += [noun + own, *(_other_endings(noun + own)), noun]
        # ``GetParameterHistory(Name)`` means a ``Parameter``.
        for noun in nouns:
            found += [noun[:length] + own for length in range(len(noun) - 1, 2, -1)]
    else:
        found += [own, *_other_endings(own)]
        parts = split(member)
        for start in range(1, len(parts)):
            rest = plain("".join(parts[start:]))
            if rest not in GENERIC and len(rest) > 2:
                found += [rest, *_other_endings(rest)]
    return tuple(dict.fromkeys(found))


def _other_endings(name: str) -> list[str]:
    """``vpcid`` -> ``vpcidentifier``, ``vpcname``, ...; ``bucket`` -> ``bucketname``, ..."""
    for ending in _ENDINGS:
        if name.endswith(ending) and len(name) > len(ending):
            if ending == "arn":
                return []
            stem = name.removesuffix(ending)
            return [stem + other for other in _ENDINGS if other not in (ending, "key")] + [stem]
    return [name + ending for ending in _ENDINGS if ending != "key"]
