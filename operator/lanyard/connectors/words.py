"""Names with a meaning of their own: keys of the workload Secret and parameters of the token request."""

RESERVED_KEYS = frozenset({"type", "provider", "base_url"})
"""In every workload Secret."""

TOKEN_KEYS = frozenset({"access_token", "token_type", "expires_at", "scope", "authorization_header"})
"""Also in those of the methods that fetch a token."""

STATIC_FIELD_KEYS = frozenset({"api_key", "token", "username", "password"})
"""What the static methods publish their own fields as."""

STANDARD_PARAMETERS = frozenset(
    {
        "grant_type", "scope", "client_id", "client_secret", "username", "password",
        "client_assertion_type", "client_assertion", "assertion", "code", "redirect_uri", "code_verifier",
        "refresh_token", "device_code", "response_type", "state", "code_challenge", "code_challenge_method",
    }
)  # fmt: skip
"""Parameters of RFC 6749 2.3.1, 4 and 6, RFC 7521 4, RFC 7636 4 and RFC 8628 3.4 that this version sends."""
