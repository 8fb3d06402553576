"""The text of docs/connectors.md, from the catalogue itself. Pure: connectors in, Markdown out."""

from collections.abc import Iterator, Mapping

from lanyard.api.connection import GRANT_METHODS, STATIC_METHODS, TOKEN_METHODS, ClientAuthentication, Method
from lanyard.api.connector import ConnectorSpec, MethodSpec, Parameter, Rotation
from lanyard.api.exchange import Revocation
from lanyard.api.meta import parse_duration
from lanyard.connectors.checks import is_described
from lanyard.connectors.evidence import Evidence
from lanyard.connectors.fields import signs_in_header
from lanyard.connectors.loader import Connector

HEAD = """\
# Connectors

Rendered from the built-in catalogue by `make docs`; do not edit. A `Connector` object of the same name wins over the
built-in one, one of another name adds to them.

Names in `code` are what a Connection writes: `spec.parameters.<name>`, `spec.auth.method`, `spec.credentials.<name>`.
The first method is the default.

How well a fact is known is said below each connector. *Verified*: two independent sources, or the vendor's own page,
agree on the kind of login, the addresses and the place of a key. *Recalled*: one source or memory, so treat it as a
draft and try it first. A method *without a verification* is published as it is: a wrong secret shows in the workload.

Refresh tokens: *fixed* ones stay, *rotating* ones change with each use, some with a *grace* in which the old one is
taken too; *unknown* ones are treated as rotating.
"""

_OWN_FIELDS = {
    Method.BASIC: ["username", "password"],
    Method.PASSWORD: ["username", "password"],
    Method.API_KEY: ["apiKey"],
    Method.BEARER_TOKEN: ["token"],
    Method.JWT_BEARER: ["privateKey"],
    Method.GITHUB_APP: ["privateKey"],
    Method.AWS_SIGV4: ["access_key_id", "secret_access_key", "session_token"],
}
_OPTIONAL = {"session_token"}
_PROOFS = {
    ClientAuthentication.BASIC: "clientSecret",
    ClientAuthentication.POST: "clientSecret",
    ClientAuthentication.PRIVATE_KEY_JWT: "privateKey",
    ClientAuthentication.NONE: "nothing",
}
_FACTS = {
    "authorization": "the address of the consent page",
    "authorizationParams": "the parameters of that page",
    "baseURL": "the address of the API",
    "clientAuth": "the client authentication",
    "docsURL": "the address of the documentation",
    "identity": "the name of the account",
    "lifetime": "the lifetime",
    "pkce": "PKCE",
    "placement": "where the key goes",
    "refreshToken": "when a refresh token is given",
    "revocation": "the revocation",
    "rotation": "the rotation",
    "scopeSeparator": "how scopes are joined",
    "scopes": "the default scopes",
    "tokenRequest": "the token request",
    "verification": "the verification",
}
_MINTS = """
No method and no credentials: Lanyard makes these tokens itself, and workloads get them by exchange. Each Connection has
the audience `<issuer>/<namespace>`; others, and any scope, are listed by the platform in a `Connector` object."""
_ROTATION = {
    "fixed": "refresh token fixed",
    "rotates": "refresh token rotating",
    "rotatesWithGrace": "refresh token rotating with grace",
    "unknown": "refresh token: rotation unknown",
}


def connectors_page(catalogue: Mapping[str, Connector]) -> str:
    """The whole page; the anchor of a connector is its name."""
    index = "".join(
        f"| [`{name}`](#{name}) | {connector.spec.display_name} | {_method_names(connector.spec)} |"
        f" {_confidence(connector.evidence)} |\n"
        for name, connector in catalogue.items()
    )
    table = f"\n| connector | product | methods | known |\n|---|---|---|---|\n{index}"
    return HEAD + table + "".join(_section(connector) for connector in catalogue.values())


def credentials_of(method: MethodSpec) -> str:
    """The secret-type fields that a Connection gives, by client authentication where there is a choice."""
    names = [f"`{name}`" + (" (optional)" if name in _OPTIONAL else "") for name in _OWN_FIELDS.get(method.name, [])]
    names += [f"`{name}`" + ("" if field.required else " (optional)") for name, field in method.credentials.items()]
    if method.any_credentials:
        names.append("any")
    if method.name in TOKEN_METHODS | GRANT_METHODS and not signs_in_header(method):
        names += [f"{way}: `{_PROOFS[way]}`" for way in method.client_auth.methods]
    return ", ".join(names)


def _section(connector: Connector) -> str:
    spec = connector.spec
    lines = [f"\n## {connector.name}\n", f"{spec.display_name}. {_reference(spec)}".strip()]
    if spec.base_url:
        lines.append(f"`base_url` is `{spec.base_url}`.")
    lines += _known(connector.evidence)
    if spec.parameters:
        lines.append("\n| parameter | form | what it is |\n|---|---|---|")
        lines += [
            f"| `{name}` | {_form(parameter)} | {_about(parameter)} |" for name, parameter in spec.parameters.items()
        ]
    if spec.mints is not None:
        return "\n".join([*lines, _MINTS]) + "\n"
    lines.append("\n| method | credentials | what to know |\n|---|---|---|")
    lines += [
        f"| `{method.name}` | {credentials_of(method)} | {_cell(' '.join(_facts(method)))} |" for method in spec.methods
    ]
    return "\n".join(lines) + "\n"


def _reference(spec: ConnectorSpec) -> str:
    return f"[Documentation]({spec.docs_url})." if spec.docs_url else ""


def _method_names(spec: ConnectorSpec) -> str:
    return ", ".join(f"`{method.name}`" + ("" if is_described(method) else " *later*") for method in spec.methods)


def _confidence(evidence: Evidence | None) -> str:
    return evidence.confidence if evidence is not None else ""


def _known(evidence: Evidence | None) -> Iterator[str]:
    """One sentence for each degree of certainty."""
    if evidence is None:
        return
    yield f"How well it is known: {evidence.confidence}."
    for what, facts in (
        ("Recalled, not looked up twice", evidence.recalled),
        ("From a single source", evidence.single_source),
        ("Unknown", evidence.unknown),
    ):
        if facts:
            yield f"{what}: {', '.join(_FACTS[fact] for fact in facts)}."


def _form(parameter: Parameter) -> str:
    form: str = parameter.type
    if parameter.enum:
        form = "one of " + ", ".join(f"`{value}`" for value in parameter.enum)
    elif parameter.allowed_hosts:
        form = "host: " + ", ".join(f"`{host}`" for host in parameter.allowed_hosts)
    if parameter.source != "user":
        form += "; learned"
    if parameter.default is not None:
        return f"{form}; default `{parameter.default}`"
    return form if parameter.required else f"{form}; optional"


def _about(parameter: Parameter) -> str:
    return _cell(
        f"{parameter.description} Such as `{parameter.example}`." if parameter.example else parameter.description
    )


def _facts(method: MethodSpec) -> Iterator[str]:
    if method.description:
        yield method.description
    for name, field in method.credentials.items():
        if field.description:
            yield f"`{name}`: {field.description}"
    if method.name not in STATIC_METHODS:
        yield from _token_facts(method)
    yield _verified(method)


def _token_facts(method: MethodSpec) -> Iterator[str]:
    if method.scopes.default:
        yield "Default scopes " + ", ".join(f"`{scope}`" for scope in method.scopes.default) + "."
    if method.scopes.mandatory:
        yield "Mandatory scopes " + ", ".join(f"`{scope}`" for scope in method.scopes.mandatory) + "."
    if not method.scopes.send:
        yield "Scopes are not part of the request."
    if method.authorization is not None and method.authorization.pkce == "off":
        yield f"PKCE is off: {method.authorization.pkce_off_reason}"
    if method.exchange is not None:
        yield "The first token is swapped for one that lasts."
    captured = [*method.response.capture, *(method.follow_up.capture if method.follow_up is not None else ())]
    if captured:
        yield "Also published: " + ", ".join(f"`{key}`" for key in captured) + "."
    if method.authorization_format != "Bearer {access_token}":
        yield f"`authorization_header` is `{method.authorization_format}`."
    yield _lifetime(method)
    if method.name in GRANT_METHODS:
        yield _rotation(method.rotation)
        yield _revocation(method.revocation)


def _lifetime(method: MethodSpec) -> str:
    if method.lifetime.never:
        return "Tokens do not expire unless the answer says so."
    return f"Lifetime where the answer names none: {method.lifetime.default}."


def _rotation(rotation: Rotation) -> str:
    said = _ROTATION[rotation.mode]
    if rotation.grace is not None:
        said += f" of {_span(rotation.grace)}"
    if rotation.revokes_old_access_token:
        said += ", the old access token ends with it"
    if rotation.idle_lifetime is not None:
        said += f", ends after {_span(rotation.idle_lifetime)} without use"
    if rotation.absolute_lifetime is not None:
        said += f", ends {_span(rotation.absolute_lifetime)} after the consent"
    return f"{said[0].upper()}{said[1:]}."


def _revocation(requests: list[Revocation]) -> str:
    return "Taken back at the provider when deleted." if requests else "Cannot be taken back from here."


def _verified(method: MethodSpec) -> str:
    if method.name is Method.AWS_SIGV4:
        return "Verified by a call."
    if method.verification is None:
        return (
            "Without a verification." if method.name in STATIC_METHODS else "No verification beside the token itself."
        )
    said = "Verified by a call"
    if method.verification.costs:
        said += ", which the product charges for"
    if method.verification.forbidden_proves:
        said += "; a 403 proves it too"
    return f"{said}."


def _span(duration: str) -> str:
    """Whole days as days: nobody reads 2160h."""
    days, rest = divmod(parse_duration(duration).total_seconds(), 86400)
    return f"{int(days)} days" if days > 1 and rest == 0 else duration


def _cell(text: str) -> str:
    """What would end a cell, or begin a tag, is text."""
    return text.replace("|", "\\|").replace("<", "&lt;")
