"""One call to Vault or OpenBao and what its outcome means below the level of secrets.

https://developer.hashicorp.com/vault/api-docs: errors are JSON with a list `errors`; a sealed server answers 503.
What an answer says is never passed on, only what it means.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from lanyard.api.store import VaultStore
from lanyard.clients.http import Answer, FailureKind, Outbound, OutboundError, Request
from lanyard.errors import StoreError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive

DEADLINE_SECONDS = 10.0
NOW_AND_THEN = frozenset({408, 412, 429})  # also 5xx: the server is there and does not serve now

Method = Literal["GET", "POST"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON answer of 2xx or 4xx."""

    status: int
    body: dict[str, Any] = field(repr=False)

    @property
    def data(self) -> dict[str, Any] | None:
        data = self.body.get("data")
        return data if isinstance(data, dict) else None


class Wire:
    """Calls to any store; `deadline` in seconds, for each call."""

    def __init__(self, outbound: Outbound, *, deadline: float = DEADLINE_SECONDS) -> None:
        self._outbound = outbound
        self._deadline = deadline

    async def call(
        self,
        store: str,
        vault: VaultStore,
        method: Method,
        resource: str,
        *,
        token: Sensitive | None = None,
        body: dict[str, str] | None = None,
    ) -> Reply:
        """StoreError when there is no answer, none that is Vault's, or the server is sealed or not serving."""
        answer = await self._send(store, vault, method, resource, token=token, body=body)
        if answer.status >= 500 or answer.status in NOW_AND_THEN:
            if answer.status == 503 and (_says_sealed(answer) or await self._sealed(store, vault)):
                raise StoreError(Reason.STORE_SEALED, store=store)
            raise StoreError(Reason.STORE_UNAVAILABLE, store=store)
        parsed = _parse(answer)
        if parsed is None or 300 <= answer.status < 400:
            raise StoreError(Reason.STORE_ANSWER_INVALID, store=store)
        return Reply(answer.status, parsed)

    async def check_seal(self, store: str, vault: VaultStore) -> None:
        """StoreError unless the server answers as Vault and is unsealed; needs no login."""
        reply = await self.call(store, vault, "GET", "sys/seal-status")
        if not isinstance(reply.body.get("sealed"), bool):
            raise StoreError(Reason.STORE_ANSWER_INVALID, store=store)
        if reply.body["sealed"]:
            raise StoreError(Reason.STORE_SEALED, store=store)

    async def _sealed(self, store: str, vault: VaultStore) -> bool:
        status = _parse(await self._send(store, vault, "GET", "sys/seal-status"))
        return status is not None and status.get("sealed") is True

    async def _send(
        self,
        store: str,
        vault: VaultStore,
        method: Method,
        resource: str,
        *,
        token: Sensitive | None = None,
        body: dict[str, str] | None = None,
    ) -> Answer:
        # X-Vault-Request marks calls that a browser was not tricked into; agents may insist on it.
        headers = {"Accept": "application/json", "X-Vault-Request": "true"}
        if vault.namespace:
            headers["X-Vault-Namespace"] = vault.namespace
        if token is not None:
            headers["X-Vault-Token"] = token.reveal()
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        request = Request(method, f"{vault.address.rstrip('/')}/v1/{resource}", headers, content)
        try:
            return await self._outbound.send(
                request, deadline=self._deadline, guard=False, ca=vault.ca_bundle, proxy=vault.proxy
            )
        except OutboundError as error:
            raise _failure(error.kind, store) from None
        except ValueError:
            raise StoreError(Reason.STORE_INVALID, store=store, field="spec.vault") from None


def _failure(kind: FailureKind, store: str) -> StoreError:
    match kind:
        case FailureKind.TLS:
            return StoreError(Reason.STORE_TLS_FAILED, store=store)
        case FailureKind.TOO_LARGE:
            return StoreError(Reason.STORE_ANSWER_INVALID, store=store)
        case FailureKind.NOT_ALLOWED:
            return StoreError(Reason.STORE_INVALID, store=store, field="spec.vault.address")
        case FailureKind.TIMED_OUT | FailureKind.UNREACHABLE | FailureKind.RESET_AFTER_SEND:
            return StoreError(Reason.STORE_UNAVAILABLE, store=store)


def _parse(answer: Answer) -> dict[str, Any] | None:
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _says_sealed(answer: Answer) -> bool:
    """Asked first because Enterprise does not serve sys/seal-status inside a namespace."""
    errors = (_parse(answer) or {}).get("errors")
    return isinstance(errors, list) and any("Vault is sealed" in str(error) for error in errors)
