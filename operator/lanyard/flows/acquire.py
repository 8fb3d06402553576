"""Fetch what a Connection publishes.

1. take a place at the token endpoint's host, or come back later
2. resolve the credentials
3. static methods: hand them on; token methods: one request, one answer, and the follow-up that a product needs
4. refused credentials: look at their sources afresh, and if they differ try once more, else the refusal stands

The request runs to its end whatever happens around it: a token that was issued is not thrown away.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from lanyard.api.connection import ConnectionSpec
from lanyard.clients.http import Answer, Outbound, OutboundError, provider_error
from lanyard.connectors.selection import Plan
from lanyard.errors import ProviderError
from lanyard.flows.follow_up import completed
from lanyard.flows.limits import HostLimits, Later
from lanyard.flows.resolve import Resolved, Resolver
from lanyard.flows.tally import Tally, audit
from lanyard.flows.world import Record
from lanyard.oauth.grants import token_request
from lanyard.oauth.responses import Token, missing_scopes, parse
from lanyard.oauth.wire import WireRequest
from lanyard.reasons import Reason
from lanyard.rules.publish import Content, static_content, token_content
from lanyard.rules.schedule import refresh_at
from lanyard.rules.status import SKEW_LIMIT, Window
from lanyard.sensitive import Sensitive


@dataclass(frozen=True, slots=True)
class Acquired:
    """What is to be published, and when it is due again. `window` is None for credentials that do not expire."""

    content: Content
    window: Window | None
    granted: tuple[str, ...] | None
    missing: tuple[str, ...]
    read: Mapping[str, str]
    """Markers of the versions that were read, by credential."""
    digest: str = ""

    def is_live(self, now: datetime) -> bool:
        return self.window is None or self.window.expires_at is None or self.window.expires_at > now


@dataclass(frozen=True, slots=True)
class Waiting:
    """The host takes no more requests now: the key is called when it does, or comes back at `until`.

    `cause` is what to tell, None where the host did not ask for the pause.
    """

    until: datetime | None
    cause: ProviderError | None = None


class Acquirer:
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

    async def acquire(
        self, record: Record, spec: ConnectionSpec, plan: Plan, read: dict[str, str]
    ) -> Acquired | Waiting:
        """LanyardError says why there is nothing to publish. `read` gets the markers of what was read, either way."""
        if not plan.needs_token:
            resolved = await self._resolver.resolve(record, spec)
            read |= markers(resolved)
            return self._static(spec, plan, resolved)
        host, limits = plan.token_host, plan.connector.spec.limits
        refusal = self._limits.enter(
            host, record.key, self._clock(), concurrent=limits.concurrent, per_minute=limits.requests_per_minute
        )
        if isinstance(refusal, Later):
            cause = ProviderError(Reason.PROVIDER_THROTTLED, host=host) if refusal.asked else None
            return Waiting(refusal.when, cause)
        try:
            request = asyncio.ensure_future(self._token(record, spec, plan, read))
            request.add_done_callback(_settled)
            token = await asyncio.shield(request)
        except ProviderError as error:
            if error.reason is Reason.PROVIDER_THROTTLED and error.retry_after is not None:
                self._limits.close(host, self._clock() + timedelta(seconds=error.retry_after))
            raise
        finally:
            self._limits.leave(host)
        plan, token = await completed(self._outbound, spec, plan, token, deadline=self._deadline)
        return self._acquired(record, plan, token, read)

    async def _token(self, record: Record, spec: ConnectionSpec, plan: Plan, read: dict[str, str]) -> Token:
        resolved = await self._resolver.resolve(record, spec)
        read |= markers(resolved)
        try:
            return await self._ask(record, spec, plan, resolved)
        except ProviderError as error:
            if not error.rejected:
                raise
            fresh = await self._resolver.afresh(record, spec, resolved)
            read |= markers(fresh)
            if values(fresh) == values(resolved):
                raise
        return await self._ask(record, spec, plan, fresh)

    async def _ask(self, record: Record, spec: ConnectionSpec, plan: Plan, resolved: Mapping[str, Resolved]) -> Token:
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
        )
        method, began, outcome = plan.method.name.value, time.monotonic(), "issued"
        try:
            answer = await self._send(request, plan)
            # Life is counted from before the request was sent: the provider's clock started no earlier.
            token = parse(plan, answer.status, answer.headers, answer.body, host=plan.token_host, now=now)
        except ProviderError as error:
            outcome = error.reason.value
            audit("token request", outcome, object_name=str(record.key), uid=record.uid, host=plan.token_host)
            raise
        finally:
            self._tally.count("lanyard_token_requests", method, outcome)
            self._tally.count("lanyard_token_request_seconds", method, by=time.monotonic() - began)
        audit(
            "token request",
            outcome,
            object_name=str(record.key),
            uid=record.uid,
            host=plan.token_host,
            token=token.access_token,
        )
        return token

    async def _send(self, request: WireRequest, plan: Plan) -> Answer:
        try:
            return await self._outbound.send(request, deadline=self._deadline, guard=plan.host_is_tenants)
        except OutboundError as error:
            raise provider_error(error) from None

    def _static(self, spec: ConnectionSpec, plan: Plan, resolved: Mapping[str, Resolved]) -> Acquired:
        content = static_content(
            connector=plan.connector.name,
            method=plan.method.name,
            username=spec.auth.username,
            credentials=values(resolved),
            base_url=plan.base_url,
            parameters=plan.parameters,
        )
        return Acquired(content, None, None, (), markers(resolved))

    def _acquired(self, record: Record, plan: Plan, token: Token, read: Mapping[str, str]) -> Acquired:
        granted = token.scope if token.scope is not None else plan.scopes
        mandatory, wanted = missing_scopes(plan, token)
        # A workload cannot do its work without a mandatory scope; one that was only wished for is told, not refused.
        if mandatory:
            raise ProviderError(Reason.SCOPE_MISSING, scopes=", ".join(mandatory))
        due_by = token.expires_at or token.issued_at + plan.default_life
        skewed = token.skew is not None and abs(token.skew) > SKEW_LIMIT.total_seconds()
        window = Window(
            issued_at=token.issued_at,
            expires_at=token.expires_at,
            next_at=refresh_at(token.issued_at, due_by, record.uid),
            skew_host=plan.token_host if skewed else "",
        )
        content = token_content(
            connector=plan.connector.name,
            method=plan.method.name,
            access_token=token.access_token,
            token_type=token.token_type,
            expires_at=token.expires_at,
            scopes=granted,
            authorization_format=plan.method.authorization_format,
            base_url=plan.base_url,
            captured=token.captured,
        )
        return Acquired(content, window, granted, wanted, read)


def _settled(request: asyncio.Future[Token]) -> None:
    """How a request ends that the process no longer waits for is nobody's news."""
    if not request.cancelled():
        request.exception()


def values(resolved: Mapping[str, Resolved]) -> dict[str, Sensitive]:
    return {name: one.value for name, one in resolved.items()}


def markers(resolved: Mapping[str, Resolved]) -> dict[str, str]:
    return {name: one.marker for name, one in resolved.items()}


def _plain(credentials: Mapping[str, Sensitive], name: str) -> str | None:
    """A plain field that was given by reference; the wire needs it in clear either way."""
    value = credentials.get(name)
    return value.reveal() if value is not None else None
