"""The status of a Connection whose tokens Lanyard makes itself: an application, with nothing to fetch or to publish."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lanyard.api.connection import ConnectionSpec
from lanyard.errors import LanyardError
from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Status, Verdict, fails, holds, merged, summary


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """What one pass knows. `problem` is why nobody can have a token of it."""

    generation: int
    client_id: str
    suspended: bool
    problem: LanyardError | None


def field_without_meaning(spec: ConnectionSpec) -> str | None:
    """The first field of a spec that only a sign-in needs, in the words of the YAML; None for a sound one."""
    for name in sorted(spec.auth.model_fields_set):
        return f"auth.{type(spec.auth).model_fields[name].alias}"
    for field, given in (
        ("credentials", spec.credentials),
        ("parameters", spec.parameters),
        ("secret.name", spec.secret.name),
        ("verify", spec.verify),
    ):
        if given:
            return field
    return None


def application_status(
    previous: Mapping[str, Any], view: ApplicationView, now: datetime
) -> tuple[Status, list[Verdict]]:
    """The status to write, and its verdicts for Events. What speaks of tokens and Secrets is left out."""
    usable = None
    if view.problem is None and not view.suspended:
        usable = holds(Condition.READY, Reason.TOKENS_BY_EXCHANGE, client=view.client_id)
    verdicts = summary(usable=usable, blocker=view.problem, waiting=Reason.SUSPENDED)
    if view.problem is None:
        verdicts.append(holds(Condition.SPEC_VALID, Reason.VALID))
    elif view.problem.condition is Condition.SPEC_VALID:
        verdicts.append(fails(Condition.SPEC_VALID, view.problem))
    status: Status = {
        "observedGeneration": view.generation,
        "conditions": merged(previous.get("conditions") or (), verdicts, view.generation, now),
        "clientId": view.client_id,
    }
    return status, verdicts
