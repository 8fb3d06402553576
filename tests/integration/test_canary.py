"""Known values are planted wherever a secret or a stranger's text can come from, and are then looked for everywhere.

Only source Secrets and workload Secrets may hold them. The operator logs all it ever would (DEBUG), meets good and bad
answers alike, and is ended before its log is read.
"""

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from lanyard.clients.kube import Kube
from lanyard.clients.kubeconfig import from_file
from lanyard.reasons import Reason
from lanyard.rules.grants import Intent
from lanyard.sensitive import Sensitive
from lanyard.stores.grants import GrantStore
from lanyard.stores.keyring_file import KeyringFile
from lanyard.stores.ring_format import parse_keys
from support.cluster import Cluster, Object, status_of
from support.people import eventually
from support.provider import Answer, ScriptedProvider
from support.stored import grant
from support.tenant import Tenant
from support.traces import forms, of_process, pages, stored_objects, written_files

PLACES = ["the log", "what it serves", "objects of the API server", "the audit log", "kubectl describe", "its process"]


@dataclass
class Field:
    """What was planted, by where it was planted; `strange` came from outside and may be nowhere at all."""

    planted: dict[str, str] = field(default_factory=dict)
    strange: dict[str, str] = field(default_factory=dict)
    holders: set[str] = field(default_factory=set)
    """Names of the Secrets that may hold what was planted."""

    def plant(self, place: str) -> str:
        return self.planted.setdefault(place, f"canary-{uuid.uuid4().hex}")

    def strange_text(self, place: str) -> str:
        return self.strange.setdefault(place, f"canary-{uuid.uuid4().hex}")


@dataclass(frozen=True)
class Traces:
    field: Field
    found: Mapping[str, str]
    """What each of PLACES holds."""
    allowed: str
    """What the Secrets hold that may hold it."""


def answers(field: Field) -> dict[str, tuple[Answer, Reason]]:
    """What a provider may answer, each with a text of its own in every corner."""
    text = field.strange_text

    def said(status: int, place: str, content_type: str = "text/html", **headers: str) -> Answer:
        body = f"<html><title>{text(place)}</title></html>".encode()
        return Answer(status, {"Content-Type": content_type, **headers}, body)

    return {
        "invalid-client": (
            Answer.of_error("invalid_client", 401, error_description=text("401"), error_uri=text("401 uri")),
            Reason.CLIENT_REJECTED,
        ),
        "own-error": (Answer.of_error(text("error code"), error_description=text("400")), Reason.REQUEST_REJECTED),
        "scope": (Answer.of_error("invalid_scope", error_description=text("scope")), Reason.SCOPE_REJECTED),
        "html-400": (said(400, "400 page"), Reason.REQUEST_REJECTED),
        "denied": (said(403, "403 page"), Reason.TOKEN_ENDPOINT_DENIED),
        "missing": (said(404, "404 page"), Reason.TOKEN_ENDPOINT_NOT_FOUND),
        "throttled": (
            said(429, "429 page", **{"Retry-After": "600", "X-Reason": text("429 header")}),
            Reason.PROVIDER_THROTTLED,
        ),
        "broken": (said(500, "500 page"), Reason.PROVIDER_UNAVAILABLE),
        "redirect": (
            Answer.of_redirect(f"https://login.example.com/?hint={text('redirect')}"),
            Reason.PROVIDER_REDIRECTED,
        ),
        "html-200": (said(200, "200 page"), Reason.PROVIDER_ANSWER_INVALID),
        "half-json": (
            Answer(200, {"Content-Type": "application/json"}, f'{{"access_token": "{text("half")}'.encode()),
            Reason.PROVIDER_ANSWER_INVALID,
        ),
        "token-with-newline": (
            Answer.of_token(f"{text('odd token')}\r\nX: y"),
            Reason.PROVIDER_ANSWER_INVALID,
        ),
        "error-with-200": (
            Answer.of_json({"error": "invalid_grant", "error_description": text("200 error")}),
            Reason.REQUEST_REJECTED,
        ),
    }


def issued(field: Field) -> Answer:
    """A good answer with more in it than was asked for."""
    answer = Answer.of_token(
        field.plant("access token"),
        refresh_token=field.strange_text("refresh token"),
        id_token=field.strange_text("id token"),
        userinfo={"mail": field.strange_text("extra member")},
    )
    headers = {**answer.headers, "Set-Cookie": f"session={field.strange_text('cookie')}"}
    return Answer(answer.status, headers, answer.body)


@pytest.fixture(scope="module")
def traces(
    environment: Any,
    kubernetes: Any,
    rings: Mapping[str, str],
    operator_kubeconfig: Path,
    operator_process: Callable[..., Any],
) -> Iterator[Traces]:
    name = f"canary-{uuid.uuid4().hex[:8]}"
    field = Field()
    with (
        kubernetes.client() as client,
        ScriptedProvider(tls=False) as provider,
        ScriptedProvider() as false_vault,
    ):
        kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        cluster = Cluster(client, name)
        tenant = Tenant(cluster, environment)
        audited = kubernetes.audit_offset()
        operator = operator_process(log_level="DEBUG").start()
        static_methods(field, cluster)
        scripted_answers(field, cluster, provider)
        real_answers(field, tenant)
        a_store_that_talks(field, tenant, false_vault)
        weather(field, tenant)
        asyncio.run(stored_grants(field, cluster, operator_kubeconfig, rings))
        served = pages(operator)
        files = written_files(operator.pid)
        described = [
            kubernetes.kubectl("describe", kind, "-n", name)
            for kind in ("connections", "credentialassetrefs", "credentialstores", "events", "secrets")
        ]
        # Of namespaces this one alone: others come and go meanwhile.
        described.append(kubernetes.kubectl("describe", "namespace", name))
        process = "".join(of_process(operator.pid, part) for part in ("environ", "cmdline"))
        operator.stop()
        stored = stored_objects(kubernetes.etcd_url)
        holders = {f"/registry/secrets/{name}/{holder}" for holder in field.holders}
        audit = "\n".join(json.dumps(one) for one in kubernetes.audit_events(audited))
        yield Traces(
            field,
            {
                "the log": operator.log.read_text(errors="replace"),
                "what it serves": json.dumps(served),
                "objects of the API server": "\n".join(
                    f"{key} {value}" for key, value in stored.items() if key not in holders
                ),
                "the audit log": audit,
                "kubectl describe": "\n".join(described),
                "its process": process + "\n".join(files),
            },
            "\n".join(value for key, value in stored.items() if key in holders),
        )
        tenant.close()
        client.delete(f"/api/v1/namespaces/{name}")


def hold(field: Field, cluster: Cluster, name: str, **data: str) -> None:
    """A source Secret."""
    field.holders.add(name)
    cluster.secret(name, **data)


def connect(field: Field, cluster: Cluster, name: str, **spec: Any) -> Object:
    field.holders.add(f"{name}-token")
    return cluster.connection(name, **spec)


def source(name: str, key: str) -> Object:
    return {"secretRef": {"name": name, "key": key}}


def static_methods(field: Field, cluster: Cluster) -> None:
    fields = {name: field.plant(name) for name in ("token", "apiKey", "password", "tenantKey")}
    hold(field, cluster, "static", **fields, binary=field.plant("value with NUL") + "\0")
    ways: dict[str, Object] = {
        "bearer": {"token": source("static", "token")},
        "api-key": {"apiKey": source("static", "apiKey")},
        "custom": {"tenantKey": source("static", "tenantKey")},
    }
    for connector, credentials in ways.items():
        connect(field, cluster, connector, connector=connector, credentials=credentials)
        cluster.wait_ready(connector)
    connect(
        field,
        cluster,
        "basic",
        connector="basic",
        auth={"username": "robot"},
        credentials={"password": source("static", "password")},
    )
    cluster.wait_ready("basic")
    connect(field, cluster, "binary", connector="bearer", credentials={"token": source("static", "binary")})
    cluster.wait_reason("binary", Reason.CREDENTIAL_INVALID)


def scripted_answers(field: Field, cluster: Cluster, provider: ScriptedProvider) -> None:
    hold(field, cluster, "scripted", secret=field.plant("client secret sent to a provider"))

    def ask(name: str) -> None:
        connect(
            field,
            cluster,
            name,
            connector="oauth2",
            parameters={"token_url": f"{provider.url}/{name}"},
            auth={"method": "clientCredentials", "clientId": "app"},
            credentials={"clientSecret": source("scripted", "secret")},
        )

    expected = answers(field)
    throttled = expected.pop("throttled")
    for name, (answer, _) in expected.items():
        provider.script(f"/{name}", answer)
        ask(name)
    for name, (_, reason) in expected.items():
        cluster.wait_reason(name, reason)
    provider.script("/issued", issued(field))
    ask("issued")
    cluster.wait_ready("issued")
    # Last, for the host is left alone afterwards.
    provider.script("/throttled", throttled[0])
    ask("throttled")
    cluster.wait_reason("throttled", throttled[1])


def real_answers(field: Field, tenant: Tenant) -> None:
    """Every grant and client authentication on the real server, right and wrong."""
    cluster, oauth, name = tenant.cluster, tenant.oauth, tenant.name
    key = rsa.generate_private_key(65537, 2048)
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain).decode()
    for number, line in enumerate(pem.splitlines()[1:-1]):
        field.planted[f"line {number} of the private key"] = line
    jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "key-1", "use": "sig", "alg": "RS256"}
    oauth.add_client(f"{name}-jwt", jwks={"keys": [jwk]}, auth_method="private_key_jwt")
    secret = field.plant("client secret")
    password = field.plant("password of a user")
    oauth.add_client(name, secret=secret, grant_types=("client_credentials", "password"), scopes=("api", "openid"))
    oauth.add_user(f"{name}-ada", password)
    tenant.on_close += [lambda: oauth.remove_client(f"{name}-jwt"), lambda: oauth.remove_user(f"{name}-ada")]
    hold(
        field,
        cluster,
        "real",
        secret=secret,
        password=password,
        key=pem,
        wrong=field.plant("wrong client secret"),
        wrongPassword=field.plant("wrong password"),
        wrongKey=f"-----BEGIN PRIVATE KEY-----\n{field.plant('malformed key')}\n-----END PRIVATE KEY-----\n",
    )
    client: Object = {"method": "clientCredentials", "clientId": name}
    user: Object = {"method": "password", "clientId": name, "username": f"{name}-ada"}
    signed = client | {"clientId": f"{name}-jwt", "clientAuthentication": "private_key_jwt", "keyId": "key-1"}
    ways: dict[str, tuple[Object, Mapping[str, str], Reason | None]] = {
        "basic-client": (client, {"clientSecret": "secret"}, None),
        "signed": (signed, {"privateKey": "key"}, None),
        "user": (user, {"clientSecret": "secret", "password": "password"}, None),
        "wrong-client": (client, {"clientSecret": "wrong"}, Reason.CLIENT_REJECTED),
        "wrong-user": (user, {"clientSecret": "secret", "password": "wrongPassword"}, Reason.CREDENTIALS_REJECTED),
        "wrong-key": (signed, {"privateKey": "wrongKey"}, Reason.CREDENTIAL_INVALID),
    }
    for one, (auth, keys, _) in ways.items():
        connect(
            field,
            cluster,
            one,
            connector="oauth2",
            parameters={"token_url": oauth.token_url},
            auth=auth,
            credentials={name: source("real", key) for name, key in keys.items()},
        )
    for one, (_, _, reason) in ways.items():
        if reason is not None:
            cluster.wait_reason(one, reason)
            continue
        cluster.wait_ready(one)
        field.planted[f"token of {one}"] = cluster.data(f"{one}-token")["access_token"]


def a_store_that_talks(field: Field, tenant: Tenant, vault: ScriptedProvider) -> None:
    """The real Vault, with more in it than is asked for; and one that answers with a text of its own every time."""
    cluster = tenant.cluster
    tenant.in_vault()
    tenant.put_in_vault(client_secret=field.plant("field of Vault"), other=field.strange_text("field nobody asked for"))
    field.holders.add("plain-token")
    tenant.hand_on("plain")
    cluster.wait_ready("plain")

    hold(field, cluster, "login", secret=field.plant("secret id"))
    login = Answer.of_json(
        {"auth": {"client_token": field.strange_text("login token"), "lease_duration": 3600, "policies": []}}
    )
    vault.script("/v1/auth/kubernetes/login", login)
    vault.script("/v1/auth/approle/login", Answer.of_json({"errors": [field.strange_text("login refused")]}, 400))
    vault.script("/v1/sys/seal-status", Answer.of_json({"sealed": False, "cluster": field.strange_text("seal")}))
    for resource in ("sys/internal/ui/mounts/kv", "auth/token/lookup-self"):
        vault.script(f"/v1/{resource}", Answer.of_json({"errors": [field.strange_text(resource)]}, 403))
    told = {
        "denied": (403, Reason.STORE_DENIED),
        "missing": (404, Reason.STORE_PATH_NOT_FOUND),
        "broken": (500, Reason.STORE_UNAVAILABLE),
        "nonsense": (200, Reason.STORE_ANSWER_INVALID),
    }
    address = {"address": vault.url, "caBundle": vault.ca_pem, "mount": "kv"}
    stores = {
        "own": {"kubernetes": {"role": "any", "audience": "vault"}},
        "shared": {"appRole": {"roleId": "any", "secretIdRef": tenant.login_ref()}},
    }
    for name, auth in stores.items():
        spec = {"vault": address | {"auth": auth}, "allowedNamespaces": {"names": [tenant.name]}}
        prefix = {"pathPrefix": "{namespace}/"} if name == "shared" else {}
        store = f"{tenant.name}-{name}"
        cluster.apply("CredentialStore", store, spec | prefix)
        tenant.on_close.append(lambda store=store: cluster.delete("CredentialStore", store))  # type: ignore[misc]
    for name, (status, _) in told.items():
        body = {"errors": [field.strange_text(f"store {name}")], "data": field.strange_text(f"store {name} data")}
        vault.script(f"/v1/kv/data/{tenant.name}/{name}", Answer.of_json(body, status))
        use_asset(field, tenant, f"{tenant.name}-own", name)
    use_asset(field, tenant, f"{tenant.name}-shared", "refused")
    for name, (_, reason) in told.items():
        cluster.wait_reason(f"use-{name}", reason)
    cluster.wait_reason("use-refused", Reason.STORE_LOGIN_REFUSED)
    cluster.wait_reason(f"{tenant.name}-shared", Reason.STORE_LOGIN_REFUSED, kind="CredentialStore")
    presented = json.loads(vault.requests("/v1/auth/kubernetes/login")[0].body)["jwt"]
    field.planted["presented ServiceAccount token"] = presented
    field.planted["signature of the presented token"] = presented.rpartition(".")[2]


def use_asset(field: Field, tenant: Tenant, store: str, name: str) -> None:
    spec = {"store": store, "path": f"{tenant.name}/{name}", "keys": {"token": "token"}, "serviceAccountName": "crm"}
    tenant.cluster.apply("CredentialAssetRef", name, spec)
    asset = {"credentialAssetRef": {"name": name, "key": "token"}}
    connect(field, tenant.cluster, f"use-{name}", connector="bearer", credentials={"token": asset})


def weather(field: Field, tenant: Tenant) -> None:
    """Changes, refusals of what was published, an end."""
    cluster = tenant.cluster
    hold(field, cluster, "static", token=field.plant("second token"))
    eventually(lambda: cluster.data("bearer-token")["token"] == field.planted["second token"])
    cluster.wait("Connection", "basic", lambda one: status_of(one, "CredentialsResolved") == "False")
    cluster.secret("taken", readable=False, data=field.plant("foreign Secret"))
    field.holders.add("taken")
    connect(
        field,
        cluster,
        "late",
        connector="bearer",
        secret={"name": "taken"},
        credentials={"token": source("static", "token")},
    )
    cluster.wait_reason("late", Reason.SECRET_CONFLICT)
    cluster.delete("Connection", "late")


async def stored_grants(field: Field, cluster: Cluster, kubeconfig: Path, rings: Mapping[str, str]) -> None:
    """State Secrets hold tokens and may show none; rings are mounted files, whose keys stay there."""
    for name, path in rings.items():
        for key in parse_keys(Path(path).read_text()):
            field.planted[f"key of {name}"] = base64.b64encode(key.material).decode()
            field.planted[f"key of {name} in hexadecimal"] = key.material.hex()
    tokens = ("access_token", "refresh_token", "previous_refresh_token")
    one = grant(**{name: Sensitive(field.plant(f"{name} of a grant")) for name in tokens})
    ring = KeyringFile(Path(rings["keyring_grant"]))
    intent = Intent("i", 1, "operator-0", one.issued_at, one.issued_at)
    async with Kube(from_file(kubeconfig)) as kube:
        store = GrantStore(kube, cluster.namespace, ring.current, "canary")
        stored = await store.create("a-grant", "sales/crm", one, now=one.issued_at)
        await store.write("a-grant", "sales/crm", replace(stored, intent=intent), now=one.issued_at)
        assert await store.read("a-grant", "sales/crm") is not None


@pytest.mark.spec("C8", "A2")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("place", PLACES)
def test_no_secret_and_no_strangers_text_is_in(place: str, traces: Traces) -> None:
    content = traces.found[place]
    found = [
        where
        for where, value in (traces.field.planted | traces.field.strange).items()
        if any(form in content for form in forms(value))
    ]
    assert found == [], f"planted as {', '.join(found)}"


@pytest.mark.spec("C8")
@pytest.mark.timeout(240)
def test_the_search_finds_what_is_there(traces: Traces) -> None:
    """Otherwise its silence would prove nothing."""
    for where in ("second token", "apiKey", "password", "field of Vault", "access token", "token of signed"):
        assert traces.field.planted[where] in traces.allowed, where
    assert "reason changed" in traces.found["the log"]
    assert "token request" in traces.found["the log"]
    assert "ClientRejected" in traces.found["objects of the API server"]
    assert "ClientRejected" in traces.found["kubectl describe"]
    assert "lanyard.dev/grant-generation" in traces.found["objects of the API server"]
    assert "grant-a-grant" in traces.found["kubectl describe"]
    assert "grant-a-grant" in traces.found["the audit log"]
    assert "lanyard_token_requests" in traces.found["what it serves"]
    assert "lanyard-operator" in traces.found["the audit log"]
    assert "LANYARD_KUBECONFIG" in traces.found["its process"]


@pytest.mark.spec("C8")
@pytest.mark.timeout(240)
def test_what_a_stranger_adds_is_not_even_in_the_secret(traces: Traces) -> None:
    """A refresh token that nobody asked for is dropped unread, like everything else that an answer brings along."""
    found = [where for where, value in traces.field.strange.items() if value in traces.allowed]
    assert found == []
