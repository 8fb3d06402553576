"""`Connector`: how one product authenticates. Data only; the built-in catalogue uses the same model.

Templates of token requests know `{name}` of declared parameters and `{client_id}`, nothing secret: credentials are
placed by the grant and the client authentication alone. Templates of API requests (verification, identity, follow-up)
also know what was captured and, in headers, query and body, the keys of the workload Secret, such as `{access_token}`
and `{api_key}`. Selectors are lists of JSON Pointers (RFC 6901); the first one that leads to a value wins.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from lanyard.api.connection import ClientAuthentication, Method, Scope
from lanyard.api.meta import (
    AGE_COLUMN,
    MESSAGE_COLUMN,
    READY_COLUMNS,
    Column,
    Duration,
    Kind,
    LongText,
    Model,
    ObjectStatus,
    ShortText,
    cel,
)

FieldName = Annotated[str, Field(min_length=1, max_length=64)]
Pointer = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^(/[^/]+)+$")]
Pointers = Annotated[list[Pointer], Field(max_length=8)]
HostGlob = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]+)?$")
]
UrlTemplate = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        json_schema_extra=cel(
            (
                "self.startsWith('https://') || self.startsWith('{') || "
                "self.matches('^http://(127[.]0[.]0[.]1|localhost|\\\\[::1\\\\])(:[0-9]+)?(/.*)?$')",
                "use https, or start with a parameter of type url",
            )
        ),
    ),
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


class CallbackHmac(Model):
    """A signature over the query of the answer, made with the client secret (Shopify)."""

    parameter: FieldName = "hmac"
    algorithm: Literal["sha256"] = "sha256"


class AuthorizationRequest(Model):
    """The page at the provider to which a person is sent (RFC 6749 4.1.1)."""

    url: UrlTemplate
    params: Annotated[dict[str, LongText], Field(max_length=16)] = {}
    rename: Annotated[dict[str, FieldName], Field(max_length=16)] = {}
    omit: Annotated[list[FieldName], Field(max_length=16)] = []
    pkce: Literal["S256", "off"] = Field("S256", description="RFC 7636; `plain` does not exist here.")
    pkce_off_reason: ShortText = Field("", description="Why PKCE is off; required where it is.")
    issuer: LongText | None = Field(None, description="What `iss` of the answer must equal (RFC 9207).")
    response_issuer: Literal["required", "ifPresent"] = Field(
        "ifPresent", description="Whether an answer without `iss` is taken."
    )
    callback_params: Annotated[dict[str, FieldName], Field(max_length=8)] = Field(
        {}, description="Parameter of the answer -> the parameter of this connector that it gives; others are dropped."
    )
    callback_hmac: CallbackHmac | None = Field(None, description="A signature over the answer that must be right.")


class DeviceAuthorization(Model):
    """The device authorization endpoint (RFC 8628 3.1)."""

    url: UrlTemplate
    params: Annotated[dict[str, LongText], Field(max_length=16)] = {}


class Assertion(Model):
    """A signed JWT that is the grant (RFC 7523 2.1), or that authenticates the request for an installation's token."""

    algorithms: Annotated[list[Literal["RS256", "PS256", "ES256"]], Field(max_length=3)] = []
    issuer: LongText = "{client_id}"
    subject: LongText | None = None
    audience: LongText | None = Field(None, description="Absent means the token URL.")
    lifetime: Duration = "5m"
    claims: Annotated[dict[str, LongText], Field(max_length=16)] = {}
    scope_claim: bool = Field(False, description="Scopes go into the claim `scope`, not into the request (Google).")
    parameter: FieldName = Field("assertion", description="Name of the parameter that carries it.")
    placement: Literal["parameter", "bearer"] = "parameter"


class Rotation(Model):
    """What happens to a refresh token when it is used; decides what may be repeated after an answer was lost."""

    mode: Literal["fixed", "rotates", "rotatesWithGrace", "unknown"] = "unknown"
    grace: Duration | None = Field(None, description="How long the old one is taken after a rotation.")
    revokes_old_access_token: bool = False
    idle_lifetime: Duration | None = Field(None, description="A grant that is not used for so long ends.")
    absolute_lifetime: Duration | None = Field(None, description="A grant ends so long after consent, used or not.")


class ApiRequest(Model):
    """One request to the product with what was published."""

    method: Literal["GET", "POST", "PUT", "DELETE", "HEAD"] = "GET"
    url: UrlTemplate
    headers: Annotated[dict[str, LongText], Field(max_length=16)] = Field(
        {}, description="Absent Authorization means the published authorization_header, where there is one."
    )
    params: Annotated[dict[str, LongText], Field(max_length=16)] = Field({}, description="Query parameters.")
    body: Annotated[str, Field(max_length=2048)] | None = None
    content_type: ShortText | None = None


class ExpectedMember(Model):
    """A member that a successful answer carries."""

    pointer: Pointer
    equals: ShortText


class Verification(Model):
    """The request that proves that what is published works."""

    request: ApiRequest
    ok_status: Annotated[list[Annotated[int, Field(ge=100, le=599)]], Field(max_length=8)] = Field(
        [], description="Empty means every 2xx."
    )
    expect: Annotated[list[ExpectedMember], Field(max_length=4)] = []
    forbidden_proves: bool = Field(False, description="A 403 still proves the credential.")


class Identity(Model):
    """Whose account it is: read from the token answer, the callback, or one request."""

    request: ApiRequest | None = Field(None, description="Absent means the token answer.")
    account: Pointers = ["/email", "/preferred_username", "/sub"]
    parameter: FieldName | None = Field(None, description="A parameter of the answer to the consent, instead.")


class FollowUp(Model):
    """One request after the first token, whose answer gives values that URLs or workloads need."""

    request: ApiRequest
    items: Pointer | None = Field(None, description="List in the answer to choose from; absent means the answer.")
    choose: Annotated[dict[str, LongText], Field(max_length=4)] = Field(
        {}, description="Pointer within an item -> what it must equal; empty means that there must be exactly one."
    )
    capture: Annotated[dict[str, Pointer], Field(max_length=16)] = {}


class Revocation(Model):
    """How a grant is taken back: RFC 7009, or the product's own call."""

    token: Literal["refresh", "access"] = "refresh"
    method: Literal["POST", "GET", "DELETE"] = "POST"
    url: UrlTemplate
    format: Literal["form", "json", "query"] = "form"
    parameter: FieldName | None = Field("token", description="Name of the parameter that carries the token.")
    params: Annotated[dict[str, LongText], Field(max_length=16)] = {}
    authentication: Literal["client", "basic", "bearer", "none"] = Field(
        "client", description="client: as at the token endpoint; basic: client id and secret; bearer: the access token."
    )


class CredentialField(Model):
    """A secret-type field of a method."""

    description: ShortText = ""
    required: bool = True


class TokenRequest(Model):
    """The request to the token endpoint."""

    url: UrlTemplate
    format: Literal["form", "json", "query"] = "form"
    grant_type: ShortText | None = Field(None, description="Value of grant_type where it is not the standard one.")
    params: Annotated[dict[str, LongText], Field(max_length=32)] = Field(
        {}, description="Parameters of this product; a standard parameter of the same name wins where it is sent."
    )
    headers: Annotated[dict[str, LongText], Field(max_length=16)] = {}
    rename: Annotated[dict[str, FieldName], Field(max_length=16)] = Field(
        {}, description="Standard parameter name -> the name this product uses."
    )
    omit: Annotated[list[FieldName], Field(max_length=16)] = Field(
        [], description="Standard parameters this product refuses."
    )


class ClientAuth(Model):
    """Client authentications the product takes; the first is the default."""

    methods: Annotated[list[ClientAuthentication], Field(min_length=1, max_length=4)] = [ClientAuthentication.BASIC]
    basic_encoding: Literal["rfc6749", "raw"] = Field(
        "rfc6749", description="rfc6749 form-encodes id and secret before base64, as section 2.3.1 says; raw does not."
    )
    basic_scheme: ShortText = Field("Basic", description="Scheme word of the Authorization header.")
    assertion_algorithms: Annotated[list[Literal["RS256", "PS256", "ES256"]], Field(max_length=3)] = Field(
        [], description="Algorithms taken for private_key_jwt; empty means the key's usual one."
    )
    assertion_audience: LongText | None = Field(None, description="aud of the assertion; absent means the token URL.")


class TokenResponse(Model):
    """Where things are in a token answer. Defaults are RFC 6749 5.1."""

    access_token: Pointers = ["/access_token"]
    token_type: Pointers = ["/token_type"]
    expires_in: Pointers = ["/expires_in"]
    expires_in_unit: Literal["s", "ms", "min"] = "s"
    expires_at: Pointers = []
    expires_at_format: Literal["rfc3339", "unix", "unixms"] = "rfc3339"
    scope: Pointers = ["/scope"]
    refresh_token: Pointers = ["/refresh_token"]
    refresh_expires_in: Pointers = ["/refresh_expires_in", "/refresh_token_expires_in"]
    error: Pointers = Field(["/error"], description="Error code; its presence means failure, also with status 200.")
    success: Annotated[list[ExpectedMember], Field(max_length=4)] = []
    capture: Annotated[dict[str, Pointer], Field(max_length=16)] = Field(
        {}, description="Published key -> where its value is in the answer."
    )


class Lifetime(Model):
    """How long tokens live where the answer does not say."""

    default: Duration = Field("1h", description="Life assumed when the answer names none.")
    maximum: Duration | None = Field(None, description="Longest life to believe.")
    never: bool = Field(False, description="Tokens do not expire; they are fetched anew after `default` all the same.")
    zero_means_never: bool = False


class ErrorClass(StrEnum):
    """What an error code of this product means."""

    CLIENT = "client"
    CREDENTIALS = "credentials"
    GRANT = "grant"
    SCOPE = "scope"
    REQUEST = "request"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"


class ErrorRule(Model):
    """First match wins, before the rules of RFC 6749 5.2."""

    status: Annotated[list[Annotated[int, Field(ge=100, le=599)]], Field(max_length=8)] = []
    code: Annotated[list[ShortText], Field(max_length=16)] = []
    means: ErrorClass


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


class ConnectorSpec(Model):
    """How one product authenticates."""

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
            min_length=1,
            max_length=12,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(description="Ways to authenticate; the first is the default.")


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
