"""How well the facts of a built-in connector are known. Beside the connector, not in it: it changes no request."""

from typing import Annotated, Literal

from pydantic import Field

from lanyard.api.meta import Model

Fact = Literal[
    "authorization", "authorizationParams", "baseURL", "clientAuth", "docsURL", "identity", "lifetime", "pkce",
    "placement", "refreshToken", "revocation", "rotation", "scopeSeparator", "scopes", "tokenRequest", "verification",
]  # fmt: skip
"""What a fact is about: a field of the connector, `placement` for where a key goes, `refreshToken` for whether and
when one is given."""

Facts = Annotated[list[Fact], Field(max_length=16)]


class Evidence(Model):
    """`verified`: two sources or the vendor's own page agree on the core (kind of login, addresses, place of the key).

    `recalled`: one third-party source, or memory. Single facts can be weaker than the whole.
    """

    confidence: Literal["verified", "recalled", "unknown"]
    recalled: Facts = []
    single_source: Facts = []
    unknown: Facts = []
