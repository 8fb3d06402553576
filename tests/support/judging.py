"""What must be true of a Connection once it has recovered from what cut its flow short."""

import base64
import json
import time
from collections.abc import Iterator

from lanyard.reasons import Reason
from support.checkpoint import Moment
from support.cluster import Object, assert_conditions_coherent, conditions, is_current, status_of
from support.crash_rows import Flow
from support.effects import EXCHANGE, SYSTEM
from support.granting import Policy
from support.killing import CONSENTS, COPYING, Case, Ground

CALM_SECONDS = 30.0
"""Until then an intent is over (three times the deadline of a provider), a device code has been asked for and polled
with, and what stood in the way is done.
"""
ASKING = {"token request", "code exchange", "poll"}


def judge(ground: Ground, wave: list[Case]) -> None:
    """Wait until all is as the table says, or until the time is over; what is wrong then stays as complaints."""
    deadline = time.monotonic() + CALM_SECONDS
    for case in wave:
        while True:
            case.complaints = list(_complaints(ground, case))
            if not case.complaints or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if case.complaints:
            case.complaints += ground.checkpoint.steps(case.place)


def _complaints(ground: Ground, case: Case) -> Iterator[str]:
    if case.missed:
        yield "the step never came"
    here = ground.cluster(case)
    found = here.get("Connection", "crm") if here.exists("Connection", "crm") else None
    yield from _asked_wrongly(ground, case)
    if case.flow is Flow.DELETION:
        yield from _left_behind(ground, case, found)
        return
    if found is None:
        yield "the Connection is gone"
        return
    if not is_current(found):
        yield "the status is not that of this generation"
        return
    yield from _incoherent(found)
    if case.is_granted and case.cell.human is None and "intent" in _state(ground, found).get("data", {}):
        yield "an intent is left"
    if case.flow in CONSENTS:
        yield from _told_wrongly(ground, case)
    if case.flow in COPYING:
        yield from _copied_wrongly(ground, case)
    if case.cell.human is None:
        yield from _not_working(ground, case, found, ground.provider.newest(case.place))
    elif case.flow is Flow.NEW_CONSENT:
        yield from _not_working(ground, case, found, case.before)
    else:
        told = conditions(found).get("Authorized", {})
        if (told.get("status"), told.get("reason")) != ("False", case.cell.human.value):
            yield f"Authorized is {told}, not False for {case.cell.human.value}"


def _incoherent(found: Object) -> Iterator[str]:
    try:
        assert_conditions_coherent(found)
    except AssertionError as error:
        yield f"the conditions contradict each other: {error}"


def _asked_wrongly(ground: Ground, case: Case) -> Iterator[str]:
    seen = [one for one in ground.checkpoint.seen(case.place) if one.flow == case.flow.name and one.step in ASKING]
    asked = sum(one.moment is not Moment.REFUSED for one in seen)
    if asked != case.cell.asked:
        yield f"the provider was asked {asked} times, not {case.cell.asked}"
    if case.flow is not Flow.DEVICE and ground.provider.most_used(case.place, "code") > 1:
        yield "a code was sent twice"
    if case.policy is Policy.ROTATES and case.cell.human is None and ground.provider.most_used(case.place, "rt") > 1:
        yield "a refresh token was sent twice"


def _not_working(ground: Ground, case: Case, found: Object, expected: str) -> Iterator[str]:
    published = ground.published(case)
    token = published.get("access_token", "")
    if status_of(found, "Ready") != "True":
        yield f"not Ready: {conditions(found).get('Ready')}"
    if token != expected:
        yield "another token is published than the newest of the grant"
    if not ground.provider.accepts(token):
        yield "the provider does not take the published token"
    if found["status"].get("expiresAt") != published.get("expires_at"):
        yield "the status tells of another token than the Secret carries"


def _copied_wrongly(ground: Ground, case: Case) -> Iterator[str]:
    """What the gateway would hand out at the end."""
    copy = ground.copy(case)
    if case.flow is Flow.UNTRUSTED:
        if copy is not None:
            yield "the copy is still there"
    elif copy is None:
        yield "there is no copy"
    elif copy.access_token.reveal() != ground.published(case).get("access_token"):
        yield "the copy is of another token than the Secret carries"


def _told_wrongly(ground: Ground, case: Case) -> Iterator[str]:
    """What the page of the browser says at the end."""
    record = ground.client.get(f"/api/v1/namespaces/{EXCHANGE}/secrets/{case.record}").json()
    outcome = base64.b64decode(record.get("data", {}).get("outcome", "")).decode()
    told = json.loads(outcome)["reason"] if outcome else "nothing"
    wanted = (case.cell.page or case.cell.human or Reason.AUTHORIZED).value
    if told != wanted:
        yield f"the page says {told}, not {wanted}"


def _left_behind(ground: Ground, case: Case, found: Object | None) -> Iterator[str]:
    if found is not None:
        yield "the Connection is still there"
    names = [one["metadata"]["name"] for one in _states(ground, case.place)]
    if names:
        yield f"left in the operator's namespace: {names}"
    if ground.provider.living(case.place):
        yield "the grant lives on at the provider"


def _state(ground: Ground, found: Object) -> Object:
    state: Object = ground.client.get(f"/api/v1/namespaces/{SYSTEM}/secrets/grant-{found['metadata']['uid']}").json()
    return state


def _states(ground: Ground, place: str) -> list[Object]:
    items = ground.client.get(f"/api/v1/namespaces/{SYSTEM}/secrets").json()["items"]
    owner = f"{place}/crm"
    return [one for one in items if (one["metadata"].get("annotations") or {}).get("lanyard.dev/connection") == owner]
