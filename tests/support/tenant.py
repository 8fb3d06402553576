"""A team with one account at the OAuth server, and the three places its client secret may lie in.

Everything carries the name of the team's namespace: its client, its Vault role, policy, paths and CredentialStore.
"""

from collections.abc import Callable
from typing import Any

from localenv.proxy import FaultProxy
from support.cluster import Cluster, Object

AUDIENCE = "vault"
SECRET_PLACE = {"secretRef": {"name": "app", "key": "client_secret"}}
ASSET_PLACE = {"credentialAssetRef": {"name": "crm", "key": "password"}}
KEYS = {"username": "client_id", "password": "client_secret"}
SCOPES = ("api", "more")


class Tenant:
    """Lives in the namespace of `cluster`; `close` removes what lies outside of it."""

    def __init__(self, cluster: Cluster, environment: Any) -> None:
        self.cluster = cluster
        self.kubernetes = environment.kubernetes
        self.vault = vault = environment.vault
        self.oauth = oauth = environment.oauth
        self.name = cluster.namespace
        self.address = vault.url
        self.secret = f"first-secret-of-{self.name}"
        self.place: Object = SECRET_PLACE
        self.on_close: list[Callable[[], object]] = []
        oauth.add_client(self.name, secret=self.secret, scopes=SCOPES)

    def close(self) -> None:
        self.oauth.remove_client(self.name)
        for undo in self.on_close:
            undo()

    def token_of(self, connection: str) -> str:
        return self.cluster.data(f"{connection}-token")["access_token"]

    def reach_vault_through(self, faults: FaultProxy) -> None:
        self.faults = faults
        self.address = faults.url

    # where the secret lies

    def in_secret(self) -> None:
        self.place = SECRET_PLACE
        self.put_in_secret()

    def in_asset(self) -> None:
        self.place = ASSET_PLACE
        self.put_in_secret()
        self.asset()

    def in_vault(self) -> None:
        """The tenant's own ServiceAccount logs in by Vault's Kubernetes method."""
        self._in_vault({"kubernetes": self.own_login()})

    def in_vault_by_jwt(self) -> None:
        subject = f"system:serviceaccount:{self.name}:crm"
        self.vault.jwt_role(self.name, subject=subject, policies=[self.policy()])
        self._in_vault({"jwt": self.own_login()})

    def in_vault_by_app_role(self) -> None:
        role_id, secret_id = self.vault.app_role(self.name, policies=[self.policy()])
        self.cluster.secret("login", secret=f"{secret_id}\n")
        self._in_vault({"appRole": {"roleId": role_id, "secretIdRef": self.login_ref()}}, prefix="{namespace}/")

    def in_vault_by_token(self) -> None:
        self.cluster.secret("login", secret=self.vault.token(policies=[self.policy()]))
        self._in_vault({"tokenSecretRef": self.login_ref()}, prefix="{namespace}/")

    def _in_vault(self, auth: Object, **changes: Any) -> None:
        self.place = ASSET_PLACE
        self.put_in_vault()
        self.policy()
        self.role()
        self.service_account("crm")
        self.store(auth=auth, **changes)
        self.asset(store=self.name)

    def put_in_secret(self) -> None:
        self.cluster.secret("app", client_id=self.name, client_secret=self.secret)

    def put_in_vault(self, **fields: Any) -> int:
        """The secret's version in KV v2."""
        return int(self.vault.put(f"{self.name}/crm", fields or {"client_id": self.name, "client_secret": self.secret}))

    def rotate(self, secret: str) -> None:
        """At the provider: from now on only this one is taken."""
        self.secret = secret
        self.oauth.rotate_secret(self.name, secret)

    # what leads to it

    def asset(self, **changes: Any) -> Object:
        spec: Object = {"path": "app", "keys": KEYS}
        if "store" in changes:
            spec |= {"path": f"{self.name}/crm", "serviceAccountName": "crm", "cacheTTL": "1s"}
        return self.cluster.apply("CredentialAssetRef", "crm", spec | changes)

    def store(self, *, auth: Object | None = None, prefix: str | None = None, **changes: Any) -> Object:
        vault = {
            "address": self.address,
            "caBundle": self.vault.ca_path.read_text(),
            "mount": "kv",
            "auth": auth or {"kubernetes": self.own_login()},
        }
        spec: Object = {"vault": vault, "allowedNamespaces": {"names": [self.name]}}
        made = self.cluster.apply("CredentialStore", self.name, spec | ({"pathPrefix": prefix} if prefix else {}))
        self.on_close.append(lambda: self.cluster.client.delete(self.cluster.path("CredentialStore", self.name)))
        if changes:
            made = self.change_store(**changes)
        return made

    def change_store(self, *, allowed: Object | None = None, **vault: Any) -> Object:
        change: Object = {"vault": vault} if vault else {}
        return self.cluster.merge(
            "CredentialStore", self.name, {"spec": change | ({"allowedNamespaces": allowed} if allowed else {})}
        )

    def own_login(self, **changes: Any) -> Object:
        return {"role": self.name, "audience": AUDIENCE} | changes

    def login_ref(self) -> Object:
        return {"namespace": self.name, "name": "login", "key": "secret"}

    def policy(self, path: str | None = None) -> str:
        rule = f'path "kv/data/{path or f"{self.name}/*"}" {{ capabilities = ["read"] }}'
        self.vault.policy(self.name, rule)
        return self.name

    def role(self, name: str | None = None, **more: Any) -> None:
        self.vault.kubernetes_role(
            name or self.name, service_accounts=["*"], namespaces=[self.name], policies=[self.name], **more
        )

    def service_account(self, name: str, *, presentable: bool = True) -> None:
        labels = {"lanyard.dev/presentable": "true"} if presentable else {}
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "labels": labels}}
        answer = self.cluster.client.post(self.cluster.path("ServiceAccount"), json=body)
        assert answer.status_code in {201, 409}, answer.text

    # who uses it

    def connect(self, name: str, *, scopes: tuple[str, ...] = (), namespace: str | None = None, **spec: Any) -> Object:
        """A Connection that fetches a token; other scopes make it fetch another one."""
        place = self.place
        if namespace is not None:
            place = {"credentialAssetRef": place["credentialAssetRef"] | {"namespace": namespace}}
        return self.cluster.connection(
            name,
            connector="oauth2",
            parameters={"token_url": self.oauth.token_url},
            auth={"method": "clientCredentials", "clientId": self.name, "scopes": list(scopes)},
            credentials={"clientSecret": place},
            **spec,
        )

    def hand_on(self, name: str) -> Object:
        """A Connection that publishes the secret as it is."""
        return self.cluster.connection(
            name, connector="bearer", auth={"method": "bearerToken"}, credentials={"token": self.place}
        )
