"""Names of the things that are reconciled, and of the things they are made from."""

from enum import StrEnum
from typing import NamedTuple


class What(StrEnum):
    """The kinds that Lanyard reconciles; Secrets, which it only reads; consents, spent once; issuers' keys."""

    CONNECTION = "Connection"
    CONNECTOR = "Connector"
    STORE = "CredentialStore"
    ASSET = "CredentialAssetRef"
    CREDENTIAL = "FederatedCredential"
    SECRET = "Secret"
    CONSENT = "consent record"
    ISSUER = "issuer keys"


class Key(NamedTuple):
    """One object. `namespace` is empty for cluster-scoped kinds."""

    what: What
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.what}/{self.namespace}/{self.name}" if self.namespace else f"{self.what}/{self.name}"
