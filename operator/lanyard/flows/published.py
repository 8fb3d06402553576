"""Read back what a Connection has published: only the very version that is known as what Lanyard wrote."""

import json

from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError, unavailable
from lanyard.flows.inputs import published_key
from lanyard.flows.world import Record, SecretVersion, World
from lanyard.rules.publish import Content, content_of


def known_version(record: Record, world: World) -> SecretVersion | None:
    """A Connection's Secret, None while it is not there or not known to be as it was written."""
    secret = world.published.get(published_key(record.key, json.loads(record.spec)))
    if secret is None or secret.owner != record.uid or secret.version != record.parsed_status().get("publishedVersion"):
        return None
    return secret


async def read_back(kube: Kube, secret: SecretVersion) -> Content | None:
    """What it carries; None when the API server has another version by now. LanyardError when it does not say."""
    try:
        found = await kube.get(f"/api/v1/namespaces/{secret.namespace}/secrets/{secret.name}")
    except KubernetesError as error:
        if error.code == 404:
            return None
        raise unavailable(error) from None
    return content_of(found) if SecretVersion.of(found["metadata"]) == secret else None
