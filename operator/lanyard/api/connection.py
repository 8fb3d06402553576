"""`Connection`: one account at one external system, and the Secret that carries its live token."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

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
    NamespaceName,
    ObjectName,
    ObjectStatus,
    SecretKey,
    SecretKeyRef,
    Timestamp,
    cel,
)


class Method(StrEnum):
    """All method names (DESIGN 1)."""

    AUTHORIZATION_CODE = "authorizationCode"
    CLIENT_CREDENTIALS = "clientCredentials"
    PASSWORD = "password"
    JWT_BEARER = "jwtBearer"
    DEVICE_CODE = "deviceCode"
    GITHUB_APP = "githubApp"
    BASIC = "basic"
    API_KEY = "apiKey"
    BEARER_TOKEN = "bearerToken"
    AWS_SIGV4 = "awsSigV4"
    CUSTOM = "custom"


GRANT_METHODS = frozenset({Method.AUTHORIZATION_CODE, Method.DEVICE_CODE})
"""A person consents once; what they granted is stored and refreshed."""
TOKEN_METHODS = frozenset({Method.CLIENT_CREDENTIALS, Method.PASSWORD, Method.JWT_BEARER, Method.GITHUB_APP})
"""Nobody consents: whoever has the credentials asks for a token, as often as one is needed."""
STATIC_METHODS = frozenset({Method.BASIC, Method.API_KEY, Method.BEARER_TOKEN, Method.AWS_SIGV4, Method.CUSTOM})


class ClientAuthentication(StrEnum):
    """How a client proves itself at the token endpoint (RFC 6749 2.3.1, OpenID Connect Core 9)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    PRIVATE_KEY_JWT = "private_key_jwt"
    NONE = "none"


class AssetKeyRef(Model):
    """One key of a CredentialAssetRef, here or in a namespace whose asset admits this one."""

    name: ObjectName = Field(description="Name of the CredentialAssetRef.")
    key: SecretKey = Field(description="One of the keys that the asset declares.")
    namespace: NamespaceName | None = Field(None, description="Namespace of the asset; absent means this one.")


class CredentialSource(Model):
    """Where a secret value is read from at run time. Never the value itself."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.secretRef) != has(self.credentialAssetRef)",
                "give exactly one of secretRef and credentialAssetRef",
            )
        )
    )

    secret_ref: SecretKeyRef | None = Field(None, description="A key of a Secret in this namespace.")
    credential_asset_ref: AssetKeyRef | None = Field(None, description="A key of a CredentialAssetRef.")


Scope = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21\x23-\x5B\x5D-\x7E]+$")]


class Auth(Model):
    """How this Connection authenticates: plain values only."""

    method: Method | None = Field(None, description="One of the connector's methods; absent means its first.")
    client_id: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None, description="Client id of your own app at the provider."
    )
    client_authentication: ClientAuthentication | None = Field(
        None, description="How the client proves itself; absent means the connector's first."
    )
    key_id: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="`kid` of the private key in client assertions (private_key_jwt)."
    )
    username: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="User name for the methods password and basic."
    )
    scopes: Annotated[list[Scope], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})] = Field(
        [], description="Scopes to ask for; empty means the connector's default."
    )
    expected_account: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="The account that must consent; a consent of another one is refused."
    )


class SecretTarget(Model):
    """The Secret that workloads mount."""

    name: ObjectName | None = Field(None, description="Its name; absent means <connection>-token.")
    type: Annotated[
        str, Field(max_length=253, pattern=r"^(Opaque|servicebinding\.io/[a-z0-9]([-a-z0-9.]*[a-z0-9])?)$")
    ] = Field("Opaque", description="Opaque or servicebinding.io/<type>.")
    publish: bool = Field(
        True,
        description="False publishes no Secret: the token is had by exchange alone, and the product is not asked "
        "whether it works. For methods that fetch a token.",
    )


class Verify(Model):
    """How often the product is asked whether what is published works."""

    interval: Duration = Field(
        description="At most this often, counted from the last time; 0s means never.",
        json_schema_extra=cel(
            (
                "duration(self) == duration('0s') || "
                "(duration(self) >= duration('1m') && duration(self) <= duration('720h'))",
                "interval lies between 1m and 720h, or is 0s for never",
            )
        ),
    )


class LinkTarget(Model):
    """A Connection to use instead of one's own, here or in a namespace whose Connection admits this one."""

    namespace: NamespaceName = Field(description="Namespace of the Connection.")
    name: ObjectName = Field(description="Name of the Connection; it is not a link itself.")


class ConnectionSpec(Model):
    """What a team asks for. `connector` is empty exactly where `link_to` is given."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!(has(self.auth) && has(self.auth.clientId) && has(self.credentials) && 'clientId' in "
                "self.credentials)",
                "give the client id once: auth.clientId for a plain value, credentials.clientId for a reference",
            ),
            (
                "!(has(self.auth) && has(self.auth.username) && has(self.credentials) && 'username' in "
                "self.credentials)",
                "give the user name once: auth.username for a plain value, credentials.username for a reference",
            ),
            (
                "has(self.connector) || has(self.linkTo)",
                "name a connector, or give linkTo to use another Connection's credentials",
            ),
            (
                "has(self.linkTo) == has(oldSelf.linkTo)",
                "linkTo can be neither added nor removed later: create another Connection and delete this one",
            ),
        )
    )

    connector: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = Field(
        "",
        description="Name of a Connector, built in or an object; needed unless linkTo is given. Immutable.",
        json_schema_extra=cel(
            ("self == oldSelf", "connector is immutable: create another Connection and delete this one")
        ),
    )
    display_name: Annotated[str, Field(max_length=128)] | None = Field(None, description="Free text.")
    description: Annotated[str, Field(max_length=512)] | None = Field(None, description="Free text.")
    parameters: Annotated[dict[str, LongText], Field(max_length=32)] = Field(
        {},
        description="Plain inputs that the connector declares, such as a tenant or a host.",
        json_schema_extra=cel(
            (
                "self.all(name, name.matches('^[a-z][a-z0-9_]{0,39}$'))",
                "parameter names are lower case with digits and underscores, such as my_domain",
            )
        ),
    )
    auth: Auth = Field(Auth(), description="How to authenticate.")
    credentials: Annotated[dict[str, CredentialSource], Field(max_length=16)] = Field(
        {},
        description="The method's secret values, by field name, as references; never inline.",
        json_schema_extra=cel(
            (
                "self.all(name, name.matches('^[a-zA-Z][a-zA-Z0-9_]{0,62}$'))",
                "credential names are letters, digits and underscores, such as clientSecret",
            )
        ),
    )
    secret: SecretTarget = Field(SecretTarget(), description="The Secret that workloads mount.")
    verify: Verify | None = Field(
        None,
        description="Ask the product now and then whether what is published works; absent means every 6h where the "
        "connector has a request for it that costs nothing.",
    )
    deletion_policy: Literal["Revoke", "Orphan"] = Field(
        "Revoke", description="On deletion, Revoke takes the grant back at the provider; Orphan leaves it alone."
    )
    suspend: bool = Field(False, description="True stops refreshing; what is published stays.")
    allowed_namespaces: NamespaceGrant | None = Field(
        None, description="Other namespaces whose Connections may link to this one; absent means none."
    )
    link_to: LinkTarget | None = Field(
        None,
        description="A Connection whose credentials are published here too, instead of connector and auth. Its target "
        "may change, its presence may not.",
    )


class Binding(Model):
    """servicebinding.io: the Secret to bind."""

    name: LongText


class ConnectionStatus(ObjectStatus):
    """What is true now."""

    account: LongText | None = Field(
        None, description="The account that consented; System until the first consent. Methods with a consent only."
    )
    client_id: LongText | None = Field(
        None, description="Client id of this Connection at Lanyard's own token endpoint: its uid. None on links."
    )
    redirect_uri: Annotated[str, Field(max_length=512)] | None = Field(
        None,
        alias="redirectURI",
        description="The exact redirect URI to register with your app; none for deviceCode.",
    )
    authorization_url: Annotated[str, Field(max_length=1024)] | None = Field(
        None, alias="authorizationURL", description="The page on which a person authorizes it; carries no secret."
    )
    expires_at: Timestamp | None = Field(None, description="When the published token expires.")
    last_refreshed_at: Timestamp | None = Field(None, description="When the published token was fetched.")
    last_verified_at: Timestamp | None = Field(
        None, description="When the product was asked last whether what is published works."
    )
    next_refresh_at: Timestamp | None = Field(None, description="When the next attempt is made.")
    failed_attempts: int = Field(0, description="Attempts that failed in a row.")
    granted_scopes: Annotated[list[LongText], Field(max_length=128)] = []
    published_version: LongText | None = Field(None, description="resourceVersion of the Secret after the last write.")
    inputs_digest: LongText | None = Field(
        None, description="Digest of the versions of everything the published Secret was made from."
    )
    binding: Binding | None = Field(None, description="The published Secret (servicebinding.io).")


def _of_both(expression: str, operator: str) -> str:
    """The same expression of the new and the old object, compared."""
    return f"({expression}) {operator} ({expression.replace('self.', 'oldSelf.')})"


BESIDE_LINK = frozenset({"link_to", "secret", "display_name", "description", "suspend"})
"""What may stand beside linkTo: all else belongs to the Connection that it names."""
_NOT_BESIDE_LINK = " || ".join(
    f"has(self.spec.{field.alias})" for name, field in ConnectionSpec.model_fields.items() if name not in BESIDE_LINK
)

_TYPE_OF_SECRET = "has(self.spec.secret) && has(self.spec.secret.type) ? self.spec.secret.type : 'Opaque'"
_NAME_OF_SECRET = (
    "has(self.spec.secret) && has(self.spec.secret.name) ? self.spec.secret.name : self.metadata.name + '-token'"
)

CONNECTION = Kind(
    name="Connection",
    plural="connections",
    short="conn",
    spec=ConnectionSpec,
    status=ConnectionStatus,
    columns=(
        *READY_COLUMNS,
        Column("Connector", ".spec.connector"),
        Column("Method", ".spec.auth.method", priority=1),
        Column("Account", ".status.account", priority=1),
        Column("Expires", ".status.expiresAt"),
        Column("Secret", ".status.binding.name"),
        MESSAGE_COLUMN,
        AGE_COLUMN,
    ),
    selectable=(".spec.connector", ".spec.secret.name"),
    rules=(
        (
            "self.metadata.name.size() <= 240",
            "the name is too long for the Secret that is named after it: use at most 240 characters",
        ),
        # On the root, where the name of the object is known: crm and an explicit crm-token are the same Secret.
        (
            f"{_of_both(_TYPE_OF_SECRET, '==')} || {_of_both(_NAME_OF_SECRET, '!=')}",
            "a Secret's type cannot change: give secret.name a new value together with secret.type",
        ),
        (
            f"!has(self.spec.linkTo) || !({_NOT_BESIDE_LINK})",
            "beside linkTo give only secret, displayName, description and suspend: the rest is the other Connection's",
        ),
        (
            "!has(self.spec.linkTo) || !has(self.spec.secret) || !has(self.spec.secret.publish) || "
            "self.spec.secret.publish",
            "a link publishes a Secret and nothing else: remove secret.publish, or exchange at the other Connection",
        ),
    ),
    description="One account at one external system, and the Secret that carries its live token.",
    labels=(("servicebinding.io/provisioned-service", "true"),),
)


def secret_name(connection: str, spec: ConnectionSpec) -> str:
    """The Secret's name: as given, else `<connection>-token`."""
    return spec.secret.name or f"{connection}-token"
