"""Vault through the eyes of `stores.vault`: a real server, real ServiceAccount tokens, real seals."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from lanyard.clients.egress import EgressPolicy
from lanyard.clients.http import Outbound
from lanyard.errors import StoreError
from lanyard.reasons import Reason
from lanyard.stores.vault import VaultReader
from support.connect_proxy import ConnectProxy
from support.provider import ScriptedProvider
from support.vault_logins import AUDIENCE, CANARY, Body, Server, always, reason_of


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
    assert await reason_of(reader, login, f"{server.mark}/crm", "1") is Reason.STORE_VERSION_NOT_FOUND


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
    assert await reason_of(reader, logins["a"], f"{b}/crm") is Reason.STORE_DENIED
    assert await reason_of(reader, logins["b"], f"{a}/crm") is Reason.STORE_DENIED


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
        assert await reason_of(reader, login, path) is Reason.STORE_PATH_NOT_ALLOWED, path
        with pytest.raises(StoreError, match="outside"):
            await reader.current_version(login, path, None)
    unconfined = replace(login, spec=login.spec.model_copy(update={"path_prefix": None}))
    assert await reason_of(reader, unconfined, f"tenants/{b}/crm") is Reason.STORE_INVALID


@pytest.mark.spec("A10")
async def test_a_token_of_the_platform_is_a_login_too(server: Server, reader: VaultReader) -> None:
    a = server.tenant("a")
    server.vault.put(f"{a}/crm", {"password": CANARY})
    good = server.vault.token(policies=[server.policy("own", f"kv/data/{a}/crm")])
    value = await reader.read(server.by_token(f" {good}\n"), f"{a}/crm", None)
    assert value.fields["password"].reveal() == CANARY
    assert await reason_of(reader, server.by_token(good), f"{a}/else") is Reason.STORE_DENIED
    for bad in (f"hvs.{CANARY}", "two\nlines", "ünicode", ""):
        assert await reason_of(reader, server.by_token(bad), f"{a}/crm") is Reason.STORE_LOGIN_REFUSED
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
    assert await reason_of(reader, login, path, "1") is Reason.STORE_VERSION_NOT_FOUND
    assert await reason_of(reader, login, path, "2") is Reason.STORE_VERSION_NOT_FOUND
    assert await reason_of(reader, login, path, "9") is Reason.STORE_VERSION_NOT_FOUND
    assert await reason_of(reader, login, f"{server.mark}/gone", "7") is Reason.STORE_VERSION_NOT_FOUND
    assert await reason_of(reader, login, f"{server.mark}/gone") is Reason.STORE_PATH_NOT_FOUND
    assert await reason_of(reader, login, f"{server.mark}/none") is Reason.STORE_PATH_NOT_FOUND
    assert await reason_of(reader, login, f"{server.mark}/none", "1") is Reason.STORE_PATH_NOT_FOUND
    assert await reason_of(reader, login, "elsewhere/crm") is Reason.STORE_DENIED


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
    assert await reason_of(reader, one_as_two, path) is Reason.STORE_KV_MISMATCH
    assert await reason_of(reader, one_as_two, f"{server.mark}/trap") is Reason.STORE_KV_MISMATCH
    assert await reason_of(reader, two_as_one, path) is Reason.STORE_KV_MISMATCH
    assert await reason_of(reader, two_as_one, f"data/{path}") is Reason.STORE_KV_MISMATCH
    assert await reason_of(reader, below, "crm") is Reason.STORE_KV_MISMATCH
    for kv in (1, 2):
        missing = server.by_kubernetes(role, mount="nowhere", kvVersion=kv)
        assert await reason_of(reader, missing, path) is (Reason.STORE_KV_MISMATCH if wide else Reason.STORE_DENIED)


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
    assert await reason_of(reader, login, f"{server.mark}/crm") is Reason.STORE_LOGIN_REFUSED


@pytest.mark.spec("A+1", "A+2")
async def test_a_service_account_that_the_role_does_not_name_is_refused(server: Server, reader: VaultReader) -> None:
    role = server.role(f"kv/data/{server.mark}/*", namespaces=[server.tenant("b")])
    assert await reason_of(reader, server.by_kubernetes(role), f"{server.mark}/crm") is Reason.STORE_LOGIN_REFUSED


@pytest.mark.spec("A+1")
async def test_a_wrong_secret_id_is_a_refused_login_also_for_the_store_itself(
    server: Server, reader: VaultReader
) -> None:
    good = server.by_approle("kv/data/*")
    await reader.check(good)
    bad = replace(good, store_id="other/1", shared_secret=always("wrong"))
    assert await reason_of(reader, bad, f"{server.tenant('a')}/crm") is Reason.STORE_LOGIN_REFUSED
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
        assert await reason_of(reader, login, path) is Reason.STORE_SEALED
        assert await reason_of(reader, replace(login, store_id="no-session/1"), path) is Reason.STORE_SEALED
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
        assert await reason_of(reader, login, path) is Reason.STORE_UNAVAILABLE
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
        assert await reason_of(reader, login, "crm") is Reason.STORE_TLS_FAILED
    for address in (f"https://127.0.0.1:{unused_tcp_port}", "https://nowhere.invalid"):
        assert await reason_of(reader, server.by_kubernetes(role, address=address), "crm") is Reason.STORE_UNAVAILABLE
    plain = server.by_kubernetes(role, address=f"http://127.0.0.1:{unused_tcp_port}")
    assert await reason_of(reader, plain, "crm") is Reason.STORE_INVALID


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
    assert await reason_of(reader, login, path) is Reason.STORE_DENIED
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
            assert await reason_of(VaultReader(outbound), login, path) is Reason.STORE_UNAVAILABLE
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
