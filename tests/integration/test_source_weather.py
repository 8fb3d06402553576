"""Where a credential comes from may be missing, closed, sealed or wrong: each has its reason, its next step, its end.

The cases of the table run at the same time, each in a namespace of its own: they wait for pauses, not for the machine.
Each has a Connection from before the trouble, which keeps its token, and one made during it, which waits.
"""

import re
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from lanyard.reason_texts import CATALOGUE
from lanyard.reasons import Reason
from localenv.proxy import FaultProxy
from support.certificates import authority_of_tests
from support.cluster import (
    Cluster,
    assert_conditions_coherent,
    conditions,
    message_of,
    reason_of,
    status_of,
)
from support.tenant import Tenant

AT_ONCE = 8
PAGE = "<html><body>sign in</body></html>"
TTL_SECONDS = 1.2
Step = Callable[[Tenant], object]


@dataclass(frozen=True)
class Trouble:
    """`asset` and `store`: what the objects on the way say themselves, where they say anything."""

    name: str
    place: Step
    begin: Step
    end: Step
    reason: Reason
    said: str
    asset: Reason | None = None
    store: Reason | None = None
    proxied: bool = False
    """Vault is reached through a proxy of this case's own, `tenant.faults`."""


def told_command(tenant: Tenant) -> object:
    """Do what the message says, word by word."""
    message = message_of(tenant.cluster.get("Connection", "late"), "Ready")
    found = re.search(r"kubectl (label .*=true)", message)
    assert found, message
    return tenant.kubernetes.kubectl(*shlex.split(found[1]))


def of_vault(name: str, begin: Step, end: Step, reason: Reason, said: str, **more: Any) -> Trouble:
    return Trouble(name, more.pop("place", Tenant.in_vault), begin, end, reason, said, asset=reason, **more)


def unlabel(tenant: Tenant) -> None:
    tenant.cluster.merge("Secret", "app", {"metadata": {"labels": {"lanyard.dev/readable": None}}})


def revoke_login(tenant: Tenant) -> None:
    tenant.vault.write("auth/token/revoke", {"token": tenant.cluster.data("login")["secret"]})


def new_login(tenant: Tenant) -> None:
    tenant.cluster.secret("login", secret=tenant.vault.token(policies=[tenant.name]))


def app_role_gone(tenant: Tenant) -> None:
    tenant.vault.delete(f"auth/approle/role/{tenant.name}")
    renew_login(tenant)


def renew_login(tenant: Tenant) -> None:
    """A login that is kept goes on until its lease ends: only a new one meets the trouble."""
    tenant.change_store(namespace="")
    spec = tenant.cluster.get("CredentialStore", tenant.name)["spec"]["vault"]
    tenant.change_store(address=f"{spec['address'].rstrip('/')}/")


def app_role_back(tenant: Tenant) -> None:
    role_id, secret_id = tenant.vault.app_role(tenant.name, policies=[tenant.name])
    tenant.change_store(auth={"appRole": {"roleId": role_id}})
    tenant.cluster.secret("login", secret=secret_id)


def kubernetes_role(name: str) -> Step:
    return lambda tenant: tenant.change_store(auth={"kubernetes": {"role": name.format(tenant.name)}})


def answers(name: str, reason: Reason, said: str, status: int, body: str | None = None, **headers: str) -> Trouble:
    """Something else answers at the store's address, or the store answers something else."""
    return of_vault(
        name,
        lambda one: one.faults.fail(status, None, headers={"Content-Type": "text/html"} | headers, body=body),
        lambda one: one.faults.pass_through(),
        reason,
        said,
        store=reason,
        proxied=True,
    )


ELSEWHERE = {"names": ["elsewhere"]}
ONLY_LABELLED = {"names": None, "selector": {"matchLabels": {"team": "sales"}}}

TABLE = [
    Trouble(
        "a Secret that is missing",
        Tenant.in_secret,
        lambda one: one.cluster.delete("Secret", "app"),
        Tenant.put_in_secret,
        Reason.SECRET_NOT_FOUND,
        "Create it",
    ),
    Trouble(
        "a Secret without the key",
        Tenant.in_secret,
        lambda one: one.cluster.secret("app", other="thing"),
        Tenant.put_in_secret,
        Reason.SECRET_KEY_MISSING,
        "no key client_secret",
    ),
    Trouble(
        "a Secret that nobody marked as readable",
        Tenant.in_secret,
        unlabel,
        told_command,
        Reason.SECRET_NOT_READABLE,
        "kubectl label secret app -n {} lanyard.dev/readable=true",
    ),
    Trouble(
        "a Secret whose value is no text",
        Tenant.in_secret,
        lambda one: one.cluster.merge("Secret", "app", {"data": {"client_secret": "/w=="}}),
        Tenant.put_in_secret,
        Reason.CREDENTIAL_INVALID,
        "Correct the value",
    ),
    Trouble(
        "an asset that is missing",
        Tenant.in_asset,
        lambda one: one.cluster.delete("CredentialAssetRef", "crm"),
        Tenant.asset,
        Reason.ASSET_NOT_FOUND,
        "Create it",
    ),
    Trouble(
        "an asset that declares no such key",
        Tenant.in_asset,
        lambda one: one.asset(keys={"username": "client_id"}),
        Tenant.asset,
        Reason.ASSET_KEY_MISSING,
        "add the key to its spec.keys",
    ),
    Trouble(
        "an asset whose Secret is missing",
        Tenant.in_asset,
        lambda one: one.cluster.delete("Secret", "app"),
        Tenant.put_in_secret,
        Reason.SECRET_NOT_FOUND,
        "The Secret app does not exist",
        asset=Reason.SECRET_NOT_FOUND,
    ),
    Trouble(
        "an asset whose Secret has no such key",
        Tenant.in_asset,
        lambda one: one.cluster.secret("app", client_id=one.name),
        Tenant.put_in_secret,
        Reason.SECRET_KEY_MISSING,
        "no key client_secret",
        asset=Reason.SECRET_KEY_MISSING,
    ),
    Trouble(
        "an asset whose Secret nobody marked as readable",
        Tenant.in_asset,
        unlabel,
        told_command,
        Reason.SECRET_NOT_READABLE,
        "kubectl label secret app -n {} lanyard.dev/readable=true",
        asset=Reason.SECRET_NOT_READABLE,
    ),
    of_vault(
        "a store that is missing",
        lambda one: one.cluster.delete("CredentialStore", one.name),
        Tenant.store,
        Reason.STORE_NOT_FOUND,
        "ask the platform team to create it",
    ),
    of_vault(
        "a store that does not name the namespace",
        lambda one: one.change_store(allowed=ELSEWHERE),
        lambda one: one.change_store(allowed={"names": [one.name]}),
        Reason.STORE_NOT_ADMITTED,
        "spec.allowedNamespaces",
    ),
    of_vault(
        "a store that wants a label which the namespace does not have",
        lambda one: one.change_store(allowed=ONLY_LABELLED),
        lambda one: one.kubernetes.kubectl("label", "namespace", one.name, "team=sales"),
        Reason.STORE_NOT_ADMITTED,
        "spec.allowedNamespaces",
    ),
    of_vault(
        "a store behind an address where nobody listens",
        lambda one: one.change_store(address="https://127.0.0.1:9"),
        lambda one: one.change_store(address=one.address),
        Reason.STORE_UNAVAILABLE,
        "check its address",
        store=Reason.STORE_UNAVAILABLE,
    ),
    of_vault(
        "a store whose certificate is signed by somebody else",
        lambda one: one.change_store(caBundle=authority_of_tests().pem),
        lambda one: one.change_store(caBundle=one.vault.ca_path.read_text()),
        Reason.STORE_TLS_FAILED,
        "spec.vault.caBundle",
        store=Reason.STORE_TLS_FAILED,
    ),
    of_vault(
        "a store whose KV engine has the other version",
        lambda one: one.change_store(kvVersion=1),
        lambda one: one.change_store(kvVersion=2),
        Reason.STORE_KV_MISMATCH,
        "spec.vault.kvVersion",
    ),
    of_vault(
        "a store whose mount does not exist",
        lambda one: one.change_store(mount="nothing-here"),
        lambda one: one.change_store(mount="kv"),
        Reason.STORE_DENIED,
        "a policy that reads the path",
    ),
    of_vault(
        "a policy that was taken away",
        lambda one: one.policy("elsewhere/*"),
        Tenant.policy,
        Reason.STORE_DENIED,
        "a policy that reads the path",
    ),
    of_vault(
        "a path with nothing there",
        lambda one: one.vault.delete(f"kv/metadata/{one.name}/crm"),
        Tenant.put_in_vault,
        Reason.STORE_PATH_NOT_FOUND,
        "Write the secret there",
    ),
    of_vault(
        "a secret of which the newest version was deleted",
        lambda one: one.vault.delete(f"kv/data/{one.name}/crm"),
        Tenant.put_in_vault,
        Reason.STORE_PATH_NOT_FOUND,
        "Write the secret there",
    ),
    of_vault(
        "a secret without the field",
        lambda one: one.put_in_vault(client_id=one.name),
        Tenant.put_in_vault,
        Reason.STORE_FIELD_MISSING,
        "no field client_secret",
    ),
    of_vault(
        "a field that is no text",
        lambda one: one.put_in_vault(client_id=one.name, client_secret=12345),
        Tenant.put_in_vault,
        Reason.CREDENTIAL_INVALID,
        "Correct the value",
    ),
    of_vault(
        "a pinned version that is not there",
        lambda one: one.asset(store=one.name, version="99"),
        lambda one: one.asset(store=one.name),
        Reason.STORE_VERSION_NOT_FOUND,
        "no version 99",
    ),
    of_vault(
        "a role that Vault does not have",
        kubernetes_role("nobody-{}"),
        lambda one: one.role(f"nobody-{one.name}"),
        Reason.STORE_LOGIN_REFUSED,
        "Check role",
    ),
    of_vault(
        "an audience that Vault does not take",
        lambda one: one.change_store(auth={"kubernetes": {"audience": "somebody-else"}}),
        lambda one: one.change_store(auth={"kubernetes": {"audience": "vault"}}),
        Reason.STORE_LOGIN_REFUSED,
        "audience",
    ),
    of_vault(
        "a ServiceAccount that does not exist",
        lambda one: one.asset(store=one.name, serviceAccountName="robot"),
        lambda one: one.service_account("robot"),
        Reason.SERVICE_ACCOUNT_NOT_FOUND,
        "The ServiceAccount robot does not exist",
    ),
    of_vault(
        "a ServiceAccount that nobody marked as presentable",
        lambda one: (
            one.service_account("robot", presentable=False),
            one.asset(store=one.name, serviceAccountName="robot"),
        ),
        told_command,
        Reason.SERVICE_ACCOUNT_NOT_PRESENTABLE,
        "kubectl label serviceaccount robot -n {} lanyard.dev/presentable=true",
    ),
    of_vault(
        "a JWT role that Vault does not have",
        lambda one: one.change_store(auth={"jwt": {"role": "nobody"}}),
        lambda one: one.change_store(auth={"jwt": {"role": one.name}}),
        Reason.STORE_LOGIN_REFUSED,
        "Check role",
        place=Tenant.in_vault_by_jwt,
    ),
    of_vault(
        "an AppRole that is gone",
        app_role_gone,
        app_role_back,
        Reason.STORE_LOGIN_REFUSED,
        "Check role",
        place=Tenant.in_vault_by_app_role,
        store=Reason.STORE_LOGIN_REFUSED,
    ),
    of_vault(
        "a path outside the tenant's own",
        lambda one: one.asset(store=one.name, path="somebody-else/crm"),
        lambda one: one.asset(store=one.name),
        Reason.STORE_PATH_NOT_ALLOWED,
        "Move the secret below {}/",
        place=Tenant.in_vault_by_app_role,
    ),
    of_vault(
        "a token that was revoked",
        revoke_login,
        new_login,
        Reason.STORE_LOGIN_REFUSED,
        "Check role",
        place=Tenant.in_vault_by_token,
        store=Reason.STORE_LOGIN_REFUSED,
    ),
    of_vault(
        "the Secret of a shared login that is missing",
        lambda one: one.cluster.delete("Secret", "login"),
        new_login,
        Reason.SECRET_NOT_FOUND,
        "The Secret login does not exist",
        place=Tenant.in_vault_by_token,
        store=Reason.SECRET_NOT_FOUND,
    ),
    of_vault(
        "a store that went away",
        lambda one: one.faults.refuse(),
        lambda one: one.faults.pass_through(),
        Reason.STORE_UNAVAILABLE,
        "Nothing to do if it is down for a moment",
        store=Reason.STORE_UNAVAILABLE,
        proxied=True,
    ),
    answers("a store that fails", Reason.STORE_UNAVAILABLE, "check its address", 500, '{"errors": ["internal"]}'),
    answers("a store behind a gateway that fails", Reason.STORE_UNAVAILABLE, "check its address", 502, PAGE),
    answers("a login page in the store's place", Reason.STORE_ANSWER_INVALID, "not to a login page", 200, PAGE),
    answers(
        "a store that redirects",
        Reason.STORE_ANSWER_INVALID,
        "not to a login page",
        302,
        "",
        Location="https://login.example.com/",
    ),
]


@contextmanager
def tenant_of_its_own(environment: Any, *, proxied: bool) -> Iterator[Tenant]:
    """As the fixture `cluster`, for threads."""
    name = f"w-{uuid.uuid4().hex[:8]}"
    with environment.kubernetes.client() as client, ExitStack() as stack:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        assert client.post("/api/v1/namespaces", json=namespace).status_code == 201
        tenant = Tenant(Cluster(client, name), environment)
        if proxied:
            proxy = FaultProxy(environment.processes, environment.pki, name, environment.vault.url)
            tenant.reach_vault_through(stack.enter_context(proxy))
        try:
            yield tenant
        finally:
            tenant.close()
            client.delete(f"/api/v1/namespaces/{name}")


def go_through(trouble: Trouble, tenant: Tenant) -> None:
    cluster = tenant.cluster
    trouble.place(tenant)
    tenant.connect("early")
    cluster.wait_ready("early")
    token = tenant.token_of("early")

    trouble.begin(tenant)
    time.sleep(TTL_SECONDS)
    tenant.connect("late")
    tenant.connect("early", scopes=("api",))

    late = cluster.wait_reason("late", trouble.reason)
    said = trouble.said.format(tenant.name)
    assert said in message_of(late, "Ready"), message_of(late, "Ready")
    assert "?" not in message_of(late, "Ready")
    assert reason_of(late, "CredentialsResolved") == trouble.reason
    assert ("Stalled" in conditions(late)) is CATALOGUE[trouble.reason].stalled
    assert not cluster.exists("Secret", "late-token")
    early = cluster.wait_reason("early", trouble.reason, condition="TokenFresh")
    assert status_of(early, "Ready") == "True", "the token is alive"
    assert tenant.token_of("early") == token
    if trouble.asset is not None:
        cluster.wait_reason("crm", trouble.asset, kind="CredentialAssetRef")
    if trouble.store is not None:
        cluster.wait_reason(tenant.name, trouble.store, kind="CredentialStore")

    trouble.end(tenant)
    cluster.wait_ready("late")
    early = cluster.wait("Connection", "early", lambda one: status_of(one, "TokenFresh") == "True")
    assert_conditions_coherent(early)
    for name in ("early", "late"):
        assert tenant.oauth.me(tenant.token_of(name)).status_code == 200
    if trouble.asset is not None:
        cluster.wait_ready("crm", kind="CredentialAssetRef")
    if tenant.cluster.exists("CredentialStore", tenant.name):
        cluster.wait_ready(tenant.name, kind="CredentialStore")
    times = [event["reason"] for event in cluster.events("late")].count(trouble.reason.value)
    assert times == 1, "one Event for one reason, however often it was met"


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, environment: Any, operator: Any) -> dict[str, BaseException | None]:
    """What came of each case that was asked for: None, or what went wrong."""
    assert operator.running
    names = {
        item.callspec.params["trouble"].name
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == go_through_test
        and item.path == request.path  # under another name of the same function nothing is run
    }

    def run(trouble: Trouble) -> BaseException | None:
        try:
            with tenant_of_its_own(environment, proxied=trouble.proxied) as tenant:
                go_through(trouble, tenant)
        except BaseException as error:  # noqa: BLE001 - raised again in the test that it belongs to
            return error
        return None

    wanted = [trouble for trouble in TABLE if trouble.name in names]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip([trouble.name for trouble in wanted], pool.map(run, wanted), strict=True))


@pytest.mark.spec("A1", "A2", "A5", "A10", "A11", "A+1", "A+2", "C10")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("trouble", TABLE, ids=lambda trouble: trouble.name)
def test_a_source_in_trouble_is_told_kept_apart_from_a_live_token_and_left_behind(
    trouble: Trouble, outcomes: dict[str, BaseException | None]
) -> None:
    outcome = outcomes[trouble.name]
    if outcome is not None:
        raise outcome


go_through_test = test_a_source_in_trouble_is_told_kept_apart_from_a_live_token_and_left_behind.__name__
