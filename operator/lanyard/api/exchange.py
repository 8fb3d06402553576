"""What goes over the wire between Lanyard and a product, and how its answers are read. Data only.

Templates of token requests know `{name}` of declared parameters, `{client_id}`, and `{redirect_uri}` where the grant
has one; nothing secret: credentials are placed by the grant and the client authentication alone. Templates of API
requests (verification, identity, follow-up) also know what was captured and, in headers, query and body, the keys of
the workload Secret, such as `{access_token}` and `{api_key}`. Selectors are lists of JSON Pointers (RFC 6901); the
first one that leads to a value wins.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from lanyard.api.connection import ClientAuthentication
from lanyard.api.meta import Duration, LongText, Model, ShortText, cel

FieldName = Annotated[str, Field(min_length=1, max_length=64)]
Pointer = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^(/[^/]+)+$")]
Pointers = Annotated[list[Pointer], Field(max_length=8)]
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
    callback_expect: Annotated[dict[str, LongText], Field(max_length=4)] = Field(
        {}, description="Parameter of the answer -> what it must be, such as the host of the shop that was asked."
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


class TokenExchange(Model):
    """A second request, right after the first, that swaps its token for the one that lasts (Facebook)."""

    url: UrlTemplate
    format: Literal["form", "json", "query"] = "form"
    grant_type: ShortText
    parameter: FieldName = Field(description="Name of the parameter that carries the first token.")
    params: Annotated[dict[str, LongText], Field(max_length=16)] = {}


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


class ExpectedMember(Model):
    """A member that a successful answer carries."""

    pointer: Pointer
    equals: ShortText


class TokenResponse(Model):
    """Where things are in a token answer. Defaults are RFC 6749 5.1."""

    access_token: Pointers = ["/access_token"]
    token_type: Pointers = ["/token_type"]
    expires_in: Pointers = ["/expires_in"]
    expires_in_unit: Literal["s", "ms", "min"] = "s"
    expires_at: Pointers = []
    expires_at_format: Literal["rfc3339", "unix", "unixms"] = "rfc3339"
    scope: Pointers = ["/scope"]
    scope_separator: Literal[" ", ","] | None = Field(
        None, description="Where granted scopes are joined otherwise than wanted ones."
    )
    refresh_token: Pointers = ["/refresh_token"]
    refresh_expires_in: Pointers = ["/refresh_expires_in", "/refresh_token_expires_in"]
    error: Pointers = Field(["/error"], description="Error code; its presence means failure, also with status 200.")
    success: Annotated[list[ExpectedMember], Field(max_length=4)] = []
    capture: Annotated[dict[str, Pointer], Field(max_length=16)] = Field(
        {}, description="Published key -> where its value is in the answer."
    )


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


class Revocation(Model):
    """How a grant is taken back: RFC 7009, or the product's own call."""

    token: Literal["refresh", "access"] = "refresh"
    method: Literal["POST", "GET", "DELETE"] = "POST"
    url: UrlTemplate
    format: Literal["form", "json", "query"] = "form"
    parameter: Annotated[str, Field(max_length=64)] = Field(
        "token", description="Name of the parameter that carries the token; empty where the call says which one it is."
    )
    params: Annotated[dict[str, LongText], Field(max_length=16)] = {}
    rename: Annotated[dict[str, FieldName], Field(max_length=4)] = Field(
        {}, description="Parameter of the client authentication -> the name this product uses."
    )
    authentication: Literal["client", "basic", "bearer", "none"] = Field(
        "client", description="client: as at the token endpoint; basic: client id and secret; bearer: the access token."
    )


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


class Verification(Model):
    """The request that proves that what is published works."""

    request: ApiRequest
    ok_status: Annotated[list[Annotated[int, Field(ge=100, le=599)]], Field(max_length=8)] = Field(
        [], description="Empty means every 2xx."
    )
    expect: Annotated[list[ExpectedMember], Field(max_length=4)] = []
    forbidden_proves: bool = Field(False, description="A 403 still proves the credential.")
    costs: bool = Field(False, description="The product charges for it.")


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
