"""Every Connection that the examples show fits its connector: what the API server cannot know about it holds too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lanyard.api.connection import ConnectionSpec, Method
from lanyard.api.meta import Model
from lanyard.connectors.checks import is_described
from lanyard.connectors.loader import Connector, from_object, load_catalogue
from lanyard.connectors.selection import plan_for
from support.pointed import DEPARTED, DEPARTURES, PLACEHOLDER, PRODUCTS, Example, pointed

EXAMPLES = Path(__file__).parents[2] / "examples"
CATALOGUE = load_catalogue()


def documents() -> Iterator[tuple[Path, Any]]:
    for file in sorted(EXAMPLES.rglob("*.yaml")):
        if "invalid" not in file.parts:
            yield from ((file.relative_to(EXAMPLES), document) for document in yaml.safe_load_all(file.read_text()))


def connector_of(file: Path, name: str) -> Connector:
    """The Connector object that lies beside the Connection, else the built-in one."""
    beside = (document for place, document in documents() if place.parent == file.parent)
    own = [one for one in beside if one and one.get("kind") == "Connector" and one["metadata"]["name"] == name]
    return from_object(name, own[0]["spec"]) if own else CATALOGUE[name]


SHOWN = [
    pytest.param(file, document["spec"], id=f"{file} {document['metadata']['name']}")
    for file, document in documents()
    # A patch of kustomize is half a Connection; its other half is in the base.
    if document and document.get("kind") == "Connection" and "connector" in document["spec"]
]


def mints(spec: dict[str, Any]) -> bool:
    """Whether Lanyard makes the tokens itself."""
    own = CATALOGUE.get(spec["connector"])
    return own is not None and own.spec.mints is not None


SIGNED_IN = [one for one in SHOWN if not mints(one.values[1])]
MINTED = [one for one in SHOWN if mints(one.values[1])]


@pytest.mark.spec("C12", "C16")
@pytest.mark.parametrize(("file", "spec"), SIGNED_IN)
def test_an_example_fits_its_connector(file: Path, spec: dict[str, Any]) -> None:
    parsed = ConnectionSpec.model_validate(spec)
    assert plan_for(parsed, connector_of(file, parsed.connector))


@pytest.mark.spec("C16", "F12")
@pytest.mark.parametrize(("file", "spec"), MINTED)
def test_an_example_whose_tokens_lanyard_makes_gives_nothing_to_sign_in_with(file: Path, spec: dict[str, Any]) -> None:
    assert not {"auth", "credentials", "parameters", "secret", "verify"} & spec.keys(), file


@pytest.mark.spec("C5")
def test_the_examples_show_every_method_that_the_catalogue_describes() -> None:
    shown = set()
    for file, spec in (one.values for one in SIGNED_IN):
        parsed = ConnectionSpec.model_validate(spec)
        shown.add(plan_for(parsed, connector_of(file, parsed.connector)).method.name)
    described = {method.name for one in CATALOGUE.values() for method in one.spec.methods if is_described(method)}
    assert shown == described


@pytest.mark.spec("C6", "C16")
@pytest.mark.parametrize("product", PRODUCTS)
def test_an_example_of_a_product_says_what_to_register_there(product: str) -> None:
    """What is asked for is what is registered: the redirect URI, and every scope."""
    example, readme = Example.of(product), (EXAMPLES / product / "README.md").read_text()
    assert f"https://<gateway>/oauth/callback/{example.described.name}`" in readme
    assert [
        scope for scope in example.spec.auth.scopes if f"`{scope}`" not in readme and f"({scope})" not in readme
    ] == []
    assert f"kubectl lanyard authorize {example.name} -n " in readme
    assert (example.secret is None) != ("kubectl create secret generic" in readme)


@pytest.mark.parametrize("product", PRODUCTS)
def test_an_example_of_a_product_holds_no_secret(product: str) -> None:
    secret = Example.of(product).secret
    assert secret is None or set(secret["stringData"].values()) == {PLACEHOLDER}


@pytest.mark.parametrize("product", [one for one in PRODUCTS if one != "oidc"])  # its addresses are parameters
def test_a_product_pointed_elsewhere_keeps_the_rest_of_its_data(product: str) -> None:
    """Else the test that authorizes the examples would prove another product."""
    connector = Example.of(product).described
    method = next(one for one in connector.spec.methods if one.name is Method.AUTHORIZATION_CODE)
    here = from_object(connector.name, pointed(connector, Server(), "https://sites.example/list")).spec
    assert here.parameters == connector.spec.parameters
    moved = here.methods[0]
    departed: frozenset[str] = DEPARTED if connector.name in DEPARTURES else frozenset()
    ours = {"authorization", "token_request", "revocation", "identity", "verification", "follow_up"} - departed
    rest = set(type(method).model_fields) - ours - departed
    assert {field: getattr(moved, field) for field in rest} == {field: getattr(method, field) for field in rest}
    for field in ours:
        assert without_hosts(getattr(moved, field)) == without_hosts(getattr(method, field))


class Server:
    """Addresses that no product has."""

    issuer = "https://elsewhere.example"
    authorization_url = token_url = revocation_url = me_url = f"{issuer}/x"


def without_hosts(part: Any) -> Any:
    """A part of a method without its addresses, and without where an account is read from."""
    if isinstance(part, list):
        return [without_hosts(one) for one in part]
    if not isinstance(part, Model):
        return part
    moved = {"url", "issuer", "account"}
    return {name: without_hosts(getattr(part, name)) for name in type(part).model_fields if name not in moved}
