"""What a Connection has published is read back only where it is known to be what Lanyard wrote."""

import asyncio
import json
from typing import Any, cast

import pytest

from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, KubernetesStatus, LanyardError
from lanyard.flows.inputs import sources_of
from lanyard.flows.keys import Key, What
from lanyard.flows.published import known_version, read_back
from lanyard.flows.world import Record, SecretVersion, World
from lanyard.reasons import Reason

pytestmark = pytest.mark.spec("C8", "C13")

CRM = Key(What.CONNECTION, "sales", "crm")
TOKEN = Key(What.SECRET, "sales", "crm-token")
KNOWN = SecretVersion("sales", "crm-token", "s1", "7", "u1")


def world_of(published: SecretVersion | None, *, noted: str = "7", secret: str = "") -> tuple[Record, World]:
    world = World(wake=lambda _: None, sources_of=sources_of)
    spec = {"connector": "salesforce"} | ({"secret": {"name": secret}} if secret else {})
    metadata = {"namespace": "sales", "name": "crm", "uid": "u1", "generation": 1}
    world.observe(What.CONNECTION, {"metadata": metadata, "spec": spec, "status": {"publishedVersion": noted}})
    if published is not None:
        world.published[Key(What.SECRET, published.namespace, published.name)] = published
    record = world.get(CRM)
    assert record is not None
    return record, world


def test_the_version_that_the_status_notes_is_known() -> None:
    assert known_version(*world_of(KNOWN)) == KNOWN


@pytest.mark.parametrize(
    ("published", "changes"),
    [
        (None, {}),
        (KNOWN, {"noted": "6"}),
        (SecretVersion("sales", "crm-token", "s1", "7", "u2"), {}),
        (SecretVersion("sales", "crm-token", "s1", "7", ""), {}),
        (KNOWN, {"secret": "another"}),
    ],
    ids=["not there", "edited since", "of a namesake", "with our label only", "of a former name"],
)
def test_another_secret_is_not_known(published: SecretVersion | None, changes: dict[str, Any]) -> None:
    assert known_version(*world_of(published, **changes)) is None


class Answers:
    """An API server that has one Secret, or answers with a code."""

    def __init__(self, *, code: int = 0, **metadata: Any) -> None:
        self._code = code
        self._metadata = metadata

    async def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/sales/secrets/crm-token"
        if self._code:
            raise KubernetesError(KubernetesStatus(self._code))
        managed = [{"manager": "lanyard", "operation": "Apply", "fieldsV1": {"f:data": {"f:token": {}}}}]
        owner = {"uid": "u1", "controller": True}
        found = {"name": "crm-token", "namespace": "sales", "uid": "s1", "resourceVersion": "7"}
        metadata = found | {"ownerReferences": [owner], "managedFields": managed} | self._metadata
        return cast("dict[str, Any]", json.loads(json.dumps({"metadata": metadata, "data": {"token": "dDBrM24="}})))


def read(answers: Answers) -> dict[str, str] | None:
    content = asyncio.run(read_back(cast("Kube", answers), KNOWN))
    return None if content is None else {name: value.reveal() for name, value in content.items()}


def test_the_known_version_is_read() -> None:
    assert read(Answers()) == {"token": "t0k3n"}


@pytest.mark.parametrize(
    "answers",
    [
        Answers(resourceVersion="8"),
        Answers(uid="s2"),
        Answers(ownerReferences=[]),
        Answers(code=404),
    ],
    ids=["edited meanwhile", "replaced meanwhile", "given away meanwhile", "deleted meanwhile"],
)
def test_what_changed_meanwhile_is_not_read(answers: Answers) -> None:
    assert read(answers) is None


def test_an_api_server_that_does_not_answer_is_said_to_be_away() -> None:
    with pytest.raises(LanyardError) as failed:
        read(Answers(code=503))
    assert failed.value.reason is Reason.KUBERNETES_UNAVAILABLE
