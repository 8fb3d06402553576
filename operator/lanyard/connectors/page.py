"""The text of docs/connectors.md, from the catalogue itself. Pure: connectors in, Markdown out."""

from collections.abc import Iterator, Mapping

from lanyard.api.connection import BUILT, TOKEN_METHODS, ClientAuthentication, Method
from lanyard.api.connector import ConnectorSpec, MethodSpec, Parameter
from lanyard.connectors.loader import Connector

HEAD = """\
# Connectors

Rendered from the built-in catalogue by `make docs`; do not edit. A `Connector` object of the same name wins over the
built-in one, one of another name adds to them. Methods marked *later* are known but not available in this version.

Names in `code` are what a Connection writes: `spec.parameters.<name>`, `spec.auth.method`, `spec.credentials.<name>`.
"""

_OWN_FIELDS = {
    Method.BASIC: ["username", "password"],
    Method.PASSWORD: ["username", "password"],
    Method.API_KEY: ["apiKey"],
    Method.BEARER_TOKEN: ["token"],
}
_PROOFS = {
    ClientAuthentication.BASIC: "clientSecret",
    ClientAuthentication.POST: "clientSecret",
    ClientAuthentication.PRIVATE_KEY_JWT: "privateKey",
    ClientAuthentication.NONE: "nothing",
}


def connectors_page(catalogue: Mapping[str, Connector]) -> str:
    """The whole page; the anchor of a connector is its name."""
    index = "".join(
        f"| [`{name}`](#{name}) | {connector.spec.display_name} | {_method_names(connector.spec)} |\n"
        for name, connector in catalogue.items()
    )
    table = f"\n| connector | product | methods |\n|---|---|---|\n{index}"
    return HEAD + table + "".join(_section(connector) for connector in catalogue.values())


def _section(connector: Connector) -> str:
    spec = connector.spec
    lines = [f"\n## {connector.name}\n", f"{spec.display_name}. {_reference(spec)}".strip()]
    if spec.base_url:
        lines.append(f"`base_url` is `{spec.base_url}`.")
    if spec.parameters:
        lines.append("\n| parameter | form | what it is |\n|---|---|---|")
        lines += [
            f"| `{name}` | {_form(parameter)} | {_about(parameter)} |" for name, parameter in spec.parameters.items()
        ]
    lines.append("\n| method | credentials | what to know |\n|---|---|---|")
    lines += [
        f"| `{method.name}` | {credentials_of(method)} | {_cell(' '.join(_facts(method)))} |" for method in spec.methods
    ]
    return "\n".join(lines) + "\n"


def _reference(spec: ConnectorSpec) -> str:
    return f"[Documentation]({spec.docs_url})." if spec.docs_url else ""


def _method_names(spec: ConnectorSpec) -> str:
    return ", ".join(f"`{method.name}`" + ("" if method.name in BUILT else " *later*") for method in spec.methods)


def _form(parameter: Parameter) -> str:
    form: str = parameter.type
    if parameter.enum:
        form = "one of " + ", ".join(f"`{value}`" for value in parameter.enum)
    elif parameter.allowed_hosts:
        form = "host: " + ", ".join(f"`{host}`" for host in parameter.allowed_hosts)
    if parameter.default is not None:
        return f"{form}; default `{parameter.default}`"
    return form if parameter.required else f"{form}; optional"


def _about(parameter: Parameter) -> str:
    return _cell(
        f"{parameter.description} Such as `{parameter.example}`." if parameter.example else parameter.description
    )


def credentials_of(method: MethodSpec) -> str:
    """The secret-type fields that a Connection gives, by client authentication where there is a choice."""
    if method.name not in BUILT:
        return "*later*"
    names = [f"`{name}`" for name in _OWN_FIELDS.get(method.name, [])]
    names += [f"`{name}`" + ("" if field.required else " (optional)") for name, field in method.credentials.items()]
    if method.any_credentials:
        names.append("any")
    if method.name in TOKEN_METHODS:
        names += [f"{way}: `{_PROOFS[way]}`" for way in method.client_auth.methods]
    return ", ".join(names)


def _facts(method: MethodSpec) -> Iterator[str]:
    if method.description:
        yield method.description
    for name, field in method.credentials.items():
        if field.description:
            yield f"`{name}`: {field.description}"
    if method.name not in TOKEN_METHODS or method.name not in BUILT or method.token_request is None:
        return
    if method.scopes.default:
        yield "Default scopes " + ", ".join(f"`{scope}`" for scope in method.scopes.default) + "."
    if method.scopes.mandatory:
        yield "Mandatory scopes " + ", ".join(f"`{scope}`" for scope in method.scopes.mandatory) + "."
    if not method.scopes.send:
        yield "Scopes are not part of the request."
    if method.response.capture:
        yield "Also published: " + ", ".join(f"`{key}`" for key in method.response.capture) + "."
    if method.authorization_format != "Bearer {access_token}":
        yield f"`authorization_header` is `{method.authorization_format}`."
    yield f"Lifetime where the answer names none: {method.lifetime.default}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
