"""Why an exchange is refused, and whether a token that cannot be narrowed may be handed out. Pure."""

from collections.abc import Sequence
from enum import StrEnum


class Denial(StrEnum):
    """Why a JWT that could be read, or what was asked with it, is not taken. For the audit log and the metrics."""

    UNKNOWN_CLIENT = "unknown client"
    AMBIGUOUS_CLIENT = "more than one client fits"
    OTHER_TENANT = "client of another tenant"
    NOT_TRUSTED = "no credential fits"
    ISSUER_UNAVAILABLE = "the issuer's keys are not known or too old"
    CLAIM_RULE = "a claim rule does not hold"
    CREDENTIAL_SUSPENDED = "credential suspended"
    CREDENTIAL_EXPIRED = "credential expired"
    CONNECTION_SUSPENDED = "connection suspended"
    REPLAYED = "presented before"
    NO_TOKEN_ID = "no jti, which single use needs"
    SCOPE = "scope not allowed"
    SCOPES_NOT_ENFORCEABLE = "the token has more scopes than the credential allows"
    TARGET = "target not allowed"
    NO_TOKEN = "no live token"
    THROTTLED = "asked too often"
    KUBERNETES_UNAVAILABLE = "the API server did not help"


def is_gate_open(held: Sequence[str], bound: Sequence[str]) -> bool:
    """Whether a token with the scopes `held` may be handed out whole: it cannot be narrowed. An empty bound is none."""
    return not bound or set(held) <= set(bound)
