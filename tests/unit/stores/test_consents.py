"""Consent records as documents: what one version writes, the next one reads."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError
from lanyard.reasons import Reason
from lanyard.rules.consent import Consent, Device, Outcome, Phase
from lanyard.sensitive import Sensitive
from lanyard.stores.consents import ConsentStore, record_name
from lanyard.stores.keyring import Context, Keyring
from lanyard.stores.ring_format import RingKey

pytestmark = pytest.mark.spec("C4")

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RING = Keyring((RingKey("k1", b"k" * 32, NOW - timedelta(days=1)),))
HASH = "a" * 40
CODE = Consent(
    connector="acme", connector_digest="d", client_id="client", redirect_uri="https://l.example/cb", scopes=("api",),
    state_hash="s", code_verifier=Sensitive("v"), spec_generation=3, approved_by="ada", started_at=NOW,
)  # fmt: skip
DEVICE = replace(CODE, redirect_uri="", state_hash="", code_verifier=None, device=Device(NOW + timedelta(minutes=10)))


class Shelf:
    """One namespace's Secrets, with the versions that the API server keeps."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    async def create(self, _path: str, body: dict[str, Any]) -> dict[str, Any]:
        body["metadata"] |= {"uid": "secret-uid", "resourceVersion": "1"}
        self.kept[body["metadata"]["name"]] = body
        return body

    async def get(self, path: str) -> dict[str, Any]:
        return self.kept[path.rpartition("/")[2]]

    async def merge(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        before = self.kept[path.rpartition("/")[2]]
        if change["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise KubernetesError(KubernetesStatus(409))
        metadata = before["metadata"] | {"resourceVersion": str(int(before["metadata"]["resourceVersion"]) + 1)}
        metadata["labels"] = before["metadata"]["labels"] | change["metadata"]["labels"]
        data = {name: text for name, text in (before["data"] | change.get("data", {})).items() if text is not None}
        self.kept[metadata["name"]] = before | {"metadata": metadata, "data": data}
        return self.kept[metadata["name"]]


def store(shelf: Shelf) -> ConsentStore:
    kube: Any = shelf
    return ConsentStore(kube, "lanyard-exchange", lambda: RING)


async def created(shelf: Shelf, consent: Consent) -> Any:
    return await store(shelf).create(
        HASH, uid="uid", owner="sales/crm", consent=consent, expires_at=NOW + timedelta(minutes=10), now=NOW
    )


@pytest.mark.parametrize(
    ("consent", "phase"),
    [pytest.param(CODE, Phase.STARTED, id="code"), pytest.param(DEVICE, Phase.REQUESTED, id="device code")],
)
async def test_a_record_is_read_as_it_was_written(consent: Consent, phase: Phase) -> None:
    shelf = Shelf()
    await created(shelf, consent)
    found = await store(shelf).read(record_name(HASH))
    assert found is not None
    assert (found.phase, found.consent) == (phase, consent)


async def test_what_is_shown_lies_sealed_and_goes_with_the_outcome() -> None:
    shelf = Shelf()
    record = await created(shelf, DEVICE)
    device = Device(
        NOW + timedelta(minutes=5), Sensitive("d3vice"), "WDJB-MJHT", "https://x.example/d", timedelta(seconds=5)
    )
    shown = await store(shelf).show(record, replace(DEVICE, device=device), now=NOW)
    assert (shown.phase, shown.consent) == (Phase.SHOWN, replace(DEVICE, device=device))
    (secret,) = shelf.kept.values()
    assert "WDJB" not in json.dumps(secret) + base64.b64decode(secret["data"]["record"]).decode()
    done = await store(shelf).finish(shown, Outcome("Authorized", "ada"))
    assert (done.phase, done.consent, done.outcome) == (Phase.DONE, None, Outcome("Authorized", "ada"))
    (secret,) = shelf.kept.values()
    assert secret["data"].keys() == {"outcome"}


async def test_of_two_operators_that_asked_for_a_code_one_is_told() -> None:
    shelf = Shelf()
    record = await created(shelf, DEVICE)
    await store(shelf).show(record, DEVICE, now=NOW)
    with pytest.raises(KubernetesError) as caught:
        await store(shelf).show(record, DEVICE, now=NOW)
    assert caught.value.code == 409


async def test_a_record_of_a_version_without_device_codes_is_read() -> None:
    shelf = Shelf()
    await created(shelf, CODE)
    (secret,) = shelf.kept.values()
    place = Context("consent", "uid", "sales/crm")
    plain = json.loads(RING.open(base64.b64decode(secret["data"]["record"]).decode(), place))
    assert plain.pop("device", "absent") is None
    older = RING.seal(json.dumps(plain).encode(), place, now=NOW, nonce=b"n" * 12)
    secret["data"]["record"] = base64.b64encode(older.encode()).decode()
    found = await store(shelf).read(record_name(HASH))
    assert found is not None
    assert found.consent == CODE


ODD = {
    "no object": "[]",
    "no time zone": {"started_at": "2026-11-25T12:00:00"},
    "a time that is none": {"answered_at": 7},
    "an interval beyond all time": {"device": {"code": None, "user_code": "", "verification_uri": "",
        "ends_at": "2026-11-25T12:00:00Z", "interval": 1e300}},
    "a device that is none": {"device": "x"},
    "scopes that are none": {"scopes": 7},
    "too deep to be read": "[" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
async def test_a_record_that_only_another_program_can_have_sealed_is_told_as_such(odd: Any) -> None:
    """Whoever has the ring and the namespace, as a gateway has, can seal anything."""
    shelf = Shelf()
    await created(shelf, CODE)
    (secret,) = shelf.kept.values()
    place = Context("consent", "uid", "sales/crm")
    plain = json.loads(RING.open(base64.b64decode(secret["data"]["record"]).decode(), place))
    text = odd if isinstance(odd, str) else json.dumps({**plain, **odd})
    sealed = RING.seal(text.encode(), place, now=NOW, nonce=b"n" * 12)
    secret["data"]["record"] = base64.b64encode(sealed.encode()).decode()
    with pytest.raises(LanyardError) as caught:
        await store(shelf).read(record_name(HASH))
    assert caught.value.reason is Reason.STATE_INVALID
