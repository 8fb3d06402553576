"""One request to a token endpoint, one answer: within the host's limits, counted and audited.

Whoever asks takes a place first (`enter`) and gives it back (`leave`). A request that was sent is waited for whatever
happens around it (`to_its_end`): a token that was issued is not thrown away.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from lanyard.api.connection import ConnectionSpec
from lanyard.clients.http import Answer, Outbound, OutboundError, provider_error
from lanyard.connectors.selection import Plan
from lanyard.errors import ProviderError, SteppedBackError
from lanyard.flows.keys import Key
from lanyard.flows.limits import HostLimits, Later
from lanyard.flows.resolve import Resolved, Resolver
from lanyard.flows.tally import Tally, audit
from lanyard.flows.world import Record
from lanyard.oauth.device import DeviceCode, Poll, device_request, parse_device, poll_verdict
from lanyard.oauth.grants import DeviceGrant, UserGrant, token_request
from lanyard.oauth.responses import Token, parse
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive

Found = TypeVar("Found")
Told = TypeVar("Told", bound=Token | Poll)


@dataclass(frozen=True, slots=True)
class Errand:
    """For whom a token is asked, and in which way. `read` gets the markers of the versions that were read."""

    record: Record
    spec: ConnectionSpec
    plan: Plan
    read: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The host takes no more requests now: the key is called when it does, or comes back at `until`.

    `cause` is what to tell, None where the host did not ask for the pause.
    """

    until: datetime | None
    cause: ProviderError | None = None


class TokenEndpoint:
    """One instance a process, for the endpoints of all hosts."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        outbound: Outbound,
        limits: HostLimits,
        tally: Tally,
        deadline: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._resolver = resolver
        self._outbound = outbound
        self._limits = limits
        self._tally = tally
        self._deadline = deadline.total_seconds()
        self._clock = clock

    def enter(self, errand: Errand, key: Key | None = None) -> Waiting | None:
        """None: go, and call `leave` afterwards. `key` is called when the host takes requests again; absent means the
        errand's own.
        """
        host, limits = errand.plan.token_host, errand.plan.connector.spec.limits
        refusal = self._limits.enter(
            host,
            key or errand.record.key,
            self._clock(),
            concurrent=limits.concurrent,
            per_minute=limits.requests_per_minute,
        )
        if isinstance(refusal, Later):
            cause = ProviderError(Reason.PROVIDER_THROTTLED, host=host) if refusal.asked else None
            return Waiting(refusal.when, cause)
        return None

    def leave(self, errand: Errand) -> None:
        self._limits.leave(errand.plan.token_host)

    async def credentials(self, errand: Errand) -> Mapping[str, Resolved]:
        """What the client proves itself with."""
        resolved = await self._resolver.resolve(errand.record, errand.spec)
        errand.read.update(markers(resolved))
        return resolved

    async def token(self, errand: Errand, resolved: Mapping[str, Resolved], grant: UserGrant | None = None) -> Token:
        """ProviderError says why there is none. Credentials that are refused are looked up afresh, and tried once
        more when they have changed.
        """
        return await self._proved(errand, resolved, lambda known: self._ask(errand, known, grant, _parsed))

    async def poll(self, errand: Errand, resolved: Mapping[str, Resolved], grant: DeviceGrant) -> Token | Poll:
        """As `token`, of a device code: also what was said instead of a token."""
        return await self._proved(errand, resolved, lambda known: self._ask(errand, known, grant, _polled))

    async def device_code(self, errand: Errand, resolved: Mapping[str, Resolved]) -> DeviceCode:
        """What a consent by device code begins with; ProviderError says why there is none."""
        return await self._proved(errand, resolved, lambda known: self._ask_for_code(errand, known))

    async def send(self, request: WireRequest, plan: Plan) -> Answer:
        """Any request to this provider; ProviderError when there is no answer."""
        try:
            return await self._outbound.send(request, deadline=self._deadline, guard=plan.host_is_tenants)
        except OutboundError as error:
            raise provider_error(error) from None

    async def _proved(
        self,
        errand: Errand,
        resolved: Mapping[str, Resolved],
        ask: Callable[[Mapping[str, Resolved]], Awaitable[Found]],
    ) -> Found:
        """The answer to whom the client proved itself, with what is newest after a refusal."""
        try:
            return await ask(resolved)
        except ProviderError as error:
            if not error.rejected:
                raise
            fresh = await self._resolver.afresh(errand.record, errand.spec, resolved)
            errand.read.update(markers(fresh))
            if values(fresh) == values(resolved):
                raise
        return await ask(fresh)

    async def _ask_for_code(self, errand: Errand, resolved: Mapping[str, Resolved]) -> DeviceCode:
        spec, plan, now = errand.spec, errand.plan, self._clock()
        request = device_request(
            plan,
            values(resolved),
            client_id=spec.auth.client_id,
            key_id=spec.auth.key_id,
            now=now,
            jti=str(uuid.uuid4()),
        )
        answer = await self.send(request, plan)
        return parse_device(plan, answer.status, answer.headers, answer.body, now=now)

    async def _ask(
        self,
        errand: Errand,
        resolved: Mapping[str, Resolved],
        grant: UserGrant | None,
        read: Callable[[Plan, Answer, datetime], Told],
    ) -> Told:
        record, spec, plan = errand.record, errand.spec, errand.plan
        credentials = values(resolved)
        now = self._clock()
        request = token_request(
            plan,
            credentials,
            client_id=spec.auth.client_id or _plain(credentials, "clientId"),
            username=spec.auth.username or _plain(credentials, "username"),
            key_id=spec.auth.key_id,
            now=now,
            jti=str(uuid.uuid4()),
            grant=grant,
        )
        method, began, outcome = plan.method.name.value, time.monotonic(), "issued"
        try:
            answer = await self.send(request, plan)
            # Life is counted from before the request was sent: the provider's clock started no earlier.
            told = read(plan, answer, now)
        except SteppedBackError:
            outcome = "not sent"
            raise
        except ProviderError as error:
            outcome = error.reason.value
            if error.reason is Reason.PROVIDER_THROTTLED and error.retry_after is not None:
                self._limits.close(plan.token_host, self._clock() + timedelta(seconds=error.retry_after))
            audit("token request", outcome, object_name=str(record.key), uid=record.uid, host=plan.token_host)
            raise
        else:
            if isinstance(told, Poll):
                outcome = told.name.lower().replace("_", " ")
                return told
        finally:
            self._tally.count("lanyard_token_requests", method, outcome)
            self._tally.count("lanyard_token_request_seconds", method, by=time.monotonic() - began)
        audit(
            "token request",
            outcome,
            object_name=str(record.key),
            uid=record.uid,
            host=plan.token_host,
            token=told.access_token,
        )
        return told


def _parsed(plan: Plan, answer: Answer, now: datetime) -> Token:
    return parse(plan, answer.status, answer.headers, answer.body, host=plan.token_host, now=now)


def _polled(plan: Plan, answer: Answer, now: datetime) -> Token | Poll:
    verdict = poll_verdict(plan, answer.headers, answer.body)
    return _parsed(plan, answer, now) if verdict is Poll.ANSWERED else verdict


async def to_its_end(work: Coroutine[Any, Any, Found]) -> Found:
    """Run it to its end also when the caller is cancelled."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_settled)
    return await asyncio.shield(task)


def _settled(task: "asyncio.Future[Any]") -> None:
    """How work ends that the process no longer waits for is nobody's news."""
    if not task.cancelled():
        task.exception()


def values(resolved: Mapping[str, Resolved]) -> dict[str, Sensitive]:
    return {name: one.value for name, one in resolved.items()}


def markers(resolved: Mapping[str, Resolved]) -> dict[str, str]:
    return {name: one.marker for name, one in resolved.items()}


def _plain(credentials: Mapping[str, Sensitive], name: str) -> str | None:
    """A plain field that was given by reference; the wire needs it in clear either way."""
    value = credentials.get(name)
    return value.reveal() if value is not None else None
