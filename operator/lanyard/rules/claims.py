"""Whether the further claims of a JWT are as a FederatedCredential wants them. Only for claims whose signature is good.

Text is compared as it is; numbers and true/false by their JSON text, so that `equals: "42"` holds for 42 and for "42";
a number with a fraction or an exponent reads as 1.5 or 42.0 does. Null, lists and objects never fit, whatever they
contain: a list that happens to contain the value says something else than the value.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lanyard.api.federation import ClaimRule

_MISSING: Any = object()
_SEPARATORS = re.compile("([/:])")


def broken_rule(rules: Sequence[ClaimRule], verified_claims: Mapping[str, Any]) -> ClaimRule | None:
    """The first rule that does not hold; None when all do."""
    return next((rule for rule in rules if not _holds(rule, _text(_claim(verified_claims, rule.claim)))), None)


def _holds(rule: ClaimRule, value: str | None) -> bool:
    """A rule without any of the three, which the schema refuses, holds for nothing."""
    if value is None:
        return False
    if rule.equals is not None:
        return value == rule.equals
    if rule.any_of is not None:
        return value in rule.any_of
    return rule.glob is not None and fits(rule.glob, value)


def fits(glob: str, value: str) -> bool:
    """Whether the whole value fits. `*` is any run of characters, also none, but `/` and `:`.

    As no `*` reaches over a separator, both have the same ones in the same places, and what lies between them is
    matched piece by piece: no backtracking, whatever the pattern.
    """
    wanted, given = _SEPARATORS.split(glob), _SEPARATORS.split(value)
    return len(wanted) == len(given) and all(map(_piece_fits, wanted, given))


def _piece_fits(glob: str, value: str) -> bool:
    first, *rest = glob.split("*")
    if not rest:
        return value == first
    *middle, last = rest
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        at = value.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """By name; where there is none of that name, by JSON Pointer (RFC 6901). Names with slashes are common: URLs."""
    if name in claims:
        return claims[name]
    if not name.startswith("/"):
        return _MISSING
    here: Any = claims
    for step in name[1:].split("/"):
        member = step.replace("~1", "/").replace("~0", "~")
        # Not into lists: the place of an element says nothing that one could rely on.
        if not isinstance(here, Mapping) or member not in here:
            return _MISSING
        here = here[member]
    return here


def _text(value: Any) -> str | None:
    """What is compared; None for what never fits."""
    match value:
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            return None
