"""What DESIGN 3 promises of the house, held against its source."""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

import lanyard

PACKAGE = Path(lanyard.__file__).parent
ROOT = PACKAGE.parent.parent
LONGEST_MODULE = 400
FORBIDDEN_NAMES = {"util", "helper", "common", "base", "manager", "misc", "core"}
ROOMS = ("api", "clients", "connectors", "entry", "flows", "oauth", "rules", "stores")

# Where plaintext can be. A module that is added here opens secrets: say in its docstring what for.
OPENERS = {
    "clients/kubeconfig.py": "our own token, into the Authorization header",
    "entry/gateway_token.py": "a token that is handed out, into the answer",
    "entry/plugin/exchange.py": "a ServiceAccount's token, for the gateway; with -o token, what was handed out",
    "entry/plugin/fitting.py": "a ServiceAccount's token, for what it says",
    "clients/reviews.py": "a caller's token, into the question whose it is",
    "flows/browsers.py": "a browser's secret, into its sealed cookie",
    "flows/consent.py": "a state, into the provider's address",
    "flows/tally.py": "a token, for its digest in the audit log",
    "flows/token_endpoint.py": "a client id or a user name that was given by reference, for the wire",
    "flows/verify.py": "what was captured of an answer and is no secret, into the address that is asked",
    "oauth/assertions.py": "a private key, to sign with",
    "oauth/authorization.py": "a callback's query and the client secret, to check a product's signature",
    "oauth/grants.py": "credentials, into the request to the token endpoint",
    "oauth/pkce.py": "a code verifier, for its challenge",
    "oauth/probes.py": "what is published, into the request that verifies it",
    "oauth/revocation.py": "tokens, into the request that revokes them",
    "oauth/sigv4.py": "AWS keys, to sign with",
    "oauth/wire.py": "any credential, into the request that carries it",
    "rules/consent.py": "a browser's secret and a state, for their digests",
    "rules/publish.py": "credentials and tokens, into the workload Secret",
    "sensitive.py": "the type itself",
    "stores/cache.py": "values, to encrypt them",
    "stores/consents.py": "a code and its verifier, or a device code, into the sealed record",
    "stores/copies.py": "an access token, into the sealed copy",
    "stores/grant_format.py": "tokens, into the document that is sealed",
    "stores/vault_session.py": "a login and a session's token, for the store",
    "stores/vault_wire.py": "a session's token, into the request to the store",
}
# `except Exception` outside of entry, and why.
BROAD = {"flows/queue.py": "the fault of one object must not stop the others"}
# Modules that chain a cause on purpose: their exceptions are told by type, one call further up.
CHAINING = {"clients/dial.py"}


def modules() -> dict[str, Path]:
    return {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for name, path in modules().items():
        yield name, ast.parse(path.read_text())


def raised_in(handler: ast.ExceptHandler) -> Iterator[ast.Raise]:
    """Raise statements that run while the exception is being handled."""
    waiting: list[ast.AST] = list(handler.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise):
            yield node
        waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("name", modules())
def test_a_module_is_short_enough_to_be_read(name: str) -> None:
    lines = len(modules()[name].read_text().splitlines())
    assert lines <= LONGEST_MODULE, "split it by what it is about"


def test_the_folder_operator_is_no_package() -> None:
    """It would shadow the standard library's `operator`."""
    assert not (PACKAGE.parent / "__init__.py").exists()


@pytest.mark.parametrize("name", modules())
def test_a_module_is_named_after_what_it_is_about(name: str) -> None:
    for word in chain.from_iterable(part.split("_") for part in Path(name).with_suffix("").parts):
        assert word.rstrip("s") not in FORBIDDEN_NAMES


def test_the_rooms_are_these() -> None:
    assert tuple(sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())) == ROOMS


@pytest.mark.parametrize("name", [name for name in modules() if name != "__main__.py"])
def test_a_module_says_what_may_live_in_it(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(modules()[name].read_text()))
    assert docstring
    assert docstring.partition("\n")[0].endswith((".", ":", "`")), docstring


@pytest.mark.spec("C8", "A2")
def test_plaintext_has_a_map() -> None:
    found = {
        name
        for name, tree in trees()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "reveal")
        or (isinstance(node, ast.FunctionDef) and node.name == "reveal")
    }
    assert found == OPENERS.keys()


def test_unforeseen_exceptions_are_caught_where_processes_live() -> None:
    found = set()
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type is not None else "everything"
                if caught in {"everything", "Exception", "BaseException"} and not name.startswith("entry/"):
                    found.add(name)
    assert found == BROAD.keys()


@pytest.mark.spec("C8")
def test_an_exception_does_not_carry_another_s_text() -> None:
    """`raise … from None`: the cause of a failure on the wire quotes what was on it."""
    found = []
    for name, tree in trees():
        for handler in ast.walk(tree):
            if isinstance(handler, ast.ExceptHandler):
                for statement in raised_in(handler):
                    chained = statement.cause is None or ast.unparse(statement.cause) != "None"
                    if statement.exc is not None and chained and name not in CHAINING:
                        found.append(f"{name}:{statement.lineno}")
    assert found == []


@pytest.mark.spec("C8")
def test_log_lines_are_constant_and_carry_their_facts_beside_them() -> None:
    """A message that is put together may be put together from anything."""
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"debug", "info", "warning", "error", "critical", "exception"}
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in {"_log", "_audit", "_events", "logging"}
            ):
                constant = len(node.args) == 1 and isinstance(node.args[0], ast.Constant)
                no_trace = all(
                    keyword.arg != "exc_info" or ast.unparse(keyword.value) == "False" for keyword in node.keywords
                )
                if not constant or not no_trace or node.func.attr == "exception":
                    found.append(f"{name}:{node.lineno}")
    assert found == []


def test_nobody_prints() -> None:
    found = [
        name
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "breakpoint"}
    ]
    assert set(found) <= {"api/schema.py"}, "what renders files may say so"


def test_there_is_no_class_to_inherit_from() -> None:
    """No base classes of our own but models, exceptions, enums and protocols."""
    allowed = {"Model", "ObjectStatus"}
    own = {node.name for _, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
                found += [
                    f"{name}: {node.name}({base})"
                    for base in (bases & own) - allowed
                    if not base.endswith(("Error", "Failed"))
                ]
    assert found == []
