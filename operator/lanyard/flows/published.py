"""What a Connection has published: whether it is as it was written, and reading back the very version that is."""

import json
from typing import Protocol

from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, unavailable
from lanyard.flows.inputs import published_key
from lanyard.flows.publish import Target, Written
from lanyard.flows.world import Record, SecretVersion, World
from lanyard.rules.publish import Content, content_of


def known_version(record: Record, world: World) -> SecretVersion | None:
    """A Connection's Secret, None while it is not there or not known to be as it was written."""
    secret = world.published.get(published_key(record.key, json.loads(record.spec)))
    if secret is None or secret.owner != record.uid or secret.version != record.parsed_status().get("publishedVersion"):
        return None
    return secret


class PublisherMemory(Protocol):
    """What a process remembers of a Secret that it has written."""

    written: Written | None
    intact_version: str


class Comparer(Protocol):
    """What reads a Connection's Secret and compares it with what was written."""

    async def is_intact(self, record: Record, target: Target, written: Written) -> bool: ...


async def is_intact(comparer: Comparer, record: Record, memory: PublisherMemory, target: Target, version: str) -> bool:
    """Whether our Secret is as we wrote it: without a call when the version is ours; else one GET settles it.
    LanyardError when the API server does not say.
    """
    if version in {memory.intact_version, record.parsed_status().get("publishedVersion")}:
        return True
    if memory.written is None or memory.written.version.name != target.name:
        return False
    if await comparer.is_intact(record, target, memory.written):
        memory.intact_version = version
        return True
    return False


async def read_back(kube: Kube, secret: SecretVersion) -> Content | None:
    """What it carries; None when the API server has another version by now. LanyardError when it does not say."""
    try:
        found = await kube.get(f"/api/v1/namespaces/{secret.namespace}/secrets/{secret.name}")
    except KubernetesError as error:
        if error.code == 404:
            return None
        raise unavailable(error) from None
    return content_of(found) if SecretVersion.of(found["metadata"]) == secret else None
