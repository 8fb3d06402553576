"""What stands at a store's address may be anything: `stores.vault` against a server that answers as scripted."""

from collections.abc import AsyncIterator
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
from support.provider import Answer, Recorded, ScriptedProvider
from support.vault_logins import CANARY, reason_of


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with Outbound(EgressPolicy()) as outbound:
        yield outbound


@pytest.fixture
def reader(outbound: Outbound) -> VaultReader:
    return VaultReader(outbound, deadline=5)


def login_at(scripted: ScriptedProvider, **changes: Any) -> Login:
    async def present(audience: str) -> Sensitive:
        return Sensitive(f"token for {audience}")

    async def nothing(ref: PlatformSecretKeyRef) -> Sensitive:
        raise AssertionError(ref)

    auth = {"kubernetes": {"role": "r", "audience": "vault"}}
    vault = {"address": scripted.url, "caBundle": scripted.ca_pem, "mount": "kv", "auth": auth} | changes
    return Login(
        store="team-vault",
        store_id="uid/1",
        spec=StoreSpec.model_validate({"vault": vault, "allowedNamespaces": {"selector": {}}}),
        namespace="sales",
        service_account="sales/default",
        present=present,
        shared_secret=nothing,
    )


@pytest.mark.spec("A10")
async def test_the_vault_namespace_goes_with_every_call(outbound: Outbound) -> None:
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
        login = login_at(scripted, namespace="admin/team")
        assert await reason_of(reader, login, "crm", "4") is Reason.STORE_PATH_NOT_FOUND
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
async def test_what_does_not_answer_like_a_vault_is_told(reader: VaultReader, answer: Answer, expected: Reason) -> None:
    with ScriptedProvider() as scripted:
        login = login_at(scripted)
        scripted.script("/v1/auth/kubernetes/login", answer)
        in_login = await reason_of(reader, login, "crm")
        assert in_login is (Reason.STORE_LOGIN_REFUSED if answer.status == 400 else expected)
        scripted.script(
            "/v1/auth/kubernetes/login", Answer.of_json({"auth": {"client_token": "hvs.t", "lease_duration": 60}})
        )
        scripted.script("/v1/kv/data/crm", answer)
        scripted.script("/v1/sys/internal/ui/mounts/kv", Answer.of_json({"errors": []}, 403))
        assert await reason_of(reader, login, "crm") is expected
        good = {"data": {"data": {"password": "p"}, "metadata": {"version": 1}}}
        scripted.script("/v1/kv/data/crm", Answer.of_json(good))
        assert (await reader.read(login, "crm", None)).fields["password"].reveal() == "p"


@pytest.mark.spec("A+1")
async def test_a_seal_is_found_behind_a_gateway_that_hides_it(reader: VaultReader) -> None:
    with ScriptedProvider() as scripted:
        scripted.script("/v1/auth/kubernetes/login", Answer.of_html(503))
        scripted.script("/v1/sys/seal-status", Answer.of_json({"sealed": True}))
        login = login_at(scripted)
        assert await reason_of(reader, login, "crm") is Reason.STORE_SEALED
        with pytest.raises(StoreError) as caught:
            await reader.check(login)
        assert caught.value.reason is Reason.STORE_SEALED
        scripted.script("/v1/sys/seal-status", Answer.of_json({"status": "ok"}))
        with pytest.raises(StoreError) as caught:
            await reader.check(login)
        assert caught.value.reason is Reason.STORE_ANSWER_INVALID
