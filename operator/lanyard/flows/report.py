"""Tell the outside: the whole status in one server-side apply, and an Event where a reason changed."""

import json
import logging
from datetime import datetime, timedelta
from typing import Any

from lanyard.api.meta import API_VERSION
from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError
from lanyard.flows.keys import Key, What
from lanyard.flows.sweep import object_path
from lanyard.flows.world import Record, World
from lanyard.reasons import Reason
from lanyard.rules.conditions import Status, Verdict, changes

_log = logging.getLogger(__name__)
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=1)
_events = logging.getLogger("lanyard.events")


class Reporter:
    """`instance` names this process in Events."""

    def __init__(self, kube: Kube, world: World, *, instance: str) -> None:
        self._kube = kube
        self._world = world
        self._instance = instance

    async def report(self, record: Record, status: Status, verdicts: list[Verdict], now: datetime) -> timedelta | None:
        """Write the status unless it says nothing new. When the API server did not take it: how long to wait.

        What it says is remembered either way. An object that is gone is forgotten: 404 here finds what the watch has
        not told yet. 409 may mean a namesake, of which the watch will tell, or only that many wrote at once.
        """
        if status == record.parsed_status() and record.told is None:
            return None
        # Until the API server has taken the new one, also when this process has to step back.
        told = record.told = record.told if record.told is not None else record.status
        record.status = json.dumps(status, separators=(",", ":")).encode()
        if record.key.what is What.CONNECTION:
            # Links follow what a Connection says of its Secret, and read it when it says so.
            self._world.touch(record.key)
        metadata = {"name": record.key.name, "uid": record.uid}
        if record.key.namespace:
            metadata["namespace"] = record.key.namespace
        body = {"apiVersion": API_VERSION, "kind": record.key.what.value, "metadata": metadata, "status": status}
        try:
            await self._kube.apply(f"{object_path(record.key)}/status", body)
        except KubernetesError as error:
            if error.code == 404 and await self._is_gone(record):
                self._world.forget(record.key, record.uid)
                return None
            record.refused += 1
            _log.warning("status not written", extra={"object": str(record.key), "status": error.code})
            pause = FIRST_PAUSE * (1 << min(record.refused - 1, 8))
            return max(min(pause, LONGEST_PAUSE), timedelta(seconds=error.retry_after or 0))
        record.told, record.refused = None, 0
        for change in changes(json.loads(told).get("conditions") or (), verdicts):
            _events.info(
                "reason changed",
                extra={"object": str(record.key), "reason": change.reason.value, "warning": change.warning},
            )
            await self._post(record, change.reason.value, change.message, warning=change.warning, now=now)
        return None

    async def _is_gone(self, record: Record) -> bool:
        """404 also means that a kind is being registered anew; the object itself decides."""
        try:
            metadata = (await self._kube.get(object_path(record.key), metadata_only=True))["metadata"]
        except KubernetesError as error:
            return error.code == 404
        return bool(metadata["uid"] != record.uid)

    async def announce(self, record: Record, reason: Reason, message: str, *, warning: bool, now: datetime) -> None:
        """An Event about something that no condition tells of."""
        await self._post(record, reason.value, message, warning=warning, now=now)

    async def _post(self, record: Record, reason: str, message: str, *, warning: bool, now: datetime) -> None:
        """An Event is a courtesy: when it cannot be posted, the status still says it all."""
        namespace = record.key.namespace or "default"
        event = event_object(record.key, record.uid, reason, message, warning=warning, now=now, instance=self._instance)
        try:
            await self._kube.create(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", event)
        except KubernetesError as error:
            _log.warning("event not posted", extra={"object": str(record.key), "status": error.code})


def event_object(
    key: Key, uid: str, reason: str, message: str, *, warning: bool, now: datetime, instance: str
) -> dict[str, Any]:
    """An events.k8s.io/v1 Event."""
    regarding = {"apiVersion": API_VERSION, "kind": key.what.value, "name": key.name, "uid": uid}
    namespace = key.namespace or "default"
    if key.namespace:
        regarding["namespace"] = key.namespace
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{key.name[:200]}-", "namespace": namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": "lanyard.dev/operator",
        "reportingInstance": instance[:128],
        "action": "Reconcile" if key.what is What.CONNECTION else "Check",
        "reason": reason,
        "note": message,
        "type": "Warning" if warning else "Normal",
        "regarding": regarding,
    }
