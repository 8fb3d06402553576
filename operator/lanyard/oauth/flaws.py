"""What can be wrong with a JWT that somebody presents: a closed list, told without a word of the JWT."""

from enum import StrEnum


class Flaw(StrEnum):
    """For the audit log and, once the signature was good, for who presented it."""

    TOO_LARGE = "too_large"
    NOT_THREE_PARTS = "not_three_parts"
    """Also a JWE, which has five (RFC 7516 7.1)."""
    NOT_BASE64URL = "not_base64url"
    """Padding, spare bits and letters of plain base64 too: they would give one JWT many spellings."""
    HEADER_MALFORMED = "header_malformed"
    """Not one JSON object in UTF-8 without a name given twice, or too deep; `typ` or `kid` that is no proper text."""
    PAYLOAD_MALFORMED = "payload_malformed"
    NAME_FOLDED = "name_folded"
    """A name that a careless reader takes for a registered one: `SUB` (RFC 7519 4: names are case-sensitive)."""
    ALGORITHM_REFUSED = "algorithm_refused"
    TYPE_REFUSED = "type_refused"
    """`typ` of something else than an assertion, such as a DPoP proof (RFC 8725 3.11)."""
    EXTENSION_REFUSED = "extension_refused"
    """`crit` or `b64` (RFC 7515 4.1.11, RFC 7797): no extension is understood here."""
    ISSUER_INVALID = "issuer_invalid"
    SUBJECT_INVALID = "subject_invalid"
    AUDIENCE_INVALID = "audience_invalid"
    EXPIRY_INVALID = "expiry_invalid"
    NOT_BEFORE_INVALID = "not_before_invalid"
    ISSUED_AT_INVALID = "issued_at_invalid"
    TOKEN_ID_INVALID = "token_id_invalid"
    KEY_UNKNOWN = "key_unknown"
    """Nothing in the set has this `kid`; a newer set may."""
    KEY_AMBIGUOUS = "key_ambiguous"
    KEY_UNFIT = "key_unfit"
    """There is such a key, for another algorithm."""
    SIGNATURE_WRONG = "signature_wrong"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    """`nbf` or `iat` lies ahead."""
    LIVES_TOO_LONG = "lives_too_long"


class PresentedError(Exception):
    """A presented JWT is refused. Its text is the flaw and nothing else."""

    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw
        super().__init__(flaw.value)
