"""Vault through the eyes of `stores.vault`: a real server, real ServiceAccount tokens, real seals."""

import asyncio
import gc
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lanyard.api.meta import PlatformSecretKeyRef
from lanyard.api.store import StoreSpec
from lanyard.clients.egress import EgressPolicy
from lanyard.clients.http import Outbound
from lanyard.errors import StoreError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from lanyard.stores.vault import Login, VaultReader
from support.connect_proxy import ConnectProxy
from support.provider import Answer, Recorded, ScriptedProvider

CANARY = "c4n4ry-of-the-store"
AUDIENCE = "vault"

Body = dict[str, Any]


@dataclass
class Server:
    """An administrator's hands at the real Vault, and names of this test's own."""

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


@pytest.fixture
def server(vault: Any, kubernetes: Any) -> Iterator[Server]:
    server = Server(vault, kubernetes)
    for tenant in ("a", "b"):
        name = {"namespace": server.tenant(tenant), "name": "default"}
        kubernetes.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name["namespace"]}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name},
        )
    yield server
    with kubernetes.client() as client:
        for tenant in ("a", "b"):
            client.delete(f"/api/v1/namespaces/{server.tenant(tenant)}")


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with Outbound(EgressPolicy()) as outbound:
        yield outbound


@pytest.fixture
def reader(outbound: Outbound) -> VaultReader:
    return VaultReader(outbound, deadline=5)


async def reason(reader: VaultReader, login: Login, path: str, version: str | None = None) -> Reason:
    """Why a read is refused; by the way, nothing of what the store knows is in the message."""
    with pytest.raises(StoreError) as caught:
        await reader.read(login, path, version)
    assert CANARY not in f"{caught.value.message} {caught.value!r} {caught.value.facts}"
    assert caught.value.__cause__ is None
    assert "?" not in caught.value.message, "every fact of the message is known"
    return caught.value.reason


@pytest.mark.spec("A1", "A10", "A+2")
@pytest.mark.parametrize("mount", ["kubernetes", "jwt"])
async def test_a_secret_is_read_with_the_tenants_own_service_account(
    server: Server, reader: VaultReader, mount: str
) -> None:
    a = server.tenant("a")
    server.vault.put(f"{a}/apps/crm", {"client_id": "crm", "client_secret": CANARY, "pin": 5})
    role = server.role(f"kv/data/{a}/*", mount=mount)
    login = server.login({mount: {"role": role, "audience": AUDIENCE}})
    value = await reader.read(login, f"{a}/apps/crm", None)
    assert {name: one.reveal() for name, one in value.fields.items()} == {"client_id": "crm", "client_secret": CANARY}
    assert value.unusable == {"pin"}
    assert CANARY not in repr(value)


@pytest.mark.spec("A10")
async def test_kv_version_1_is_read_and_its_version_follows_the_content(server: Server, reader: VaultReader) -> None:
    server.vault.write(f"kv1/{server.mark}/crm", {"password": "one"})
    login = server.by_kubernetes(server.role(f"kv1/{server.mark}/*"), mount="kv1", kvVersion=1)
    first = await reader.read(login, f"{server.mark}/crm", None)
    assert first.fields["password"].reveal() == "one"
    assert await reader.current_version(login, f"{server.mark}/crm", None) == first.version
    server.vault.write(f"kv1/{server.mark}/crm", {"password": "two"})
    assert await reader.current_version(login, f"{server.mark}/crm", None) != first.version
    assert await reason(reader, login, f"{server.mark}/crm", "1") is Reason.STORE_VERSION_NOT_FOUND


@pytest.mark.spec("A10")
async def test_names_with_every_character_that_the_schema_takes_are_read(server: Server, reader: VaultReader) -> None:
    path = f"{server.mark}/a b+c@d:e_f.g-h/crm"
    server.vault.write(f"kv/data/{path.replace(' ', '%20').replace('+', '%2B')}", {"data": {"password": CANARY}})
    login = server.by_kubernetes(server.role(f"kv/data/{server.mark}/*"))
    assert (await reader.read(login, path, None)).fields["password"].reveal() == CANARY


@pytest.mark.spec("A+2")
async def test_two_tenants_see_only_their_own_paths(server: Server, reader: VaultReader) -> None:
    a, b = server.tenant("a"), server.tenant("b")
    for tenant in (a, b):
        server.vault.put(f"{tenant}/crm", {"password": f"of {tenant}"})
    accessor = server.vault.read("sys/auth")["data"]["kubernetes/"]["accessor"]
    owner = f"{{{{identity.entity.aliases.{accessor}.metadata.service_account_namespace}}}}"
    role = server.role(f"kv/data/{owner}/*")
    store_id = "one-store/1"
    logins = {name: replace(server.by_kubernetes(role, tenant=name), store_id=store_id) for name in ("a", "b")}
    assert (await reader.read(logins["a"], f"{a}/crm", None)).fields["password"].reveal() == f"of {a}"
    assert (await reader.read(logins["b"], f"{b}/crm", None)).fields["password"].reveal() == f"of {b}"
    assert await reason(reader, logins["a"], f"{b}/crm") is Reason.STORE_DENIED
    assert await reason(reader, logins["b"], f"{a}/crm") is Reason.STORE_DENIED


@pytest.mark.spec("A+2")
async def test_a_shared_login_reads_below_the_tenants_prefix_only(server: Server, reader: VaultReader) -> None:
    a, b = server.tenant("a"), server.tenant("b")
    for path in (f"tenants/{a}", f"tenants/{b}", f"tenants/{a}x"):
        server.vault.put(f"{path}/crm", {"password": CANARY})
    login = server.by_approle("kv/data/tenants/*", prefix="tenants/{namespace}/")
    assert (await reader.read(login, f"tenants/{a}/crm", None)).fields["password"].reveal() == CANARY
    for path in (
        f"tenants/{b}/crm",
        f"tenants/{a}x/crm",
        f"tenants/{a}/../{b}/crm",
        f"tenants/{a}/./crm",
        f"tenants/{a}//crm",
        f"tenants/{a}/%2e%2e/{b}/crm",
        f"tenants/{a}/crm?version=1",
        f"/tenants/{a}/crm",
        "tenants/{namespace}/crm",
    ):
        assert await reason(reader, login, path) is Reason.STORE_PATH_NOT_ALLOWED, path
        with pytest.raises(StoreError, match="outside"):
            await reader.current_version(login, path, None)
    unconfined = replace(login, spec=login.spec.model_copy(update={"path_prefix": None}))
    assert await reason(reader, unconfined, f"tenants/{b}/crm") is Reason.STORE_INVALID


@pytest.mark.spec("A10")
async def test_a_token_of_the_platform_is_a_login_too(server: Server, reader: VaultReader) -> None:
    a = server.tenant("a")
    server.vault.put(f"{a}/crm", {"password": CANARY})
    good = server.vault.token(policies=[server.policy("own", f"kv/data/{a}/crm")])
    value = await reader.read(server.by_token(f" {good}\n"), f"{a}/crm", None)
    assert value.fields["password"].reveal() == CANARY
    assert await reason(reader, server.by_token(good), f"{a}/else") is Reason.STORE_DENIED
    for bad in (f"hvs.{CANARY}", "two\nlines", "ünicode", ""):
        assert await reason(reader, server.by_token(bad), f"{a}/crm") is Reason.STORE_LOGIN_REFUSED
        with pytest.raises(StoreError) as caught:
            await reader.check(server.by_token(bad))
        assert caught.value.reason is Reason.STORE_LOGIN_REFUSED
    await reader.check(server.by_token(good))


@pytest.mark.spec("A+1")
async def test_denied_missing_path_and_missing_version_are_told_apart(server: Server, reader: VaultReader) -> None:
    path = f"{server.mark}/crm"
    for number in (1, 2, 3):
        server.vault.put(path, {"password": f"{number}"})
    server.vault.write(f"kv/delete/{path}", {"versions": [1]})
    server.vault.write(f"kv/destroy/{path}", {"versions": [2]})
    server.vault.put(f"{server.mark}/gone", {"password": CANARY})
    server.vault.delete(f"kv/data/{server.mark}/gone")
    login = server.by_kubernetes(server.role(f"kv/data/{server.mark}/*"))
    assert (await reader.read(login, path, "3")).fields["password"].reveal() == "3"
    assert await reason(reader, login, path, "1") is Reason.STORE_VERSION_NOT_FOUND
    assert await reason(reader, login, path, "2") is Reason.STORE_VERSION_NOT_FOUND
    assert await reason(reader, login, path, "9") is Reason.STORE_VERSION_NOT_FOUND
    assert await reason(reader, login, f"{server.mark}/gone", "7") is Reason.STORE_VERSION_NOT_FOUND
    assert await reason(reader, login, f"{server.mark}/gone") is Reason.STORE_PATH_NOT_FOUND
    assert await reason(reader, login, f"{server.mark}/none") is Reason.STORE_PATH_NOT_FOUND
    assert await reason(reader, login, f"{server.mark}/none", "1") is Reason.STORE_PATH_NOT_FOUND
    assert await reason(reader, login, "elsewhere/crm") is Reason.STORE_DENIED


@pytest.mark.spec("A+1")
@pytest.mark.parametrize("wide", [True, False], ids=["with a wide policy", "with a policy for the right path only"])
async def test_a_mount_of_the_other_kv_version_is_told(server: Server, reader: VaultReader, wide: bool) -> None:
    path = f"{server.mark}/crm"
    server.vault.put(path, {"password": CANARY})
    server.vault.write(f"kv1/{path}", {"password": CANARY})
    server.vault.write(f"kv1/data/{server.mark}/trap", {"data": CANARY})
    rules = ("kv/*", "kv1/*", "nowhere/*") if wide else (f"kv/data/{path}", f"kv1/{path}")
    role = server.role(*rules)
    one_as_two = server.by_kubernetes(role, mount="kv1", kvVersion=2)
    two_as_one = server.by_kubernetes(role, mount="kv", kvVersion=1)
    below = server.by_kubernetes(role, mount=f"kv/data/{server.mark}", kvVersion=1)
    assert await reason(reader, one_as_two, path) is Reason.STORE_KV_MISMATCH
    assert await reason(reader, one_as_two, f"{server.mark}/trap") is Reason.STORE_KV_MISMATCH
    assert await reason(reader, two_as_one, path) is Reason.STORE_KV_MISMATCH
    assert await reason(reader, two_as_one, f"data/{path}") is Reason.STORE_KV_MISMATCH
    assert await reason(reader, below, "crm") is Reason.STORE_KV_MISMATCH
    for kv in (1, 2):
        missing = server.by_kubernetes(role, mount="nowhere", kvVersion=kv)
        assert await reason(reader, missing, path) is (Reason.STORE_KV_MISMATCH if wide else Reason.STORE_DENIED)


@pytest.mark.spec("A+1")
@pytest.mark.parametrize(
    "auth",
    [
        pytest.param({"kubernetes": {"role": "no-such-role", "audience": AUDIENCE}}, id="a role that does not exist"),
        pytest.param({"kubernetes": {"role": "{role}", "audience": "other"}}, id="another audience"),
        pytest.param(
            {"kubernetes": {"role": "{role}", "audience": AUDIENCE, "mount": "nowhere"}}, id="no such login method"
        ),
        pytest.param({"jwt": {"role": "{role}", "audience": AUDIENCE}}, id="a role of another login method"),
    ],
)
async def test_a_login_is_refused_for(server: Server, reader: VaultReader, auth: dict[str, Body]) -> None:
    role = server.role(f"kv/data/{server.mark}/*")
    ((method, fields),) = auth.items()
    login = server.login({method: {**fields, "role": fields["role"].replace("{role}", role)}})
    assert await reason(reader, login, f"{server.mark}/crm") is Reason.STORE_LOGIN_REFUSED


@pytest.mark.spec("A+1", "A+2")
async def test_a_service_account_that_the_role_does_not_name_is_refused(server: Server, reader: VaultReader) -> None:
    role = server.role(f"kv/data/{server.mark}/*", namespaces=[server.tenant("b")])
    assert await reason(reader, server.by_kubernetes(role), f"{server.mark}/crm") is Reason.STORE_LOGIN_REFUSED


@pytest.mark.spec("A+1")
async def test_a_wrong_secret_id_is_a_refused_login_also_for_the_store_itself(
    server: Server, reader: VaultReader
) -> None:
    good = server.by_approle("kv/data/*")
    await reader.check(good)
    bad = replace(good, store_id="other/1", shared_secret=always("wrong"))
    assert await reason(reader, bad, f"{server.tenant('a')}/crm") is Reason.STORE_LOGIN_REFUSED
    with pytest.raises(StoreError) as caught:
        await reader.check(bad)
    assert caught.value.reason is Reason.STORE_LOGIN_REFUSED


@pytest.mark.spec("A+1")
async def test_a_sealed_vault_is_told_from_a_denied_one_and_works_again_when_unsealed(
    server: Server, reader: VaultReader
) -> None:
    path = f"{server.mark}/crm"
    server.vault.put(path, {"password": CANARY})
    login = server.by_kubernetes(server.role(f"kv/data/{server.mark}/*"))
    before = await reader.read(login, path, None)
    server.vault.seal()
    try:
        assert await reason(reader, login, path) is Reason.STORE_SEALED
        assert await reason(reader, replace(login, store_id="no-session/1"), path) is Reason.STORE_SEALED
        with pytest.raises(StoreError) as caught:
            await reader.check(login)
        assert caught.value.reason is Reason.STORE_SEALED
        with pytest.raises(StoreError) as caught:
            await reader.current_version(login, path, None)
        assert caught.value.reason is Reason.STORE_SEALED
    finally:
        server.vault.unseal()
    assert await reader.read(login, path, None) == before
    await reader.check(login)


@pytest.mark.spec("A+1")
async def test_a_store_that_is_gone_for_a_while_works_again_when_it_is_back(
    server: Server, reader: VaultReader
) -> None:
    path = f"{server.mark}/crm"
    server.vault.put(path, {"password": CANARY})
    login = server.by_kubernetes(server.role(f"kv/data/{server.mark}/*"))
    before = await reader.read(login, path, None)
    server.vault.stop()
    try:
        assert await reason(reader, login, path) is Reason.STORE_UNAVAILABLE
        with pytest.raises(StoreError) as caught:
            await reader.check(login)
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
    finally:
        server.vault.start()
    assert await reader.read(login, path, None) == before
    await reader.check(login)


@pytest.mark.spec("A5", "A+1")
async def test_an_untrusted_certificate_is_told_from_a_store_that_does_not_answer(
    server: Server, reader: VaultReader, unused_tcp_port: int
) -> None:
    role = server.role(f"kv/data/{server.mark}/*")
    with ScriptedProvider() as other:
        stranger = server.by_kubernetes(role, caBundle=other.ca_pem)
    untrusted = server.by_kubernetes(role, caBundle=None)
    broken = server.by_kubernetes(role, caBundle="-----BEGIN CERTIFICATE-----\nnot one")
    for login in (stranger, untrusted, broken):
        assert await reason(reader, login, "crm") is Reason.STORE_TLS_FAILED
    for address in (f"https://127.0.0.1:{unused_tcp_port}", "https://nowhere.invalid"):
        assert await reason(reader, server.by_kubernetes(role, address=address), "crm") is Reason.STORE_UNAVAILABLE
    plain = server.by_kubernetes(role, address=f"http://127.0.0.1:{unused_tcp_port}")
    assert await reason(reader, plain, "crm") is Reason.STORE_INVALID


@pytest.mark.spec("A+1")
async def test_a_login_is_used_again_and_an_ended_one_is_renewed_in_the_same_pass(
    server: Server, reader: VaultReader
) -> None:
    path = f"{server.mark}/crm"
    server.vault.put(path, {"password": CANARY})
    login = server.by_kubernetes(server.role(f"kv/data/{server.mark}/*"))
    await asyncio.gather(*(reader.read(login, path, None) for _ in range(5)))
    assert reader.logins == 1
    server.vault.write("sys/leases/revoke-prefix/auth/kubernetes/login", {})
    values = await asyncio.gather(*(reader.read(login, path, None) for _ in range(5)))
    assert {value.fields["password"].reveal() for value in values} == {CANARY}
    assert reader.logins == 2, "one new login for all that met the ended one"
    server.policy("own", "nothing/any/more")
    assert await reason(reader, login, path) is Reason.STORE_DENIED
    assert reader.logins == 3, "denied with a new login is denied"


@pytest.mark.spec("A+1")
async def test_a_login_is_renewed_ahead_of_the_end_of_its_lease(server: Server, outbound: Outbound) -> None:
    now = time.monotonic()
    reader = VaultReader(outbound, clock=lambda: now)
    path = f"{server.mark}/crm"
    server.vault.put(path, {"password": CANARY})
    login = server.by_kubernetes(server.role(f"kv/data/{server.mark}/*", token_ttl="100s"))
    await reader.read(login, path, None)
    now += 89
    await reader.read(login, path, None)
    assert reader.logins == 1
    now += 1
    await reader.read(login, path, None)
    assert reader.logins == 2


@pytest.mark.spec("A2", "A4")
@pytest.mark.parametrize("metadata", [True, False], ids=["by metadata", "by a read where the policy denies metadata"])
async def test_a_new_version_is_seen(server: Server, reader: VaultReader, metadata: bool) -> None:
    path = f"{server.mark}/crm"
    rules = [f"kv/data/{path}"] + ([f"kv/metadata/{path}"] if metadata else [])
    login = server.by_kubernetes(server.role(*rules))
    server.vault.put(path, {"password": "one"})
    first = await reader.read(login, path, None)
    assert await reader.current_version(login, path, None) == first.version
    server.vault.put(path, {"password": "two"})
    second = await reader.read(login, path, None)
    assert await reader.current_version(login, path, None) == second.version != first.version
    assert await reader.current_version(login, path, "1") == first.version
    server.vault.delete(f"kv/metadata/{path}")
    with pytest.raises(StoreError) as caught:
        await reader.current_version(login, path, None)
    assert caught.value.reason is Reason.STORE_PATH_NOT_FOUND
    server.vault.put(path, {"password": "one again"})
    assert await reader.current_version(login, path, None) != first.version, "version 1 of another life"


@pytest.mark.spec("A12", "C15")
async def test_a_store_is_reached_through_its_own_proxy(server: Server, reader: VaultReader) -> None:
    path = f"{server.mark}/crm"
    server.vault.put(path, {"password": CANARY})
    role = server.role(f"kv/data/{server.mark}/*")
    with ConnectProxy() as proxy:
        login = server.by_kubernetes(role, proxy=proxy.url)
        assert (await reader.read(login, path, None)).fields["password"].reveal() == CANARY
        assert set(proxy.tunnels()) == {server.vault.url.removeprefix("https://")}
        proxy.refuse_with = 403
        async with Outbound(EgressPolicy()) as outbound:
            assert await reason(VaultReader(outbound), login, path) is Reason.STORE_UNAVAILABLE
    tunnels = len(proxy.tunnels())
    assert (await reader.read(server.by_kubernetes(role), path, None)).fields["password"].reveal() == CANARY
    assert len(proxy.tunnels()) == tunnels


async def test_what_a_reader_keeps_contains_no_token_of_the_store(server: Server, reader: VaultReader) -> None:
    path = f"{server.mark}/crm"
    server.vault.put(path, {"password": CANARY})
    login = server.by_kubernetes(server.role(f"kv/data/{server.mark}/*"))
    await reader.read(login, path, None)
    session = await reader._sessions.get(login)
    token = session.token.reveal()
    del session
    held = reachable(reader._sessions._kept) + reachable(reader._sessions._flights)
    assert held
    assert not [one for one in held if isinstance(one, str) and token in one]
    assert not [one for one in held if isinstance(one, bytes) and token.encode() in one]


def reachable(root: object) -> list[object]:
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen[id(one)] = one
        waiting.extend(gc.get_referents(one))
    return list(seen.values())


@pytest.mark.spec("A10")
async def test_the_vault_namespace_goes_with_every_call(server: Server, outbound: Outbound) -> None:
    """Checked at a recording server: namespaces are an Enterprise feature, OpenBao has them too."""

    def vault(request: Recorded) -> Answer:
        if request.path.endswith("/login"):
            return Answer.of_json({"auth": {"client_token": "hvs.t", "lease_duration": 60}})
        if request.path.endswith("/seal-status"):
            return Answer.of_json({"sealed": False})
        if "/mounts/" in request.path:
            return Answer.of_json({"errors": []}, 403)
        return Answer.of_json({"errors": []}, 404)

    with ScriptedProvider() as scripted:
        for path in (
            "/v1/auth/kubernetes/login",
            "/v1/sys/seal-status",
            "/v1/sys/internal/ui/mounts/kv",
            "/v1/kv/data/crm",
            "/v1/kv/metadata/crm",
        ):
            scripted.script(path, vault)
        reader = VaultReader(outbound)
        login = server.by_kubernetes("r", address=scripted.url, caBundle=scripted.ca_pem, namespace="admin/team")
        assert await reason(reader, login, "crm", "4") is Reason.STORE_PATH_NOT_FOUND
        with pytest.raises(StoreError):
            await reader.current_version(login, "crm", None)
        await reader.check(login)
        seen = scripted.requests()
    assert {request.path for request in seen} >= set(scripted._scripts)
    assert {request.header("X-Vault-Namespace") for request in seen} == {"admin/team"}
    assert {request.header("X-Vault-Request") for request in seen} == {"true"}


@pytest.mark.spec("A+1")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Answer.of_html(text=CANARY), Reason.STORE_ANSWER_INVALID, id="a login page"),
        pytest.param(Answer.of_html(404, CANARY), Reason.STORE_ANSWER_INVALID, id="a page that says not found"),
        pytest.param(Answer.of_html(403, CANARY), Reason.STORE_ANSWER_INVALID, id="a firewall's page"),
        pytest.param(Answer.of_json([CANARY]), Reason.STORE_ANSWER_INVALID, id="JSON that is no object"),
        pytest.param(Answer.of_json({"data": CANARY}), Reason.STORE_ANSWER_INVALID, id="data that is no object"),
        pytest.param(Answer(200, {}, b'{"data":' * 50_000), Reason.STORE_ANSWER_INVALID, id="JSON of great depth"),
        pytest.param(
            Answer.of_json({"data": {"data": [1], "metadata": {"version": 1}}}),
            Reason.STORE_ANSWER_INVALID,
            id="fields that are no object",
        ),
        pytest.param(Answer.of_redirect("https://elsewhere.example"), Reason.STORE_ANSWER_INVALID, id="a redirect"),
        pytest.param(Answer.of_size(), Reason.STORE_ANSWER_INVALID, id="10 MB"),
        pytest.param(Answer.of_json({"errors": [CANARY]}, 400), Reason.STORE_ANSWER_INVALID, id="a status 400"),
        pytest.param(Answer.of_json({"errors": [CANARY]}, 500), Reason.STORE_UNAVAILABLE, id="a fault of the server"),
        pytest.param(Answer.of_html(502, CANARY), Reason.STORE_UNAVAILABLE, id="a gateway without a server"),
        pytest.param(Answer.of_html(503, CANARY), Reason.STORE_UNAVAILABLE, id="a gateway that is not ready"),
        pytest.param(Answer.of_json({"errors": []}, 429), Reason.STORE_UNAVAILABLE, id="a rate limit"),
        pytest.param(
            Answer.of_json({"errors": ["Vault is sealed"]}, 503), Reason.STORE_SEALED, id="a seal, in its own words"
        ),
    ],
)
async def test_what_does_not_answer_like_a_vault_is_told(
    server: Server, reader: VaultReader, answer: Answer, expected: Reason
) -> None:
    with ScriptedProvider() as scripted:
        login = server.by_kubernetes("r", address=scripted.url, caBundle=scripted.ca_pem)
        scripted.script("/v1/auth/kubernetes/login", answer)
        in_login = await reason(reader, login, "crm")
        assert in_login is (Reason.STORE_LOGIN_REFUSED if answer.status == 400 else expected)
        scripted.script(
            "/v1/auth/kubernetes/login", Answer.of_json({"auth": {"client_token": "hvs.t", "lease_duration": 60}})
        )
        scripted.script("/v1/kv/data/crm", answer)
        scripted.script("/v1/sys/internal/ui/mounts/kv", Answer.of_json({"errors": []}, 403))
        assert await reason(reader, login, "crm") is expected
        good = {"data": {"data": {"password": "p"}, "metadata": {"version": 1}}}
        scripted.script("/v1/kv/data/crm", Answer.of_json(good))
        assert (await reader.read(login, "crm", None)).fields["password"].reveal() == "p"


@pytest.mark.spec("A+1")
async def test_a_seal_is_found_behind_a_gateway_that_hides_it(server: Server, reader: VaultReader) -> None:
    with ScriptedProvider() as scripted:
        scripted.script("/v1/auth/kubernetes/login", Answer.of_html(503))
        scripted.script("/v1/sys/seal-status", Answer.of_json({"sealed": True}))
        login = server.by_kubernetes("r", address=scripted.url, caBundle=scripted.ca_pem)
        assert await reason(reader, login, "crm") is Reason.STORE_SEALED
        with pytest.raises(StoreError) as caught:
            await reader.check(login)
        assert caught.value.reason is Reason.STORE_SEALED
        scripted.script("/v1/sys/seal-status", Answer.of_json({"status": "ok"}))
        with pytest.raises(StoreError) as caught:
            await reader.check(login)
        assert caught.value.reason is Reason.STORE_ANSWER_INVALID
