"""`connectors` and `connector show`: the built-in catalogue together with the Connector objects of the cluster."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from lanyard.api.connector import ConnectorSpec
from lanyard.api.meta import API_VERSION, GROUP
from lanyard.connectors.checks import is_described
from lanyard.connectors.loader import from_object, load_catalogue
from lanyard.connectors.page import credentials_of
from lanyard.entry.plugin import screen
from lanyard.entry.plugin.faults import ExitCode, PluginError
from lanyard.entry.plugin.kubectl import Kubectl
from lanyard.entry.plugin.options import output, where
from lanyard.entry.plugin.screen import Glyph
from lanyard.errors import SpecError


@dataclass(frozen=True, slots=True)
class Product:
    """One connector. `spec` is None for an object that is not usable; `origin` is `built-in` or `cluster`."""

    name: str
    origin: str
    spec: ConnectorSpec | None
    problem: str = ""

    def methods(self) -> list[str]:
        return [method.name.value for method in self.spec.methods] if self.spec else []

    def title(self) -> str:
        return self.spec.display_name if self.spec else ""

    def row(self) -> dict[str, Any]:
        """For -o json and -o yaml of the list."""
        return {
            "name": self.name,
            "product": self.title(),
            "methods": self.methods(),
            "origin": self.origin,
            **({"problem": self.problem} if self.problem else {}),
        }

    def document(self) -> dict[str, Any]:
        """The object one could apply."""
        spec = self.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True) if self.spec else {}
        return {"apiVersion": API_VERSION, "kind": "Connector", "metadata": {"name": self.name}, "spec": spec}


@click.command()
@where()
@click.option("--search", metavar="TEXT", help="Only those with this text in name, product or method.")
@output("json", "yaml", "name")
def connectors(kubectl: Kubectl, search: str | None, output: str | None) -> None:
    """List the products that a Connection can name. Works without a cluster, then without its own Connectors."""
    found = [product for product in products(kubectl).values() if _fits(product, search or "")]
    if output == "name":
        for product in found:
            screen.plain(product.name)
    elif output is not None:
        screen.data([product.row() for product in found], output)
    elif not found:
        screen.note(Glyph.WAITING, f"No connector has {search} in it. Any OAuth 2.0 product: connector oauth2.")
    else:
        rows = [[one.name, one.title(), ", ".join(one.methods()) or one.problem, one.origin] for one in found]
        screen.table(["name", "product", "methods", "origin"], rows)


@click.group()
def connector() -> None:
    """Look at one connector, or draft a new one."""


@connector.command()
@click.argument("name")
@where()
@output("json", "yaml", "name")
def show(kubectl: Kubectl, name: str, output: str | None) -> None:
    """Say what the connector NAME asks for. With -o yaml the Connector object, to apply and change."""
    product = named(products(kubectl), name)
    if output == "name":
        screen.plain(product.name)
    elif output is not None:
        screen.data(product.document(), output)
    else:
        _tell(product)


def products(kubectl: Kubectl) -> Mapping[str, Product]:
    """By name, sorted; an object of the cluster wins over the built-in one of its name."""
    found = {name: Product(name, "built-in", one.spec) for name, one in load_catalogue().items()}
    try:
        objects = kubectl.every(f"connectors.{GROUP}")
    except PluginError as error:
        screen.note(Glyph.WAITING, f"built-in connectors only: {error.message} {error.cause}".rstrip())
        objects = []
    for one in objects:
        name = one["metadata"]["name"]
        try:
            found[name] = Product(name, "cluster", from_object(name, one.get("spec", {})).spec)
        except SpecError as error:
            found[name] = Product(name, "cluster", None, error.message)
    return dict(sorted(found.items()))


def named(found: Mapping[str, Product], name: str) -> Product:
    """PluginError with the closest names when there is none."""
    if name in found:
        return found[name]
    close = difflib.get_close_matches(name.lower(), found, n=3, cutoff=0.5)
    step = f"Did you mean {', '.join(close)}?" if close else "kubectl lanyard connectors --search TEXT"
    raise PluginError(f"There is no connector {name}.", step=step, code=ExitCode.FAILED)


def _fits(product: Product, text: str) -> bool:
    places = (product.name, product.title(), *product.methods())
    return any(text.lower() in place.lower() for place in places)


def _tell(product: Product) -> None:
    spec = product.spec
    screen.plain(f"{product.name}: {product.title() or 'without a name of its own'} ({product.origin})")
    if spec is None:
        screen.fact("problem", product.problem, glyph=Glyph.WRONG)
        return
    for label, text in (("API", spec.base_url), ("documents", spec.docs_url)):
        if text:
            screen.fact(label, text)
    for label, text in _inputs(spec):
        screen.fact(label, text)
    for method in spec.methods:
        takes = credentials_of(method).replace("`", "")
        what = f"credentials {takes}" if is_described(method) else "not described"
        screen.fact("method", f"{method.name.value}: {what}. {method.description}".rstrip(". "))
    if spec.mints is not None:
        screen.fact("method", "none: Lanyard makes the tokens itself, and workloads get them by exchange")
    screen.fact("next step", f"kubectl lanyard connector show {product.name} -o yaml", glyph=Glyph.STEP)


def _inputs(spec: ConnectorSpec) -> Iterator[tuple[str, str]]:
    for name, parameter in spec.parameters.items():
        need = "" if parameter.required and parameter.default is None else " (optional)"
        example = f" Such as {parameter.example}." if parameter.example else ""
        yield "parameter", f"{name}{need}: {parameter.description}{example}".rstrip()
