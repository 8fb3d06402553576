"""Names with a meaning of their own: keys of the workload Secret and parameters of the token request."""

from lanyard.api.connection import Method

RESERVED_KEYS = frozenset({"type", "provider", "base_url"})
"""In every workload Secret."""

TOKEN_KEYS = frozenset({"access_token", "token_type", "expires_at", "scope", "authorization_header"})
"""Also in those of the methods that fetch a token."""

OWN_KEYS = {
    Method.API_KEY: frozenset({"api_key", "apiKey"}),
    Method.BEARER_TOKEN: frozenset({"token"}),
    Method.BASIC: frozenset({"username", "password"}),
    Method.AWS_SIGV4: frozenset({"access_key_id", "secret_access_key", "session_token", "region"}),
    Method.CUSTOM: frozenset[str](),
}
"""What the static methods publish their own fields as, and the names of those fields."""

CLIENT_PARAMETERS = frozenset({"client_id", "client_secret", "client_assertion_type", "client_assertion"})
"""Parameters by which a client proves itself (RFC 6749 2.3.1, RFC 7521 4.2)."""

STANDARD_PARAMETERS = frozenset(
    {
        "grant_type", "scope", "client_id", "client_secret", "username", "password",
        "client_assertion_type", "client_assertion", "assertion", "code", "redirect_uri", "code_verifier",
        "refresh_token", "device_code", "response_type", "state", "code_challenge", "code_challenge_method",
    }
)  # fmt: skip
"""Parameters of RFC 6749 2.3.1, 4 and 6, RFC 7521 4, RFC 7636 4 and RFC 8628 3.4 that this version sends."""
