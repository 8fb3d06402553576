"""Token copies as Secrets: sealed, bound to their Connection, and nobody else's."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError, PublishError
from lanyard.flows.token_copies import CopyMirror
from lanyard.reasons import Reason
from lanyard.sensitive import Sensitive
from lanyard.stores.copies import CopyStore, SeenCopy, TokenCopy, opened_copy, sealed_text
from lanyard.stores.keyring import Context, Keyring
from lanyard.stores.ring_format import RingKey

pytestmark = pytest.mark.spec("F1")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RING = Keyring((RingKey("k1", b"k" * 32, NOW - timedelta(days=1)),))
COPY = TokenCopy(Sensitive("t0ken-of-a-product"), "Bearer", NOW + timedelta(hours=1), ("read", "write"))


class Shelf:
    """One namespace's Secrets: what the API server answers to a create, and to an apply with a uid."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.writes = 0

    async def create(self, _path: str, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        if name in self.kept:
            raise KubernetesError(KubernetesStatus(409))
        return self._keep(body, f"secret-{self.writes}")

    async def apply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        there = self.kept.get(path.rpartition("/")[2])
        if there is None:
            raise KubernetesError(KubernetesStatus(409))
        if there["metadata"]["uid"] != body["metadata"]["uid"]:
            raise KubernetesError(KubernetesStatus(422))
        return self._keep(body, body["metadata"]["uid"])

    async def get(self, path: str, *, metadata_only: bool = False) -> dict[str, Any]:
        found = self.kept.get(path.rpartition("/")[2])
        if found is None:
            raise KubernetesError(KubernetesStatus(404))
        return {"metadata": found["metadata"]} if metadata_only else found

    async def delete(self, path: str, *, uid: str) -> None:
        found = await self.get(path)
        if found["metadata"]["uid"] != uid:
            raise KubernetesError(KubernetesStatus(409))
        del self.kept[path.rpartition("/")[2]]

    def _keep(self, body: dict[str, Any], uid: str) -> dict[str, Any]:
        self.writes += 1
        body["metadata"] |= {"uid": uid, "resourceVersion": str(self.writes)}
        self.kept[body["metadata"]["name"]] = body
        return body


def store(shelf: Shelf, install: str = "here") -> CopyStore:
    kube: Any = shelf
    return CopyStore(kube, "lanyard-exchange", lambda: RING, install)


async def written(shelf: Shelf, copy: TokenCopy = COPY, *, install: str = "here", **more: Any) -> SeenCopy:
    return await store(shelf, install).write("uid", "sales/crm", copy, made_from="v1", now=NOW, **more)


@pytest.mark.parametrize(
    "copy",
    [pytest.param(COPY, id="a token that ends"), pytest.param(replace(COPY, expires_at=None), id="one that does not")],
)
async def test_a_copy_is_read_as_it_was_written(copy: TokenCopy) -> None:
    shelf = Shelf()
    seen = await written(shelf, copy)
    assert await store(shelf).read("uid", "sales/crm") == copy
    assert (seen.name, seen.uid, seen.owner, seen.install) == ("token-uid", "uid", "sales/crm", "here")
    assert (seen.made_from, seen.expires_at) == ("v1", copy.expires_at)


async def test_there_may_be_none() -> None:
    assert await store(Shelf()).read("uid", "sales/crm") is None


@pytest.mark.spec("C8")
async def test_nothing_of_the_token_lies_in_clear() -> None:
    shelf = Shelf()
    await written(shelf)
    (secret,) = shelf.kept.values()
    assert "t0ken" not in json.dumps(secret) + sealed_text(secret)
    assert "t0ken" not in repr(COPY)


@pytest.mark.parametrize(
    ("uid", "owner"),
    [pytest.param("other", "sales/crm", id="another uid"), pytest.param("uid", "sales/erp", id="another name")],
)
async def test_a_copy_opens_for_its_connection_only(uid: str, owner: str) -> None:
    shelf = Shelf()
    await written(shelf)
    (secret,) = shelf.kept.values()
    with pytest.raises(LanyardError) as caught:
        opened_copy(RING, sealed_text(secret), uid, owner)
    assert caught.value.reason is Reason.STATE_INVALID


def sealed(plain: str, context: Context) -> str:
    return RING.seal(plain.encode(), context, now=NOW, nonce=b"n" * 12)


PLACE = Context("access_token", "uid", "sales/crm")
WHOLE = {"format": 1, "accessToken": "t", "tokenType": "Bearer", "expiresAt": None, "scopes": []}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("no sealed text", id="not sealed"),
        pytest.param(sealed("[]", PLACE), id="another document"),
        pytest.param(sealed(json.dumps(WHOLE | {"format": 2}), PLACE), id="a later format"),
        pytest.param(sealed(json.dumps(WHOLE | {"expiresAt": "2026-11-25T12:00:00"}), PLACE), id="no time zone"),
        pytest.param(sealed(json.dumps(WHOLE), Context("grant", "uid", "sales/crm")), id="another field"),
    ],
)
def test_what_is_no_copy_is_refused(text: str) -> None:
    with pytest.raises(LanyardError) as caught:
        opened_copy(RING, text, "uid", "sales/crm")
    assert caught.value.reason is Reason.STATE_INVALID


async def test_a_ring_without_its_key_is_named() -> None:
    shelf = Shelf()
    await written(shelf)
    (secret,) = shelf.kept.values()
    other = Keyring((RingKey("k2", b"x" * 32, NOW),))
    with pytest.raises(LanyardError) as caught:
        opened_copy(other, sealed_text(secret), "uid", "sales/crm")
    assert caught.value.reason is Reason.KEYRING_LOST


async def test_whether_a_copy_opens_is_told_by_its_key() -> None:
    seen = await written(Shelf())
    kube: Any = Shelf()
    other = CopyStore(kube, "lanyard-exchange", lambda: Keyring((RingKey("k2", b"x" * 32, NOW),)), "here")
    assert (seen.key_id, store(Shelf()).opens(seen), other.opens(seen)) == ("k1", True, False)

    def no_ring() -> Keyring:
        raise LanyardError(Reason.KEYRING_LOST, key="")

    assert CopyStore(kube, "lanyard-exchange", no_ring, "here").opens(seen), "nothing better could be made"


async def test_what_is_known_as_ours_is_replaced_in_one_write() -> None:
    shelf = Shelf()
    known = await written(shelf)
    newer = replace(COPY, access_token=Sensitive("second"), expires_at=None)
    seen = await written(shelf, newer, known=known)
    assert (seen.secret_uid, shelf.writes, seen.expires_at) == (known.secret_uid, 2, None)
    assert await store(shelf).read("uid", "sales/crm") == newer


@pytest.mark.parametrize("known", [True, False], ids=["it was known", "it was not known"])
async def test_a_copy_that_was_made_anew_meanwhile_is_ours_all_the_same(known: bool) -> None:
    shelf = Shelf()
    former = await written(shelf)
    await store(shelf).remove(former)
    there = await written(shelf)
    seen = await written(shelf, known=former if known else None)
    assert seen.secret_uid == there.secret_uid


async def test_a_deleted_copy_is_made_again() -> None:
    shelf = Shelf()
    known = await written(shelf)
    shelf.kept.clear()
    await written(shelf, known=known)
    assert len(shelf.kept) == 1


async def test_a_live_copy_of_another_install_is_left_alone() -> None:
    shelf = Shelf()
    theirs = await written(shelf, install="there")
    with pytest.raises(PublishError) as caught:
        await written(shelf)
    assert caught.value.reason is Reason.COPY_CONFLICT
    await store(shelf).remove(theirs)
    assert shelf.kept["token-uid"]["metadata"]["labels"] == {"lanyard.dev/token-copy": "there"}


async def test_what_another_install_left_behind_is_taken_over_once_its_token_has_ended() -> None:
    shelf = Shelf()
    await written(shelf, replace(COPY, expires_at=NOW), install="there")
    assert (await written(shelf)).install == "here"


async def test_removing_twice_does_no_harm_and_spares_a_successor() -> None:
    shelf = Shelf()
    former = await written(shelf)
    await store(shelf).remove(former)
    await store(shelf).remove(former)
    await written(shelf)
    await store(shelf).remove(former)
    assert len(shelf.kept) == 1


async def test_other_refusals_of_the_api_server_pass() -> None:
    class Closed(Shelf):
        async def create(self, _path: str, _body: dict[str, Any]) -> dict[str, Any]:
            raise KubernetesError(KubernetesStatus(403))

    with pytest.raises(KubernetesError):
        await written(Closed())


async def test_the_gateway_opens_what_its_mirror_holds() -> None:
    shelf, mirror = Shelf(), CopyMirror()
    await written(shelf)
    (secret,) = shelf.kept.values()
    assert mirror.opened(RING, "uid") is None
    mirror.replace([mirror.slim(secret)], "1")
    assert mirror.opened(RING, "uid") == COPY
    newer = replace(COPY, access_token=Sensitive("second"))
    known = SeenCopy.of(secret["metadata"])
    await written(shelf, newer, known=known)
    mirror.change(mirror.slim(shelf.kept["token-uid"]))
    assert mirror.opened(RING, "uid") == newer
    mirror.forget(mirror.slim(shelf.kept["token-uid"]))
    assert mirror.opened(RING, "uid") is None


async def test_a_copy_that_was_moved_to_another_connection_does_not_open_there() -> None:
    shelf, mirror = Shelf(), CopyMirror()
    await written(shelf)
    (secret,) = shelf.kept.values()
    mirror.change(mirror.slim({**secret, "metadata": secret["metadata"] | {"name": "token-other"}}))
    with pytest.raises(LanyardError):
        mirror.opened(RING, "other")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="no data"),
        pytest.param({"data": None}, id="empty data"),
        pytest.param({"data": {"token": "%%%"}}, id="no base64"),
        pytest.param({"data": {"token": base64.b64encode(b"\xff").decode()}}, id="no text"),
    ],
)
def test_a_secret_without_a_sealed_text_has_none(data: dict[str, Any]) -> None:
    assert sealed_text(data) == ""


def test_a_mark_that_somebody_has_spoiled_says_nothing() -> None:
    metadata = {
        "name": "token-uid", "uid": "u", "resourceVersion": "1", "annotations": {"lanyard.dev/token-expires": "soon"},
    }  # fmt: skip
    assert SeenCopy.of(metadata) == SeenCopy("token-uid", "u", "1", "uid", "", "", "", None, "")
