"""Every Connection that the examples show fits its connector: what the API server cannot know about it holds too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lanyard.api.connection import ConnectionSpec
from lanyard.connectors.checks import is_described
from lanyard.connectors.loader import load_catalogue
from lanyard.connectors.selection import plan_for

EXAMPLES = Path(__file__).parents[2] / "examples"
CATALOGUE = load_catalogue()


def documents() -> Iterator[tuple[Path, Any]]:
    for file in sorted(EXAMPLES.rglob("*.yaml")):
        if "invalid" not in file.parts:
            yield from ((file.relative_to(EXAMPLES), document) for document in yaml.safe_load_all(file.read_text()))


SHOWN = [
    pytest.param(document["spec"], id=f"{file} {document['metadata']['name']}")
    for file, document in documents()
    # A patch of kustomize is half a Connection; its other half is in the base.
    if document and document.get("kind") == "Connection" and "connector" in document["spec"]
]


@pytest.mark.spec("C12", "C16")
@pytest.mark.parametrize("spec", SHOWN)
def test_an_example_fits_its_connector(spec: dict[str, Any]) -> None:
    parsed = ConnectionSpec.model_validate(spec)
    assert plan_for(parsed, CATALOGUE[parsed.connector])


@pytest.mark.xfail(strict=True, reason="examples of consent and of signed grants are still to be written")
def test_the_examples_show_every_method_that_the_catalogue_describes() -> None:
    shown = {
        plan_for(parsed, CATALOGUE[parsed.connector]).method.name
        for parsed in (ConnectionSpec.model_validate(one.values[0]) for one in SHOWN)
    }
    described = {method.name for one in CATALOGUE.values() for method in one.spec.methods if is_described(method)}
    assert shown == described
