"""Every row of the specification with the tests that name it: `make spec`, or `python -m spec_rows`.

A test names rows by `@pytest.mark.spec("C7", "A4")`; a module may name them for all its tests with `pytestmark`, a
class for its own. The test tree is read, not run.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent

ROWS = {
    "C1": "a Connection ties one account to one system, and exists once its user has consented",
    "C2": "namespaces and roles decide who uses a Connection; people's own accounts stay out of shared namespaces",
    "C3": "the platform governs who may create which connector, grant type and host",
    "C4": "one place to list Connections, see their health, reconnect, edit and delete them",
    "C5": "ways to authenticate: code, client credentials, password, bearer token, API key, basic, custom",
    "C6": "bring your own app: client id, secret and scopes; the redirect URI is fixed and shown",
    "C7": "the token is refreshed ahead of its expiry, without the user",
    "C8": "tokens and client secrets never appear outside the workload Secret",
    "C9": "mandatory scopes are checked, asked for and granted ones compared",
    "C10": "a rotated client secret is picked up, nothing else breaks, nobody consents again",
    "C11": "each common failure has a reason of its own, with what to do about it",
    "C12": "a Connection travels between environments without its credentials; fields can be locked",
    "C13": "pending, configured at deployment, or linked to an existing Connection",
    "C14": "whoever moves to another Connection leaves the old one untouched",
    "C15": "egress through proxies, with own CAs, under network policies",
    "C16": "a catalogue of products, and connectors of one's own",
    "C17": "workloads use a Secret with stable keys, bound by name",
    "C18": "failing Connections notify: Events, alerts, CloudEvents",
    "C19": "a connector is drafted from an API definition",
    "C20": "not a goal: triggers and polling",
    "C+1": "rotation of refresh tokens survives a crash at every step",
    "C+2": "every object has a scheduled next attempt, or a named thing it waits for",
    "C+3": "the old token still lives when the new one reaches the pods",
    "A1": "a secret field may refer to a credential in an external store",
    "A2": "a credential is resolved at run time and never written down, unless it is to be published",
    "A3": "resolved values are cached in memory, encrypted, for at most an hour",
    "A4": "a refused credential is fetched afresh and tried once more",
    "A5": "all traffic is TLS, verified",
    "A6": "every secret field of every connector and method takes references, plain fields take none",
    "A7": "Lanyard's own tokens are not assets",
    "A8": "only assets of type Credential, the others are refused with a reason",
    "A9": "an asset is used from another namespace only when it admits that one",
    "A10": "the stores: Kubernetes, Vault and OpenBao first, then the others",
    "A11": "a store is configured once by the platform, which says who may use it",
    "A12": "stores are reached through proxies and without",
    "A+1": "sealed, unreachable, denied, missing and malformed are told apart, each ends by itself",
    "A+2": "the store sees the tenant's own identity; a shared login is confined to the tenant's paths",
    "F1": "an external JWT is exchanged for an access token, without a secret",
    "F2": "issuer, audience and subject of a federated credential, and their limits",
    "F3": "at most twenty per application",
    "F4": "the REST API: list, create, get, update, delete",
    "F5": "its refusals: duplicates, bad issuers, unreachable keys, unknown clients",
    "F6": "an update needs every required field",
    "F7": "the token endpoint: assertions, token exchange, the jwt-bearer grant",
    "F8": "its refusals: signature, issuer, audience, subject, time, size",
    "F9": "a deleted credential gives no more tokens, within a stated time",
    "F10": "the members of a federated credential on the wire",
    "F11": "limits per client and namespace, with Retry-After",
    "F12": "a Connection of the connector `lanyard` is the application",
    "F+1": "an exchange can return the provider's own token",
    "F+2": "claim rules, last use, warnings, unmodified cloud SDKs",
    "K1": "CRDs with schemas, CEL, bounds, columns, short names, a status subresource",
    "K2": "conditions that kubectl wait, Argo CD, Flux and Helm read alike",
    "K3": "Argo CD: health, actions, no drift",
    "K4": "a Helm chart to run it in earnest",
    "K5": "mounted tokens are renewed without a restart",
    "K6": "ten thousand Connections on one operator, more gateways for more exchanges, a standby",
    "K7": "a kubectl plugin",
    "K8": "metrics, structured logs, an audit log, health endpoints",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """A test that names a row."""

    row: str
    test: str


def proofs(tests: Path = TESTS) -> Iterator[Proof]:
    """Every (row, test) of the test tree, in the order of the files."""
    for file in sorted(tests.rglob("test_*.py")):
        module = ast.parse(file.read_text(), filename=str(file))
        yield from _within(module, str(file.relative_to(tests)), _of_module(module))


def by_row(tests: Path = TESTS) -> dict[str, list[str]]:
    """Tests by row, every row of the specification included. KeyError for a row that there is not."""
    found: dict[str, list[str]] = {row: [] for row in ROWS}
    for proof in proofs(tests):
        found[proof.row].append(proof.test)
    return found


def _within(node: ast.Module | ast.ClassDef, where: str, inherited: tuple[str, ...]) -> Iterator[Proof]:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from _within(child, f"{where}::{child.name}", (*inherited, *_marked(child.decorator_list)))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name.startswith("test"):
            for row in dict.fromkeys((*inherited, *_marked(child.decorator_list))):
                yield Proof(row, f"{where}::{child.name}")


def _of_module(module: ast.Module) -> tuple[str, ...]:
    """Rows of `pytestmark = pytest.mark.spec(...)`, alone or in a list."""
    marks: list[ast.expr] = []
    for statement in module.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets):
                value = statement.value
                marks += value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    return _marked(marks)


def _marked(expressions: list[ast.expr]) -> tuple[str, ...]:
    """Rows of `pytest.mark.spec(...)`, also where it stands in the marks of a `pytest.param` of a table."""
    rows = []
    for expression in expressions:
        for node in ast.walk(expression):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func) == "pytest.mark.spec"
            ):
                rows += [str(ast.literal_eval(argument)) for argument in node.args]
    return tuple(rows)


def main() -> int:
    """Print the table. 1 when a test names a row that there is not."""
    unknown = sorted({proof.row for proof in proofs()} - ROWS.keys())
    if unknown:
        print(f"not a row of the specification: {', '.join(unknown)}", file=sys.stderr)
        return 1
    found = by_row()
    for row, text in ROWS.items():
        print(f"{row:<4} {text}")
        for test in found[row]:
            print(f"       {test}")
    named = sum(1 for tests in found.values() if tests)
    print(f"\n{named} of {len(ROWS)} rows are named by {len({proof.test for proof in proofs()})} tests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
