"""An administrator's hands at the real Vault, and what a tenant needs to log in to it."""

import asyncio
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lanyard.api.meta import PlatformSecretKeyRef
from lanyard.api.store import StoreSpec
from lanyard.errors import StoreError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from lanyard.stores.vault import Login, VaultReader

CANARY = "c4n4ry-of-the-store"
AUDIENCE = "vault"

Body = dict[str, Any]


@dataclass
class Server:
    """`mark` keeps the names of one test apart from those of all others."""

    vault: Any
    kubernetes: Any
    mark: str = field(default_factory=lambda: f"v-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.ca = self.vault.ca_path.read_text()

    def policy(self, name: str, *rules: str) -> str:
        text = "\n".join(f'path "{rule}" {{ capabilities = ["read"] }}' for rule in rules)
        self.vault.policy(f"{self.mark}-{name}", text)
        return f"{self.mark}-{name}"

    def role(self, *rules: str, mount: str = "kubernetes", **more: Any) -> str:
        """A role for the ServiceAccount `default` of both tenants, reading what `rules` say."""
        policies = [self.policy("own", *rules)]
        namespaces = more.pop("namespaces", [self.tenant("a"), self.tenant("b")])
        if mount == "kubernetes":
            self.vault.kubernetes_role(
                self.mark, service_accounts=["default"], namespaces=namespaces, policies=policies, **more
            )
        else:
            subject = f"system:serviceaccount:{namespaces[0]}:default"
            self.vault.jwt_role(self.mark, subject=subject, policies=policies, **more)
        return self.mark

    def tenant(self, name: str) -> str:
        return f"{self.mark}-{name}"

    def spec(self, auth: Body, *, prefix: str | None = None, **changes: Any) -> StoreSpec:
        vault = {"address": self.vault.url, "caBundle": self.ca, "mount": "kv", "kvVersion": 2, "auth": auth}
        body: Body = {"vault": vault | changes, "allowedNamespaces": {"selector": {}}}
        return StoreSpec.model_validate(body | ({"pathPrefix": prefix} if prefix else {}))

    def login(self, auth: Body, *, tenant: str = "a", prefix: str | None = None, **changes: Any) -> Login:
        namespace = self.tenant(tenant)

        async def present(audience: str) -> Sensitive:
            token = await asyncio.to_thread(
                self.kubernetes.service_account_token, namespace, "default", audiences=(audience,), seconds=600
            )
            return Sensitive(token)

        async def nothing(ref: PlatformSecretKeyRef) -> Sensitive:
            raise AssertionError(ref)

        return Login(
            store="team-vault",
            store_id=f"{uuid.uuid4()}/1",
            spec=self.spec(auth, prefix=prefix, **changes),
            namespace=namespace,
            service_account=f"{namespace}/default",
            present=present,
            shared_secret=nothing,
        )

    def by_kubernetes(self, role: str, **changes: Any) -> Login:
        return self.login({"kubernetes": {"role": role, "audience": AUDIENCE}}, **changes)

    def by_approle(self, *rules: str, tenant: str = "a", prefix: str = "{namespace}/", **changes: Any) -> Login:
        role_id, secret_id = self.vault.app_role(self.mark, policies=[self.policy("shared", *rules)])
        login = self.login(
            {"appRole": {"roleId": role_id, "secretIdRef": REF}}, tenant=tenant, prefix=prefix, **changes
        )
        return replace(login, shared_secret=always(f"{secret_id}\n"))

    def by_token(self, token: str, **changes: Any) -> Login:
        login = self.login({"tokenSecretRef": REF}, prefix="{namespace}/", **changes)
        return replace(login, shared_secret=always(token))


REF = {"namespace": "platform", "name": "vault", "key": "secret"}


def always(value: str) -> Any:
    async def secret(ref: PlatformSecretKeyRef) -> Sensitive:
        assert ref == PlatformSecretKeyRef(**REF)
        return Sensitive(value)

    return secret


async def reason_of(reader: VaultReader, login: Login, path: str, version: str | None = None) -> Reason:
    """Why a read is refused; by the way, nothing of what the store knows is in the message."""
    with pytest.raises(StoreError) as caught:
        await reader.read(login, path, version)
    assert CANARY not in f"{caught.value.message} {caught.value!r} {caught.value.facts}"
    assert caught.value.__cause__ is None
    assert "?" not in caught.value.message, "every fact of the message is known"
    return caught.value.reason
