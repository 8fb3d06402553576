"""Authorize: from a browser that nobody knows to an answer of the provider that the operator can spend.

Start: (1) the Connection takes a consent and the operator is there; (2) a person approves this browser by an
annotation; (3) one button: approval and form are looked at, a record is created once, the browser goes to the provider.
Callback: (4) same browser, same state, same approval, same Connection; (5) the answer is written to the record, once.
The operator will spend the code. By device code, (3) leads to our own page, which shows what the operator writes into
the record, and there is no callback. The gateway knows no client secret and sees no token.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from lanyard.api.connection import GRANT_METHODS, ConnectionSpec, Method
from lanyard.api.meta import API_VERSION
from lanyard.clients.kube import Kube
from lanyard.connectors.selection import Plan, pinned, plan_for
from lanyard.connectors.templates import host_of
from lanyard.errors import KubernetesError, LanyardError
from lanyard.flows.browsers import new_browser
from lanyard.flows.catalogue import Catalogue
from lanyard.flows.pages import Pages
from lanyard.flows.standing import (
    Approved,
    Coded,
    ConsentRefusedError,
    Details,
    Ended,
    Standing,
    Trouble,
    Unapproved,
    Underway,
)
from lanyard.flows.tally import audit
from lanyard.flows.view import SeenConnection, View
from lanyard.oauth.authorization import authorization_url, callback
from lanyard.oauth.pkce import code_verifier
from lanyard.rules.consent import (
    STATE_BYTES,
    Browser,
    Consent,
    Device,
    Phase,
    approved_by,
    hash_of_state,
    is_form_of,
    is_state,
    lease_is_live,
)
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import ConsentRecord, ConsentStore, record_name

LEASE = "lanyard-operator"
_VERIFIER_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A Connection that takes a consent, and how."""

    seen: SeenConnection
    spec: ConnectionSpec
    plan: Plan
    client_id: str

    @property
    def by_device(self) -> bool:
        return self.plan.method.name is Method.DEVICE_CODE


class ConsentFlow:
    """`gateway_url` has no slash at its end; redirect URIs are made from it and from nothing that a request says."""

    def __init__(
        self,
        *,
        kube: Kube,
        view: View,
        catalogue: Catalogue,
        store: ConsentStore,
        clock: Callable[[], datetime],
        gateway_url: str,
        exchange_namespace: str,
    ) -> None:
        self._kube = kube
        self._view = view
        self._catalogue = catalogue
        self._store = store
        self._clock = clock
        self._pages = Pages(gateway_url)
        self._lease_path = f"/apis/coordination.k8s.io/v1/namespaces/{exchange_namespace}/leases/{LEASE}"

    async def look(self, namespace: str, name: str, browser: Browser | None) -> Standing:
        """Where this browser stands with this Connection. Nothing is created; an unknown browser gets a secret."""
        now = self._clock()
        seen = self._view.connections.get((namespace, name))
        if seen is None or seen.going:
            raise ConsentRefusedError(Trouble.NOT_FOUND, f"{namespace}/{name}")
        if browser is not None and (browser.uid, browser.owner) == (seen.uid, seen.owner):
            record = await self._store.read(record_name(browser.hash))
            if record is not None and (record.phase is not Phase.STARTED or not browser.is_over(now)):
                return self._standing(browser, record, seen)
        else:
            browser = None
        wanted = self._wanted(seen)
        await self._hold_operator(seen.owner)
        if browser is None or browser.is_over(now):
            return Unapproved(new_browser(uid=seen.uid, owner=seen.owner, now=now))
        user = approved_by(browser, uid=seen.uid, annotation=seen.approval, now=now)
        if user is None:
            return Unapproved(browser)
        return Approved(browser, _details(wanted), user)

    async def start(self, namespace: str, name: str, browser: Browser | None, unverified_token: str) -> str:
        """Where this browser goes: to the provider, or by device code to our own page, which will show the code.

        The approval is read anew, not from the mirror.
        """
        now, owner = self._clock(), f"{namespace}/{name}"
        if browser is None or browser.owner != owner:
            raise ConsentRefusedError(Trouble.OTHER_BROWSER, owner)
        if not is_form_of(browser, unverified_token):
            raise ConsentRefusedError(Trouble.FORGED, owner)
        if browser.is_over(now):
            raise ConsentRefusedError(Trouble.TOO_LATE, owner)
        wanted = self._wanted(await self._fresh(owner))
        await self._hold_operator(owner)
        user = approved_by(browser, uid=wanted.seen.uid, annotation=wanted.seen.approval, now=now)
        if user is None:
            raise ConsentRefusedError(Trouble.NOT_APPROVED, owner)
        consent = Consent(
            connector=wanted.plan.connector.name,
            connector_digest=pinned(wanted.plan),
            client_id=wanted.client_id,
            redirect_uri=self._pages.redirect_uri(wanted.plan),
            scopes=wanted.plan.scopes,
            state_hash="",
            code_verifier=None,
            spec_generation=wanted.seen.generation,
            approved_by=user,
            started_at=now,
        )
        if wanted.by_device:
            consent, url = replace(consent, device=Device(ends_at=browser.ends_at)), self._pages.start(namespace, name)
        else:
            consent, url = _sent_away(wanted, consent)
        try:
            await self._store.create(
                browser.hash, uid=browser.uid, owner=owner, consent=consent, expires_at=browser.ends_at, now=now
            )
        except KubernetesError as error:
            if error.code == 409:
                raise ConsentRefusedError(Trouble.USED_TWICE, owner) from None
            raise
        audit("consent", "started", object_name=f"Connection/{owner}", uid=browser.uid, approved_by=user)
        return url

    async def take(self, connector: str, unverified_query: list[tuple[str, str]], browser: Browser | None) -> str:
        """The provider's answer, for the operator. Returns the owner, on whose page the browser waits."""
        now = self._clock()
        if browser is None:
            raise ConsentRefusedError(Trouble.OTHER_BROWSER)
        owner = browser.owner
        if browser.is_over(now):
            raise ConsentRefusedError(Trouble.TOO_LATE, owner)
        record = await self._store.read(record_name(browser.hash))
        if record is None:
            raise ConsentRefusedError(Trouble.UNKNOWN_STATE, owner)
        if record.phase is not Phase.STARTED or record.consent is None:
            raise ConsentRefusedError(Trouble.USED_TWICE, owner)
        began = record.consent
        if began.connector != connector or not _carries_state(unverified_query, began):
            raise ConsentRefusedError(Trouble.UNKNOWN_STATE, owner)
        seen = await self._fresh(owner)
        if approved_by(browser, uid=seen.uid, annotation=seen.approval, now=now) != began.approved_by:
            raise ConsentRefusedError(Trouble.NOT_APPROVED, owner)
        plan = self._unchanged(seen, began)
        answered = _answered(plan, began, unverified_query, owner, now)
        try:
            await self._store.answer(record, answered, now=now)
        except KubernetesError as error:
            if error.code in {404, 409}:
                raise ConsentRefusedError(Trouble.USED_TWICE, owner) from None
            raise
        outcome = "refused by the provider" if answered.error else "answered"
        audit("consent", outcome, object_name=f"Connection/{owner}", uid=browser.uid, approved_by=began.approved_by)
        return owner

    async def again(self, namespace: str, name: str, browser: Browser | None, unverified_token: str) -> Browser:
        """A new secret for a browser whose last one is used up."""
        owner = f"{namespace}/{name}"
        if browser is None or browser.owner != owner or not is_form_of(browser, unverified_token):
            raise ConsentRefusedError(Trouble.FORGED, owner)
        seen = self._view.connections.get((namespace, name))
        if seen is None or seen.going:
            raise ConsentRefusedError(Trouble.NOT_FOUND, owner)
        return new_browser(uid=seen.uid, owner=owner, now=self._clock())

    def _standing(self, browser: Browser, record: ConsentRecord, seen: SeenConnection) -> Standing:
        error = record.consent.error if record.consent is not None else ""
        if record.outcome is not None or error:
            return Ended(browser, record.outcome, error, _expected_account(seen))
        device = record.consent.device if record.consent is not None else None
        if device is not None and record.phase is Phase.SHOWN:
            return Coded(browser, device.user_code, device.verification_uri, device.ends_at)
        return Underway(browser, record.phase)

    def _wanted(self, seen: SeenConnection) -> _Wanted:
        try:
            spec = seen.parsed()
            if spec.link_to is not None:
                raise ConsentRefusedError(Trouble.LINK, seen.owner)
            connector = self._catalogue.find(spec.connector)
            offered = [one.name for one in connector.spec.methods]
            method = spec.auth.method or next(iter(offered), None)
            if method not in GRANT_METHODS:
                raise ConsentRefusedError(Trouble.OTHER_METHOD, seen.owner)
            if spec.suspend:
                raise ConsentRefusedError(Trouble.SUSPENDED, seen.owner)
            plan = plan_for(spec, connector)
        except (LanyardError, ValidationError):
            raise ConsentRefusedError(Trouble.NOT_READY, seen.owner) from None
        if spec.auth.client_id is None:
            raise ConsentRefusedError(Trouble.NOT_READY, seen.owner)
        return _Wanted(seen, spec, plan, spec.auth.client_id)

    def _unchanged(self, seen: SeenConnection, began: Consent) -> Plan:
        """The plan that was begun with; an edit in between makes it another consent."""
        try:
            wanted = self._wanted(seen)
        except ConsentRefusedError:
            raise ConsentRefusedError(Trouble.CHANGED, seen.owner) from None
        if not began.is_still(
            generation=seen.generation,
            client_id=wanted.client_id,
            connector_digest=pinned(wanted.plan),
            redirect_uri=self._pages.redirect_uri(wanted.plan),
        ):
            raise ConsentRefusedError(Trouble.CHANGED, seen.owner)
        return wanted.plan

    async def _fresh(self, owner: str) -> SeenConnection:
        """The Connection as the API server has it now: a mirror may not yet know that an approval was taken back."""
        namespace, _, name = owner.partition("/")
        try:
            body = await self._kube.get(f"/apis/{API_VERSION}/namespaces/{namespace}/connections/{name}")
        except KubernetesError as error:
            if error.code == 404:
                raise ConsentRefusedError(Trouble.NOT_FOUND, owner) from None
            raise
        seen = SeenConnection.of(body)
        if seen.going:
            raise ConsentRefusedError(Trouble.NOT_FOUND, owner)
        return seen

    async def _hold_operator(self, owner: str) -> None:
        """A code lives a minute at many providers: without an operator it would be lost."""
        try:
            lease = (await self._kube.get(self._lease_path)).get("spec")
        except KubernetesError as error:
            if error.code != 404:
                raise
            lease = None
        if not lease_is_live(lease, self._clock()):
            raise ConsentRefusedError(Trouble.OPERATOR_AWAY, owner)


def _details(wanted: _Wanted) -> Details:
    connector = wanted.plan.connector
    return Details(
        owner=wanted.seen.owner,
        display_name=wanted.spec.display_name or "",
        product=connector.spec.display_name or connector.name,
        provider_host=host_of(wanted.plan.device_url if wanted.by_device else wanted.plan.authorize_url),
        expected_account=wanted.spec.auth.expected_account or "",
        scopes=wanted.plan.scopes,
        by_device=wanted.by_device,
    )


def _sent_away(wanted: _Wanted, consent: Consent) -> tuple[Consent, str]:
    """The consent with what its answer must fit, and the provider's address."""
    state, verifier = _state(), _verifier(wanted.plan)
    url = authorization_url(
        wanted.plan,
        client_id=consent.client_id,
        redirect_uri=consent.redirect_uri,
        state=state.reveal(),
        verifier=verifier,
    )
    return replace(consent, state_hash=hash_of_state(state), code_verifier=verifier), url


def _expected_account(seen: SeenConnection) -> str:
    try:
        return seen.parsed().auth.expected_account or ""
    except ValidationError:
        return ""


def _state() -> Sensitive:
    return Sensitive(secrets.token_urlsafe(STATE_BYTES))


def _verifier(plan: Plan) -> Sensitive | None:
    request = plan.method.authorization
    if request is None or request.pkce == "off":
        return None
    return code_verifier(secrets.token_bytes(_VERIFIER_BYTES))


def _carries_state(unverified_query: list[tuple[str, str]], began: Consent) -> bool:
    """Exactly one, and the one that was sent: a second one would be for another reader."""
    states = [value for name, value in unverified_query if name == "state"]
    return len(states) == 1 and is_state(states[0], began.state_hash)


def _answered(
    plan: Plan, began: Consent, unverified_query: list[tuple[str, str]], owner: str, now: datetime
) -> Consent:
    try:
        answer = callback(plan, unverified_query)
    except LanyardError:
        raise ConsentRefusedError(Trouble.BAD_ANSWER, owner) from None
    return began.answered(
        now=now, code=answer.code, callback=answer.parameters, error=answer.error, raw_query=answer.signed_query
    )
