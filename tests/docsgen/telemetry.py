"""`docs/reference/metrics.md` and `docs/reference/audit.md`: what the process tells of itself, from the code."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import lanyard
from docsgen.markdown import code, head, table
from lanyard.entry.telemetry import ObjectCollector
from lanyard.flows.keys import Key
from lanyard.flows.tally import Tally
from lanyard.flows.world import World

PACKAGE = Path(lanyard.__file__).parent

METRICS = """
# Metrics

`/metrics` on the port of health, in the text format of Prometheus. What is told of objects is read from memory when it
is asked for, so an object that is gone vanishes by itself. Labels are names that users gave and words of closed lists;
nothing that a provider or a store answered. `process_*` and `python_*` come from the Prometheus client.

"""

# Every label has a word, or the page does not render.
LABELS = {
    "namespace": "namespace of the Connection",
    "name": "name of the Connection",
    "type": "type of the condition, such as `Ready`",
    "status": "`True` or `False`",
    "reason": "a word of [the closed list](../reasons.md)",
    "method": "method of the Connection",
    "outcome": "`issued`, `resolved`, `written`, `works`, `refused`, `forbidden`, `unknown`, "
    "`pending`, `slow down`, `denied`, `expired` (what a device code was told instead), "
    "`not sent` (the Lease was lost), `handed out` or why not, as in [the audit log](audit.md), "
    "`changed` or `unchanged` (an issuer's keys), "
    "or a reason of [the closed list](../reasons.md)",
    "issuer": "`spec.issuer` of FederatedCredentials",
    "key_set": "name of the Secret with the issuer's keys",
    "dialect": "which grant was used: `client_credentials`, `jwt_bearer`, `token_exchange`, or `none`",
    "store": "`asset` or `secret`: what the reference names",
    "kind": "kind of the object",
    "decision": "`rest`, `publish`, `blocked`, or `acquire` and why: what a pass decided to do; "
    "for a link `keep`, `copy` or `takeback`",
}

AUDIT_PAGE = """
# Audit log

Lines of the log whose `logger` is `lanyard.audit`: one JSON object for each token fetched, credential read,
and Secret published. No line carries a secret; a token appears as its SHA-256, so that a token found somewhere
can be traced to the Connection it was issued for.

```json
{"time": "2026-11-24T15:21:57.454935Z", "level": "info", "logger": "lanyard.audit", "message": "audit",
 "action": "token request", "outcome": "issued", "object": "Connection/sales/crm",
 "uid": "f66eda80-25ba-4e51-9dd3-842f71b3a03f", "host": "login.example.com",
 "token_sha256": "b39cb81a92ce50c5f126f2fffd9023b3150742e6626cfa3a3b90f8ddfd5ca7e8"}
```

"""

ACTIONS = {
    "revoke token": "whoever held a token of Lanyard's own has ended it, at a gateway",
    "exchange": "a gateway was shown a JWT: a token was `handed out`, or it was `refused`, and `why`",
    "manage credentials": "the REST API was asked for something; the outcome is `done` or "
    "[why not](rest-api.md#problems)",
    "link": "a link's Secret was written with what its source has published",
    "verify": "the product was asked whether what is published works; "
    "the outcome is `works`, `refused`, `forbidden` or `unknown`",
    "take back": "a Secret was deleted that may be there no longer; the outcome is [the reason](../reasons.md)",
    "token request": "a token endpoint was asked; the outcome is `issued` or [a reason](../reasons.md)",
    "resolve": "a credential was read from a Secret or through a CredentialAssetRef, from its store or from memory",
    "consent": "a browser was sent to the provider (`started`), or came back (`answered`, `refused by the "
    "provider`); the operator stored a grant (`authorized`), or says [why not](../reasons.md)",
    "orphan": "a stored grant misses its Connection: noted (`mark`), found again (`unmark`), removed (`remove`)",
    "deletion": "a deleted Connection's grant was taken back (`revoked`), left alone (`orphaned`), had ended before "
    "(`ended before`) or was never there (`no grant`); anything else is why it could not be",
    "copy": "the copy of an access token that the gateway hands out was written (`written`) or deleted (`removed`)",
    "publish": "a workload Secret was written; `object gone`: nothing was, for the Connection was deleted meanwhile",
}

FIELDS = {
    "action": "what was done",
    "outcome": "how it ended",
    "object": "the Connection it was done for: kind, namespace, name",
    "uid": "uid of the Connection",
    "host": "host and, where given, port of the token endpoint",
    "token_sha256": "SHA-256 of the access token, in hexadecimal",
    "source": "the asset or Secret that was read: kind, namespace, name",
    "secret": "name of the workload Secret",
    "request_id": "also in the header X-Request-Id of the answer",
    "dialect": "which grant was used: `client_credentials`, `jwt_bearer` or `token_exchange`",
    "why": "why an exchange was refused: one of a closed list of sentences",
    "assertion_sha256": "SHA-256 of the JWT that was presented, in hexadecimal",
    "nearest": "uid of a FederatedCredential that fits but for one field, and the field",
    "credential": "uid of the FederatedCredential that fits, or that was asked about",
    "issuer": "the issuer that this credential names",
    "subject": "the subject that this credential names",
    "scopes": "the scopes that were handed out",
    "token_id": "`jti` of a token of Lanyard's own",
    "verb": "what was asked for, as RBAC calls it: `list`, `get`, `create`, `update`, `delete`",
    "caller": "who asked: a client id (uid of a Connection), or the user name of a Kubernetes token; empty when no "
    "token was taken",
    "approved_by": "the person who approved the browser, by their Kubernetes user name",
}

OWN_NAMES = {"object_name": "object", "token": "token_sha256"}


def metrics_page(_: str) -> str:
    rows = [
        [f"`{name}`", kind, _labels(labels), text]
        for name, kind, labels, text in families()
    ]  # fmt: skip
    words = [[f"`{name}`", meaning] for name, meaning in LABELS.items()]
    source = "entry/telemetry.py, entry/wiring.py and flows/tally.py in operator/lanyard"
    return (
        head(source) + METRICS + table(["Name", "Type", "Labels", "Meaning"], rows)
        + "\n## Labels\n\n" + table(["Label", "Meaning"], words)
    )  # fmt: skip


def families() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Name as scraped, type, labels, text of every metric of ours."""
    gauges = {name: (text, 0.0) for name, text in _process_gauges().items()}
    world = World(wake=_nobody, sources_of=lambda _key, _spec: ())
    for family in ObjectCollector(world, Tally(), lambda: gauges).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        text = family.documentation.partition(":")[0].rstrip(".") + "."
        yield name, family.type, tuple(getattr(family, "_labelnames", ())), text


def audit_page(_: str) -> str:
    calls: dict[str, list[str]] = {}
    for action, fields in audit_calls():
        known = calls.setdefault(action, ["action", "outcome"])
        known += [field for field in fields if field not in known]
    actions = [[f"`{action}`", ACTIONS[action], code(fields)] for action, fields in sorted(calls.items())]
    used = {field for fields in calls.values() for field in fields}
    fields = [[f"`{field}`", FIELDS[field]] for field in sorted(used, key=list(FIELDS).index)]
    return (
        head("every call of `audit` in operator/lanyard") + AUDIT_PAGE + table(["Action", "When", "Fields"], actions)
        + "\n## Fields\n\nBeside `time`, `level`, `logger` and `message` of every line:\n\n"
        + table(["Field", "Meaning"], fields)
    )  # fmt: skip


def audit_calls() -> Iterator[tuple[str, list[str]]]:
    """Action and fields of every call."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "audit":
                action = node.args[0]
                if not isinstance(action, ast.Constant):
                    raise ValueError(f"{path.name}: the action of an audit line is a literal")
                yield str(action.value), [OWN_NAMES.get(one.arg or "", one.arg or "") for one in node.keywords]


def _process_gauges() -> Mapping[str, str]:
    """Names and texts of the dictionary that `_gauges` of entry/wiring.py returns."""
    tree = ast.parse((PACKAGE / "entry" / "wiring.py").read_text())
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_gauges")
    found = next(node.value for node in ast.walk(function) if isinstance(node, ast.Return))
    if not isinstance(found, ast.Dict):
        raise TypeError("_gauges returns a dictionary")
    pairs = zip(found.keys, found.values, strict=True)
    return {_text(key): _text(value.elts[0]) for key, value in pairs if isinstance(value, ast.Tuple)}


def _text(node: ast.expr | None) -> str:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        raise TypeError("names and texts of gauges are literals")
    return node.value


def _labels(labels: tuple[str, ...]) -> str:
    missing = set(labels) - LABELS.keys()
    if missing:
        raise ValueError(f"say what these labels mean: {sorted(missing)}")
    return code(labels) or "-"


def _nobody(_: Key) -> None:
    """Nothing is watched here, so nothing wakes."""
