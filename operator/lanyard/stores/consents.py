"""Consent records: one Secret for each browser in which a consent began, shared by gateway and operator.

The gateway creates a record, once for each browser secret, and writes the provider's answer into it; the operator
claims it before it spends the code, and writes how it ended. By device code the operator writes what to show instead,
and nothing is claimed: one code is good for any number of polls. Every change is made on the version that was read, so
of two callbacks, two gateways or two operators one wins and the other is told 409. The content is sealed with the ring
`token`, bound to the Connection; what is in clear is the phase, the Connection and when the record may go.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lanyard.api.meta import CONNECTION_ANNOTATION, CONNECTION_UID_LABEL, CONSENT_LABEL, GROUP
from lanyard.clients.kube import Kube, Object
from lanyard.errors import KubernetesError, LanyardError
from lanyard.reasons import Reason
from lanyard.rules.consent import Consent, Device, Outcome, Phase
from lanyard.sensitive import Sensitive
from lanyard.stores.keyring import Context, Keyring

EXPIRES_ANNOTATION = f"{GROUP}/consent-expires"
"""RFC 3339: until then a record stays, so that its browser secret cannot be used a second time."""
_NONCE = 12


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """A record as it was read. `version` is the resourceVersion on which the next change is made.

    `consent` is None once the record is done: codes and verifier are not kept longer than they are good for.
    """

    name: str
    secret_uid: str
    version: str
    uid: str
    owner: str
    """`namespace/name` of the Connection whose uid is `uid`."""
    phase: Phase
    consent: Consent | None
    outcome: Outcome | None


def record_name(browser_hash: str) -> str:
    """One browser secret, one record: creating it a second time is refused by the API server."""
    return f"consent-{hashlib.sha256(browser_hash.encode()).hexdigest()[:40]}"


class ConsentStore:
    """Records in `namespace`. `keyring` gives the ring `token` as it is now.

    KubernetesError passes: 409 means that somebody else was first. LanyardError with STATE_INVALID or KEYRING_LOST
    when a record cannot be opened.
    """

    def __init__(self, kube: Kube, namespace: str, keyring: Callable[[], Keyring]) -> None:
        self._kube = kube
        self._path = f"/api/v1/namespaces/{namespace}/secrets"
        self._keyring = keyring

    async def create(
        self, browser_hash: str, *, uid: str, owner: str, consent: Consent, expires_at: datetime, now: datetime
    ) -> ConsentRecord:
        """KubernetesError 409 when this browser secret was used before."""
        phase = Phase.STARTED if consent.device is None else Phase.REQUESTED
        body: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": record_name(browser_hash),
                "labels": {CONSENT_LABEL: phase.value, CONNECTION_UID_LABEL: uid},
                "annotations": {CONNECTION_ANNOTATION: owner, EXPIRES_ANNOTATION: _moment(expires_at)},
            },
            "data": {"record": self._sealed(consent, uid, owner, now)},
        }
        return self._parsed(await self._kube.create(self._path, body))

    async def read(self, name: str) -> ConsentRecord | None:
        try:
            return self._parsed(await self._kube.get(f"{self._path}/{name}"))
        except KubernetesError as error:
            if error.code == 404:
                return None
            raise

    async def answer(self, record: ConsentRecord, consent: Consent, *, now: datetime) -> ConsentRecord:
        """The provider has answered: from now on the operator sees it."""
        sealed = self._sealed(consent, record.uid, record.owner, now)
        return await self._change(record, Phase.STARTED, Phase.ANSWERED, {"record": sealed})

    async def claim(self, record: ConsentRecord) -> ConsentRecord:
        """The code is about to be spent, by whoever this call succeeds for."""
        return await self._change(record, Phase.ANSWERED, Phase.CLAIMED, {})

    async def show(self, record: ConsentRecord, consent: Consent, *, now: datetime) -> ConsentRecord:
        """The provider has given a device code: from now on the page shows what belongs to it."""
        sealed = self._sealed(consent, record.uid, record.owner, now)
        return await self._change(record, Phase.REQUESTED, Phase.SHOWN, {"record": sealed})

    async def finish(self, record: ConsentRecord, outcome: Outcome) -> ConsentRecord:
        """How it ended. Codes and verifier go at the same time."""
        told = json.dumps({"reason": outcome.reason, "account": outcome.account}, separators=(",", ":"))
        data = {"record": None, "outcome": _encoded(told.encode())}
        return await self._change(record, record.phase, Phase.DONE, data)

    async def delete(self, record: ConsentRecord) -> None:
        try:
            await self._kube.delete(f"{self._path}/{record.name}", uid=record.secret_uid)
        except KubernetesError as error:
            if error.code not in {404, 409}:  # gone, or another one that came after it
                raise

    async def _change(
        self, record: ConsentRecord, before: Phase, after: Phase, data: dict[str, str | None]
    ) -> ConsentRecord:
        if record.phase is not before or record.phase is Phase.DONE:
            raise LanyardError(Reason.STATE_INVALID, name=record.name)
        metadata = {"uid": record.secret_uid, "resourceVersion": record.version, "labels": {CONSENT_LABEL: after.value}}
        body = {"metadata": metadata} | ({"data": data} if data else {})
        return self._parsed(await self._kube.merge(f"{self._path}/{record.name}", body))

    def _sealed(self, consent: Consent, uid: str, owner: str, now: datetime) -> str:
        text = json.dumps(_plain(consent), separators=(",", ":")).encode()
        nonce = secrets.token_bytes(_NONCE)
        return _encoded(self._keyring().seal(text, Context("consent", uid, owner), now=now, nonce=nonce).encode())

    def _parsed(self, secret: Object) -> ConsentRecord:
        metadata = secret["metadata"]
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        data = secret.get("data") or {}
        # What is in clear is believed only as far as the seal confirms it: it is part of what was authenticated.
        uid, owner = labels.get(CONNECTION_UID_LABEL, ""), annotations.get(CONNECTION_ANNOTATION, "")
        try:
            phase = Phase(labels.get(CONSENT_LABEL, ""))
            sealed = base64.b64decode(data["record"], validate=True).decode() if "record" in data else ""
            outcome = Outcome(**json.loads(base64.b64decode(data["outcome"]))) if "outcome" in data else None
            opened = self._keyring().open(sealed, Context("consent", uid, owner)) if sealed else b""
            consent = _consent(json.loads(opened)) if opened else None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise LanyardError(Reason.STATE_INVALID, name=metadata["name"]) from None
        return ConsentRecord(
            metadata["name"], metadata["uid"], metadata["resourceVersion"], uid, owner, phase, consent, outcome
        )


def _plain(consent: Consent) -> dict[str, Any]:
    return {
        "connector": consent.connector,
        "connector_digest": consent.connector_digest,
        "client_id": consent.client_id,
        "redirect_uri": consent.redirect_uri,
        "scopes": consent.scopes,
        "state_hash": consent.state_hash,
        "code_verifier": _revealed(consent.code_verifier),
        "spec_generation": consent.spec_generation,
        "approved_by": consent.approved_by,
        "started_at": _moment(consent.started_at),
        "answered_at": _moment(consent.answered_at) if consent.answered_at is not None else None,
        "code": _revealed(consent.code),
        "callback": dict(consent.callback),
        "error": consent.error,
        "raw_query": _revealed(consent.raw_query),
        "device": _plain_device(consent.device) if consent.device is not None else None,
    }


def _plain_device(device: Device) -> dict[str, Any]:
    return {
        "ends_at": _moment(device.ends_at),
        "code": _revealed(device.code),
        "user_code": device.user_code,
        "verification_uri": device.verification_uri,
        "interval": device.interval.total_seconds(),
    }


def _consent(plain: dict[str, Any]) -> Consent:
    # A record of an older version has no member for it.
    answered_at, device = plain["answered_at"], plain.get("device")
    return Consent(
        connector=plain["connector"],
        connector_digest=plain["connector_digest"],
        client_id=plain["client_id"],
        redirect_uri=plain["redirect_uri"],
        scopes=tuple(plain["scopes"]),
        state_hash=plain["state_hash"],
        code_verifier=_hidden(plain["code_verifier"]),
        spec_generation=plain["spec_generation"],
        approved_by=plain["approved_by"],
        started_at=_aware(plain["started_at"]),
        answered_at=_aware(answered_at) if answered_at is not None else None,
        code=_hidden(plain["code"]),
        callback=plain["callback"],
        error=plain["error"],
        raw_query=_hidden(plain["raw_query"]),
        device=_device(device) if device is not None else None,
    )


def _device(plain: dict[str, Any]) -> Device:
    return Device(
        ends_at=_aware(plain["ends_at"]),
        code=_hidden(plain["code"]),
        user_code=plain["user_code"],
        verification_uri=plain["verification_uri"],
        interval=timedelta(seconds=plain["interval"]),
    )


def _revealed(value: Sensitive | None) -> str | None:
    return value.reveal() if value is not None else None


def _hidden(value: str | None) -> Sensitive | None:
    return Sensitive(value) if value is not None else None


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _aware(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a moment without its zone")
    return when


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
