"""`docs/reference/kinds.md`: the fields of every kind, from the CRDs."""

from collections.abc import Iterator, Mapping
from typing import Any

from docsgen.markdown import code, head, table
from lanyard.api.meta import API_VERSION, Kind
from lanyard.api.schema import KINDS, crd

Schema = dict[str, Any]

INTRODUCTION = f"""
# Kinds

Group and version `{API_VERSION}`. `kubectl explain connection.spec` shows the same at the command line. Below the
fields of each kind stands what the API server refuses beyond types and bounds, in the words it uses.

"""


def page(_: str) -> str:
    return head("the models in operator/lanyard/api") + INTRODUCTION + "\n".join(_kind(kind) for kind in KINDS)


def _kind(kind: Kind) -> str:
    spec = crd(kind)["spec"]
    version = spec["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    scope = "in a namespace" if spec["scope"] == "Namespaced" else "cluster-wide"
    names = [spec["names"]["plural"], *spec["names"].get("shortNames", ())]
    parts = [f"## {kind.name}\n\n{kind.description} Lives {scope}; `kubectl get {names[-1]}`.\n"]
    for part, model in (("spec", kind.spec), ("status", kind.status)):
        text = model.model_json_schema(by_alias=True)
        defaults = dict(_defaults(part, text, text.get("$defs", {})))
        rows = list(_rows(part, schema["properties"][part], defaults, required=True))
        parts += [table(["Field", "Type", "Meaning"], rows)]
    refused = list(dict.fromkeys(f"- `{path}`: {message}\n" for path, message in _rules("", schema)))
    if refused:
        parts.append("Refused, and told:\n\n" + "".join(refused))
    columns = ", ".join(column["name"] for column in version["additionalPrinterColumns"])
    selectable = code(field["jsonPath"].removeprefix(".") for field in version.get("selectableFields", ()))
    parts.append(f"Columns: {columns}.\n" + (f"Field selectors: {selectable}.\n" if selectable else ""))
    return "\n".join(parts)


def _rows(path: str, schema: Schema, defaults: Mapping[str, Any], *, required: bool) -> Iterator[tuple[str, str, str]]:
    meaning = " ".join(filter(None, [_meaning(schema), _default(defaults.get(path))]))
    yield f"`{path}`{'' if required else ' (optional)'}", _type(schema), meaning
    needed = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        yield from _rows(f"{path}.{name}", child, defaults, required=name in needed)
    for mark, inner in _inner(schema):
        if inner.get("type") == "object":
            yield from _rows(f"{path}{mark}", inner, defaults, required=True)


def _defaults(path: str, node: Schema, definitions: Schema) -> Iterator[tuple[str, Any]]:
    """Defaults by path. The models know them; the CRDs do not, since the API server would write them into objects."""
    if "default" in node:
        yield path, node["default"]
    for inner in (node, *node.get("anyOf", ())):
        target = definitions[inner["$ref"].rpartition("/")[2]] if "$ref" in inner else inner
        for name, child in target.get("properties", {}).items():
            yield from _defaults(f"{path}.{name}", child, definitions)
        for mark, child in _inner(target):
            yield from _defaults(f"{path}{mark}", child, definitions)


def _default(value: Any) -> str:
    match value:
        case bool():
            return f"Default `{str(value).lower()}`."
        case [_, *_]:
            return f"Default {code(map(str, value))}."
        case None | "" | [] | dict():
            return ""
        case _:
            return f"Default `{value}`."


def _inner(schema: Schema) -> Iterator[tuple[str, Schema]]:
    if "items" in schema:
        yield "[]", schema["items"]
    if isinstance(schema.get("additionalProperties"), dict):
        yield ".*", schema["additionalProperties"]


def _type(schema: Schema) -> str:
    for mark, inner in _inner(schema):
        kind = f"{'list' if mark == '[]' else 'map'} of {inner.get('type', 'object')}"
        most = schema.get("maxItems") or schema.get("maxProperties")
        return f"{kind}, at most {most}" if most else kind
    kind = str(schema.get("type", "object"))
    return f"{kind}, at most {schema['maxLength']} characters" if "maxLength" in schema else kind


def _meaning(schema: Schema) -> str:
    words = [schema.get("description", "").strip().replace("<", "&lt;")]
    if "enum" in schema:
        words.append(f"One of {code(map(str, schema['enum']))}.")
    if "pattern" in schema:
        words.append(f"Matches `{schema['pattern']}`.")
    return " ".join(word for word in words if word)


def _rules(path: str, schema: Schema) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path or "the object", rule["message"]
    for name, child in schema.get("properties", {}).items():
        yield from _rules(f"{path}.{name}".removeprefix("."), child)
    for mark, inner in _inner(schema):
        yield from _rules(f"{path}{mark}", inner)
