"""When credentials were used last, as the gateways say: each replica writes one Secret, and statuses follow it slowly.

A Secret's key `used` is a JSON object: uid of the FederatedCredential -> RFC 3339. What a replica has written is taken
away a day after its last use, once the statuses say as much: replicas come and go.
"""

import base64
import binascii
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lanyard.clients.kube import Kube
from lanyard.errors import KubernetesError
from lanyard.flows.keys import What
from lanyard.flows.world import World
from lanyard.rules.status import moment

_log = logging.getLogger(__name__)

KEY = "used"
KEPT_FOR = timedelta(days=1)
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReplicaUse:
    """What one replica has written."""

    name: str
    uid: str
    version: str
    created_at: datetime
    used: dict[str, datetime]

    @property
    def newest(self) -> datetime:
        return max(self.used.values(), default=self.created_at)


class LastUses:
    """Mirror of those Secrets. News wakes a credential, unless it comes back by itself: `next_look`."""

    def __init__(self, world: World, kube: Kube, namespace: str, interval: timedelta) -> None:
        self._world = world
        self._kube = kube
        self._path = f"/api/v1/namespaces/{namespace}/secrets"
        self._interval = interval
        self._replicas: dict[str, ReplicaUse] = {}
        self._not_before: dict[str, datetime] = {}
        """Credentials that were told of less than an interval ago, and when that will be over."""

    def newest(self, uid: str, now: datetime) -> datetime | None:
        """Nobody has used it later than now, whatever a replica's clock says."""
        found = [used for one in self._replicas.values() if (used := one.used.get(uid)) is not None]
        return min(max(found), now) if found else None

    def due(self, uid: str, told: datetime | None, now: datetime) -> datetime | None:
        """What the status is to say; None while it says it, or said something else less than an interval ago."""
        ends = max(self._not_before.pop(uid, NEVER), NEVER if told is None else told + self._interval)
        if ends > now:
            self._not_before[uid] = ends
            return None
        newest = self.newest(uid, now)
        if newest is None or (told is not None and newest.replace(microsecond=0) <= told):
            return None
        self._not_before[uid] = now + self._interval
        return newest

    def next_look(self, uid: str) -> datetime | None:
        """When the status may take news again, which until then wakes nobody."""
        return self._not_before.get(uid)

    def forget_credential(self, uid: str) -> None:
        self._not_before.pop(uid, None)

    def slim(self, secret: dict[str, Any]) -> ReplicaUse:
        metadata = secret["metadata"]
        created_at = moment(metadata.get("creationTimestamp")) or NEVER
        return ReplicaUse(metadata["name"], metadata["uid"], metadata["resourceVersion"], created_at, used_of(secret))

    def replace(self, everything: list[ReplicaUse], version: str) -> None:  # noqa: ARG002 - what is gone is gone
        self._replicas = {}
        for one in everything:
            self.change(one)

    def change(self, one: ReplicaUse) -> None:
        before = self._replicas.get(one.name)
        self._replicas[one.name] = one
        news = {uid for uid, used in one.used.items() if before is None or before.used.get(uid, NEVER) < used}
        if not news:
            return
        for key, record in self._world.objects[What.CREDENTIAL].items():
            if record.uid in news and record.uid not in self._not_before:
                self._world.wake(key)

    def forget(self, one: ReplicaUse) -> None:
        self._replicas.pop(one.name, None)

    async def tidy(self, now: datetime) -> None:
        """Take away what replicas have left behind. What no status says yet is kept."""
        left = [one for one in self._replicas.values() if now - KEPT_FOR > one.newest]
        told = self._told() if left else {}
        for one in left:
            if any(uid in told and told[uid] < used.replace(microsecond=0) for uid, used in one.used.items()):
                continue
            try:
                await self._kube.delete(f"{self._path}/{one.name}", uid=one.uid, version=one.version)
            except KubernetesError as error:
                if error.code not in {404, 409}:
                    _log.warning("a replica's last uses stay for now", extra={"status": error.code})
                    return

    def _told(self) -> dict[str, datetime]:
        """What the statuses say, by uid of the credential."""
        return {
            record.uid: moment(record.parsed_status().get("lastExchangeAt")) or NEVER
            for record in self._world.objects[What.CREDENTIAL].values()
        }


def used_of(secret: dict[str, Any]) -> dict[str, datetime]:
    """By uid of the credential; what cannot be read is left out."""
    try:
        found = json.loads(base64.b64decode((secret.get("data") or {}).get(KEY, ""), validate=True))
    except (ValueError, RecursionError, binascii.Error):
        return {}
    times = ((uid, _utc(text)) for uid, text in found.items()) if isinstance(found, dict) else ()
    return {uid: when for uid, when in times if when is not None}


def _utc(text: Any) -> datetime | None:
    when = moment(text) if isinstance(text, str) else None
    try:
        return when.astimezone(UTC) if when is not None else None
    except OverflowError:
        return None
