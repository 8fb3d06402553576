"""Key sets of issuers: one for each place that keys are fetched from, shared by operator and gateways."""

import base64
import hashlib
import json


def key_set_name(issuer: str, jwks_uri: str | None, ca_bundle: str | None) -> str:
    """Name of the key set that is fetched from there: `issuer-<base32 of SHA-256>`, 59 characters.

    Who trusts another source or another CA for the same issuer has a set of their own.
    """
    source = json.dumps([issuer, jwks_uri, ca_bundle], separators=(",", ":")).encode()
    return f"issuer-{base64.b32encode(hashlib.sha256(source).digest()).decode().rstrip('=').lower()}"
