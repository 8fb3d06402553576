"""Render the CRDs from the models: pydantic's JSON schema turned into a Kubernetes structural schema.

Kubernetes takes no `$ref`, no `null`, no `title`, no `const`; everything this module does not know is refused, so a
new pydantic feature cannot slip an invalid schema into `crds/`.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from lanyard.api.asset import ASSET
from lanyard.api.connection import CONNECTION
from lanyard.api.connector import CONNECTOR
from lanyard.api.federation import FEDERATED_CREDENTIAL
from lanyard.api.meta import GROUP, VERSION, Kind, Model
from lanyard.api.store import STORE

KINDS = (CONNECTION, CONNECTOR, STORE, ASSET, FEDERATED_CREDENTIAL)

_KEPT = {
    "type", "description", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems",
    "maxItems", "required", "minProperties", "maxProperties", "x-kubernetes-validations",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip
# A default in the schema is written into every stored object and shows up as drift in GitOps; defaults live in code.
_DROPPED = {"title", "$defs", "default"}


def structural(model: type[Model]) -> dict[str, Any]:
    """The structural schema of a model."""
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, schema.get("$defs", {}), model.__name__)


def _convert(node: dict[str, Any], definitions: dict[str, Any], where: str) -> dict[str, Any]:
    node = _inlined(node, definitions)
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            out[key] = {name: _convert(child, definitions, f"{where}.{name}") for name, child in value.items()}
        elif key == "items":
            out[key] = _convert(value, definitions, f"{where}[]")
        elif key == "additionalProperties":
            if isinstance(value, dict):
                out[key] = _convert(value, definitions, f"{where}{{}}")
        elif key == "propertyNames":
            continue
        elif key == "const":
            out["enum"] = [value]
        elif key in _KEPT:
            out[key] = value
        elif key not in _DROPPED:
            raise ValueError(f"{where}: {key} has no place in a structural schema")
    if "enum" in out and "type" not in out:
        out["type"] = "integer" if isinstance(out["enum"][0], int) else "string"
    return out


def _inlined(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Resolve `$ref` and turn `anyOf [X, null]` into X; what stands beside them wins."""
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            target = definitions[node["$ref"].rpartition("/")[2]]
        else:
            rest = {key: value for key, value in node.items() if key != "anyOf"}
            choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
            if len(choices) != 1:
                raise ValueError("a union has no place in a structural schema")
            target = choices[0]
        rules = [*target.get("x-kubernetes-validations", ()), *rest.get("x-kubernetes-validations", ())]
        node = {**target, **rest}
        if rules:
            node["x-kubernetes-validations"] = rules
    return node


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    status = structural(kind.status)
    # kstatus reads an object without status as current; -1 says that nobody has looked at it yet.
    status["default"] = {"observedGeneration": -1}
    root: dict[str, Any] = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec),
            "status": status,
        },
    }
    if kind.rules:
        root["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in kind.rules]
    names: dict[str, Any] = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
        "categories": ["lanyard"],
    }
    if kind.short:
        names["shortNames"] = [kind.short]
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": column.name, "type": column.type, "jsonPath": column.path}
            | ({"priority": column.priority} if column.priority else {})
            for column in kind.columns
        ],
        "schema": {"openAPIV3Schema": root},
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    metadata: dict[str, Any] = {"name": f"{kind.plural}.{GROUP}"}
    if kind.labels:
        metadata["labels"] = dict(kind.labels)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


def render(kind: Kind) -> str:
    """The committed text of a kind's CRD."""
    head = "# Rendered from operator/lanyard/api by `make crds`; do not edit.\n"
    return head + yaml.safe_dump(crd(kind), sort_keys=False, width=110, allow_unicode=True)


def file_name(kind: Kind) -> str:
    return f"{GROUP}_{kind.plural}.yaml"


if __name__ == "__main__":
    for folder in map(Path, sys.argv[1:]):
        folder.mkdir(exist_ok=True)
        for each in KINDS:
            (folder / file_name(each)).write_text(render(each))
