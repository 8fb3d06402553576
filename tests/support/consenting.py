"""A team whose Connection waits for a consent, its app at the provider; and the operator's part, played on the API."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx

from lanyard.api.meta import CONSENT_ANNOTATION, CONSENT_LABEL
from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.rules.consent import Outcome
from lanyard.stores.consents import ConsentRecord, ConsentStore
from lanyard.stores.keyring import Keyring
from support.cluster import Cluster, Object
from support.gateway import GatewayProcess, Visitor, query_of
from support.people import bind

EXCHANGE = "lanyard-exchange"
APPROVER = "ada"
PASSWORD = "correct horse"
SCOPES = ("api", "more")
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{EXCHANGE}/leases"
SECRETS = f"/api/v1/namespaces/{EXCHANGE}/secrets"
MERGE = {"Content-Type": "application/merge-patch+json"}


def hold_lease(client: httpx.Client, *, seconds: int = 3600, holder: str = "operator-0") -> None:
    """The operator is there, for so long; a negative number says that it was."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": holder, "leaseDurationSeconds": max(seconds, 1), "renewTime": now}
    if seconds < 0:
        spec["renewTime"] = "2026-01-01T00:00:00.000000Z"
    body = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "lanyard-operator", "namespace": EXCHANGE}, "spec": spec,
    }  # fmt: skip
    answer = client.patch(
        f"{LEASES}/lanyard-operator",
        json=body,
        params={"fieldManager": "test", "force": "true"},
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    assert answer.status_code < 300, answer.text


def give_back_lease(client: httpx.Client) -> None:
    """As an operator does that stops: the next one need not wait."""
    spec = {"holderIdentity": "", "leaseDurationSeconds": 1}
    answer = client.patch(f"{LEASES}/lanyard-operator", json={"spec": spec}, headers=MERGE)
    assert answer.status_code < 300, answer.text


def drop_lease(client: httpx.Client) -> None:
    client.delete(f"{LEASES}/lanyard-operator")


class Team:
    """Lives in the namespace of `cluster`. Its connector is its own, so that each test can bend it."""

    def __init__(self, cluster: Cluster, environment: Any, gateway: GatewayProcess, **method: Any) -> None:
        """`method` bends the connector's method."""
        self.method = method
        self.cluster = cluster
        self.environment = environment
        self.gateway = gateway
        self.name = cluster.namespace
        self.person = f"person-of-{self.name}"
        self.oauth = environment.oauth
        self._visitors: list[Visitor] = []
        self.oauth.add_user(self.person, PASSWORD)
        self.oauth.add_client(
            self.name,
            secret=f"secret-of-{self.name}",
            scopes=SCOPES,
            grant_types=("authorization_code", "refresh_token"),
            redirect_uris=(f"{gateway.url}/oauth/callback/{self.name}",),
        )
        self.connector()
        cluster.secret("app", client_secret=f"secret-of-{self.name}")
        bind(cluster.client, namespace=self.name, user=APPROVER, roles=["lanyard-authorizer"])
        self.connect()

    def close(self) -> None:
        for visitor in self._visitors:
            visitor.close()
        self.oauth.remove_client(self.name)
        self.oauth.remove_user(self.person)
        for name in (self.name, self.bent_connector):
            self.cluster.client.delete(self.cluster.path("Connector", name))

    @property
    def bent_connector(self) -> str:
        return f"{self.name}-bent"

    def bent(self, **authorization: Any) -> str:
        """A Connection whose connector differs in how it authorizes. Returns its name."""
        self.connector(self.bent_connector, **authorization)
        places = [f"{self.gateway.url}/oauth/callback/{name}" for name in (self.name, self.bent_connector)]
        self.oauth.change_client(self.name, redirect_uris=places)
        self.connect("bent", connector=self.bent_connector)
        with self.visitor().client as client:
            self.until(lambda: client.get(self.page_url("bent")), lambda seen: seen.status_code == 200)
        return "bent"

    def second(self) -> str:
        """Another Connection, with the same connector."""
        self.connect("second")
        with self.visitor().client as client:
            self.until(lambda: client.get(self.page_url("second")), lambda seen: seen.status_code == 200)
        return "second"

    def connector(self, name: str = "", **authorization: Any) -> Object:
        method = {
            "name": "authorizationCode",
            "clientAuth": {"methods": ["client_secret_basic"]},
            "tokenRequest": {"url": self.oauth.token_url},
            "authorization": {"url": self.oauth.authorization_url, "issuer": self.oauth.issuer, **authorization},
            "scopes": {"default": ["api"]},
            "identity": {"request": {"url": self.oauth.me_url}, "account": ["/sub"]},
            "revocation": [{"url": self.oauth.revocation_url}],
            "rotation": {"mode": "rotates"},
            **self.method,
        }
        service = {
            "name": "clientCredentials",
            "clientAuth": {"methods": ["client_secret_basic"]},
            "tokenRequest": {"url": self.oauth.token_url},
        }
        parameters = {"region": {"source": "callback", "required": False, "pattern": "^[a-z]{2}$"}}
        spec = {"displayName": "Acme CRM", "parameters": parameters, "methods": [method, service]}
        return self.cluster.apply("Connector", name or self.name, spec)

    def connect(self, name: str = "crm", **changes: Any) -> Object:
        auth = {"method": "authorizationCode", "clientId": self.name, "scopes": list(SCOPES)}
        auth |= changes.pop("auth", {})
        credentials = {"clientSecret": {"secretRef": {"name": "app", "key": "client_secret"}}}
        connector = changes.pop("connector", self.name)
        return self.cluster.connection(name, connector=connector, auth=auth, credentials=credentials, **changes)

    # what people do

    def page_url(self, name: str = "crm") -> str:
        return f"{self.gateway.url}/connect/{self.name}/{name}"

    def visitor(self) -> Visitor:
        """Somebody at a browser of their own."""
        visitor = Visitor(self.environment.pki.ca_path)
        self._visitors.append(visitor)
        return visitor

    def approve(self, browser_hash: str, *, name: str = "crm", user: str = APPROVER) -> httpx.Response:
        """As that person: admission says whether they may."""
        return self.annotate(f"{browser_hash}.{user}", name=name, user=user)

    def annotate(self, value: str | None, *, name: str = "crm", user: str = "") -> httpx.Response:
        headers = MERGE | ({"Impersonate-User": user} if user else {})
        change = {"metadata": {"annotations": {CONSENT_ANNOTATION: value}}}
        return self.cluster.client.patch(self.cluster.path("Connection", name), json=change, headers=headers)

    def approved(self, visitor: Visitor, name: str = "crm", *, button: str = "Continue to") -> httpx.Response:
        """The page with the button, once the gateway has heard of the approval."""
        page = self.until(lambda: visitor.get(self.page_url(name)), lambda seen: seen.status_code == 200)
        answer = self.approve(visitor.hash_on(page), name=name)
        assert answer.status_code == 200, answer.text
        return self.until(lambda: visitor.get(self.page_url(name)), lambda seen: button in seen.text)

    def sent(self, visitor: Visitor, name: str = "crm") -> str:
        """The provider's address after the button."""
        answer = visitor.press(self.approved(visitor, name), "Continue to")
        assert answer.status_code == 303, answer.text
        return str(answer.headers["Location"])

    def answered(self, visitor: Visitor, name: str = "crm", *, agree: bool = True) -> str:
        """Our callback with the provider's answer, not yet opened."""
        return visitor.at_provider(self.sent(visitor, name), name=self.person, password=PASSWORD, agree=agree)

    @staticmethod
    def until(ask: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = 20.0) -> Any:
        deadline = datetime.now(UTC).timestamp() + seconds
        waiting = threading.Event()
        while True:
            seen = ask()
            if holds(seen):
                return seen
            assert datetime.now(UTC).timestamp() < deadline, getattr(seen, "text", seen)
            waiting.wait(0.1)

    # what is there

    def records(self, name: str = "crm") -> list[Object]:
        """The consent records of a Connection, as they lie in the API."""
        items = self.cluster.client.get(SECRETS, params={"labelSelector": CONSENT_LABEL}).json()["items"]
        owner = f"{self.name}/{name}"
        return [one for one in items if one["metadata"]["annotations"]["lanyard.dev/connection"] == owner]

    def consent(self, name: str = "crm", *, agree: bool = True) -> httpx.Response:
        """A person goes all the way; returns the page that our callback leads to."""
        visitor = self.visitor()
        return visitor.get(self.answered(visitor, name, agree=agree), follow_redirects=True)

    def token_requests(self) -> int:
        return int(self.oauth.count(client_id=self.name))

    # the operator's part

    def operate(self, act: Callable[[ConsentStore, ConsentRecord], Any], name: str = "crm") -> ConsentRecord:
        """With the operator's own identity and the same ring."""
        kubeconfig = self.environment.kubernetes.service_account_kubeconfig("lanyard-system", "lanyard-operator")
        keyring = Keyring.parse(self.gateway.ring.read_text())
        (record,) = self.records(name)

        async def play() -> ConsentRecord:
            async with Kube(from_file(kubeconfig)) as kube:
                store = ConsentStore(kube, EXCHANGE, lambda: keyring)
                found = await store.read(record["metadata"]["name"])
                assert found is not None
                result: ConsentRecord = await act(store, found)
                return result

        # In a thread of its own: a test that drives a browser has a loop in this one.
        with ThreadPoolExecutor(1) as alone:
            return alone.submit(asyncio.run, play()).result()

    def read_record(self, name: str = "crm") -> ConsentRecord:
        async def same(_: ConsentStore, record: ConsentRecord) -> ConsentRecord:
            return record

        return self.operate(same, name)

    def spend(self, reason: str = "Authorized", account: str = "", name: str = "crm") -> ConsentRecord:
        """Claim, exchange the code at the real token endpoint with the kept verifier, finish."""

        async def act(store: ConsentStore, record: ConsentRecord) -> ConsentRecord:
            claimed = await store.claim(record)
            if claimed.consent is not None and claimed.consent.code is not None:
                answer = self.exchange(claimed)
                assert answer.status_code == 200, answer.text
            return await store.finish(claimed, Outcome(reason, account))

        return self.operate(act, name)

    def exchange(self, record: ConsentRecord) -> httpx.Response:
        consent = record.consent
        assert consent is not None
        assert consent.code is not None
        assert consent.code_verifier is not None
        form = {
            "grant_type": "authorization_code",
            "code": consent.code.reveal(),
            "redirect_uri": consent.redirect_uri,
            "code_verifier": consent.code_verifier.reveal(),
        }
        return self.visitor().client.post(self.oauth.token_url, data=form, auth=(self.name, f"secret-of-{self.name}"))


def state_of(url: str) -> str:
    return query_of(url)["state"]
