"""A FederatedCredential as the reference's REST API shows it, and what a request asks to be written.

The object is the one truth: whatever the reference has no member for (claim rules, scopes, keys given inline) stays as
it is. Sources: SPEC F2, F4, F10; research/peers-federation.md 6.7.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lanyard.api.dto import ReadCredential, WrittenCredential
from lanyard.api.federation import FEDERATED_CREDENTIAL
from lanyard.api.meta import API_VERSION
from lanyard.rules.trust import Credential, Verdict, judge

# The same rules as those of the kind (api/federation.py, CEL), for an address is asked before anything is written.
_ISSUER = re.compile(
    r"(https://|http://(?=(127\.0\.0\.1|localhost|\[::1\])(:|/|$)))"
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/[^?#]*)?"
)
_HTTPS_PORT = re.compile(r"https://[^/]*:443(/.*)?")


def is_issuer(text: str) -> bool:
    """Whether the kind takes this as an issuer. Text of printable ASCII is taken for granted."""
    if _ISSUER.fullmatch(text) is None or _HTTPS_PORT.fullmatch(text) is not None:
        return False
    return "//" not in text[8:] and not {".", ".."} & set(text.split("/"))


def updated_at(metadata: Mapping[str, Any]) -> str:
    """The newest write of anything but the status, by whomever; RFC 3339 in UTC, which sorts as text.

    Writes are those of `metadata.managedFields`; an object without them was never changed that anybody knows of.
    """
    times: list[str] = [
        entry["time"]
        for entry in metadata.get("managedFields") or ()
        if entry.get("subresource") != "status" and entry.get("time")
    ]
    created: str = metadata["creationTimestamp"]
    return max([*times, created])


def read_credential(
    *, uid: str, client_id: str, name: str, created_at: str, updated_at: str, spec: Mapping[str, Any]
) -> ReadCredential:
    """`name` is the object's own; `spec` as the API server has it."""
    return ReadCredential(
        id=uid,
        client_id=client_id,
        name=spec.get("displayName") or name,
        description=spec.get("description"),
        issuer=spec["issuer"],
        audience=spec["audience"],
        subject=spec["subject"],
        created_at=created_at,
        updated_at=updated_at,
    )


def new_object(written: WrittenCredential, *, namespace: str, name: str, connection: str) -> dict[str, Any]:
    """The object to create. Its name comes from us: what people write is no DNS name."""
    spec = {"connectionRef": {"name": connection}} | change(written)
    return {
        "apiVersion": API_VERSION,
        "kind": FEDERATED_CREDENTIAL.name,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {field: value for field, value in spec.items() if value is not None},
    }


def change(written: WrittenCredential) -> dict[str, Any]:
    """What a replacement changes of `spec`, as a JSON merge patch (RFC 7386): null takes a field away."""
    return {
        "displayName": written.name,
        "description": written.description,
        "issuer": written.issuer,
        "audience": written.audience,
        "subject": written.subject,
    }


def merged(spec: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """What the spec will be; the patch has no objects in it."""
    return {field: value for field, value in {**spec, **patch}.items() if value is not None}


def reversal(spec: Mapping[str, Any], written: WrittenCredential) -> dict[str, Any]:
    """The merge patch that brings back what was there before `change(written)`."""
    return {field: spec.get(field) for field in change(written)}


def displaced(siblings: Iterable[Credential], mine: Credential) -> Verdict | None:
    """What stands against `mine` as a new one among its siblings, or in the place of itself as it was; None: nothing.

    A name that another one has, and a place that there is not: for `mine`, or for one that would lose its own to it.
    """
    before = list(siblings)
    judged = judge(before)
    after = judge([*(one for one in before if one.uid != mine.uid), mine])
    if after[mine.uid] is Verdict.DUPLICATE_NAME:
        return Verdict.DUPLICATE_NAME
    counted = {uid for uid, verdict in judged.items() if verdict is Verdict.COUNTS}
    if mine.uid not in judged:
        counted.add(mine.uid)
    return next((after[uid] for uid in counted if after[uid] is not Verdict.COUNTS), None)


def version_tag(generation: int, updated_at: str) -> str:
    """A strong ETag (RFC 9110 8.8.3): another one with every write but those of the status, which nobody sees here.

    Not the resourceVersion: the operator's first status would outdate the tag that a client got with its 201.
    """
    return f'"{generation}-{"".join(filter(str.isdigit, updated_at))}"'


def tag_matches(if_match: str, tag: str) -> bool:
    """RFC 9110 13.1.1: `*`, or a list of tags of which one is this; weak ones (W/) never match."""
    return if_match.strip() == "*" or tag in (one.strip() for one in if_match.split(","))
