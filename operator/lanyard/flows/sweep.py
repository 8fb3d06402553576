"""The full list: how the world is known before anything is decided, and how what a watch missed is found.

1. remember what is known
2. list every kind, a page at a time, and observe each object
3. forget what was known before the list began and is not in it

kopf replays objects after a 410 but tells of no deletion that happened in the gap (research/kopf.md 1.4).
"""

import logging

from lanyard.api.meta import GROUP, VERSION, Kind
from lanyard.api.schema import KINDS
from lanyard.clients.kube import Kube
from lanyard.flows.keys import Key, What
from lanyard.flows.world import World

_log = logging.getLogger(__name__)


def kind_path(kind: Kind, namespace: str = "") -> str:
    scope = f"/namespaces/{namespace}" if namespace and kind.namespaced else ""
    return f"/apis/{GROUP}/{VERSION}{scope}/{kind.plural}"


def object_path(key: Key) -> str:
    kind = next(kind for kind in KINDS if kind.name == key.what.value)
    return f"{kind_path(kind, key.namespace)}/{key.name}"


# Connections come last: nothing about them is decided before what they are made from is known.
ORDER = tuple(
    sorted((kind for kind in KINDS if kind.name in set(What)), key=lambda kind: kind.name == What.CONNECTION.value)
)


async def sweep(kube: Kube, world: World, namespaces: tuple[str, ...] = ()) -> int:
    """One pass over all kinds; returns how many objects had vanished unseen. KubernetesError ends it early."""
    world.begin_list()
    try:
        vanished = await _sweep(kube, world, namespaces)
    finally:
        world.end_list()
    if vanished:
        _log.info("objects vanished unseen", extra={"count": vanished})
    return vanished


async def _sweep(kube: Kube, world: World, namespaces: tuple[str, ...]) -> int:
    vanished = 0
    for kind in ORDER:
        what = What(kind.name)
        before = list(world.objects[what])
        seen: set[Key] = set()
        for namespace in (namespaces if kind.namespaced else ()) or ("",):
            async for page in kube.pages(kind_path(kind, namespace)):
                for body in page.items:
                    metadata = body["metadata"]
                    seen.add(Key(what, metadata.get("namespace", ""), metadata["name"]))
                    world.list_in(what, body)
        vanished += world.retain(before, seen)
    return vanished
