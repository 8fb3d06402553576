"""Key sets as Secrets: what the operator writes, a gateway reads; of two that change one, one is told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from lanyard.api.meta import REFETCH_ANNOTATION
from lanyard.errors import KubernetesError, KubernetesStatus
from lanyard.stores.issuer_keys import NEVER, IssuerKeys, IssuerKeyStore, StoredKeys, key_set_name

pytestmark = pytest.mark.spec("F5")

NOW = datetime(2026, 11, 25, 12, 0, 0, 123456, tzinfo=UTC)
ISSUER = "https://issuer.example/"
NAME = key_set_name(ISSUER, None, None)


class Shelf:
    """One namespace's Secrets, with the versions that the API server keeps."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []
        self._versions: Iterator[int] = count(1)

    async def create(self, _path: str, body: dict[str, Any]) -> dict[str, Any]:
        body["metadata"] |= {"uid": "u", "resourceVersion": str(next(self._versions))}
        self.kept[body["metadata"]["name"]] = body
        return body

    async def get(self, path: str) -> dict[str, Any]:
        found = self.kept.get(path.rpartition("/")[2])
        if found is None:
            raise KubernetesError(KubernetesStatus(404))
        return found

    async def merge(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        before = await self.get(path)
        if change["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise KubernetesError(KubernetesStatus(409))
        self.sent.append(change)
        notes = before["metadata"]["annotations"] | change["metadata"]["annotations"]
        metadata = before["metadata"] | {"annotations": notes, "resourceVersion": str(next(self._versions))}
        self.kept[metadata["name"]] = before | {"metadata": metadata, "data": before["data"] | change.get("data", {})}
        return self.kept[metadata["name"]]


def store(shelf: Shelf) -> IssuerKeyStore:
    kube: Any = shelf
    return IssuerKeyStore(kube, "lanyard-exchange")


async def created(shelf: Shelf) -> StoredKeys:
    return await store(shelf).create(NAME, issuer=ISSUER, jwks=b'{"keys":[]}', digest="d1", fetched_at=NOW)


SOURCES = {
    "another issuer": ("https://other.example", None, None),
    "a slash less": (ISSUER.rstrip("/"), None, None),
    "an address of its own": (ISSUER, "https://issuer.example/keys", None),
    "a CA of its own": (ISSUER, None, "pem"),
    "address and CA the other way round": (ISSUER, "pem", None),
}


def test_every_source_has_a_set_of_its_own() -> None:
    names = {key_set_name(*source) for source in SOURCES.values()} | {NAME}
    assert len(names) == len(SOURCES) + 1


def test_a_name_is_one_that_a_secret_may_have_and_stays_the_same() -> None:
    assert NAME == "issuer-rtwjsfduj5l75dfodxb7lwv2ouln3sdqzrq7oytyqt3ass6vkhdq"


async def test_what_the_operator_writes_a_gateway_reads() -> None:
    shelf = Shelf()
    await created(shelf)
    assert await store(shelf).read(NAME) == IssuerKeys(NAME, ISSUER, b'{"keys":[]}', NOW, None, "1")


async def test_a_set_that_is_not_there_is_none() -> None:
    assert await store(Shelf()).read(NAME) is None


async def test_a_question_stays_open_until_keys_were_fetched_after_it() -> None:
    shelf = Shelf()
    await created(shelf)
    await store(shelf).ask_again(NAME, "1", NOW + timedelta(seconds=5))
    asked = StoredKeys.of(shelf.kept[NAME]["metadata"])
    assert (asked.asked, asked.refetch_at) == (True, NOW + timedelta(seconds=5))
    answered = await store(shelf).replace(asked, jwks=b"new", digest="d2", fetched_at=NOW + timedelta(seconds=1))
    assert not answered.asked
    found = await store(shelf).read(NAME)
    assert found is not None
    assert (found.jwks, found.asked) == (b"new", False)


async def test_of_two_gateways_that_ask_at_once_one_is_told() -> None:
    shelf = Shelf()
    await created(shelf)
    await store(shelf).ask_again(NAME, "1", NOW)
    with pytest.raises(KubernetesError) as caught:
        await store(shelf).ask_again(NAME, "1", NOW)
    assert caught.value.code == 409


async def test_an_operator_that_read_an_older_version_changes_nothing() -> None:
    shelf = Shelf()
    before = await created(shelf)
    await store(shelf).replace(before, jwks=b"new", digest="d2", fetched_at=NOW)
    with pytest.raises(KubernetesError) as caught:
        await store(shelf).replace(before, jwks=b"older", digest="d0", fetched_at=NOW)
    assert caught.value.code == 409


async def test_keys_that_did_not_change_are_not_sent() -> None:
    shelf = Shelf()
    before = await created(shelf)
    await store(shelf).replace(before, jwks=b"the same, in other words", digest="d1", fetched_at=NOW)
    assert "data" not in shelf.sent[0]


ODD = {
    "no annotations": {"metadata": {"name": NAME, "uid": "u", "resourceVersion": "1"}},
    "a time that is none": {
        "metadata": {"name": NAME, "uid": "u", "resourceVersion": "1", "annotations": {REFETCH_ANNOTATION: "soon"}}
    },
    "a time without its zone": {
        "metadata": {
            "name": NAME,
            "uid": "u",
            "resourceVersion": "1",
            "annotations": {REFETCH_ANNOTATION: "2026-11-25T12:00:00"},
        },
        "data": {"jwks": "%%%"},
    },
}


@pytest.mark.parametrize("secret", ODD.values(), ids=ODD.keys())
def test_a_secret_that_somebody_else_made_is_old_and_empty(secret: dict[str, Any]) -> None:
    found = IssuerKeys.of(secret)
    assert (found.jwks, found.fetched_at, found.asked) == (b"", NEVER, False)
