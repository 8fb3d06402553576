"""The tables of rights in `docs/security.md`, from the rendered chart."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from docsgen.markdown import between, code, table
from support.install import NAMESPACE, rendered

Manifest = dict[str, Any]

SERVED = "a-team"
OPERATOR, GATEWAY, KEYS = "lanyard-operator", "lanyard-gateway", "lanyard-keys"
EXCHANGE = "lanyard-exchange"

# Every right of a process has a reason, or the page does not render.
WHY = {
    ("lanyard.dev", "connections"): "what teams ask for; `patch` for the finalizer of one with a stored grant",
    ("lanyard.dev", "credentialassetrefs"): "where their credentials are",
    ("lanyard.dev", "federatedcredentials"): "whose JWTs are taken, and where their keys are",
    ("lanyard.dev", "connectors"): "how products authenticate",
    ("lanyard.dev", "credentialstores"): "which stores there are",
    ("lanyard.dev", "connections/status"): "conditions, expiry, the next attempt",
    ("lanyard.dev", "credentialassetrefs/status"): "conditions",
    ("lanyard.dev", "federatedcredentials/status"): "conditions, the last exchange",
    ("lanyard.dev", "connectors/status"): "conditions",
    ("lanyard.dev", "credentialstores/status"): "conditions",
    ("", "namespaces"): "labels that `allowedNamespaces.selector` asks for",
    ("", "secrets"): "read referenced Secrets; write, repair and, after a rename, delete the workload Secrets",
    ("", "serviceaccounts"): "whether one is labelled as presentable",
    ("", "serviceaccounts/token"): "a short token of that ServiceAccount for the store's audience",
    ("events.k8s.io", "events"): "say when a reason changes",
    ("coordination.k8s.io", "leases"): "which of several operators works (the object `lanyard-operator` alone)",
}
WHY_OF_GATEWAY = {
    ("lanyard.dev", "connections"): "what is to be authorized, and who approved which browser",
    ("lanyard.dev", "federatedcredentials"): "whose JWTs are taken, and for which Connection",
    ("lanyard.dev", "connectors"): "where a product's sign-in page is",
    ("", "namespaces"): "labels that a Connector's `mints` asks for",
    (
        "",
        "secrets",
    ): "consent records: create, write the answer, read the outcome, take away what is over; token copies "
    "and issuers' keys: read, ask for newer ones; used JWTs and revoked tokens: note; last uses: write",
    ("coordination.k8s.io", "leases"): "whether the operator is there (the object `lanyard-operator` alone)",
}
WHY_OF_REST = {
    ("authentication.k8s.io", "tokenreviews"): "whose a caller's Kubernetes token is, and whether it was made for this",
    ("authorization.k8s.io", "subjectaccessreviews"): "what that person may do; nothing else is decided by it",
    ("lanyard.dev", "federatedcredentials"): "write what was asked for; in the namespaces of "
    "`gateway.restAPI.namespaces` alone",
}
WHY_OF_KEYS = {
    ("create",): "make a keyring that is not there",
    ("get",): "which keys a keyring has (the objects `lanyard-keyring-grant`, `lanyard-keyring-token` and "
    "`lanyard-keyring-signing` alone)",
    ("list",): "whether something stored needs a key that is not there: then none is made",
}
WHY_NARROW = {
    (NAMESPACE, "secrets"): "stored grants, sealed; shared logins of CredentialStores",
    (EXCHANGE, "secrets"): "consent records: claim them, write the outcome; copies of access tokens, sealed; "
    "issuers' keys",
    ("default", "events"): "Events of Connectors and CredentialStores, which live there",
}

Right = tuple[str, str, str, tuple[str, ...]]
"""(where, API group, resource, verbs); where is a namespace, or empty for the whole cluster."""


def operator_rights(manifests: Sequence[Manifest], account: str = OPERATOR) -> list[Right]:
    """What the bindings give the operator (or the gateway), read from the chart as the API server would."""
    roles = {(one["kind"], _place(one), one["metadata"]["name"]): one for one in manifests if "rules" in one}
    found: list[Right] = []
    for binding in manifests:
        subjects = binding.get("subjects") or ()
        if not any(one["kind"] == "ServiceAccount" and one["name"] == account for one in subjects):
            continue
        place = _place(binding)
        kind = binding["roleRef"]["kind"]
        role = roles[kind, place if kind == "Role" else "", binding["roleRef"]["name"]]
        found += [(place, *right) for right in rights_of(role)]
    return found


def rest_rights() -> list[Right]:
    """What the REST API adds to the gateway's."""
    without = operator_rights(rendered(), GATEWAY)
    values = {"gateway": {"restAPI": {"enabled": True, "namespaces": [SERVED]}}}
    return [right for right in operator_rights(rendered(values), GATEWAY) if right not in without]


def rights_of(role: Manifest) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(API group, resource, verbs) of a role."""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield group, resource, tuple(rule["verbs"])


def page(text: str) -> str:
    narrow = rendered({"scope": {"namespaces": [SERVED]}})
    text = between(text, "rights-cluster", _operator_table(operator_rights(rendered())))
    text = between(text, "rights-namespaced", _operator_table(operator_rights(narrow)))
    text = between(text, "rights-gateway", _table(operator_rights(rendered(), GATEWAY), _why_of_gateway))
    text = between(text, "rights-gateway-namespaced", _table(operator_rights(narrow, GATEWAY), _why_of_gateway))
    text = between(text, "rights-rest", _table(rest_rights(), _why_of_rest))
    text = between(text, "rights-keys", _table(operator_rights(rendered(), KEYS), _why_of_keys))
    return between(text, "rights-people", _people_table(rendered()))


def _operator_table(rights: Sequence[Right]) -> str:
    return _table(rights, _why)


def _table(rights: Sequence[Right], why: Callable[[Right], str]) -> str:
    rows = (
        [_where(right[0]), code([right[1] or "core"]), code([right[2]]), ", ".join(right[3]), why(right)]
        for right in rights
    )
    return table(["Where", "API group", "Resource", "Verbs", "Why"], rows)


def _where(place: str) -> str:
    match place:
        case "":
            return "cluster"
        case _ if place == SERVED:
            return "each served namespace"
        case _ if place == NAMESPACE:
            return "the release's namespace"
        case _:
            return f"`{place}`"


def _why(right: Right) -> str:
    place, group, resource, _ = right
    return WHY_NARROW.get((place, resource)) or WHY[group, resource]


def _why_of_gateway(right: Right) -> str:
    _, group, resource, _ = right
    return WHY_OF_GATEWAY[group, resource]


def _why_of_rest(right: Right) -> str:
    return WHY_OF_REST[right[1], right[2]]


def _why_of_keys(right: Right) -> str:
    return WHY_OF_KEYS[right[3]]


PEOPLE: Mapping[str, str] = {
    "lanyard-view": "`view`, and so `edit` and `admin`",
    "lanyard-edit": "`edit`, and so `admin`",
    "lanyard-admin": "`admin`",
    "lanyard-authorizer": "whom you bind it to, in a namespace; only together with the policy below",
    "lanyard-catalogue-view": "whom `rbac.catalogueViewers` lists",
    "lanyard-servicebinding": "controllers of servicebinding.io",
}


def _people_table(manifests: Sequence[Manifest]) -> str:
    roles = [
        one for one in manifests if one["kind"] == "ClusterRole" and one["metadata"]["name"] not in {OPERATOR, GATEWAY}
    ]
    rows = (
        [code([role["metadata"]["name"]]), PEOPLE[role["metadata"]["name"]], code([resource]), ", ".join(verbs)]
        for role in roles
        for _, resource, verbs in rights_of(role)
    )
    return table(["ClusterRole", "Goes to", "Resource (lanyard.dev)", "Verbs"], rows)


def _place(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("namespace", ""))
