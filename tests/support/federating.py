"""A team whose workloads present JWTs of their own, and get tokens at the gateway's token endpoint."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from lanyard.api.meta import ISSUER_KEYS_LABEL
from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.sensitive import Sensitive
from lanyard.stores.copies import CopyStore, TokenCopy
from lanyard.stores.issuer_keys import FETCHED_ANNOTATION, ISSUER_ANNOTATION, key_set_name
from lanyard.stores.keyring_file import KeyringFile
from support.cluster import Cluster, Object
from support.consenting import EXCHANGE, SECRETS
from support.gateway import GatewayProcess, Visitor
from support.issuing import AUDIENCE, SUBJECT, StaticIssuer

REFERENCE_PATH = "/identity_/connect/token"
OAUTH_PATH = "/oauth/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
LANYARD = "lanyard"  # the connector whose tokens Lanyard makes itself
APPLICATION = "crm"


class FederationTeam:
    """Lives in the namespace of `cluster`. Its application is a Connection; `trust` says who may act as it."""

    def __init__(
        self, cluster: Cluster, environment: Any, gateway: GatewayProcess, issuer: StaticIssuer, *, connect: bool = True
    ) -> None:
        self.cluster = cluster
        self.environment = environment
        self.gateway = gateway
        self.issuer = issuer
        self.name = cluster.namespace
        self._visitor = Visitor(environment.pki.ca_path)
        self._published: set[str] = set()
        self._mints = False
        if connect:
            self.connect()

    def close(self) -> None:
        for name in self._published:
            self.cluster.client.delete(f"{SECRETS}/{name}")
        if self._mints:
            self.cluster.client.delete(self.cluster.path("Connector", self.name))
        self._visitor.close()

    # what the team applies

    def connect(self, name: str = APPLICATION, *, connector: str = LANYARD, **spec: Any) -> str:
        """A Connection; returns its client id. By default one whose tokens Lanyard makes."""
        return str(self.cluster.connection(name, connector=connector, **spec)["metadata"]["uid"])

    def mint(self, *, scopes: Sequence[str] = (), audiences: Sequence[str] = (), name: str = APPLICATION) -> str:
        """The platform lets this namespace have tokens of Lanyard's with these; the Connection is made anew."""
        entry = {"namespaces": {"names": [self.name]}, "scopes": list(scopes), "audiences": list(audiences)}
        self.cluster.apply("Connector", self.name, {"displayName": "Mint", "mints": [entry]})
        self._mints = True
        if self.cluster.exists("Connection", name):
            self.cluster.delete("Connection", name)
        return self.connect(name, connector=self.name)

    def client_id(self, name: str = APPLICATION) -> str:
        return str(self.cluster.get("Connection", name)["metadata"]["uid"])

    def trust(self, name: str = "ci", *, connection: str = APPLICATION, **spec: Any) -> Object:
        """A FederatedCredential, by default for what `issuer.token()` says; a field changed to None is left out."""
        fields = {
            "connectionRef": {"name": connection},
            "issuer": self.issuer.url,
            "audience": AUDIENCE,
            "subject": SUBJECT,
            "caBundle": self.issuer.ca_pem,
            **spec,
        }
        return self.cluster.apply(
            "FederatedCredential", name, {key: value for key, value in fields.items() if value is not None}
        )

    def distrust(self, name: str = "ci") -> None:
        self.cluster.delete("FederatedCredential", name)

    # the operator's part

    def publish_keys(
        self, issuer: StaticIssuer | None = None, *, fetched_at: datetime | None = None, **source: str | None
    ) -> str:
        """Play by hand what the operator does: say what an issuer's keys are. Returns the name of the key set.

        `source` are `jwks_uri` and `ca_bundle` as the credential has them; by default those of `trust()`.
        """
        whose = issuer or self.issuer
        name = key_set_name(whose.url, source.get("jwks_uri"), source.get("ca_bundle", whose.ca_pem))
        at = (fetched_at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "labels": {ISSUER_KEYS_LABEL: "true"},
                "annotations": {ISSUER_ANNOTATION: whose.url, FETCHED_ANNOTATION: at},
            },
            "data": {"jwks": base64.b64encode(json.dumps(whose.key_set()).encode()).decode()},
        }
        made = self.cluster.client.post(SECRETS, json=body)
        if made.status_code == 409:
            made = self.cluster.client.put(f"{SECRETS}/{name}", json=body)
        assert made.status_code < 300, made.text
        self._published.add(name)
        return name

    def publish_copy(
        self, ring: Path, token: str, *, name: str = APPLICATION, scopes: Sequence[str] = (), life: int = 3600
    ) -> None:
        """The copy of a Connection's access token, as the operator keeps it."""
        uid, owner, now = self.client_id(name), f"{self.name}/{name}", datetime.now(UTC)
        operator = self.environment.kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator")
        copy = TokenCopy(Sensitive(token), "Bearer", now + timedelta(seconds=life), tuple(scopes))

        async def write() -> None:
            async with Kube(from_file(operator)) as kube:
                store = CopyStore(kube, EXCHANGE, KeyringFile(ring).current, "test")
                await store.write(uid, owner, copy, made_from="test", now=now)

        asyncio.run(write())
        self._published.add(f"token-{uid}")

    # what its workloads do

    @property
    def ca_path(self) -> Path:
        """What the gateway's certificate is trusted by: for clients with an option of their own for it."""
        return Path(self.environment.pki.ca_path)

    @property
    def client(self) -> httpx.Client:
        return self._visitor.client

    def url(self, path: str = REFERENCE_PATH) -> str:
        return self.gateway.url + path

    @property
    def entra_path(self) -> str:
        return f"/{self.name}/oauth2/v2.0/token"

    def exchange(self, form: Mapping[str, Any], *, path: str = REFERENCE_PATH) -> httpx.Response:
        """One request with these fields; a field that is None is left out, one that is a list is repeated."""
        return self.client.post(self.url(path), data={name: value for name, value in form.items() if value is not None})

    def reference_form(self, token: str, **changes: Any) -> dict[str, Any]:
        """The five fields of the reference."""
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id(),
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": token,
            "scope": None,
            **changes,
        }

    def exchange_form(self, token: str, **changes: Any) -> dict[str, Any]:
        """RFC 8693 section 2.1; the application is named by `client_id`."""
        return {
            "grant_type": TOKEN_EXCHANGE,
            "client_id": self.client_id(),
            "subject_token": token,
            "subject_token_type": JWT_TYPE,
            **changes,
        }

    def bearer_form(self, token: str, **changes: Any) -> dict[str, Any]:
        """RFC 7523 section 2.1."""
        return {"grant_type": JWT_BEARER, "client_id": self.client_id(), "assertion": token, **changes}

    def present(self, token: str, *, path: str = REFERENCE_PATH, **changes: Any) -> httpx.Response:
        return self.exchange(self.reference_form(token, **changes), path=path)

    def present_at_oauth(self, token: str, **changes: Any) -> httpx.Response:
        return self.present(token, path=OAUTH_PATH, **changes)

    def present_as_subject(self, token: str, **changes: Any) -> httpx.Response:
        return self.exchange(self.exchange_form(token, **changes), path=OAUTH_PATH)

    def present_as_grant(self, token: str, **changes: Any) -> httpx.Response:
        return self.exchange(self.bearer_form(token, **changes), path=OAUTH_PATH)

    def present_as_entra(self, token: str, **changes: Any) -> httpx.Response:
        """As a client of Microsoft Entra does, whose tenant is the namespace."""
        form = self.reference_form(token, scope="api://lanyard/.default", **changes)
        return self.exchange(form, path=self.entra_path)

    def until_taken(self, token: str, *, seconds: float = 20.0, **changes: Any) -> httpx.Response:
        """Present it until the gateway has heard of everything that was applied; AssertionError shows the last answer.

        A test that expects a refusal comes here first: before, everything is refused.
        """
        return self.until(
            lambda: self.present(token, **changes), lambda answer: answer.status_code == 200, seconds=seconds
        )

    @staticmethod
    def until(
        ask: Callable[[], httpx.Response], holds: Callable[[httpx.Response], bool], *, seconds: float = 20.0
    ) -> httpx.Response:
        deadline = time.monotonic() + seconds
        while True:
            answer = ask()
            if holds(answer):
                return answer
            assert time.monotonic() < deadline, f"{answer.status_code} {answer.text}"
            time.sleep(0.1)
