"""A Connection as the API server gives it, read for people: its conditions, and the one next step they lead to."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lanyard.api.connection import GRANT_METHODS
from lanyard.api.meta import GROUP
from lanyard.entry.plugin.explain import shown
from lanyard.entry.plugin.faults import PluginError
from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Reason

KIND = f"connections.{GROUP}"
NEVER_WRONG = frozenset({"Reconciling", "Stalled"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `since` is RFC 3339."""

    type: str
    status: str
    reason: str
    message: str
    since: str


def conditions(one: Mapping[str, Any]) -> dict[str, Condition]:
    """By type; empty before the operator has looked at the object."""
    found = (
        Condition(
            type=str(raw.get("type", "")),
            status=str(raw.get("status", "")),
            reason=str(raw.get("reason", "")),
            message=str(raw.get("message", "")),
            since=str(raw.get("lastTransitionTime", "")),
        )
        for raw in one.get("status", {}).get("conditions", ())
    )
    return {condition.type: condition for condition in found}


def is_ready(one: Mapping[str, Any]) -> bool:
    """Ready for the spec as it is now: a status of an older generation says nothing."""
    ready = conditions(one).get("Ready")
    seen = one.get("status", {}).get("observedGeneration", -1)
    return ready is not None and ready.status == "True" and seen == one["metadata"].get("generation", seen)


def link_of(one: Mapping[str, Any]) -> tuple[str, str] | None:
    """(namespace, name) of the Connection that a link follows; None for one that is no link."""
    link = one.get("spec", {}).get("linkTo")
    return (str(link.get("namespace", "")), str(link.get("name", ""))) if link else None


def refuse_link(one: Mapping[str, Any], verb: str) -> None:
    """PluginError for a link: it has no access of its own to `verb`."""
    source = link_of(one)
    if source is not None:
        namespace, name = source
        raise PluginError(
            f"{one['metadata']['name']} is a link and has no access of its own to {verb}.",
            cause=f"it follows the Connection {name} in {namespace}",
            step=f"kubectl lanyard {verb} {name} -n {namespace}",
        )


def summary(one: Mapping[str, Any]) -> str:
    """`ready: TokenPublished`, `not ready: GrantRevoked, stalled`."""
    found = conditions(one)
    ready = found.get("Ready")
    if ready is None:
        return "not looked at yet"
    words = ["ready" if ready.status == "True" else "not ready", ": ", ready.reason]
    if "Stalled" in found:
        words.append(", stalled")
    elif "Reconciling" in found:
        words.append(", in progress")
    if one["status"].get("observedGeneration") != one["metadata"].get("generation"):
        words.append(" (of an older spec)")
    return "".join(words)


def wrong(one: Mapping[str, Any]) -> Iterator[Condition]:
    """Conditions that are false, the summary first. What is not known is not wrong."""
    found = conditions(one)
    for condition in sorted(found.values(), key=lambda condition: condition.type != "Ready"):
        if condition.type not in NEVER_WRONG and condition.status == "False":
            yield condition


def next_step(one: Mapping[str, Any]) -> str:
    """Exactly one thing to do; a command where there is one."""
    name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
    cause = next(wrong(one), None)
    if not conditions(one):
        return "kubectl lanyard check: the operator has not looked at this object yet."
    if cause is None:
        return "Nothing to do."
    if asks_for_consent(one, cause):
        return f"someone with access runs: kubectl lanyard authorize {name} -n {namespace}"
    _, hint = halves(cause)
    return hint


def asks_for_consent(one: Mapping[str, Any], cause: Condition) -> bool:
    """What a new consent cures: the fact `Authorized` is false, or Ready says so in its words."""
    method = one.get("spec", {}).get("auth", {}).get("method")
    if method not in GRANT_METHODS and "authorizationURL" not in one.get("status", {}):
        return False
    authorized = conditions(one).get("Authorized")
    return cause.reason == "AuthorizationRequired" or (authorized is not None and authorized.status == "False")


def halves(condition: Condition) -> tuple[str, str]:
    """What happened and the next step: the operator writes both into one message."""
    try:
        entry = CATALOGUE[Reason(condition.reason)]
    except (ValueError, KeyError):
        return condition.message, f"kubectl lanyard explain {condition.reason}"
    pieces = re.split(r"\{\w+\}", entry.message)
    pattern = ".+?".join(re.escape(piece) for piece in pieces)
    match = re.fullmatch(f"({pattern}) (.+)", condition.message)
    if match is None or match[2].endswith("…"):
        return condition.message, shown(entry.hint)
    return match[1], match[2]
