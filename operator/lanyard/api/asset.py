"""`CredentialAssetRef`: a pointer to a credential in a store; resolved at run time, never kept."""

from typing import Annotated

from pydantic import ConfigDict, Field

from lanyard.api.meta import (
    AGE_COLUMN,
    MESSAGE_COLUMN,
    READY_COLUMNS,
    Column,
    Duration,
    Kind,
    Model,
    NamespaceGrant,
    ObjectName,
    ObjectStatus,
    cel,
)


class AssetSpec(Model):
    """Where the credential is, and who may use it."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.store) || (!self.path.contains('/') && !has(self.version) && !has(self.serviceAccountName))",
                "without a store, path is the name of a Secret here: remove version and serviceAccountName, or name "
                "a store",
            ),
        )
    )

    type: Annotated[str, Field(max_length=32)] = Field(
        "Credential",
        description="Only assets of type Credential can be referenced.",
        json_schema_extra=cel(
            ("self == 'Credential'", "only type Credential can be referenced: Text, Integer and Boolean hold no secret")
        ),
    )
    store: ObjectName | None = Field(None, description="A CredentialStore; absent means a Secret in this namespace.")
    path: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="Path below the store's mount; without a store, the name of a Secret here.",
        json_schema_extra=cel(
            ("!self.startsWith('/')", "write the path without a leading slash"),
            ("!self.endsWith('/') && !self.contains('//')", "a path has no empty segment: remove the extra slash"),
            ("self.split('/').all(s, s != '..' && s != '.')", "a path has no . or .. segment: write it out"),
            (
                "self.matches('^[-A-Za-z0-9_.:@+/ ]+$')",
                "a path holds letters, digits and - _ . : @ + space only: %, ?, # and \\ are refused",
            ),
        ),
    )
    version: Annotated[str, Field(min_length=1, max_length=10, pattern=r"^[1-9][0-9]*$")] | None = Field(
        None, description="Version of the store to pin (KV v2); absent means the newest."
    )
    keys: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=253)]], Field(min_length=1, max_length=16)
    ] = Field(
        description="Key of the asset -> field in the store, such as password: client_secret.",
        json_schema_extra=cel(
            (
                "self.all(name, name.matches('^[-._a-zA-Z0-9]{1,63}$'))",
                "names of keys are letters, digits and - _ . only",
            )
        ),
    )
    service_account_name: ObjectName | None = Field(
        None, description="ServiceAccount here that is presented to the store; absent means default."
    )
    cache_ttl: Duration = Field(
        "1h",
        alias="cacheTTL",
        description="How long a value may be used before its version is looked at again; at most 1h.",
        json_schema_extra=cel(
            (
                "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
                "cacheTTL lies between 1s and 1h",
            )
        ),
    )
    allowed_namespaces: NamespaceGrant | None = Field(
        None, description="Other namespaces that may use this asset; absent means none."
    )


class AssetStatus(ObjectStatus):
    """What is true now."""

    version: Annotated[str, Field(max_length=64)] | None = Field(None, description="Version in the store, seen last.")


ASSET = Kind(
    name="CredentialAssetRef",
    plural="credentialassetrefs",
    short="asset",
    spec=AssetSpec,
    status=AssetStatus,
    columns=(
        *READY_COLUMNS,
        Column("Store", ".spec.store"),
        Column("Path", ".spec.path"),
        MESSAGE_COLUMN,
        AGE_COLUMN,
    ),
    selectable=(".spec.store",),
    description="A pointer to a credential in Kubernetes or a vault; resolved at run time, never kept.",
)
