"""`Connector`: how one product authenticates. Data only; the built-in catalogue uses the same model.

Requests and answers are in `exchange`, where it says what their templates know.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from lanyard.api.connection import ClientAuthentication, Method, Scope
from lanyard.api.exchange import (
    Assertion,
    AuthorizationRequest,
    ClientAuth,
    DeviceAuthorization,
    ErrorRule,
    FollowUp,
    Identity,
    Revocation,
    TokenExchange,
    TokenRequest,
    TokenResponse,
    Verification,
)
from lanyard.api.meta import (
    AGE_COLUMN,
    MESSAGE_COLUMN,
    READY_COLUMNS,
    Column,
    Duration,
    Kind,
    LongText,
    Model,
    NamespaceGrant,
    ObjectStatus,
    ShortText,
    cel,
)

HostGlob = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]+)?$")
]


class ParameterType(StrEnum):
    STRING = "string"
    HOSTNAME = "hostname"
    URL = "url"
    INTEGER = "integer"


class Parameter(Model):
    """A plain input that the Connection gives."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!(has(self.type) && self.type in ['hostname', 'url']) || has(self.pattern) || "
                "(has(self.allowedHosts) && self.allowedHosts.size() > 0) || "
                "(has(self.anyHost) && self.anyHost)",
                "a parameter that reaches a host needs a pattern or allowedHosts (or anyHost: true for your own "
                "generic connectors)",
            )
        )
    )

    type: ParameterType = ParameterType.STRING
    description: ShortText = ""
    example: ShortText = ""
    pattern: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="Regular expression (RE2) that the whole value must match."
    )
    enum: Annotated[list[ShortText], Field(max_length=64)] = []
    default: LongText | None = None
    required: bool = True
    allowed_hosts: Annotated[list[HostGlob], Field(max_length=32)] = []
    any_host: bool = Field(False, description="The value may name any public host; for generic connectors.")
    source: Literal["user", "callback", "tokenResponse", "followUp"] = Field(
        "user", description="Where its value comes from; what is learned is kept with the grant."
    )


class Rotation(Model):
    """What happens to a refresh token when it is used; decides what may be repeated after an answer was lost."""

    mode: Literal["fixed", "rotates", "rotatesWithGrace", "unknown"] = "unknown"
    grace: Duration | None = Field(None, description="How long the old one is taken after a rotation.")
    revokes_old_access_token: bool = False
    idle_lifetime: Duration | None = Field(None, description="A grant that is not used for so long ends.")
    absolute_lifetime: Duration | None = Field(None, description="A grant ends so long after consent, used or not.")


class CredentialField(Model):
    """A secret-type field of a method."""

    description: ShortText = ""
    required: bool = True


class Lifetime(Model):
    """How long tokens live where the answer does not say."""

    default: Duration = Field("1h", description="Life assumed when the answer names none.")
    maximum: Duration | None = Field(None, description="Longest life to believe.")
    never: bool = Field(False, description="Tokens do not expire; they are fetched anew after `default` all the same.")
    zero_means_never: bool = False


class Scopes(Model):
    """How scopes are written."""

    separator: Literal[" ", ",", "+"] = " "
    send: bool = Field(True, description="False where the product refuses the parameter.")
    default: Annotated[list[Scope], Field(max_length=64)] = []
    mandatory: Annotated[list[Scope], Field(max_length=64)] = []


class MethodSpec(Model):
    """One way to authenticate."""

    name: Method
    description: ShortText = ""
    credentials: Annotated[dict[str, CredentialField], Field(max_length=16)] = Field(
        {}, description="Secret fields beyond those the method itself has; for custom, all of them."
    )
    any_credentials: bool = Field(False, description="custom only: the Connection may name any fields.")
    token_request: TokenRequest | None = None
    exchange: TokenExchange | None = Field(None, description="authorizationCode only.")
    refresh_request: TokenRequest | None = Field(None, description="Absent means as tokenRequest.")
    client_auth: ClientAuth = ClientAuth()
    refresh_client_authentication: ClientAuthentication | None = Field(
        None, description="Where a refresh is authenticated otherwise than the first request."
    )
    authorization: AuthorizationRequest | None = Field(None, description="authorizationCode only.")
    device: DeviceAuthorization | None = Field(None, description="deviceCode only.")
    assertion: Assertion | None = Field(None, description="jwtBearer and githubApp only.")
    rotation: Rotation = Rotation()
    revocation: Annotated[list[Revocation], Field(max_length=3)] = []
    identity: Identity | None = None
    follow_up: FollowUp | None = None
    verification: Verification | None = None
    response: TokenResponse = TokenResponse()
    lifetime: Lifetime = Lifetime()
    scopes: Scopes = Scopes()
    errors: Annotated[list[ErrorRule], Field(max_length=16)] = []
    authorization_format: Annotated[str, Field(max_length=128)] = Field(
        "Bearer {access_token}", description="How the published authorization_header is written."
    )


class Limits(Model):
    """What the token endpoint bears, over all Connections of one host."""

    requests_per_minute: Annotated[int, Field(ge=1, le=60000)] | None = None
    concurrent: Annotated[int, Field(ge=1, le=256)] = 16


Audience = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[\x21-\x7E]+$")]


class MintGrant(Model):
    """Which namespaces may have Lanyard's own tokens with which audiences and scopes, beside the default audience."""

    namespaces: NamespaceGrant = Field(description="Namespaces, by name or label, whose Connections may have them.")
    audiences: Annotated[list[Audience], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})] = (
        Field([], description="Values of `aud` that may be asked for, byte for byte.")
    )
    scopes: Annotated[list[Scope], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})] = Field(
        [], description="Scopes that may be asked for; those that begin with PM. open Lanyard's own REST API."
    )


class ConnectorSpec(Model):
    """How one product authenticates, or, with `mints`, for whom Lanyard makes tokens of its own."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.mints) != (has(self.methods) && self.methods.size() > 0)",
                "give methods, or mints for a connector whose tokens Lanyard makes itself",
            )
        )
    )

    display_name: ShortText = ""
    docs_url: Annotated[str, Field(max_length=512)] = Field("", alias="docsURL")
    base_url: LongText = Field("", alias="baseURL", description="Address of the API, published as base_url.")
    parameters: Annotated[dict[str, Parameter], Field(max_length=32)] = {}
    former_hosts: Annotated[list[HostGlob], Field(max_length=8)] = Field(
        [], description="Token-endpoint hosts of earlier versions: grants made there move along."
    )
    limits: Limits = Limits()
    methods: Annotated[
        list[MethodSpec],
        Field(
            max_length=12,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field([], description="Ways to authenticate; the first is the default.")
    mints: Annotated[list[MintGrant], Field(max_length=64)] | None = Field(
        None,
        description="Given, also as an empty list, where Lanyard makes the tokens itself: there is no sign-in, and "
        "workloads get them by exchange. Without an entry that admits its namespace, a Connection has tokens for its "
        "default audience and without scopes.",
    )


class ConnectorStatus(ObjectStatus):
    """What is true now."""


CONNECTOR = Kind(
    name="Connector",
    plural="connectors",
    short="",
    spec=ConnectorSpec,
    status=ConnectorStatus,
    namespaced=False,
    columns=(*READY_COLUMNS, Column("Product", ".spec.displayName"), MESSAGE_COLUMN, AGE_COLUMN),
    description="How one product authenticates; overrides or extends the built-in catalogue.",
)
