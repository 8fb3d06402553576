"""Ask the product whether what is published works (DESIGN 5, `Verified`): after a pass, when it is time to.

1. is there a request for it, and may it be made: not while suspended, not more often than the interval
2. read back what is published, and write the request from it, as a workload would
3. take a place at the host, or come back later
4. one request; 401 speaks of the credential, 403 of a permission, every other failure of neither
5. report the condition `Verified`; a token that is refused for the first time is fetched once more
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from lanyard.api.connection import ConnectionSpec, Method
from lanyard.api.connector import MethodSpec
from lanyard.api.meta import parse_duration
from lanyard.clients.kube import Kube
from lanyard.connectors.loader import Connector
from lanyard.connectors.selection import Plan, learned_of, plan_for
from lanyard.errors import LanyardError, ProviderError
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.inputs import link_target
from lanyard.flows.keys import Key
from lanyard.flows.limits import HostLimits, Later
from lanyard.flows.published import known_version, read_back
from lanyard.flows.queue import WorkQueue
from lanyard.flows.report import Reporter
from lanyard.flows.tally import Tally, audit
from lanyard.flows.token_endpoint import TokenEndpoint
from lanyard.flows.world import Record, World
from lanyard.oauth.probes import Verdict as Answered
from lanyard.oauth.probes import api_request, verification_verdict
from lanyard.oauth.sigv4 import caller_identity_request, caller_identity_verdict
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Condition, Reason
from lanyard.rules.conditions import Verdict, holds, said
from lanyard.rules.publish import Content
from lanyard.rules.verification import (
    Published,
    due_at,
    ended_reason,
    interval_of,
    is_first_refusal,
    verdict_in,
    verified_status,
)

LOOK_AGAIN = timedelta(minutes=1)
Judge = Callable[[int, bytes], Answered]


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent, to whom, and how its answer is read."""

    request: WireRequest
    plan: Plan
    judge: Judge


class Verify:
    """The use case; one instance a process."""

    def __init__(
        self,
        *,
        kube: Kube,
        world: World,
        catalogue: Catalogue,
        endpoint: TokenEndpoint,
        limits: HostLimits,
        reporter: Reporter,
        tally: Tally,
        clock: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._world = world
        self._catalogue = catalogue
        self._endpoint = endpoint
        self._limits = limits
        self._reporter = reporter
        self._tally = tally
        self._clock = clock

    async def reconcile(self, key: Key, queue: WorkQueue) -> None:
        """Follows a pass over the same key, whose appointment it may bring forward."""
        record = self._world.get(key)
        if record is None or link_target(record) is not None:
            return
        spec, status, now = json.loads(record.spec), record.parsed_status(), self._clock()
        method = self._method(spec)
        interval = _interval(spec, method)
        if method is None or interval is None:
            if verdict_in(status) is not None:
                await self._report(record, None, now, queue)
            return
        secret = known_version(record, self._world)
        if secret is None or spec.get("suspend") or not _is_ready(status):
            return
        published = Published(status.get("inputsDigest", ""), secret.version, ended_reason(status))
        seen = Published(*record.verified) if record.verified is not None else None
        due = due_at(status, published, seen, interval, record.uid)
        if due is not None and due > now:
            record.verified = record.verified or (published.digest, published.version, published.ended)
            _bring_forward(queue, key, due)
            return
        try:
            content = await read_back(self._kube, secret)
        except LanyardError:
            content = None
        if not content:
            # Unreadable now, or another version by now: the pass that follows it asks.
            _bring_forward(queue, key, now + LOOK_AGAIN)
            return
        await self._ask(record, content, published, queue)

    async def _ask(self, record: Record, content: Content, published: Published, queue: WorkQueue) -> None:
        now = self._clock()
        question = self._question(record, content, now)
        if question is None:
            host, answered = "The product", Answered.UNKNOWN
        else:
            host, limits = question.request.host, question.plan.connector.spec.limits
            refusal = self._limits.enter(
                host, record.key, now, concurrent=limits.concurrent, per_minute=limits.requests_per_minute
            )
            if isinstance(refusal, Later):
                if refusal.when is not None:
                    _bring_forward(queue, record.key, refusal.when)
                return
            try:
                answered = await self._answer(question)
            finally:
                self._limits.leave(host)
        self._tally.count("lanyard_verifications", answered.name.lower())
        audit("verify", answered.name.lower(), object_name=str(record.key), uid=record.uid, host=host)
        if self._world.get(record.key) is not record:
            return
        verdict, status = _told(answered, host), record.parsed_status()
        is_token = "lastRefreshedAt" in status
        record.verified = (published.digest, published.version, published.ended)
        await self._report(record, verdict, self._clock(), queue)
        if is_token and is_first_refusal(status, verdict):
            record.ask = True
            queue.add(record.key)

    async def _answer(self, question: Question) -> Answered:
        try:
            answer = await self._endpoint.send(question.request, question.plan)
        except ProviderError:
            return Answered.UNKNOWN
        return question.judge(answer.status, answer.body)

    async def _report(self, record: Record, verdict: Verdict | None, now: datetime, queue: WorkQueue) -> None:
        status = verified_status(record.parsed_status(), verdict, now)
        again = await self._reporter.report(record, status, [verdict] if verdict is not None else [], now)
        if again is not None:
            _bring_forward(queue, record.key, now + again)

    def _method(self, spec: Mapping[str, Any]) -> MethodSpec | None:
        """The method that is used, from the bare spec: this is looked at after every pass."""
        try:
            connector = self._catalogue.find(spec.get("connector", ""))
        except LanyardError:
            return None
        wanted = (spec.get("auth") or {}).get("method")
        return next((one for one in connector.spec.methods if wanted in {None, one.name}), None)

    def _question(self, record: Record, content: Content, now: datetime) -> Question | None:
        """None where the request cannot be written from what is known."""
        try:
            wanted = ConnectionSpec.model_validate_json(record.spec)
            plan = _informed(wanted, self._catalogue.find(wanted.connector), content)
            if plan.method.name is Method.AWS_SIGV4:
                region = plan.parameters.get("region", "")
                request = caller_identity_request(content, region=region, now=now)
                return Question(request, plan, lambda status, _: caller_identity_verdict(status))
            verification = plan.method.verification
            if verification is None:
                return None
            request = api_request(plan, verification.request, {**content, **_captured(plan, content)})
            return Question(request, plan, lambda status, body: verification_verdict(verification, status, body))
        except (LanyardError, ValidationError):
            return None


def _interval(spec: Mapping[str, Any], method: MethodSpec | None) -> timedelta | None:
    """How often the product is asked; None for never, and where there is no request for it."""
    if method is None or (method.verification is None and method.name is not Method.AWS_SIGV4):
        return None
    asked = (spec.get("verify") or {}).get("interval")
    costs = method.verification is not None and method.verification.costs
    try:
        return interval_of(parse_duration(asked) if asked else None, costs=costs)
    except ValueError:  # older than the schema: the pass before has said so
        return None


def _informed(spec: ConnectionSpec, connector: Connector, content: Content) -> Plan:
    """The plan with what the provider's answers have brought: it is published, and addresses may need it."""
    plan = plan_for(spec, connector)
    captured = _captured(plan, content)
    learned: dict[str, str] = {}
    for source in ("callback", "tokenResponse", "followUp"):
        learned |= learned_of(plan, source, captured)
    return plan_for(spec, connector, learned) if learned else plan


def _captured(plan: Plan, content: Content) -> dict[str, str]:
    """What was captured of answers is no secret, and may stand in an address."""
    method = plan.method
    names = {*method.response.capture, *(method.follow_up.capture if method.follow_up is not None else ())}
    names |= {name for name, parameter in plan.connector.spec.parameters.items() if parameter.source != "user"}
    return {name: content[name].reveal() for name in names & set(content)}


def _told(answered: Answered, host: str) -> Verdict:
    match answered:
        case Answered.WORKS:
            return holds(Condition.VERIFIED, Reason.VERIFIED, host=host)
        case Answered.REFUSED:
            return _not_true(False, Reason.VERIFICATION_REFUSED, said(Reason.VERIFICATION_REFUSED, host=host))
        case Answered.FORBIDDEN:
            return _not_true(False, Reason.VERIFICATION_FORBIDDEN, said(Reason.VERIFICATION_FORBIDDEN, host=host))
        case Answered.UNKNOWN:
            return _not_true(None, Reason.VERIFICATION_UNANSWERED, said(Reason.VERIFICATION_UNANSWERED, host=host))


def _not_true(status: bool | None, reason: Reason, text: str) -> Verdict:
    return Verdict(Condition.VERIFIED, status, reason, text)


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(one["type"] == Condition.READY and one["status"] == "True" for one in status.get("conditions") or ())


def _bring_forward(queue: WorkQueue, key: Key, when: datetime) -> None:
    appointment = queue.appointment(key)
    queue.at(key, when if appointment is None else min(appointment, when))
