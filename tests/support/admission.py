"""Ask the API server what it says to an object, without storing anything unless asked to."""

from collections.abc import Mapping
from typing import Any

import httpx

from lanyard.api.schema import KINDS

Object = dict[str, Any]

_PLURALS = {kind.name: (kind.plural, kind.namespaced) for kind in KINDS}


def path(manifest: Object) -> str:
    """Where objects of this kind are created."""
    plural, namespaced = _PLURALS[manifest["kind"]]
    place = f"namespaces/{manifest['metadata'].get('namespace', 'default')}/" if namespaced else ""
    return f"/apis/{manifest['apiVersion']}/{place}{plural}"


def created(client: httpx.Client, manifest: Object, *, dry: bool = False, user: str = "") -> httpx.Response:
    return client.post(path(manifest), json=manifest, params=_params(dry=dry), headers=_as(user))


def patched(client: httpx.Client, manifest: Object, change: Mapping[str, Any], *, user: str = "") -> httpx.Response:
    """A JSON merge patch."""
    return client.patch(
        f"{path(manifest)}/{manifest['metadata']['name']}",
        json=change,
        params=_params(dry=False),
        headers={"Content-Type": "application/merge-patch+json"} | _as(user),
    )


def deleted(client: httpx.Client, manifest: Object) -> None:
    client.delete(f"{path(manifest)}/{manifest['metadata']['name']}")


def message(answer: httpx.Response) -> str:
    """What a person would read."""
    return answer.json().get("message", "")


def _params(*, dry: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry else {})


def _as(user: str) -> dict[str, str]:
    return {"Impersonate-User": user} if user else {}
