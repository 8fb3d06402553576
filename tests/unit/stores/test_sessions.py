import json

import pytest

from lanyard.api.meta import PlatformSecretKeyRef
from lanyard.api.store import StoreSpec
from lanyard.clients.http import Answer
from lanyard.errors import StoreError
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from lanyard.stores.vault_session import Login, Sessions
from lanyard.stores.vault_wire import Wire


class VaultOnTheWire:
    """Answers every login with a new token."""

    def __init__(self, lease: object = 100) -> None:
        self.lease = lease
        self.bodies: list[dict[str, str]] = []

    async def send(self, request, **_) -> Answer:
        self.bodies.append(json.loads(request.body))
        auth = {"client_token": f"hvs.{len(self.bodies)}", "lease_duration": self.lease}
        return Answer(200, {}, json.dumps({"auth": auth}).encode())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


KUBERNETES = {"kubernetes": {"role": "r", "audience": "vault"}}
APP_ROLE = {
    "appRole": {"roleId": "id", "secretIdRef": {"namespace": "platform", "name": "vault", "key": "secret"}},
}


def login(auth: dict = KUBERNETES, *, account: str = "sales/default", store_id: str = "uid/1") -> Login:
    async def present(audience: str) -> Sensitive:
        return Sensitive(f"{account} for {audience}")

    async def secret(ref: PlatformSecretKeyRef) -> Sensitive:
        return Sensitive(f"{ref.namespace}/{ref.name}/{ref.key}\n")

    vault = {"address": "https://vault.example", "auth": auth}
    spec = StoreSpec.model_validate({"vault": vault, "allowedNamespaces": {"selector": {}}})
    return Login("team-vault", store_id, spec, account.partition("/")[0], account, present, secret)


@pytest.mark.spec("A+2")
async def test_each_service_account_has_a_session_of_its_own_and_a_shared_login_one_for_all() -> None:
    wire = VaultOnTheWire()
    sessions = Sessions(Wire(wire))
    accounts = ("sales/default", "sales/other", "hr/default")
    assert len({(await sessions.get(login(account=one))).number for one in accounts}) == 3
    assert [body["jwt"] for body in wire.bodies] == [f"{one} for vault" for one in accounts]
    assert len({(await sessions.get(login(APP_ROLE, account=one))).number for one in accounts}) == 1
    assert wire.bodies[-1] == {"role_id": "id", "secret_id": "platform/vault/secret"}
    assert (await sessions.get(login(store_id="uid/2"))).fresh, "a changed store is another store"


async def test_a_session_that_was_replaced_is_not_dropped_again() -> None:
    sessions = Sessions(Wire(VaultOnTheWire()))
    old = await sessions.get(login())
    sessions.drop(login(), old)
    new = await sessions.get(login())
    sessions.drop(login(), old)
    kept = await sessions.get(login())
    assert (kept.number, kept.fresh) == (new.number, False)
    assert old.number != new.number


@pytest.mark.parametrize(
    ("lease", "seconds"),
    [
        pytest.param(100, 90, id="nine tenths of the lease"),
        pytest.param(0, 3600, id="an hour where it never ends"),
        pytest.param(2_764_800, 3600, id="an hour where it is longer"),
    ],
)
async def test_a_session_is_kept_for(lease: int, seconds: int) -> None:
    clock = Clock()
    sessions = Sessions(Wire(VaultOnTheWire(lease)), clock=clock)
    first = await sessions.get(login())
    clock.now = seconds - 0.1
    assert (await sessions.get(login())).number == first.number
    clock.now = seconds
    assert (await sessions.get(login())).number != first.number


@pytest.mark.parametrize("lease", [None, "100", 1.5], ids=str)
async def test_a_login_answer_without_a_lease_is_not_one(lease: object) -> None:
    with pytest.raises(StoreError) as caught:
        await Sessions(Wire(VaultOnTheWire(lease))).get(login())
    assert caught.value.reason is Reason.STORE_ANSWER_INVALID
