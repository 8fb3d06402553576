"""Fetch what a Connection publishes, where nobody need consent.

1. take a place at the token endpoint's host, or come back later
2. resolve the credentials
3. static methods: hand them on; token methods: one request, one answer, and the follow-up that a product needs
4. refused credentials: look at their sources afresh, and if they differ try once more, else the refusal stands
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from lanyard.errors import LanyardError, ProviderError
from lanyard.flows.follow_up import completed
from lanyard.flows.resolve import Resolved
from lanyard.flows.token_endpoint import Errand, TokenEndpoint, Waiting, markers, to_its_end, values
from lanyard.oauth.responses import Token, missing_scopes
from lanyard.reasons import Reason
from lanyard.rules.publish import Content, static_content, token_content
from lanyard.rules.schedule import refresh_at
from lanyard.rules.status import SKEW_LIMIT, Window


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
    account: str | None = None
    """Who consented; None for methods that need no consent."""
    trouble: LanyardError | None = None
    """Why there is no newer token, where the one from before is published again."""

    def is_live(self, now: datetime) -> bool:
        return self.window is None or self.window.expires_at is None or self.window.expires_at > now


class Acquirer:
    def __init__(self, endpoint: TokenEndpoint) -> None:
        self._endpoint = endpoint

    async def acquire(self, errand: Errand) -> Acquired | Waiting:
        """LanyardError says why there is nothing to publish."""
        if not errand.plan.needs_token:
            return self._static(errand, await self._endpoint.credentials(errand))
        waiting = self._endpoint.enter(errand)
        if waiting is not None:
            return waiting
        try:
            token = await to_its_end(self._token(errand))
        finally:
            self._endpoint.leave(errand)
        plan, token = await completed(self._endpoint.send, errand.spec, errand.plan, token)
        return self._acquired(replace(errand, plan=plan), token)

    async def _token(self, errand: Errand) -> Token:
        return await self._endpoint.token(errand, await self._endpoint.credentials(errand))

    def _static(self, errand: Errand, resolved: Mapping[str, Resolved]) -> Acquired:
        plan = errand.plan
        content = static_content(
            connector=plan.connector.name,
            method=plan.method.name,
            username=errand.spec.auth.username,
            credentials=values(resolved),
            base_url=plan.base_url,
            parameters=plan.parameters,
        )
        return Acquired(content, None, None, (), markers(resolved))

    def _acquired(self, errand: Errand, token: Token) -> Acquired:
        plan = errand.plan
        granted = token.scope if token.scope is not None else plan.scopes
        mandatory, wanted = missing_scopes(plan, granted)
        # A workload cannot do its work without a mandatory scope; one that was only wished for is told, not refused.
        if mandatory:
            raise ProviderError(Reason.SCOPE_MISSING, scopes=", ".join(mandatory))
        due_by = token.expires_at or token.issued_at + plan.default_life
        window = Window(
            issued_at=token.issued_at,
            expires_at=token.expires_at,
            next_at=refresh_at(token.issued_at, due_by, errand.record.uid),
            skew_host=plan.token_host if is_skewed(token) else "",
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
        return Acquired(content, window, granted, wanted, errand.read)


def is_skewed(token: Token) -> bool:
    """Whether the provider's clock is further from ours than anybody should be."""
    return token.skew is not None and abs(token.skew) > SKEW_LIMIT.total_seconds()
