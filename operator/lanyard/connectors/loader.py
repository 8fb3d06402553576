"""The built-in catalogue from its files, and a connector from a `Connector` object. One set of checks for both.

A file holds one connector (`name` and `evidence` beside the spec's fields), or a family: `family` with what its
members share and `connectors` with the members. Members win; mappings merge; methods merge by name; every other list
is replaced.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lanyard.api.connector import ConnectorSpec
from lanyard.api.meta import misfit
from lanyard.connectors.checks import findings
from lanyard.connectors.evidence import Evidence
from lanyard.errors import SpecError
from lanyard.reasons import Reason

_T = TypeVar("_T", bound=BaseModel)

_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What changes nothing about a token must not make anyone fetch one: prose, what is asked before there is a token or
# after it, what decides when it is renewed, and who may be given one by exchange. A follow-up stays: what it captures
# is published beside the token.
_ASIDE: Any = {
    "display_name": True,
    "docs_url": True,
    "former_hosts": True,
    "limits": True,
    "mints": True,
    "parameters": {"__all__": {"description", "example"}},
    "methods": {
        "__all__": {
            "description": True,
            "authorization": True,
            "device": True,
            "errors": True,
            "identity": True,
            "revocation": True,
            "rotation": True,
            "verification": True,
            "credentials": {"__all__": {"description"}},
        }
    },
}


class CatalogueError(Exception):
    """A file of the built-in catalogue is wrong: names file, connector and field. A fault of this package."""


@dataclass(frozen=True, slots=True)
class Connector:
    """How one product authenticates, checked. `digest` changes when a token could depend on the change.

    `evidence` is None for a `Connector` object: the platform knows where it got it from.
    """

    name: str
    spec: ConnectorSpec
    digest: str
    evidence: Evidence | None = field(default=None, compare=False)


@cache
def load_catalogue() -> Mapping[str, Connector]:
    """The built-in connectors by name, sorted; CatalogueError when a file is wrong."""
    folder = files("lanyard.connectors").joinpath("data")
    texts = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")}
    return catalogue_of(texts)


def catalogue_of(texts: Mapping[str, str]) -> Mapping[str, Connector]:
    """The connectors of named YAML texts."""
    found: dict[str, Connector] = {}
    for file, text in sorted(texts.items()):
        for name, raw in _members(file, text):
            if name in found:
                raise CatalogueError(f"{file}: connector {name}: there is another of this name")
            found[name] = _built_in(file, name, raw)
    return MappingProxyType(dict(sorted(found.items())))


def from_object(name: str, spec: Mapping[str, Any]) -> Connector:
    """The connector of a `Connector` object's spec; SpecError CONNECTOR_INVALID names the field."""
    try:
        parsed = _parsed(ConnectorSpec, spec)
    except ValidationError as error:
        field = misfit(error)
    else:
        wrong = next(findings(parsed), None)
        if wrong is None:
            return Connector(name, parsed, digest_of(parsed))
        field = wrong[0]
    raise SpecError(Reason.CONNECTOR_INVALID, connector=name, field=field)


def digest_of(spec: ConnectorSpec) -> str:
    """Hash over what differs from the defaults, prose aside: a field that a later version adds changes nothing."""
    content = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_ASIDE)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _built_in(file: str, name: str, raw: Mapping[str, Any]) -> Connector:
    given = dict(raw)
    evidence = given.pop("evidence", None)
    where = f"{file}: connector {name}: "
    about = _member(Evidence, evidence, f"{where}evidence.") if evidence is not None else None
    spec = _member(ConnectorSpec, given, where)
    for key, problem in findings(spec):
        raise CatalogueError(f"{where}{key}: {problem}")
    return Connector(name, spec, digest_of(spec), about)


def _member(model: type[_T], raw: Any, where: str) -> _T:
    try:
        return _parsed(model, raw)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]["msg"]
        raise CatalogueError(f"{where}{misfit(error)}: {problem}") from None


def _parsed(model: type[_T], raw: Any) -> _T:
    return model.model_validate(raw, extra="forbid", by_alias=True, by_name=False)


def _members(file: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        document = yaml.load(text, _YAML)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        raise CatalogueError(f"{file}: not YAML: {error}") from None
    if not isinstance(document, dict):
        raise CatalogueError(f"{file}: a connector is a mapping")
    if "family" not in document and "connectors" not in document:
        yield _named(file, document)
        return
    for key in document.keys() - {"family", "connectors"}:
        raise CatalogueError(f"{file}: {key}: a family file has family and connectors, nothing else")
    shared, members = document.get("family") or {}, document.get("connectors")
    if not isinstance(shared, dict) or not isinstance(members, list):
        raise CatalogueError(f"{file}: family is a mapping, connectors a list")
    for member in members:
        if not isinstance(member, dict):
            raise CatalogueError(f"{file}: a connector is a mapping")
        name, own = _named(file, member)
        yield name, merged(shared, own)


def _named(file: str, document: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise CatalogueError(f"{file}: a connector has a name")
    return name, {key: value for key, value in document.items() if key != "name"}


def merged(shared: Any, own: Any) -> Any:
    """`own` over `shared`."""
    if isinstance(shared, dict) and isinstance(own, dict):
        return {key: merged(shared.get(key), own.get(key, shared.get(key))) for key in {**shared, **own}}
    if _is_named_list(shared) and _is_named_list(own):
        members = {item["name"]: item for item in shared}
        members |= {item["name"]: merged(members.get(item["name"]), item) for item in own}
        return list(members.values())
    return own


def _is_named_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)
