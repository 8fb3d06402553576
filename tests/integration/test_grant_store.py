"""State Secrets in a real API server, as the operator's ServiceAccount: written, compared, copied, adopted."""

import asyncio
import base64
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lanyard.errors import KubernetesError, LanyardError
from lanyard.reasons import Reason
from lanyard.rules.grants import Grant, Intent
from lanyard.sensitive import Sensitive
from lanyard.stores.adoption import ADOPTED_FROM, Adopter, Terms
from lanyard.stores.grants import ADOPT, BOUND_UID, ENDED, MOST_BYTES, digest, install_id, secret_name
from lanyard.stores.keyring import Keyring
from support.cluster import Cluster
from support.stored import CALLBACK, Shelf, grant, ring_key, shelf

OWNER = "sales/crm"
TERMS = Terms("app", CALLBACK, frozenset({"login.example.com"}))


def now() -> datetime:
    return datetime.now(UTC)


def new_uid() -> str:
    return str(uuid.uuid4())


def intent(generation: int = 1) -> Intent:
    return Intent("i-1", generation, "operator-0", now(), now() + timedelta(seconds=30))


def seen(cluster: Cluster, uid: str) -> dict[str, Any]:
    return cluster.get("Secret", secret_name(uid))


async def refused(work: Any, reason: Reason) -> None:
    with pytest.raises(LanyardError) as caught:
        await work
    assert caught.value.reason is reason


@pytest.fixture
def place(operator_kubeconfig: Path, cluster: Cluster) -> Any:
    return lambda *keys, **more: shelf(operator_kubeconfig, cluster.namespace, *keys, **more)


@pytest.mark.spec("C8")
async def test_a_grant_comes_back_as_it_was_stored_and_lies_sealed(place: Any, cluster: Cluster) -> None:
    uid, one = new_uid(), grant()
    async with place() as here:
        assert await here.store.read(uid, OWNER) is None
        written = await here.store.create(uid, OWNER, one, now=now())
        assert await here.store.read(uid, OWNER) == written
        assert written.grant == one
    secret = seen(cluster, uid)
    assert secret["metadata"]["labels"] == {"lanyard.dev/grant": "install-1", "lanyard.dev/connection-uid": uid}
    assert secret["metadata"]["annotations"] == {
        "lanyard.dev/connection": OWNER,
        "lanyard.dev/grant-generation": "1",
        "lanyard.dev/grant-uid": uid,
        "lanyard.dev/grant-bound": digest("app", CALLBACK, "login.example.com"),
        "lanyard.dev/grant-consented": one.consented_at.isoformat(timespec="milliseconds"),
    }
    assert secret["data"].keys() == {"grant"}
    stored = base64.b64decode(secret["data"]["grant"])
    assert stored.startswith(b"k1.")
    whole = json.dumps(secret) + stored.decode()
    for token in (one.access_token, one.refresh_token):
        assert token is not None
        assert token.reveal() not in whole
        assert base64.b64encode(token.reveal().encode()).decode()[:16] not in whole


async def test_of_two_writers_one_wins_and_the_other_is_told(place: Any) -> None:
    uid = new_uid()
    async with place() as here:
        first = await here.store.create(uid, OWNER, grant(), now=now())
        claims = [
            here.store.write(uid, OWNER, replace(first, intent=replace(intent(), holder=holder)), now=now())
            for holder in ("operator-0", "operator-1")
        ]
        answers = await asyncio.gather(*claims, return_exceptions=True)
        [error] = [one for one in answers if isinstance(one, BaseException)]
        [winner] = [one for one in answers if not isinstance(one, BaseException)]
        assert isinstance(error, KubernetesError)
        assert error.code == 409
        assert await here.store.read(uid, OWNER) == winner


async def test_intent_and_end_are_written_and_taken_away_again(place: Any, cluster: Cluster) -> None:
    uid = new_uid()
    async with place() as here:
        stored = await here.store.create(uid, OWNER, grant(), now=now())
        waiting = await here.store.write(uid, OWNER, replace(stored, intent=intent()), now=now())
        assert waiting.intent is not None
        assert (await here.store.read(uid, OWNER)) == waiting
        ended = await here.store.write(uid, OWNER, replace(waiting, intent=None, ended=Reason.GRANT_REVOKED), now=now())
        assert seen(cluster, uid)["metadata"]["annotations"][ENDED] == "GrantRevoked"
        assert (await here.store.read(uid, OWNER)) == ended
        back = await here.store.write(uid, OWNER, replace(ended, ended=None), now=now())
        assert (await here.store.read(uid, OWNER)) == back
        secret = seen(cluster, uid)
        assert ENDED not in secret["metadata"]["annotations"]
        assert "intent" not in secret["data"]


async def test_a_new_consent_takes_the_place_of_whatever_was_there(place: Any) -> None:
    uid = new_uid()
    async with place() as here:
        old = await here.store.create(uid, OWNER, grant(generation=7), now=now())
        await here.store.write(uid, OWNER, replace(old, intent=intent(7), ended=Reason.GRANT_REVOKED), now=now())
        lost = here.of("install-1", Keyring((ring_key("k2"),)))
        await refused(lost.store.read(uid, OWNER), Reason.KEYRING_LOST)
        fresh = await lost.store.create(uid, OWNER, grant(), now=now())
        assert (fresh.grant.generation, fresh.intent, fresh.ended) == (8, None, None)
        assert await lost.store.read(uid, OWNER) == fresh
        with pytest.raises(KubernetesError) as caught:
            await here.store.write(uid, OWNER, old, now=now())
        assert caught.value.code == 409, "a refresh of the old grant cannot undo the new one"


async def test_deleting_is_exact_and_may_be_repeated(place: Any, cluster: Cluster) -> None:
    uid = new_uid()
    async with place() as here:
        stored = await here.store.create(uid, OWNER, grant(), now=now())
        await here.store.write(uid, OWNER, replace(stored, intent=intent()), now=now())
        with pytest.raises(KubernetesError) as caught:
            await here.store.delete(uid, version=stored.version)
        assert caught.value.code == 409
        await here.of("install-2").store.delete(uid)
        assert cluster.exists("Secret", secret_name(uid)), "another install's grant stays"
        await here.store.delete(uid)
        assert not cluster.exists("Secret", secret_name(uid))
        await here.store.delete(uid)


@pytest.mark.spec("C8")
async def test_a_grant_that_was_copied_to_another_connection_does_not_open(place: Any, cluster: Cluster) -> None:
    """By somebody who may write Secrets there, and labels the copy as well as can be."""
    uid, other = new_uid(), new_uid()
    async with place() as here:
        await here.store.create(uid, OWNER, grant(), now=now())
        copy = seen(cluster, uid)
        for owner in (OWNER, "sales/theirs"):
            metadata = {
                "name": secret_name(other),
                "labels": copy["metadata"]["labels"] | {"lanyard.dev/connection-uid": other},
                "annotations": copy["metadata"]["annotations"] | {BOUND_UID: other, "lanyard.dev/connection": owner},
            }
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": copy["data"]}
            cluster.client.delete(cluster.path("Secret", secret_name(other)))
            assert cluster.client.post(cluster.path("Secret"), json=body).status_code == 201
            await refused(here.store.read(other, owner), Reason.STATE_INVALID)
        cluster.merge("Secret", secret_name(other), {"metadata": {"annotations": {BOUND_UID: uid}}})
        await refused(here.store.read(other, "sales/theirs"), Reason.STATE_NOT_ADOPTED)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param({"grant": "k1.AAAA"}, Reason.STATE_INVALID, id="cut short"),
        pytest.param({"grant": ""}, Reason.STATE_INVALID, id="emptied"),
        pytest.param({"grant": None}, Reason.STATE_INVALID, id="taken out"),
        pytest.param({"grant": "\xff\xfe"}, Reason.STATE_INVALID, id="no text"),
        pytest.param({"intent": "{}"}, Reason.STATE_INVALID, id="an intent that is none"),
        pytest.param({"grant": "k9." + "A" * 60}, Reason.KEYRING_LOST, id="a key nobody has"),
    ],
)
async def test_a_grant_that_was_tampered_with_has_a_reason(
    place: Any, cluster: Cluster, data: dict[str, str | None], reason: Reason
) -> None:
    uid = new_uid()
    async with place() as here:
        await here.store.create(uid, OWNER, grant(), now=now())
        encoded = {
            name: base64.b64encode(value.encode("latin-1")).decode() if value is not None else None
            for name, value in data.items()
        }
        cluster.merge("Secret", secret_name(uid), {"data": encoded})
        await refused(here.store.read(uid, OWNER), reason)


async def test_the_wrong_ring_is_a_lost_keyring_and_another_key_of_its_id_is_tampering(place: Any) -> None:
    uid = new_uid()
    async with place() as here:
        await here.store.create(uid, OWNER, grant(), now=now())
        await refused(here.of("install-1", Keyring((ring_key("k2"),))).store.read(uid, OWNER), Reason.KEYRING_LOST)
        await refused(here.of("install-1", Keyring((ring_key("k1"),))).store.read(uid, OWNER), Reason.STATE_INVALID)


async def test_what_a_newer_version_stored_survives_a_write_by_this_one(place: Any, cluster: Cluster) -> None:
    uid = new_uid()
    async with place() as here:
        stored = await here.store.create(uid, OWNER, grant(), now=now())
        newer = replace(stored, unread=Sensitive('{"dpopKey":"k"}'))
        await here.store.write(uid, OWNER, newer, now=now())
        cluster.merge("Secret", secret_name(uid), {"metadata": {"annotations": {"backup.example/kept": "yes"}}})
        read = await here.store.read(uid, OWNER)
        assert read is not None
        await here.store.write(uid, OWNER, replace(read, grant=replace(read.grant, generation=2)), now=now())
        again = await here.store.read(uid, OWNER)
        assert again is not None
        assert again.unread is not None
        assert json.loads(again.unread.reveal()) == {"dpopKey": "k"}
        assert seen(cluster, uid)["metadata"]["annotations"]["backup.example/kept"] == "yes"


async def test_tokens_of_the_largest_size_are_stored(place: Any) -> None:
    uid, large = new_uid(), "t" * 64 * 1024
    tokens = {name: Sensitive(large) for name in ("access_token", "refresh_token", "previous_refresh_token")}
    async with place() as here:
        await here.store.create(uid, OWNER, grant(**tokens), now=now())
        read = await here.store.read(uid, OWNER)
        assert read is not None
        assert read.grant.access_token.reveal() == large


async def test_what_is_too_large_loses_what_can_be_spared_and_is_then_refused(place: Any) -> None:
    uid, half = new_uid(), Sensitive("t" * (MOST_BYTES // 2))
    async with place() as here:
        spared = grant(access_token=half, previous_refresh_token=half)
        await here.store.create(uid, OWNER, spared, now=now())
        read = await here.store.read(uid, OWNER)
        assert read is not None
        assert read.grant.access_token == half
        assert read.grant.previous_refresh_token is None
        await refused(
            here.store.create(uid, OWNER, grant(access_token=half, refresh_token=half), now=now()),
            Reason.PROVIDER_ANSWER_INVALID,
        )


async def test_an_install_is_known_by_its_namespace_and_ends_with_it(place: Any, cluster: Cluster) -> None:
    async with place() as here:
        namespace = cluster.client.get(f"/api/v1/namespaces/{cluster.namespace}").json()
        assert await install_id(here.kube, cluster.namespace) == namespace["metadata"]["uid"]


class TestAdoption:
    """The platform gives a stored grant to a Connection that was made anew."""

    @staticmethod
    async def restored(cluster: Cluster, here: Shelf, *, grant_now: Grant | None = None) -> tuple[str, str]:
        """A grant of an earlier object and an earlier install, given to a new uid."""
        old, new = new_uid(), new_uid()
        stored = await here.of("cluster-that-burned").store.create(old, OWNER, grant_now or grant(), now=now())
        await here.of("cluster-that-burned").store.write(old, OWNER, replace(stored, intent=intent()), now=now())
        cluster.merge("Secret", secret_name(old), {"metadata": {"annotations": {ADOPT: new}}})
        return old, new

    async def test_it_is_sealed_anew_for_the_new_uid_and_the_old_one_is_gone(
        self, place: Any, cluster: Cluster
    ) -> None:
        async with place() as here:
            one = grant()
            old, new = await self.restored(cluster, here, grant_now=one)
            adopter = Adopter(here.kube, here.store)
            held = await adopter.find(new, OWNER)
            assert held is not None
            adopted = await adopter.adopt(held, new, OWNER, TERMS, now=now())
            assert adopted.grant == one
            assert adopted.intent is not None, "an unanswered refresh stays one"
            assert await here.store.read(new, OWNER) == adopted
            assert not cluster.exists("Secret", secret_name(old))
            assert await adopter.find(new, OWNER) is None

    async def test_a_grant_of_another_install_is_adopted_where_it_lies(self, place: Any, cluster: Cluster) -> None:
        uid = new_uid()
        async with place() as here:
            await here.of("cluster-that-burned").store.create(uid, OWNER, grant(), now=now())
            await refused(here.store.read(uid, OWNER), Reason.STATE_NOT_ADOPTED)
            cluster.merge("Secret", secret_name(uid), {"metadata": {"annotations": {ADOPT: uid}}})
            await refused(here.store.read(uid, OWNER), Reason.STATE_NOT_ADOPTED)
            adopter = Adopter(here.kube, here.store)
            held = await adopter.find(uid, OWNER)
            assert held is not None
            adopted = await adopter.adopt(held, uid, OWNER, TERMS, now=now())
            assert await here.store.read(uid, OWNER) == adopted
            assert ADOPT not in seen(cluster, uid)["metadata"]["annotations"]

    async def test_without_the_platforms_word_nothing_is_adopted(self, place: Any, cluster: Cluster) -> None:
        async with place() as here:
            old, new = await self.restored(cluster, here)
            adopter = Adopter(here.kube, here.store)
            held = await adopter.find(new, OWNER)
            assert held is not None
            cluster.merge("Secret", secret_name(old), {"metadata": {"annotations": {ADOPT: None}}})
            assert await adopter.find(new, OWNER) is None
            await refused(adopter.adopt(held, new, OWNER, TERMS, now=now()), Reason.STATE_NOT_ADOPTED)

    @pytest.mark.parametrize(
        ("owner", "terms"),
        [
            pytest.param("sales/other", TERMS, id="another name"),
            pytest.param("support/crm", TERMS, id="another namespace"),
            pytest.param(OWNER, replace(TERMS, client_id="other"), id="another client id"),
            pytest.param(OWNER, replace(TERMS, redirect_uri="https://other.example/cb"), id="another redirect URI"),
            pytest.param(OWNER, replace(TERMS, token_hosts=frozenset({"evil.example"})), id="another token host"),
        ],
    )
    async def test_what_does_not_fit_is_not_adopted(
        self, place: Any, cluster: Cluster, owner: str, terms: Terms
    ) -> None:
        async with place() as here:
            old, new = await self.restored(cluster, here)
            adopter = Adopter(here.kube, here.store)
            held = await adopter.find(new, OWNER)
            assert held is not None
            assert (await adopter.find(new, owner) is None) == (owner != OWNER)
            await refused(adopter.adopt(held, new, owner, terms, now=now()), Reason.STATE_NOT_ADOPTED)
            assert cluster.exists("Secret", secret_name(old))
            assert not cluster.exists("Secret", secret_name(new))

    async def test_the_old_uid_in_clear_cannot_be_forged(self, place: Any, cluster: Cluster) -> None:
        async with place() as here:
            old, new = await self.restored(cluster, here)
            forged = {BOUND_UID: new_uid(), ADOPT: new}
            cluster.merge("Secret", secret_name(old), {"metadata": {"annotations": forged}})
            adopter = Adopter(here.kube, here.store)
            held = await adopter.find(new, OWNER)
            assert held is not None
            await refused(adopter.adopt(held, new, OWNER, TERMS, now=now()), Reason.STATE_INVALID)

    async def test_a_grant_from_a_new_consent_is_not_replaced_by_an_old_one(self, place: Any, cluster: Cluster) -> None:
        async with place() as here:
            old, new = await self.restored(cluster, here)
            fresh = await here.store.create(new, OWNER, grant(), now=now())
            adopter = Adopter(here.kube, here.store)
            held = await adopter.find(new, OWNER)
            assert held is not None
            await refused(adopter.adopt(held, new, OWNER, TERMS, now=now()), Reason.STATE_NOT_ADOPTED)
            assert await here.store.read(new, OWNER) == fresh
            assert cluster.exists("Secret", secret_name(old))

    async def test_an_adoption_that_was_cut_short_is_finished(self, place: Any, cluster: Cluster) -> None:
        async with place() as here:
            old, new = await self.restored(cluster, here)
            left = seen(cluster, old)
            adopter = Adopter(here.kube, here.store)
            held = await adopter.find(new, OWNER)
            assert held is not None
            adopted = await adopter.adopt(held, new, OWNER, TERMS, now=now())
            for name in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
                left["metadata"].pop(name)
            assert cluster.client.post(cluster.path("Secret"), json=left).status_code == 201
            again = seen(cluster, old)["metadata"]["uid"]
            cluster.merge("Secret", secret_name(new), {"metadata": {"annotations": {ADOPTED_FROM: again}}})
            held = await adopter.find(new, OWNER)
            assert held is not None
            assert (await adopter.adopt(held, new, OWNER, TERMS, now=now())).grant == adopted.grant
            assert not cluster.exists("Secret", secret_name(old))
