"""The outside effects of the operator by name: every request that changes something in the cluster or at a provider.

A name says what a request does, as the table of docs/crash-safety.md has it. A request that changes something and has
no name here is one all the same: it is named by method and path, has no row, and the test of the table fails.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from lanyard.api.meta import CONNECTION_ANNOTATION, CONSENT_LABEL
from lanyard.stores.grants import ENDED, GENERATION

SYSTEM, EXCHANGE = "lanyard-system", "lanyard-exchange"
ASIDE = "aside"
"""Calls that are counted apart (DESIGN 6): Leases, TokenRequests, reviews."""
_READS = {"GET", "HEAD", "OPTIONS"}
_ASIDE = re.compile(r"/leases(/|$)|/serviceaccounts/[^/]+/token$|reviews$")
_SECRET = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/secrets(/(?P<name>[^/]+))?")
_EVENT = re.compile(r"/apis/events\.k8s\.io/v1/namespaces/(?P<namespace>[^/]+)/events")
_CONNECTION = re.compile(
    r"/apis/lanyard\.dev/v1alpha1/namespaces/(?P<namespace>[^/]+)/connections/(?P<name>[^/]+)(?P<status>/status)?"
)
_CREDENTIAL = re.compile(
    r"/apis/lanyard\.dev/v1alpha1/namespaces/(?P<namespace>[^/]+)/federatedcredentials/[^/]+/status"
)
_SHARED = re.compile(r"/apis/lanyard\.dev/v1alpha1/(connectors|credentialstores)/(?P<name>[^/]+)/status")
_GRANTS = {
    "authorization_code": "code exchange",
    "urn:ietf:params:oauth:grant-type:device_code": "poll",
    "refresh_token": "token request",
    "client_credentials": "token request",
}

_KINDS = {"rt": "refresh", "at": "access"}


@dataclass(frozen=True, slots=True)
class Passing:
    """A request on its way; `path` with its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Effect:
    """`place` is the namespace of the Connection that it is for; of what stands aside, the path."""

    place: str
    step: str


class ClusterEffects:
    """Names what goes to the API server. It remembers what only an earlier request said: whose a Secret is."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}
        self._intents: dict[str, str | None] = {}
        """Generation of the intent that was written last, by Secret; None where something was written since."""

    def know(self, secret: str, place: str) -> None:
        """A Secret of ours, in the operator's or the shared namespace, that a test has made."""
        self._places[secret] = place

    def __call__(self, passing: Passing) -> Effect | None:
        path = passing.path.partition("?")[0]
        if passing.method in _READS:
            return None
        if _ASIDE.search(path):
            return Effect(path, ASIDE)
        if found := _EVENT.fullmatch(path):
            return Effect(found["namespace"], "event")
        body = _json(passing.body)
        if found := _CONNECTION.fullmatch(path):
            return Effect(found["namespace"], "status" if found["status"] else _finalizer(passing.body))
        if found := _CREDENTIAL.fullmatch(path):
            return Effect(found["namespace"], "credential status")
        if found := _SHARED.fullmatch(path):
            return Effect(found["name"], "status")
        if found := _SECRET.fullmatch(path):
            namespace, name = found["namespace"], found["name"] or body.get("metadata", {}).get("name", "")
            if namespace == SYSTEM:
                return self._of_grant(passing.method, name, body)
            if namespace == EXCHANGE:
                return self._of_shared(passing.method, name, body)
            gone = passing.method == "DELETE"
            return Effect(namespace, "workload secret removed" if gone else "workload secret")
        return Effect(path, f"{passing.method} {path}")

    def _of_grant(self, method: str, name: str, body: Mapping[str, Any]) -> Effect:
        annotations = body.get("metadata", {}).get("annotations") or {}
        owner = annotations.get(CONNECTION_ANNOTATION, "")
        if owner:
            self._places[name] = owner.partition("/")[0]
        place = self._places.get(name, name)
        if method == "DELETE":
            return Effect(place, "state removed")
        generation = annotations.get(GENERATION, "")
        spent, self._intents[name] = self._intents.get(name), None
        if (body.get("data") or {}).get("intent"):
            self._intents[name] = generation
            return Effect(place, "state intent")
        if annotations.get(ENDED):
            return Effect(place, "state end")
        return Effect(place, "state intent taken back" if spent == generation else "state grant")

    def _of_shared(self, method: str, name: str, body: Mapping[str, Any]) -> Effect:
        metadata = body.get("metadata", {})
        owner = (metadata.get("annotations") or {}).get(CONNECTION_ANNOTATION, "")
        place = self._places.get(name) or owner.partition("/")[0] or name
        if owner:
            self._places[name] = place
        if method == "DELETE":
            return Effect(place, "token copy removed" if name.startswith("token-") else "consent removed")
        if name.startswith("token-"):
            return Effect(place, "token copy")
        phase = (metadata.get("labels") or {}).get(CONSENT_LABEL, "changed")
        return Effect(place, f"consent {phase}")


def provider_effect(passing: Passing) -> Effect | None:
    """Names what goes to the provider of the tests, where the client id of a Connection is its namespace and an access
    token begins with it.
    """
    path = passing.path.partition("?")[0]
    form = dict(parse_qsl(passing.body.decode(errors="replace")))
    place = form.get("client_id") or _basic_user(passing.headers) or _token_place(passing.headers)
    match path:
        case "/token":
            return Effect(place, _GRANTS.get(form.get("grant_type", ""), "unknown grant"))
        case "/device":
            return Effect(place, "device code")
        case "/revoke":
            return Effect(place, f"{_KINDS.get(form.get('token', '')[:2], 'unknown')} token revoked")
        case "/me":
            return Effect(place, "identity")
        case _:
            return Effect(place or path, f"{passing.method} {path}")


def _finalizer(body: bytes) -> str:
    return "finalizer" if b"lanyard.dev/grant" in body else "finalizer removed"


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _basic_user(headers: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    return base64.b64decode(value).decode().partition(":")[0] if scheme == "Basic" else ""


def _token_place(headers: Mapping[str, str]) -> str:
    """Access tokens of the tests' provider read `at.<client>.<number>`."""
    parts = headers.get("Authorization", "").removeprefix("Bearer ").split(".")
    return parts[1] if len(parts) == 3 else ""
