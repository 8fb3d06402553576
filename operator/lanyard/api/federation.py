"""`FederatedCredential`: an external identity that may exchange its own JWT for an access token, with no secret."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from lanyard.api.connection import Scope
from lanyard.api.meta import (
    AGE_COLUMN,
    MESSAGE_COLUMN,
    READY_COLUMNS,
    Column,
    Kind,
    Model,
    ObjectName,
    ObjectStatus,
    Timestamp,
    cel,
)

MOST_CREDENTIALS = 20
"""FederatedCredentials that count for one Connection: the oldest ones."""
LONGEST_CLAIM = 600
"""Characters of issuer, subject and audience, as at Microsoft Entra."""

# Compared byte for byte, so what is printed must be all there is: no spaces, no controls, nothing beyond ASCII.
Identifier = Annotated[str, Field(min_length=1, max_length=LONGEST_CLAIM, pattern=r"^[\x21-\x7E]+$")]
# Names that people gave may be part of it, such as a GitHub environment; a space at an end is nobody's name.
NamedIdentifier = Annotated[
    str, Field(min_length=1, max_length=LONGEST_CLAIM, pattern=r"^[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?$")
]

# A slash at the end is part of the name; the discovery address is made from it, and nothing of it is normalised.
_ISSUER = (
    (
        "self.startsWith('https://') || "
        "self.matches('^http://(127[.]0[.]0[.]1|localhost|\\\\[::1\\\\])(:[0-9]+)?(/.*)?$')",
        "an issuer is an https URL (http is taken for loopback only, and only where the platform allows it)",
    ),
    (
        "self.matches('^https?://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|\\\\[[0-9a-f:]+\\\\])(:[0-9]{1,5})?(/[^?#]*)?$')",
        "write the issuer as its tokens do: host in lower case, no user, no query, no fragment",
    ),
    ("!self.matches('^https://[^/]*:443(/.*)?$')", "leave the port out: 443 is what https means"),
    (
        "!self.substring(8).contains('//') && !self.split('/').exists(s, s == '..' || s == '.')",
        "the path of an issuer has no empty, . or .. segment",
    ),
)


class Replay(StrEnum):
    """Whether one and the same JWT may be presented again."""

    ALLOW = "Allow"
    SINGLE_USE = "SingleUse"


class ClaimRule(Model):
    """What one more claim must be. `glob` knows `*` only, which crosses neither `/` nor `:`."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "[has(self.equals), has(self.__in__), has(self.glob)].filter(given, given).size() == 1",
                "give exactly one of equals, in and glob",
            )
        )
    )

    claim: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7E]+$")] = Field(
        description="Name of the claim; a JSON Pointer such as /kubernetes.io/namespace for one inside another."
    )
    equals: NamedIdentifier | None = Field(None, description="The claim is exactly this text, number or true/false.")
    any_of: Annotated[list[NamedIdentifier], Field(min_length=1, max_length=32)] | None = Field(
        None, alias="in", description="The claim is one of these."
    )
    glob: NamedIdentifier | None = Field(
        None, description="The claim matches this; `*` stands for any run of characters but / and :."
    )


class ConnectionRef(Model):
    """The application: a Connection in this namespace."""

    name: ObjectName = Field(description="Name of the Connection.")


class FederatedCredentialSpec(Model):
    """Whose JWT is taken, and for what."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!(has(self.jwks) && has(self.jwksURI))",
                "give jwks or jwksURI, or neither: the issuer's own discovery document names its keys",
            ),
        )
    )

    connection_ref: ConnectionRef = Field(
        description="The Connection whose tokens are handed out. Immutable.",
        json_schema_extra=cel(
            ("self == oldSelf", "connectionRef is immutable: create another credential and delete this one")
        ),
    )
    display_name: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Free text, unique within the Connection; absent means the object's name."
    )
    description: Annotated[str, Field(max_length=512)] | None = Field(None, description="Free text.")
    issuer: Identifier = Field(description="`iss` of the JWT, byte for byte.", json_schema_extra=cel(*_ISSUER))
    audience: Identifier = Field(description="A value that `aud` of the JWT contains.")
    subject: NamedIdentifier = Field(description="`sub` of the JWT, byte for byte.")
    jwks: Annotated[str, Field(min_length=1, max_length=65536)] | None = Field(
        None, description="The issuer's public keys (RFC 7517), for an issuer that cannot be reached from here."
    )
    jwks_uri: Annotated[str, Field(min_length=9, max_length=1024)] | None = Field(
        None,
        alias="jwksURI",
        description="Where the issuer's keys are, for an issuer without a discovery document.",
        json_schema_extra=cel(*_ISSUER[:1]),
    )
    ca_bundle: Annotated[str, Field(min_length=1, max_length=65536)] | None = Field(
        None, description="PEM certificates that the issuer's host is trusted by, instead of the public ones."
    )
    claims: Annotated[list[ClaimRule], Field(max_length=16)] = Field(
        [], description="Further claims that the JWT must have; all must hold."
    )
    scopes: Annotated[list[Scope], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})] = Field(
        [],
        description="Minted tokens: the scopes that may be asked for. A Connection's own token cannot be narrowed: "
        "there it is handed out only when it has no scope beyond these. Empty means all.",
    )
    expires_at: Timestamp | None = Field(
        None,
        description="From then on nothing is exchanged; RFC 3339.",
        json_schema_extra=cel(("timestamp(self) == timestamp(self)", "write a moment such as 2027-01-31T00:00:00Z")),
    )
    suspend: bool = Field(False, description="True refuses every exchange.")
    replay: Replay = Field(
        Replay.ALLOW,
        description="SingleUse takes a JWT once; it must carry jti. Projected ServiceAccount tokens are presented many "
        "times.",
    )


class FederatedCredentialStatus(ObjectStatus):
    """What is true now."""

    last_exchange_at: Timestamp | None = Field(
        None, description="When a token was handed out last; written at most once an hour."
    )


FEDERATED_CREDENTIAL = Kind(
    name="FederatedCredential",
    plural="federatedcredentials",
    short="fedcred",
    spec=FederatedCredentialSpec,
    status=FederatedCredentialStatus,
    columns=(
        *READY_COLUMNS,
        Column("Connection", ".spec.connectionRef.name"),
        Column("Issuer", ".spec.issuer"),
        Column("Subject", ".spec.subject"),
        Column("Last-Exchange", ".status.lastExchangeAt", type="date"),
        MESSAGE_COLUMN,
        AGE_COLUMN,
    ),
    selectable=(".spec.connectionRef.name", ".spec.issuer"),
    description="An external identity that may exchange its own JWT for a Connection's token; no secret anywhere.",
)


def display_name(name: str, spec: FederatedCredentialSpec) -> str:
    """The name that people see: as given, else the object's."""
    return spec.display_name or name
