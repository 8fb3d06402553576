"""`CredentialStore`: one Vault or OpenBao, and who may use it. Owned by the platform team."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from lanyard.api.meta import (
    AGE_COLUMN,
    HTTPS_ONLY,
    MESSAGE_COLUMN,
    READY_COLUMNS,
    Column,
    Kind,
    Model,
    NamespaceGrant,
    ObjectStatus,
    PlatformSecretKeyRef,
    ShortText,
    cel,
)

MountPath = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[-A-Za-z0-9_.]+(/[-A-Za-z0-9_.]+)*$")]
Audience = Annotated[str, Field(min_length=1, max_length=256)]

NOT_THE_API_SERVER = (
    "!self.contains('kubernetes.default')",
    "the audience is the store's own, never the API server's: such a token could be replayed there",
)


class KubernetesAuth(Model):
    """Login with the tenant's own ServiceAccount through Vault's Kubernetes method."""

    mount: MountPath = Field("kubernetes", description="Path of the auth method.")
    role: Annotated[str, Field(min_length=1, max_length=256)] = Field(description="Role to log in with.")
    audience: Audience = Field(
        description="Audience of the presented token.", json_schema_extra=cel(NOT_THE_API_SERVER)
    )


class JwtAuth(Model):
    """Login with the tenant's own ServiceAccount token through Vault's JWT method."""

    mount: MountPath = Field("jwt", description="Path of the auth method.")
    role: Annotated[str, Field(min_length=1, max_length=256)] = Field(description="Role to log in with.")
    audience: Audience = Field(
        description="Audience of the presented token.", json_schema_extra=cel(NOT_THE_API_SERVER)
    )


class AppRoleAuth(Model):
    """A login shared by all tenants of the store; needs spec.pathPrefix."""

    mount: MountPath = Field("approle", description="Path of the auth method.")
    role_id: Annotated[str, Field(min_length=1, max_length=256)] = Field(description="Role id.")
    secret_id_ref: PlatformSecretKeyRef = Field(description="Where the secret id is.")


class VaultAuth(Model):
    """Exactly one way to log in."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "[has(self.kubernetes), has(self.jwt), has(self.appRole), has(self.tokenSecretRef)]"
                ".filter(given, given).size() == 1",
                "give exactly one of kubernetes, jwt, appRole and tokenSecretRef",
            )
        )
    )

    kubernetes: KubernetesAuth | None = None
    jwt: JwtAuth | None = None
    app_role: AppRoleAuth | None = None
    token_secret_ref: PlatformSecretKeyRef | None = Field(None, description="A token shared by all tenants.")


class VaultStore(Model):
    """A Vault or OpenBao server and its KV engine."""

    address: Annotated[str, Field(min_length=8, max_length=512)] = Field(
        description="https://host:port",
        json_schema_extra=cel(
            HTTPS_ONLY,
            (
                "isURL(self) && url(self).getHostname() != '' && !self.matches('[@?#]')",
                "address is a URL such as https://vault.example:8200, without a user, a query or a fragment",
            ),
        ),
    )
    namespace: ShortText | None = Field(None, description="Vault namespace, sent as X-Vault-Namespace on every call.")
    mount: MountPath = Field("secret", description="Path of the KV engine.")
    kv_version: Literal[1, 2] = Field(2, description="Version of the KV engine.")
    ca_bundle: Annotated[str, Field(max_length=65536)] | None = Field(
        None,
        description="PEM certificates that sign the server's; absent means the operator's trust.",
        json_schema_extra=cel(
            ("self.contains('-----BEGIN CERTIFICATE-----')", "caBundle holds PEM text: -----BEGIN CERTIFICATE-----")
        ),
    )
    proxy: Annotated[str, Field(max_length=512)] | None = Field(
        None,
        description="HTTP proxy to reach the store through; absent means the operator's proxy settings.",
        json_schema_extra=cel(
            (
                "isURL(self) && url(self).getScheme() in ['http', 'https'] && !self.contains('@')",
                "proxy is a URL such as http://proxy.example:3128, without a password in it",
            )
        ),
    )
    auth: VaultAuth = Field(description="How to log in.")


class StoreSpec(Model):
    """The store and its bounds."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.pathPrefix) || !(has(self.vault.auth.appRole) || has(self.vault.auth.tokenSecretRef))",
                "appRole and tokenSecretRef are shared by all tenants: give pathPrefix, such as tenants/{namespace}/",
            ),
        )
    )

    vault: VaultStore = Field(description="A Vault or OpenBao server.")
    path_prefix: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[-A-Za-z0-9_.{}/]+$")] | None = Field(
        None,
        description="Paths that may be read, with {namespace} for the tenant's own; required for shared logins.",
        json_schema_extra=cel(
            (
                "self.contains('{namespace}/') && self.endsWith('/') && !self.startsWith('/')",
                "pathPrefix contains {namespace}/ and ends with a slash, such as tenants/{namespace}/",
            ),
            (
                "self.replace('{namespace}', 'n').matches('^[-A-Za-z0-9_./]+$') && !self.contains('//') && "
                "self.split('/').all(s, s != '..' && s != '.')",
                "pathPrefix has no empty, . or .. segment and no braces but {namespace}",
            ),
        ),
    )
    allowed_namespaces: NamespaceGrant = Field(
        description="Namespaces whose assets may use this store.",
        json_schema_extra=cel(
            (
                "has(self.selector) || (has(self.names) && self.names.size() > 0)",
                "name at least one namespace, or give a selector (an empty selector admits all)",
            )
        ),
    )


class StoreStatus(ObjectStatus):
    """What is true now."""


STORE = Kind(
    name="CredentialStore",
    plural="credentialstores",
    short="credstore",
    spec=StoreSpec,
    status=StoreStatus,
    namespaced=False,
    columns=(*READY_COLUMNS, Column("Address", ".spec.vault.address"), MESSAGE_COLUMN, AGE_COLUMN),
    description="One Vault or OpenBao, and who may use it.",
)
