"""Every product of the examples, applied, authorized by a person, and used: on the real API server and OAuth server."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from support.cluster import Cluster, Object, message_of, status_of
from support.connecting import token_of
from support.consenting import PASSWORD, Team
from support.gateway import page_text
from support.pointed import PLACEHOLDER, PRODUCTS, Example, pointed, pointed_parameters
from support.provider import Answer, Recorded, ScriptedProvider

SITE = {"id": "11223344-a1b2-3c33-c444-def123456789", "url": "https://acme.atlassian.net"}
APP_SECRET = "s3cret-of-the-app"
BASE_URLS = {
    "github": "https://api.github.com",
    "google": "https://www.googleapis.com/drive/v3",
    "microsoft": "https://graph.microsoft.com/v1.0",
    "salesforce": None,  # named by the token answer; this server's names none
    "slack": "https://slack.com/api",
    "jira": f"https://api.atlassian.com/ex/jira/{SITE['id']}",
    "hubspot": "https://api.hubapi.com",
    "servicenow": "https://dev12345.service-now.com",
    "oidc": "https://portal.example.com/api",
    "home-made": "https://api.warehouse.acme.example/hamburg",
}


@pytest.fixture(scope="module")
def gateway(gateway_process: Callable[..., Any]) -> Any:
    """One whose operator holds the Lease itself."""
    return gateway_process().start()


@pytest.fixture(scope="module")
def operator(operator_process: Callable[..., Any], gateway: Any) -> Any:
    """One that knows the address of the gateway."""
    return operator_process(gateway_url=gateway.url).start()


@pytest.fixture
def product(oauth: Any) -> Iterator[ScriptedProvider]:
    """Jira's list of sites, for whoever brings a live token."""

    def sites(request: Recorded) -> Answer:
        token = (request.header("Authorization") or "").removeprefix("Bearer ")
        live = oauth.me(token).status_code == 200
        return Answer.of_json([SITE, {"id": "another", "url": "https://other.atlassian.net"}] if live else {}, 200)

    with ScriptedProvider(tls=False) as running:
        running.script("/sites", sites)
        yield running


@pytest.fixture
def vault_of_the_team(cluster: Cluster, environment: Any) -> Iterator[Any]:
    """The store `team-vault` that the examples name; the namespace's default ServiceAccount logs in."""
    vault, name = environment.vault, cluster.namespace
    vault.policy(name, 'path "kv/data/apps/*" { capabilities = ["read"] }')
    vault.kubernetes_role(name, service_accounts=["default"], namespaces=[name], policies=[name])
    cluster.wait("ServiceAccount", "default", lambda _: True)
    cluster.merge("ServiceAccount", "default", {"metadata": {"labels": {"lanyard.dev/presentable": "true"}}})
    reach = {"address": vault.url, "caBundle": vault.ca_path.read_text(), "mount": "kv"}
    login = {"kubernetes": {"role": name, "audience": "vault"}}
    allowed = {"names": [name]}
    cluster.apply("CredentialStore", "team-vault", {"vault": {**reach, "auth": login}, "allowedNamespaces": allowed})
    yield vault
    cluster.delete("CredentialStore", "team-vault")


class Applied:
    """One example in the namespace of a team: its objects, its app at the provider, and the person who authorizes."""

    def __init__(self, example: Example, team: Team, product: ScriptedProvider, vault: Any) -> None:
        self.example = example
        self.team = team
        self.cluster = team.cluster
        self.oauth = team.oauth
        self.spec: Object = example.connection["spec"]
        self.client_id = self.spec["auth"]["clientId"]
        self.person = self.spec["auth"].get("expectedAccount", team.person)
        self.oauth.add_user(self.person, PASSWORD)
        self._register()
        self._keep_the_secret(vault)
        if self.spec["connector"] == "oauth2":
            parameters = pointed_parameters(self.spec["parameters"], self.oauth)
            self.spec = self.spec | {"parameters": parameters}
        else:
            here = pointed(example.described, self.oauth, f"{product.url}/sites")
            self.cluster.apply("Connector", example.described.name, here)
        if example.asset is not None:
            self.cluster.apply("CredentialAssetRef", example.asset["metadata"]["name"], example.asset["spec"])
        self.cluster.connection(example.name, **self.spec)

    def close(self) -> None:
        self.cluster.client.delete(self.cluster.path("Connector", self.spec["connector"]))
        self.oauth.remove_client(self.client_id)
        self.oauth.remove_user(self.person)

    def consent(self) -> None:
        visitor = self.team.visitor()
        back = visitor.at_provider(self.team.sent(visitor, self.example.name), name=self.person, password=PASSWORD)
        answer = visitor.get(back)
        assert answer.status_code == 303, page_text(answer)

    def works(self) -> bool:
        """Whether the published token is the person's, for this app, and alive."""
        told = self.oauth.me(token_of(self.cluster, self.example.name))
        who = told.json()
        return told.status_code == 200 and (who["sub"], who["client_id"]) == (self.person, self.client_id)

    def _register(self) -> None:
        """As the README of the example says it."""
        plan = self.example.plan
        assert plan.method.authorization is not None
        self.oauth.add_client(
            self.client_id,
            secret=APP_SECRET,
            auth_method=plan.client_auth.value,
            scopes=plan.scopes,
            grant_types=("authorization_code", "refresh_token"),
            redirect_uris=(f"{self.team.gateway.url}/oauth/callback/{plan.connector.name}",),
            pkce_required=plan.method.authorization.pkce != "off",
            rotate_refresh_tokens=plan.method.rotation.mode != "fixed",
        )

    def _keep_the_secret(self, vault: Any) -> None:
        """Where the example says that it is: in a Secret, or behind an asset of the vault."""
        if self.example.secret is None:
            assert self.example.asset is not None
            vault.put(self.example.asset["spec"]["path"], {"client_secret": APP_SECRET})
            return
        manifest = self.example.secret
        assert manifest["stringData"] == {"client_secret": PLACEHOLDER}
        manifest["stringData"]["client_secret"] = APP_SECRET
        answer = self.cluster.client.post(self.cluster.path("Secret"), json=manifest)
        assert answer.status_code == 201, answer.text


@pytest.fixture
def apply(
    operator: Any, team: Team, product: ScriptedProvider, vault_of_the_team: Any
) -> Iterator[Callable[[Example], Applied]]:
    made: list[Applied] = []

    def make(example: Example) -> Applied:
        made.append(Applied(example, team, product, vault_of_the_team))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.spec("C1", "C4", "C5", "C6", "C7", "C16")
@pytest.mark.parametrize("product_name", PRODUCTS)
def test_an_example_is_authorized_by_a_person_and_its_token_works_and_is_refreshed(
    apply: Callable[[Example], Applied], product_name: str
) -> None:
    applied = apply(Example.of(product_name))
    team, cluster, name = applied.team, applied.cluster, applied.example.name
    waiting = cluster.wait_reason(name, "AuthorizationRequired")
    assert waiting["status"]["redirectURI"] == f"{team.gateway.url}/oauth/callback/{applied.spec['connector']}"

    applied.consent()
    found = cluster.wait_ready(name)
    assert found["status"]["account"] == applied.person
    assert status_of(found, "ScopesGranted") == "True"
    data = cluster.data(f"{name}-token")
    assert data.get("base_url") == BASE_URLS[applied.example.product]
    assert applied.works(), "the product takes what was published"

    now = datetime.now(UTC).isoformat()
    cluster.merge("Connection", name, {"metadata": {"annotations": {"lanyard.dev/refresh": now}}})
    cluster.wait("Secret", f"{name}-token", lambda _: token_of(cluster, name) != data["access_token"])
    assert applied.works(), "and what took its place"


@pytest.mark.spec("C11", "C16")
def test_a_site_that_nobody_chose_is_asked_for(apply: Callable[[Example], Applied]) -> None:
    """Jira, and an account with two sites."""
    shown = Example.of("jira")
    spec = {name: value for name, value in shown.connection["spec"].items() if name != "parameters"}
    applied = apply(replace(shown, connection=shown.connection | {"spec": spec}))
    applied.consent()
    found = applied.cluster.wait_reason(applied.example.name, "AuthorizationFailed")
    assert "(TenantNotChosen)" in message_of(found, "Ready")
