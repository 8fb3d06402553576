"""Everything that a Connection's state is made of, gathered for one person with that person's own rights.

What may not be read is said to be unseen, never guessed, and never a reason to end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lanyard.api.meta import CONNECTION_UID_LABEL, GROUP, PRESENTABLE_LABEL, READABLE_LABEL
from lanyard.entry.plugin.conditions import KIND, conditions, is_ready, link_of, next_step
from lanyard.entry.plugin.kubectl import Kubectl, KubectlError, Object, Refusal, SecretOutline, is_name
from lanyard.reasons import Reason

EVENTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Reference:
    """One thing that the Connection is made from. `fine` is None for what may not be seen."""

    field: str
    kind: str
    name: str
    namespace: str
    key: str
    fine: bool | None
    says: str


@dataclass(frozen=True, slots=True)
class Published:
    """The workload Secret: names and metadata, never a value."""

    name: str
    fine: bool | None
    says: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """A Connection with what it refers to and what happened to it."""

    connection: Object
    references: tuple[Reference, ...]
    published: Published
    events: tuple[Mapping[str, str], ...]

    def document(self) -> dict[str, Any]:
        """For -o json and -o yaml."""
        metadata = self.connection["metadata"]
        return {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "ready": is_ready(self.connection),
            "spec": self.connection.get("spec", {}),
            "status": self.connection.get("status", {}),
            "references": [asdict(reference) for reference in self.references],
            "secret": {**asdict(self.published), "keys": list(self.published.keys)},
            "events": [dict(event) for event in self.events],
            "nextStep": next_step(self.connection),
        }


def story_of(kubectl: Kubectl, name: str, namespace: str) -> Story:
    """PluginError when the Connection itself cannot be read."""
    connection = kubectl.get(KIND, name, namespace)
    return Story(
        connection=connection,
        references=tuple(_references(kubectl, connection)),
        published=_published(kubectl, connection),
        events=tuple(_events(kubectl, connection)),
    )


def _references(kubectl: Kubectl, connection: Object) -> Iterator[Reference]:
    link = link_of(connection)
    if link is not None:
        yield _linked(kubectl, *link)
    namespace = connection["metadata"]["namespace"]
    for field, source in connection.get("spec", {}).get("credentials", {}).items():
        if "secretRef" in source:
            wanted = source["secretRef"]
            yield _secret(kubectl, field, wanted["name"], namespace, wanted["key"])
        elif "credentialAssetRef" in source:
            wanted = source["credentialAssetRef"]
            yield from _asset(kubectl, field, wanted["name"], wanted.get("namespace") or namespace, wanted["key"])


def _linked(kubectl: Kubectl, namespace: str, name: str) -> Reference:
    try:
        found = kubectl.get(KIND, name, namespace)
    except KubectlError as error:
        return Reference("linkTo", "Connection", name, namespace, "", *_unread(error))
    return Reference("linkTo", "Connection", name, namespace, "", *_condition_of(found, "is there"))


def _secret(kubectl: Kubectl, field: str, name: str, namespace: str, key: str) -> Reference:
    def seen(fine: bool | None, says: str) -> Reference:
        return Reference(field, "Secret", name, namespace, key, fine, says)

    if not is_name(name):
        return seen(False, "is not the name of a Secret")
    try:
        outline = kubectl.secret_outline(name, namespace)
    except KubectlError as error:
        return seen(*_unread(error))
    if key not in outline.keys:
        return seen(False, f"has no key {key}")
    if outline.labels.get(READABLE_LABEL) != "true":
        return seen(None, f"has the key {key}, but not the label {READABLE_LABEL}=true")
    return seen(True, f"has the key {key}, marked readable")


def _asset(kubectl: Kubectl, field: str, name: str, namespace: str, key: str) -> Iterator[Reference]:
    def seen(fine: bool | None, says: str) -> Reference:
        return Reference(field, "CredentialAssetRef", name, namespace, key, fine, says)

    try:
        asset = kubectl.get(f"credentialassetrefs.{GROUP}", name, namespace)
    except KubectlError as error:
        yield seen(*_unread(error))
        return
    spec = asset.get("spec", {})
    stored = spec.get("keys", {}).get(key)
    if stored is None:
        yield seen(False, f"declares no key {key}")
        return
    yield seen(*_condition_of(asset, f"reads the field {stored} of {spec.get('path', '')}"))
    store = spec.get("store")
    if not store or store == "kubernetes":
        yield _secret(kubectl, field, str(spec.get("path", "")), namespace, str(stored))
        return
    yield _cluster_object(kubectl, field, f"credentialstores.{GROUP}", "CredentialStore", store)
    account = spec.get("serviceAccountName") or "default"
    yield _account(kubectl, field, account, namespace)


def _cluster_object(kubectl: Kubectl, field: str, resource: str, kind: str, name: str) -> Reference:
    try:
        found = kubectl.get(resource, name)
    except KubectlError as error:
        return Reference(field, kind, name, "", "", *_unread(error))
    address = found.get("spec", {}).get("vault", {}).get("address", "")
    return Reference(field, kind, name, "", "", *_condition_of(found, f"at {address}" if address else "is there"))


def _account(kubectl: Kubectl, field: str, name: str, namespace: str) -> Reference:
    try:
        found = kubectl.get("serviceaccount", name, namespace)
    except KubectlError as error:
        return Reference(field, "ServiceAccount", name, namespace, "", *_unread(error))
    marked = found["metadata"].get("labels", {}).get(PRESENTABLE_LABEL) == "true"
    says = "marked presentable" if marked else f"has not the label {PRESENTABLE_LABEL}=true"
    return Reference(field, "ServiceAccount", name, namespace, "", True if marked else None, says)


def _condition_of(found: Object, says: str) -> tuple[bool | None, str]:
    ready = conditions(found).get("Ready")
    if ready is None or ready.status == "True":
        return True, says
    return False, f"{says}; not ready: {ready.reason}"


def _unread(error: KubectlError) -> tuple[bool | None, str]:
    match error.refusal:
        case Refusal.NOT_FOUND:
            return False, "does not exist"
        case Refusal.FORBIDDEN:
            return None, "you may not see it"
        case _:
            raise error


def _published(kubectl: Kubectl, connection: Object) -> Published:
    metadata, spec = connection["metadata"], connection.get("spec", {})
    if spec.get("secret", {}).get("publish") is False or _is_application(connection):
        return Published("none", True, f"tokens are had by exchange, with the client id {metadata.get('uid', '')}")
    bound = connection.get("status", {}).get("binding", {}).get("name")
    name = bound or spec.get("secret", {}).get("name") or f"{metadata['name']}-token"
    try:
        outline = kubectl.secret_outline(name, metadata["namespace"])
    except KubectlError as error:
        return Published(name, *_unread(error))
    return Published(name, *_owner(outline, metadata.get("uid", "")), keys=outline.keys)


def _is_application(connection: Object) -> bool:
    """Whether Lanyard makes its tokens itself."""
    ready = conditions(connection).get("Ready")
    return ready is not None and ready.reason == Reason.TOKENS_BY_EXCHANGE


def _owner(outline: SecretOutline, uid: str) -> tuple[bool | None, str]:
    if outline.labels.get(CONNECTION_UID_LABEL) != uid:
        return False, "exists and is not this Connection's"
    return True, f"carries {', '.join(outline.keys)}"


def _events(kubectl: Kubectl, connection: Object) -> Iterator[Mapping[str, str]]:
    metadata = connection["metadata"]
    chosen = f"involvedObject.kind=Connection,involvedObject.name={metadata['name']}"
    try:
        found = kubectl.every("events", metadata["namespace"], fields=chosen)
    except KubectlError as error:
        _unread(error)
        return
    mine = [event for event in found if event.get("involvedObject", {}).get("uid") in {metadata.get("uid"), None}]
    mine.sort(key=_time_of)
    for event in mine[-EVENTS_SHOWN:]:
        yield {
            "time": _time_of(event),
            "type": str(event.get("type", "")),
            "reason": str(event.get("reason", "")),
            "message": str(event.get("message", "")),
        }


def _time_of(event: Object) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next((time for time in times if time), event["metadata"].get("creationTimestamp", "")))
